"""What an operator began that did not know yet that the rollout was ending: the simulator found each of these."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from patchwright.domain.actions import JobStep, StartJob, Uncordon
from patchwright.domain.actions import Mark as WriteRecord
from patchwright.domain.nodes.record import Mark
from patchwright.domain.state import Phase, RolloutState
from support.builders import actions, ago, cause, deciding, node, noted, planned, policy, rollout


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
