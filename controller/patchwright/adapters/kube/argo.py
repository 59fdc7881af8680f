"""What an Argo Rollout says of its own progress; its phases and fields are those of Argo Rollouts 1.0 and later.

Its status counts once its ``observedGeneration``, a string, is the generation of its spec, as with other kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_HEALTHY: Final = "Healthy"
_DEGRADED: Final = "Degraded"


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a Rollout stands.

    ``unfinished`` is its phase and why, while that is not Healthy; ``stuck`` the same once it has given up or was
    aborted. ``paused`` is by people or by itself, ``at_step`` why it has paused itself. ``stable`` says that its
    present template is the one that it calls stable. ``template`` names the Deployment that has its template.
    """

    unfinished: str = ""
    stuck: str = ""
    paused: bool = False
    at_step: str = ""
    stable: bool = True
    template: str = ""


NONE: Final = Progress()


def progress(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Progress:
    """Read the progress of a Rollout."""
    unfinished = _unfinished(status)
    stuck = unfinished if unfinished.startswith(_DEGRADED) else ""
    step = "" if stuck else _step(spec, status)
    return Progress(
        unfinished=unfinished,
        stuck=stuck,
        # One that has given up does not go on when somebody resumes it.
        paused=not stuck and (bool(spec.get("paused")) or bool(step)),
        at_step=step,
        stable=status.get("stableRS") == status.get("currentPodHash"),
        template=_template(spec.get("workloadRef") or {}),
    )


def observed(status: Mapping[str, Any]) -> int:
    """Give the generation that its controller has seen."""
    text = str(status.get("observedGeneration") or "")
    return int(text) if text.isdecimal() else 0


def _unfinished(status: Mapping[str, Any]) -> str:
    phase, message = str(status.get("phase") or ""), str(status.get("message") or "")
    if status.get("abort") and phase != _DEGRADED:
        return f"{_DEGRADED}: it was aborted"
    if phase == _HEALTHY:
        return ""
    if not phase:
        return "Unknown: its controller has not looked at it"
    return f"{phase}: {message}" if message else phase


def _step(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    """Say why it has paused itself."""
    reasons = [str(each.get("reason")) for each in status.get("pauseConditions") or ()]
    if not reasons:
        return ""
    steps = ((spec.get("strategy") or {}).get("canary") or {}).get("steps") or ()
    index = status.get("currentStepIndex")
    where = f"its own step {index + 1} of {len(steps)}" if steps and isinstance(index, int) else "its own strategy"
    return f"{where} ({reasons[0]})"


def _template(ref: Mapping[str, Any]) -> str:
    """Name the workload that has the template."""
    return f"{ref['kind']} {ref['name']}" if ref.get("kind") and ref.get("name") else ""
