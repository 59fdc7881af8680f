"""What the API server's audit log tells of the operator's replicas, each of which logs in as a user of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

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
