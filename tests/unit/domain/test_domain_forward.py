"""The way forward: canary first, soak, wave by wave, and what is waited for at the end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from patchwright.domain import health
from patchwright.domain.actions import AskPolicy, Cordon, JobStep, ListPods
from patchwright.domain.actions import Mark as WriteRecord
from patchwright.domain.checks import HealthCheck, HttpCheck
from patchwright.domain.health import CheckState, Finding, Measurement
from patchwright.domain.model import Wave
from patchwright.domain.nodes import draining
from patchwright.domain.nodes.record import Mark
from patchwright.domain.snapshot import Decision
from patchwright.domain.state import Phase
from support.builders import (
    CHANGE,
    NOW,
    NodeBuilder,
    actions,
    ago,
    deciding,
    labelled,
    node,
    nodes,
    policy,
)

FLEET = nodes(6)
REST = FLEET[1:]
HOUR = timedelta(hours=1)


def starts(decision: Decision) -> list[str]:
    return [action.node.name for action in actions(decision) if isinstance(action, Cordon)]


def done(name: str = "n01", *, seconds: float = 3600, wave: int = 0) -> NodeBuilder:
    return node(name).record(Mark.DONE, seconds=seconds, wave=wave)


def running(name: str = "n01", *, wave: int = 0) -> NodeBuilder:
    return node(name).record(Mark.APPLYING, wave=wave).job(JobStep.APPLY)


def seen(*findings: str, since: float = 3600) -> CheckState:
    """Give a health check that has been as it is for so many seconds, and was measured a second ago."""
    made = CheckState(HealthCheck("web", HttpCheck("http://web"), timeout=timedelta(days=1)))
    found = tuple(Finding(text, text) for text in findings)
    return health.observe(health.observe(made, Measurement(ago(since), found), {}), Measurement(ago(1), found), {})


# --- the canary (L2) --------------------------------------------------------------------------------------------------


def test_the_canary_is_started_and_the_moment_remembered() -> None:
    decision = deciding(*FLEET)
    assert starts(decision) == ["n01"]
    assert (decision.state.phase, decision.state.started_at) == (Phase.CANARY, NOW)
    assert decision.state.message == "starts n01"


def test_several_starts_are_told_as_one() -> None:
    assert deciding(*FLEET, policy=policy(canary=3, max_unavailable=3)).state.message == "starts n01 and 2 more"


def test_while_the_canary_is_at_work_no_other_node_is_touched_however_much_room_there_is() -> None:
    decision = deciding(running(), *REST, policy=policy(max_unavailable="100%"))
    assert starts(decision) == []
    assert decision.state.message == "canary: 0 of 1 done, 1 in flight; n01 runs its apply Job"


def test_while_the_canary_soaks_no_other_node_is_touched_however_much_room_there_is() -> None:
    decision = deciding(done(seconds=10), *REST, policy=policy(max_unavailable="100%"))
    assert actions(decision) == ()
    assert (decision.state.phase, decision.state.soak_until) == (Phase.SOAKING, ago(10) + timedelta(seconds=300))
    assert decision.wake == decision.state.soak_until
    assert decision.state.message == "canary is healthy; soaks until 12:04:50 UTC"


def test_when_the_canary_has_soaked_the_first_wave_is_next_and_policy_is_asked_again() -> None:
    decision = deciding(done(), *REST, policy=policy(waves=[2]))
    assert (decision.state.wave, decision.state.policy, decision.again) == (1, None, True)
    assert decision.state.message == "canary passed; next: wave 1"


def test_an_operator_that_was_away_did_not_see_the_soak_and_begins_it_again() -> None:
    decision = deciding(done(), *REST, observing_since=ago(20))
    assert decision.state.soak_until == ago(20) + timedelta(seconds=300)


def test_a_soak_ends_with_a_measurement_from_after_its_end() -> None:
    stale = replace(seen(), measured=Measurement(ago(5)))
    decision = deciding(done(seconds=303), *REST, checks=(stale,))
    assert (decision.state.wave, decision.wake) == (0, NOW + timedelta(seconds=1))
    assert deciding(done(seconds=305), *REST, checks=(stale,)).state.wave == 1


def test_a_check_that_was_unhealthy_meanwhile_begins_the_soak_again() -> None:
    decision = deciding(done(), *REST, checks=(seen(since=30),))
    assert decision.state.soak_until == ago(30) + timedelta(seconds=300)


def test_the_soak_does_not_pass_while_a_check_is_unhealthy() -> None:
    decision = deciding(done(), *REST, checks=(seen("slow"),), policy=policy(soak=0))
    assert (decision.state.wave, decision.state.soak_until) == (0, None)
    assert "holds: health check web: slow" in decision.state.message


def test_a_canary_that_is_not_ready_any_more_fails_its_soak() -> None:
    decision = deciding(done().not_ready(), *REST)
    assert decision.state.cause is not None
    assert decision.state.cause.reason == "CanaryFailed"


def test_canaries_are_one_of_each_zone() -> None:
    made = [node("a1", zone="a"), node("a2", zone="a"), node("b1", zone="b"), node("c1", zone="c")]
    assert starts(deciding(*made, policy=policy(canary=3, max_unavailable=3))) == ["a1", "b1", "c1"]


# Else the first domain that is busy would get all the canaries.
def test_canaries_are_one_of_each_zone_also_when_zones_take_turns() -> None:
    made = [node("a1", zone="a"), node("a2", zone="a"), node("b1", zone="b")]
    by_zone = policy(canary=2, max_unavailable=3, topology_key="zone")
    assert starts(deciding(*made, policy=by_zone)) == ["a1"]
    after = [node("a1", zone="a").record(Mark.DONE), *made[1:]]
    assert starts(deciding(*after, policy=by_zone)) == ["b1"]


def test_low_risk_nodes_are_canaries_first() -> None:
    assert starts(deciding(*FLEET, node("z", risk=0))) == ["z"]


SELECTED = policy(canary=labelled("canary", "yes"), max_unavailable=9)


def test_a_selector_names_the_canaries() -> None:
    chosen = [node("x1").labels(canary="yes"), node("x2").labels(canary="yes")]
    assert starts(deciding(*FLEET, *chosen, policy=SELECTED, state={"canaries": 2})) == ["x1", "x2"]


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        (node("x").cordoned(), "x: somebody else cordoned it"),
        (node("x").but(opted_out="label plan.patchwright.dev/openssl=disabled"), "x: it is kept out by label"),
    ],
    ids=["cordoned", "opted out"],
)
def test_a_canary_that_never_was_is_no_canary(chosen: NodeBuilder, says: str) -> None:
    decision = deciding(*FLEET, chosen.labels(canary="yes"), policy=SELECTED, state={"canaries": 1})
    assert (starts(decision), decision.state.wave) == ([], 0)
    assert f"no canary can be started: {says}" in decision.state.message


def test_a_canary_that_is_gone_is_no_canary() -> None:
    decision = deciding(*FLEET, policy=SELECTED, state={"canaries": 1, "started_at": ago(9)})
    assert starts(decision) == []
    assert decision.state.wave == 0


def test_a_canary_that_joined_and_went_in_midflight_holds_the_rest() -> None:
    gone = done("x").labels(canary="yes").but(record=None)
    held = deciding(*FLEET, gone.cordoned(), policy=SELECTED, state={"canaries": 1, "started_at": ago(9)})
    assert starts(held) == []


def test_a_selected_canary_that_has_the_change_already_will_do() -> None:
    chosen = node("x").labels(canary="yes").but(installed=CHANGE)
    assert deciding(*FLEET, chosen, policy=SELECTED, state={"canaries": 1}).state.wave == 1


def test_with_some_canaries_patched_the_skipped_ones_are_not_waited_for() -> None:
    chosen = [done("x1").labels(canary="yes"), node("x2").labels(canary="yes").cordoned()]
    assert deciding(*FLEET, *chosen, policy=SELECTED, state={"canaries": 2}).state.wave == 1


# --- in flight --------------------------------------------------------------------------------------------------------


def test_everything_in_flight_goes_on() -> None:
    made = [node("n01").record(Mark.DRAINING), node("n02").record(Mark.DRAINING), *FLEET[2:]]
    assert actions(deciding(*made)) == (ListPods(made[0].view.ref), ListPods(made[1].view.ref))


def test_a_node_that_is_stuck_is_told_before_one_that_begins() -> None:
    blocked = node("n01").record(Mark.DRAINING, wave=1, reason="DisruptionBudget", message="budget web")
    decision = deciding(blocked, *REST, state={"wave": 1}, policy=policy(max_unavailable=2))
    assert starts(decision) == ["n02"]
    assert "n01: " in decision.state.message


def test_with_no_room_left_it_says_who_is_at_work() -> None:
    decision = deciding(done(), running("n02", wave=1), *FLEET[2:], state={"wave": 1})
    assert starts(decision) == []
    assert decision.state.message == "rest: 0 done, 1 in flight; n02 runs its apply Job"


def test_it_wakes_when_the_first_of_those_in_flight_is_due() -> None:
    soon = node("n01").record(Mark.DRAINING, seconds=0)
    assert deciding(soon, running("n02"), *FLEET[2:]).wake == NOW + draining.SETTLE


def test_below_the_threshold_a_failed_node_is_put_back_and_the_rest_goes_on() -> None:
    bad = node("n02").record(Mark.FAILED, wave=1)
    lenient = policy(failure_threshold=2, max_unavailable=2)
    decision = deciding(done(), bad, *FLEET[2:], state={"wave": 1}, policy=lenient)
    write, _start, cordon = actions(decision)
    assert isinstance(write, WriteRecord)
    assert write.record.mark is Mark.REVERTING
    assert isinstance(cordon, Cordon)
    assert decision.state.cause is None


def test_a_done_node_that_falls_over_is_first_recorded_as_failed() -> None:
    bad = done("n02", wave=1).not_ready()
    (write,) = actions(deciding(done(), bad, *FLEET[2:], state={"wave": 1}, policy=policy(failure_threshold=2)))
    assert isinstance(write, WriteRecord)
    assert write.record.mark is Mark.FAILED


# --- who may start beside whom ----------------------------------------------------------------------------------------


def test_never_two_zones_at_once() -> None:
    made = [done(), node("b1", zone="b"), node("b2", zone="b"), node("c1", zone="c")]
    by_zone = policy(max_unavailable=9, topology_key="zone")
    assert starts(deciding(*made, state={"wave": 1}, policy=by_zone)) == ["b1", "b2"]
    busy = [done(), running("b1", wave=1).zone("b"), *made[2:]]
    assert starts(deciding(*busy, state={"wave": 1}, policy=by_zone)) == ["b2"]


@pytest.mark.parametrize(
    "away",
    [
        pytest.param(node("cp1").record(Mark.APPLYING, wave=1).job(JobStep.APPLY), id="at work"),
        pytest.param(node("cp1").record(Mark.QUARANTINED), id="quarantined"),
        pytest.param(node("cp1").not_ready(), id="not Ready"),
        pytest.param(node("cp1").cordoned(), id="cordoned by a human"),
    ],
)
def test_no_control_plane_node_starts_while_another_is_away(away: NodeBuilder) -> None:
    made = [done(), away.control_plane(), node("cp2").control_plane()]
    roomy = policy(max_unavailable=9, failure_threshold=9)
    decision = deciding(*made, state={"wave": 1}, policy=roomy)
    assert starts(decision) == []
    workers = deciding(*made, node("w"), state={"wave": 1}, policy=roomy)
    assert starts(workers) == ["w"], "workers go on"


def test_who_goes_one_at_a_time_says_so_when_it_waits() -> None:
    made = [done(), node("cp1").not_ready().control_plane(), node("cp2").control_plane()]
    decision = deciding(*made, state={"wave": 1}, policy=policy(max_unavailable=9))
    assert decision.state.message.endswith("cp2 goes one at a time, and another such node is unavailable")


def test_the_operators_own_node_is_the_last_of_all() -> None:
    own = node("a0").order(last=True)
    made = [done(), own, *REST]
    decision = deciding(*made, state={"wave": 1}, policy=policy(max_unavailable=9))
    assert starts(decision) == ["n02", "n03", "n04", "n05", "n06", "a0"]


# --- waves ------------------------------------------------------------------------------------------------------------


def test_a_wave_is_no_larger_than_planned() -> None:
    two = policy(waves=[2], max_unavailable=9)
    assert starts(deciding(done(), *REST, state={"wave": 1}, policy=two)) == ["n02", "n03"]
    later = [done(), running("n02", wave=1), running("n03", wave=1), *FLEET[3:]]
    assert starts(deciding(*later, state={"wave": 1}, policy=two)) == []


def test_a_wave_without_members_needs_no_soak() -> None:
    waves = [Wave(policy().strategy.canary.count, HOUR), 1]
    decision = deciding(done(), node("n02").cordoned(), state={"wave": 1}, policy=policy(waves=waves))
    assert decision.state.wave == 2


def test_a_wave_soaks_after_its_last_node() -> None:
    waves = [Wave(policy().strategy.canary.count, HOUR)]
    made = [done(), done("n02", wave=1, seconds=60), *FLEET[2:]]
    decision = deciding(*made, state={"wave": 1}, policy=policy(waves=waves))
    assert decision.state.soak_until == ago(60) + HOUR


def test_a_wave_that_is_full_because_more_were_started_than_planned_is_over() -> None:
    made = [done(), done("n02", wave=1), done("n03", wave=1), *FLEET[3:]]
    assert deciding(*made, state={"wave": 1}, policy=policy(waves=[1])).state.wave == 2


def test_a_wave_number_beyond_the_plan_is_the_last_wave() -> None:
    assert starts(deciding(done(), *REST, state={"wave": 7})) == ["n02"]


def test_a_policy_edited_midway_does_not_resize_the_waves() -> None:
    planned = deciding(*FLEET, state={}, policy=policy(canary=2)).state
    decision = deciding(done(), *REST, state=replace(planned, plan=planned.plan), policy=policy(canary=5))
    assert decision.state.plan == planned.plan


# --- joining, vanishing, skipped --------------------------------------------------------------------------------------


# tuppr#248: a node that joins late is left behind.
def test_a_node_that_joins_late_is_patched_too() -> None:
    late = node("late")
    state: dict[str, Any] = {"wave": 1}
    assert starts(deciding(*[done(f"n{n}", wave=1) for n in range(3)], late, state=state)) == ["late"]


def test_a_node_that_joins_while_the_skipped_are_waited_for_ends_the_wait() -> None:
    decision = deciding(
        done(), node("n02").cordoned(), node("late"), state={"wave": 1, "leftover_since": ago(500)},
        policy=policy(max_unavailable=2),
    )  # fmt: skip
    assert (starts(decision), decision.state.leftover_since) == (["late"], None)


def test_skipped_nodes_are_waited_for_at_the_end_and_named() -> None:
    made = [done(), node("n02").cordoned(), node("n03").not_ready()]
    decision = deciding(*made, state={"wave": 1})
    assert (decision.state.phase, decision.state.leftover_since) == (Phase.PROGRESSING, NOW)
    assert decision.wake == NOW + timedelta(seconds=600)
    assert decision.state.message == (
        "all others are patched; waits for n02: somebody else cordoned it; uncordon it to have it patched (and 1 more)"
    )


def test_the_wait_for_the_skipped_has_an_end_that_a_restart_does_not_move() -> None:
    made = [done(), node("n02").cordoned()]
    assert deciding(*made, state={"wave": 1, "leftover_since": ago(599)}).state.outcome is None
    found = deciding(*made, state={"wave": 1, "leftover_since": ago(600)}).state
    assert (found.outcome, found.phase) == (Phase.SUCCEEDED, Phase.PENDING)


def test_opted_out_nodes_are_not_waited_for() -> None:
    out = node("n02").but(opted_out="label plan.patchwright.dev/openssl=disabled")
    assert deciding(done(), out, state={"wave": 1}).state.outcome is Phase.SUCCEEDED


def test_a_rollout_whose_targets_all_have_the_change_succeeds_at_once() -> None:
    decision = deciding(node().but(installed=CHANGE))
    assert (decision.state.outcome, decision.state.message) == (
        Phase.SUCCEEDED,
        "1 of 1 nodes have version 3.0.17",
    )


def test_policy_is_asked_about_the_next_wave_by_name() -> None:
    decision = deciding(done(), *REST, state={"wave": 1, "policy": None}, policy=policy(waves=[2]))
    assert actions(decision) == (AskPolicy(1, 2, ("n02", "n03")),)
    assert (decision.state.phase, decision.state.message) == (
        Phase.PROGRESSING,
        "wave 1: 0 of 2 done, 0 in flight; asks policy",
    )
