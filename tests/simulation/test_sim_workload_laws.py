"""Each law about workloads can be broken: a mutant of the operator is caught by the law's name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from patchwright.domain import backward, budget, endings, gates, waves
from patchwright.domain.actions import StrategyEdit
from patchwright.domain.model import ImagesChange, Quantity
from patchwright.domain.targets import Stage, Standing
from patchwright.domain.workloads import beside, images, marks, obstacles, parts, procedure, reversible, rolling
from patchwright.domain.workloads.record import Mark
from patchwright.pipeline import observe
from support.simulator.cluster import Cluster, Scenario, play
from support.simulator.deployments import Deployments
from support.simulator.people import People
from support.simulator.shop import Shop
from support.simulator.shops import (
    AGENTS_BY_POD,
    AGENTS_BY_POD_FAIL,
    DEPLOYMENTS_BY_POD,
    DEPLOYMENTS_BY_POD_FAIL,
    FAILED_CANARY,
    GONE,
    IMAGES,
    PLAIN,
    SECOND_WAVE,
    SETS_BY_POD,
    SETS_BY_POD_FAIL,
    STRATEGY,
    STUCK_SETS,
)

Patch = pytest.MonkeyPatch
ONE = replace(STRATEGY, max_unavailable=Quantity(1))
ONE_BY_ONE = replace(PLAIN, policy=replace(IMAGES, strategy=ONE))
Acts = Callable[[Cluster], Sequence[tuple[float, Callable[[], None]]]]


def broken(scenario: Scenario, *, limit: float = 3000) -> set[str]:
    result = play(replace(scenario, limit=limit))
    return {violation.law.split()[0] for violation in result.violations}


def people(*acts: tuple[float, Callable[[People], None]]) -> Acts:
    return lambda cluster: [(at, lambda act=act: act(People(cluster))) for at, act in acts]  # type: ignore[misc]  # mypy knows no default of a lambda


def test_l1_a_budget_that_is_not_kept_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(budget, "room", lambda *args, **kwargs: 100)
    assert "L1" in broken(ONE_BY_ONE)


def test_l2_waves_that_do_not_wait_for_the_canarys_soak_are_caught(monkeypatch: Patch) -> None:
    real = waves.plan

    def hasty(*args: Any, **kwargs: Any) -> Any:
        plan = real(*args, **kwargs)
        return replace(plan, waves=(replace(plan.waves[0], soak_seconds=1.0), *plan.waves[1:]))

    monkeypatch.setattr(waves, "plan", hasty)
    assert "L2" in broken(PLAIN)


def test_l2_the_rest_of_a_canary_that_does_not_wait_for_the_soak_is_caught(monkeypatch: Patch) -> None:
    real = parts.sampled

    def hasty(view: Any, record: Any, brief: Any) -> Standing:
        return real(view, record, replace(brief, widened=True))

    monkeypatch.setattr(parts, "sampled", hasty)
    for scenario in (DEPLOYMENTS_BY_POD, SETS_BY_POD):
        assert "L2" in broken(scenario)


def test_l2_changing_the_whole_where_some_pods_were_to_be_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(parts, "count", lambda view, brief: 0)
    assert "L2" in broken(DEPLOYMENTS_BY_POD)


@pytest.mark.parametrize("scenario", [SETS_BY_POD, AGENTS_BY_POD], ids=["StatefulSet", "DaemonSet"])
def test_l2_more_pods_than_the_canary_s_are_caught(monkeypatch: Patch, scenario: Scenario) -> None:
    monkeypatch.setattr(parts, "_kept", lambda view, was, pods: was)
    assert "L2" in broken(scenario)


@pytest.mark.parametrize("scenario", [SETS_BY_POD, SETS_BY_POD_FAIL], ids=["clean", "failed"])
def test_l4_giving_back_another_strategy_than_was_there_is_caught(monkeypatch: Patch, scenario: Scenario) -> None:
    def freely(view: Any, record: Any) -> StrategyEdit | None:
        return StrategyEdit(view.strategy, '{"type":"RollingUpdate"}') if record.part else None

    monkeypatch.setattr(parts, "returned", freely)
    assert "L4" in broken(scenario, limit=300)


@pytest.mark.parametrize("scenario", [SETS_BY_POD_FAIL, AGENTS_BY_POD_FAIL], ids=["StatefulSet", "DaemonSet"])
def test_a_strategy_that_is_not_given_back_is_named(monkeypatch: Patch, scenario: Scenario) -> None:
    monkeypatch.setattr(parts, "returned", lambda view, record: None)
    result = play(replace(scenario, limit=3000))
    assert result.state.phase.value == "Failed"
    assert [note.reason for note in result.state.quarantined] == ["RollbackDeadlineExceeded"]


@pytest.mark.parametrize("scenario", [DEPLOYMENTS_BY_POD, DEPLOYMENTS_BY_POD_FAIL])
def test_l6_a_canary_that_is_left_beside_a_deployment_is_caught(monkeypatch: Patch, scenario: Scenario) -> None:
    async def nothing(self: Any, workload: Any, name: str) -> None:
        return None

    monkeypatch.setattr(beside, "ours", lambda view, rollout_uid: None if view.record is None else view.beside)
    monkeypatch.setattr(Shop, "delete_canary", nothing)
    # Its record is written again and again, for the canary is still there: 90 seconds of that are enough.
    assert {"L2", "L6"} & broken(scenario, limit=90)


def test_l3_going_on_after_too_many_failures_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(backward, "_too_many", lambda context: None)
    assert "L3" in broken(replace(SECOND_WAVE, policy=ONE_BY_ONE.policy))


def test_l4_putting_back_a_tag_that_may_move_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(images, "pinned", lambda was, running: was)
    assert "L4" in broken(FAILED_CANARY)


def test_l4_changing_what_could_not_be_put_back_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(reversible, "needed", lambda view, brief: ())
    assert "L4" in broken(GONE)


def test_l4_calling_a_workload_put_back_that_is_not_is_caught(monkeypatch: Patch) -> None:
    def pretend(self: Any, target: Any, brief: Any, *, why: str) -> Any:
        return (marks.mark(target, target.record, brief, Mark.RESTORED),)

    monkeypatch.setattr(procedure.WorkloadKind, "put_back", pretend)
    assert "L4" in broken(FAILED_CANARY)


def test_l4_putting_back_what_somebody_else_has_set_is_caught(monkeypatch: Patch) -> None:
    def rude(view: Any, record: Any) -> Any:
        return tuple(field.edit(view.kind, image.was) for field, image in zip(view.images, record.images, strict=True))

    monkeypatch.setattr(rolling, "taken_by_others", lambda view, record: "")
    monkeypatch.setattr(marks, "_edits", rude)
    hands = people(
        (30.0, lambda who: who.set_image("pay/web-1", "registry.example/shop/web:9")),
        (40.0, lambda who: who.rollout(abort=True)),
    )
    assert "L4" in broken(replace(PLAIN, people=hands))


def test_the_compare_and_swap_alone_keeps_what_somebody_else_has_set(monkeypatch: Patch) -> None:
    monkeypatch.setattr(rolling, "taken_by_others", lambda view, record: "")
    hands = people(
        (30.0, lambda who: who.set_image("pay/web-1", "registry.example/shop/web:9")),
        (40.0, lambda who: who.rollout(abort=True)),
    )
    # It tries for ever, and never succeeds.
    assert "L4" not in broken(replace(PLAIN, people=hands), limit=60)


def test_l6_ending_before_the_marks_are_removed_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(endings, "_release", lambda context, forget: ())
    assert "L6" in broken(PLAIN)


def test_l8_starting_without_asking_policy_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(gates, "policy", lambda context, candidates, *, wave, size: None)
    monkeypatch.setattr(gates, "unseen", lambda context, candidates, picked: None)
    assert "L8" in broken(PLAIN)


def test_l9_trying_again_what_failed_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(observe, "_remembered", lambda case, rollout: "")

    def again(who: People) -> None:
        who.cluster.ask_for("kernel-2", who.cluster.scenario.change)

    assert "L9" in broken(replace(FAILED_CANARY, people=people((300.0, again))))


def test_l10_taking_a_workload_from_another_rollout_is_caught(monkeypatch: Patch) -> None:
    real = procedure.WorkloadKind.stand

    def greedy(self: Any, target: Any, brief: Any) -> Standing:
        if target.record is not None and target.record.rollout_uid != brief.rollout.uid:
            return Standing(Stage.FRESH, "Pending")
        return real(self, target, brief)

    monkeypatch.setattr(procedure.WorkloadKind, "stand", greedy)
    monkeypatch.setattr(observe, "_conflict", lambda *args: "")

    def second(who: People) -> None:
        change = who.cluster.scenario.change
        assert isinstance(change, ImagesChange)
        newer = replace(change.images[0], digest=f"sha256:{'3' * 64}")
        who.cluster.ask_for("kernel-2", replace(change, images=(newer,)), policy_name="too")

    hands = people((0.5, lambda who: who.another_policy("too")), (1.0, second))
    assert "L10" in broken(replace(PLAIN, people=hands))


def test_l12_putting_images_back_and_forth_is_caught(monkeypatch: Patch) -> None:
    real = procedure._touched

    def restless(view: Any, record: Any, brief: Any) -> Standing:
        if record.mark is not Mark.DONE or record.wave > 0:
            return real(view, record, brief)
        back = replace(marks.restore(view, record, brief, reason="Restless"), edits=marks._edits(view, record))
        return replace(marks.standing(Stage.WORKING, record, message="is put back"), actions=(back,))

    def forth(view: Any, record: Any, brief: Any) -> Standing:
        found = images.outdated(brief.rollout.images, view.images)
        again = marks.apply(view, marks.begun(view, brief, found, wave=record.wave), found)
        return replace(marks.standing(Stage.WORKING, record, message="is changed"), actions=(again,))

    monkeypatch.setattr(procedure, "_touched", restless)
    monkeypatch.setattr(rolling, "back", forth)
    assert "L12" in broken(PLAIN, limit=120)


def test_a_stateful_set_that_nobody_frees_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Deployments, "delete", lambda self, name, uid: None)
    result = play(replace(STUCK_SETS, limit=3000))
    assert result.state.phase.value == "Failed"
    assert [note.reason for note in result.state.quarantined] == ["RollbackDeadlineExceeded"]


def test_patching_what_has_another_owner_would_be_seen(monkeypatch: Patch) -> None:
    monkeypatch.setattr(obstacles, "_owned", lambda view, brief: None)
    shops = (*PLAIN.shops, replace(PLAIN.shops[0], name="owned", owner="Prometheus k8s"))
    result = play(replace(PLAIN, shops=shops))
    assert result.images["pay/owned"] != PLAIN.shops[0].image, "the refusal is what protects it"
