"""Random fleets, policies, people, faults and crashes, one operator or two at once: the laws hold at every step."""

from __future__ import annotations

import pytest

from support.simulator import chance
from support.simulator.cluster import play

AGAIN = ".venv/bin/pytest tests/simulation/test_sim_schedules.py --seed"


@pytest.mark.simulation
def test_the_laws_hold_whatever_happens(seed: int) -> None:
    result = play(chance.scenario(seed), chance.circumstances(seed))

    told = "\n".join(str(violation) for violation in result.violations)
    assert not result.violations, f"seed {seed}; play it again with: {AGAIN} {seed}\n{told}"


@pytest.mark.parametrize("number", [3, 28, 531])
def test_the_same_seed_gives_the_same_history(number: int) -> None:
    first = play(chance.scenario(number), chance.circumstances(number))
    second = play(chance.scenario(number), chance.circumstances(number))

    assert first == second


FOUND = {
    18: "nodes were seen before the status that holds their plan",
    28: "an operator with an old view of nodes deleted a running rollback Job",
    140: "the answer to the last write was lost, and no event told the end",
    531: "a deposed operator cordoned a node after the rollout had been aborted and was over",
}


@pytest.mark.parametrize("number", FOUND, ids=FOUND.values())
def test_what_the_simulator_once_found_stays_fixed(number: int) -> None:
    result = play(chance.scenario(number), chance.circumstances(number))

    assert not result.violations
