"""``decide``: from a snapshot to what is to be done and told.

The order of the rules is the order of their importance: what has ended is cleaned up, what has gone wrong is put back,
and only then may something begin. Each room holds one of them: ``endings``, ``backward``, ``opening``, ``forward``.
"""

from __future__ import annotations

from dataclasses import replace

from patchwright.domain import backward, endings, forward, gates, health, opening, status, survey
from patchwright.domain.snapshot import Batch, Context, Decision, Snapshot
from patchwright.domain.state import TERMINAL
from patchwright.domain.targets import Brief, Target


def decide(snapshot: Snapshot) -> Decision:
    """Say what comes next for a rollout.

    Pure: the same snapshot gives the same decision, and deciding again after a crash anywhere gives no second effect.
    """
    snapshot = _with_answer(snapshot)
    context = _context(snapshot)
    return status.dress(context, _next(context))


def carry_on(snapshot: Snapshot, target: Target) -> Batch:
    """Say what goes on with one target that is at work, as it stands by now; nothing begins or ends by this."""
    standing = snapshot.kind.stand(target, _brief(snapshot))
    return standing.actions if standing.stage in survey.IN_FLIGHT else ()


def _next(context: Context) -> Decision:
    state = context.state
    if state.phase in TERMINAL:
        return endings.afterwards(context)
    if state.outcome is not None:
        return endings.finish(context)
    if cause := backward.cause(context):
        return backward.step(context, cause)
    if context.state.plan is None and _begun(context):
        return opening.again(context)
    if not _begun(context) and (decision := opening.step(context)):
        return decision
    return forward.step(context)


def _begun(context: Context) -> bool:
    """Tell whether there is no way back to the opening, though every target that was touched may be gone by now."""
    return context.state.wave > 0 or bool(context.survey.touched or context.survey.lost)


def _brief(snapshot: Snapshot) -> Brief:
    state = snapshot.state
    return Brief(
        now=snapshot.now,
        rollout=snapshot.rollout,
        policy=snapshot.policy,
        watched_from=state.wave,
        widened=state.widened_at is not None or state.wave > 0,
        turning_back=snapshot.policy.rollback.enabled and (state.cause is not None or backward.by_people(snapshot)),
        ended=state.finished_at if state.phase in TERMINAL else None,
        backends=snapshot.backends,
    )


def _context(snapshot: Snapshot) -> Context:
    state, brief = snapshot.state, _brief(snapshot)
    found = survey.take(snapshot.targets, snapshot.kind, brief, state)
    verdict = health.judge(snapshot.checks, state.baseline, now=snapshot.now)
    return Context(snapshot, found, brief, verdict)


def _with_answer(snapshot: Snapshot) -> Snapshot:
    """Drop an answer that is recorded already; what is left is still to be recorded before anything relies on it."""
    answer, state = snapshot.answer, snapshot.state
    if answer is None or (state.policy is not None and state.policy.at >= answer.at):
        return replace(snapshot, answer=None)
    about_now = answer.wave == state.wave or (answer.wave == gates.START and not state.started_at)
    return snapshot if about_now else replace(snapshot, answer=None)
