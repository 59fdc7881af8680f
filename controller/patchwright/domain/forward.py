"""The way forward: canary, soak, wave by wave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from patchwright.domain import endings, gates, selection, waves
from patchwright.domain.gates import Gate
from patchwright.domain.snapshot import Batch, Context, Decision, earliest
from patchwright.domain.state import Phase, RolloutState, WavePlan
from patchwright.domain.survey import ACTIVE, IN_FLIGHT, SOAKING, Stand
from patchwright.domain.targets import Stage, Target

LOOK_AGAIN = timedelta(seconds=1)


def step(context: Context) -> Decision:
    """Carry on what is in flight, then begin what may begin, or close the wave."""
    going = carry_on(context)
    candidates = _candidates(context)
    if _wave_over(context, candidates):
        return _close(context, going)
    return _begin(context, going, candidates)


def carry_on(context: Context, *, but: Sequence[Target] = ()) -> tuple[Batch, ...]:
    """Continue everything in flight ``but`` what is begun with; a failed target below the threshold is put back.

    A target that is done may want to be looked at while it is under watch.
    """
    survey, snapshot = context.survey, context.snapshot
    begun = {target.uid for target in but}
    going = (stand for stand in survey.at(*IN_FLIGHT, Stage.DONE) if stand.target.uid not in begun)
    batches = [stand.standing.actions for stand in going]
    for stand in survey.at(Stage.FAILED):
        back = snapshot.kind.put_back(stand.target, context.brief, why="Failed")
        # A health failure is written into the target's record first; the next round puts it back.
        batches.append(stand.standing.actions or tuple(back))
    return tuple(batch for batch in batches if batch)


def plan_of(context: Context) -> WavePlan:
    """Give the plan of the current wave."""
    plan = context.state.plan
    assert plan is not None
    return plan.waves[min(context.state.wave, len(plan.waves) - 1)]


def _candidates(context: Context) -> Sequence[Target]:
    """Give the members of this wave that are still to be started, in order; policy is asked about these and no others.

    The canary has an order and perhaps a selector of its own.
    """
    fresh = [stand.target for stand in context.survey.at(Stage.FRESH)]
    if context.state.wave > 0:
        return _first(context, waves.fleet_order(fresh))
    # Those that were started count for their domain, else canaries that go one by one would all be of the first one.
    begun = [stand.target for stand in _members(context)]
    taken = {target.uid for target in begun}
    order = waves.canary_order(target for target in (*begun, *fresh) if _selected(context, target))
    return _first(context, [target for target in order if target.uid not in taken])


def _first(context: Context, ordered: Sequence[Target]) -> Sequence[Target]:
    """Give as many as the wave has room for; the last one of load balancers comes when there is no other left."""
    return (_spared(context, ordered) or ordered)[: _left(context)]


def _selected(context: Context, target: Target) -> bool:
    selector = context.policy.strategy.canary.selector
    return selector is None or selection.matches(selector, target.labels)


def _left(context: Context) -> int | None:
    if context.state.widened_at is not None:
        # Whoever came now would have no soak.
        return 0
    size = plan_of(context).size
    return None if size is None else max(0, size - len(_members(context)))


def _members(context: Context) -> list[Stand]:
    return [stand for stand in context.survey.touched if stand.standing.wave == context.state.wave]


def _wave_over(context: Context, candidates: Sequence[Target]) -> bool:
    if context.survey.at(*ACTIVE):
        return False
    if _left(context) == 0:
        return True
    if candidates:
        return False
    return context.state.wave > 0 or bool(_members(context)) or not _canary_owed(context)


def _canary_owed(context: Context) -> bool:
    """Tell whether somebody waits for a canary that was none: it may be skipped, opted out or gone (L2).

    One that was selected by its labels and had the change before this rollout began will do.
    """
    selected = context.policy.strategy.canary.selector is not None
    if selected and any(_selected(context, stand.target) for stand in context.survey.at(Stage.CURRENT)):
        return False
    return bool(context.survey.at(Stage.FRESH) or _waiting(context))


def _waiting(context: Context) -> list[Stand]:
    """Give the skipped targets that a person or a machine may still make patchable."""
    skipped = (stand for stand in context.survey.at(Stage.SKIPPED) if not stand.standing.for_good)
    return [stand for stand in skipped if stand.standing.reason != "OptedOut"]


def _begin(context: Context, going: tuple[Batch, ...], candidates: Sequence[Target]) -> Decision:
    """Take out of service what is prepared, then claim what is next; each passes every gate, at that moment."""
    prepared = waves.fleet_order(stand.target for stand in context.survey.at(Stage.PREPARED))
    gate = gates.first_closed(context)
    if gate is None and not candidates:
        gate = _nobody(context)
    asked = [*waves.fleet_order(context.survey.claimed), *candidates]
    if gate is None:
        gate = gates.backend(context, [*prepared, *candidates])
    if gate is None and (prepared or candidates):
        gate = gates.policy(context, asked, wave=context.state.wave, size=len(asked))
    room = 0
    if gate is None:
        room, gate = gates.room(context)
    if gate is not None:
        return _held(context, going, gate)
    able, free = gates.spared(context, prepared), _spared(context, candidates)
    out, claimed = _pick(context, able, free, room=room)
    if not (out or claimed or _at_work(context)):
        return _held(context, going, _alone(context, (*able, *free)[0]))
    if (gate := gates.unseen(context, asked, (*out, *claimed))) is not None:
        return _held(context, going, gate)
    return _start(context, out, claimed)


def _spared(context: Context, candidates: Sequence[Target]) -> Sequence[Target]:
    """L1: give those that load balancers can do without beside what is claimed already, which keeps its place."""
    claimed = context.survey.claimed
    before = {target.uid for target in claimed}
    return [target for target in gates.spared(context, [*claimed, *candidates]) if target.uid not in before]


def _at_work(context: Context) -> list[Stand]:
    """Give what is in flight and does not itself wait for its turn."""
    return [stand for stand in context.survey.at(*ACTIVE) if stand.standing.stage is not Stage.PREPARED]


def _nobody(context: Context) -> Gate | None:
    """Say who is waited for when the canary has no candidate at all."""
    if context.survey.at(*ACTIVE):
        return None
    skipped = [stand for stand in context.survey.at(Stage.SKIPPED) if _selected(context, stand.target)]
    first = min(skipped, key=lambda stand: stand.target.name, default=None)
    why = (
        f"{first.target.name}: {first.standing.message}" if first else "strategy.canary.selector matches none any more"
    )
    return Gate(f"no canary can be started: {why}", reason="NoCanary")


def _alone(context: Context, target: Target) -> Gate:
    """Say why a target that goes one at a time is not started though nothing else is at work."""
    noun = context.snapshot.kind.noun
    return Gate(f"{target.name} goes one at a time, and another such {noun} is unavailable", reason="OneAtATime")


def _pick(
    context: Context, prepared: Sequence[Target], candidates: Sequence[Target], *, room: int
) -> tuple[list[Target], list[Target]]:
    """Give the prepared ones that are taken out of service now, and the candidates that are claimed (L1).

    What is claimed keeps its place, so that no more are prepared than may be taken out of service. Beside a failure
    that is being written down nothing begins: it may be the one that halts the rollout (L3).
    """
    survey, one_domain = context.survey, context.policy.strategy.topology_key is not None
    if any(stand.standing.failing for stand in survey.at(*ACTIVE)):
        return [], []
    busy, lone = survey.busy, survey.lone_away
    out = waves.startable(prepared, busy=busy, limit=room, one_domain=one_domain, lone=lone)
    busy += [target.order for target in survey.claimed]
    left = room - survey.reserved
    return out, waves.startable(candidates, busy=busy, limit=left, one_domain=one_domain, lone=lone)


def _held(context: Context, going: tuple[Batch, ...], gate: Gate) -> Decision:
    if gate.outcome is not None:
        return endings.end(context, gate.outcome, gates.ending(gate, context.now))
    state = replace(
        _afresh(context), phase=gate.phase or _phase(context), message=f"{_progress(context)}{gate.message}"
    )
    return Decision(state, going + gate.batches, earliest(gate.wake, _wake(context)), gate.again)


def _start(context: Context, out: Sequence[Target], claimed: Sequence[Target]) -> Decision:
    snapshot, state = context.snapshot, _afresh(context)
    going = carry_on(context, but=out)
    begun = [tuple(snapshot.kind.begin(target, context.brief, wave=state.wave)) for target in (*out, *claimed)]
    state = replace(
        state,
        phase=Phase.PROGRESSING if state.wave else Phase.CANARY,
        started_at=state.started_at or context.now,
        wave_since=state.wave_since or context.now,
        message=_progress(context) + _news(context, out, claimed),
    )
    return Decision(state, going + tuple(begun), _wake(context), begins=bool(begun))


def _afresh(context: Context) -> RolloutState:
    return replace(context.state, soak_since=None, soak_until=None, leftover_since=None)


def _phase(context: Context) -> Phase:
    if context.state.wave > 0:
        return Phase.PROGRESSING
    return Phase.CANARY if context.survey.touched or context.state.started_at else Phase.PENDING


def _progress(context: Context) -> str:
    """Give the head of the sentence: which wave, how far."""
    if not context.survey.touched:
        return ""
    wave, members = plan_of(context), _members(context)
    done = sum(stand.standing.stage is Stage.DONE for stand in members)
    size = "" if wave.size is None else f" of {wave.size}"
    prepared = len(context.survey.at(Stage.PREPARED))
    waiting = f" ({prepared} prepared)" if prepared and context.state.widened_at is None else ""
    return f"{wave.name}: {done}{size} done, {len(context.survey.at(*ACTIVE))} in flight{waiting}; "


def _news(context: Context, out: Sequence[Target], claimed: Sequence[Target]) -> str:
    """Give the tail of the sentence: what stands in the way, else what begins, else what is at work."""
    stuck = [stand for stand in context.survey.at(*ACTIVE) if stand.standing.reason]
    if stuck:
        return f"{stuck[0].target.name}: {stuck[0].standing.message}"
    goes_on = "takes out of service" if context.state.widened_at is None else "goes on with the rest of"
    if begun := [text for text in (_named("starts", claimed), _named(goes_on, out)) if text]:
        return ", ".join(begun)
    working = _at_work(context)
    return f"{working[0].target.name} {working[0].standing.message}"


def _named(verb: str, targets: Sequence[Target]) -> str:
    more = f" and {len(targets) - 1} more" if len(targets) > 1 else ""
    return f"{verb} {targets[0].name}{more}" if targets else ""


def _wake(context: Context) -> datetime | None:
    times = [stand.standing.wake for stand in context.survey.at(*ACTIVE)]
    return earliest(*times, context.verdict.next_at)


def _close(context: Context, going: tuple[Batch, ...]) -> Decision:
    """The wave has been patched: soak, then the rest of it, the next one, or the end."""
    gate = gates.superseded(context) or gates.health(context)
    if gate is not None:
        return _held(context, going, gate)
    members = context.survey.in_wave(context.state.wave, *SOAKING)
    # A canary that was widened has had its soak.
    soaks = bool(members) and context.state.widened_at is None
    soak = timedelta(seconds=plan_of(context).soak_seconds if soaks else 0)
    since = _soak_since(context, members)
    if context.now < since + soak:
        return _soak(context, going, since=since, until=since + soak)
    if members and context.verdict.as_of is not None and context.verdict.as_of < since + soak:
        # What was measured before the soak ended says nothing about its end: one more look, which is due any moment.
        return replace(_soak(context, going, since=since, until=since + soak), wake=context.now + LOOK_AGAIN)
    return _advance(context)


def _soak_since(context: Context, members: Sequence[Stand]) -> datetime:
    """Give the moment from which the whole wave has been seen healthy without a break (L2).

    An operator that was away did not see it: the soak begins again with its return.
    """
    ends = [stand.standing.since for stand in members if stand.standing.since]
    known = [context.snapshot.observing_since, *ends]
    if context.verdict.healthy_since:
        known.append(context.verdict.healthy_since)
    return max(known)


def _soak(context: Context, going: tuple[Batch, ...], *, since: datetime, until: datetime) -> Decision:
    name = plan_of(context).name
    text = f"{name} is healthy; soaks until {until.strftime('%H:%M:%S UTC')}"
    state = replace(context.state, phase=Phase.SOAKING, message=text, soak_since=since, soak_until=until)
    watched = [stand.standing.wake for stand in context.survey.at(*SOAKING)]
    return Decision(state, going, wake=earliest(until, *watched))


def _advance(context: Context) -> Decision:
    state, plan = context.state, context.state.plan
    assert plan is not None
    if parts := context.survey.at(Stage.PARTLY):
        return _widen(context, parts)
    fresh, waiting = context.survey.at(Stage.FRESH), _waiting(context)
    if not fresh and not waiting:
        return endings.succeed(context)
    if state.wave >= len(plan.waves) - 1:
        return _leftover(context, waiting)
    following = plan.waves[state.wave + 1]
    moved = replace(
        state,
        phase=Phase.PROGRESSING,
        wave=state.wave + 1,
        wave_since=context.now,
        widened_at=None,
        policy=None,
        soak_since=None,
        soak_until=None,
        message=f"{plan.waves[state.wave].name} passed; next: {following.name}",
    )
    return Decision(moved, again=True)


def _widen(context: Context, parts: Sequence[Stand]) -> Decision:
    """Let the rest of each canary follow, before any other target; its wave is over once they have."""
    first = min(stand.target.name for stand in parts)
    more = f" and {len(parts) - 1} more" if len(parts) > 1 else ""
    text = f"{plan_of(context).name} passed; next: the rest of {first}{more}"
    state = replace(
        context.state, phase=Phase.CANARY, widened_at=context.now, soak_since=None, soak_until=None, message=text
    )
    return Decision(state, again=True)


def _leftover(context: Context, waiting: Sequence[Stand]) -> Decision:
    """Wait for what was skipped, as long as a target may take; then end, and name it."""
    since = context.state.leftover_since or context.now
    until = since + context.policy.strategy.progress_deadline
    if context.now >= until:
        return endings.succeed(context)
    first = min(waiting, key=lambda stand: stand.target.name)
    more = f" (and {len(waiting) - 1} more)" if len(waiting) > 1 else ""
    text = f"all others are patched; waits for {first.target.name}: {first.standing.message}{more}"
    state = replace(context.state, phase=Phase.PROGRESSING, message=text, leftover_since=since)
    return Decision(state, wake=until)
