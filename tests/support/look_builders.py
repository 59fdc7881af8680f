"""Builders for following images: looks at a registry, places that run an image, and what a policy makes of them.

propose(["1.0", "1.1"], use("1.0"))
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from patchwright.domain.changes import change_id
from patchwright.domain.images import knowledge, proposals, uses
from patchwright.domain.images.content import Listing
from patchwright.domain.images.facts import Scan, TagFacts
from patchwright.domain.images.imagepolicy import Followed, ImagePolicy
from patchwright.domain.images.knowledge import Contents, Knowledge, Look
from patchwright.domain.images.proposals import Outlook, Past, Proposal, Sight, Situation
from patchwright.domain.images.uses import Usage
from patchwright.domain.memory import FailedChange
from patchwright.domain.model import ImagePin, ImagesChange, PatchPolicy, Selector, Trigger, WorkloadTarget
from patchwright.domain.state import Phase
from support import image_builders, images
from support.builders import NOW, ago
from support.image_builders import REPOSITORY, WorkloadBuilder
from support.images import digest, semver

HOUR = 3600.0


def workload(tag: str, name: str = "web", **changes: Any) -> WorkloadBuilder:
    """Give a workload that runs an image, pinned."""
    return image_builders.workload(name, **changes).image(f"{REPOSITORY}:{tag}@{digest(tag)}")


def followed(policy: ImagePolicy | None = None, name: str = REPOSITORY, **changes: Any) -> Followed:
    """Say how an image is followed."""
    return replace(Followed(name, policy or semver()), **changes)


def following(*entries: Followed, **changes: Any) -> PatchPolicy:
    """Give an automatic policy that follows images."""
    wanted = entries or (followed(),)
    target = WorkloadTarget(tuple(each.name for each in wanted), namespaces=Selector(), followed=wanted)
    return image_builders.policy(target=target, **({"trigger": Trigger.AUTOMATIC} | changes))


def usage(*made: WorkloadBuilder, policy: ImagePolicy | None = None) -> Usage:
    """Give where the image runs."""
    [found] = uses.of([each.view for each in made], [followed(policy)])
    return found


def scan(*tags: str | TagFacts, **known: Any) -> Scan:
    """Give a scan of the repository, of just now."""
    return replace(images.scan(tags), image=REPOSITORY, listed=len(tags), **known)


def sight(scan: Scan | None, *made: WorkloadBuilder, policy: ImagePolicy | None = None, **changes: Any) -> Sight:
    """Give what is known of the repository, and where it runs."""
    return Sight(usage(*made, policy=policy), scan, **changes)


def pin(tag: str, *replaces: str) -> ImagePin:
    """Give the image of a tag, pinned."""
    return ImagePin(REPOSITORY, digest(tag), tag=tag, replaces=replaces)


def past(tag: str, phase: Phase, *, hours: float = 1, **changes: Any) -> Past:
    """Give a rollout to a tag that ended so many hours ago, or is still open."""
    pins = (pin(tag),)
    found = Past(f"web-{tag}", change_id(ImagesChange(pins)), pins, phase, ours=True, finished_at=ago(hours * HOUR))
    return replace(found if not found.open else replace(found, finished_at=None), **changes)


def failed(tag: str, *, hours: float = 1) -> FailedChange:
    """Give what a policy remembers of a tag that failed."""
    return FailedChange(
        change_id(ImagesChange((pin(tag),))),
        f"web:{tag}",
        f"ops/web-{tag}",
        "CanaryFailed",
        "crashes",
        ago(hours * HOUR),
    )


def look_ahead(*sights: Sight, policy: PatchPolicy | None = None, **known: Any) -> Outlook:
    """Look ahead for a policy that follows what is seen."""
    spec = policy or following(*(each.usage.followed for each in sights))
    return proposals.look_ahead(Situation(spec, sights, NOW, **known))


def propose(
    tags: Iterable[str | TagFacts] | Scan, *made: WorkloadBuilder, policy: PatchPolicy | None = None, **known: Any
) -> Outlook:
    """Look ahead for one image with these tags, which runs in these workloads."""
    wanted = policy.followed[0].policy if policy else None
    seen = tags if isinstance(tags, Scan) else scan(*tags)
    return look_ahead(sight(seen, *made, policy=wanted), policy=policy, **known)


def proposed(outlook: Outlook) -> Proposal:
    """Give what is proposed."""
    assert outlook.proposal is not None, outlook.images
    return outlook.proposal


def told(outlook: Outlook, at: int = 0) -> tuple[str, str, str]:
    """Give what is said of an image, when nothing is proposed for it."""
    state = outlook.images[at]
    return state.verdict, state.reason, state.message


# --- looks ------------------------------------------------------------------------------------------------------------


def look(
    minute: int, *tags: str, absent: Sequence[str] = (), complete: bool = True, contents: Any = None, **digests: str
) -> Look:
    """Give a look at so many minutes: the tags listed, and the digests (by their letter) of those asked for."""
    found = {tag.replace("_", "."): digest(name) for tag, name in digests.items()}
    listing = Listing(tuple(sorted({*tags, *found, *absent})), complete=complete)
    return Look(minutes(minute), listing, found, frozenset(absent), contents or {})


def minutes(minute: int) -> datetime:
    """Give a time."""
    return NOW + timedelta(minutes=minute)


def learnt(*looks: Look) -> Knowledge:
    """Give what is known after some looks."""
    known = knowledge.NOTHING
    for each in looks:
        known = knowledge.learn(known, each)
    return known


def fact(known: Knowledge, tag: str) -> TagFacts | None:
    """Give what a choice knows of a tag; ``None`` when nothing."""
    found = knowledge.facts(known, REPOSITORY)
    assert found is not None
    return next((each for each in found.tags if each.tag == tag), None)


def inside(*platforms: str, manifests: Sequence[str] = ()) -> Contents:
    """Give what is in an image."""
    return Contents(frozenset(platforms), frozenset(map(digest, manifests)))
