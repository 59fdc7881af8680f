"""A copy of the process, made at a call, ends as a play from the beginning with the same fault at that call does."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from patchwright.domain.checks import HealthCheck, HttpCheck
from patchwright.domain.health import Finding
from support.simulator import shops
from support.simulator.calls import Fault
from support.simulator.cluster import Circumstances, Scenario, play
from support.simulator.forks import play_all
from support.simulator.outside import well
from support.simulator.scenarios import FAILED_CANARY


def at_some_calls(call: int) -> Sequence[Fault]:
    return (tuple(Fault)[call // 3 % len(Fault)],) if call % 3 == 0 else ()


@pytest.mark.parametrize("scenario", [FAILED_CANARY, shops.FAILED_CANARY], ids=["nodes", "workloads"])
def test_a_copy_ends_as_a_play_from_the_beginning(scenario: Scenario) -> None:
    expected, forks = play_all(scenario, at_some_calls)

    assert expected == play(scenario)
    assert len(forks) > len(Fault)
    for fork in forks:
        assert fork.result == play(scenario, Circumstances(faults={fork.call: fork.fault}))


def test_several_faults_at_a_call_are_a_copy_each() -> None:
    _, forks = play_all(FAILED_CANARY, lambda call: tuple(Fault) if call == 7 else ())

    assert [(fork.call, fork.fault) for fork in forks] == [(7, fault) for fault in Fault]


PROBED = replace(FAILED_CANARY.policy, health_checks=(HealthCheck("probe", HttpCheck("http://web")),))


def look(act: Callable[[], Sequence[Finding]], *, copies_only: bool = True) -> Scenario:
    first = os.getpid()
    seen = (lambda check: well(check) if os.getpid() == first else act()) if copies_only else (lambda _check: act())
    return replace(FAILED_CANARY, policy=PROBED, look=seen)


def confused() -> Sequence[Finding]:
    raise ValueError("nobody has taught it that")


def test_what_goes_wrong_in_a_copy_is_told() -> None:
    with pytest.raises(AssertionError, match=r"(?s)lost at call 3: Traceback.*nobody has taught it that"):
        play_all(look(confused), lambda call: (Fault.LOST,) if call == 3 else ())


def test_a_copy_that_dies_is_no_success() -> None:
    with pytest.raises(AssertionError, match="lost at call 3: its process ended without a word"):
        play_all(look(lambda: os._exit(1)), lambda call: (Fault.LOST,) if call == 3 else ())


def test_what_goes_wrong_without_a_fault_is_raised_as_it_is() -> None:
    with pytest.raises(ValueError, match="nobody has taught it that"):
        play_all(look(confused, copies_only=False), lambda _call: ())
