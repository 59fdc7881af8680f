"""The canary of a Deployment: a second, small one beside it, whose pods the same Services send to.

A Deployment has no partition, so some of its pods cannot have another image than the others. The second one has all of
its template and a label of ours, which its own selector asks for. The record on the first one names it before it is
created (L4, L12), and it is deleted before that record says that the stage is over (L6).
"""

from __future__ import annotations

from dataclasses import replace

from patchwright.domain import names
from patchwright.domain.actions import Action, CreateCanary, DeleteCanary, MarkWorkload
from patchwright.domain.nodes.labels import ROLLOUT
from patchwright.domain.targets import Brief, Stage, Standing
from patchwright.domain.workloads import marks
from patchwright.domain.workloads.record import Mark, Record
from patchwright.domain.workloads.view import WorkloadView

LABEL = "patchwright.dev/canary"
# With what Kubernetes adds to it for ReplicaSets and pods, the name stays below 63 characters.
_KEPT, _DIGITS = 32, 5


def name(short: str, uid: str) -> str:
    """Give the one name that the canary of a Deployment can have; somebody else's is not likely to have it."""
    return f"{short[:_KEPT].rstrip('.-')}-canary-{names.short(uid)[:_DIGITS]}"


def ours(view: WorkloadView, rollout_uid: str) -> WorkloadView | None:
    """Give the canary that a rollout has made beside a Deployment."""
    found = view.beside
    if found is None or found.canary_of != view.uid or found.labels.get(ROLLOUT) != rollout_uid:
        return None
    return found


def missing(view: WorkloadView, record: Record) -> tuple[Action, ...]:
    """Give what creates a canary that is not there yet."""
    return (CreateCanary(view.ref, record, marks.edits(view, record)),)


def lost(view: WorkloadView, record: Record) -> tuple[str, str]:
    """Say what somebody has done to a canary, or that its name is somebody else's; empty texts when all is well."""
    assert record.part is not None
    what = f"canary Deployment {record.part.beside}"
    mine = ours(view, record.rollout_uid)
    if view.beside is not None and mine is None:
        return "CanaryNameTaken", f"a Deployment {record.part.beside} that is not ours is in its way"
    if mine is None and record.mark is Mark.SAMPLED:
        return "CanaryGone", f"somebody deleted its {what}"
    if mine is not None and mine.deleting:
        return "CanaryGone", f"somebody deletes its {what}"
    if mine is not None and mine.replicas != record.part.pods:
        return "CanaryScaled", f"somebody scaled its {what} to {mine.replicas} pods"
    return "", ""


def dismissal(view: WorkloadView, record: Record) -> tuple[Action, ...]:
    """Give what deletes the canary, where there may be one."""
    part = record.part
    return (DeleteCanary(view.ref, part.beside),) if part is not None and part.beside else ()


def leaves(view: WorkloadView, record: Record, brief: Brief, *, stage: Stage, last: MarkWorkload) -> Standing:
    """Take the canary away, where there is one, and only then write that the stage is over.

    Its pods are waited for, but not for ever: once it is being deleted, nothing can bring it back.
    """
    mine = ours(view, record.rollout_uid)
    if mine is not None and not mine.deleting:
        text = f"deletes its canary Deployment {mine.short}"
        return marks.standing(stage, record, message=text, actions=(DeleteCanary(view.ref, mine.short),))
    if mine is not None and not marks.expired(record, brief):
        text = f"waits for the pods of its canary Deployment {mine.short} to end"
        return marks.standing(stage, record, message=text, wake=marks.deadline(record, brief))
    # The cache may not have heard of it yet: it is looked for once more.
    last = replace(last, record=replace(last.record, part=None))
    found = marks.standing(stage, record, message=last.record.message, actions=(*dismissal(view, record), last))
    return replace(found, reason=last.record.reason)


def stray(view: WorkloadView, brief: Brief) -> Standing | None:
    """Take away a canary that no record names: who made it was deposed meanwhile, or somebody removed the record."""
    mine = ours(view, brief.rollout.uid)
    if mine is None:
        return None
    text = f"its canary Deployment {mine.short} goes, which no record names"
    actions = () if mine.deleting else (DeleteCanary(view.ref, mine.short),)
    return Standing(Stage.RESTORING, Stage.RESTORING.value, text, actions=actions)
