"""The laws about what is done to a node: L4 restore, L5 human hands, L10 one writer, L12 again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from patchwright.domain.actions import JobStep
from patchwright.domain.nodes import marks
from patchwright.domain.nodes.record import Mark, Record
from support.simulator.laws.base import CLAIMED, Law
from support.simulator.server import OPERATOR, Change
from support.simulator.things import Job, Node

AHEAD = {
    JobStep.PREPARE: frozenset({Mark.PREPARING}),
    JobStep.APPLY: frozenset({Mark.APPLYING}),
    JobStep.VERIFY: frozenset({Mark.APPLYING}),
    JobStep.ROLLBACK: frozenset({Mark.REVERTING}),
}


class Restore(Law):
    """L4: written ahead, and put back exactly."""

    name = "L4 Restore"

    def job(self, job: Job) -> Iterable[str]:
        node = self.cluster.server.get(Node, job.node)
        if job.node in self.cluster.stripped:
            return
        record = node.record if node is not None and node.uid == job.node_uid else None
        if record is None or record.rollout_uid != job.rollout_uid:
            yield f"the {job.step} Job of {job.node} was created without a record on the node"
        elif record.mark not in AHEAD[job.step]:
            yield f"the {job.step} Job of {job.node} was created while its record said {record.mark.value}"
        elif job.step is JobStep.APPLY and not record.applied:
            yield f"the apply Job of {job.node} was created before its record said so"

    def node(self, change: Change) -> Iterable[str]:
        before: Node = change.before
        after: Node | None = change.after
        if after is None:
            return
        disk = self.cluster.hardware.disk(after.uid)
        if before.unschedulable and not after.unschedulable and disk.startswith("half-"):
            yield f"{after.name} was uncordoned with {disk} on it"
        if after.record is None or after.record.mark is not Mark.RESTORED:
            return
        old, new = before.record, after.record
        if old is None or old.mark is Mark.RESTORED:
            return
        was = self.cluster.hardware.before.get((after.uid, new.rollout_uid))
        if was is not None and disk != was:
            yield f"{after.name} was called put back with {disk} on it, not {was}"
        rollout = self.rollout(new.rollout_uid)
        key = marks.label(rollout.spec.policy_name if rollout else "")
        if after.labels.get(key) != new.previous:
            yield f"{after.name} was put back with the label {after.labels.get(key)}, not {new.previous}"

    def end(self) -> Iterable[str]:
        for run in self.cluster.hardware.runs:
            if run.overlapped:
                yield f"on {run.node} the {run.step} Job ran beside {run.overlapped}"


class HumanHands(Law):
    """L5: a cordon of a person stays, and ours comes and goes with its record in one write."""

    name = "L5 Human hands"

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]  # the cluster
        self.theirs: set[str] = set()

    def any(self, change: Change) -> Iterable[str]:
        before: Node | None = change.before if change.kind is Node else None
        after: Node | None = change.after if change.kind is Node else None
        if after is not None and change.actor != OPERATOR:
            if not after.unschedulable:
                self.theirs.discard(after.uid)
            elif before is None or not before.unschedulable:
                self.theirs.add(after.uid)
        return ()

    def start(self, change: Change, record: Record) -> Iterable[str]:
        if change.before.unschedulable:
            yield f"{change.after.name} was started though somebody had cordoned it"

    def node(self, change: Change) -> Iterable[str]:
        before: Node = change.before
        after: Node = change.after
        if after.unschedulable and not before.unschedulable and not (after.record and after.record.cordoned):
            yield f"{after.name} was cordoned without writing who did it"
        if before.unschedulable and not after.unschedulable:
            if after.uid in self.theirs:
                yield f"{after.name} was uncordoned though a person had cordoned it"
            if before.record is None or not before.record.cordoned:
                yield f"{after.name} was uncordoned though its record did not claim the cordon"


class PrepareFirst(Law):
    """Trap 4.20: what the change needs is there before a node is cordoned; where it is not, no node ever is."""

    name = "Prepare first"

    def node(self, change: Change) -> Iterable[str]:
        before: Node = change.before
        after: Node = change.after
        if after.record is not None and after.record.mark in CLAIMED and after.record.cordoned:
            yield f"{after.name} is called cordoned while it is only prepared"
        if before.record is not None and before.record.mark in CLAIMED and before.unschedulable != after.unschedulable:
            rollout = self.rollout(before.record.rollout_uid)
            if after.record is None or after.record.mark is not Mark.DRAINING:
                yield f"{after.name} was cordoned or uncordoned though it was only prepared"
            elif rollout is None or not self._prepared(after, before.record):
                yield f"{after.name} was cordoned though its prepare Job had not succeeded"

    def start(self, change: Change, record: Record) -> Iterable[str]:
        rollout = self.rollout(record.rollout_uid)
        if rollout is not None and rollout.spec.script.prepare is not None and record.mark is Mark.DRAINING:
            known: Record | None = change.before.record
            if known is None or known.mark not in CLAIMED:
                yield f"{change.after.name} was cordoned without having been prepared"

    def _prepared(self, node: Node, record: Record) -> bool:
        runs = self.cluster.hardware.runs
        mine = [r for r in runs if (r.node_uid, r.rollout_uid) == (node.uid, record.rollout_uid)]
        return any(run.step is JobStep.PREPARE and run.ok for run in mine)


class HumanLabels(Law):
    """L5 for the label that keeps load balancers away: it comes with our cordon and its record, and goes with them."""

    name = "L5 Human hands"

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]  # the cluster
        self.theirs: set[str] = set()

    def any(self, change: Change) -> Iterable[str]:
        before: Node | None = change.before if change.kind is Node else None
        after: Node | None = change.after if change.kind is Node else None
        if after is not None and change.actor != OPERATOR and after.excluded != (before.excluded if before else None):
            self.theirs.discard(after.uid)
            self.theirs.update({after.uid} if after.excluded is not None else ())
        return ()

    def node(self, change: Change) -> Iterable[str]:
        before: Node = change.before
        after: Node = change.after
        if after.excluded == before.excluded:
            return
        if after.uid in self.theirs:
            yield f"the label {before.excluded} of a person was taken off {after.name}, or written over"
        if after.excluded is None and (after.unschedulable or before.record is None or not before.record.excluded):
            yield f"{after.name} was given back to load balancers without its uncordon, or without a claim"
        elif after.excluded is not None and (before.unschedulable or not (after.record and after.record.excluded)):
            yield f"{after.name} was taken out of load balancers without its cordon, or without writing who did it"


class OneWriter(Law):
    """L10: one rollout per target at a time."""

    name = "L10 One writer"

    def node(self, change: Change) -> Iterable[str]:
        before: Record | None = change.before.record
        after: Record | None = change.after.record
        if before is not None and after is not None and before.rollout_uid != after.rollout_uid:
            yield f"{change.after.name} was taken from rollout {before.rollout} by {after.rollout}"

    def job(self, job: Job) -> Iterable[str]:
        node = self.cluster.server.get(Node, job.node)
        if node is not None and node.record is not None and node.record.rollout_uid != job.rollout_uid:
            yield f"a Job of {job.rollout_uid} was created on {job.node}, which {node.record.rollout} works on"


class Again(Law):
    """L12: a step that is repeated has no second effect."""

    name = "L12 Again"

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]  # the cluster
        self._given_back: set[tuple[str, JobStep]] = set()

    def any(self, change: Change) -> Iterable[str]:
        # A node that is given back before its cordon is prepared again when its turn comes again.
        if change.kind is Job and change.actor == OPERATOR and change.after is not None:
            job: Job = change.after
            if job.deleting and job.step is JobStep.PREPARE:
                self._given_back.add((job.node, job.step))
        return ()

    def end(self) -> Iterable[str]:
        runs = Counter((r.node, r.node_uid, r.step, r.rollout_uid) for r in self.cluster.hardware.runs)
        deleted = self.cluster.deleted_jobs | self._given_back
        for (node, _, step, rollout), times in runs.items():
            if times > 1 and (node, step) not in deleted and node not in self.cluster.stripped:
                yield f"the {step} Job of {rollout} ran {times} times on {node}"
