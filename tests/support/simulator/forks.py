"""Plays of one story that differ from some call on: what they have in common is played once.

With a fault at its five-hundredth call a story is, up to there, what it is without. So the process is copied at that
call: the copy goes on with the fault and tells how that ended, and the story goes on without. It saves half the work.
"""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import traceback
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from support.simulator.calls import Fault
from support.simulator.cluster import Circumstances, Result, Scenario, play


@dataclass(frozen=True, slots=True)
class Fork:
    """How a story ended with a fault at one call."""

    call: int
    fault: Fault
    result: Result


def play_all(scenario: Scenario, wanted: Callable[[int], Iterable[Fault]]) -> tuple[Result, list[Fork]]:
    """Play a story without a fault, and once for each fault that is ``wanted`` at each of its calls.

    Raises:
        AssertionError: a play with a fault could not be played to its end; its traceback is told.
    """
    road = _Road(wanted)
    # What is there already is left alone by the copies' collectors, so that it stays one copy.
    gc.freeze()
    try:
        expected = play(scenario, Circumstances(fork=road.fork))
    except BaseException:
        road.end_of_copy(traceback.format_exc())
        raise
    finally:
        gc.unfreeze()
    road.end_of_copy(expected)
    return expected, road.forks


def play_each(scenario: Scenario, fault: Fault, *, first: int, each: int) -> tuple[Result, list[Fork]]:
    """Play a story without a fault, and once with this one at every ``each``-th of its calls, from ``first`` on."""
    expected, forks = play_all(scenario, lambda call: (fault,) if call % each == first else ())
    assert [fork.call for fork in forks] == list(range(first, expected.calls, each)), "some call was left out"
    return expected, forks


@dataclass(slots=True)
class _Road:
    wanted: Callable[[int], Iterable[Fault]]
    forks: list[Fork] = field(default_factory=list)
    _answer: int | None = None

    def fork(self, call: int) -> Fault | None:
        """Play on with each fault in a copy of this process, where it is given; ``None`` in this one."""
        for fault in () if self._answer is not None else self.wanted(call):
            reader, writer = os.pipe()
            child = _copied()
            if child == 0:
                os.close(reader)
                self._answer = writer
                return fault
            os.close(writer)
            self.forks.append(Fork(call, fault, _heard(reader, child, f"{fault} at call {call}")))
        return None

    def end_of_copy(self, told: Result | str) -> None:
        """Tell the result, or what went wrong, and end; in the first process nothing is done."""
        if self._answer is not None:
            with os.fdopen(self._answer, "wb") as answer:
                pickle.dump(told, answer)
            os._exit(0)


def _copied() -> int:
    """Copy this process in the midst of a story; 0 in the copy, which goes on with the same loop."""
    running = asyncio.get_running_loop()
    with warnings.catch_warnings():
        # Python 3.12 warns of locks that another thread may hold: pytest-xdist has one, that the copy never talks to.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        # asyncio forgets in a copy which loop runs.
        asyncio._set_running_loop(running)
    return child


def _heard(reader: int, child: int, what: str) -> Result:
    with os.fdopen(reader, "rb") as answer:
        said = answer.read()
    os.waitpid(child, 0)
    told = pickle.loads(said) if said else "its process ended without a word"
    assert isinstance(told, Result), f"{what}: {told}"
    return told
