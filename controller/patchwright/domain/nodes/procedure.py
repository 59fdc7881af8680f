"""One node from its cordon to its uncordon, and back.

Forward: Preparing and Prepared where the change has a prepare step, Draining, Applying (the apply Job, a reboot, the
verify Job), Done. Back: RollbackDraining, RollingBack (the rollback Job, a reboot), RolledBack. Each durable stage is
written before what it announces is done, so that a crash between any two requests leaves a record that says at least as
much as has happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import assert_never

from patchwright.domain import selection
from patchwright.domain.actions import Action, JobStep, Uncordon
from patchwright.domain.actions import Mark as WriteRecord
from patchwright.domain.model import NodeTarget
from patchwright.domain.nodes import balancers, drain, draining, jobs, marks, orphans, preparing, spans
from patchwright.domain.nodes.record import Mark, Record
from patchwright.domain.nodes.view import NodeView
from patchwright.domain.targets import Brief, Stage, Standing

_FRESH = Standing(Stage.FRESH, Stage.FRESH.value)
_CURRENT = Standing(Stage.CURRENT, Stage.CURRENT.value)


class NodeKind:
    """How nodes are patched; implements ``domain.targets.TargetKind``."""

    noun = "node"
    hint = "check target.nodes.selector"
    remedy = "check what is on it and uncordon it"

    def stand(self, target: NodeView, brief: Brief) -> Standing:
        """Say where a node stands and what goes on with it."""
        record = target.record
        if record is None or record.rollout_uid != brief.rollout.uid:
            return _untouched(target, record, brief)
        return _touched(target, record, brief)

    def begin(self, target: NodeView, brief: Brief, *, wave: int) -> Sequence[Action]:
        """Cordon the node and write who did it, in one patch; the pods are listed once the cordon has settled.

        Where the change has a prepare step, that comes first, and the node is begun with again once it is prepared.
        """
        rollout, known = brief.rollout, target.record
        if known is not None and known.rollout_uid == rollout.uid:
            return (marks.draining(target, known, brief),)
        record = Record(
            rollout=str(rollout.key),
            rollout_uid=rollout.uid,
            change_id=rollout.change_id,
            mark=Mark.DRAINING,
            wave=wave,
            started_at=brief.now,
            since=brief.now,
            cordoned=True,
            boot_id=target.boot_id,
            previous=target.installed,
        )
        if rollout.script.prepare is not None:
            return preparing.begin(target, record, brief)
        return (balancers.cordon(target, record, brief),)

    def put_back(self, target: NodeView, brief: Brief, *, why: str) -> Sequence[Action]:
        """Begin to restore: at once where nothing was applied, by the rollback Job where something may have been."""
        record = target.record
        if record is None:
            return ()
        if preparing.unseen(target, record, brief):
            return ()
        if running := [job for job in target.jobs.values() if job.outcome is None and job.step is not JobStep.ROLLBACK]:
            # Two package managers at once would be worse than either version: the old Job has to be gone first.
            return preparing.stop(target, record, running)
        if not record.applied:
            return (marks.give_back(target, record, brief, reason=record.reason or why),)
        if not brief.policy.rollback.enabled:
            return (marks.quarantine(target, record, brief, "RollbackDisabled", "rollback is disabled by the policy"),)
        if brief.rollout.script.rollback is None:
            text = "the change has no rollback step, and the policy had rollback disabled when it began"
            return (marks.quarantine(target, record, brief, "RollbackImpossible", text),)
        return _turn_back(target, record, brief)

    def release(self, target: NodeView, brief: Brief, *, forget: bool) -> Sequence[Action]:
        """Remove our annotation, and our cordon from a node that nothing was done to.

        There is one when a cordon was taken for failed and arrives late. A quarantined node's cordon is a person's, and
        the label that came with it is too.
        """
        record = target.record
        if record is None or record.rollout_uid != brief.rollout.uid:
            return ()
        if record.mark is Mark.QUARANTINED and not forget:
            return ()
        keep = record.applied or not record.cordoned
        return (Uncordon(target.ref, None, keep_cordon=keep, include=not keep and balancers.ours(target, record)),)

    def longest(self, brief: Brief) -> timedelta:
        """Add up what the drain and the Jobs may take, each of which has a time of its own."""
        return spans.longest(brief.policy.strategy, brief.policy.drain)

    def refusal(self, brief: Brief) -> tuple[str, str] | None:
        """Refuse a change that could not be put back though the policy promises it (L4)."""
        if not isinstance(brief.policy.target, NodeTarget):
            return "WrongTarget", (
                f"policy {brief.policy.key.name} targets workloads, and spec.change.script is for nodes: "
                "name a policy that targets nodes, or change images"
            )
        if brief.policy.rollback.enabled and brief.rollout.script.rollback is None:
            return "RollbackImpossible", (
                "spec.change.script has no rollback step, but the policy's rollback.enabled is true: "
                "give the change a rollback step, or set rollback.enabled to false in the policy"
            )
        return None


def _untouched(node: NodeView, record: Record | None, brief: Brief) -> Standing:
    if not (node.record_fault or record) and node.installed == brief.rollout.change_id:
        return _CURRENT
    found = _obstacle(node, record) or _undrainable(node, brief)
    if found is None:
        return _FRESH
    return Standing(Stage.SKIPPED, Stage.SKIPPED.value, message=found[1], reason=found[0])


def _obstacle(node: NodeView, record: Record | None) -> tuple[str, str] | None:
    """Say why an untouched node cannot be started now; who is at work on it comes before what it looks like."""
    if node.record_fault:
        return "StateUnreadable", (
            f"its annotation patchwright.dev/state cannot be read: {node.record_fault}; "
            "remove the annotation when nothing is at work on the node"
        )
    if record is not None:
        return _claimed(record)
    return _mark_of_others(node) or _condition(node)


def _claimed(record: Record) -> tuple[str, str]:
    """Say what another rollout's record means for this one."""
    if record.reason == orphans.GONE:
        return record.reason, record.message
    if record.mark is Mark.QUARANTINED:
        return "Quarantined", (
            f"rollout {record.rollout} gave it up; check what is on it, then remove its annotation "
            f"patchwright.dev/state and uncordon it ({record.message})"
        )
    return "NodeConflict", f"rollout {record.rollout} is at work on it"


def _mark_of_others(node: NodeView) -> tuple[str, str] | None:
    if node.opted_out:
        return "OptedOut", f"it is kept out by {node.opted_out}"
    if node.foreign:
        return "Busy", f"{node.foreign} is at work on it"
    if node.paused:
        return "Paused", "its annotation patchwright.dev/paused is true"
    return None


def _condition(node: NodeView) -> tuple[str, str] | None:
    if found := _leaving(node):
        return found
    return None if node.ready else ("NotReady", f"it is not Ready{_because(node)}")


def _leaving(node: NodeView) -> tuple[str, str] | None:
    if node.deleting:
        return "Deleting", "it is being deleted"
    if node.unschedulable:
        return "CordonedByOther", "somebody else cordoned it; uncordon it to have it patched"
    return None


def _undrainable(node: NodeView, brief: Brief) -> tuple[str, str] | None:
    """Leave alone what can never be emptied: a cordon, and a drain up to its timeout, would be for nothing."""
    why = "" if node.alone else drain.hopeless(node.stuck, brief.policy.drain)
    return ("DrainBlocked", why) if why else None


def _because(node: NodeView) -> str:
    return f": {node.not_ready_why}" if node.not_ready_why else ""


def _off(node: NodeView, record: Record, brief: Brief) -> tuple[str, str] | None:
    """Say why a node may not be cordoned though it was claimed: what keeps off an untouched one keeps off this too.

    Not Ready under its prepare Job is the Job's affair; when it was prepared and waits for its cordon, it is not.
    """
    target = brief.policy.target
    if not (isinstance(target, NodeTarget) and selection.matches(target.selector, node.labels)):
        return "NotSelected", "the policy does not select it any more"
    if record.mark is not Mark.PREPARED:
        return _mark_of_others(node) or _leaving(node)
    return _mark_of_others(node) or _condition(node) or _undrainable(node, brief)


def _touched(node: NodeView, record: Record, brief: Brief) -> Standing:
    match record.mark:
        case Mark.PREPARING | Mark.PREPARED:
            return preparing.stand(node, record, brief, obstacle=_off(node, record, brief))
        case Mark.DRAINING:
            return draining.forward(node, record, brief)
        case Mark.APPLYING:
            return jobs.applying(node, record, brief)
        case Mark.DONE:
            return _done(node, record, brief)
        case Mark.FAILED:
            return marks.standing(Stage.FAILED, record)
        case Mark.UNDRAINING:
            return draining.back(node, record, brief)
        case Mark.REVERTING:
            return jobs.reverting(node, record, brief)
        case Mark.RESTORED:
            return marks.standing(Stage.RESTORED, record)
        case Mark.QUARANTINED:
            return marks.standing(Stage.QUARANTINED, record)
        case _ as never:
            assert_never(never)


def _done(node: NodeView, record: Record, brief: Brief) -> Standing:
    seconds = (record.since - record.started_at).total_seconds()
    if record.wave >= brief.watched_from and not node.ready and not brief.turning_back:
        message = f"it is not Ready after the patch{_because(node)}"
        failed = marks.fail(node, record, brief, "NodeNotReady", message)
        return marks.standing(Stage.FAILED, failed.record, actions=(failed,))
    return Standing(Stage.DONE, Mark.DONE.value, record.message, wave=record.wave, since=record.since, seconds=seconds)


def _turn_back(node: NodeView, record: Record, brief: Brief) -> Sequence[Action]:
    """Go to the rollback Job, through a drain unless the node is still cordoned and drained by us."""
    if record.cordoned and node.unschedulable:
        # Still ours and drained from the way forward: nothing could be scheduled here since.
        return WriteRecord(node.ref, marks.reverting(node, record, brief)), jobs.start(node, brief, JobStep.ROLLBACK)
    # Cordoned by a person after we had finished: work under that cordon, and leave it as it is (L5).
    ours = not node.unschedulable
    again = replace(record, mark=Mark.UNDRAINING, started_at=brief.now, since=brief.now, cordoned=ours)
    return (balancers.cordon(node, again, brief) if ours else WriteRecord(node.ref, again),)
