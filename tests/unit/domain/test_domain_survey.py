"""The fleet at a glance, and what ``decide`` makes of a memory that was lost."""

from __future__ import annotations

from dataclasses import replace

from patchwright.api.rolloutstate import state_to_status, status_to_state
from patchwright.domain import survey
from patchwright.domain.actions import Cordon, ListPods
from patchwright.domain.nodes.procedure import NodeKind
from patchwright.domain.nodes.record import Mark
from patchwright.domain.snapshot import earliest
from patchwright.domain.state import Phase, RolloutState
from patchwright.domain.targets import Stage
from support.builders import NOW, actions, allowed, brief, deciding, node, nodes, noted, policy


def test_what_was_touched_comes_in_one_order_in_every_process() -> None:
    made = [node(mark.name.lower()).record(mark).view for mark in reversed(Mark)]
    found = survey.take(made, NodeKind(), brief(), RolloutState()).touched
    assert [stand.standing.stage for stand in found] == [
        Stage.PREPARING, Stage.PREPARED, Stage.WORKING, Stage.WORKING, Stage.DONE, Stage.FAILED, Stage.RESTORING,
        Stage.RESTORING, Stage.RESTORED, Stage.QUARANTINED,
    ]  # fmt: skip


def test_once_the_end_is_decided_nothing_is_lost_any_more() -> None:
    state = RolloutState(outcome=Phase.SUCCEEDED, in_flight=(noted(node()),))
    assert survey.take([], NodeKind(), brief(), state).lost == ()


def test_a_failure_without_a_time_is_told_after_those_that_have_one() -> None:
    timeless = replace(noted(node("a")), since=None)
    state = RolloutState(wave=1, vanished=(timeless, noted(node("b"))))
    found = survey.take([], NodeKind(), brief(), state)
    assert found.failures == 2
    assert found.first_failure is not None
    assert found.first_failure.name == "b"
    alone = survey.take([], NodeKind(), brief(), RolloutState(vanished=(timeless,)))
    assert alone.first_failure == timeless


def test_the_earliest_of_no_times_is_none() -> None:
    assert earliest(None, None) is None
    assert earliest(None, NOW) == NOW


# A watch of nodes may be ahead of the one of rollouts, and people may wipe a status.
def test_a_status_that_was_wiped_midway_is_planned_again_before_anything_new_starts() -> None:
    made = [node("n01").record(Mark.DRAINING), *nodes(4)[1:]]
    lost = deciding(*made, state=RolloutState(), policy=policy(max_unavailable=4, canary=2))
    assert actions(lost) == ()
    assert lost.state.plan is not None
    found = deciding(*made, state=replace(lost.state, policy=allowed(0)), policy=policy(max_unavailable=4, canary=2))
    assert [type(action) for action in actions(found)] == [ListPods, Cordon]


def test_the_first_answer_for_a_rollout_that_has_begun_is_taken_only_for_its_wave() -> None:
    state = {"wave": 1, "policy": allowed(1, seconds=9)}
    found = deciding(node("n01").record(Mark.DONE), *nodes(4)[1:], state=state, answer=allowed(-1))
    assert found.state.policy == allowed(1, seconds=9)


# A state that is never equal to what was read back of it is written again and again.
def test_a_long_message_makes_no_state_that_status_cannot_hold() -> None:
    long = node("n" * 253)
    bad = long.record(Mark.FAILED, wave=1, message="x" * 400, reason="ApplyFailed")
    for made, state in (([bad], {"wave": 1}), ([], {"wave": 1, "in_flight": (noted(long, wave=1),)})):
        found = deciding(*made, node("n02"), state=state, policy=policy(failure_threshold=9)).state
        assert status_to_state(state_to_status(found, now=NOW)) == found
