"""What the API server's audit log tells of the operator's replicas, each of which logs in as a user of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from support.observer import TARGETS, Change, Raw
from support.operator_world import STATE

REPLICAS: Final = ("operator-a", "operator-b")
WRITES: Final = frozenset({"create", "update", "patch", "delete", "deletecollection"})


def unled(entries: Iterable[Mapping[str, Any]], *, since: datetime) -> list[str]:
    """Give the writes that a replica sent after another one had taken the Lease, and that were carried out (L10)."""
    mine = [entry for entry in entries if _carried_out(entry) and _time(entry, "requestReceivedTimestamp") >= since]
    taken = [(_time(entry, "stageTimestamp"), _user(entry)) for entry in mine if _resource(entry) == "leases"]
    found = []
    for entry in mine:
        if _resource(entry) == "leases":
            continue
        sent = _time(entry, "requestReceivedTimestamp")
        holder = max(((at, who) for at, who in taken if at <= sent), default=(sent, ""))[1]
        if holder and holder != _user(entry):
            found.append(f"{_user(entry)} wrote ({entry['verb']} {entry['requestURI']}) while {holder} led")
    return found


def timed(changes: Sequence[Change], entries: Iterable[Mapping[str, Any]]) -> list[Change]:
    """Give the same changes, in the order of their versions, each at the latest time (Unix) that is possible.

    We hear of a change late when the machine is busy: a soak of a second, heard of at its end, was called skipped once.
    The API server noted when it carried out each of the operator's writes, and no change came after a later version.
    """
    written = _written(entries)
    found: list[Change] = []
    latest = float("inf")
    for change in reversed(changes):
        latest = min(latest, change.at)
        times = written[_target(change)] if _recorded(change) else []
        while times and times[-1][0] > latest:
            times.pop()
        latest = min(latest, times.pop()[1]) if times else latest
        found.append(replace(change, at=latest))
    return found[::-1]


def _written(entries: Iterable[Mapping[str, Any]]) -> defaultdict[tuple[str, str, str], list[tuple[float, float]]]:
    """Give when each write of the operator was asked for and when it was done, by object, but for their status."""
    found = defaultdict(list)
    for entry in entries:
        target = entry.get("objectRef", {})
        if _carried_out(entry) and "subresource" not in target:
            key = _resource(entry), target.get("namespace", ""), target.get("name", "")
            asked, done = (_time(entry, f"{part}Timestamp").timestamp() for part in ("requestReceived", "stage"))
            found[key].append((asked, done))
    return found


def _target(change: Change) -> tuple[str, str, str]:
    metadata = change.thing["metadata"]
    return f"{change.kind.lower()}s", metadata.get("namespace", ""), metadata["name"]


def _recorded(change: Change) -> bool:
    """Tell whether the operator wrote its record on something."""
    mine = change.kind in TARGETS and not change.people and not change.gap
    return mine and _state(change.before) != _state(change.after)


def _state(raw: Raw | None) -> object:
    return ((raw or {}).get("metadata", {}).get("annotations") or {}).get(STATE)


def _carried_out(entry: Mapping[str, Any]) -> bool:
    if entry.get("verb") not in WRITES or _user(entry) not in REPLICAS:
        return False
    return int(entry.get("responseStatus", {}).get("code", 0)) < 400


def _user(entry: Mapping[str, Any]) -> str:
    return str(entry.get("user", {}).get("username", ""))


def _resource(entry: Mapping[str, Any]) -> str:
    return str(entry.get("objectRef", {}).get("resource", ""))


def _time(entry: Mapping[str, Any], field: str) -> datetime:
    return datetime.fromisoformat(str(entry[field]))
