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

# So many targets must have been timed before their durations say more than what bounds them.
ENOUGH = 5
# How far clocks are set back at most (Antarctica/Troll: two hours), rounded up.
SET_BACK = timedelta(hours=3)


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


def needed(seconds: Sequence[float], longest: timedelta) -> timedelta:
    """Estimate how long the next target takes: the 95th percentile of those seen.

    Before enough were seen it is ``longest``, which is what one may take at the most, or the slowest if that took
    longer: the bounds may have been edited since.
    """
    ordered = sorted(seconds)
    if len(ordered) < ENOUGH:
        return max(longest, timedelta(seconds=max(ordered, default=0)))
    return timedelta(seconds=ordered[len(ordered) * 95 // 100])


def _end(window: MaintenanceWindow, now: datetime) -> datetime | None:
    """Give the end of the latest occurrence that contains ``now``; an earlier one cannot end later."""
    # The search goes by the wall clock, which the night in autumn shows twice: 02:45 may have been before 02:01.
    # So it starts further on, and passes over what lies in the future.
    local = (now + SET_BACK).astimezone(ZoneInfo(window.time_zone))
    found = CronSim(window.start, local, reverse=True)
    begin = next((at for start in found if (at := start.astimezone(UTC)) <= now), None)
    end = begin + window.duration if begin else None
    return end if end and now < end else None


def _next(window: MaintenanceWindow, now: datetime) -> datetime | None:
    # For the same reason the first occurrence by the wall clock may be over already.
    found = CronSim(window.start, now.astimezone(ZoneInfo(window.time_zone)))
    return next((at for start in found if (at := start.astimezone(UTC)) > now), None)
