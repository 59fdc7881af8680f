"""Which digests failed where, and when to stop trying (L9).

What failed in one container is not chosen for any other of the policy either: one image runs in many workloads, and
without that each of them would have to fail by itself. A new digest under the same tag is another image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from patchwright.domain.images.facts import Container

KEPT: Final = 100
IN_A_ROW: Final = 3
"""After so many rollbacks without a success between them a person has to look (openclaw-operator#75)."""


@dataclass(frozen=True, slots=True)
class FailedDigest:
    """An image that failed in a container, and why; ``tag`` is what it was called then.

    What a policy remembers of a whole rollout names that one instead.
    """

    container: Container
    digest: str
    tag: str
    reason: str
    message: str
    at: datetime
    rollout: str = ""

    @property
    def where(self) -> str:
        """Give what a sentence calls the place."""
        return f"rollout {self.rollout}" if self.rollout else str(self.container)


@dataclass(frozen=True, slots=True)
class Streak:
    """How many rollbacks in a row a container has seen."""

    container: Container
    rollbacks: int


@dataclass(frozen=True, slots=True)
class Failures:
    """All that is remembered, newest first."""

    digests: tuple[FailedDigest, ...] = ()
    streaks: tuple[Streak, ...] = ()


NONE: Final = Failures()


def remember(known: Failures, failed: FailedDigest) -> Failures:
    """Add an image that was rolled back; what was known of the same image in the same container is replaced."""
    others = [one for one in known.digests if (one.container, one.digest) != (failed.container, failed.digest)]
    streak = Streak(failed.container, rollbacks(known, [failed.container]) + 1)
    streaks = (streak, *_without(known.streaks, {failed.container}))
    return Failures(_bounded((failed, *others)), streaks[:KEPT])


def succeeded(known: Failures, container: Container) -> Failures:
    """Begin to count anew, because an update of the container went well; what failed stays remembered."""
    return replace(known, streaks=_without(known.streaks, {container}))


def retried(known: Failures, digest: str) -> Failures:
    """Forget that an image failed, wherever it did, and begin to count anew there, because somebody said so."""
    where = {one.container for one in known.digests if one.digest == digest}
    return Failures(tuple(one for one in known.digests if one.digest != digest), _without(known.streaks, where))


def recall(known: Failures, digest: str) -> FailedDigest | None:
    """Give the latest that is known of an image, wherever it failed."""
    return next((one for one in known.digests if one.digest == digest), None)


def rollbacks(known: Failures, containers: Iterable[Container]) -> int:
    """Give the longest row of rollbacks that one of the containers has seen."""
    asked = set(containers)
    return max((streak.rollbacks for streak in known.streaks if streak.container in asked), default=0)


def _without(streaks: Iterable[Streak], containers: set[Container]) -> tuple[Streak, ...]:
    return tuple(streak for streak in streaks if streak.container not in containers)


def _bounded(entries: tuple[FailedDigest, ...]) -> tuple[FailedDigest, ...]:
    """Keep 100. The oldest go first, but while one image is named twice, another is not forgotten for it."""
    if len(entries) <= KEPT:
        return entries
    named = Counter(one.digest for one in entries)
    last = len(entries) - 1
    goes = next((at for at in range(last, -1, -1) if named[entries[at].digest] > 1), last)
    return entries[:goes] + entries[goes + 1 :]
