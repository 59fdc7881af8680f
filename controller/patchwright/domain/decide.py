"""``decide``: from a snapshot to what is to be done and told.

The order of the rules is the order of their importance: what has ended is cleaned up, what has gone wrong is put back,
and only then may something begin. Each room holds one of them: ``endings``, ``backward``, ``opening``, ``forward``.
"""

from __future__ import annotations

from dataclasses import replace

from patchwright.domain import backward, endings, forward, gates, health, opening, status, survey
from patchwright.domain.snapshot import Context, Decision, Snapshot
from patchwright.domain.state import TERMINAL
from patchwright.domain.targets import Brief


def decide(snapshot: Snapshot) -> Decision:
    """Say what comes next for a rollout.

    Pure: the same snapshot gives the same decision, and deciding again after a crash anywhere gives no second effect.
    """
    snapshot = _with_answer(snapshot)
    context = _context(snapshot)
    return status.dress(context, _next(context))


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


def _context(snapshot: Snapshot) -> Context:
    state = snapshot.state
    brief = Brief(
        now=snapshot.now,
        rollout=snapshot.rollout,
        policy=snapshot.policy,
        watched_from=state.wave,
        turning_back=snapshot.policy.rollback.enabled and (state.cause is not None or backward.by_people(snapshot)),
    )
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
