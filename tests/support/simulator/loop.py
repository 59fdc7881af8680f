"""An event loop whose time passes only while nothing can run: virtual, exact and the same at every run."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

EPOCH = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)  # a Monday
T = TypeVar("T")


class Deadlock(AssertionError):
    """Nothing can run and nothing is due: somebody waits for what never comes."""


class _Leap(selectors.BaseSelector):
    """Instead of waiting for I/O, leap to the next timer."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        self._keys: dict[int, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        self._keys[number] = selectors.SelectorKey(fileobj, number, events, data)
        return self._keys[number]

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj if isinstance(fileobj, int) else fileobj.fileno())

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Deadlock("nothing is due any more, and the simulation has not ended")
        if timeout > 0:
            self.elapsed += timeout
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop in virtual time."""

    def __init__(self) -> None:
        self._leap = _Leap()
        super().__init__(self._leap)
        self._clock_resolution = 1e-7

    def time(self) -> float:
        return self._leap.elapsed


def now() -> datetime:
    """Give the virtual time, to the microsecond."""
    return EPOCH + timedelta(microseconds=round(asyncio.get_running_loop().time() * 1e6))


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a virtual loop of its own."""
    loop = VirtualLoop()
    broken: list[BaseException] = []
    loop.set_exception_handler(lambda _, context: broken.append(context.get("exception", RuntimeError(str(context)))))
    try:
        result = loop.run_until_complete(main)
        if broken:
            raise broken[0]
        return result
    finally:
        _drain(loop)
        loop.close()


def _drain(loop: asyncio.AbstractEventLoop) -> None:
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
