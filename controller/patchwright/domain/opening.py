"""Before anything is touched: reasons not to begin at all, the plan, and the baseline."""

from __future__ import annotations

from dataclasses import replace

from patchwright.domain import endings, gates, health, selection, waves
from patchwright.domain.snapshot import Context, Decision
from patchwright.domain.state import Cause, Phase, Plan
from patchwright.domain.targets import Stage, Target


def step(context: Context) -> Decision | None:
    """Give the reason to wait or to end, or the plan to record; ``None`` when all is recorded and it may go forward."""
    return _ends(context) or _ask(context) or _waits(context) or _prepare(context)


def again(context: Context) -> Decision:
    """Plan again what has begun already and whose plan is not there: somebody wiped the status, or it is on its way.

    A watch of nodes may be ahead of the one of rollouts; then the plan cannot be saved over the newer status.
    """
    found = _prepare(context)
    assert found is not None, "a plan is recorded before anything is touched"
    return found


def _ends(context: Context) -> Decision | None:
    snapshot = context.snapshot
    if snapshot.remembered:
        text = f"{snapshot.remembered}; set the annotation patchwright.dev/retry to try it again"
        return _end(context, Phase.DENIED, "FailedBefore", text)
    if refusal := snapshot.kind.refusal(context.brief):
        return _end(context, Phase.FAILED, *refusal)
    if snapshot.superseded_by:
        return _end(context, Phase.SUPERSEDED, "Superseded", f"superseded by rollout {snapshot.superseded_by}")
    return None


def _end(context: Context, outcome: Phase, reason: str, message: str) -> Decision:
    return endings.end(context, outcome, Cause(reason, message, context.now))


def _waits(context: Context) -> Decision | None:
    snapshot, policy = context.snapshot, context.policy
    if snapshot.conflict:
        return _wait(context, Phase.PENDING, snapshot.conflict)
    if policy.suspend:
        return _wait(context, Phase.PENDING, f"policy {policy.key.name} is suspended")
    if not snapshot.targets:
        kind = snapshot.kind
        return _wait(context, Phase.PENDING, f"policy {policy.key.name} selects no {kind.noun}; {kind.hint}")
    return None


def _wait(context: Context, phase: Phase, message: str) -> Decision:
    return Decision(replace(context.state, phase=phase, message=message))


def _prepare(context: Context) -> Decision | None:
    canary = context.policy.strategy.canary
    matching = [target for target in context.snapshot.targets if _is_canary(context, target)]
    if canary.selector is not None and not matching:
        text = f"strategy.canary.selector matches none of the {len(context.snapshot.targets)} selected targets"
        return _wait(context, Phase.PENDING, text)
    start = health.may_start(context.snapshot.checks, now=context.snapshot.now)
    if start.unmeasured:
        return _wait(context, Phase.PENDING, f"measures its health checks first: {', '.join(start.unmeasured)}")
    if start.refusal:
        return _wait(context, Phase.PENDING, f"does not start: {start.refusal}")
    total = len(context.snapshot.targets)
    plan = waves.plan(context.policy.strategy, total=total, canaries=len(matching))
    return _record(context, plan, start.baseline)


def _is_canary(context: Context, target: Target) -> bool:
    selector = context.policy.strategy.canary.selector
    return selector is not None and selection.matches(selector, target.labels)


def _record(context: Context, plan: Plan, baseline: dict[str, tuple[str, ...]]) -> Decision | None:
    """Record the plan and the baseline until they are what is recorded; nothing is started on any other."""
    state = context.state
    if state.plan == plan and state.baseline == baseline:
        return None
    noun = context.snapshot.kind.noun
    text = f"planned: {plan.total} {noun}s, canary of {plan.waves[0].size}, then {len(plan.waves) - 1} more waves"
    planned = replace(state, phase=Phase.PENDING, message=text, plan=plan, baseline=baseline, wave=0, widened_at=None)
    return Decision(planned, again=True)


def _ask(context: Context) -> Decision | None:
    """Ask policy at once, not only when a window opens at night: a person who merged it is still looking.

    It comes before the wait for an older rollout: what policy refuses must not supersede what it allowed.
    """
    recorded = context.state.policy
    if recorded is not None and recorded.wave == 0:
        return None
    fresh = waves.fleet_order(stand.target for stand in context.survey.at(Stage.FRESH))
    gate = gates.policy(context, fresh, wave=gates.START, size=context.survey.total)
    if gate is None:
        return None
    if gate.outcome is not None:
        return endings.end(context, gate.outcome, gates.ending(gate, context.now))
    state = replace(context.state, phase=Phase.PENDING, message=gate.message)
    return Decision(state, gate.batches, gate.wake, gate.again)
