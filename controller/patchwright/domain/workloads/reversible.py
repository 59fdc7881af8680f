"""Whether an image could be put back: the registry must still have what runs, or the way back would end nowhere (L4).

A node that has the old image may keep it; the next node to which the pod is moved has not. Asked is where the policy
follows the image: there it is known with whose login, and that the registry answers it. Elsewhere a "not found" may
only mean that nobody has logged in.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from patchwright.domain.images.imagepolicy import Followed
from patchwright.domain.model import PatchPolicy
from patchwright.domain.targets import Brief
from patchwright.domain.workloads import images, marks
from patchwright.domain.workloads.view import Kept, WorkloadView

# How long an answer holds. What is missing may be pushed again by somebody who has read about it.
THERE: Final = timedelta(minutes=5)
AWAY: Final = timedelta(minutes=1)
UNSAID: Final = timedelta(seconds=30)


def follows(policy: PatchPolicy, image: str) -> Followed | None:
    """Give how a policy follows the repository of an image, by the entry that is nearest to it."""
    return next((each for each in nearest(policy.followed) if images.covers((each.name,), image)), None)


def nearest(followed: tuple[Followed, ...]) -> list[Followed]:
    """Put entries in the order in which they count: whole names first, then the longest prefix."""
    return sorted(followed, key=lambda each: (each.name.endswith(images.BELOW), -len(each.name)))


def needed(view: WorkloadView, brief: Brief) -> tuple[str, ...]:
    """Give the images that must be in their registries before this workload is changed."""
    policy = brief.policy
    if not policy.rollback.enabled or not policy.followed:
        return ()
    old = (
        f"{images.repository(field.image)}@{digest}"
        for field, _ in images.outdated(brief.rollout.images, view.images)
        if follows(policy, field.image) is not None and (digest := marks.running(view, field))
    )
    return tuple(dict.fromkeys(old))


def unasked(view: WorkloadView, brief: Brief) -> tuple[str, ...]:
    """Give those of which nobody knows by now whether they are there."""
    return tuple(image for image in needed(view, brief) if not fresh(view.kept.get(image), brief.now))


def fresh(kept: Kept | None, now: datetime) -> bool:
    """Tell whether an answer still holds."""
    return kept is not None and now < until(kept)


def until(kept: Kept) -> datetime:
    """Give how long an answer holds."""
    life = {True: THERE, False: AWAY, None: UNSAID}[kept.there]
    return kept.at + life


def fault(view: WorkloadView, brief: Brief) -> tuple[str, str] | None:
    """Give a reason and a sentence when something that runs is not there any more, or nobody can tell."""
    for image in needed(view, brief):
        kept = view.kept.get(image)
        if kept is None or kept.there or not fresh(kept, brief.now):
            continue
        if kept.there is None:
            return kept.reason, f"it is not known whether {image}, which runs, could be put back: {kept.trouble}"
        text = f"{image}, which runs, is not in its registry any more, so that it could not be put back"
        return "ImageGone", f"{text}; push it again, or set rollback.enabled: false"
    return None
