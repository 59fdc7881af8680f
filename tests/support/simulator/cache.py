"""What one operator believes: a watch that lags behind the server, and its own writes at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

from patchwright.domain.model import Key
from support.simulator.server import Change, Server
from support.simulator.things import Job, Kind, Node, Pod, Policy, Rollout, Thing, Workload

N = TypeVar("N", Node, Job, Pod, Workload, Rollout, Policy)
KINDS: tuple[Kind, ...] = (Node, Job, Workload, Rollout, Policy)


class Cache:
    """Objects by kind and key, as far as the watches have told; each kind's news come in order.

    ``lag`` gives the delay of one piece of news in seconds. A new cache begins with a complete list.
    """

    def __init__(self, server: Server, lag: Callable[[], float], told: Callable[[Change], None]) -> None:
        self._server = server
        self._lag = lag
        self._told = told
        self._stores: dict[Kind, dict[Any, Any]] = {
            kind: {thing.key: thing for thing in server.every(kind)} for kind in KINDS
        }
        self._gone: set[str] = set()
        self._last: dict[Kind, float] = dict.fromkeys(KINDS, 0.0)
        self.served = 0
        server.listen(self._later)

    def close(self) -> None:
        """Hear no more."""
        self._server.deafen(self._later)

    def all(self, kind: type[N]) -> list[N]:
        """Give every object of a kind, as known."""
        return list(self._stores[kind].values())

    def get(self, kind: type[N], key: str | Key) -> N | None:
        """Give one object, as known."""
        return self._stores[kind].get(key)

    def learn(self, thing: Thing) -> None:
        """Take in what the server answered, unless something newer is known."""
        store = self._stores[type(thing)]
        known = store.get(thing.key)
        if thing.uid in self._gone or (known is not None and known.version >= thing.version):
            return
        store[thing.key] = thing

    def forget(self, kind: Kind, thing: Thing) -> None:
        """Drop an object that is gone for good."""
        self._gone.add(thing.uid)
        known = self._stores[kind].get(thing.key)
        if known is not None and known.uid == thing.uid:
            del self._stores[kind][thing.key]

    def _later(self, change: Change) -> None:
        if change.kind not in self._stores:
            return
        running = asyncio.get_running_loop()
        at = max(running.time() + self._lag(), self._last[change.kind])
        self._last[change.kind] = at
        running.call_at(at, self._deliver, change)

    def _deliver(self, change: Change) -> None:
        if change.after is None:
            self.forget(change.kind, change.before)
        else:
            self.learn(change.after)
        self._told(change)


def steady(delay: float) -> Callable[[], float]:
    """Lag always the same."""
    return lambda: delay


def fitful(random: Random) -> Callable[[], float]:
    """Lag little mostly, and some seconds now and then."""
    return lambda: random.uniform(0.01, 0.2) if random.random() < 0.97 else random.uniform(0.5, 6.0)
