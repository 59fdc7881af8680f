"""What the supervisor says of its sandbox: one JSON file, replaced whole, that anybody may read."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from patchwright.sandbox import processes


class Phase(StrEnum):
    """Where a sandbox is in its life."""

    STARTING = "Starting"
    READY = "Ready"
    FAILED = "Failed"
    STOPPED = "Stopped"


class Condition(StrEnum):
    """How one component is."""

    RUNNING = "Running"
    EXITED = "Exited"
    STOPPED = "Stopped"


@dataclass(frozen=True, slots=True)
class ComponentState:
    """One component: ``exit_code`` is negative for a signal, as in subprocess; ``log`` is its log file."""

    name: str
    condition: Condition
    port: int
    log: Path
    process: processes.Process | None = None
    exit_code: int | None = None

    @property
    def alive(self) -> bool:
        """Whether its process runs, asked of the kernel."""
        return self.process is not None and self.process.alive()


@dataclass(frozen=True, slots=True)
class State:
    """A sandbox as its supervisor last described it; ``message`` is a sentence when the phase is Failed."""

    name: str
    phase: Phase
    supervisor: processes.Process
    socket: Path
    api_url: str = ""
    opa_url: str = ""
    registry_url: str = ""
    message: str = ""
    components: Mapping[str, ComponentState] = field(default_factory=dict)

    @property
    def processes(self) -> list[processes.Process]:
        """Every process of the sandbox, the supervisor last."""
        theirs = [each.process for each in self.components.values() if each.process is not None]
        return [*theirs, self.supervisor]

    def save(self, directory: Path) -> None:
        """Replace the state file at once, so that a reader never sees half of it."""
        fresh = directory / f".state.{os.getpid()}"
        fresh.write_text(json.dumps(asdict(self), default=str, indent=2), encoding="utf-8")
        fresh.replace(file(directory))


def file(directory: Path) -> Path:
    """Where the state of the sandbox in ``directory`` is."""
    return directory / "state.json"


def load(directory: Path) -> State | None:
    """Read the state of the sandbox in ``directory``; None when there never was one."""
    try:
        raw = json.loads(file(directory).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    components = {name: _component(each) for name, each in raw["components"].items()}
    return State(
        name=raw["name"],
        phase=Phase(raw["phase"]),
        supervisor=processes.Process(**raw["supervisor"]),
        socket=Path(raw["socket"]),
        api_url=raw["api_url"],
        opa_url=raw["opa_url"],
        registry_url=raw["registry_url"],
        message=raw["message"],
        components=components,
    )


def _component(raw: dict[str, object]) -> ComponentState:
    process = raw["process"]
    return ComponentState(
        name=str(raw["name"]),
        condition=Condition(str(raw["condition"])),
        port=int(str(raw["port"])),
        log=Path(str(raw["log"])),
        process=processes.Process(**process) if isinstance(process, dict) else None,
        exit_code=int(str(raw["exit_code"])) if raw["exit_code"] is not None else None,
    )
