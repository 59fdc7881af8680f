"""The stage of every benchmark with a cluster: a control plane of its own, our kinds in it, nodes on it."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bench.process import OperatorProcess, Place
from patchwright import errors
from patchwright.adapters.opa.config import BUNDLE_RESOURCE
from patchwright.api import crds
from patchwright.sandbox import client, controlplane, ports, progress, settings

NAMESPACE = "patchwright-system"
OURS = f"/apis/patchwright.dev/v1alpha1/namespaces/{NAMESPACE}"
IMAGE = "sandbox.patchwright.dev/script:ok"
Manifest = client.Manifest


@dataclass(frozen=True, slots=True)
class Stage:
    """A running control plane and where an operator for it finds things."""

    plane: controlplane.ControlPlane
    place: Place

    @property
    def api(self) -> client.Client:
        """The administrator's client."""
        return self.plane.api

    def operator(self, profile: Path | None = None) -> OperatorProcess:
        """Give an operator for this cluster, to be entered."""
        return OperatorProcess(self.place, profile=profile)

    def create(self, plural: str, manifest: Manifest) -> Manifest:
        """Create one of our objects."""
        return self.api.create(f"{OURS}/{plural}", manifest)


@contextmanager
def raised(nodes: int, show: progress.Progress, *, parts: Sequence[str] = settings.CONTROL_PLANE) -> Iterator[Stage]:
    """Raise a control plane with so many nodes and our kinds; it goes when the context ends."""
    with tempfile.TemporaryDirectory(prefix="patchwright-bench-") as name:
        directory, port = Path(name), ports.free()[0]
        bundle = f"http://127.0.0.1:{port}/{BUNDLE_RESOURCE}"
        lease = settings.lease_for(nodes)
        with controlplane.ControlPlane(opa_bundle_url=bundle, lease_seconds=lease, parts=parts, show=show) as plane:
            place = Place(directory, plane.kubeconfig, plane.opa_url, plane.binary("opa"), port)
            stage = Stage(plane, place)
            _our_kinds(stage)
            plane.add_nodes(nodes)
            yield stage


def _our_kinds(stage: Stage) -> None:
    for kind in crds.KINDS:
        definition = yaml.safe_load(crds.render(kind))
        stage.api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    stage.plane.add_namespace(NAMESPACE)
    for kind in crds.KINDS:
        # A new kind is served a moment after it was established.
        deadline = time.monotonic() + 30
        while not _served(stage.api, f"{OURS}/{kind.plural}"):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{kind.plural} are not served after 30 s")
            time.sleep(0.05)


def _served(api: client.Client, path: str) -> bool:
    try:
        api.get(path)
    except errors.NotFound:
        return False
    return True


def policy(name: str, *, max_unavailable: int, soak: str = "0s", **spec: Any) -> Manifest:
    """Give a policy for all nodes: a canary of one, then everything."""
    strategy = {"canary": {"count": 1, "soak": soak}, "maxUnavailable": max_unavailable}
    target = {"nodes": {"selector": {}, "driver": "script"}}
    return ours("PatchPolicy", name, {"target": target, "strategy": strategy, **spec})


def rollout(name: str, *, policy: str, version: str) -> Manifest:
    """Give a rollout of one version; the sandbox reads the version's fate from its name."""
    script = {
        "version": version,
        "image": IMAGE,
        "apply": {"args": [f"--version={version}"]},
        "rollback": {"args": ["--version=1.0.0"]},
    }
    return ours("PatchRollout", name, {"policyRef": {"name": policy}, "change": {"script": script}})


def ours(kind: str, name: str, spec: Mapping[str, Any]) -> Manifest:
    """Give an object of ours."""
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "patchwright.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": dict(spec)}


@dataclass(slots=True)
class Sight:
    """An observer outside the operator: notes when something about the objects of one list became true first."""

    api: client.Client
    path: str
    seen: dict[str, float] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def start(self, names: Callable[[Manifest], list[str]]) -> None:
        """Begin to watch; ``names`` gives the facts that an object shows, each noted the first time."""
        version = self.api.get(self.path)["metadata"]["resourceVersion"]
        threading.Thread(target=self._watch, args=(names, version), daemon=True).start()

    def _watch(self, names: Callable[[Manifest], list[str]], version: str) -> None:
        while True:
            try:
                for found in self.api.watch(self.path, version):
                    version = found["metadata"]["resourceVersion"]
                    self._note(names(found))
            except errors.ClusterError:
                # The cluster goes away when the benchmark is over.
                return

    def _note(self, names: list[str]) -> None:
        now = time.monotonic()
        with self._changed:
            for name in names:
                self.seen.setdefault(name, now)
            self._changed.notify_all()

    def wait(self, name: str, *, timeout: float) -> float:
        """Give when a fact was first seen; wait for it."""
        with self._changed:
            if not self._changed.wait_for(lambda: name in self.seen, timeout):
                now = "; ".join(_summary(found) for found in self.api.items(self.path))
                raise RuntimeError(f"{name} was not seen within {timeout:.0f} s; there is: {now[-4000:]}")
            return self.seen[name]


def _summary(found: Manifest) -> str:
    status = found.get("status") or {}
    said = {key: status[key] for key in ("phase", "message", "skipped", "conditions") if key in status}
    if "phase" in said:
        said.pop("conditions", None)
    return f"{found['metadata']['name']} {json.dumps(said or status)}"


def phases(found: Manifest) -> list[str]:
    """Give a rollout's phase as a fact, and that every node was patched."""
    name, status = found["metadata"]["name"], found.get("status") or {}
    facts = [f"{name} {status['phase']}"] if status.get("phase") else []
    counts = status.get("counts")
    return facts + ([f"{name} updated {counts['updated']}"] if counts else [])
