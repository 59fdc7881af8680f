"""What an operator began that did not know yet that the rollout was ending: the simulator found each of these."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from patchwright.domain.actions import DeleteJob, JobStep, StartJob, Uncordon
from patchwright.domain.actions import Mark as WriteRecord
from patchwright.domain.nodes.record import Mark
from patchwright.domain.state import Phase, RolloutState
from support.builders import NOW, actions, ago, cause, deciding, node, noted, planned, policy, rollout


def ended(phase: Phase, **changes: Any) -> RolloutState:
    return replace(planned(policy(), 2), outcome=phase, cause=cause(), message="as it ended", **changes)


OVER = replace(ended(Phase.ROLLED_BACK), phase=Phase.ROLLED_BACK, finished_at=ago(99))


@pytest.mark.parametrize("state", [ended(Phase.ROLLED_BACK), OVER], ids=["ending", "over"])
def test_a_node_that_failed_late_is_put_back_before_its_record_is_removed(state: RolloutState) -> None:
    write, start = actions(deciding(node("n01").record(Mark.FAILED), node("n02"), state=state))
    assert isinstance(write, WriteRecord)
    assert write.record.mark is Mark.REVERTING
    assert isinstance(start, StartJob)
    assert start.step is JobStep.ROLLBACK


@pytest.mark.parametrize("state", [ended(Phase.ROLLED_BACK), OVER], ids=["ending", "over"])
def test_a_node_that_is_half_way_back_is_waited_for(state: RolloutState) -> None:
    decision = deciding(node("n01").record(Mark.REVERTING).job(JobStep.ROLLBACK), node("n02"), state=state)
    assert actions(decision) == ()
    assert decision.state.phase is state.phase
    assert decision.wake is not None


def test_a_cordon_that_came_after_the_end_is_taken_back() -> None:
    (gone,) = actions(deciding(node("n01").record(Mark.DRAINING, applied=False), node("n02"), state=OVER))
    assert isinstance(gone, Uncordon)
    assert (gone.record, gone.keep_cordon) == (None, False)


def test_a_node_that_is_given_up_after_the_outcome_is_named_all_the_same() -> None:
    decision = deciding(node("n01").record(Mark.QUARANTINED), node("n02"), state=ended(Phase.ROLLED_BACK))
    assert [note.name for note in decision.state.quarantined] == ["n01"]


def test_a_node_that_was_given_up_stays_named_after_a_deleted_rollout_has_let_go_of_it() -> None:
    given_up = ended(Phase.FAILED, quarantined=(noted(node("n01"), "Quarantined"),))
    decision = deciding(node("n01").cordoned(), node("n02"), state=given_up, rollout=rollout(deleting=True))
    assert [note.name for note in decision.state.quarantined] == ["n01"]


def test_nodes_seen_before_the_status_that_holds_their_plan_are_not_begun_again() -> None:
    decision = deciding(node("n01").record(Mark.DRAINING), node("n02"), state=RolloutState())
    assert decision.state.plan is not None
    assert (decision.again, actions(decision)) == (True, ()), "the plan is saved first, over no newer one"


HALTED: dict[str, Any] = {"wave": 1, "cause": cause()}


def test_a_node_is_not_turned_round_while_its_apply_job_may_be_on_its_way() -> None:
    asked = node("n01").record(Mark.APPLYING, wave=1, seconds=9)
    decision = deciding(asked, node("n02"), state=HALTED)
    assert (actions(decision), decision.wake) == ((), NOW + timedelta(seconds=1))

    write, _start = actions(deciding(node("n01").record(Mark.APPLYING, wave=1, seconds=10), state=HALTED))
    assert isinstance(write, WriteRecord)
    assert write.record.mark is Mark.REVERTING


def test_an_apply_job_that_is_seen_only_during_the_rollback_is_stopped_first() -> None:
    late = node("n01").record(Mark.REVERTING, wave=1)
    (gone,) = actions(deciding(late.job(JobStep.APPLY), node("n02"), state=HALTED))
    assert isinstance(gone, DeleteJob)
    assert gone.name == late.job(JobStep.APPLY).view.jobs[JobStep.APPLY].name

    assert actions(deciding(late.job(JobStep.APPLY, deleting=True), node("n02"), state=HALTED)) == ()
