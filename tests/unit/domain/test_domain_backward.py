"""The way back: what halts a rollout, how far it is undone, in which order, and what the change is blamed for."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from patchwright.domain import health
from patchwright.domain.actions import Cordon, DeleteJob, JobStep, ListPods, StartJob, Uncordon
from patchwright.domain.actions import Mark as WriteRecord
from patchwright.domain.checks import HealthCheck, HttpCheck
from patchwright.domain.health import CheckState, Finding, Measurement
from patchwright.domain.model import MaintenanceWindow, Rollback, RollbackScope
from patchwright.domain.nodes.record import Mark
from patchwright.domain.snapshot import Decision
from patchwright.domain.state import Phase
from support.builders import (
    NOW,
    NodeBuilder,
    actions,
    ago,
    cause,
    deciding,
    denied,
    node,
    nodes,
    noted,
    pod,
    policy,
    rollout,
)

FLEET = nodes(6)
FAILED = node("n01").record(Mark.FAILED, message="its apply Job failed with exit code 1", reason="ApplyFailed")
HALTED: dict[str, Any] = {"wave": 1, "cause": cause()}


def starts(decision: Decision) -> list[str]:
    """Give the nodes that are begun: claimed to be patched."""
    begun = [action for action in actions(decision) if isinstance(action, Cordon)]
    return [action.node.name for action in begun if action.record.mark is Mark.DRAINING]


def turned(decision: Decision) -> list[str]:
    """Give the finished nodes that begin to be put back."""
    begun = [action for action in actions(decision) if isinstance(action, Cordon | WriteRecord)]
    return [action.node.name for action in begun if action.record.mark is Mark.UNDRAINING]


def done(name: str, *, wave: int = 1, **changes: Any) -> NodeBuilder:
    return node(name).record(Mark.DONE, seconds=60, wave=wave, **changes)


def scope(value: RollbackScope, **changes: Any) -> Any:
    return policy(rollback=Rollback(scope=value), **changes)


def reason(decision: Decision) -> str:
    assert decision.state.cause is not None
    return decision.state.cause.reason


def sick(seconds: float, *, timeout: float = 60) -> CheckState:
    made = CheckState(HealthCheck("web", HttpCheck("http://web"), timeout=timedelta(seconds=timeout)))
    finding = (Finding("web", "web is down"),)
    first = health.observe(made, Measurement(ago(seconds), finding), {})
    return health.observe(first, Measurement(ago(0), finding), {})


# --- what halts a rollout ---------------------------------------------------------------------------------------------


def test_a_failed_canary_halts_the_rollout_whatever_the_threshold() -> None:
    decision = deciding(FAILED, *FLEET[1:], policy=policy(failure_threshold="100%", max_unavailable=9, canary=3))
    assert reason(decision) == "CanaryFailed"
    assert starts(decision) == []
    assert decision.state.phase is Phase.ROLLING_BACK
    assert decision.state.message == (
        "rolling back (1 to go): canary n01 failed: its apply Job failed with exit code 1"
    )


def test_after_the_canary_failures_halt_at_the_threshold_and_not_before() -> None:
    bad = [node(f"x{n}").record(Mark.FAILED, wave=1, seconds=9 - n, message="boom") for n in range(2)]
    two = {"state": {"wave": 1}, "policy": policy(failure_threshold=2, max_unavailable=9)}
    assert deciding(bad[0], *FLEET, **two).state.cause is None
    decision = deciding(*bad, *FLEET, **two)
    assert reason(decision) == "FailureThreshold"
    assert decision.state.cause is not None
    assert decision.state.cause.message == "2 of 8 failed (failureThreshold 2), first x0: boom"
    assert starts(decision) == []


def test_failures_count_though_they_were_put_back_and_to_the_last_wave() -> None:
    restored = node("x0").record(Mark.RESTORED, wave=1, failed=True, seconds=999)
    bad = node("x1").record(Mark.FAILED, wave=3)
    assert reason(deciding(restored, bad, *FLEET, state={"wave": 3}, policy=policy(failure_threshold=2))) == (
        "FailureThreshold"
    )


def test_a_health_check_that_has_used_up_its_timeout_halts_the_rollout() -> None:
    assert deciding(done("n01", wave=0), *FLEET[1:], checks=(sick(59),)).state.cause is None
    decision = deciding(done("n01", wave=0), *FLEET[1:], checks=(sick(60),))
    assert reason(decision) == "HealthCheckFailed"
    assert turned(decision) == ["n01"]


def test_health_is_not_blamed_on_a_rollout_that_has_touched_nothing() -> None:
    assert deciding(*FLEET, checks=(sick(600),)).state.cause is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"rollout": rollout(deleting=True)}, "Deleted"),
        ({"rollout": rollout(abort=True)}, "Aborted"),
        ({"policy": policy(deleting=True)}, "PolicyDeleted"),
    ],
)
def test_people_undo_a_rollout(changes: dict[str, Any], why: str) -> None:
    made = [done("n01"), node("n02").record(Mark.DRAINING), *FLEET[2:]]
    decision = deciding(*made, state={"wave": 1}, **changes)
    assert reason(decision) == why
    assert turned(decision) == []
    (undo,) = [action for action in actions(decision) if isinstance(action, Uncordon)]
    assert not undo.keep_cordon
    assert turned(deciding(done("n01"), *FLEET[2:], state={"wave": 1}, **changes)) == ["n01"]


def test_what_is_passed_over_of_a_rollout_that_is_being_deleted_is_said() -> None:
    faulty = rollout(deleting=True, ignored=("abort: must be true", "status.phase: is none"))
    decision = deciding(done("n01"), *FLEET[2:], state={"wave": 1}, rollout=faulty)
    assert decision.state.message == (
        "rolling back (1 to go): the rollout is being deleted (passed over: abort: must be true; status.phase: is none)"
    )


def test_a_rollout_that_never_began_has_nothing_to_undo() -> None:
    assert deciding(*FLEET, rollout=rollout(abort=True)).state.outcome is Phase.ROLLED_BACK


# --- nothing stands in its way ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"rollout": rollout(paused=True)}, id="paused"),
        pytest.param({"policy": policy(suspend=True)}, id="suspended"),
        pytest.param({"policy": policy(max_unavailable=0)}, id="no budget"),
        pytest.param({"policy": policy(windows=(MaintenanceWindow("0 2 * * *", timedelta(hours=1)),))}, id="window"),
        pytest.param({"state": {**HALTED, "policy": denied(1, "no")}}, id="policy denies"),
        pytest.param({"state": {**HALTED, "policy": None}}, id="OPA is away"),
        pytest.param({"superseded_by": "new"}, id="superseded"),
    ],
)
def test_putting_back_asks_nobody(changes: dict[str, Any]) -> None:
    assert turned(deciding(done("n01"), *FLEET[1:], **({"state": HALTED} | changes))) == ["n01"]


def test_a_recorded_cause_stays_though_the_failure_is_not_seen_any_more() -> None:
    assert deciding(done("n01"), *FLEET[1:], state=HALTED).state.cause == cause()


# --- how far ----------------------------------------------------------------------------------------------------------

SPREAD = [done("n01", wave=0), done("n02"), node("n03").record(Mark.FAILED, wave=1), *FLEET[3:]]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (RollbackScope.ALL, ["n01", "n02"]),
        (RollbackScope.WAVE, ["n02"]),
        (RollbackScope.TARGET, []),
    ],
)
def test_the_scope_says_how_far_finished_nodes_are_put_back(value: RollbackScope, wanted: list[str]) -> None:
    decision = deciding(*SPREAD, state=HALTED, policy=scope(value, max_unavailable=9))
    assert turned(decision) == wanted
    reverting = [action for action in actions(decision) if isinstance(action, WriteRecord)]
    assert [(action.node.name, action.record.mark) for action in reverting] == [("n03", Mark.REVERTING)]


def test_people_undo_all_of_it_whatever_the_scope() -> None:
    aborted = {"wave": 1, "cause": cause("Aborted", "aborted")}
    decision = deciding(*SPREAD, state=aborted, policy=scope(RollbackScope.TARGET, max_unavailable=9))
    assert turned(decision) == ["n01", "n02"]


def test_with_rollback_disabled_finished_nodes_keep_the_new_version_and_failed_ones_are_quarantined() -> None:
    decision = deciding(*SPREAD, state=HALTED, policy=policy(rollback=Rollback(enabled=False)))
    (write,) = actions(decision)
    assert isinstance(write, WriteRecord)
    assert (write.node.name, write.record.mark) == ("n03", Mark.QUARANTINED)


# --- what is under way (L3) -------------------------------------------------------------------------------------------


# Under every scope: a known bad patch is not applied to one node more.
@pytest.mark.parametrize("value", RollbackScope)
@pytest.mark.parametrize("enabled", [True, False])
def test_a_node_that_is_only_drained_is_given_back_at_once(value: RollbackScope, enabled: bool) -> None:
    spec = policy(rollback=Rollback(enabled, value))
    drained = node("n02").record(Mark.DRAINING, wave=1).pods()
    (undo,) = actions(deciding(drained, *FLEET[2:], state=HALTED, policy=spec))
    assert isinstance(undo, Uncordon)
    assert not undo.keep_cordon
    assert undo.record is not None
    assert (undo.record.mark, undo.record.failed) == (Mark.RESTORED, False)


def test_a_node_whose_job_runs_is_not_stopped_half_way() -> None:
    running = node("n02").record(Mark.APPLYING, wave=1).job(JobStep.APPLY)
    decision = deciding(running, *FLEET[2:], state=HALTED)
    assert actions(decision) == ()
    assert decision.state.message.startswith("rolling back (1 to go)")
    assert decision.wake == ago(1) + timedelta(seconds=600)


def test_a_node_between_two_jobs_is_turned_round() -> None:
    between = node("n02").record(Mark.APPLYING, wave=1).succeeded(JobStep.APPLY)
    write, start = actions(deciding(between, *FLEET[2:], state=HALTED))
    assert isinstance(write, WriteRecord)
    assert write.record.mark is Mark.REVERTING
    assert isinstance(start, StartJob)
    assert start.step is JobStep.ROLLBACK


def test_with_rollback_disabled_a_node_between_two_jobs_is_finished_and_not_left_half_way() -> None:
    between = node("n02").record(Mark.APPLYING, wave=1).succeeded(JobStep.APPLY)
    (last,) = actions(deciding(between, *FLEET[2:], state=HALTED, policy=policy(rollback=Rollback(enabled=False))))
    assert isinstance(last, Uncordon)
    assert last.record is not None
    assert last.record.mark is Mark.DONE


def test_a_job_that_will_never_end_is_deleted_first() -> None:
    endless = node("n02").record(Mark.FAILED, wave=1).job(JobStep.APPLY)
    fence, gone = actions(deciding(endless, *FLEET[2:], state=HALTED))
    assert isinstance(fence, WriteRecord)
    assert isinstance(gone, DeleteJob)
    deleting = node("n02").record(Mark.FAILED, wave=1).job(JobStep.APPLY, deleting=True)
    assert actions(deciding(deleting, *FLEET[2:], state=HALTED)) == ()


def test_what_goes_back_already_goes_on() -> None:
    back = node("n02").record(Mark.UNDRAINING, wave=1)
    assert [type(action) for action in actions(deciding(back, *FLEET[2:], state=HALTED))] == [ListPods]


def test_a_node_that_falls_over_is_recorded_before_the_rollout_turns() -> None:
    fallen = done("n01", wave=0).not_ready()
    (write,) = actions(deciding(fallen, *FLEET[1:]))
    assert isinstance(write, WriteRecord)
    assert write.record.mark is Mark.FAILED


# --- how many at once (L1) --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "others", "wanted"),
    [
        pytest.param(2, [], 2, id="as many as the budget allows"),
        pytest.param(3, [node("y").cordoned(), node("z").not_ready()], 1, id="others' nodes take their room"),
        pytest.param(1, [node("y").cordoned(), node("z").cordoned()], 1, id="one at least"),
        pytest.param(0, [], 1, id="one at least, also without a budget"),
        pytest.param(2, [node("y").record(Mark.REVERTING).job(JobStep.ROLLBACK)], 1, id="those under way take theirs"),
        pytest.param(1, [node("y").record(Mark.REVERTING).job(JobStep.ROLLBACK)], 0, id="and leave none"),
    ],
)
def test_finished_nodes_are_put_back_within_the_budget(budget: int, others: list[NodeBuilder], wanted: int) -> None:
    made = [done(f"d{n}") for n in range(5)]
    assert len(turned(deciding(*made, *others, state=HALTED, policy=policy(max_unavailable=budget)))) == wanted


def test_nodes_that_the_patch_has_broken_take_no_room_from_their_own_rollback() -> None:
    broken = [done(f"d{n}").not_ready() for n in range(5)]
    assert len(turned(deciding(*broken, state=HALTED, policy=policy(max_unavailable=3)))) == 3


def test_control_planes_and_zones_take_turns_on_the_way_back_too() -> None:
    leads = [done(f"cp{n}").control_plane() for n in range(3)]
    assert turned(deciding(*leads, state=HALTED, policy=policy(max_unavailable=9))) == ["cp0"]
    zones = [done("a1").zone("a"), done("a2").zone("a"), done("b1").zone("b")]
    by_zone = policy(max_unavailable=9, topology_key="zone")
    assert turned(deciding(*zones, state=HALTED, policy=by_zone)) == ["a1", "a2"]


# --- what is lost (4.15) ----------------------------------------------------------------------------------------------


def test_a_node_that_vanishes_in_flight_frees_its_slot_and_counts_as_failed() -> None:
    gone = node("n01").record(Mark.APPLYING)
    decision = deciding(*FLEET[1:], state={"in_flight": (noted(gone, "Applying"),)})
    assert decision.state.cause is not None
    assert decision.state.cause.message == "canary n01 failed: n01 vanished while Applying"
    assert [note.name for note in decision.state.vanished] == ["n01"]
    assert decision.state.counts.unavailable == 0


def test_slots_are_kept_by_uid_so_a_new_node_of_the_same_name_is_no_heir() -> None:
    heir = node("n01").but(uid="another")
    decision = deciding(heir, *FLEET[1:], state={"wave": 1, "in_flight": (noted(node("n01")),)})
    assert [note.uid for note in decision.state.vanished] == ["uid-n01"]


def test_what_vanished_stays_counted() -> None:
    lost = replace(noted(node("n01")), reason="Vanished", message="n01 vanished while Draining")
    decision = deciding(*FLEET[1:], state={"wave": 1, "vanished": (lost,)})
    assert reason(decision) == "Vanished"


@pytest.mark.parametrize(
    "left",
    [node("n01"), node("n01").foreign_record().uncordoned(), node("n01").but(record_fault="x")],
    ids=["removed", "taken over", "broken"],
)
def test_a_node_whose_record_is_taken_away_in_flight_counts_as_failed_and_is_not_started_again(
    left: NodeBuilder,
) -> None:
    state = {"wave": 1, "in_flight": (noted(node("n01"), wave=1),)}
    decision = deciding(left, *FLEET[1:], state=state, policy=policy(failure_threshold=2, max_unavailable=2))
    assert starts(decision) == ["n02", "n03"]
    assert decision.state.counts.failed == 1
    assert decision.state.skipped[0].reason == "StateLost"
    assert "removed or changed by hand while Draining; check what is on it" in decision.state.skipped[0].message


# --- blame (L9) -------------------------------------------------------------------------------------------------------


def test_a_drain_that_a_budget_blocked_says_nothing_about_the_version() -> None:
    blocked = pod("db-0")
    late = node("n01").record(Mark.DRAINING, started_at=NOW - timedelta(minutes=10)).pods(blocked)
    (undo,) = actions(deciding(late, *FLEET[1:]))
    assert isinstance(undo, Uncordon)
    assert undo.record is not None
    given_back = node("n01").but(record=undo.record)
    assert reason(deciding(given_back, *FLEET[1:])) == "DrainTimeout"
    assert reason(deciding(given_back, *FLEET[1:], state={"wave": 1})) == "DrainTimeout"


def test_one_node_that_the_change_was_begun_on_is_enough_to_blame_it() -> None:
    drained = node("n02").record(Mark.RESTORED, failed=True, applied=False, reason="DrainTimeout", seconds=99)
    assert reason(deciding(FAILED, drained, *FLEET[2:])) == "CanaryFailed"


def test_the_first_failure_is_the_one_that_is_told() -> None:
    first = node("n02").record(Mark.FAILED, seconds=50, message="first")
    decision = deciding(FAILED, first, *FLEET[2:])
    assert decision.state.cause is not None
    assert decision.state.cause.target == "n02"
