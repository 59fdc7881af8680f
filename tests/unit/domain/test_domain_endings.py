"""How rollouts end: what is recorded, what is removed, and when the phase is terminal (L6, L9)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from patchwright.domain.actions import DeleteJobs, DropFinalizer, Remember, Uncordon
from patchwright.domain.decide import decide
from patchwright.domain.nodes.record import Mark
from patchwright.domain.snapshot import Decision
from patchwright.domain.state import TERMINAL, Phase, RolloutState
from support.builders import (
    NOW,
    NodeBuilder,
    actions,
    ago,
    cause,
    deciding,
    node,
    nodes,
    noted,
    planned,
    policy,
    rollout,
    snapshot,
)

DELETING = rollout(deleting=True)


def ended(outcome: Phase, **changes: Any) -> RolloutState:
    return replace(planned(policy(), 3), outcome=outcome, message="as it ended", **changes)


def over(phase: Phase = Phase.SUCCEEDED) -> RolloutState:
    return replace(ended(phase), phase=phase, finished_at=ago(99))


def done(name: str) -> NodeBuilder:
    return node(name).record(Mark.DONE, seconds=3600)


def released(decision: Decision) -> list[str]:
    return [action.node.name for action in actions(decision) if isinstance(action, Uncordon) and action.record is None]


# --- success ----------------------------------------------------------------------------------------------------------


def test_success_names_what_was_left_out_what_failed_and_what_is_lost() -> None:
    made = [
        done("n01"),
        node("n02").record(Mark.RESTORED, failed=True, wave=1),
        node("n03").cordoned(),
        node("n04").not_ready(),
    ]
    lost = replace(noted(node("n09"), wave=1), message="n09 vanished while Draining")
    state = {"wave": 1, "leftover_since": ago(600), "vanished": (lost,)}
    found = deciding(*made, state=state, policy=policy(failure_threshold=5)).state
    assert found.outcome is Phase.SUCCEEDED
    assert found.message == (
        "1 of 4 nodes have version 3.0.17; left out: n03 (somebody else cordoned it; uncordon it to have it patched) "
        "and 1 more; failed: 1, first n02; lost: 1, first n09"
    )


def test_one_that_is_left_out_is_named_alone() -> None:
    out = node("n02").but(opted_out="label x=disabled")
    assert deciding(done("n01"), out, state={"wave": 1}).state.message.endswith(
        "left out: n02 (it is kept out by label x=disabled)"
    )


# --- undone -----------------------------------------------------------------------------------------------------------


def undone(*made: NodeBuilder, **changes: Any) -> RolloutState:
    return deciding(*made, state={"wave": 1, "cause": cause(message="it failed"), **changes}).state


def test_when_everything_is_put_back_it_has_rolled_back() -> None:
    found = undone(node("n01").record(Mark.RESTORED), node("n02").record(Mark.RESTORED), node("n03"))
    assert (found.outcome, found.message) == (Phase.ROLLED_BACK, "it failed; put back: 2")


def test_with_nodes_that_need_a_person_it_has_failed_and_names_them() -> None:
    stuck = [node(f"q{number}").record(Mark.QUARANTINED) for number in range(7)]
    found = undone(*stuck)
    assert (found.outcome, found.message) == (
        Phase.FAILED,
        "it failed; needs a person: q0, q1, q2, q3, q4 and 2 more",
    )


def test_a_lost_node_needs_a_person_too() -> None:
    found = undone(node("n01").record(Mark.RESTORED), vanished=(noted(node("n09")),))
    assert found.message == "it failed; put back: 1; needs a person: n09"
    assert found.outcome is Phase.FAILED


def test_with_nodes_that_keep_the_new_version_it_has_failed() -> None:
    spec = replace(policy(), rollback=replace(policy().rollback, enabled=False))
    decision = deciding(done("n01"), state={"wave": 1, "cause": cause(message="it failed")}, policy=spec)
    assert (decision.state.outcome, decision.state.message) == (Phase.FAILED, "it failed; 1 keep the new version")


# --- removing every mark (L6) -----------------------------------------------------------------------------------------


def test_the_phase_is_not_terminal_while_a_mark_is_left() -> None:
    decision = deciding(done("n01"), node("n02").record(Mark.RESTORED), node("n03"), state=ended(Phase.SUCCEEDED))
    assert released(decision) == ["n01", "n02"]
    assert decision.state.phase is Phase.PENDING


def test_the_phase_is_not_terminal_while_a_job_is_left() -> None:
    decision = deciding(*nodes(2), state=ended(Phase.SUCCEEDED), jobs_left=3)
    assert actions(decision) == (DeleteJobs(rollout().uid),)
    assert decision.state.phase not in TERMINAL


@pytest.mark.parametrize("outcome", sorted(TERMINAL))
def test_when_no_mark_is_left_the_outcome_becomes_the_phase(outcome: Phase) -> None:
    decision = deciding(*nodes(2), state=ended(outcome))
    assert actions(decision) == ()
    assert (decision.state.phase, decision.state.finished_at) == (outcome, NOW)
    assert not decision.again


def test_the_moment_of_its_end_is_kept() -> None:
    assert deciding(*nodes(2), state=ended(Phase.FAILED, finished_at=ago(5))).state.finished_at == ago(5)


def test_a_quarantined_node_keeps_its_mark_after_the_end_and_is_named_in_status() -> None:
    stuck = node("n01").record(Mark.QUARANTINED)
    first = deciding(stuck, state={"wave": 1, "cause": cause()}).state
    last = deciding(stuck, state=first, remembered_here=True).state
    assert last.phase is Phase.FAILED
    assert [note.name for note in last.quarantined] == ["n01"]


def test_a_cordon_that_arrives_after_the_end_was_decided_is_taken_back() -> None:
    (gone,) = actions(deciding(node("n01").record(Mark.DRAINING), state=ended(Phase.SUPERSEDED)))
    assert isinstance(gone, Uncordon)
    assert (gone.record, gone.keep_cordon) == (None, False)


# --- memory (L9) ------------------------------------------------------------------------------------------------------


def test_what_failed_is_written_down_before_the_rollout_is_over() -> None:
    decision = deciding(*nodes(2), state=ended(Phase.ROLLED_BACK, cause=cause(message="exit code 1")))
    assert actions(decision) == (Remember(rollout().change_id, "3.0.17", "CanaryFailed", "exit code 1"),)
    assert decision.state.phase not in TERMINAL


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param({"remembered_here": True}, "CanaryFailed", id="it is written down"),
        pytest.param({}, "Aborted", id="people undid it"),
        pytest.param({}, "DrainTimeout", id="a drain was blocked: that says nothing about the version"),
        pytest.param({"policy": policy(deleting=True)}, "CanaryFailed", id="the memory is going itself"),
    ],
)
def test_nothing_is_written_down_when(changes: dict[str, Any], why: str) -> None:
    decision = deciding(*nodes(2), state=ended(Phase.ROLLED_BACK, cause=cause(why)), **changes)
    assert actions(decision) == ()
    assert decision.state.phase is Phase.ROLLED_BACK


# --- afterwards -------------------------------------------------------------------------------------------------------


def test_a_rollout_that_is_over_stays_as_it_is() -> None:
    made = snapshot(*nodes(2), state=over(), superseded_by="b", trouble="x")
    assert decide(made) == Decision(made.state)


def test_a_deleted_rollout_is_let_go_when_its_last_mark_is_gone() -> None:
    stuck = node("n01").record(Mark.QUARANTINED)
    (gone,) = actions(deciding(stuck, state=over(Phase.FAILED), rollout=DELETING))
    assert isinstance(gone, Uncordon)
    assert gone.keep_cordon, "a quarantined node stays cordoned, as a person's"
    assert actions(deciding(node("n01"), state=over(), rollout=DELETING, jobs_left=1)) == (DeleteJobs(rollout().uid),)
    assert actions(deciding(node("n01"), state=over(), rollout=DELETING)) == (DropFinalizer(rollout().uid),)


def test_without_our_finalizer_there_is_nothing_to_let_go() -> None:
    assert actions(deciding(node("n01"), state=over(), rollout=DELETING, finalizer=False)) == ()


def test_deleting_a_rollout_midway_ends_it_and_lets_it_go_at_once() -> None:
    first = deciding(*nodes(2), state={"wave": 1}, rollout=DELETING).state
    assert (first.outcome, first.cause and first.cause.reason) == (Phase.ROLLED_BACK, "Deleted")
    second = deciding(*nodes(2), state=first, rollout=DELETING)
    assert (second.state.phase, second.again) == (Phase.ROLLED_BACK, True)
    assert actions(deciding(*nodes(2), state=second.state, rollout=DELETING)) == (DropFinalizer(rollout().uid),)
