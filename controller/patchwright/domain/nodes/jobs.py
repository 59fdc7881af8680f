"""A node while a Job of ours is at work on it: apply, reboot, verify; or rollback, reboot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from patchwright.domain import names, spelling
from patchwright.domain.actions import Action, Cordon, DeleteJob, JobStep, StartJob
from patchwright.domain.actions import Mark as WriteRecord
from patchwright.domain.model import Reboot
from patchwright.domain.nodes import marks, result
from patchwright.domain.nodes.record import Mark, Record
from patchwright.domain.nodes.view import JobView, NodeView, Outcome
from patchwright.domain.targets import Brief, Stage, Standing

# A pod that cannot even start: some reasons never heal, a failed pull may (a registry that hiccups).
HOPELESS = frozenset({"InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError", "CreateContainerError"})
PULLING = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable"})
PULL_PATIENCE = timedelta(seconds=30)
# The Job is seen to end before its pod's termination message sometimes; this long it is waited for.
MESSAGE_PATIENCE = timedelta(seconds=5)

# A Job that was asked for is seen this much later at most, also when the answer to the request was lost. Until then a
# node is not turned round: its rollback would run beside an apply Job that is on its way.
SEEN = timedelta(seconds=10)

GiveUp = Callable[[str, str], tuple[Action, ...]]


def start(node: NodeView, brief: Brief, step: JobStep) -> StartJob:
    """Give the action that creates a step's Job, under the one name it can have (L12)."""
    return StartJob(node.ref, step, names.job(brief.rollout.uid, node.uid, step))


def applying(node: NodeView, record: Record, brief: Brief) -> Standing:
    """Carry a drained node through apply, reboot and verify."""

    def give_up(reason: str, message: str) -> tuple[Action, ...]:
        return (marks.fail(node, record, brief, reason, message),)

    job = node.jobs.get(JobStep.APPLY)
    if again := _recordon(node, record, Stage.WORKING):
        standing = again
    elif job is None and JobStep.VERIFY not in node.jobs:
        standing = _create(node, record, brief, step=JobStep.APPLY, stage=Stage.WORKING, give_up=give_up)
    elif job is not None and (pending := _pending(record, brief, job=job, give_up=give_up)):
        standing = pending
    elif waiting := _reboot(node, record, brief, job=job, stage=Stage.WORKING, give_up=give_up):
        standing = waiting
    else:
        standing = _verify(node, record, brief, give_up=give_up)
    return standing


def reverting(node: NodeView, record: Record, brief: Brief) -> Standing:
    """Carry a node back through its rollback Job and a reboot."""

    def give_up(reason: str, message: str) -> tuple[Action, ...]:
        name = f"Rollback{reason.removeprefix('Rollback')}"
        return (marks.quarantine(node, record, brief, name, f"its rollback failed: {message}"),)

    job = node.jobs.get(JobStep.ROLLBACK)
    if again := _recordon(node, record, Stage.RESTORING):
        return again
    if late := _late(node, record):
        return late
    if job is None:
        return _create(node, record, brief, step=JobStep.ROLLBACK, stage=Stage.RESTORING, give_up=give_up)
    if pending := _pending(record, brief, job=job, give_up=give_up):
        return pending
    if waiting := _reboot(node, record, brief, job=job, stage=Stage.RESTORING, give_up=give_up):
        return waiting
    return marks.standing(
        Stage.RESTORING, record, message="is put back", actions=(marks.restored(node, record, brief),)
    )


def _late(node: NodeView, record: Record) -> Standing | None:
    """Stop a Job of the way forward that is seen only now, before anything else is done to the node."""
    running = [job for job in node.jobs.values() if job.outcome is None and job.step is not JobStep.ROLLBACK]
    if not running:
        return None
    doomed = tuple(DeleteJob(node.ref, job.name, job.uid) for job in running if not job.deleting)
    message = f"waits for its {running[0].step} Job to be gone"
    return _unsettled(marks.standing(Stage.RESTORING, record, message=message, actions=doomed))


def _recordon(node: NodeView, record: Record, stage: Stage) -> Standing | None:
    """Cordon again a node that somebody uncordoned under a running Job: pods that land there may be rebooted."""
    if node.unschedulable:
        return None
    message = "somebody uncordoned it while it was being worked on; cordoned again"
    again = Cordon(node.ref, replace(record, cordoned=True))
    return _unsettled(marks.standing(stage, record, message=message, actions=(again,)))


def _create(node: NodeView, record: Record, brief: Brief, *, step: JobStep, stage: Stage, give_up: GiveUp) -> Standing:
    if _expired(record, brief):
        return _over(record, stage, give_up, "DeadlineExceeded", f"no {step} Job within {_span(brief)}")
    if step is JobStep.APPLY and brief.turning_back and brief.now < record.since + SEEN:
        message = "waits to see whether its apply Job exists"
        return _unsettled(marks.standing(stage, record, message=message, wake=record.since + SEEN))
    actions: tuple[Action, ...] = (start(node, brief, step),)
    if step is not JobStep.VERIFY:
        # The Job was lost, or is not seen yet. A write that fails for whoever looks at an old node goes first: after a
        # pause of its process, a deposed leader would run the change again on a node that was put back since (L10).
        actions = (WriteRecord(node.ref, record), *actions)
    return marks.standing(stage, record, message=f"starts its {step} Job", actions=actions)


def _pending(record: Record, brief: Brief, *, job: JobView, give_up: GiveUp) -> Standing | None:
    """Say what a Job's state asks for; ``None`` once it has succeeded and said what it had to say."""
    stage = Stage.RESTORING if record.mark is Mark.REVERTING else Stage.WORKING
    if job.outcome is Outcome.FAILED:
        return _over(record, stage, give_up, f"{job.step.title()}Failed", how_failed(job))
    if job.outcome is Outcome.SUCCEEDED:
        if job.termination is None and job.finished_at and brief.now < job.finished_at + MESSAGE_PATIENCE:
            return marks.standing(
                stage, record, message=f"{job.step} Job has ended", wake=job.finished_at + MESSAGE_PATIENCE
            )
        return None
    if why := cannot_start(job, brief.now):
        return _over(record, stage, give_up, "PodCannotStart", why)
    if _expired(record, brief):
        return _over(
            record,
            stage,
            give_up,
            "DeadlineExceeded",
            f"{job.step} Job still runs after {_span(brief)}",
        )
    waits = f" ({job.waiting})" if job.waiting else ""
    wake = job.created_at + PULL_PATIENCE if job.waiting else record.since + _limit(brief)
    running = marks.standing(stage, record, message=f"runs its {job.step} Job{waits}", wake=wake)
    return _unsettled(running)


def _reboot(
    node: NodeView, record: Record, brief: Brief, *, job: JobView | None, stage: Stage, give_up: GiveUp
) -> Standing | None:
    """Wait for a due reboot, proven by the boot ID, and for the node to be Ready after it.

    Ready alone is stale for most of a minute after power-off; only a new boot ID with Ready is a proof.
    """
    wants = brief.rollout.script.reboot
    asked = result.parse(job.termination if job else None).reboot_required
    due = wants is Reboot.ALWAYS or (wants is Reboot.WHEN_REQUESTED and asked is True)
    if due and node.boot_id == record.boot_id:
        waits = "reboots"
    elif not node.ready:
        waits = "is not Ready"
        if wants is Reboot.NEVER and stage is Stage.WORKING:
            why = f": {node.not_ready_why}" if node.not_ready_why else ""
            return _over(record, stage, give_up, "NodeNotReady", f"it is not Ready after the patch{why}")
    else:
        return None
    if _expired(record, brief):
        return _over(record, stage, give_up, "DeadlineExceeded", f"it {waits} still after {_span(brief)}")
    standing = marks.standing(stage, record, message=f"{waits} after its Job", wake=record.since + _limit(brief))
    return _unsettled(standing) if due else standing


def _verify(node: NodeView, record: Record, brief: Brief, *, give_up: GiveUp) -> Standing:
    job = node.jobs.get(JobStep.VERIFY)
    if brief.rollout.script.verify is not None:
        if job is None:
            return _create(node, record, brief, step=JobStep.VERIFY, stage=Stage.WORKING, give_up=give_up)
        if pending := _pending(record, brief, job=job, give_up=give_up):
            return pending
    last = job or node.jobs.get(JobStep.APPLY)
    said = result.parse(last.termination if last else None)
    wanted = brief.rollout.script.version
    if said.version is not None and said.version != wanted:
        # A changed boot ID with the old version: the system took itself back (omni#1552, brupop#123).
        text = f"it reports version {said.version}, not {wanted}"
        return _over(record, Stage.WORKING, give_up, "VersionMismatch", text)
    text = (said.message or f"version {wanted} is on it") + _unsaid(node, brief)
    return marks.standing(
        Stage.WORKING, record, message="is patched", actions=(marks.done(node, record, brief, message=text),)
    )


def _unsaid(node: NodeView, brief: Brief) -> str:
    """Warn of a script that was to say whether a reboot is due, and did not: that is taken for no (kured#976)."""
    job = node.jobs.get(JobStep.APPLY)
    if brief.rollout.script.reboot is not Reboot.WHEN_REQUESTED or job is None:
        return ""
    if result.parse(job.termination).reboot_required is not None:
        return ""
    return "; its apply Job did not say rebootRequired, so it was not rebooted"


def _over(record: Record, stage: Stage, give_up: GiveUp, reason: str, message: str) -> Standing:
    over = marks.standing(stage, record, message=message, actions=give_up(reason, message))
    return replace(over, reason=reason, failing=True)


def _unsettled(standing: Standing) -> Standing:
    """Mark a node that must not be turned round now: a package manager stopped half-way helps nobody."""
    return replace(standing, settled=False)


def cannot_start(job: JobView, now: datetime) -> str:
    """Say why a Job's pod will never start; empty as long as it may."""
    if job.waiting in HOPELESS or (job.waiting in PULLING and now >= job.created_at + PULL_PATIENCE):
        return f"the {job.step} Job's pod cannot start: {job.waiting}"
    return ""


def how_failed(job: JobView) -> str:
    """Say how a Job failed, in its own words where it has some."""
    said = result.parse(job.termination).message
    code = f" with exit code {job.exit_code}" if job.exit_code is not None else ""
    why = said or job.message or job.reason
    return f"its {job.step} Job failed{code}" + (f": {why}" if why else "")


def _expired(record: Record, brief: Brief) -> bool:
    return brief.now >= record.since + _limit(brief)


def _limit(brief: Brief) -> timedelta:
    return brief.policy.strategy.progress_deadline


def _span(brief: Brief) -> str:
    return spelling.duration(_limit(brief))
