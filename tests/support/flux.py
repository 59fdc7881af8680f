"""What Flux does, in small: it applies what a branch says to the cluster, and takes back whatever differs from that."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from support.git_servers import git
from support.workload_scene import WorkloadScene

OWNER = {"kustomize.toolkit.fluxcd.io/name": "shop", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
_EVERY = 0.2


class Flux:
    """Follows the manifests of Deployments below ``apps``; only their images are its business here."""

    def __init__(self, scene: WorkloadScene, bare: Path) -> None:
        self.scene, self.bare = scene, bare
        self.suspended = False
        self._ended = threading.Event()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_EVERY):
            if not self.suspended:
                self._apply()

    def _apply(self) -> None:
        paths = git("ls-tree", "-r", "--name-only", "main", "--", "apps", cwd=self.bare).splitlines()
        for path in paths:
            for wanted in yaml.safe_load_all(git("show", f"main:{path}", cwd=self.bare)):
                self._one(wanted)

    def _one(self, wanted: dict[str, Any]) -> None:
        name, space = wanted["metadata"]["name"], wanted["metadata"]["namespace"]
        live = self.scene.get("Deployment", space, name)
        [mine] = wanted["spec"]["template"]["spec"]["containers"]
        containers = live["spec"]["template"]["spec"]["containers"] if live else []
        if live is None or containers[0]["image"] == mine["image"]:
            return
        body = {"spec": {"template": {"spec": {"containers": [{**containers[0], "image": mine["image"]}]}}}}
        self.scene.change_workload("Deployment", space, name, body)
