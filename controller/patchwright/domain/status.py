"""What people read: counts, notes, and conditions that kstatus, Flux and Argo CD understand.

``Ready=False`` alone means "in progress" to kstatus; only ``Stalled=True`` means failed. Abnormal conditions are
present only while they are true.
"""

from __future__ import annotations

from dataclasses import replace

from patchwright.domain import survey, windows
from patchwright.domain.snapshot import Context, Decision
from patchwright.domain.state import NOTES_KEPT, TERMINAL, Condition, Phase, RolloutState
from patchwright.domain.targets import Stage

MESSAGE_KEPT = 1024
BAD = frozenset({Phase.FAILED, Phase.ROLLED_BACK, Phase.DENIED})


def dress(context: Context, decision: Decision) -> Decision:
    """Fill in everything of the status that follows from what was seen and decided."""
    if context.state.phase in TERMINAL:
        return decision
    snapshot, state = context.snapshot, decision.state
    told = f"{snapshot.trouble}; {state.message}" if snapshot.trouble else state.message
    if context.state.outcome is None:
        # Afterwards the marks are removed one by one; how it stood when it ended is what stays.
        state = _surveyed(state, context)
    else:
        # But whoever is left to a person has to be named, however late, and stays named (L6).
        known = {note.uid for note in state.quarantined}
        late = [stand for stand in context.survey.at(Stage.QUARANTINED) if stand.target.uid not in known]
        state = replace(state, quarantined=(state.quarantined + survey.notes(late))[:NOTES_KEPT])
    state = replace(
        state,
        message=(told if state.outcome is None else state.message)[:MESSAGE_KEPT],
        observed_generation=snapshot.rollout.generation,
        policy=snapshot.answer or state.policy,
        next_window=windows.opening(context.policy.windows, now=context.now).next_at,
    )
    found = conditions(replace(state, message=told[:MESSAGE_KEPT]), context)
    return replace(decision, state=replace(state, conditions=found))


def _surveyed(state: RolloutState, context: Context) -> RolloutState:
    """Take in how the targets stand."""
    found = context.survey
    return replace(
        state,
        counts=survey.count(found),
        in_flight=survey.notes(found.at(*survey.IN_FLIGHT), cap=len(context.snapshot.targets)),
        failed=survey.notes([stand for stand in found.touched if stand.standing.failed]),
        skipped=survey.notes(found.at(Stage.SKIPPED)),
        quarantined=survey.notes(found.at(Stage.QUARANTINED)),
        vanished=found.lost,
    )


def conditions(state: RolloutState, context: Context) -> tuple[Condition, ...]:
    """Give every condition that applies, sorted by type."""
    found = [_ready(state), *_progress(state), *_policy(state, context), *_healthy(context)]
    return tuple(sorted(found, key=lambda condition: condition.type))


def _ready(state: RolloutState) -> Condition:
    ready = "True" if state.phase is Phase.SUCCEEDED else "False"
    return Condition("Ready", ready, _reason(state), state.message)


def _progress(state: RolloutState) -> list[Condition]:
    if state.phase in BAD:
        return [Condition("Stalled", "True", _reason(state), state.message)]
    if state.phase in TERMINAL:
        return []
    return [Condition("Reconciling", "True", _reason(state), state.message)]


def _reason(state: RolloutState) -> str:
    if state.phase in TERMINAL and state.cause is not None:
        return state.cause.reason
    return state.phase.value


def _policy(state: RolloutState, context: Context) -> list[Condition]:
    recorded = state.policy
    if recorded is None:
        return []
    if recorded.decision is None:
        open_ = recorded.passed_over(context.policy.policy.failure_policy)
        return [Condition("PolicyEvaluated", "Unknown", "FailOpen" if open_ else recorded.reason, recorded.trouble)]
    decision = recorded.decision
    if decision.allowed:
        text = f"allowed by {decision.package} at {decision.revision}"
        return [Condition("PolicyEvaluated", "True", "Waived" if decision.waived else "Allowed", text)]
    return [Condition("PolicyEvaluated", "False", "Denied", decision.first.msg)]


def _healthy(context: Context) -> list[Condition]:
    if not context.snapshot.checks:
        return []
    verdict = context.verdict
    if verdict.healthy:
        return [Condition("Healthy", "True", "Healthy", "every health check passes")]
    if verdict.unmeasured:
        return [Condition("Healthy", "Unknown", "NotMeasured", verdict.message)]
    return [Condition("Healthy", "False", "HealthCheckFailed", verdict.message)]
