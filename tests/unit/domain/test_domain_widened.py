"""The engine over targets that are changed in two parts: soak after the first, and the second before anything else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from patchwright.domain import health
from patchwright.domain.actions import ListWorkloadPods, MarkWorkload, RestoreImages, SetImages
from patchwright.domain.checks import HealthCheck, HttpCheck
from patchwright.domain.decide import decide
from patchwright.domain.health import CheckState, Finding, Measurement
from patchwright.domain.model import MaintenanceWindow, Quantity, Rollback, RollbackScope
from patchwright.domain.snapshot import Decision
from patchwright.domain.state import Phase, RolloutState
from patchwright.domain.workloads.record import Mark, Part
from support.builders import NOW, actions, ago, allowed, planned
from support.image_builders import PINNED, WorkloadBuilder, pod, policy, rollout, snapshot, stateful

PART = Part(1, was='{"type":"RollingUpdate"}', to='{"rollingUpdate":{"partition":1},"type":"RollingUpdate"}')


def by_pods(**changes: Any) -> Any:
    found = policy(**{"soak": 60, "waves": (1,), **changes})
    return replace(found, strategy=replace(found.strategy, canary=replace(found.strategy.canary, pods=Quantity(1))))


SPEC = by_pods()


def db(name: str, mark: Mark | None = None, *, seconds: float = 1, **changes: Any) -> WorkloadBuilder:
    made = stateful(name, strategy=PART.was).image(PINNED)
    if mark is None:
        return made
    partly = mark in (Mark.SAMPLING, Mark.SAMPLED)
    made = made.record(mark, seconds=seconds, part=PART if partly else None, **changes)
    made = made.pods(pod(f"{name}-0", PINNED), pod(f"{name}-1", revision="new"))
    return made.but(strategy=PART.to, partition=1, updated=1) if partly else made


def soaking(**changes: Any) -> RolloutState:
    fields: dict[str, Any] = {"phase": Phase.SOAKING, "started_at": ago(300), "wave_since": ago(300), **changes}
    return planned(SPEC, 3, **fields)


def widened(**changes: Any) -> RolloutState:
    return soaking(phase=Phase.CANARY, widened_at=ago(5), **changes)


def deciding(*made: WorkloadBuilder, state: RolloutState, **changes: Any) -> Decision:
    return decide(snapshot(*made, policy=changes.pop("policy", SPEC), state=state, **changes))


# --- forward --------------------------------------------------------------------------------------------------------


def test_a_part_soaks_as_a_whole_does() -> None:
    found = deciding(db("a", Mark.SAMPLED, seconds=30), db("b"), state=soaking())
    assert found.state.phase is Phase.SOAKING
    assert found.state.message.startswith("canary is healthy; soaks until")
    assert found.state.widened_at is None
    assert (found.state.counts.updated, found.state.counts.in_flight) == (0, 1)
    assert [note.step for note in found.state.in_flight] == ["CanaryDone"]


@pytest.mark.parametrize(("others", "who"), [(1, "a"), (2, "a and 1 more")])
def test_after_the_soak_the_rest_is_next_and_nobody_else(others: int, who: str) -> None:
    canaries = [db("ab"[number], Mark.SAMPLED, seconds=61) for number in range(others)]
    found = deciding(*canaries, db("c"), state=soaking())
    assert found.state.message == f"canary passed; next: the rest of StatefulSet shop/{who}"
    assert (found.state.phase, found.state.wave, found.state.widened_at) == (Phase.CANARY, 0, NOW)
    assert found.again
    assert not actions(found)


def test_a_rollout_of_one_target_is_not_over_with_a_part_of_it() -> None:
    found = deciding(db("a", Mark.SAMPLED, seconds=61), state=soaking())
    assert (found.state.outcome, found.state.widened_at) == (None, NOW)


def test_the_rest_goes_through_every_gate() -> None:
    targets = (db("a", Mark.SAMPLED, seconds=61), db("b"), db("c"))
    found = deciding(*targets, state=widened())
    [action] = actions(found)
    assert isinstance(action, SetImages)
    assert str(action.workload) == "StatefulSet shop/a"
    assert found.state.message == "canary: 0 of 1 done, 1 in flight; goes on with the rest of StatefulSet shop/a"
    assert found.begins
    closed = (MaintenanceWindow("0 3 1 1 *", timedelta(hours=8)),)
    held = {
        "paused by spec.paused": {"rollout": rollout(paused=True)},
        "outside the maintenance windows": {"policy": replace(SPEC, windows=closed)},
        "nothing is started until it is raised": {"policy": by_pods(max_unavailable=0)},
    }
    for why, changes in held.items():
        found = deciding(*targets, state=widened(), **changes)
        assert not actions(found), why
        assert why in found.state.message
    found = deciding(*targets, state=widened(policy=allowed(0, seconds=400)))
    assert found.state.message.endswith("asks policy")


def test_no_other_canary_begins_once_the_soak_is_over() -> None:
    spec = by_pods(canary=2)
    plan = planned(spec, 3).plan
    found = deciding(db("a", Mark.APPLYING), db("b"), db("c"), state=widened(plan=plan), policy=spec)
    assert not any(isinstance(action, SetImages) for action in actions(found))
    done = deciding(db("a", Mark.DONE), db("b"), db("c"), state=widened(plan=plan), policy=spec)
    assert (done.state.wave, done.state.widened_at) == (1, None)


def test_when_the_rest_is_done_the_next_wave_comes_without_another_soak() -> None:
    found = deciding(db("a", Mark.DONE, seconds=1), db("b"), db("c"), state=widened())
    assert found.state.message == "canary passed; next: wave 1"
    assert (found.state.wave, found.state.widened_at) == (1, None)


def test_a_part_that_is_watched_while_its_turn_does_not_come_may_fail_still() -> None:
    broken = db("a", Mark.SAMPLED, seconds=61).pods(pod("a-1", ready=False, ready_since=ago(60), created_at=ago(90)))
    found = deciding(broken, db("b"), state=widened())
    [action] = actions(found)
    assert isinstance(action, MarkWorkload)
    assert action.record.mark is Mark.FAILED


# --- backward -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", RollbackScope)
@pytest.mark.parametrize("state", [soaking(), widened()])
def test_a_part_is_put_back_whatever_the_scope(scope: RollbackScope, state: RolloutState) -> None:
    spec = replace(SPEC, rollback=Rollback(scope=scope))
    targets = (db("a", Mark.SAMPLED, seconds=9), db("b", Mark.RESTORED, failed=True))
    found = deciding(*targets, state=state, policy=spec)
    assert found.state.phase is Phase.ROLLING_BACK
    [action] = actions(found)
    assert isinstance(action, RestoreImages)
    assert action.record.mark is Mark.REVERTING


@pytest.mark.parametrize("state", [soaking(), widened()])
def test_a_health_check_that_fails_takes_a_part_back(state: RolloutState) -> None:
    check = HealthCheck("web", HttpCheck("http://web"))
    measured = Measurement(NOW, (Finding("web", "GET http://web answers 503"),))
    sick = health.observe(CheckState(check), measured, {})
    spec = replace(SPEC, health_checks=(check,))
    found = deciding(db("a", Mark.SAMPLED, seconds=9), db("b"), state=state, policy=spec, checks=(sick,))
    assert found.state.cause is not None
    assert found.state.cause.reason == "HealthCheckFailed"
    assert [type(action) for action in actions(found)] == [RestoreImages]


@pytest.mark.parametrize("state", [soaking(), widened()])
def test_nothing_is_left_in_parts_when_a_rollout_ends(state: RolloutState) -> None:
    found = deciding(db("a", Mark.SAMPLED, seconds=9), db("b"), state=state, superseded_by="newer")
    assert found.state.outcome is Phase.SUPERSEDED
    found = deciding(db("a", Mark.SAMPLED, seconds=9), db("b"), state=found.state, superseded_by="newer")
    assert [type(action) for action in actions(found)] == [RestoreImages]
    assert found.state.phase is not Phase.SUPERSEDED


def test_a_part_whose_record_somebody_took_away_is_named() -> None:
    state = deciding(db("a", Mark.SAMPLED, seconds=9), db("b"), state=soaking()).state
    found = deciding(db("a"), db("b"), state=state)
    assert [(note.name, note.reason) for note in found.state.vanished] == [("StatefulSet shop/a", "StateLost")]


def test_a_part_is_looked_at_while_it_soaks() -> None:
    made = db("a", Mark.SAMPLED, seconds=30).pods(pod("a-1", revision="new"), seconds=11)
    assert actions(deciding(made, db("b"), state=soaking())) == (ListWorkloadPods(made.view.ref),)
