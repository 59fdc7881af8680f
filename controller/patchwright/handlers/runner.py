"""Runs rounds: one worker per object, woken by events, by time, and again after errors.

This is where errors end up. A known one says itself when to try again; an unknown one is logged whole and retried with
a growing delay, since a worker that dies quietly would leave a node cordoned for good.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from patchwright import errors
from patchwright.domain.model import Key

logger = logging.getLogger(__name__)

# Events come in bursts (20 Jobs end at once); this long they are gathered before the next round.
GAP = 0.01
BACKOFF = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)

Round = Callable[[Key], Awaitable[timedelta | None]]


class Runner:
    """Calls ``round_`` for every key that was woken, one call at a time per key, until it returns ``None``.

    ``round_`` returns how long to wait for the next call if nothing wakes the key before.
    """

    def __init__(self, name: str, round_: Round) -> None:
        self._name = name
        self._round = round_
        self._wakes: dict[Key, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = False

    def wake(self, key: Key) -> None:
        """Have a key looked at soon; a key that is new gets a worker."""
        event = self._wakes.get(key)
        if event is None:
            event = self._wakes[key] = asyncio.Event()
            if self._running:
                self._start(key, event)
        event.set()

    async def run(self) -> None:
        """Work until cancelled; what is under way then is given up, which every round can bear (L12)."""
        self._running = True
        for key, event in list(self._wakes.items()):
            self._start(key, event)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._running = False
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, key: Key, event: asyncio.Event) -> None:
        task = asyncio.get_running_loop().create_task(self._work(key, event), name=f"{self._name} {key}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, key: Key, event: asyncio.Event) -> None:
        failures = 0
        while True:
            event.clear()
            delay, failed = await self._guarded(key, failures)
            failures = failures + 1 if failed else 0
            if delay is None and not event.is_set():
                del self._wakes[key]
                return
            await asyncio.sleep(GAP)
            await _either(event, delay or timedelta(0))

    async def _guarded(self, key: Key, failures: int) -> tuple[timedelta | None, bool]:
        backoff = timedelta(seconds=BACKOFF[min(failures, len(BACKOFF) - 1)])
        try:
            return await self._round(key), False
        except errors.Conflict as error:
            logger.debug("%s %s: %s", self._name, key, error)
            return backoff, True
        except errors.PatchwrightError as error:
            logger.warning("%s %s: %s", self._name, key, error)
            asked = timedelta(seconds=error.retry_after if error.retry_after is not None else BACKOFF[-1])
            return max(asked, backoff), True
        except Exception:
            # A bug of ours must not stop the rollout it shows itself in: the next round starts from what is recorded.
            logger.exception("%s %s: unexpected error; trying again in %s", self._name, key, backoff)
            return backoff, True


async def _either(event: asyncio.Event, delay: timedelta) -> None:
    try:
        async with asyncio.timeout(max(0.0, delay.total_seconds())):
            await event.wait()
    except TimeoutError:
        return
