"""One operator process: a reconciler with its caches, woken by news and by time, that can die at any call."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

from patchwright import errors, ports
from patchwright.domain.model import Key
from patchwright.pipeline.orphans import Orphans
from patchwright.pipeline.reconcile import Reconciler, retry_of
from support.simulator.cache import Cache
from support.simulator.calls import Wire
from support.simulator.fleet import Fleet
from support.simulator.gitops import Pushing
from support.simulator.outside import Clock, Registries
from support.simulator.rollouts import Rollouts
from support.simulator.server import Change
from support.simulator.shop import Shop
from support.simulator.things import Job, Node, Rollout

if TYPE_CHECKING:
    from support.simulator.cluster import Cluster

# Where the operator runs, and its policies are: they may target anything.
NAMESPACE = "patchwright"
# The runner's: events come in bursts, and this long they are gathered before the next round.
GAP = 0.02
# The operator's, between two looks for what rollouts that are gone have left.
SWEEP = 10.0
# As many rounds without the clock moving at all are no rounds but a loop.
SPIN = 50


class Spinning(AssertionError):
    """The operator repeats itself without anything having happened."""


class Process:
    """An operator from its start to its death."""

    def __init__(self, cluster: Cluster, *, name: str, wire: Wire, lag: Callable[[], float]) -> None:
        self.name = name
        self.cluster = cluster
        self.wire = wire
        wire.die = self.die
        self.cache = Cache(cluster.server, lag, self._told)
        self.fleet = Fleet(
            cluster.server, self.cache, wire, cluster.hardware, cluster.workloads, own_node=cluster.own_node
        )
        rollouts = Rollouts(cluster.server, self.cache, wire)
        shop = Shop(cluster.server, self.cache, wire, cluster.deployments)
        self.world = ports.World(
            rollouts,
            self.fleet,
            shop,
            cluster.opa,
            cluster.prober,
            cluster.journal,
            Clock(),
            NAMESPACE,
            Registries(wire, cluster.scenario.gone, cluster.scenario.silent),
            Pushing(cluster.repository, wire),
            cluster.trust,
        )
        self.reconciler = Reconciler(self.world)
        self.rounds = 0
        self.failure: BaseException | None = None
        self.ended = asyncio.Event()
        self._wakes: dict[Key, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def dead(self) -> bool:
        """Whether the process is no more."""
        return self.wire.dead

    def start(self) -> None:
        """Begin with every rollout there is."""
        for key in self.world.rollouts.keys():  # noqa: SIM118 (a port's method, not a dict's)
            self.wake(key)
        self._spawn(self._sweep())

    def die(self) -> None:
        """Lose everything that was in memory, at once."""
        if self.wire.dead:
            return
        self.wire.dead = True
        self.cache.close()
        for task in self._tasks:
            task.cancel()
        self.ended.set()

    def wake(self, key: Key) -> None:
        """Look at a rollout soon."""
        event = self._wakes.get(key)
        if event is None:
            event = self._wakes[key] = asyncio.Event()
            self._spawn(self._work(key, event))
            self._spawn(self._measure(key, slow=False))
            self._spawn(self._measure(key, slow=True))
        event.set()

    def _spawn(self, work: object) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)  # type: ignore[arg-type]  # a coroutine
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failure = self.failure or error
            self.die()

    def _told(self, change: Change) -> None:
        if self.dead:
            return
        match change.thing:
            case Node() | Job():
                for key in list(self._wakes):
                    self._wakes[key].set()
            case Rollout() as rollout:
                self.wake(rollout.key)
            case _:
                for key in list(self._wakes):
                    self._wakes[key].set()

    async def _work(self, key: Key, event: asyncio.Event) -> None:
        still = 0
        last = -1.0
        while True:
            event.clear()
            delay = await self._round(key)
            time = asyncio.get_running_loop().time()
            still = still + 1 if time == last else 0
            last = time
            if still > SPIN:
                raise Spinning(f"{SPIN} rounds of {key} without a request or a tick")
            if delay is None and not event.is_set():
                del self._wakes[key]
                return
            await asyncio.sleep(GAP)
            await _either(event, delay or timedelta(0))

    async def _round(self, key: Key) -> timedelta | None:
        self.rounds += 1
        try:
            return await self.reconciler.reconcile(key)
        except errors.PatchwrightError as error:
            return max(retry_of(error), timedelta(seconds=0.2))

    async def _sweep(self) -> None:
        orphans = Orphans(self.world)
        while True:
            with contextlib.suppress(errors.ClusterError):
                await orphans.sweep()
            await asyncio.sleep(SWEEP)

    async def _measure(self, key: Key, *, slow: bool) -> None:
        while key in self._wakes:
            changed, delay = await self.reconciler.measure(key, slow=slow)
            if changed and key in self._wakes:
                self._wakes[key].set()
            await asyncio.sleep(max(GAP, delay.total_seconds()))


async def _either(event: asyncio.Event, delay: timedelta) -> None:
    try:
        async with asyncio.timeout(max(0.0, delay.total_seconds())):
            await event.wait()
    except TimeoutError:
        return


def quick(random: Random) -> Callable[[], float]:
    """Answer within some milliseconds."""
    return lambda: random.uniform(0.001, 0.03)


def constant(delay: float) -> Callable[[], float]:
    """Answer after the same time always."""
    return lambda: delay
