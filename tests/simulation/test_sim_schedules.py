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


# Two operators at once: one verified again what the other had called failed and was putting back; one did not know of
# the volumes of pods that the other had evicted.
@pytest.mark.parametrize("number", [443, 462, 1476])
def test_what_once_broke_a_law_does_so_no_more(number: int) -> None:
    assert not play(chance.scenario(number), chance.circumstances(number)).violations


@pytest.mark.parametrize("number", [3, 28, 531])
def test_the_same_seed_gives_the_same_history(number: int) -> None:
    first = play(chance.scenario(number), chance.circumstances(number))
    second = play(chance.scenario(number), chance.circumstances(number))

    assert first == second
