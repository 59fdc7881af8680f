"""How rollouts end: the outcome is recorded, every mark is removed, and only then is the phase terminal (L6)."""

from __future__ import annotations

from dataclasses import replace

from patchwright.domain.actions import DeleteJobs, DropFinalizer, Remember
from patchwright.domain.snapshot import Batch, Context, Decision, earliest
from patchwright.domain.state import Cause, Phase
from patchwright.domain.survey import ACTIVE, CLAIMED, VANISHED
from patchwright.domain.targets import Stage

# What the change itself is blamed for; anything else may be tried again without being asked for.
BLAMED = frozenset({"CanaryFailed", "FailureThreshold", "HealthCheckFailed"})


def end(context: Context, outcome: Phase, cause: Cause) -> Decision:
    """Record how the rollout ends; the marks are removed next."""
    state = replace(context.state, outcome=outcome, cause=cause, message=cause.message)
    return Decision(state, again=True)


def succeed(context: Context) -> Decision:
    """Everything that could be patched is, and has soaked."""
    survey = context.survey
    updated = len(survey.at(Stage.DONE, Stage.CURRENT))
    noun = context.snapshot.kind.noun
    message = f"{updated} of {survey.total} {noun}s have version {context.snapshot.rollout.change.version}"
    skipped = sorted(survey.at(Stage.SKIPPED), key=lambda stand: stand.target.name)
    if skipped:
        first = skipped[0]
        more = f" and {len(skipped) - 1} more" if len(skipped) > 1 else ""
        message += f"; left out: {first.target.name} ({first.standing.message}){more}"
    if failed := survey.at(Stage.RESTORED, Stage.QUARANTINED):
        message += f"; failed: {len(failed)}, first {min(stand.target.name for stand in failed)}"
    if survey.lost:
        message += f"; lost: {len(survey.lost)}, first {survey.lost[0].name}"
    state = replace(context.state, outcome=Phase.SUCCEEDED, message=message, soak_since=None, soak_until=None)
    return Decision(state, again=True)


def undone(context: Context, cause: Cause) -> Decision:
    """Everything that had to be put back is."""
    survey = context.survey
    restored = len(survey.at(Stage.RESTORED))
    gone = [note.name for note in survey.lost if note.reason == VANISHED]
    stuck = sorted(stand.target.name for stand in survey.at(Stage.QUARANTINED))
    stuck += [note.name for note in survey.lost if note.reason != VANISHED]
    kept = len(survey.at(Stage.DONE))
    parts = [cause.message]
    if restored:
        parts.append(f"put back: {restored}")
    if kept:
        parts.append(f"{kept} keep the new version")
    if gone:
        parts.append(f"gone: {', '.join(gone[:5])}" + (f" and {len(gone) - 5} more" if gone[5:] else ""))
    if stuck:
        parts.append(f"needs a person: {', '.join(stuck[:5])}" + (f" and {len(stuck) - 5} more" if stuck[5:] else ""))
    outcome = Phase.FAILED if stuck or kept else Phase.ROLLED_BACK
    state = replace(context.state, outcome=outcome, cause=cause, message="; ".join(parts))
    return Decision(state, again=True)


def finish(context: Context) -> Decision:
    """Remove every mark of ours; when none is left, the outcome becomes the phase."""
    if late := _late(context):
        return late
    batches = _release(context, forget=context.snapshot.rollout.deleting) + _remember(context)
    if context.snapshot.jobs_left:
        batches += ((DeleteJobs(context.snapshot.rollout.uid),),)
    if batches:
        return Decision(context.state, batches)
    outcome = context.state.outcome
    assert outcome is not None
    state = replace(context.state, phase=outcome, finished_at=context.state.finished_at or context.now)
    return Decision(state, again=context.snapshot.rollout.deleting)


def _late(context: Context) -> Decision | None:
    """Carry back what was begun by an operator that had not seen yet that the rollout was ending (L6, L10).

    Whoever removed the record of a target that is half-way back would leave it cordoned for good; the Job of one that
    is being prepared has to be gone before its record, or seen not to have come. What is changed in a part of it only
    is not left so either.
    """
    survey, kind, brief = context.survey, context.snapshot.kind, context.brief
    late = [
        s for s in survey.at(*ACTIVE, Stage.PARTLY) if s.standing.stage is not Stage.WORKING or not s.standing.unchanged
    ]
    if not late:
        return None
    batches = []
    for stand in late:
        turns = stand.standing.stage is not Stage.RESTORING and stand.standing.settled
        back = tuple(kind.put_back(stand.target, brief, why="Ended")) if turns else ()
        batches.append(back or (() if stand.standing.stage in CLAIMED else stand.standing.actions))
    wake = earliest(*(stand.standing.wake for stand in late))
    return Decision(context.state, tuple(batch for batch in batches if batch), wake)


def _release(context: Context, *, forget: bool) -> tuple[Batch, ...]:
    kind = context.snapshot.kind
    found = (tuple(kind.release(s.target, context.brief, forget=forget)) for s in context.survey.touched)
    return tuple(batch for batch in found if batch)


def _remember(context: Context) -> tuple[Batch, ...]:
    """L9: write down what failed before the rollout is over, so that no later one can miss it."""
    cause = context.state.cause
    if cause is None or cause.reason not in BLAMED or context.snapshot.remembered_here:
        return ()
    if context.policy.deleting:
        # Its memory goes with it, and waiting for a write that cannot succeed would never end.
        return ()
    rollout = context.snapshot.rollout
    return ((Remember(rollout.change_id, rollout.change.version, cause.reason, cause.message),),)


def afterwards(context: Context) -> Decision:
    """Let go of a rollout that has ended and is being deleted; a quarantined target's cordon stays, as a person's."""
    snapshot = context.snapshot
    if late := _late(context):
        return late
    if not (snapshot.rollout.deleting and snapshot.finalizer):
        return Decision(context.state, _release(context, forget=False))
    batches = _release(context, forget=True)
    if snapshot.jobs_left:
        batches += ((DeleteJobs(snapshot.rollout.uid),),)
    return Decision(context.state, batches or ((DropFinalizer(snapshot.rollout.uid),),))
