"""How often and how many at a time a registry is asked, and for how long it is left alone when it says so.

One lane per registry: Docker Hub that limits us must not keep anybody from asking another one (argocd-image-updater
counted 5,000 requests in a cycle of two minutes, #313, and was limited for all of them).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from patchwright import errors
from patchwright.domain.images.keyring import Login

LONGEST_PAUSE: Final = 3600.0
_LANES_KEPT: Final = 1000
_PAUSES_KEPT: Final = 100


@dataclass(frozen=True, slots=True)
class Limits:
    """What a registry is spared, and what we are.

    ``per_second`` requests over time and ``burst`` at once, ``at_once`` in flight. One request may take ``seconds``, is
    made ``attempts`` times when the registry is in trouble, and waits ``patience`` seconds at most before each; past
    that the caller is told to come back later.
    """

    per_second: float = 10.0
    burst: int = 20
    at_once: int = 4
    seconds: float = 30.0
    attempts: int = 3
    backoff: float = 0.5
    patience: float = 10.0
    page: int = 1000
    tags: int = 20_000


@dataclass(frozen=True, slots=True)
class Timing:
    """The clock, the sleep and the dice; tests bring their own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    dice: Callable[[], float] = random.random


class Rate:
    """At most ``burst`` requests at once and ``per_second`` over time (the generic cell rate algorithm, ITU I.371)."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._step = 1 / per_second
        self._slack = self._step * (burst - 1)
        self._due = 0.0

    def reserve(self, now: float) -> float:
        """Take the next place; give how many seconds away it is."""
        at = max(self._due, now - self._slack)
        self._due = at + self._step
        return max(0.0, at - now)


@dataclass(slots=True)
class _Pause:
    until: float = 0.0
    strikes: int = 0


class Lane:
    """The way to one registry. Places are everybody's, a pause is of the login that was told to make one.

    Docker Hub counts by account: a team without one must not stop those who have paid for theirs.
    """

    def __init__(self, registry: str, limits: Limits, timing: Timing) -> None:
        self._registry = registry
        self._limits = limits
        self._timing = timing
        self._rate = Rate(limits.per_second, limits.burst)
        self._places = asyncio.Semaphore(limits.at_once)
        self._pauses: dict[Login | None, _Pause] = {}

    @property
    def busy(self) -> bool:
        """Whether it is remembered for a reason."""
        now = self._timing.now()
        return self._places.locked() or any(pause.until > now for pause in self._pauses.values())

    @contextlib.asynccontextmanager
    async def turn(self, login: Login | None) -> AsyncIterator[None]:
        """Wait for a place; raises RegistryUnavailable when the registry is to be left alone for longer than that."""
        async with self._places:
            if wait := self._rate.reserve(self._timing.now()):
                await self._timing.sleep(wait)
            # Somebody who went first may have been told to slow down meanwhile.
            while (wait := self._paused(login)) > 0:
                if wait > self._limits.patience:
                    raise errors.RegistryUnavailable(
                        f"Registry {self._registry} limits its requests and is left alone for {wait:.0f} s more; "
                        "give it a login with a higher limit, or a longer interval",
                        reason="RateLimited",
                        retry_after=wait,
                    )
                await self._timing.sleep(wait)
            yield

    def went_well(self, login: Login | None) -> None:
        """Note an answer; what went wrong before is over, but for a pause that began while it was on its way."""
        if self._paused(login) <= 0:
            self._pauses.pop(login, None)

    def close(self, login: Login | None, seconds: float | None) -> float:
        """Ask nothing for so long (twice as long each time, when the registry does not say); give the seconds."""
        now = self._timing.now()
        if len(self._pauses) >= _PAUSES_KEPT:
            self._pauses = {who: pause for who, pause in self._pauses.items() if pause.until > now}
        pause = self._pauses.setdefault(login, _Pause())
        pause.strikes += 1
        told = min(seconds if seconds is not None else 2.0 ** min(pause.strikes, 20), LONGEST_PAUSE)
        pause.until = max(pause.until, now + told)
        return told

    def backoff(self, attempt: int) -> float:
        """Give how long to wait after an attempt that failed: doubled each time, and no two callers alike."""
        return float(self._limits.backoff * 2 ** (attempt - 1) * (0.5 + self._timing.dice() / 2))

    def _paused(self, login: Login | None) -> float:
        pause = self._pauses.get(login)
        return pause.until - self._timing.now() if pause is not None else 0.0


class Lanes:
    """A lane for each registry, made when it is first needed."""

    def __init__(self, limits: Limits, timing: Timing) -> None:
        self._limits = limits
        self._timing = timing
        self._lanes: dict[str, Lane] = {}

    def of(self, registry: str) -> Lane:
        """Give the lane of a registry."""
        if registry not in self._lanes:
            if len(self._lanes) >= _LANES_KEPT:
                # Whoever may write an image's name can make up registries; a lane that is idle is as good as a new one.
                self._lanes = {name: lane for name, lane in self._lanes.items() if lane.busy}
            self._lanes[registry] = Lane(registry, self._limits, self._timing)
        return self._lanes[registry]
