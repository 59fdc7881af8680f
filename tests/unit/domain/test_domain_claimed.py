"""The engine and what is only claimed: its cordon has to pass every gate again, and nothing is lost with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from patchwright.domain import health, survey
from patchwright.domain.actions import (
    AskPolicy,
    Cordon,
    DeleteJob,
    DeleteJobs,
    DropFinalizer,
    JobStep,
    StartJob,
    Uncordon,
)
from patchwright.domain.actions import Mark as WriteRecord
from patchwright.domain.checks import HealthCheck, HttpCheck
from patchwright.domain.health import CheckState, Finding, Measurement
from patchwright.domain.model import MaintenanceWindow, Quantity, Rollback, RollbackScope
from patchwright.domain.nodes import jobs
from patchwright.domain.nodes.procedure import NodeKind
from patchwright.domain.nodes.record import Mark
from patchwright.domain.nodes.view import Outcome
from patchwright.domain.snapshot import Decision
from patchwright.domain.state import Phase, RolloutState
from support.builders import (
    NOW,
    PREPARED,
    NodeBuilder,
    actions,
    ago,
    allowed,
    brief,
    cause,
    deciding,
    denied,
    node,
    nodes,
    noted,
    policy,
    rollout,
)

PREPARES = rollout(prepare=PREPARED)
FLEET = nodes(6)
WIDE = {"canary": 3, "max_unavailable": 3}


def claimed(name: str = "n01", *, wave: int = 0, **changes: Any) -> NodeBuilder:
    """Give a node whose prepare Job runs."""
    return node(name).record(Mark.PREPARING, wave=wave, **changes).job(JobStep.PREPARE)


def prepared(name: str = "n01", *, wave: int = 0) -> NodeBuilder:
    """Give a node whose prepare Job has just succeeded."""
    return node(name).record(Mark.PREPARING, wave=wave).job(JobStep.PREPARE, Outcome.SUCCEEDED)


def waiting(name: str = "n01", *, wave: int = 0) -> NodeBuilder:
    """Give a node that was prepared and had to wait."""
    return node(name).record(Mark.PREPARED, wave=wave)


def running(name: str, *, wave: int = 0) -> NodeBuilder:
    return node(name).record(Mark.APPLYING, wave=wave).job(JobStep.APPLY)


def decide(*made: NodeBuilder, **changes: Any) -> Decision:
    return deciding(*made, **{"rollout": PREPARES, **changes})


def begun(decision: Decision) -> list[str]:
    """Give the nodes that are claimed."""
    starts = [action for action in actions(decision) if isinstance(action, StartJob)]
    return [action.node.name for action in starts if action.step is JobStep.PREPARE]


def cordoned(decision: Decision) -> list[str]:
    return [action.node.name for action in actions(decision) if isinstance(action, Cordon)]


def marked(decision: Decision) -> list[str]:
    """Give the nodes that are written down as prepared."""
    written = [action for action in actions(decision) if isinstance(action, WriteRecord)]
    return [action.node.name for action in written if action.record.mark is Mark.PREPARED]


# --- how many (L1) ----------------------------------------------------------------------------------------------------


def test_a_canary_is_claimed_first_and_counts_as_begun() -> None:
    decision = decide(*FLEET)
    assert (begun(decision), cordoned(decision), decision.begins) == (["n01"], [], True)
    assert (decision.state.phase, decision.state.started_at) == (Phase.CANARY, NOW)
    assert decision.state.message == "starts n01"


def test_no_more_are_prepared_than_may_be_cordoned() -> None:
    assert begun(decide(*FLEET, policy=policy(**WIDE))) == ["n01", "n02", "n03"]
    assert begun(decide(claimed(), *FLEET[1:], policy=policy(**WIDE))) == ["n02", "n03"]
    assert begun(decide(waiting(), running("n02"), *FLEET[2:], policy=policy(**WIDE))) == ["n03"]
    assert begun(decide(claimed(), *FLEET[1:5], FLEET[5].not_ready(), policy=policy(**WIDE))) == ["n02"]


def test_what_is_prepared_is_cordoned_and_that_is_a_start_which_the_status_is_written_before() -> None:
    decision = decide(prepared(), *FLEET[1:])
    assert (cordoned(decision), marked(decision), decision.begins) == (["n01"], [], True)
    assert decision.state.message == "canary: 0 of 1 done, 1 in flight (1 prepared); takes out of service n01"


def test_a_node_that_is_prepared_is_available_and_in_flight_in_status() -> None:
    counts = decide(claimed(), *FLEET[1:]).state.counts
    assert (counts.in_flight, counts.unavailable, counts.by_step) == (1, 0, {"Preparing": 1})
    assert [note.name for note in decide(claimed(), *FLEET[1:]).state.in_flight] == ["n01"]


def test_its_place_may_be_gone_when_it_is_prepared_and_then_it_waits_and_that_is_said() -> None:
    decision = decide(prepared(), *FLEET[1:5], FLEET[5].not_ready("kubelet"))
    assert (cordoned(decision), marked(decision), begun(decision)) == ([], ["n01"], [])
    assert decision.state.message == (
        "canary: 0 of 1 done, 1 in flight (1 prepared); 1 of 6 are unavailable (n06), all that maxUnavailable 1 allows"
    )
    assert cordoned(decide(waiting(), *FLEET[1:])) == ["n01"]


def test_of_several_that_are_prepared_as_many_are_cordoned_as_there_is_room_for() -> None:
    made = [prepared("n01"), prepared("n02"), prepared("n03"), *FLEET[3:5], FLEET[5].not_ready()]
    decision = decide(*made, policy=policy(**WIDE))
    assert (cordoned(decision), marked(decision)) == (["n01", "n02"], ["n03"])
    assert "takes out of service n01 and 1 more" in decision.state.message


def test_with_all_the_room_in_use_by_its_own_work_it_says_who_has_it() -> None:
    decision = decide(running("n01"), waiting("n02"), *FLEET[2:], policy=policy(canary=2, max_unavailable=1))
    assert cordoned(decision) == []
    assert "1 of 6 are unavailable (n01), all that maxUnavailable 1 allows" in decision.state.message


def test_while_others_are_being_prepared_it_says_what_they_do() -> None:
    decision = decide(claimed(), *FLEET[1:5], FLEET[5].not_ready())
    assert decision.state.message == "canary: 0 of 1 done, 1 in flight; n01 runs its prepare Job"


def test_claims_and_cordons_are_told_in_one_sentence() -> None:
    made = [prepared("n01"), *FLEET[1:]]
    decision = decide(*made, policy=policy(canary=2, max_unavailable=2))
    assert (cordoned(decision), begun(decision)) == (["n01"], ["n02"])
    assert decision.state.message.endswith("starts n02, takes out of service n01")


def test_never_two_zones_at_once_among_what_is_prepared() -> None:
    by_zone = policy(canary=3, max_unavailable=6, topology_key="zone")
    made = [claimed("a1").zone("a"), node("a2", zone="a"), node("b1", zone="b")]
    assert begun(decide(*made, policy=by_zone)) == ["a2"]


def test_of_control_planes_one_at_a_time_is_prepared_and_none_is_cordoned_while_another_is_away() -> None:
    planes = [waiting("m1").control_plane(), node("m2").control_plane(), node("m3").control_plane()]
    wide = policy(canary=3, max_unavailable=3)
    assert (cordoned(decide(*planes, policy=wide)), begun(decide(*planes, policy=wide))) == (["m1"], [])
    held = decide(planes[0], planes[1].not_ready(), planes[2], policy=wide)
    assert cordoned(held) == []
    assert held.state.message.endswith("m1 goes one at a time, and another such node is unavailable")


# --- every gate again -------------------------------------------------------------------------------------------------

SHUT = policy(windows=(MaintenanceWindow("0 2 * * *", timedelta(hours=1)),))
SHORT = policy(windows=(MaintenanceWindow("0 12 * * *", timedelta(minutes=5)),))


@pytest.mark.parametrize(
    ("changes", "phase", "says"),
    [
        pytest.param(
            {"rollout": replace(PREPARES, paused=True)},
            Phase.PAUSED,
            "paused by spec.paused; what is out of service finishes, what is prepared stays in service, "
            "nothing new starts",
            id="paused",
        ),
        pytest.param(
            {"policy": policy(suspend=True)}, Phase.PAUSED, "what is prepared stays in service", id="suspended"
        ),
        pytest.param({"policy": policy(max_unavailable=0)}, Phase.CANARY, "maxUnavailable is 0", id="no budget"),
        pytest.param({"policy": SHUT}, Phase.WAITING_FOR_WINDOW, "outside the maintenance windows", id="no window"),
        pytest.param({"policy": SHORT}, Phase.WAITING_FOR_WINDOW, "too soon for a target", id="too little time left"),
        pytest.param({"state": {"policy": denied(0, "frozen")}}, Phase.CANARY, "frozen; holds here", id="denied"),
    ],
)
def test_a_prepared_node_waits_where_a_fresh_one_would(changes: dict[str, Any], phase: Phase, says: str) -> None:
    decision = decide(prepared(), *FLEET[1:], **changes)
    assert (cordoned(decision), marked(decision), decision.begins) == ([], ["n01"], False)
    assert decision.state.phase is phase
    assert says in decision.state.message


def test_a_pause_lets_a_running_prepare_job_end() -> None:
    assert actions(decide(claimed(), *FLEET[1:], rollout=replace(PREPARES, paused=True))) == ()


def test_policy_is_asked_again_about_all_that_is_claimed_when_its_answer_is_old() -> None:
    made = [waiting("n02"), claimed("n01"), *FLEET[2:]]
    asked = actions(decide(*made, policy=policy(**WIDE), state={"policy": allowed(0, seconds=301)}))
    assert [action for action in asked if isinstance(action, AskPolicy)] == [AskPolicy(0, 3, ("n01", "n02", "n03"))]


def test_policy_is_not_asked_while_nothing_can_be_begun_with() -> None:
    made = [claimed(), *FLEET[1:]]
    assert actions(decide(*made, state={"policy": allowed(0, seconds=301)})) == ()


# What fails at this very moment may be what halts the rollout (L3).
@pytest.mark.parametrize("step", [JobStep.PREPARE, JobStep.APPLY])
def test_beside_a_failure_that_is_being_written_down_nothing_begins(step: JobStep) -> None:
    mark = Mark.PREPARING if step is JobStep.PREPARE else Mark.APPLYING
    failing = node("n02").record(mark).failed(step)
    decision = decide(prepared(), failing, *FLEET[2:], policy=policy(**WIDE))
    assert (cordoned(decision), begun(decision), decision.begins) == ([], [], False)
    assert "n02: its" in decision.state.message


def test_a_superseded_rollout_ends_with_what_is_only_prepared_and_finishes_what_is_cordoned() -> None:
    ends = decide(waiting(), *FLEET[1:], superseded_by="newer")
    assert (ends.state.outcome, cordoned(ends)) == (Phase.SUPERSEDED, [])
    goes_on = decide(waiting(), running("n02"), *FLEET[2:], superseded_by="newer")
    assert (goes_on.state.outcome, cordoned(goes_on)) == (None, [])


def test_nobody_of_the_next_wave_is_claimed_before_those_of_this_one_are_through() -> None:
    decision = decide(waiting(wave=1), *FLEET[1:], state={"wave": 1}, policy=policy(waves=[1], max_unavailable=3))
    assert (cordoned(decision), begun(decision)) == (["n01"], [])


# --- what is not lost with it -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["Preparing", "Prepared"])
def test_a_node_that_vanishes_or_loses_its_record_before_its_cordon_is_no_failure(step: str) -> None:
    state = RolloutState(in_flight=(noted(node("gone"), step), noted(FLEET[0], step)))
    found = survey.take([FLEET[0].view], NodeKind(), brief(rollout=PREPARES), state)
    assert (found.lost, found.failures) == ((), 0)


def test_health_is_not_blamed_on_a_rollout_that_has_only_prepared() -> None:
    made = CheckState(HealthCheck("web", HttpCheck("http://web")))
    sick = health.observe(made, Measurement(ago(5), (Finding("web", "web is down"),)), {})
    assert decide(waiting(), *FLEET[1:], checks=(sick,)).state.cause is None
    touched = decide(waiting(), running("n02"), *FLEET[2:], checks=(sick,), policy=policy(**WIDE)).state.cause
    assert touched is not None
    assert touched.reason == "HealthCheckFailed"


# --- the way back -----------------------------------------------------------------------------------------------------

NO_IMAGE = node("n01").record(
    Mark.FAILED, applied=False, cordoned=False, reason="PrepareFailed", message="no such image"
)


def test_a_canary_that_could_not_be_prepared_ends_the_rollout_and_its_version_is_not_blamed() -> None:
    decision = decide(NO_IMAGE, *FLEET[1:])
    assert decision.state.cause is not None
    assert decision.state.cause.reason == "PrepareFailed"
    assert decision.state.cause.message == "canary n01 failed: no such image"
    assert cordoned(decision) == []
    restored = node("n01").record(Mark.RESTORED, applied=False, failed=True, reason="PrepareFailed")
    ended = decide(restored, *FLEET[1:], state={"cause": decision.state.cause})
    assert ended.state.outcome is Phase.ROLLED_BACK


@pytest.mark.parametrize("scope", RollbackScope)
@pytest.mark.parametrize("enabled", [True, False])
def test_whatever_the_scope_what_is_only_prepared_is_given_back(scope: RollbackScope, enabled: bool) -> None:
    spec = policy(rollback=Rollback(enabled, scope), **WIDE)
    decision = decide(waiting(), claimed("n02"), *FLEET[2:], policy=spec, state={"cause": cause()})
    assert [type(action) for action in actions(decision)] == [WriteRecord, DeleteJob, Uncordon]
    assert decision.state.outcome is None
    assert decision.state.message.startswith("rolling back (2 to go)")


def test_on_the_way_back_no_lost_prepare_job_is_created_again() -> None:
    lost = node("n01").record(Mark.PREPARING)
    early = decide(lost, *FLEET[1:], state={"cause": cause()})
    assert (actions(early), early.state.outcome) == ((), None)
    late = node("n01").record(Mark.PREPARING, seconds=jobs.SEEN.total_seconds())
    assert [type(action) for action in actions(decide(late, *FLEET[1:], state={"cause": cause()}))] == [Uncordon]


# --- the end (L6) -----------------------------------------------------------------------------------------------------

ENDING: dict[str, Any] = {"outcome": Phase.SUPERSEDED, "cause": cause("Superseded")}
OVER: dict[str, Any] = {**ENDING, "phase": Phase.SUPERSEDED}


@pytest.mark.parametrize("state", [ENDING, OVER], ids=["ending", "over"])
def test_a_job_of_the_prepared_is_gone_before_its_record_is(state: dict[str, Any]) -> None:
    assert [type(action) for action in actions(decide(claimed(), *FLEET[1:], state=state))] == [WriteRecord, DeleteJob]
    stopping = node("n01").record(Mark.PREPARING).job(JobStep.PREPARE, deleting=True)
    waits = decide(stopping, *FLEET[1:], state=state)
    assert (actions(waits), waits.state) == ((), replace(waits.state, **state))
    assert [type(action) for action in actions(decide(waiting(), *FLEET[1:], state=state))] == [Uncordon]


def test_at_the_end_a_job_that_may_be_on_its_way_is_waited_for_and_not_asked_for_again() -> None:
    decision = decide(node("n01").record(Mark.PREPARING, seconds=9), *FLEET[1:], state=ENDING)
    assert (actions(decision), decision.state.phase) == ((), Phase.PENDING)
    assert decision.wake == ago(9) + jobs.SEEN


def test_then_its_annotation_goes_and_every_job() -> None:
    back = node("n01").record(Mark.RESTORED, applied=False, cordoned=False)
    decision = decide(back, *FLEET[1:], state=ENDING, jobs_left=1)
    assert [type(action) for action in actions(decision)] == [Uncordon, DeleteJobs]
    gone = decide(*FLEET, state=OVER, rollout=replace(PREPARES, deleting=True))
    assert [type(action) for action in actions(gone)] == [DropFinalizer]


def test_a_budget_that_is_lowered_meanwhile_counts_at_the_cordon() -> None:
    made = [waiting("n01"), waiting("n02"), *FLEET[2:]]
    assert cordoned(decide(*made, policy=policy(canary=2, max_unavailable=2))) == ["n01", "n02"]
    assert cordoned(decide(*made, policy=policy(canary=2, max_unavailable=1))) == ["n01"]
    lowered = replace(policy(canary=2).strategy, max_unavailable=Quantity(0))
    assert cordoned(decide(*made, policy=policy(strategy=lowered))) == []
