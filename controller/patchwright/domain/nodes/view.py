"""A node, its Jobs and its pods, as the snapshot holds them: slim projections of what the API server said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from patchwright.domain.actions import JobStep, NodeRef, PodRef
from patchwright.domain.nodes.record import Record
from patchwright.domain.targets import Order

# The phases of a pod whose containers have all ended.
ENDED = frozenset({"Succeeded", "Failed"})


class Outcome(StrEnum):
    """How a Job ended."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class JobView:
    """One of our Jobs.

    ``termination`` is the container's termination message (at most 4,096 bytes by the kubelet), ``None`` until its pod
    was seen to end. ``waiting`` is the pod's waiting reason (``ImagePullBackOff``…), empty when it runs.
    """

    name: str
    uid: str
    rollout_uid: str
    node_name: str
    node_uid: str
    step: JobStep
    created_at: datetime
    outcome: Outcome | None = None
    reason: str = ""
    message: str = ""
    finished_at: datetime | None = None
    exit_code: int | None = None
    termination: str | None = None
    waiting: str = ""
    deleting: bool = False


class Owner(StrEnum):
    """What controls a pod, as far as a drain cares."""

    NOBODY = "Nobody"
    DAEMON_SET = "DaemonSet"
    ORPHANED_DAEMON_SET = "OrphanedDaemonSet"
    OTHER = "Other"


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod on a node that is being drained.

    ``phase`` is the API's word. ``deleted_at`` is the deletion timestamp (when its grace period ends). ``patch_job``
    marks pods of our own Jobs, ``operator`` the one that this very process runs in, ``mirror`` static pods' mirrors.
    ``opt_out`` holds the mark by which its owner asks that it stays (``cluster.x-k8s.io/drain=skip``,
    ``patchwright.dev/drain=skip``), ``wait`` that of ``wait-completed``, and ``do_not_disrupt`` that of
    ``karpenter.sh/do-not-disrupt``. ``claims`` are the PersistentVolumeClaims that it uses, as ``namespace/name``.
    """

    ref: PodRef
    phase: str = "Running"
    owner: Owner = Owner.OTHER
    mirror: bool = False
    emptydir: bool = False
    patch_job: bool = False
    operator: bool = False
    deleted_at: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    opt_out: str = ""
    wait: str = ""
    do_not_disrupt: str = ""
    claims: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stuck:
    """A pod that no eviction will move as things are, and why."""

    pod: PodView
    message: str


class Eviction(StrEnum):
    """What the API server said to an eviction (or a deletion)."""

    ACCEPTED = "Accepted"
    GONE = "Gone"
    REPLACED = "Replaced"
    BLOCKED = "Blocked"
    OVERLOADED = "Overloaded"
    MISCONFIGURED = "Misconfigured"
    NAMESPACE_TERMINATING = "NamespaceTerminating"
    REFUSED = "Refused"


@dataclass(frozen=True, slots=True)
class EvictionAttempt:
    """The last answer for one pod.

    ``MISCONFIGURED`` is the 500 of a pod under several PodDisruptionBudgets, which never succeeds; ``BLOCKED`` is the
    429 of a budget, ``OVERLOADED`` the 429 of API priority and fairness with its ``retry_after``.
    """

    result: Eviction
    at: datetime
    attempts: int = 1
    budget: str = ""
    message: str = ""
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class PodList:
    """The pods of one node at one moment; ``at`` is when the request was sent."""

    at: datetime
    pods: tuple[PodView, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """A node that carries a rollout's record, whatever any policy selects."""

    ref: NodeRef
    record: Record
    unschedulable: bool
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Remains:
    """What names one rollout: the nodes that carry its record, and its Jobs."""

    nodes: tuple[Claim, ...] = ()
    jobs: tuple[JobView, ...] = ()


@dataclass(frozen=True, slots=True)
class Attachment:
    """A VolumeAttachment: a PersistentVolume at a node.

    ``claim`` is the ``namespace/name`` of the claim that the volume is bound to, empty when there is none to be found;
    ``error`` is what the driver said when it failed to detach.
    """

    name: str
    volume: str
    driver: str
    claim: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class VolumeList:
    """What was attached to one node at one moment; ``at`` is when the request was sent."""

    at: datetime
    attachments: tuple[Attachment, ...]


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node of the selected set.

    ``foreign`` names the mark of another actor at work on it, ``opted_out`` the mark by which people keep it out,
    ``record_fault`` why our annotation cannot be read. ``installed`` is the label that says which change is on it.
    ``ready_since`` is the Ready condition's last transition, ``unreachable`` that it is Unknown: no kubelet reports.
    ``tainted`` says that the node controller has answered the cordon with its taint. ``pods``, ``evictions`` and
    ``volumes`` were seen since the cordon, ``claims`` are those of every pod seen since then, ``None`` when this
    process was not there from the beginning.
    ``alone`` says that the cluster has no other node. ``stuck`` are pods whose PodDisruptionBudget never lets them go,
    as they were when somebody looked last.
    """

    name: str
    uid: str
    resource_version: str
    order: Order
    labels: dict[str, str] = field(default_factory=dict)
    unschedulable: bool = False
    tainted: bool = False
    ready: bool = True
    ready_since: datetime | None = None
    not_ready_why: str = ""
    unreachable: bool = False
    boot_id: str = ""
    deleting: bool = False
    control_plane: bool = False
    hosts_operator: bool = False
    alone: bool = False
    paused: bool = False
    opted_out: str = ""
    foreign: str = ""
    installed: str | None = None
    record: Record | None = None
    record_fault: str = ""
    stuck: tuple[Stuck, ...] = ()
    jobs: Mapping[JobStep, JobView] = field(default_factory=dict)
    pods: PodList | None = None
    evictions: Mapping[str, EvictionAttempt] = field(default_factory=dict)
    volumes: VolumeList | None = None
    claims: frozenset[str] | None = None

    @property
    def available(self) -> bool:
        """Whether it takes pods right now, whoever is to blame if not."""
        return self.ready and not self.unschedulable

    @property
    def ref(self) -> NodeRef:
        """The identity and version that a write names as its preconditions."""
        return NodeRef(self.name, self.uid, self.resource_version)
