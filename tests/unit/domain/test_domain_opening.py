"""Before anything is touched: reasons not to begin, the question to policy, the plan and the baseline."""

from __future__ import annotations

from typing import Any

import pytest

from patchwright.domain.actions import AskPolicy, Cordon
from patchwright.domain.checks import Baseline, HealthCheck, HttpCheck
from patchwright.domain.health import CheckState, Finding, Measurement
from patchwright.domain.nodes.record import Mark
from patchwright.domain.snapshot import Decision
from patchwright.domain.state import Phase, Plan, RolloutState
from support.builders import (
    actions,
    ago,
    allowed,
    cause,
    deciding,
    denied,
    labelled,
    node,
    nodes,
    policy,
    rollout,
)

FLEET = nodes(4)
NEW = RolloutState()
ASKED = RolloutState(policy=allowed(-1))


def starts(decision: Decision) -> bool:
    return any(isinstance(action, Cordon) for action in actions(decision))


def checked(*findings: str, baseline: Baseline = Baseline.BLOCK, population: int = 10) -> CheckState:
    made = HealthCheck("web", HttpCheck("http://web"), baseline=baseline)
    found = tuple(Finding(text, f"{text} is down") for text in findings)
    return CheckState(made, Measurement(ago(1), found, population))


# --- reasons not to begin ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "outcome", "reason", "says"),
    [
        pytest.param(
            {"remembered": "version 3.0.17 failed in rollout ops/a: exit code 1"},
            Phase.DENIED,
            "FailedBefore",
            "exit code 1; set the annotation patchwright.dev/retry to try it again",
            id="it failed before (L9)",
        ),
        pytest.param(
            {"rollout": rollout(rollback=None)},
            Phase.FAILED,
            "RollbackImpossible",
            "spec.change.script has no rollback step",
            id="it could not be put back (L4)",
        ),
        pytest.param(
            {"superseded_by": "b"}, Phase.SUPERSEDED, "Superseded", "superseded by rollout b", id="superseded"
        ),
    ],
)
def test_it_ends_before_it_begins(changes: dict[str, Any], outcome: Phase, reason: str, says: str) -> None:
    decision = deciding(*FLEET, state=NEW, **changes)
    found = decision.state
    assert (found.outcome, decision.again) == (outcome, True)
    assert found.cause is not None
    assert found.cause.reason == reason
    assert says in found.message


def test_policy_is_asked_at_once_though_no_window_is_open_and_an_older_rollout_is_first() -> None:
    decision = deciding(*FLEET, state=NEW, conflict="waits for rollout ops/a")
    assert actions(decision) == (AskPolicy(-1, 4, ("n01", "n02", "n03", "n04")),)


def test_the_first_answer_is_recorded_at_once() -> None:
    decision = deciding(*FLEET, state=NEW, answer=allowed(-1))
    assert (decision.state.policy, decision.again) == (allowed(-1), True)


def test_a_no_at_the_start_is_denied() -> None:
    assert deciding(*FLEET, state=RolloutState(policy=denied(-1, "no"))).state.outcome is Phase.DENIED


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"conflict": "waits for rollout ops/a, which has some of the same nodes (n1)"}, "waits for rollout ops/a"),
        ({"policy": policy(suspend=True)}, "policy openssl is suspended"),
        ({"policy": policy(canary=labelled("canary", "yes"))}, "matches none of the 4 selected targets"),
        (
            {"checks": (CheckState(HealthCheck("web", HttpCheck("http://web"))),)},
            "measures its health checks first: web",
        ),
        ({"checks": (checked("web"),)}, "does not start: health check web is unhealthy before the patch: web is down"),
    ],
)
def test_it_waits_and_says_what_for(changes: dict[str, Any], says: str) -> None:
    decision = deciding(*FLEET, state=ASKED, **changes)
    assert decision.state.phase is Phase.PENDING
    assert decision.state.outcome is None
    assert says in decision.state.message
    assert actions(decision) == ()


def test_a_policy_that_selects_no_node_waits_and_names_the_selector() -> None:
    assert deciding(state=ASKED).state.message == "policy openssl selects no node; check target.nodes.selector"


# --- the plan ---------------------------------------------------------------------------------------------------------


def test_the_plan_is_recorded_before_anything_starts_on_it() -> None:
    decision = deciding(*FLEET, state=ASKED, policy=policy(canary=2, waves=["50%"]))
    assert not starts(decision)
    assert decision.again
    assert decision.state.plan is not None
    assert [wave.size for wave in decision.state.plan.waves] == [2, 2, None]
    assert decision.state.message == "planned: 4 nodes, canary of 2, then 2 more waves"


def test_a_canary_selector_makes_as_many_canaries_as_it_matches() -> None:
    marked = [node("x1").labels(canary="yes"), node("x2").labels(canary="yes")]
    decision = deciding(*FLEET, *marked, state=ASKED, policy=policy(canary=labelled("canary", "yes")))
    assert decision.state.plan is not None
    assert decision.state.plan.waves[0].size == 2


def test_what_was_bad_before_the_patch_becomes_the_baseline_where_the_check_says_so() -> None:
    sick = checked("web", baseline=Baseline.EXCLUDE)
    decision = deciding(*FLEET, state=ASKED, checks=(sick,))
    assert decision.state.baseline == {"web": ("web",)}


def test_a_fleet_that_is_well_has_no_baseline() -> None:
    decision = deciding(*FLEET, state=ASKED, checks=(checked(),))
    assert (decision.state.baseline, decision.again) == ({}, True)


def test_before_anything_was_touched_the_plan_follows_the_fleet() -> None:
    decision = deciding(*nodes(9), state={})
    again = deciding(*FLEET, state=decision.state)
    assert again.state.plan is not None
    assert (again.state.plan.total, starts(again)) == (4, False)


# A node that joins or vanishes changes who is in a wave, never how many are.
def test_once_something_was_touched_the_plan_is_sized_for_good() -> None:
    wide = policy(canary="50%")
    first = deciding(*FLEET, state=ASKED, policy=wide).state
    later = deciding(node("n01").record(Mark.DRAINING), *nodes(40)[1:], state=first, policy=wide).state
    assert later.plan == first.plan


@pytest.mark.parametrize("gone", [(), (node("n01").but(installed="c0ffee0123456789"),)])
def test_when_every_patched_canary_is_gone_the_rollout_does_not_begin_again(gone: tuple[Any, ...]) -> None:
    """The cluster autoscaler takes nodes; asking policy for a start that was made would never end, either."""
    decision = deciding(*gone, *nodes(5)[1:], state={"wave": 1, "policy": None, "plan": Plan(9, PLANNED.waves)})
    assert decision.state.wave == 1
    assert decision.state.plan == Plan(9, PLANNED.waves)
    assert [type(action) for action in actions(decision)] == [AskPolicy]
    assert actions(decision)[0] == AskPolicy(1, 4, ("n02", "n03", "n04", "n05"))


def test_without_a_canary_the_first_wave_begins() -> None:
    blind = policy(canary=0)
    over = deciding(*FLEET, state={}, policy=blind)
    assert (over.state.wave, over.state.message) == (1, "canary passed; next: rest")
    asks = deciding(*FLEET, state=over.state, policy=blind)
    assert actions(asks) == (AskPolicy(1, 4, ("n01", "n02", "n03", "n04")),)
    assert starts(deciding(*FLEET, state=asks.state, policy=blind, answer=None)) is False
    allowed_ = deciding(*FLEET, state=asks.state, policy=blind, answer=allowed(1))
    assert starts(deciding(*FLEET, state=allowed_.state, policy=blind))


def test_a_cause_that_is_recorded_stays() -> None:
    found = deciding(*FLEET, state={"cause": cause()}).state
    assert found.cause == cause()
    assert found.outcome is Phase.ROLLED_BACK


PLANNED = deciding(*FLEET, state=ASKED).state.plan or Plan(0, ())
