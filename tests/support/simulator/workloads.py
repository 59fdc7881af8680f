"""Pods that come back elsewhere after an eviction, and their PodDisruptionBudgets."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from random import Random

from patchwright.domain.nodes.view import Eviction, Owner
from support.simulator import loop
from support.simulator.server import Server
from support.simulator.things import Attachment, Node, Pod

CLUSTER = "controllers"
NEVER = 1e8


@dataclass(frozen=True, slots=True)
class App:
    """A workload. ``min_available`` is its budget's (``None``: it has none), ``budgets`` how many budgets select it.

    ``detaches_in`` is how long after a pod its volume is off the node; ``None``: its pods have no volumes.
    """

    name: str
    replicas: int
    min_available: int | None = None
    budgets: int = 1
    owner: Owner = Owner.OTHER
    ends_in: float = 1.0
    emptydir: bool = False
    detaches_in: float | None = None


@dataclass(slots=True)
class Workloads:
    """The Deployment controller, the scheduler, the eviction API and the attach-detach controller in one."""

    server: Server
    apps: tuple[App, ...]
    random: Random
    overload: float = 0.0
    _made: int = 0
    _terminating: set[str] = field(default_factory=set)

    def settle(self) -> None:
        """Start every pod, spread over the nodes."""
        nodes = [node.name for node in self.server.all(Node)]
        place = 0
        for app in self.apps:
            for _ in range(app.replicas):
                self._create(app, nodes[place % len(nodes)], healthy=True)
                place += 1

    def evict(self, name: str, uid: str) -> tuple[Eviction, str]:
        """Answer an eviction as the API server would, budget and all."""
        pod = self.server.get(Pod, name)
        if pod is None:
            return Eviction.GONE, ""
        if pod.uid != uid:
            return Eviction.REPLACED, ""
        if self.overload and self.random.random() < self.overload:
            return Eviction.OVERLOADED, "too many requests"
        app = self._app(pod)
        if app is not None and app.min_available is not None and pod.deleted_at is None:
            if app.budgets > 1:
                return Eviction.MISCONFIGURED, f"several PodDisruptionBudgets select it ({app.name}-a, {app.name}-b)"
            healthy = sum(other.healthy and other.deleted_at is None for other in self._of(app))
            if pod.healthy and healthy - 1 < app.min_available:
                needs = f"needs {app.min_available} healthy pods and has {healthy} currently"
                return Eviction.BLOCKED, f"The disruption budget {app.name} {needs}"
        return self.delete(name, uid), ""

    def delete(self, name: str, uid: str) -> Eviction:
        """Begin to end a pod."""
        pod = self.server.get(Pod, name)
        if pod is None:
            return Eviction.GONE
        if pod.uid != uid:
            return Eviction.REPLACED
        app = self._app(pod)
        if uid not in self._terminating and app is not None and app.ends_in < NEVER:
            asyncio.get_running_loop().call_later(app.ends_in, self._gone, name, uid)
        self._terminating.add(uid)
        if pod.deleted_at is None:
            self.server.update(CLUSTER, pod, deleted_at=loop.now())
        return Eviction.ACCEPTED

    def node_gone(self, node: str) -> None:
        """Move the pods of a node that is gone."""
        for pod in [pod for pod in self.server.all(Pod) if pod.node == node]:
            self._gone(pod.name, pod.uid)
        for attachment in [each for each in self.server.all(Attachment) if each.node == node]:
            self._detached(attachment)

    def _gone(self, name: str, uid: str) -> None:
        pod = self.server.get(Pod, name)
        if pod is None or pod.uid != uid:
            return
        self.server.delete(CLUSTER, pod)
        app = self._app(pod)
        attachment = self.server.get(Attachment, f"csi-{pod.name}")
        if attachment is not None and app is not None and (app.detaches_in or 0.0) < NEVER:
            asyncio.get_running_loop().call_later(app.detaches_in or 0.0, self._detached, attachment)
        if app is not None and app.owner is Owner.OTHER:
            asyncio.get_running_loop().call_later(0.2, self._schedule, app)

    def _detached(self, attachment: Attachment) -> None:
        if self.server.get(Attachment, attachment.name) is not None:
            self.server.delete(CLUSTER, attachment)

    def _schedule(self, app: App) -> None:
        """Choose a node now and bind a moment later: a cordon in between comes too late for this pod."""
        able = sorted(node.name for node in self.server.all(Node) if node.available)
        if not able:
            asyncio.get_running_loop().call_later(5.0, self._schedule, app)
            return
        asyncio.get_running_loop().call_later(0.1, self._bind, app, self.random.choice(able))

    def _bind(self, app: App, node: str) -> None:
        if self.server.get(Node, node) is None:
            self._schedule(app)
            return
        pod = self._create(app, node, healthy=False)
        asyncio.get_running_loop().call_later(2.0, self._healthy, pod.name, pod.uid)

    def _healthy(self, name: str, uid: str) -> None:
        pod = self.server.get(Pod, name)
        if pod is not None and pod.uid == uid:
            self.server.update(CLUSTER, pod, healthy=True)

    def _create(self, app: App, node: str, *, healthy: bool) -> Pod:
        self._made += 1
        name = f"{app.name}-{self._made}"
        uid = self.server.uid("pod")
        volume = "" if app.detaches_in is None else f"data-{name}"
        if volume:
            self.server.create(CLUSTER, Attachment(f"csi-{name}", self.server.uid("attachment"), node, volume))
        pod = Pod(name, uid, node, app.name, owner=app.owner, healthy=healthy, emptydir=app.emptydir, volume=volume)
        return self.server.create(CLUSTER, pod)

    def _app(self, pod: Pod) -> App | None:
        return next((app for app in self.apps if app.name == pod.app), None)

    def _of(self, app: App) -> list[Pod]:
        return [pod for pod in self.server.all(Pod) if pod.app == app.name]
