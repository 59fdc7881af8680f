"""Somebody removes a rollout's finalizer by hand and deletes it, at any moment: what it left is settled anyway."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from patchwright import errors
from patchwright.domain.nodes import marks
from patchwright.domain.nodes.orphans import GONE
from patchwright.domain.nodes.record import Mark
from patchwright.domain.state import Phase
from patchwright.pipeline.orphans import Orphans
from support.simulator import loop, shops
from support.simulator.calls import Fault
from support.simulator.cluster import Circumstances, Cluster, Result, Scenario, play
from support.simulator.hardware import Act
from support.simulator.people import People
from support.simulator.rollouts import Rollouts
from support.simulator.scenarios import CLEAN, DRAINS, GENTLE, REBOOT, unless
from support.simulator.things import Node, Workload


def torn(scenario: Scenario, at: float, *, uncordoned_at: float | None = None) -> Scenario:
    def acts(cluster: Cluster) -> list[tuple[float, Any]]:
        people = People(cluster)

        def uncordon() -> None:
            for node in [node for node in cluster.server.all(Node) if node.unschedulable]:
                people.uncordon(node.name)

        return [(at, people.tear), *([(uncordoned_at, uncordon)] if uncordoned_at is not None else [])]

    return replace(scenario, people=acts, quiet_after=at + 400)


def left(scenario: Scenario, circumstances: Circumstances | None = None) -> tuple[Result, list[Node]]:
    """Play, and give the nodes as they are in the end too."""

    async def main() -> tuple[Result, list[Node]]:
        cluster = Cluster(scenario, circumstances or Circumstances())
        result = await cluster.play()
        return result, list(cluster.server.all(Node))

    return loop.run(main())


@pytest.mark.parametrize("tenths", range(2, 200, 7))
@pytest.mark.parametrize(
    "scenario", [CLEAN, DRAINS, REBOOT, GENTLE], ids=["clean", "drains", "reboots", "load balancers"]
)
def test_whenever_a_rollout_is_torn_away_nothing_of_it_is_left_but_what_says_so(
    scenario: Scenario, tenths: int
) -> None:
    result, nodes = left(torn(scenario, tenths / 10))

    assert not result.violations
    assert result.jobs == 0
    excluded = scenario.policy.drain.exclude_from_load_balancers
    assert set(result.excluded) == ({node.name for node in nodes if node.record is not None} if excluded else set())
    for node in nodes:
        assert node.unschedulable is (node.record is not None)
        assert node.record is None or (node.record.mark, node.record.reason) == (Mark.QUARANTINED, GONE)
        if node.record is None:
            assert result.disks[node.name] in ("1.0", "1.1")
    told = {event.about for event in result.events if event.reason == GONE and event.warning}
    assert told == {node.name for node in nodes if node.record is not None}


def test_a_node_that_nothing_was_done_to_is_given_back_and_one_that_was_finished_stays_as_it_is() -> None:
    never = replace(DRAINS, apps=(replace(DRAINS.apps[0], min_available=12),))
    result, nodes = left(torn(never, 20.0))

    assert not result.cordoned
    assert set(result.disks.values()) == {"1.0"}
    said = [event.message for event in result.events if event.reason == GONE]
    text = "rollout patchwright/kernel-1 does not exist any more; nothing was changed on the node, and it is uncordoned"
    assert said == [text, text]
    assert all(node.record is None for node in nodes)

    result, nodes = left(torn(CLEAN, 60.0))

    key = marks.label(CLEAN.policy.key.name)
    assert sorted(node.name for node in nodes if key in node.labels) == ["node-01", "node-02"]
    assert all(node.record is None and not node.unschedulable for node in nodes)


SLOW = replace(CLEAN, script=unless({}, Act(takes=60)))


def test_a_node_that_was_left_half_way_is_given_back_by_whoever_uncordons_it() -> None:
    result, nodes = left(torn(SLOW, 20.0, uncordoned_at=120.0))

    assert not result.violations
    assert not result.cordoned
    assert all(node.record is None for node in nodes)
    messages = [event.message for event in result.events if event.reason == GONE and event.about == "node-01"]
    assert "left it half-way (Applying); check what is on it, then uncordon it" in messages[0]
    assert messages[1] == "somebody has uncordoned it, so the record of rollout patchwright/kernel-1 is removed"


def test_a_job_that_runs_is_let_finish_before_it_goes() -> None:
    result, _ = left(torn(SLOW, 20.0))

    assert result.jobs == 0
    assert {result.disks["node-01"], result.disks["node-02"]} == {"1.1"}, "nobody stopped it half-way"


def test_a_node_is_not_given_up_under_a_job_that_runs_though_somebody_uncordons_it() -> None:
    """The next rollout would run a second Job beside this one."""

    async def main() -> Node:
        cluster = Cluster(torn(SLOW, 10.0, uncordoned_at=15.0), Circumstances())
        seen: list[Node] = []

        def look() -> None:
            asyncio.get_running_loop().call_at(50.0, lambda: seen.append(cluster.server.need(Node, "node-01")))

        cluster.built = look
        await cluster.play()
        return seen[0]

    node = loop.run(main())

    assert node.record is not None
    assert node.record.reason == GONE


def test_a_rollout_that_a_cache_does_not_know_is_not_gone_as_long_as_the_api_server_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Orphans, "_known", lambda self: frozenset())

    result = play(DRAINS)

    assert not result.violations
    assert result.state.phase is Phase.SUCCEEDED
    assert not [event for event in result.events if event.reason == GONE]


def test_without_a_complete_list_nothing_is_taken_for_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(self: Rollouts) -> frozenset[str]:
        raise errors.ClusterUnavailable("the list expired")

    monkeypatch.setattr(Rollouts, "living", away)

    result, nodes = left(torn(SLOW, 20.0))

    assert not [event for event in result.events if event.reason == GONE]
    assert sorted(node.name for node in nodes if node.record) == ["node-01", "node-02"]


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("call", range(3))
@pytest.mark.parametrize("at", [5.0, 30.0], ids=["half-way", "soaking"])
def test_an_operator_that_fails_or_dies_while_it_settles_does_so_in_the_end(at: float, call: int, fault: Fault) -> None:
    log = play(torn(DRAINS, at)).log
    assert log[-1] == "delete jobs"
    result, nodes = left(torn(DRAINS, at), Circumstances(faults={len(log) - 1 - call: fault}))

    assert not result.violations
    assert result.jobs == 0
    assert all(node.unschedulable is (node.record is not None) for node in nodes)


@pytest.mark.parametrize("at", [0.5, 2, 30, 64, 70])
def test_a_canary_beside_a_deployment_does_not_outlive_a_rollout_that_is_torn_away(at: float) -> None:
    async def main() -> tuple[list[Workload], set[str]]:
        cluster = Cluster(torn(shops.DEPLOYMENTS_BY_POD, at), Circumstances())
        await cluster.play()
        made = {change.thing.key for change in cluster.server.history if getattr(change.thing, "canary_of", "")}
        return [each for each in cluster.server.all(Workload) if each.canary_of], made

    left_over, made = loop.run(main())

    assert made
    assert left_over == []
