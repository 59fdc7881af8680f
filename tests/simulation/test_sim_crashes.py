"""Every single write of a rollout of twenty nodes is the operator's last, or fails, and the end is the same."""

from __future__ import annotations

import pytest

from patchwright.domain.state import Phase
from support.simulator.calls import Fault
from support.simulator.cluster import Circumstances, Result, Scenario, play
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
# The calls of a story are shared out, so that two workers have about the same to do.
SHARES = 4


@pytest.mark.parametrize("story", STORIES)
def test_without_faults_the_story_ends_as_it_should(story: str) -> None:
    result = play(STORIES[story])

    assert result.state.phase is ENDS[story], result.state.message
    assert not result.violations
    assert not result.excluded
    wanted = {"1.1"} if result.state.phase is Phase.SUCCEEDED else {"1.0"}
    assert set(result.disks.values()) == wanted


@pytest.mark.simulation
@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("fault", CRASHES)
@pytest.mark.parametrize("story", STORIES)
def test_a_crash_at_any_write_changes_nothing_about_the_end(
    story: str, fault: Fault, share: int, exhaustive: bool
) -> None:
    scenario = STORIES[story]
    expected = play(scenario)
    each = 1 if exhaustive or story in WHOLE else THIRD

    for call in range(share * each + CRASHES.index(fault) % each, expected.calls, SHARES * each):
        _same(scenario, expected, fault, call=call)


@pytest.mark.simulation
@pytest.mark.parametrize("fault", ERRORS)
@pytest.mark.parametrize("story", STORIES)
def test_an_error_at_any_write_changes_nothing_about_the_end(story: str, fault: Fault, exhaustive: bool) -> None:
    scenario = STORIES[story]
    expected = play(scenario)

    for call in range(ERRORS.index(fault), expected.calls, 1 if exhaustive else SOME):
        _same(scenario, expected, fault, call=call)


def _same(scenario: Scenario, expected: Result, fault: Fault, *, call: int) -> None:
    result = play(scenario, Circumstances(faults={call: fault}))

    where = f"{fault} at call {call} ({expected.log[call]})"
    told = "\n".join(str(violation) for violation in result.violations)
    assert not result.violations, f"{where}\n{told}"
    assert result.state.phase is expected.state.phase, f"{where}: {result.state.message}"
    assert result.disks == expected.disks, where
    assert result.cordoned == expected.cordoned, where
    assert result.excluded == expected.excluded, where
    assert not result.jobs, where
