"""The Deployment controller and the kubelets in one: pods follow their template, and an image decides how they fare."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from support.simulator import loop
from support.simulator.server import Change, Server
from support.simulator.things import Workload

CONTROLLERS = "controllers"
STRATEGIES = {
    "StatefulSet": '{"rollingUpdate":{"partition":0},"type":"RollingUpdate"}',
    "DaemonSet": '{"rollingUpdate":{"maxSurge":0,"maxUnavailable":1},"type":"RollingUpdate"}',
}
Images = tuple[tuple[str, str], ...]
# How often a controller looks at what is not settled, in seconds.
TICK = 0.5
PODS_END = 1.0


@dataclass(frozen=True, slots=True)
class Deployed:
    """A workload as it is at first; ``running`` is the digest that its image's tag means, where it is not pinned."""

    namespace: str
    name: str
    image: str
    kind: str = "Deployment"
    replicas: int = 3
    running: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    paused: bool = False
    recreate: bool = False
    owner: str = ""
    gitops: str = ""


@dataclass(frozen=True, slots=True)
class Life:
    """How a pod of an image fares; durations are in seconds.

    ``ready_in`` is ``None`` for a pod that never is; ``waiting`` is why. ``crashes_after`` makes one that was Ready
    crash.
    """

    ready_in: float | None = 2.0
    waiting: str = ""
    crashes_after: float | None = None


Fate = Callable[[str, str], Life]


def well(_workload: str, _image: str) -> Life:
    """Be Ready in two seconds."""
    return Life()


@dataclass(slots=True)
class Replica:
    """A pod."""

    name: str
    uid: str
    images: Images
    revision: str
    created: datetime
    node: str = ""
    ready: bool = False
    since: datetime | None = None
    waiting: str = ""
    restarts: int = 0


@dataclass(slots=True)
class Deployments:
    """Every workload's pods, by its UID.

    Rolling out needs room for one pod more (maxSurge 1, maxUnavailable 0); a StatefulSet has none: it replaces its pods
    from the last to the first, and waits for each to be Ready (OrderedReady, with its deadlock).
    """

    server: Server
    fate: Fate
    pods: dict[str, list[Replica]] = field(default_factory=dict)
    exposed: dict[str, set[str]] = field(default_factory=dict)
    running: dict[str, str] = field(default_factory=dict)
    current: dict[str, Images] = field(default_factory=dict)
    _numbers: count[int] = field(default_factory=lambda: count(1))
    _busy: set[str] = field(default_factory=set)

    def create(self, each: Deployed) -> Workload:
        """Create a workload whose pods all run."""
        if each.running:
            self.running[each.image] = each.running
        made = Workload(
            each.namespace,
            each.name,
            self.server.uid("workload"),
            (("app", each.image),),
            kind=each.kind,
            replicas=each.replicas,
            labels=each.labels,
            paused=each.paused,
            recreate=each.recreate,
            owner=each.owner,
            gitops=each.gitops,
            strategy=STRATEGIES.get(each.kind, ""),
        )
        self.current[made.uid] = made.images
        pods = 0 if each.kind == "CronJob" else each.replicas
        first = [self._pod(made, ordinal, ready=True) for ordinal in range(pods)]
        self.pods[made.uid] = [replace(pod, node=f"n{ordinal}") for ordinal, pod in enumerate(first)]
        return self.server.create(CONTROLLERS, replace(made, **self._counts(made)))

    def served(self, workload: Workload) -> frozenset[str]:
        """Give the images that a workload's pods run."""
        return frozenset(pod.images[0][1] for pod in self.pods.get(workload.uid, ()))

    def delete(self, name: str, uid: str) -> None:
        """Delete a pod by hand; its controller makes another one of the template that it has."""
        for owner, pods in self.pods.items():
            if any(pod.uid == uid for pod in pods):
                self.pods[owner] = [pod for pod in pods if pod.uid != uid]
                self._begin(owner)

    def see(self, change: Change) -> None:
        """Take in that somebody changed a workload."""
        if change.kind is not Workload:
            return
        if change.after is None:
            # Whatever it owns goes with it.
            for canary in [each for each in self.server.all(Workload) if each.canary_of == change.before.uid]:
                self._gone(canary.key, canary.uid)
            return
        if change.after.deleting and not change.before.deleting:
            asyncio.get_running_loop().call_later(PODS_END, self._gone, change.after.key, change.after.uid)
        if change.actor != CONTROLLERS:
            self.pods.setdefault(change.after.uid, [])
            self._begin(change.after.uid)

    def _gone(self, key: str, uid: str) -> None:
        """Remove a canary when its pods have ended, as a deletion in the foreground does."""
        found = self.server.get(Workload, key)
        if found is not None and found.uid == uid:
            self.pods[uid] = []
            self.server.delete(CONTROLLERS, found)

    def _begin(self, uid: str) -> None:
        if uid not in self._busy:
            self._busy.add(uid)
            asyncio.get_running_loop().create_task(self._work(uid))

    async def _work(self, uid: str) -> None:
        """Look at a workload until it is settled; a rollout that is stuck is looked at for ever."""
        while True:
            await asyncio.sleep(TICK)
            found = next((each for each in self.server.all(Workload) if each.uid == uid), None)
            if found is None or (not self._tick(found) and found.settled):
                self._busy.discard(uid)
                return

    def _tick(self, workload: Workload) -> bool:
        """Do one step; tell whether anything is still going on."""
        pods = self.pods[workload.uid]
        for pod in pods:
            self._live(workload, pod)
        # A controller reads the object, acts, and says what it has seen.
        if workload.observed >= workload.generation and not _idle(workload):
            self._step(workload, pods)
        counts = self._counts(workload)
        current = {name: getattr(workload, name) for name in counts}
        if counts != current:
            self.server.update(CONTROLLERS, workload, **counts)
            return True
        return any(self._life(workload, pod).crashes_after is not None for pod in pods)

    def _step(self, workload: Workload, pods: list[Replica]) -> None:
        match workload.kind:
            case "StatefulSet":
                self._ordered(workload, pods)
            case "DaemonSet":
                self._by_node(workload, pods)
            case _:
                self._rolling(workload, pods)

    def _by_node(self, workload: Workload, pods: list[Replica]) -> None:
        """Have one pod on each node, as many of these as replicas; under OnDelete none is replaced."""
        nodes = {pod.node for pod in pods}
        empty = [f"n{number}" for number in range(workload.replicas) if f"n{number}" not in nodes]
        old = [pod for pod in pods if pod.images != workload.images]
        broken = [pod for pod in old if not pod.ready]
        if empty:
            pods.append(replace(self._pod(workload, next(self._numbers)), node=empty[0]))
        elif len(pods) > workload.replicas:
            pods.remove(max(pods, key=lambda pod: int(pod.node[1:])))
        elif "OnDelete" not in workload.strategy and old and (broken or all(pod.ready for pod in pods)):
            pods.remove((broken or old)[0])

    def _rolling(self, workload: Workload, pods: list[Replica]) -> None:
        new = [pod for pod in pods if pod.images == workload.images]
        old = [pod for pod in pods if pod.images != workload.images]
        broken = [pod for pod in old if not pod.ready]
        if broken:
            pods.remove(broken[0])
        elif len(new) > workload.replicas:
            pods.remove(new[-1])
        elif old and (sum(pod.ready for pod in pods) > workload.replicas or len(new) >= workload.replicas):
            pods.remove(old[0])
        elif len(new) < workload.replicas and len(pods) <= workload.replicas:
            pods.append(self._pod(workload, next(self._numbers)))

    def _ordered(self, workload: Workload, pods: list[Replica]) -> None:
        ordinals = {_ordinal(pod) for pod in pods}
        missing = [ordinal for ordinal in range(workload.replicas) if ordinal not in ordinals]
        extra = [pod for pod in pods if _ordinal(pod) >= workload.replicas]
        if missing:
            stays = missing[0] < workload.partition
            pods.append(self._pod(workload, missing[0], images=self._stable(workload) if stays else ()))
            return
        if any(not pod.ready for pod in pods):
            return  # kubernetes#67250: also for a pod of a revision that nobody wants any more
        old = [pod for pod in pods if pod.images != workload.images and _ordinal(pod) >= workload.partition]
        if extra or old:
            pods.remove(max(extra or old, key=_ordinal))
            return
        if all(pod.images == workload.images for pod in pods):
            self.current[workload.uid] = workload.images

    def _stable(self, workload: Workload) -> Images:
        """Give what pods below the partition come back on: the revision that was rolled out as a whole last."""
        return self.current.get(workload.uid, workload.images)

    def _live(self, workload: Workload, pod: Replica) -> None:
        life, age = self._life(workload, pod), loop.now() - pod.created
        crashed = life.crashes_after is not None and age >= timedelta(seconds=life.crashes_after)
        ready = life.ready_in is not None and age >= timedelta(seconds=life.ready_in) and not crashed
        if ready is not pod.ready:
            pod.ready, pod.since = ready, loop.now()
        if crashed or (life.ready_in is None and age >= timedelta(seconds=1)):
            pod.waiting = life.waiting or "CrashLoopBackOff"
            pod.restarts = 3 if pod.waiting == "CrashLoopBackOff" else 0

    def _life(self, workload: Workload, pod: Replica) -> Life:
        return self.fate(workload.key, pod.images[0][1])

    def _pod(self, workload: Workload, ordinal: int, *, ready: bool = False, images: Images = ()) -> Replica:
        name, images = f"{workload.name}-{ordinal}", images or workload.images
        self.exposed.setdefault(images[0][1], set()).add(f"{workload.namespace}/{name}")
        created = loop.now() - timedelta(days=1) if ready else loop.now()
        return Replica(name, self.server.uid("pod"), images, _revision(images), created, ready=ready, since=created)

    def _counts(self, workload: Workload) -> dict[str, Any]:
        pods = self.pods[workload.uid]
        new = [pod for pod in pods if pod.images == workload.images]
        return {
            "observed": workload.generation,
            "present": len(pods),
            "updated": len(new),
            "ready": sum(pod.ready for pod in pods),
            "revision": _revision(workload.images) if workload.kind == "StatefulSet" else "",
        }


def _idle(workload: Workload) -> bool:
    return workload.paused or workload.deleting or workload.kind == "CronJob"


def _ordinal(pod: Replica) -> int:
    return int(pod.name.rpartition("-")[2])


def _revision(images: Images) -> str:
    return f"rev-{abs(hash_of(images)):x}"


def hash_of(images: Images) -> int:
    """Give a number for a template that is the same at every run."""
    return sum(position * ord(letter) for position, letter in enumerate(repr(images), start=1))
