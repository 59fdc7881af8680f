"""Every request an operator sends: it takes time, and may fail on the way there or back, or be the last one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import TypeVar

from patchwright import errors

R = TypeVar("R")


class Fault(StrEnum):
    """What goes wrong with a call."""

    CRASH_BEFORE = "crash-before"
    CRASH_AFTER = "crash-after"
    AWAY = "away"
    LOST = "lost"
    CONFLICT = "conflict"
    DENIED = "denied"


@dataclass(slots=True)
class Wire:
    """The way from one operator to the server.

    ``faults`` says what goes wrong with which call of this process, ``fork`` does so once it has come to that call, and
    ``chance`` is how likely each kind of fault is at any call. ``die`` ends the process.
    """

    random: Random
    latency: Callable[[], float]
    die: Callable[[], None] = lambda: None
    faults: dict[int, Fault] = field(default_factory=dict)
    fork: Callable[[int], Fault | None] = lambda _call: None
    chance: float = 0.0
    crash_chance: float = 0.0
    dead: bool = False
    sent: int = 0
    log: list[str] = field(default_factory=list)
    told: Callable[[str], None] = lambda _name: None

    async def call(self, name: str, effect: Callable[[], R], *, writes: bool = True) -> R:
        """Send one request."""
        if self.dead:
            raise asyncio.CancelledError
        fault = self._fault() if writes else None
        if writes:
            self.sent += 1
            self.log.append(name)
        if fault is Fault.CRASH_BEFORE:
            self._end()
        self.told(name)
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        if fault is not None and (failure := _early(fault, name)):
            await asyncio.sleep(self.latency())
            raise failure
        # What was sent arrives, whether its sender is still there or not.
        asyncio.get_running_loop().call_later(self.latency(), _serve, effect, answer)
        result = await answer
        if fault is Fault.CRASH_AFTER:
            self._end()
        await asyncio.sleep(self.latency())
        if fault is Fault.LOST:
            raise errors.ClusterUnavailable(f"{name}: the connection was lost before the answer came")
        return result

    def _fault(self) -> Fault | None:
        if self.sent in self.faults:
            return self.faults[self.sent]
        if (fault := self.fork(self.sent)) is not None:
            return fault
        if self.crash_chance and self.random.random() < self.crash_chance:
            return self.random.choice((Fault.CRASH_BEFORE, Fault.CRASH_AFTER))
        if self.chance and self.random.random() < self.chance:
            return self.random.choice((Fault.AWAY, Fault.AWAY, Fault.LOST, Fault.LOST, Fault.CONFLICT, Fault.DENIED))
        return None

    def _end(self) -> None:
        self.die()
        raise asyncio.CancelledError


def _serve(effect: Callable[[], R], answer: asyncio.Future[R]) -> None:
    try:
        result = effect()
    except errors.PatchwrightError as error:
        if not answer.done():
            answer.set_exception(error)
            answer.exception()
    else:
        if not answer.done():
            answer.set_result(result)


def _early(fault: Fault, name: str) -> errors.ClusterError | None:
    match fault:
        case Fault.AWAY:
            return errors.ClusterUnavailable(f"{name}: connection refused")
        case Fault.CONFLICT:
            return errors.Conflict(f"{name}: the object has been modified")
        case Fault.DENIED:
            return errors.Denied(f"{name}: admission webhook is not reachable")
        case _:
            return None
