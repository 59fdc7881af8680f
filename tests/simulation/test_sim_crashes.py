"""Every single write of a rollout of twenty nodes is the operator's last, or fails, and the end is the same."""

from __future__ import annotations

import pytest

from patchwright.domain.state import Phase
from support.simulator.calls import Fault
from support.simulator.cluster import Result, play
from support.simulator.forks import Fork, play_each
from support.simulator.scenarios import STORIES

CRASHES = (Fault.CRASH_BEFORE, Fault.CRASH_AFTER)
ERRORS = (Fault.AWAY, Fault.LOST, Fault.CONFLICT, Fault.DENIED)
# Without --exhaustive every so many calls fail in each way of failing. In the stories of WHOLE every call is the last
# one, once before and once after its effect, in any case; in the others, which are these with less or with more, every
# third. `make simulate` leaves nothing out.
SOME = 24
THIRD = 3
WHOLE = ("failed canary", "failure in the second wave", "drains")
ENDS = {
    "clean": Phase.SUCCEEDED,
    "failed canary": Phase.ROLLED_BACK,
    "failure in the second wave": Phase.ROLLED_BACK,
    "reboots": Phase.SUCCEEDED,
    "drains": Phase.SUCCEEDED,
    "prepares": Phase.SUCCEEDED,
    "nothing to prepare with": Phase.ROLLED_BACK,
    "load balancers and volumes": Phase.SUCCEEDED,
    "load balancers and volumes, and back": Phase.ROLLED_BACK,
    "load balancers and volumes, prepared": Phase.SUCCEEDED,
}


@pytest.mark.parametrize("story", STORIES)
def test_without_faults_the_story_ends_as_it_should(story: str) -> None:
    result = play(STORIES[story])

    assert result.state.phase is ENDS[story], result.state.message
    assert not result.violations
    assert not result.excluded
    wanted = {"1.1"} if result.state.phase is Phase.SUCCEEDED else {"1.0"}
    assert set(result.disks.values()) == wanted


@pytest.mark.simulation
@pytest.mark.parametrize("fault", CRASHES)
@pytest.mark.parametrize("story", STORIES)
def test_a_crash_at_any_write_changes_nothing_about_the_end(story: str, fault: Fault, exhaustive: bool) -> None:
    each = 1 if exhaustive or story in WHOLE else THIRD

    expected, forks = play_each(STORIES[story], fault, first=CRASHES.index(fault) % each, each=each)
    for fork in forks:
        _same(expected, fork)


@pytest.mark.simulation
@pytest.mark.parametrize("fault", ERRORS)
@pytest.mark.parametrize("story", STORIES)
def test_an_error_at_any_write_changes_nothing_about_the_end(story: str, fault: Fault, exhaustive: bool) -> None:
    each = 1 if exhaustive else SOME

    expected, forks = play_each(STORIES[story], fault, first=ERRORS.index(fault) % each, each=each)
    for fork in forks:
        _same(expected, fork)


def _same(expected: Result, fork: Fork) -> None:
    result = fork.result

    where = f"{fork.fault} at call {fork.call} ({expected.log[fork.call]})"
    told = "\n".join(str(violation) for violation in result.violations)
    assert not result.violations, f"{where}\n{told}"
    assert result.state.phase is expected.state.phase, f"{where}: {result.state.message}"
    assert result.disks == expected.disks, where
    assert result.cordoned == expected.cordoned, where
    assert result.excluded == expected.excluded, where
    assert not result.jobs, where
