"""The gates before a start, in order: each says why nothing may begin now, or nothing.

The chain is the documentation: a target is started only when every gate is open. What is in flight is never held by
one (L3, L7, L8 speak of starts).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from patchwright.domain import budget, spelling, windows
from patchwright.domain.actions import AskPolicy
from patchwright.domain.snapshot import Batch, Context
from patchwright.domain.state import Cause, Phase, WavePolicy
from patchwright.domain.survey import OUT
from patchwright.domain.targets import Stage, Target

# A decision is about a moment: a freeze that began since must be seen though the wave was allowed last night.
DECISION_LIFE = timedelta(minutes=5)
RETRY_POLICY = timedelta(seconds=5)
RETRY_DENIED = timedelta(minutes=1)
START = -1


@dataclass(frozen=True, slots=True)
class Gate:
    """A closed gate: the phase to show (``None``: the one of the wave), the sentence, and when to look again."""

    message: str
    phase: Phase | None = None
    wake: datetime | None = None
    batches: tuple[Batch, ...] = ()
    outcome: Phase | None = None
    reason: str = ""
    again: bool = False


def paused(context: Context) -> Gate | None:
    """People paused the rollout or its policy; what is only prepared waits with what is not, as it costs nothing."""
    name = context.policy.key.name
    finishes = "what is in flight finishes"
    if context.survey.claimed:
        finishes = "what is out of service finishes, what is prepared stays in service"
    if context.snapshot.rollout.paused:
        return Gate(f"paused by spec.paused; {finishes}, nothing new starts", Phase.PAUSED)
    if context.policy.suspend:
        return Gate(f"policy {name} is suspended; {finishes}, nothing new starts", Phase.PAUSED)
    return None


def superseded(context: Context) -> Gate | None:
    """A newer rollout of the same policy waits for this one to let go."""
    newer = context.snapshot.superseded_by
    if not newer:
        return None
    if context.survey.at(Stage.WORKING, Stage.FAILED, Stage.RESTORING):
        return Gate(f"superseded by rollout {newer}; finishes what is in flight")
    done = len(context.survey.at(Stage.DONE))
    kept = f"; {done} of {context.survey.total} keep version {context.snapshot.rollout.change.version}" if done else ""
    return Gate(f"superseded by rollout {newer}{kept}", outcome=Phase.SUPERSEDED, reason="Superseded")


def no_budget(context: Context) -> Gate | None:
    """``maxUnavailable: 0`` means what it says; the Machine Config Operator silently makes it 1."""
    if context.policy.strategy.max_unavailable.value:
        return None
    return Gate("strategy.maxUnavailable is 0: nothing is started until it is raised", reason="BudgetIsZero")


def window(context: Context) -> Gate | None:
    """L7: inside a window, with time to finish."""
    policy, now = context.policy, context.now
    found = windows.opening(policy.windows, now=now)
    seconds = [s.standing.seconds for s in context.survey.at(Stage.DONE) if s.standing.seconds is not None]
    needed = windows.needed(seconds, context.snapshot.kind.longest(context.brief))
    if windows.fits(found, needed, now=now):
        return None
    opens = f"the next one opens at {clock(found.next_at)}" if found.next_at else "none ever opens again"
    if found.open and found.until:
        span = spelling.duration(needed)
        why = f"the maintenance window closes at {clock(found.until)}, too soon for a target that may take {span}"
    else:
        why = "outside the maintenance windows"
    phase = None if context.survey.at(Stage.WORKING, Stage.RESTORING) else Phase.WAITING_FOR_WINDOW
    return Gate(f"{why}; {opens}", phase, wake=found.next_at, reason="WaitingForWindow")


def health(context: Context) -> Gate | None:
    """Nothing starts while a check is unhealthy, long before that check fails the wave."""
    verdict = context.verdict
    if verdict.healthy:
        return None
    until = f"; has failed if it is so at {verdict.next_at.strftime('%H:%M:%S UTC')}" if verdict.next_at else ""
    return Gate(f"holds: {verdict.message}{until}", wake=verdict.next_at, reason="Unhealthy")


def policy(context: Context, candidates: Sequence[Target], *, wave: int, size: int) -> Gate | None:
    """L8: an allowed decision for this very wave, recorded, recent, and of the pinned revision."""
    recorded = context.state.policy
    if context.snapshot.answer is not None:
        return Gate(_said(context, context.snapshot.answer), again=True)
    if recorded is None or recorded.wave != wave or _stale(context, recorded):
        names = tuple(target.name for target in candidates[:size])
        # While it is asked again, what it said last of this wave stands: what it says next is mostly no news.
        known = recorded is not None and recorded.wave == wave and not (recorded.decision and recorded.decision.allowed)
        said = _said(context, recorded) if known and recorded is not None else "asks policy"
        return Gate(said, batches=((AskPolicy(wave, size, names),),))
    if recorded.decision is None:
        return _no_decision(context, recorded)
    if recorded.decision.allowed:
        return None
    return _denied(context, recorded)


def unseen(context: Context, candidates: Sequence[Target], picked: Sequence[Target]) -> Gate | None:
    """L8: policy has seen the name of whatever starts now; a node may have joined since it was asked.

    It is asked again about all candidates, once for however many have come. Those that left are no question.
    """
    asked = context.snapshot.asked
    new = [target.name for target in picked if asked is None or target.name not in asked]
    if not new:
        return None
    more = f" and {len(new) - 1} more" if len(new) > 1 else ""
    names = tuple(target.name for target in candidates)
    return Gate(f"asks policy about {new[0]}{more}", batches=((AskPolicy(context.state.wave, len(names), names),),))


def _said(context: Context, answer: WavePolicy) -> str:
    if answer.decision is None:
        return f"no policy decision: {answer.trouble}"
    return "policy allows it" if answer.decision.allowed else _denied(context, answer).message


def _stale(context: Context, recorded: WavePolicy) -> bool:
    age = context.now - recorded.at
    if recorded.decision is None:
        return age >= RETRY_POLICY
    if context.snapshot.revision and recorded.decision.revision != context.snapshot.revision:
        return True
    if recorded.decision.allowed:
        # The answer to "may it start at all" is as good as the next one, which is asked before anything starts.
        return recorded.wave != START and age >= DECISION_LIFE
    until = recorded.decision.wait_until
    return age >= RETRY_DENIED and (until is None or context.now >= until)


def _no_decision(context: Context, recorded: WavePolicy) -> Gate | None:
    if recorded.passed_over(context.policy.policy.failure_policy):
        return None
    return Gate(
        f"no policy decision: {recorded.trouble}",
        wake=recorded.at + RETRY_POLICY,
        reason=recorded.reason or "NoDecision",
    )


def _denied(context: Context, recorded: WavePolicy) -> Gate:
    decision = recorded.decision
    assert decision is not None
    first = decision.first
    more = f" (and {decision.total - 1} more)" if decision.total > 1 else ""
    remedy = f"; {first.remediation}" if first.remediation else ""
    message = f"denied by {first.rule}: {first.msg}{more}{remedy}"
    until = decision.wait_until
    if until is not None:
        return Gate(f"{message}; asked again at {clock(until)}", wake=until, reason="Denied")
    if context.survey.touched:
        return Gate(f"{message}; holds here", wake=recorded.at + RETRY_DENIED, reason="Denied")
    return Gate(message, outcome=Phase.DENIED, reason="Denied")


def room(context: Context) -> tuple[int, Gate | None]:
    """L1: how many may be taken out of service, or who takes all the room.

    What is at work explains itself; what was prepared while there was room, and has none now, does not.
    """
    strategy, survey = context.policy.strategy, context.survey
    left = budget.room(strategy.max_unavailable, total=survey.total, unavailable=survey.unavailable)
    at_work = survey.at(*OUT - {Stage.QUARANTINED}, Stage.PREPARING)
    if left or (at_work and not survey.at(Stage.PREPARED)):
        return left, None
    away = sorted(s.target.name for s in survey.at(*Stage) if s.standing.stage in OUT or not s.target.available)
    names = ", ".join(away[:3]) + (f" and {len(away) - 3} more" if len(away) > 3 else "")
    limit = f"all that maxUnavailable {strategy.max_unavailable} allows"
    return 0, Gate(f"{survey.unavailable} of {survey.total} are unavailable ({names}), {limit}", reason="NoRoom")


def spared(context: Context, targets: Sequence[Target]) -> Sequence[Target]:
    """L1: give those that load balancers can do without, in order; one that they may use is always left."""
    backends = context.snapshot.backends
    if not backends:
        return targets
    left, found = len(backends) - 1, []
    for target in targets:
        used = target.uid in backends
        if left or not used:
            left -= used
            found.append(target)
    return found


def backend(context: Context, candidates: Sequence[Target]) -> Gate | None:
    """Say that load balancers would be left with nothing; what is out of service is given back to them soon."""
    at_work = context.survey.at(*OUT - {Stage.QUARANTINED}, Stage.PREPARING)
    if not candidates or spared(context, candidates) or at_work:
        return None
    noun = context.snapshot.kind.noun
    why = f"{candidates[0].name} is the last {noun} that load balancers may use, and would be taken out of them"
    remedy = f"give them another {noun} (Ready, schedulable, not excluded), or drop drain.excludeFromLoadBalancers"
    return Gate(f"holds: {why}; {remedy}", reason="LastBackend")


def clock(time: datetime | None) -> str:
    """Spell an instant for a sentence."""
    return spelling.instant(time) if time else "never"


def ending(gate: Gate, now: datetime) -> Cause:
    """Give the cause of a rollout that ends at a gate."""
    return Cause(gate.reason, gate.message, now)


Check = Callable[[Context], Gate | None]
CHAIN: tuple[Check, ...] = (superseded, paused, no_budget, window, health)


def first_closed(context: Context) -> Gate | None:
    """Give the first closed gate of those that need no one else's answer."""
    return next((gate for check in CHAIN if (gate := check(context)) is not None), None)
