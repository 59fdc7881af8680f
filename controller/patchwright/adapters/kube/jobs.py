"""Our Jobs, joined with what their pods say.

The Job controller is a second or two behind its pods (it batches), and the termination message is nowhere but in the
pod; so a pod's success counts at once, and what a pod said is kept when the pod is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from patchwright.adapters.kube.projection import instant
from patchwright.domain.actions import JobStep
from patchwright.domain.nodes import labels as own
from patchwright.domain.nodes.view import JobView, Outcome

EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class JobFacts:
    """One Job of ours."""

    name: str
    uid: str
    resource_version: str = field(compare=False)
    rollout_uid: str
    node_name: str
    node_uid: str
    step: JobStep
    created_at: datetime
    retries: int
    outcome: Outcome | None
    reason: str
    message: str
    finished_at: datetime | None
    deleting: bool


@dataclass(frozen=True, slots=True)
class PodFacts:
    """One pod of a Job of ours; ``gone`` once it was seen to be removed."""

    name: str
    uid: str
    resource_version: str = field(compare=False)
    job_uid: str
    created_at: datetime
    phase: str
    waiting: str
    exit_code: int | None
    termination: str | None
    finished_at: datetime | None
    reason: str
    message: str
    gone: bool = False


def job(raw: Mapping[str, Any]) -> JobFacts | None:
    """Project a raw Job; ``None`` when it is not one of ours."""
    metadata, spec = raw["metadata"], raw.get("spec") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    rollout, step = labels.get(own.ROLLOUT), labels.get(own.STEP)
    if not rollout or step not in _STEPS:
        return None
    outcome, reason, message, finished = _end((raw.get("status") or {}).get("conditions") or ())
    return JobFacts(
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        rollout_uid=rollout,
        node_name=annotations.get(own.NODE) or labels.get(own.NODE, ""),
        node_uid=annotations.get(own.NODE_UID, ""),
        step=JobStep(step),
        created_at=instant(metadata.get("creationTimestamp")) or EPOCH,
        retries=spec.get("backoffLimit", 0),
        outcome=outcome,
        reason=reason,
        message=message,
        finished_at=finished,
        deleting="deletionTimestamp" in metadata,
    )


_STEPS = frozenset(JobStep)


def _end(conditions: Iterable[Mapping[str, Any]]) -> tuple[Outcome | None, str, str, datetime | None]:
    """Read how a Job ended.

    ``FailureTarget`` comes earlier than ``Failed``, but while it stands alone pods may still run; only ``Failed`` says
    that nothing does (KEP-3939), and a rollback must not start beside a running apply.
    """
    for condition in conditions:
        if condition.get("status") != "True" or condition.get("type") not in ("Complete", "Failed"):
            continue
        outcome = Outcome.SUCCEEDED if condition["type"] == "Complete" else Outcome.FAILED
        at = instant(condition.get("lastTransitionTime"))
        return outcome, condition.get("reason", ""), condition.get("message", ""), at
    return None, "", "", None


def pod(raw: Mapping[str, Any]) -> PodFacts | None:
    """Project a raw pod; ``None`` when it is not a pod of a Job of ours."""
    metadata, status = raw["metadata"], raw.get("status") or {}
    owner = next((ref for ref in metadata.get("ownerReferences") or () if ref.get("controller")), None)
    if not owner or owner.get("kind") != "Job" or own.ROLLOUT not in (metadata.get("labels") or {}):
        return None
    phase = status.get("phase", "Pending")
    state = _container(status)
    ended = state.get("terminated")
    return PodFacts(
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        job_uid=owner["uid"],
        created_at=instant(metadata.get("creationTimestamp")) or EPOCH,
        phase=phase,
        waiting=(state.get("waiting") or {}).get("reason", ""),
        exit_code=ended.get("exitCode") if ended else None,
        termination=_said(ended, phase),
        finished_at=instant(ended.get("finishedAt")) if ended else None,
        reason=status.get("reason", ""),
        message=status.get("message", ""),
    )


def _container(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the state of the one container, or of an init container that is in the way."""
    statuses = status.get("containerStatuses") or status.get("initContainerStatuses") or ()
    return next((each.get("state") or {} for each in statuses), {})


def _said(ended: Mapping[str, Any] | None, phase: str) -> str | None:
    if ended is not None:
        return str(ended.get("message") or "")
    # Rejected or evicted by the kubelet: it ended without any container to say something.
    return "" if phase in ("Succeeded", "Failed") else None


def view(facts: JobFacts, pods: Iterable[PodFacts]) -> JobView:
    """Join a Job with its pods."""
    mine = sorted(pods, key=lambda each: (each.created_at, each.name))
    done = next((each for each in mine if each.phase == "Succeeded"), None)
    last = done or (mine[-1] if mine else None)
    outcome, finished = _outcome(facts, done, last)
    alive = last if last and not last.gone else None
    return JobView(
        name=facts.name,
        uid=facts.uid,
        rollout_uid=facts.rollout_uid,
        node_name=facts.node_name,
        node_uid=facts.node_uid,
        step=facts.step,
        created_at=facts.created_at,
        outcome=outcome,
        reason=facts.reason or (last.reason if last else ""),
        message=facts.message or (last.message if last else ""),
        finished_at=finished,
        exit_code=last.exit_code if last else None,
        termination=_last_words(last),
        waiting=alive.waiting if alive else "",
        deleting=facts.deleting,
    )


def _outcome(facts: JobFacts, done: PodFacts | None, last: PodFacts | None) -> tuple[Outcome | None, datetime | None]:
    if facts.outcome is not None:
        return facts.outcome, facts.finished_at
    if done is not None:
        return Outcome.SUCCEEDED, done.finished_at
    if last is not None and last.phase == "Failed" and facts.retries == 0:
        # No second pod can follow: the Job controller will say the same a second or two later.
        return Outcome.FAILED, last.finished_at
    return None, None


def _last_words(last: PodFacts | None) -> str | None:
    if last is None:
        return None
    return "" if last.gone and last.termination is None else last.termination
