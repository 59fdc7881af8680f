"""What the observer saw, told one change a line: pytest shows it with a test that fails."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from support.observer import Change, Raw
from support.operator_world import NODE, STATE, STEP, cordoned, excluded, ready, record


def tell(changes: Iterable[Change], scene: str) -> str:
    """Tell of a scene's nodes, Jobs, rollouts and Lease; what does not change a line is left out."""
    lines: list[str] = []
    for change in changes:
        before, after = _words(change.kind, change.before), _words(change.kind, change.after)
        name = change.thing["metadata"]["name"]
        if before == after or not (name.startswith(f"{scene}-") or change.kind in ("Job", "Lease")):
            continue
        at = datetime.fromtimestamp(change.at, UTC).strftime("%H:%M:%S.%f")[:-3]
        marks = " (a person)" * change.people + " (after a gap)" * change.gap
        lines.append(f"{at} {change.version} {change.kind} {name}: {after}{marks}")
    return "\n".join(lines)


def _words(kind: str, raw: Raw | None) -> str:
    if raw is None:
        return "gone"
    going = "deleting " if "deletionTimestamp" in raw["metadata"] else ""
    return going + {"Node": _node, "Job": _job, "Pod": _pod, "PatchRollout": _rollout, "Lease": _lease}.get(
        kind, _none
    )(raw)


def _node(raw: Raw) -> str:
    mark = record(raw).get("mark") or (
        "garbled" if STATE in (raw["metadata"].get("annotations") or {}) else "no record"
    )
    out = "" if excluded(raw) is None else f", out of load balancers ({excluded(raw)})"
    return f"{mark}{'' if ready(raw) else ', NotReady'}{', cordoned' if cordoned(raw) else ''}{out}"


def _job(raw: Raw) -> str:
    labels, notes = raw["metadata"].get("labels") or {}, raw["metadata"].get("annotations") or {}
    ended = [each["type"] for each in raw.get("status", {}).get("conditions") or () if each["status"] == "True"]
    return f"{labels.get(STEP)} on {notes.get(NODE)} {' '.join(ended)}"


def _pod(raw: Raw) -> str:
    return f"{raw.get('status', {}).get('phase')} on {raw['spec'].get('nodeName')}"


def _rollout(raw: Raw) -> str:
    status = raw.get("status") or {}
    outcome = f" to be {status['outcome']}" if status.get("outcome") else ""
    return f"{status.get('phase')}{outcome}: {status.get('message')}"


def _lease(raw: Raw) -> str:
    return f"held by {raw['spec'].get('holderIdentity') or 'nobody'}"


def _none(_: Raw) -> str:
    return ""
