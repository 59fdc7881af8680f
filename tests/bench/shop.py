"""What the rows about images have on their stage: a registry, Deployments that run its images, a policy over them."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

from prometheus_client import parser

from bench import stage
from bench.process import OperatorProcess
from bench.stage import Manifest
from patchwright import errors
from patchwright.sandbox import images, progress, settings

LABEL = "bench"
# As many pods as one kwok node has room for, less what a rollout adds for a moment.
PODS_A_NODE = 100
# What no waiting of a kubelet mends, as the words of its pods.
BROKEN = frozenset({"CrashLoopBackOff", "ImagePullBackOff"})
Named = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Shop:
    """A stage with a registry; ``host`` stands before the first slash of its images."""

    on: stage.Stage
    store: images.Store
    host: str

    def through(self, url: str) -> Self:
        """Give the same shop, whose images name a proxy in front of the registry."""
        return replace(self, host=url.partition("://")[2])

    def space(self, name: str) -> str:
        """Create a namespace whose Deployments the policies select."""
        return self.on.plane.add_namespace(name, labels={LABEL: LABEL})

    def run(self, space: str, found: Sequence[Manifest], show: progress.Progress) -> None:
        """Create Deployments, and wait until they are available."""
        path = f"/apis/apps/v1/namespaces/{space}/deployments"
        self.on.api.create_all(path, found, done=show.advance)
        self.on.api.wait(path, lambda listed: all(map(settled, listed["items"])), timeout=60 + len(found), every=0.5)


@contextmanager
def opened(pods: int, show: progress.Progress) -> Iterator[Shop]:
    """Raise a stage with a registry and room for so many pods."""
    parts = (*settings.CONTROL_PLANE, settings.REGISTRY)
    with stage.raised(max(6, pods // PODS_A_NODE), show, parts=parts) as on:
        store = images.Store(on.plane.registry_url)
        try:
            yield Shop(on, store, store.host)
        finally:
            store.close()


def deployment(name: str, containers: Named, *, replicas: int) -> Manifest:
    """Give a Deployment whose containers run these images."""
    pods = {
        "containers": [{"name": container, "image": image} for container, image in containers.items()],
        "automountServiceAccountToken": False,
    }
    template = {"metadata": {"labels": {"app": name}}, "spec": pods}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def settled(found: Manifest) -> bool:
    """Tell whether all pods of a Deployment are of its template and available, by its own status."""
    status, wanted = found.get("status") or {}, found["spec"]["replicas"]
    if status.get("observedGeneration", 0) < found["metadata"]["generation"]:
        return False
    return all(status.get(name, 0) == wanted for name in ("replicas", "updatedReplicas", "availableReplicas"))


def policy(name: str, followed: Sequence[Mapping[str, Any]], *, strategy: Mapping[str, Any], **spec: Any) -> Manifest:
    """Give a policy that follows images, wherever the Deployments of the shop run them."""
    workloads = {"namespaceSelector": {"matchLabels": {LABEL: LABEL}}, "selector": {}, "images": list(followed)}
    found = {"canary": {"count": 1, "soak": "0s"}, **strategy}
    return stage.ours("PatchPolicy", name, {"target": {"workloads": workloads}, "strategy": found, **spec})


def entry(image: str, *, interval: str = "1h", **more: Any) -> Manifest:
    """Give the entry of an image that is followed by its versions."""
    return {"image": image, "policy": {"semver": {"range": "1.x"}}, "interval": interval, **more}


def rollout(name: str, *, policy: str, image: str, tag: str, digest: str) -> Manifest:
    """Give a rollout to one image."""
    change = {"images": [{"image": image, "tag": tag, "digest": digest}]}
    return stage.ours("PatchRollout", name, {"policyRef": {"name": policy}, "change": change})


# --- what pods show -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pod:
    """What one pod shows: the images of its containers, whether it is Ready, and what it waits for."""

    images: tuple[str, ...]
    ready: bool
    waits: frozenset[str]


def pod(raw: Manifest) -> Pod:
    """Read a pod."""
    status = raw.get("status") or {}
    states = (each.get("state") or {} for each in status.get("containerStatuses") or ())
    waits = frozenset(state["waiting"].get("reason", "") for state in states if "waiting" in state)
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions") or ())
    return Pod(tuple(each["image"] for each in raw["spec"]["containers"]), ready, waits)


Pods = Mapping[str, Pod]
Goal = Callable[[Pods], bool]


@dataclass(slots=True)
class Ledger:
    """All pods as they are, and what was ever seen of them: pods by image, and when one with an image was broken."""

    pods: dict[str, Pod] = field(default_factory=dict)
    exposed: dict[str, set[str]] = field(default_factory=dict)
    broken: dict[str, float] = field(default_factory=dict)

    def take(self, event: Manifest, at: float) -> None:
        """Take in one event of a watch."""
        uid, found = event["object"]["metadata"]["uid"], pod(event["object"])
        for image in found.images:
            self.exposed.setdefault(image, set()).add(uid)
            if found.waits & BROKEN:
                self.broken.setdefault(image, at)
        if event["type"] == "DELETED":
            self.pods.pop(uid, None)
        else:
            self.pods[uid] = found


class PodWatch:
    """An observer outside the operator that watches every pod of a namespace."""

    def __init__(self, on: stage.Stage, space: str) -> None:
        self._api, self._path = on.api, f"/api/v1/namespaces/{space}/pods"
        self._changed = threading.Condition()
        self.ledger = Ledger()

    def start(self) -> None:
        """Begin with what there is."""
        listed = self._api.get(self._path)
        for each in listed["items"]:
            self.ledger.take({"type": "ADDED", "object": each}, time.monotonic())
        version = listed["metadata"]["resourceVersion"]
        threading.Thread(target=self._watch, args=(version,), daemon=True).start()

    def _watch(self, version: str) -> None:
        while True:
            try:
                for event in self._api.events(self._path, version):
                    version = event["object"]["metadata"]["resourceVersion"]
                    with self._changed:
                        self.ledger.take(event, time.monotonic())
                        self._changed.notify_all()
            except errors.ClusterError:
                # The cluster goes away when the benchmark is over.
                return

    def until(self, goal: Goal, *, timeout: float) -> float:
        """Wait until all pods are as wanted; give when that was."""
        with self._changed:
            if not self._changed.wait_for(lambda: goal(self.ledger.pods), timeout):
                raise RuntimeError(
                    f"the pods are not as wanted after {timeout:.0f} s: {list(self.ledger.pods.values())}"
                )
            return time.monotonic()

    def broken(self, image: str) -> float:
        """Give when a pod with an image was first seen to be broken."""
        with self._changed:
            return self.ledger.broken[image]

    def exposed(self, image: str) -> int:
        """Give how many pods were ever seen with an image."""
        with self._changed:
            return len(self.ledger.exposed.get(image, ()))


# --- what the operator counts -------------------------------------------------------------------------------------


def looks(operator: OperatorProcess) -> Counter[str]:
    """Give how often registries were looked at, by how that went."""
    with urllib.request.urlopen(f"{operator.url}/metrics", timeout=10) as answer:
        return scans(answer.read().decode())


def scans(text: str) -> Counter[str]:
    """Read the looks at registries out of what ``/metrics`` serves."""
    found = Counter[str]()
    for family in parser.text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "patchwright_image_scans_total":
                found[sample.labels["result"]] += int(sample.value)
    return found
