"""Whole rollouts through the real pipeline: the way things go, and what the random schedules once found."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import pairwise

import pytest

from patchwright.domain.actions import PodRef
from patchwright.domain.model import Canary, Drain, Quantity
from patchwright.domain.nodes.view import EvictionAttempt
from patchwright.domain.state import Phase
from patchwright.pipeline import act
from support.simulator import loop
from support.simulator.calls import Fault
from support.simulator.cluster import Circumstances, Cluster, Scenario, play
from support.simulator.fleet import Fleet
from support.simulator.people import MISSPELT, People
from support.simulator.scenarios import CLEAN, DRAINS
from support.simulator.things import Pod
from support.simulator.workloads import App


def test_a_clean_rollout_of_twenty_nodes_succeeds() -> None:
    result = play(Scenario())

    assert result.state.phase is Phase.SUCCEEDED
    assert set(result.disks.values()) == {"1.1"}
    assert not result.cordoned
    assert not result.jobs
    assert not result.violations


def test_the_end_is_told_though_the_answer_to_its_write_was_lost() -> None:
    last = play(CLEAN).calls - 1

    result = play(CLEAN, Circumstances(faults={last: Fault.LOST}))

    assert not result.violations
    assert [event.reason for event in result.events].count("Succeeded") == 1


def test_a_status_is_written_right_before_every_start() -> None:
    log = play(CLEAN).log

    first = [before for before, call in pairwise(log) if call.startswith("cordon") and not before.startswith("cordon")]
    assert len(first) > 2
    assert all(before.startswith("save") for before in first), "an operator with an old status must fail there (L10)"


def questions(scenario: Scenario, circumstances: Circumstances | None = None) -> list[int]:
    """Play, and give the waves that policy was asked about."""

    async def main() -> list[int]:
        cluster = Cluster(scenario, circumstances or Circumstances())
        result = await cluster.play()
        assert not result.violations
        assert result.state.phase is Phase.SUCCEEDED
        return [answer.wave for answer in cluster.opa.answers]

    return loop.run(main())


def joining(*numbers: int) -> Callable[[Cluster], list[tuple[float, Callable[[], None]]]]:
    def acts(cluster: Cluster) -> list[tuple[float, Callable[[], None]]]:
        people = People(cluster)
        return [(78.0, partial(people.join, number)) for number in numbers]

    return acts


def test_policy_is_asked_once_before_the_start_and_once_a_wave() -> None:
    assert questions(CLEAN) == [-1, 0, 1, 2]


def test_policy_is_asked_once_more_for_however_many_nodes_join_a_wave_that_it_was_asked_about() -> None:
    slow = replace(CLEAN.policy, strategy=replace(CLEAN.policy.strategy, max_unavailable=Quantity(2)))
    assert questions(replace(CLEAN, policy=slow, people=joining(21, 25))) == [-1, 0, 1, 1, 2]


def test_an_operator_that_takes_over_in_the_middle_of_a_wave_asks_policy_anew() -> None:
    slow = replace(CLEAN.policy, strategy=replace(CLEAN.policy.strategy, max_unavailable=Quantity(2)))
    calls = play(replace(CLEAN, policy=slow)).log
    amid = calls.index("cordon node-09")
    assert questions(replace(CLEAN, policy=slow), Circumstances(faults={amid: Fault.CRASH_AFTER})) == [-1, 0, 1, 1, 2]


def test_a_node_whose_evictions_take_long_does_not_hold_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Fleet.evict

    async def slow(self: Fleet, pod: PodRef, *, grace_period: timedelta | None) -> EvictionAttempt:
        if self.server.need(Pod, pod.name).node == "node-01":
            await asyncio.sleep(9)
        return await real(self, pod, grace_period=grace_period)

    monkeypatch.setattr(Fleet, "evict", slow)
    two = replace(DRAINS, nodes=2, apps=(App("web", 20),), policy=replace(DRAINS.policy, drain=Drain()))

    result = play(two)

    assert result.state.phase is Phase.SUCCEEDED
    assert not result.violations
    done = {event.about: event.at - loop.EPOCH for event in result.events if event.reason == "Patched"}
    assert done["node-02"] < timedelta(seconds=60) < timedelta(seconds=90) < done["node-01"]


# One node's pods are refused and asked for again, as long as its drain lasts. The other must not wait for its end.
def test_a_node_has_its_turn_though_the_one_before_it_uses_up_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = Fleet.evict, dict[str, timedelta]()

    async def slow(self: Fleet, pod: PodRef, *, grace_period: timedelta | None) -> EvictionAttempt:
        asked.setdefault(self.server.need(Pod, pod.name).node, loop.now() - loop.EPOCH)
        await asyncio.sleep(6)
        return await real(self, pod, grace_period=grace_period)

    monkeypatch.setattr(Fleet, "evict", slow)
    monkeypatch.setattr(act, "PARALLEL", 1)

    play(replace(DRAINS, nodes=3, apps=(App("held", 12, min_available=12),)))

    assert asked["node-02"] < asked["node-01"] + timedelta(seconds=30)


def wronged(cluster: Cluster) -> list[tuple[float, Callable[[], None]]]:
    """In the soak of the canary a flag is misspelt and the policy broken; then the rollout is deleted."""
    people = People(cluster)
    return [
        (20.0, people.misspell),
        (20.0, people.break_policy),
        (60.0, lambda: people.rollout(deleting=True)),
    ]


@pytest.mark.parametrize("faults", [{}, {24: Fault.CRASH_AFTER}, {24: Fault.LOST}], ids=["", "crash", "lost answer"])
def test_a_rollout_that_is_deleted_is_undone_whatever_cannot_be_read_of_it_and_its_policy(
    faults: dict[int, Fault],
) -> None:
    held = replace(CLEAN.policy, strategy=replace(CLEAN.policy.strategy, canary=Canary(soak=timedelta(hours=1))))

    result = play(replace(CLEAN, policy=held, people=wronged), Circumstances(faults=faults))

    assert not result.violations
    assert (result.states, result.jobs, result.cordoned) == ({}, 0, frozenset())
    assert set(result.disks.values()) == {"1.0"}
    told = [event.message for event in result.events if event.reason == "RollingBack"]
    assert MISSPELT in told[0]
    assert "the rollout is being deleted (passed over: " in told[0]


def test_two_operators_at_once_do_everything_once() -> None:
    for seed in range(5):
        result = play(CLEAN, Circumstances(seed=seed, fitful=True, replicas=2))

        assert result.state.phase is Phase.SUCCEEDED
        assert not result.violations
