"""The controller of Argo Rollouts beside a control plane, with the kinds that it is released with.

It is one process of its own that ends with ``stop``, and it rolls out what a test makes: ReplicaSets and their pods are
the control plane's. Its two ports, for metrics and health, are the only ones of the sandbox that are not on loopback
alone: it has no option for that.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import yaml

from patchwright import errors as api_errors
from patchwright.sandbox import binaries, controlplane, errors, ports, processes, progress

PROGRAM = "argo-rollouts"
NAMESPACE = "argo-rollouts"
READY_SECONDS = 60.0
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Argo:
    """Run the controller against ``plane``, its log in ``folder``; it is built (once) where it is missing.

    ``with Argo(plane, folder)`` installs its kinds, runs it, and takes both away again.
    """

    def __init__(self, plane: controlplane.ControlPlane, folder: Path, show: progress.Progress | None = None) -> None:
        self.folder = folder
        self._plane = plane
        self._show = show or progress.Quiet()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.install()
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.remove()

    def install(self) -> None:
        """Install its kinds and wait until they are served."""
        self._program()
        bodies = list(self._crds())
        for body in bodies:
            self._plane.api.apply(f"{_CRDS}/{body['metadata']['name']}", body)
        for body in bodies:
            self._plane.api.wait(f"{_CRDS}/{body['metadata']['name']}", _established)

    def remove(self) -> None:
        """Remove its kinds, and every object of them."""
        for body in self._crds():
            with contextlib.suppress(api_errors.NotFound):
                self._plane.api.delete(f"{_CRDS}/{body['metadata']['name']}")
        for body in self._crds():
            self._plane.api.wait(f"{_CRDS}/{body['metadata']['name']}", lambda crd: not crd, timeout=READY_SECONDS)

    def start(self) -> None:
        """Start it and wait until it is healthy; raises ComponentError when it is not."""
        metrics, health = ports.free(2)
        login = self._plane.kubeconfig_for(PROGRAM, ["system:masters"])
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [
            str(self._program()), f"--kubeconfig={login}", f"--namespace={NAMESPACE}", "--leader-elect=false",
            f"--metricsPort={metrics}", f"--healthzPort={health}",
        ]  # fmt: skip
        with (self.folder / "argo-rollouts.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own binary
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._until_ready(self._process, f"http://{ports.LOOPBACK}:{health}/healthz")

    def stop(self) -> None:
        """End it; what it has rolled out stays as it is."""
        if self._process is not None:
            processes.end_child(self._process)
            self._process = None

    def _program(self) -> Path:
        return binaries.ensure([PROGRAM], self._show, control_plane=False)[PROGRAM]

    def _crds(self) -> Iterator[dict[str, Any]]:
        for file in sorted((binaries.share(binaries.ARGO) / "manifests/crds").glob("*-crd.yaml")):
            yield yaml.safe_load(file.read_text(encoding="utf-8"))

    def _until_ready(self, process: subprocess.Popen[bytes], url: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            with (
                contextlib.suppress(urllib.error.URLError, OSError),
                urllib.request.urlopen(url, timeout=5),  # noqa: S310 - our own address
            ):
                return
            time.sleep(0.1)
        self.stop()
        log = (self.folder / "argo-rollouts.log").read_text(encoding="utf-8", errors="replace")
        raise errors.ComponentError(f"Argo Rollouts is not healthy at {url}; its last words: {log[-500:]}")


def _established(crd: dict[str, Any]) -> bool:
    # The list is null for a moment at first.
    found = crd.get("status", {}).get("conditions") or ()
    return any(each["type"] == "Established" and each["status"] == "True" for each in found)
