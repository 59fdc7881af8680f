"""Builders for images: a scan, a policy and a choice in one line, with only what the test is about.

choose(["1.4.1", "1.4.2"], running="1.4.1")
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from patchwright.domain.images import choice
from patchwright.domain.images.choice import Choice
from patchwright.domain.images.facts import Container, Running, Scan, TagFacts
from patchwright.domain.images.failures import NONE, FailedDigest, Failures
from patchwright.domain.images.imagepolicy import (
    Alphabetical,
    Digest,
    Direction,
    ImagePolicy,
    Numerical,
    SemVer,
    TagFilter,
)
from support.builders import NOW, ago

IMAGE = "ghcr.io/acme/api"
HOUR = 3600.0
LONG_BEFORE = ago(20_000 * HOUR)
WEB = Container("Deployment", "shop", "web", "web")
CART = Container("StatefulSet", "shop", "cart", "cart")
# As Copacetic names them: 1.24.0-patched, then 1.24.0-patched-1.
COPA = r"-patched(-\d+)?"


def digest(name: str) -> str:
    """Give the digest of the image of that name."""
    return f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"


def tag(name: str, image: str = "", *, hours: float | None = 10_000, **known: Any) -> TagFacts:
    """Give a tag that names an image (one of its own if left out), and was first seen so many hours ago."""
    seen = None if hours is None else ago(hours * HOUR)
    return TagFacts(name, **({"digest": digest(image or name), "first_seen": seen} | known))


def scan(tags: Iterable[TagFacts | str], *, since: datetime | None = LONG_BEFORE, **known: Any) -> Scan:
    """Give a complete scan of just now."""
    facts = tuple(one if isinstance(one, TagFacts) else tag(one) for one in tags)
    return replace(Scan(IMAGE, facts, complete=True, at=NOW, since=since), **known)


def running(name: str, image: str | None = None) -> Running:
    """Give what runs: a tag, and the image of that name unless another is given; ``""`` is none."""
    image = name if image is None else image
    return Running(name, digest(image) if image else "")


def semver(limits: str = "*", **asked: Any) -> ImagePolicy:
    """Give a policy over versions."""
    return ImagePolicy(SemVer(limits), **_spelled(asked))


def alphabetical(order: str = "asc", **asked: Any) -> ImagePolicy:
    """Give a policy over the alphabet."""
    return ImagePolicy(Alphabetical(Direction(order)), **_spelled(asked))


def numerical(order: str = "asc", **asked: Any) -> ImagePolicy:
    """Give a policy over numbers."""
    return ImagePolicy(Numerical(Direction(order)), **_spelled(asked))


def following(**asked: Any) -> ImagePolicy:
    """Give a policy that follows the tag that runs."""
    return ImagePolicy(Digest(), **_spelled(asked))


def _spelled(asked: dict[str, Any]) -> dict[str, Any]:
    """Take ``pattern`` and ``extract`` for a filter, and ``hours`` for the minimum release age."""
    found = dict(asked)
    if "pattern" in found:
        found["filter_tags"] = TagFilter(found.pop("pattern"), found.pop("extract", ""))
    if "hours" in found:
        found["minimum_release_age"] = timedelta(hours=found.pop("hours"))
    return found


def failed(image: str, *, container: Container = WEB, seconds: float = 60) -> FailedDigest:
    """Give the memory that an image crashed in a container."""
    return FailedDigest(container, digest(image), image, "CrashLoopBackOff", "pod shop/web-1 restarts", ago(seconds))


def remembered(*images: str) -> Failures:
    """Give a memory of failed images, without any row of rollbacks."""
    return Failures(tuple(failed(image) for image in images))


def choose(
    tags: Iterable[TagFacts | str] | Scan,
    runs: Running | str,
    policy: ImagePolicy | None = None,
    *,
    memory: Failures = NONE,
    containers: Sequence[Container] = (WEB,),
    now: datetime = NOW,
) -> Choice:
    """Choose, by versions without limits unless another policy is given."""
    return choice.choose(
        tags if isinstance(tags, Scan) else scan(tags),
        running(runs) if isinstance(runs, str) else runs,
        policy=policy or semver(),
        memory=memory,
        containers=containers,
        now=now,
    )


def chosen(found: Choice) -> str:
    """Give the chosen tag, or the verdict and the reason."""
    return found.candidate.tag if found.candidate else f"{found.verdict.value}/{found.reason}"


def why(found: Choice) -> dict[str, str]:
    """Give why each tag lost."""
    return {lost.tag: lost.why for lost in found.lost}
