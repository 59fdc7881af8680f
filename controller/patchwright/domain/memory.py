"""What a PatchPolicy remembers: the changes that failed, and its rollouts (PatchPolicy.status)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from patchwright.domain.state import Condition, Phase

FAILED_KEPT = 20


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
class PolicyState:
    """PatchPolicy.status. ``selected`` counts the targets that match, ``None`` until they were counted once."""

    observed_generation: int = 0
    selected: int | None = None
    active_rollout: str = ""
    last_rollout: LastRollout | None = None
    next_window: datetime | None = None
    failed_changes: tuple[FailedChange, ...] = ()
    conditions: tuple[Condition, ...] = ()


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
