"""Controllers beside a control plane, with the kinds that they are released with.

Each is a process of its own that ends with ``stop``; pods that it makes are the control plane's.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from patchwright import errors as api_errors
from patchwright.sandbox import binaries, controlplane, errors, processes, progress, supervisor

READY_SECONDS = 60.0
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@dataclass(frozen=True, slots=True)
class Program:
    """How to run one controller: options, more of its environment, and the URL that answers 200 once it is healthy."""

    name: str
    options: tuple[str, ...]
    health: str
    environment: Mapping[str, str] = field(default_factory=dict)


class Addon(ABC):
    """Run controllers against ``plane``, their logs in ``folder``; they are built (once) where they are missing.

    ``with`` it their kinds are installed and they run; both are taken away again.
    """

    title = ""
    """What it is called in a sentence."""
    module: binaries.Module
    """What it is built from."""
    kinds = ""
    """The files of its CRDs, as a pattern below what the module shares."""

    def __init__(self, plane: controlplane.ControlPlane, folder: Path, show: progress.Progress | None = None) -> None:
        self.folder = folder
        self._plane = plane
        self._show = show or progress.Quiet()
        self._running: list[subprocess.Popen[bytes]] = []

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

    @abstractmethod
    def programs(self) -> Sequence[Program]:
        """Say what runs, on ports that are free now."""

    def install(self) -> None:
        """Install its kinds and wait until they are served."""
        self._binaries()
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
        self.folder.mkdir(parents=True, exist_ok=True)
        found, programs = self._binaries(), self.programs()
        started = [(each, self._started(each, found[each.name])) for each in programs]
        for program, process in started:
            self._until_ready(program, process)

    def stop(self) -> None:
        """End it; what it has done stays as it is."""
        for process in self._running:
            processes.end_child(process)
        self._running.clear()

    def _binaries(self) -> Mapping[str, Path]:
        return binaries.ensure(self.module.targets, self._show, control_plane=False)

    def _crds(self) -> Iterator[dict[str, Any]]:
        for file in sorted(binaries.share(self.module).glob(self.kinds)):
            yield yaml.safe_load(file.read_text(encoding="utf-8"))

    def _started(self, program: Program, binary: Path) -> subprocess.Popen[bytes]:
        # Nothing of the user's environment: a proxy would catch what is meant for loopback.
        environment = {"PATH": os.defpath, "HOME": str(self.folder), "TMPDIR": str(self.folder), **program.environment}
        with self._log(program).open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own binary
                [str(binary), *program.options], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )
        self._running.append(process)
        return process

    def _log(self, program: Program) -> Path:
        return self.folder / f"{program.name}.log"

    def _until_ready(self, program: Program, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            if supervisor.answers(program.health, 5.0):
                return
            time.sleep(0.1)
        self.stop()
        log = supervisor.tail(self._log(program)).decode(errors="replace")
        raise errors.ComponentError(
            f"{self.title}: {program.name} is not healthy at {program.health}; its last words: {log}"
        )


def _established(crd: dict[str, Any]) -> bool:
    # The list is null for a moment at first.
    found = crd.get("status", {}).get("conditions") or ()
    return any(each["type"] == "Established" and each["status"] == "True" for each in found)
