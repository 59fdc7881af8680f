"""A bad image: how soon it is seen, how soon every pod is back, and how many pods ever had it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from bench import report, shop, stage
from bench.report import Line, Section, within
from bench.shop import PodWatch, Shop
from patchwright.sandbox import progress
from patchwright.sandbox.images import Pushed

DECIDED_S = 5.0
# domain/workloads/health.py: a registry may hiccup, so an image that cannot be pulled has this long.
PULL_PATIENCE_S = 30.0
DEPLOYMENTS, REPLICAS = 8, 3
REPOSITORY, SPACE, POLICY = "shop/web", "shop", "web"
SOAK = "60s"


class Fault(Enum):
    """What goes wrong; the value is what its tags end with, and what kwok tells by that."""

    CRASHES = "-bad"
    CANNOT_BE_PULLED = "-missing"
    CRASHES_IN_SOAK = ""

    @property
    def told(self) -> str:
        """What a reader is told of it."""
        return {
            Fault.CRASHES: "the canary's pod crashes",
            Fault.CANNOT_BE_PULLED: f"its image cannot be pulled ({PULL_PATIENCE_S:.0f} s of patience are meant)",
            Fault.CRASHES_IN_SOAK: "it crashes in the soak",
        }[self]

    @property
    def budget(self) -> float:
        """How long it may take to decide."""
        return DECIDED_S + (PULL_PATIENCE_S if self is Fault.CANNOT_BE_PULLED else 0.0)


@dataclass(frozen=True, slots=True)
class Trial:
    """One bad image: seconds from seen to decided, from decided to the old image everywhere, and pods that had it."""

    decided: float
    back: float
    exposed: int


@dataclass(frozen=True, slots=True)
class _Scene:
    shop: Shop
    pods: PodWatch
    rollouts: stage.Sight
    good: Pushed


def bench(show: progress.Progress, *, times: int) -> list[Section]:
    """Let images fail in three ways; an observer outside the operator notes what pods show."""
    with shop.opened(DEPLOYMENTS * REPLICAS, show) as opened, opened.on.operator():
        scene = _opened(opened, show)
        found: dict[Fault, list[Trial]] = {fault: [] for fault in Fault}
        for number in range(times):
            for fault in Fault:
                # Half a minute each, and always the same one.
                if fault is not Fault.CANNOT_BE_PULLED or number < 3:
                    show.step(f"Bad image {number + 1} of {times}: {fault.told}")
                    found[fault].append(_trial(scene, fault, f"1.{number + 1}.0"))
    return [section(found)]


def _opened(opened: Shop, show: progress.Progress) -> _Scene:
    good = opened.store.push(f"{REPOSITORY}:1.0.0")
    image = f"{opened.host}/{REPOSITORY}"
    opened.space(SPACE)
    running = {"app": f"{image}:1.0.0@{good.digest}"}
    names = [f"web-{number}" for number in range(DEPLOYMENTS)]
    opened.run(SPACE, [shop.deployment(name, running, replicas=REPLICAS) for name in names], show)
    strategy = {"canary": {"count": 1, "soak": SOAK}, "maxUnavailable": 2}
    opened.on.create("patchpolicies", shop.policy(POLICY, [shop.entry(image)], strategy=strategy))
    pods = PodWatch(opened.on, SPACE)
    pods.start()
    rollouts = stage.Sight(opened.on.api, f"{stage.OURS}/patchrollouts")
    rollouts.start(stage.phases)
    return _Scene(opened, pods, rollouts, good)


def _trial(scene: _Scene, fault: Fault, version: str) -> Trial:
    tag = f"{version}{fault.value}"
    pushed = scene.shop.store.push(f"{REPOSITORY}:{tag}")
    repository = f"{scene.shop.host}/{REPOSITORY}"
    image, name = f"{repository}:{tag}@{pushed.digest}", f"{POLICY}-{tag}"
    wanted = shop.rollout(name, policy=POLICY, image=repository, tag=tag, digest=pushed.digest)
    scene.shop.on.create("patchrollouts", wanted)
    if fault is Fault.CRASHES_IN_SOAK:
        scene.rollouts.wait(f"{name} Soaking", timeout=60)
        # Any moment of the soak: neither just after a look at its pods, nor always as long after one.
        time.sleep(2 + 1.7 * (int(version.split(".")[1]) % 5))
        _crash(scene, image)
    begun = scene.rollouts.wait(f"{name} RollingBack", timeout=120)
    old = f"{repository}:1.0.0@{scene.good.digest}"
    back = scene.pods.until(lambda pods: _all_run(pods, old), timeout=120)
    scene.rollouts.wait(f"{name} RolledBack", timeout=120)
    return Trial(max(0.0, begun - scene.pods.broken(image)), max(0.0, back - begun), scene.pods.exposed(image))


def _all_run(pods: shop.Pods, image: str) -> bool:
    well = [pod.images == (image,) and pod.ready for pod in pods.values()]
    return len(well) == DEPLOYMENTS * REPLICAS and all(well)


def _crash(scene: _Scene, image: str) -> None:
    """Have one pod with an image say what kubelet says of one that crashes."""
    path = f"/api/v1/namespaces/{SPACE}/pods"
    found = next(raw for raw in scene.shop.on.api.items(path) if image in shop.pod(raw).images)
    crashed = {
        "name": "app",
        "image": image,
        "imageID": image,
        "ready": False,
        "started": False,
        "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}},
    }
    conditions = [{"type": kind, "status": "False"} for kind in ("Ready", "ContainersReady")]
    body = {"status": {"conditions": conditions, "containerStatuses": [crashed]}}
    where = f"{path}/{found['metadata']['name']}/status"
    scene.shop.on.api.patch(where, body, kind="strategic-merge-patch")


def section(found: dict[Fault, list[Trial]]) -> Section:
    """Give the table of all trials."""
    lines = [
        report.durations(f"{fault.told} → RollingBack", [each.decided for each in trials], fault.budget)
        for fault, trials in found.items()
    ]
    lines += [
        report.durations(f"{fault.told}: RollingBack → every pod on the old digest", [each.back for each in trials])
        for fault, trials in found.items()
    ]
    lines += [_exposed(f"{fault.told}: pods that ever had it", trials) for fault, trials in found.items()]
    numbers = {
        fault.name.lower(): {
            "decided_s": [each.decided for each in trials],
            "back_s": [each.back for each in trials],
            "exposed": [each.exposed for each in trials],
        }
        for fault, trials in found.items()
    }
    title = (
        f"Bad image seen to rollback begun, and to the old one everywhere: {DEPLOYMENTS} Deployments of {REPLICAS} pods"
    )
    note = (
        "kwok's pods say CrashLoopBackOff with three restarts at once, start in no time and end in none; the time that "
        "kubelet takes to restart a container, to pull an image and to end a pod comes on top."
    )
    columns = ("what", "median", "longest", "times")
    return Section("image-rollback", title, columns, tuple(lines), numbers, note)


def _exposed(what: str, trials: Sequence[Trial]) -> Line:
    counts = [each.exposed for each in trials]
    cells = (what, f"{statistics.median(counts):.0f}", f"{max(counts)}", f"{len(counts)}")
    return Line(cells, f"≤ {REPLICAS} (the canary's)", within(max(counts), REPLICAS))
