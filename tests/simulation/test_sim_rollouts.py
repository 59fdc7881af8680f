"""Whole rollouts through the real pipeline, without any fault: the way things go when nothing goes wrong outside."""

from __future__ import annotations

from patchwright.domain.state import Phase
from support.simulator.cluster import Scenario, play


def test_a_clean_rollout_of_twenty_nodes_succeeds() -> None:
    result = play(Scenario())

    assert result.state.phase is Phase.SUCCEEDED
    assert set(result.disks.values()) == {"1.1"}
    assert not result.cordoned
    assert not result.jobs
    assert not result.violations
