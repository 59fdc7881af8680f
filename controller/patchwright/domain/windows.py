"""Maintenance windows: when a target may be started (L7).

A window is anchored to the occurrence of its cron expression that opened it, so that one from Friday 21:00 lasts into
Saturday without Saturday being named, and Monday 00:30 is not open because of Monday alone (kured's day test uses
"today", ``timewindow.go``). Durations are elapsed time: a window over a night on which clocks change is neither longer
nor shorter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

from patchwright.domain.model import MaintenanceWindow


@dataclass(frozen=True, slots=True)
class Opening:
    """Whether some window is open, until when, and when the next one opens (``None``: never, or no windows)."""

    open: bool
    until: datetime | None = None
    next_at: datetime | None = None


def opening(windows: Sequence[MaintenanceWindow], *, now: datetime) -> Opening:
    """Look at all windows together; no windows at all means always open."""
    if not windows:
        return Opening(True)
    ends = [end for window in windows if (end := _end(window, now)) is not None]
    starts = [start for window in windows if (start := _next(window, now)) is not None]
    return Opening(bool(ends), max(ends, default=None), min(starts, default=None))


def fits(found: Opening, needed: timedelta, *, now: datetime) -> bool:
    """Tell whether a target that takes ``needed`` can be started now and finish inside the window."""
    return found.open and (found.until is None or now + needed <= found.until)


def needed(seconds: Sequence[float], deadline: timedelta) -> timedelta:
    """Estimate how long the next target takes: the 95th percentile of those seen, the deadline before enough were."""
    if len(seconds) < 5:
        return deadline
    ordered = sorted(seconds)
    return min(deadline, timedelta(seconds=ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)]))


def _end(window: MaintenanceWindow, now: datetime) -> datetime | None:
    """Give the end of the latest occurrence that contains ``now``; an earlier one cannot end later."""
    # The reverse search is exclusive, so it starts a minute on; the occurrence must not lie in the future, though.
    local = (now + timedelta(minutes=1)).astimezone(ZoneInfo(window.time_zone))
    for start in CronSim(window.start, local, reverse=True):
        begin = start.astimezone(UTC)
        if begin > now:
            continue
        end = begin + window.duration
        return end if now < end else None
    return None


def _next(window: MaintenanceWindow, now: datetime) -> datetime | None:
    found = next(iter(CronSim(window.start, now.astimezone(ZoneInfo(window.time_zone)))), None)
    return found.astimezone(UTC) if found else None
