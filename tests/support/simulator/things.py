"""What exists in the simulated cluster: immutable objects, each version of which may be kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TypeAlias

from patchwright.domain.actions import JobStep
from patchwright.domain.annotation import RecordError
from patchwright.domain.memory import FailedChange
from patchwright.domain.model import Key, PatchPolicy, PatchRollout
from patchwright.domain.nodes import labels as own
from patchwright.domain.nodes.record import Record, decode
from patchwright.domain.nodes.view import Outcome, Owner
from patchwright.domain.state import RolloutState
from patchwright.domain.targets import STATE_ANNOTATION
from patchwright.domain.workloads import record as workloads
from patchwright.domain.workloads.record import Record as WorkloadRecord

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
    def excluded(self) -> str | None:
        return self.labels.get(own.EXCLUDE)

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
    volume: str = ""

    @property
    def key(self) -> str:
        return self.name

    @property
    def claims(self) -> tuple[str, ...]:
        return (f"default/{self.volume}",) if self.volume else ()


@dataclass(frozen=True, slots=True)
class Attachment:
    name: str
    uid: str
    node: str
    volume: str
    version: int = 0

    @property
    def key(self) -> str:
        return self.name

    @property
    def claim(self) -> str:
        return f"default/{self.volume}"


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment (or another kind) with the images of its containers, in their order, and what its controller says.

    Its pods are the controller's (``deployments``): no operator watches them.
    """

    namespace: str
    name: str
    uid: str
    images: tuple[tuple[str, str], ...]
    kind: str = "Deployment"
    replicas: int = 3
    version: int = 0
    generation: int = 1
    observed: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    present: int = 0
    updated: int = 0
    ready: int = 0
    revision: str = ""
    strategy: str = ""
    paused: bool = False
    recreate: bool = False
    owner: str = ""
    gitops: str = ""
    canary_of: str = ""
    deleting: bool = False

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def partition(self) -> int:
        """How many of a StatefulSet's pods stay as they are."""
        body = json.loads(self.strategy or "{}")
        return int((body.get("rollingUpdate") or {}).get("partition") or 0)

    @property
    def told(self) -> str:
        """The name by which the operator speaks of it."""
        return f"{self.kind} {self.key}"

    @property
    def image(self) -> str:
        """The image of its first container."""
        return self.images[0][1]

    @property
    def settled(self) -> bool:
        """Whether every pod is of its template and Ready."""
        if self.kind == "CronJob":
            return True
        counts = (self.present, self.updated, self.ready)
        return self.observed >= self.generation and all(count == self.replicas for count in counts)

    @property
    def record(self) -> WorkloadRecord | None:
        return _read_workload(self.annotations.get(STATE_ANNOTATION))[0]

    @property
    def fault(self) -> str:
        return _read_workload(self.annotations.get(STATE_ANNOTATION))[1]


@cache
def _read_workload(text: str | None) -> tuple[WorkloadRecord | None, str]:
    if text is None:
        return None, ""
    try:
        return workloads.decode(text), ""
    except RecordError as error:
        return None, str(error)


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
    faults: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        return self.spec.key

    @property
    def uid(self) -> str:
        return self.spec.uid


Thing: TypeAlias = Node | Job | Pod | Attachment | Workload | Rollout | Policy
Kind: TypeAlias = type[Node] | type[Job] | type[Pod] | type[Attachment] | type[Workload] | type[Rollout] | type[Policy]
