"""What a PatchPolicy remembers: the changes that failed, and its rollouts (PatchPolicy.status)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from patchwright.domain.state import Condition, Phase
from patchwright.domain.workloads.standalone import Standalone

FAILED_KEPT = 20
IMAGES_KEPT = 64


@dataclass(frozen=True, slots=True)
class FailedChange:
    """A change that a policy remembers as failed (L9)."""

    change_id: str
    version: str
    rollout: str
    reason: str
    message: str
    at: datetime


@dataclass(frozen=True, slots=True)
class LastRollout:
    """How the latest rollout that ended did."""

    name: str
    phase: Phase
    version: str = ""
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ImageState:
    """What a policy knows and means to do about one image.

    ``verdict``, ``reason`` and ``message`` are those of the choice; ``tag`` and ``digest`` are what was chosen, empty
    when nothing was. ``tags`` counts those of the last look at the registry.
    """

    image: str
    verdict: str
    reason: str
    message: str
    tag: str = ""
    digest: str = ""
    scanned_at: datetime | None = None
    tags: int | None = None


@dataclass(frozen=True, slots=True)
class PolicyState:
    """PatchPolicy.status. ``selected`` counts the targets that match, ``None`` until they were counted once.

    ``images`` are those whose updates are looked for, as far as there is room; ``images_total`` counts them all.
    ``last_handled_reconcile_at`` and ``last_handled_retry`` are the annotations that were heeded last, ``retried_at``
    is when. ``standalone`` are the first of those that run an image that it covers and that nobody can patch,
    ``standalone_total`` counts them all.
    """

    observed_generation: int = 0
    selected: int | None = None
    active_rollout: str = ""
    last_rollout: LastRollout | None = None
    next_window: datetime | None = None
    failed_changes: tuple[FailedChange, ...] = ()
    images: tuple[ImageState, ...] = ()
    images_total: int = 0
    last_handled_reconcile_at: str = ""
    last_handled_retry: str = ""
    retried_at: datetime | None = None
    conditions: tuple[Condition, ...] = ()
    standalone: tuple[Standalone, ...] = ()
    standalone_total: int = 0


def remember(known: Sequence[FailedChange], failed: FailedChange) -> tuple[FailedChange, ...]:
    """Add a failed change, newest first, at most 20; what was known of the same change is replaced."""
    others = (one for one in known if one.change_id != failed.change_id)
    return (failed, *others)[:FAILED_KEPT]


def forget(known: Sequence[FailedChange], change_id: str) -> tuple[FailedChange, ...]:
    """Take a change out, because somebody asked for a retry."""
    return tuple(one for one in known if one.change_id != change_id)


def recall(known: Sequence[FailedChange], change_id: str) -> FailedChange | None:
    """Give what is known of a change."""
    return next((one for one in known if one.change_id == change_id), None)
