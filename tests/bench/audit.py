"""Requests by who made them, from the API server's own audit log."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OURS, WATCHERS = "patchwright/", ("kopf", "patchwright-watch/")


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests of one stretch of the log, by kind.

    ``ours`` are those of the operator's work, which its budget is about; ``lease`` those of leader election, which go
    on whatever it does; ``watches`` those that only list and watch.
    """

    ours: Counter[str]
    lease: Counter[str]
    watches: Counter[str]


def mark(log: Path) -> int:
    """Give where the log ends now."""
    return log.stat().st_size


def since(log: Path, position: int) -> Requests:
    """Count the operator's requests after ``position``."""
    ours, lease, watches = Counter[str](), Counter[str](), Counter[str]()
    for event in _events(log, position):
        agent, kind = str(event.get("userAgent", "")), _kind(event)
        if agent.startswith(OURS):
            (lease if " leases" in kind else ours)[kind] += 1
        elif agent.startswith(WATCHERS):
            watches[kind] += 1
    return Requests(ours, lease, watches)


def _events(log: Path, position: int) -> Iterator[dict[str, Any]]:
    with log.open("rb") as lines:
        lines.seek(position)
        for line in lines:
            if line.endswith(b"\n"):
                yield json.loads(line)


def _kind(event: dict[str, Any]) -> str:
    ref = event.get("objectRef") or {}
    resource = "/".join(part for part in (ref.get("resource", ""), ref.get("subresource", "")) if part)
    code = int((event.get("responseStatus") or {}).get("code", 0))
    refused = f" → {code}" if code >= 400 else ""
    return f"{event['verb']} {resource or event.get('requestURI', '')}{refused}"
