"""The gates before a start: each alone closes it, says why, and holds nothing that is in flight."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from patchwright.domain import health
from patchwright.domain.actions import AskPolicy, Cordon, JobStep, ListPods
from patchwright.domain.checks import HealthCheck, HttpCheck
from patchwright.domain.health import CheckState, Finding, Measurement
from patchwright.domain.images import trust
from patchwright.domain.model import Drain, FailurePolicy, MaintenanceWindow, OnTimeout, PolicyRef
from patchwright.domain.nodes.record import Mark
from patchwright.domain.snapshot import Decision
from patchwright.domain.state import Phase
from support.builders import (
    NOW,
    NodeBuilder,
    actions,
    ago,
    allowed,
    deciding,
    denied,
    no_answer,
    node,
    nodes,
    policy,
    rollout,
)

FLEET = nodes(4)
RUNNING = node("n01").record(Mark.APPLYING).job(JobStep.APPLY)
CLOSED = MaintenanceWindow("0 2 * * *", timedelta(hours=3))
OPEN = MaintenanceWindow("0 11 * * *", timedelta(hours=3))


def starts(decision: Decision) -> list[str]:
    return [action.node.name for action in actions(decision) if isinstance(action, Cordon)]


def check(*findings: str, timeout: float = 60, seconds: float = 1) -> CheckState:
    """Give a health check that was measured, and found so much to be wrong, ``seconds`` ago."""
    made = HealthCheck("web", HttpCheck("http://web"), timeout=timedelta(seconds=timeout))
    found = Measurement(ago(seconds), tuple(Finding(text, text) for text in findings))
    return health.observe(CheckState(made), found, {})


def test_with_every_gate_open_the_canary_starts() -> None:
    assert starts(deciding(*FLEET)) == ["n01"]


# --- people -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rollout": rollout(paused=True)}, "paused by spec.paused"),
        ({"policy": policy(suspend=True)}, "policy openssl is suspended"),
    ],
)
def test_while_paused_nothing_new_starts_and_what_is_in_flight_goes_on(changes: dict[str, Any], says: str) -> None:
    going = node("n01").record(Mark.DRAINING)
    decision = deciding(going, *FLEET[1:], **changes)
    assert [type(action) for action in actions(decision)] == [ListPods]
    assert decision.state.phase is Phase.PAUSED
    assert says in decision.state.message


def test_a_superseded_rollout_finishes_what_is_in_flight_and_starts_nothing() -> None:
    decision = deciding(RUNNING, *FLEET[1:], superseded_by="openssl-2", policy=policy(max_unavailable=9, canary=3))
    assert starts(decision) == []
    assert "superseded by rollout openssl-2; finishes what is in flight" in decision.state.message
    assert decision.state.outcome is None


@pytest.mark.parametrize("changes", [{}, {"rollout": rollout(paused=True)}], ids=["", "though it is paused"])
def test_a_superseded_rollout_with_nothing_in_flight_ends(changes: dict[str, Any]) -> None:
    decision = deciding(node("n01").record(Mark.DONE), *FLEET[1:], state={"wave": 1}, superseded_by="new", **changes)
    assert decision.state.outcome is Phase.SUPERSEDED


def test_a_superseded_rollout_does_not_soak_to_its_end() -> None:
    assert deciding(node("n01").record(Mark.DONE), superseded_by="new").state.outcome is Phase.SUPERSEDED


# --- budget (L1) ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zero", [0, "0%"])
def test_an_explicit_zero_starts_nothing_and_says_so(zero: int | str) -> None:
    decision = deciding(*FLEET, policy=policy(max_unavailable=zero))
    assert starts(decision) == []
    assert "maxUnavailable is 0" in decision.state.message


@pytest.mark.parametrize(
    "away",
    [
        pytest.param(node("n09").cordoned(), id="cordoned by a human"),
        pytest.param(node("n09").not_ready(), id="not Ready"),
        pytest.param(node("n09").foreign_record(), id="another rollout's"),
    ],
)
def test_whoever_made_a_node_unavailable_it_counts_and_is_named(away: NodeBuilder) -> None:
    decision = deciding(*FLEET, away)
    assert starts(decision) == []
    assert "1 of 5 are unavailable (n09), all that maxUnavailable 1 allows" in decision.state.message


def test_only_the_first_three_of_the_unavailable_are_named() -> None:
    away = [node(f"x{number}").cordoned() for number in range(5)]
    assert "(x0, x1, x2 and 2 more)" in deciding(*FLEET, *away, policy=policy(max_unavailable=2)).state.message


def test_a_quarantined_node_takes_its_room_though_it_serves() -> None:
    serves = node("n09").record(Mark.QUARANTINED, cordoned=False)
    decision = deciding(*FLEET, serves, state={"wave": 1}, policy=policy(failure_threshold=9))
    assert starts(decision) == []
    assert "1 of 5 are unavailable (n09)" in decision.state.message


def test_no_more_start_than_the_unavailable_leave_room_for() -> None:
    roomy = policy(canary=4, max_unavailable=3)
    assert starts(deciding(RUNNING, node("n09").cordoned(), *FLEET[1:], policy=roomy)) == ["n02"]


# --- windows (L7) -----------------------------------------------------------------------------------------------------


def test_outside_its_windows_a_rollout_waits_and_says_until_when() -> None:
    decision = deciding(*FLEET, policy=policy(windows=(CLOSED,)))
    assert starts(decision) == []
    assert decision.state.phase is Phase.WAITING_FOR_WINDOW
    assert decision.state.message == "outside the maintenance windows; the next one opens at 2026-11-24 02:00 UTC"
    assert decision.wake == NOW + timedelta(hours=14)


# SUC checks its window only while nothing is applying, and runs through the whole fleet outside of it (nodes.md 4.9).
def test_when_the_window_closes_midway_nothing_new_starts_and_what_started_finishes() -> None:
    going = node("n01").record(Mark.DRAINING)
    decision = deciding(going, *FLEET[1:], policy=policy(windows=(CLOSED,), max_unavailable=3, canary=3))
    assert [type(action) for action in actions(decision)] == [ListPods]
    assert decision.state.phase is Phase.CANARY
    assert "outside the maintenance windows" in decision.state.message


def test_nothing_starts_without_time_to_finish_as_learnt_from_the_nodes_before() -> None:
    late = MaintenanceWindow("0 11 * * *", timedelta(minutes=75))
    slow = [node(f"d{n}").record(Mark.DONE, seconds=60, started_at=ago(60 + 960)) for n in range(5)]
    quick = [node(f"d{n}").record(Mark.DONE, seconds=60, started_at=ago(60 + 120)) for n in range(5)]
    tight = policy(windows=(late,))
    decision = deciding(*slow, *FLEET, state={"wave": 1}, policy=tight)
    assert starts(decision) == []
    assert "closes at 2026-11-23 12:15 UTC, too soon for a target that may take 16m" in decision.state.message
    assert starts(deciding(*quick, *FLEET, state={"wave": 1}, policy=tight)) == ["n01"]


# A drain has a time of its own before the deadline begins to run: an estimate without it starts what cannot finish.
@pytest.mark.parametrize(
    ("drain", "minutes"),
    [
        pytest.param(Drain(timeout=timedelta(minutes=8)), 10 + 8, id="the drain and then the Jobs"),
        pytest.param(
            Drain(timeout=timedelta(minutes=8), on_timeout=OnTimeout.FORCE), 10 + 8 + 2, id="what forcing may take too"
        ),
        pytest.param(Drain(enabled=False), 10, id="no drain takes no time"),
    ],
)
@pytest.mark.parametrize(("left", "begun"), [(0, ["n01"]), (-1, [])], ids=["just enough", "a second too short"])
def test_before_nodes_were_timed_a_window_has_to_leave_time_for_the_drain_and_the_jobs(
    drain: Drain, minutes: int, left: int, begun: list[str]
) -> None:
    closes = NOW + timedelta(minutes=minutes, seconds=left)
    window = MaintenanceWindow("0 11 * * *", closes - NOW.replace(hour=11))
    decision = deciding(*FLEET, policy=policy(windows=(window,), drain=drain))
    assert starts(decision) == begun
    told = f"too soon for a target that may take {minutes}m;"
    assert (told in decision.state.message) is not bool(begun)


def test_a_window_that_opens_in_years_is_told_with_its_year() -> None:
    never = MaintenanceWindow("0 0 29 2 *", timedelta(hours=1))
    message = deciding(*FLEET, policy=policy(windows=(never,))).state.message
    assert message.endswith("the next one opens at 2028-02-29 00:00 UTC")


# --- health -----------------------------------------------------------------------------------------------------------


def test_nothing_starts_while_a_check_is_unhealthy() -> None:
    done = node("n01").record(Mark.DONE)
    decision = deciding(done, *FLEET[1:], state={"wave": 1}, checks=(check("web is down"),))
    assert starts(decision) == []
    assert "holds: health check web: web is down" in decision.state.message
    assert decision.wake == ago(1) + timedelta(seconds=60)


# --- policy (L8) ------------------------------------------------------------------------------------------------------


def test_policy_is_asked_about_the_very_targets_that_may_start() -> None:
    decision = deciding(*FLEET, state={"policy": allowed(-1)}, policy=policy(canary=2, max_unavailable=2))
    assert actions(decision) == (AskPolicy(0, 2, ("n01", "n02")),)
    assert starts(decision) == []


@pytest.mark.parametrize(
    ("recorded", "asks"),
    [
        pytest.param(allowed(0, seconds=299), False, id="a recent yes holds"),
        pytest.param(allowed(0, seconds=300), True, id="a yes of five minutes ago does not: a freeze may have begun"),
        pytest.param(allowed(0, revision="main@sha1:old"), True, id="nor does another commit's"),
        pytest.param(allowed(1), True, id="nor another wave's"),
        pytest.param(no_answer(0, seconds=4), False, id="no answer is asked for again"),
        pytest.param(no_answer(0, seconds=5), True, id="after five seconds"),
        pytest.param(denied(0, "no", seconds=59, until=ago(1)), False, id="a no"),
        pytest.param(denied(0, "no", seconds=60, until=ago(1)), True, id="that has passed: after a minute"),
        pytest.param(denied(0, "no", seconds=60, until=NOW + timedelta(1)), False, id="that has not: when it has"),
    ],
)
def test_policy_is_asked_again(recorded: Any, asks: bool) -> None:
    found = actions(deciding(*FLEET, state={"policy": recorded}))
    assert any(isinstance(action, AskPolicy) for action in found) is asks


def test_without_a_revision_to_compare_with_a_recent_yes_holds() -> None:
    assert starts(deciding(*FLEET, revision="")) == ["n01"]


def test_a_long_wait_for_the_window_does_not_make_the_first_yes_stale() -> None:
    first = {"policy": allowed(-1, seconds=86_400)}
    decision = deciding(*FLEET, state=first, policy=policy(windows=(CLOSED,)))
    assert actions(decision) == ()
    assert decision.state.phase is Phase.WAITING_FOR_WINDOW


def test_an_answer_is_recorded_before_anything_relies_on_it() -> None:
    decision = deciding(*FLEET, state={"policy": allowed(-1, seconds=9)}, answer=allowed(0))
    assert actions(decision) == ()
    assert (decision.again, decision.state.policy, decision.state.message) == (True, allowed(0), "policy allows it")


def test_an_answer_that_is_recorded_is_not_recorded_again() -> None:
    assert starts(deciding(*FLEET, answer=allowed(0))) == ["n01"]


def test_an_answer_about_another_wave_is_not_taken() -> None:
    decision = deciding(*FLEET, answer=replace(allowed(3), at=NOW + timedelta(seconds=1)))
    assert decision.state.policy == allowed(0)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (no_answer(0), "no policy decision: OPA does not answer"),
        (denied(0, "not today"), "denied by patchwright.rollout/deny: not today"),
    ],
)
def test_a_no_is_told_as_soon_as_it_is_heard(answer: Any, says: str) -> None:
    assert deciding(*FLEET, state={"policy": allowed(0, seconds=9)}, answer=answer).state.message == says


def test_with_opa_away_nothing_starts_and_that_is_said() -> None:
    decision = deciding(*FLEET, state={"policy": no_answer(0)})
    assert starts(decision) == []
    assert decision.state.message == "no policy decision: OPA does not answer"
    assert decision.wake == NOW + timedelta(seconds=5)


def test_break_glass_passes_over_a_missing_answer_but_not_over_a_no() -> None:
    open_ = policy(policy=PolicyRef(failure_policy=FailurePolicy.IGNORE))
    assert starts(deciding(*FLEET, state={"policy": no_answer(0)}, policy=open_)) == ["n01"]
    assert starts(deciding(*FLEET, state={"policy": denied(0, "no")}, policy=open_)) == []


def test_break_glass_does_not_pass_over_an_image_of_which_nobody_can_say_who_signed_it() -> None:
    open_ = policy(policy=PolicyRef(failure_policy=FailurePolicy.IGNORE))
    unknown = replace(no_answer(0), reason=trust.UNKNOWN)
    decision = deciding(*FLEET, state={"policy": unknown}, policy=open_)
    assert starts(decision) == []
    assert decision.state.message == "no policy decision: OPA does not answer"


def test_a_no_before_anything_was_touched_ends_the_rollout_as_denied() -> None:
    decision = deciding(*FLEET, state={"policy": denied(0, "canary required", "and more")})
    assert (decision.state.outcome, decision.state.message) == (
        Phase.DENIED,
        "denied by patchwright.rollout/deny: canary required (and 1 more)",
    )


def test_a_no_that_passes_by_itself_is_waited_for() -> None:
    until = NOW + timedelta(hours=6)
    decision = deciding(*FLEET, state={"policy": denied(0, "frozen", until=until)})
    assert (decision.state.outcome, decision.wake) == (None, until)
    assert decision.state.message == ("denied by patchwright.rollout/deny: frozen; asked again at 2026-11-23 18:00 UTC")


def test_a_no_midway_holds_the_rollout_where_it_is() -> None:
    done = node("n01").record(Mark.DONE)
    decision = deciding(done, *FLEET[1:], state={"wave": 1, "policy": denied(1, "too many")})
    assert (starts(decision), decision.state.outcome) == ([], None)
    assert decision.state.message.endswith("too many; holds here")


# A decision is about names: a protected node that joins a minute later was never seen by the rule that refuses it.
@pytest.mark.parametrize(
    ("asked", "about"),
    [
        pytest.param({"n02", "n03", "n04"}, "n01", id="one that joined since, and goes first"),
        pytest.param({"n03", "n04", "n07"}, "n01 and 1 more", id="two that joined, and one that left"),
        pytest.param(None, "n01 and 1 more", id="nobody knows: the process that asked is gone"),
    ],
)
def test_policy_is_asked_again_before_a_node_starts_that_it_has_not_seen(asked: Any, about: str) -> None:
    seen = frozenset(asked) if asked is not None else None
    decision = deciding(*FLEET, asked=seen, state={"wave": 1}, policy=policy(max_unavailable=2))
    assert actions(decision) == (AskPolicy(1, 4, ("n01", "n02", "n03", "n04")),)
    assert decision.state.message == f"asks policy about {about}"
    assert not decision.begins


def test_what_starts_later_and_what_left_since_policy_was_asked_is_no_question() -> None:
    decision = deciding(*FLEET, asked=frozenset({"n01", "gone"}), state={"wave": 1})
    assert starts(decision) == ["n01"]


def test_what_is_in_flight_goes_on_while_policy_is_asked_about_a_node_that_joined() -> None:
    going = node("n01").record(Mark.DRAINING, wave=1)
    roomy = policy(max_unavailable=2)
    decision = deciding(going, *FLEET[1:], asked=frozenset({"n01"}), state={"wave": 1}, policy=roomy)
    assert [type(action) for action in actions(decision)] == [ListPods, AskPolicy]


def test_what_is_in_flight_needs_no_policy() -> None:
    going = node("n01").record(Mark.DRAINING)
    assert ListPods(going.view.ref) in actions(deciding(going, *FLEET[1:], state={"policy": no_answer(0)}))
