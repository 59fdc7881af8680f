"""The way back: when a rollout is halted, how far it is undone, and in which order."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from patchwright.domain import budget, endings, waves
from patchwright.domain.model import RollbackScope
from patchwright.domain.snapshot import Batch, Context, Decision, Snapshot, earliest
from patchwright.domain.state import Cause, Phase
from patchwright.domain.survey import ACTIVE, SOAKING, Stand
from patchwright.domain.targets import Note, Stage, Target

DELETED = "Deleted"
ABORTED = "Aborted"
POLICY_DELETED = "PolicyDeleted"
PEOPLE = frozenset({DELETED, ABORTED, POLICY_DELETED})


def by_people(snapshot: Snapshot) -> bool:
    """Tell whether people asked for the rollout to be undone."""
    return _asked(snapshot) is not None


def _asked(snapshot: Snapshot) -> tuple[str, str] | None:
    if snapshot.rollout.deleting:
        ignored = snapshot.rollout.ignored
        return DELETED, "the rollout is being deleted" + (f" (passed over: {'; '.join(ignored)})" if ignored else "")
    if snapshot.rollout.abort:
        return ABORTED, "aborted by the annotation patchwright.dev/abort"
    if snapshot.policy.deleting:
        return POLICY_DELETED, f"policy {snapshot.policy.key.name} is being deleted"
    return None


def cause(context: Context) -> Cause | None:
    """Say why the rollout must be halted and put back, if it must; once recorded, the cause stays."""
    if context.state.cause is not None:
        return context.state.cause
    if asked := _asked(context.snapshot):
        return Cause(asked[0], asked[1], context.now)
    return _canary_failed(context) or _too_many(context) or _unhealthy(context)


def _canary_failed(context: Context) -> Cause | None:
    """L2: a failed canary never becomes healthy, so nothing else may follow it, whatever the threshold."""
    first = context.survey.first_failure
    if first is None or context.state.wave > 0:
        return None
    text = f"canary {first.name} failed: {first.message}"
    return Cause(_reason(context, first, "CanaryFailed"), text, context.now, first.name)


def _too_many(context: Context) -> Cause | None:
    """L3: past the threshold nothing new is touched."""
    survey = context.survey
    limit = budget.threshold(context.policy.strategy.failure_threshold, survey.total)
    first = survey.first_failure
    if survey.failures < limit or first is None:
        return None
    count = f"{survey.failures} of {survey.total} failed (failureThreshold {limit})"
    text = f"{count}, first {first.name}: {first.message}"
    return Cause(_reason(context, first, "FailureThreshold"), text, context.now, first.name)


def _reason(context: Context, first: Note, blamed: str) -> str:
    """Blame the change only if it was begun on a target that failed (L9).

    A drain that a budget blocked and a node that somebody deleted say nothing about the version.
    """
    changed = any(stand.standing.failed and not stand.standing.unchanged for stand in context.survey.touched)
    return blamed if changed else first.reason or blamed


def _unhealthy(context: Context) -> Cause | None:
    changed = context.state.widened_at is not None or len(context.survey.touched) > len(context.survey.claimed)
    if not (context.verdict.failed and changed):
        return None
    return Cause("HealthCheckFailed", context.verdict.message, context.now)


def step(context: Context, why: Cause) -> Decision:
    """Put back what the policy's scope says, and end once nothing is left to do."""
    batches = _settle(context, why)
    waiting = [stand for stand in context.survey.at(*SOAKING) if _undoes(context, stand, why)]
    batches += _turn(context, waiting, why)
    left = len(waiting) + len(context.survey.at(*ACTIVE))
    if not left:
        return endings.undone(context, why)
    message = f"rolling back ({left} to go): {why.message}"
    state = replace(
        context.state, phase=Phase.ROLLING_BACK, message=message, cause=why, soak_since=None, soak_until=None
    )
    wakes = [stand.standing.wake for stand in context.survey.at(*ACTIVE)]
    return Decision(state, tuple(batch for batch in batches if batch), earliest(*wakes))


def _settle(context: Context, why: Cause) -> list[Batch]:
    """Carry on what goes back, put back what failed, and turn round what is on its way forward.

    A target that the change was not begun on yet is given back whatever the scope: nothing new is touched (L3). For one
    that is only claimed, there is no other way on.
    """
    survey, kind, brief = context.survey, context.snapshot.kind, context.brief
    batches = [stand.standing.actions for stand in survey.at(Stage.RESTORING)]
    batches += [tuple(kind.put_back(target, brief, why=why.reason)) for target in survey.claimed]
    batches += [
        stand.standing.actions or tuple(kind.put_back(stand.target, brief, why=why.reason))
        for stand in survey.at(Stage.FAILED)
    ]
    for stand in survey.at(Stage.WORKING):
        turn = stand.standing.settled and (stand.standing.unchanged or _undoes(context, stand, why))
        back = tuple(kind.put_back(stand.target, brief, why=why.reason)) if turn else ()
        batches.append(back or stand.standing.actions)
    return batches


def _undoes(context: Context, stand: Stand, why: Cause) -> bool:
    """Tell whether a target is put back; what is changed in a part of it only has no other way on."""
    if stand.standing.stage is Stage.PARTLY:
        return True
    return context.policy.rollback.enabled and _in_scope(context, stand, why)


def _in_scope(context: Context, stand: Stand, why: Cause) -> bool:
    if why.reason in PEOPLE:
        return True
    match context.policy.rollback.scope:
        case RollbackScope.ALL:
            return True
        case RollbackScope.WAVE:
            return stand.standing.wave == context.state.wave
        case RollbackScope.TARGET:
            return False
        case _ as never:
            assert_never(never)


def _turn(context: Context, waiting: list[Stand], why: Cause) -> list[Batch]:
    """Begin to put back patched targets, as many at once as the budget allows, and one at least (L1).

    At least one, because a fleet whose budget is used up by others could otherwise never be restored. Those that the
    patch has made unavailable take no room: putting them back costs nothing.
    """
    survey, strategy = context.survey, context.policy.strategy
    others = survey.unavailable - sum(not stand.target.available for stand in waiting)
    limit = budget.room(strategy.max_unavailable, total=survey.total, unavailable=others)
    if not survey.at(Stage.WORKING, Stage.FAILED, Stage.RESTORING):
        limit = max(1, limit)
    ordered = waves.fleet_order([stand.target for stand in waiting])
    one_domain = strategy.topology_key is not None
    picked = waves.startable(ordered, busy=survey.busy, limit=limit, one_domain=one_domain)
    return _put_back(context, picked, why)


def _put_back(context: Context, picked: list[Target], why: Cause) -> list[Batch]:
    """Put back several at once; whoever is taken out of load balancers is none that the next one may count on."""
    kind, brief = context.snapshot.kind, context.brief
    batches: list[Batch] = []
    for target in picked:
        batches.append(tuple(kind.put_back(target, brief, why=why.reason)))
        brief = replace(brief, backends=brief.backends - {target.uid})
    return batches
