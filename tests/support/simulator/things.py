"""What exists in the simulated cluster: immutable objects, each version of which may be kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TypeAlias

from patchwright.domain.actions import JobStep
from patchwright.domain.memory import FailedChange
from patchwright.domain.model import Key, PatchPolicy, PatchRollout
from patchwright.domain.nodes.record import Record, RecordError, decode
from patchwright.domain.nodes.view import Outcome, Owner
from patchwright.domain.state import RolloutState
from patchwright.domain.targets import STATE_ANNOTATION

ZONE = "topology.kubernetes.io/zone"


@dataclass(frozen=True, slots=True)
class Node:
    name: str
    uid: str
    version: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    unschedulable: bool = False
    tainted: bool = False
    ready: bool = True
    boot: int = 1
    foreign: str = ""
    control_plane: bool = False

    @property
    def key(self) -> str:
        return self.name

    @property
    def boot_id(self) -> str:
        return f"boot-{self.name}-{self.boot}"

    @property
    def available(self) -> bool:
        return self.ready and not self.unschedulable

    @property
    def record(self) -> Record | None:
        return _read(self.annotations.get(STATE_ANNOTATION))[0]

    @property
    def fault(self) -> str:
        return _read(self.annotations.get(STATE_ANNOTATION))[1]


@cache
def _read(text: str | None) -> tuple[Record | None, str]:
    """Read an annotation's value once: every law looks at every node at every change."""
    if text is None:
        return None, ""
    try:
        return decode(text), ""
    except RecordError as error:
        return None, str(error)


@dataclass(frozen=True, slots=True)
class Job:
    name: str
    uid: str
    rollout_uid: str
    node: str
    node_uid: str
    step: JobStep
    created_at: datetime
    version: int = 0
    running: bool = False
    outcome: Outcome | None = None
    exit_code: int | None = None
    termination: str | None = None
    finished_at: datetime | None = None
    waiting: str = ""
    deleting: bool = False

    @property
    def key(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Pod:
    name: str
    uid: str
    node: str
    app: str
    version: int = 0
    owner: Owner = Owner.OTHER
    healthy: bool = False
    deleted_at: datetime | None = None
    emptydir: bool = False

    @property
    def key(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Rollout:
    spec: PatchRollout
    state: RolloutState = field(default_factory=RolloutState)
    version: int = 0
    finalizer: bool = False
    faults: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        return self.spec.key

    @property
    def uid(self) -> str:
        return self.spec.uid


@dataclass(frozen=True, slots=True)
class Policy:
    spec: PatchPolicy
    version: int = 0
    failed: tuple[FailedChange, ...] = ()

    @property
    def key(self) -> Key:
        return self.spec.key

    @property
    def uid(self) -> str:
        return self.spec.uid


Thing: TypeAlias = Node | Job | Pod | Rollout | Policy
Kind: TypeAlias = type[Node] | type[Job] | type[Pod] | type[Rollout] | type[Policy]
