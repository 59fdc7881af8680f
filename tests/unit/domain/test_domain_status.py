"""What people read: counts, notes, conditions, and trouble told in the sentence."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from patchwright.domain import health
from patchwright.domain.checks import HealthCheck, HttpCheck
from patchwright.domain.health import CheckState, Finding, Measurement
from patchwright.domain.model import FailurePolicy, MaintenanceWindow, PolicyRef
from patchwright.domain.nodes.record import Mark
from patchwright.domain.policy import Violation, Waiver
from patchwright.domain.state import NOTES_KEPT, Phase, RolloutState
from patchwright.domain.status import MESSAGE_KEPT
from support.builders import (
    CHANGE,
    NOW,
    REVISION,
    ago,
    allowed,
    cause,
    deciding,
    denied,
    no_answer,
    node,
    nodes,
    planned,
    policy,
)

FLEET = nodes(3)
CHECK = HealthCheck("web", HttpCheck("http://web"), timeout=timedelta(hours=1))


def conditions(state: RolloutState) -> dict[str, tuple[str, str, str]]:
    return {found.type: (found.status, found.reason, found.message) for found in state.conditions}


def ended(phase: Phase, **changes: Any) -> RolloutState:
    return deciding(*FLEET, state=replace(planned(policy(), 3), outcome=phase, message="so it ended", **changes)).state


def test_every_target_is_counted_where_it_stands() -> None:
    made = [
        node("a").but(installed=CHANGE),
        node("b").record(Mark.DONE),
        node("c").record(Mark.DRAINING),
        node("d").record(Mark.REVERTING),
        node("e").record(Mark.RESTORED, failed=True, wave=1),
        node("f").record(Mark.QUARANTINED, wave=1),
        node("g").cordoned(),
        node("h"),
    ]
    counts = deciding(*made, state={"wave": 1}, policy=policy(failure_threshold=9)).state.counts
    assert (counts.total, counts.updated, counts.in_flight, counts.failed) == (8, 2, 2, 2)
    assert (counts.restored, counts.skipped, counts.quarantined, counts.unavailable) == (1, 1, 1, 4)
    assert counts.by_step == {"Draining": 1, "RollingBack": 1}


def test_notes_name_wave_reason_and_since_in_a_stable_order() -> None:
    made = [node("b").record(Mark.DRAINING, wave=1), node("a").record(Mark.APPLYING, wave=1)]
    found = deciding(*made, state={"wave": 1}).state.in_flight
    assert [(note.name, note.step, note.wave, note.since) for note in found] == [
        ("a", "Applying", 1, ago(1)),
        ("b", "Draining", 1, ago(1)),
    ]


# In-flight ones are all kept: one that vanishes is known by its note. The wire cuts them at the size of an object.
def test_notes_are_capped_but_for_those_in_flight_and_counts_keep_the_total() -> None:
    many = [node(f"c{number}").cordoned() for number in range(NOTES_KEPT + 9)]
    going = [node(f"g{number}").record(Mark.DRAINING) for number in range(NOTES_KEPT + 9)]
    found = deciding(*many, *going, state={"wave": 1}).state
    assert (len(found.skipped), found.counts.skipped) == (NOTES_KEPT, NOTES_KEPT + 9)
    assert len(found.in_flight) == NOTES_KEPT + 9


# --- conditions (kstatus) ---------------------------------------------------------------------------------------------


def test_a_rollout_under_way_is_reconciling_and_nothing_else() -> None:
    found = conditions(deciding(*FLEET).state)
    assert found == {
        "PolicyEvaluated": ("True", "Allowed", f"allowed by patchwright.rollout at {REVISION}"),
        "Ready": ("False", "Canary", "starts n01"),
        "Reconciling": ("True", "Canary", "starts n01"),
    }


def test_a_rollout_that_succeeded_is_ready() -> None:
    assert conditions(ended(Phase.SUCCEEDED))["Ready"] == ("True", "Succeeded", "so it ended")
    assert set(conditions(ended(Phase.SUCCEEDED))) == {"Ready", "PolicyEvaluated"}


@pytest.mark.parametrize("phase", [Phase.FAILED, Phase.ROLLED_BACK, Phase.DENIED])
def test_a_rollout_that_ended_badly_is_stalled_with_its_cause(phase: Phase) -> None:
    found = conditions(ended(phase, cause=cause("Aborted")))
    assert found["Stalled"] == ("True", "Aborted", "so it ended")
    assert "Reconciling" not in found


def test_a_superseded_rollout_is_neither_stalled_nor_reconciling() -> None:
    assert set(conditions(ended(Phase.SUPERSEDED, cause=cause("Superseded")))) == {"Ready", "PolicyEvaluated"}


@pytest.mark.parametrize(
    ("recorded", "spec", "wanted"),
    [
        (denied(0, "why"), policy(), ("False", "Denied", "why")),
        (no_answer(0), policy(), ("Unknown", "PolicyUnavailable", "OPA does not answer")),
        (
            no_answer(0),
            policy(policy=PolicyRef(failure_policy=FailurePolicy.IGNORE)),
            ("Unknown", "FailOpen", "OPA does not answer"),
        ),
        (
            allowed(0, waived=(Waiver(Violation("x", "y"), "because", NOW),)),
            policy(),
            ("True", "Waived", f"allowed by patchwright.rollout at {REVISION}"),
        ),
    ],
)
def test_the_policys_answer_is_a_condition(recorded: Any, spec: Any, wanted: tuple[str, str, str]) -> None:
    found = deciding(*FLEET, state=planned(spec, 3, policy=recorded), policy=spec).state
    assert conditions(found)["PolicyEvaluated"] == wanted


def test_before_policy_was_asked_there_is_no_such_condition() -> None:
    assert "PolicyEvaluated" not in conditions(deciding(*FLEET, state=RolloutState()).state)


@pytest.mark.parametrize(
    ("state", "wanted"),
    [
        (CheckState(CHECK, Measurement(ago(1))), ("True", "Healthy", "every health check passes")),
        (
            health.observe(CheckState(CHECK), Measurement(ago(1), (Finding("x", "x is bad"),)), {}),
            ("False", "HealthCheckFailed", "health check web: x is bad"),
        ),
        (CheckState(CHECK), ("Unknown", "NotMeasured", "health check web has no measurement young enough to act on")),
    ],
)
def test_health_is_a_condition(state: CheckState, wanted: tuple[str, str, str]) -> None:
    made = [node("n01").record(Mark.DONE), *FLEET[1:]]
    assert conditions(deciding(*made, checks=(state,)).state)["Healthy"] == wanted


# --- trouble ----------------------------------------------------------------------------------------------------------


def test_what_the_api_server_refuses_is_told_first() -> None:
    found = deciding(*FLEET, trouble="nodes is forbidden").state
    assert found.message == "nodes is forbidden; starts n01"
    assert conditions(found)["Ready"][2] == found.message


def test_trouble_at_the_end_is_told_once_and_not_kept_when_it_has_passed() -> None:
    ending = replace(planned(policy(), 3), outcome=Phase.SUCCEEDED, message="so it ended")
    held = deciding(node("n01").record(Mark.DONE), state=ending, trouble="nodes is forbidden").state
    assert held.message == "so it ended"
    assert conditions(held)["Reconciling"][2] == "nodes is forbidden; so it ended"
    assert deciding(node("n01").record(Mark.DONE), state=held, trouble="nodes is forbidden").state == held
    assert deciding(node("n01"), state=held).state.message == "so it ended"


def test_messages_are_cut() -> None:
    assert len(deciding(*FLEET, trouble="x" * 9999).state.message) == MESSAGE_KEPT


# --- the end keeps what was found -------------------------------------------------------------------------------------


def test_what_failed_stays_in_status_when_the_marks_are_gone() -> None:
    bad = node("n01").record(Mark.RESTORED, failed=True, reason="ApplyFailed", message="exit code 1")
    first = deciding(bad, *FLEET[1:], state={"cause": cause()}).state
    assert first.outcome is Phase.ROLLED_BACK
    last = deciding(*FLEET, state=first, remembered_here=True).state
    assert last.phase is Phase.ROLLED_BACK
    assert [(note.name, note.message) for note in last.failed] == [("n01", "exit code 1")]
    assert (last.counts.failed, last.counts.restored) == (1, 1)


def test_the_next_window_and_the_observed_generation_are_told() -> None:
    windows = (MaintenanceWindow("0 2 * * *", timedelta(hours=1)),)
    found = deciding(*FLEET, policy=policy(windows=windows)).state
    assert found.next_window == NOW + timedelta(hours=14)
    assert found.observed_generation == 1
