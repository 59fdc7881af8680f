"""How durations and instants are spelled in sentences for people; durations as they are written in a policy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

UNITS = ((3600, "h"), (60, "m"), (1, "s"))


def duration(span: timedelta) -> str:
    """Give ``1h30m``, ``2m`` or ``45s``; what is below a second is rounded up, since nothing takes no time."""
    left = -(-span // timedelta(seconds=1))
    parts = []
    for size, unit in UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def instant(time: datetime) -> str:
    """Give ``2026-11-25 14:00 UTC``."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
