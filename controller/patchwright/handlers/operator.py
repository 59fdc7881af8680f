"""The operator: serves its probes, waits for the lease, and while it holds it keeps every object going.

A stand-by watches nothing; taking over costs it one list of everything. Whoever loses the lease ends its process, as
controller-runtime does: what it had in memory is worth nothing any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial

import kopf
from aiohttp import web as aioweb

from patchwright import errors
from patchwright.adapters.kube import client, lease, prime
from patchwright.adapters.kube.budgets import Budgets
from patchwright.adapters.kube.client import KubeApi
from patchwright.adapters.kube.fleet_cache import Changed
from patchwright.adapters.kube.reflector import Reflector
from patchwright.adapters.metrics.registry import Metrics
from patchwright.domain.model import Change, ImagesChange, Key, PatchRollout, ScriptChange
from patchwright.domain.state import TERMINAL
from patchwright.handlers import events, web, wiring
from patchwright.handlers.events import Raw
from patchwright.handlers.runner import Runner
from patchwright.handlers.settings import Settings
from patchwright.pipeline.images import ImageReconciler
from patchwright.pipeline.orphans import Orphans
from patchwright.pipeline.policies import PolicyReconciler
from patchwright.pipeline.reconcile import Reconciler
from patchwright.pipeline.repositories import RepositoryReconciler

logger = logging.getLogger(__name__)

LEASE_NAME = "patchwright-operator"
# A node that changes wakes whoever works on it at once, and those that may want it within this time.
SOON = 1.0
RESYNC = timedelta(minutes=10)
# All watches begin anew together, and each object of theirs is told one by one; this long it has to be quiet.
QUIET = timedelta(seconds=2)
OTHERS = timedelta(seconds=30)
# Looking costs nothing as long as every record's rollout is known.
ORPHANS = timedelta(seconds=10)


class Operator:
    """One replica."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics = Metrics()
        self._caches = wiring.Caches.empty(settings)
        self._metrics.watch_reboots(self._caches.fleet.reboots_due)
        self._metrics.watch_abandoned(self._caches.fleet.abandoned)
        self._leading = False
        self._election: lease.Lease | None = None
        self._stop = asyncio.Event()

    async def run(self) -> bool:
        """Run until SIGTERM or SIGINT; tell whether it ended that way, and not because the lease was lost."""
        self._catch_signals()
        async with AsyncExitStack() as stack:
            api, election = await self._clients(stack)
            await self._serve(stack)
            work = asyncio.create_task(self._work(api, election), name="operator")
            stopped = asyncio.create_task(self._stop.wait(), name="stop")
            await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
            asked = self._stop.is_set()
            stopped.cancel()
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
        return asked

    def _catch_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)

    async def _clients(self, stack: AsyncExitStack) -> tuple[KubeApi, lease.Lease | None]:
        """Open one client for the work and one for the lease, which must not wait behind the other's requests."""
        settings = self._settings
        api = await client.connect(settings.kubeconfig)
        stack.push_async_callback(api.close)
        if not settings.leader_election:
            return api, None
        for_lease = await client.connect(settings.kubeconfig, pool=2)
        stack.push_async_callback(for_lease.close)
        seconds = settings.lease_seconds
        timing = lease.Timing(seconds, seconds * 2 / 3, seconds * 2 / 15)
        election = lease.Lease(
            for_lease, namespace=settings.namespace, name=LEASE_NAME, identity=settings.identity, timing=timing
        )
        return api.fenced(lambda: election.held), election

    async def _serve(self, stack: AsyncExitStack) -> None:
        settings = self._settings
        probes = web.Probes(alive=lambda: "", ready=self._unready)
        found = web.application(probes, self._metrics.registry, pulled=self._pulled, hook_token=settings.hook_token)
        runner = aioweb.AppRunner(found, access_log=None, shutdown_timeout=2.0)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await aioweb.TCPSite(runner, settings.http_host, settings.http_port).start()

    def _unready(self) -> str:
        """A stand-by is ready once it has read the lease; a leader once it knows everything there is."""
        if self._leading or (self._election is not None and self._election.holder and not self._election.held):
            return ""
        return "the API server was not reached yet"

    async def _work(self, api: KubeApi, election: lease.Lease | None) -> None:
        self._election = election
        if election is None:
            await self._lead(api)
            return
        logger.info("%s waits for the lease %s/%s", election.identity, self._settings.namespace, LEASE_NAME)
        await election.lead(lambda: self._lead(api))

    async def _lead(self, api: KubeApi) -> None:
        async with AsyncExitStack() as stack:
            made = await wiring.adapters(stack, self._settings, api, caches=self._caches, metrics=self._metrics)
            crew = Crew(self._caches, made)
            self._crew = crew
            feed = Feed(self._caches, crew)
            watches = wiring.reflectors(await self._for_watches(stack), self._caches)
            await _until_there(lambda: _prime(api, feed, watches))
            # Before anything is begun: a node that can never be emptied is not to be cordoned to find out.
            budgets = self._caches.budgets
            await _until_there(lambda: budgets.look(api))
            await crew.begin()
            self._leading = True
            async with asyncio.TaskGroup() as group:
                for runner in crew.runners:
                    group.create_task(runner.run())
                for each in watches:
                    group.create_task(each.run())
                group.create_task(_every(OTHERS, made.fleet.look_for_others))
                group.create_task(_every(OTHERS, lambda: budgets.look(api)))
                group.create_task(_at_news(budgets, api))
                group.create_task(_every(OTHERS, made.standalones.look))
                group.create_task(_every(ORPHANS, Orphans(made.world).sweep))
                group.create_task(_resync(feed, lambda: _ours(api, feed), made.rollouts.resync))
                group.create_task(self._watch(feed))

    async def _for_watches(self, stack: AsyncExitStack) -> KubeApi:
        """Open a client for what is watched: a watch holds its connection for as long as it lasts."""
        api = await client.connect(self._settings.kubeconfig, user_agent=client.WATCH_AGENT, pool=16)
        stack.push_async_callback(api.close)
        return api

    async def _watch(self, feed: Feed) -> None:
        ready = asyncio.Event()
        again = asyncio.create_task(self._after(ready))
        try:
            await kopf.operator(
                registry=events.registry(feed, kubeconfig=self._settings.kubeconfig),
                settings=kopf.OperatorSettings(),
                clusterwide=True,
                standalone=True,
                ready_flag=ready,
                stop_flag=self._stop,
            )
        finally:
            again.cancel()
        if not self._stop.is_set():
            raise RuntimeError("the watches ended by themselves; the process ends, to be started again")

    async def _after(self, ready: asyncio.Event) -> None:
        """Take the signals back, which kopf claims for itself at its start."""
        await ready.wait()
        self._catch_signals()

    def _pulled(self, key: Key) -> None:
        if self._leading:
            self._crew.repositories.wake(key)


class Crew:
    """The runners, and who wakes whom."""

    def __init__(self, caches: wiring.Caches, made: wiring.Adapters) -> None:
        self._caches = caches
        self._world = made.world
        self._bundles = made.source_world.bundles
        self._reconciler = Reconciler(made.world)
        self._repositories = RepositoryReconciler(made.source_world)
        self.rollouts = Runner("rollout", self._rollout)
        self.checks = Runner("health of rollout", self._measure)
        # A Job takes minutes, in which whatever else is unhealthy must be seen.
        self.jobs = Runner("Jobs for the health of rollout", partial(self._measure, slow=True))
        self._images = ImageReconciler(made.world, made.policies, made.image_world)
        self._policies = PolicyReconciler(made.policies, made.world, self._images)
        self.policies = Runner("policy", self._policy)
        self.images = Runner("images of policy", self._follow)
        self.repositories = Runner("repository", self._repository)
        self.runners = (self.rollouts, self.checks, self.jobs, self.policies, self.images, self.repositories)
        self.begin = self._repositories.begin
        self._keys: dict[str, Key] = {}
        self._soon: asyncio.TimerHandle | None = None
        self._changed: set[type[Change]] = set()
        caches.fleet.on_change(self._fleet_changed)
        caches.workloads.on_change(self._workload_changed)
        caches.rollouts.on_change(self._rollout_changed)
        caches.repositories.on_change(self.repositories.wake)

    def _fleet_changed(self, changed: Changed) -> None:
        uids = {changed.rollout_uid} if changed.rollout_uid else self._caches.fleet.rollouts_on(changed.node)
        for uid in uids:
            self._wake_at_work(uid)
        self._wake_soon(ScriptChange)

    def _workload_changed(self, rollout_uid: str) -> None:
        self._wake_at_work(rollout_uid)
        self._wake_soon(ImagesChange)

    def _wake_at_work(self, uid: str) -> None:
        if uid in self._keys:
            self.rollouts.wake(self._keys[uid])

    def _wake_soon(self, change: type[Change]) -> None:
        """Wake the rollouts of one kind of change: a busy cluster's Deployments are no news to those over nodes."""
        self._changed.add(change)
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(SOON, self._wake_changed)

    def _wake_changed(self) -> None:
        self._soon = None
        changed, self._changed = self._changed, set()
        self._wake_active(lambda rollout: type(rollout.change) in changed)

    def _rollout_changed(self, key: Key) -> None:
        facts = self._caches.rollouts.rollout(key)
        if facts is not None:
            self._keys[facts.uid] = key
            self.policies.wake(Key(key.namespace, facts.policy_name))
        self.rollouts.wake(key)
        self.checks.wake(key)
        self.jobs.wake(key)

    def _wake_active(self, wanted: Callable[[PatchRollout], bool] = lambda _: True) -> None:
        for key in self._world.rollouts.keys():  # noqa: SIM118 (a port's method)
            case = self._world.rollouts.get(key)
            if case is None or case.state.phase in TERMINAL:
                continue
            if case.rollout is None or wanted(case.rollout):
                self.rollouts.wake(key)

    async def _rollout(self, key: Key) -> timedelta | None:
        before = self._world.rollouts.get(key)
        delay = await self._reconciler.reconcile(key)
        after = self._world.rollouts.get(key)
        if before is None or after is None or before.state.phase is not after.state.phase:
            # Others may have waited for this one, to end or to be allowed; checks begin and end with phases.
            self._wake_active()
            self.checks.wake(key)
            self.jobs.wake(key)
            if after is not None and after.rollout is not None:
                self.policies.wake(Key(key.namespace, after.rollout.policy_name))
                self.images.wake(Key(key.namespace, after.rollout.policy_name))
        return delay

    async def _measure(self, key: Key, *, slow: bool = False) -> timedelta | None:
        if self._world.rollouts.get(key) is None:
            return None
        changed, delay = await self._reconciler.measure(key, slow=slow)
        if changed:
            self.rollouts.wake(key)
        return delay

    async def _policy(self, key: Key) -> timedelta | None:
        before = self._caches.rollouts.policy(key)
        delay = await self._policies.reconcile(key)
        after = self._caches.rollouts.policy(key)
        if before is not None and after is not None and before.state.retried_at != after.state.retried_at:
            self.images.wake(key)
        return delay

    async def _follow(self, key: Key) -> timedelta | None:
        before = self._images.outlook(key)
        delay = await self._images.reconcile(key)
        if self._images.outlook(key) != before:
            self.policies.wake(key)
        return delay

    async def _repository(self, key: Key) -> timedelta | None:
        before = self._bundles.published()
        delay = await self._repositories.reconcile(key)
        if self._bundles.published() != before:
            self._wake_active()
        return delay


class Feed:
    """Takes the watch events into the caches; implements ``events.Feed``."""

    def __init__(self, caches: wiring.Caches, crew: Crew) -> None:
        self._caches = caches
        self._crew = crew
        self.began = asyncio.Event()

    def rollout(self, raw: Raw, *, gone: bool = False) -> None:
        """Take a PatchRollout."""
        (self._caches.rollouts.remove_rollout if gone else self._caches.rollouts.apply_rollout)(raw)

    def policy(self, raw: Raw, *, gone: bool = False) -> None:
        """Take a PatchPolicy; one that no rollout uses yet has a status all the same."""
        (self._caches.rollouts.remove_policy if gone else self._caches.rollouts.apply_policy)(raw)
        self._crew.policies.wake(events.key_of(raw))
        self._crew.images.wake(events.key_of(raw))

    def repository(self, raw: Raw, *, gone: bool = False) -> None:
        """Take a PolicyRepository."""
        (self._caches.repositories.remove if gone else self._caches.repositories.apply)(raw)

    def listed(self) -> None:
        """Take in that a watch has begun, or begun anew."""
        self.began.set()


async def _prime(api: KubeApi, feed: Feed, watches: Sequence[Reflector]) -> None:
    await prime.discovered(api)
    for each in watches:
        await each.list()
    await _ours(api, feed)


async def _ours(api: KubeApi, feed: Feed) -> None:
    await prime.prime(api, policy=feed.policy, rollout=feed.rollout, repository=feed.repository)


async def _until_there(attempt: Callable[[], Awaitable[None]]) -> None:
    """Repeat until the API server answers; it may start at the same time as we do."""
    while True:
        try:
            await attempt()
        except errors.ClusterError as error:
            logger.warning("%s; trying again", error)
            await asyncio.sleep(error.retry_after or 1.0)
        else:
            return


async def _resync(feed: Feed, *steps: Callable[[], Awaitable[None]]) -> None:
    """Look at all of our kinds again: soon after watches began, and every ten minutes in any case.

    A watch of kopf's that begins anew never tells of the deletions that it missed, and one that is deaf tells nothing.
    """
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RESYNC.total_seconds()):
                await feed.began.wait()
        while feed.began.is_set():
            feed.began.clear()
            await asyncio.sleep(QUIET.total_seconds())
        for step in steps:
            try:
                await step()
            except errors.ClusterError as error:
                logger.warning("%s; tried again in %s", error, RESYNC)


async def _at_news(budgets: Budgets, api: KubeApi) -> None:
    """See soon where the pods of a budget are that has begun to allow nothing; all are looked at now and then."""
    while True:
        await budgets.news.wait()
        await asyncio.sleep(SOON)
        try:
            await budgets.look_at_news(api)
        except errors.ClusterError as error:
            logger.warning("%s; tried again in %s", error, OTHERS)


async def _every(period: timedelta, do: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await do()
        except errors.ClusterError as error:
            logger.warning("%s; tried again in %s", error, period)
        await asyncio.sleep(period.total_seconds())
