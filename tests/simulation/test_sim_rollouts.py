"""Whole rollouts through the real pipeline: the way things go, and what the random schedules once found."""

from __future__ import annotations

from itertools import pairwise

from patchwright.domain.state import Phase
from support.simulator.calls import Fault
from support.simulator.cluster import Circumstances, Scenario, play
from support.simulator.scenarios import CLEAN


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


def test_two_operators_at_once_do_everything_once() -> None:
    for seed in range(5):
        result = play(CLEAN, Circumstances(seed=seed, fitful=True, replicas=2))

        assert result.state.phase is Phase.SUCCEEDED
        assert not result.violations
