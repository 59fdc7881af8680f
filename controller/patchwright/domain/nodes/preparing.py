"""A node that is being prepared: its prepare Job runs before the cordon, while the node takes pods as before.

What the change needs (an image, packages) is fetched here, where one that is missing costs nothing; k3s#11416 and
rke2#2737 cordoned nodes for images that were not there. Nothing is undone on such a node: whoever wants it back gets it
at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from patchwright.domain import spelling
from patchwright.domain.actions import Action, DeleteJob, JobStep, Uncordon
from patchwright.domain.actions import Mark as WriteRecord
from patchwright.domain.nodes import jobs, marks
from patchwright.domain.nodes.record import Mark, Record
from patchwright.domain.nodes.view import JobView, NodeView, Outcome
from patchwright.domain.targets import Brief, Stage, Standing

FAILED = "PrepareFailed"
# When it was asked for is written each time, and what is written wakes the next round: without a pause an API server
# that refuses Jobs would be asked as fast as it answers.
ASK_AGAIN = timedelta(seconds=5)


def begin(node: NodeView, record: Record, brief: Brief) -> tuple[Action, ...]:
    """Claim a node and start its prepare Job; the record says so before the Job may exist."""
    return WriteRecord(node.ref, replace(record, mark=Mark.PREPARING, cordoned=False)), _job(node, brief)


def unseen(node: NodeView, record: Record, brief: Brief) -> bool:
    """Tell whether a prepare Job may be on its way: until then nobody can say that there is none to be stopped."""
    asked = record.mark is Mark.PREPARING and _seen(node) is None
    return asked and brief.now < record.since + jobs.SEEN


def stop(node: NodeView, record: Record, running: Sequence[JobView]) -> tuple[Action, ...]:
    """Delete Jobs, behind a write that fails for whoever looks at an old node: it could stop what came after (L10)."""
    doomed = tuple(DeleteJob(node.ref, job.name, job.uid) for job in running if not job.deleting)
    return (WriteRecord(node.ref, record), *doomed) if doomed else ()


def stand(node: NodeView, record: Record, brief: Brief, *, obstacle: tuple[str, str] | None) -> Standing:
    """Carry a node through its prepare Job; ``obstacle`` is why it may not be cordoned any more, whatever that says."""
    job = _seen(node)
    if obstacle is not None:
        standing = _given_back(node, record, brief, obstacle=obstacle, job=job)
    elif record.mark is Mark.PREPARED:
        standing = _prepared(node, record, brief)
    elif job is None:
        standing = _create(node, record, brief)
    else:
        standing = _pending(node, record, brief, job=job) or _ended(node, record, brief)
    if not unseen(node, record, brief):
        return standing
    # Whoever wants to turn it round looks again when it is known whether there is a Job.
    return replace(standing, settled=False, wake=standing.wake or record.since + jobs.SEEN)


def _seen(node: NodeView) -> JobView | None:
    """Give its prepare Job; that of an older node of its name, which is gone, says nothing about this one."""
    job = node.jobs.get(JobStep.PREPARE)
    return job if job is not None and job.node_uid == node.uid else None


def _job(node: NodeView, brief: Brief) -> Action:
    return jobs.start(node, brief, JobStep.PREPARE)


def _given_back(
    node: NodeView, record: Record, brief: Brief, *, obstacle: tuple[str, str], job: JobView | None
) -> Standing:
    """Leave the node to whoever wants it (L5): it is as if its turn had not come, and its turn may come again."""
    actions: tuple[Action, ...] = (Uncordon(node.ref, None, keep_cordon=True),)
    if unseen(node, record, brief):
        actions = ()
    elif job is not None and job.outcome is None:
        actions = stop(node, record, (job,))
    message = f"is given back before its cordon: {obstacle[1]}"
    standing = marks.standing(Stage.PREPARING, record, message=message, actions=actions)
    return replace(standing, reason=obstacle[0])


def _create(node: NodeView, record: Record, brief: Brief) -> Standing:
    """Ask for the Job (again), and write when: from then on it may be on its way."""
    message, again = "starts its prepare Job", record.since + ASK_AGAIN
    if brief.now < again:
        return marks.standing(Stage.PREPARING, record, message=message, wake=again)
    if brief.now < _deadline(record, brief):
        actions = WriteRecord(node.ref, replace(record, since=brief.now)), _job(node, brief)
        return marks.standing(Stage.PREPARING, record, message=message, actions=actions)
    if unseen(node, record, brief):
        message = "waits to see whether its prepare Job exists"
        return marks.standing(Stage.PREPARING, record, message=message)
    return _failed(node, record, brief, f"no prepare Job within {_span(brief)}")


def _pending(node: NodeView, record: Record, brief: Brief, *, job: JobView) -> Standing | None:
    """Say what the Job's state asks for; ``None`` once it has succeeded."""
    if job.outcome is Outcome.SUCCEEDED:
        return None
    if job.outcome is Outcome.FAILED:
        return _failed(node, record, brief, jobs.how_failed(job))
    if why := jobs.cannot_start(job, brief.now):
        return _failed(node, record, brief, f"{why} (image {_image(brief)})")
    deadline = _deadline(record, brief)
    if brief.now >= deadline:
        return _failed(node, record, brief, f"its prepare Job still runs after {_span(brief)}")
    waits = f" ({job.waiting})" if job.waiting else ""
    wake = job.created_at + jobs.PULL_PATIENCE if job.waiting else deadline
    return marks.standing(Stage.PREPARING, record, message=f"runs its prepare Job{waits}", wake=wake)


def _ended(node: NodeView, record: Record, brief: Brief) -> Standing:
    """Take the Job's success for what it is only if the node has borne it: nothing else had been done to it."""
    if node.ready:
        return _prepared(node, record, brief)
    why = f": {node.not_ready_why}" if node.not_ready_why else ""
    return _failed(node, record, brief, f"it is not Ready after its prepare Job{why}", reason="NodeNotReady")


def _prepared(node: NodeView, record: Record, brief: Brief) -> Standing:
    """Wait to be cordoned; written down where that is not at once, because the Job is not there for ever."""
    after = replace(record, mark=Mark.PREPARED, since=brief.now)
    actions = () if record.mark is Mark.PREPARED else (WriteRecord(node.ref, after),)
    return marks.standing(Stage.PREPARED, record, message="is prepared", actions=actions)


def _failed(node: NodeView, record: Record, brief: Brief, message: str, *, reason: str = FAILED) -> Standing:
    actions = (marks.fail(node, record, brief, reason, message),)
    failed = marks.standing(Stage.PREPARING, record, message=message, actions=actions)
    return replace(failed, reason=reason, failing=True)


def _image(brief: Brief) -> str:
    change = brief.rollout.script
    return (change.prepare.image if change.prepare else None) or change.image


def _deadline(record: Record, brief: Brief) -> datetime:
    return record.started_at + _limit(brief)


def _limit(brief: Brief) -> timedelta:
    return brief.policy.strategy.progress_deadline


def _span(brief: Brief) -> str:
    return spelling.duration(_limit(brief))
