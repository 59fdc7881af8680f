"""A workload and its pods, as the snapshot holds them: slim projections of what the API server said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from patchwright.domain.actions import ImageEdit, PodRef, WorkloadRef
from patchwright.domain.targets import Order
from patchwright.domain.workloads.record import Record

VOLUMES = "volumes"
_TEMPLATE = "/spec/template/spec"
ARGO = "Rollout"
"""The kind of Argo Rollouts; a PatchRollout is never called so."""
_POD_SPECS = {"CronJob": "/spec/jobTemplate/spec/template/spec"}


@dataclass(frozen=True, slots=True)
class ImageField:
    """One place of a pod template that names an image.

    ``part`` is the list it stands in: ``containers``, ``initContainers`` (with the native sidecars) or ``volumes``.
    """

    part: str
    index: int
    name: str
    image: str

    @property
    def key(self) -> str:
        """What finds it again after its list was re-ordered."""
        return f"{self.part}/{self.name}"

    def edit(self, kind: str, to: str) -> ImageEdit:
        """Give the change of this image in a workload of a kind."""
        entry = f"{_POD_SPECS.get(kind, _TEMPLATE)}/{self.part}/{self.index}"
        place = f"{entry}/image/reference" if self.part == VOLUMES else f"{entry}/image"
        return ImageEdit(entry, self.name, place=place, was=self.image, to=to)


@dataclass(frozen=True, slots=True)
class ContainerState:
    """What a container of a pod says; ``waiting`` is the reason for which it does not run, empty when it does."""

    name: str
    waiting: str = ""
    message: str = ""
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class WorkloadPod:
    """A pod of a workload.

    ``revision`` is its controller-revision-hash (or pod-template-hash). ``images`` are those of its spec and
    ``digests`` those that its ``imageID`` tell, by ``ImageField.key``. ``ready_since`` is the Ready condition's last
    transition; ``node_away_since`` is since when its node is NotReady, ``None`` while it is Ready; ``architecture`` is
    its node's.
    """

    ref: PodRef
    created_at: datetime
    revision: str = ""
    images: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    containers: tuple[ContainerState, ...] = ()
    ready: bool = False
    ready_since: datetime | None = None
    node: str = ""
    node_away_since: datetime | None = None
    architecture: str = ""
    deleted_at: datetime | None = None
    ended: bool = False

    @property
    def counts(self) -> bool:
        """Whether it is one of those that serve or should: not on its way out, nor ended."""
        return self.deleted_at is None and not self.ended


@dataclass(frozen=True, slots=True)
class WorkloadPods:
    """The pods of one workload at one moment; ``at`` is when the request was sent."""

    at: datetime
    pods: tuple[WorkloadPod, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """Whether an image is in its registry, as that said ``at``; ``None`` when it did not, for ``reason``."""

    at: datetime
    there: bool | None
    reason: str = ""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Canary:
    """A canary Deployment by its name, the workload that owns it, and the rollout that has made it."""

    workload: WorkloadRef
    name: str
    rollout_uid: str


@dataclass(frozen=True, slots=True)
class WorkloadView:
    """A workload of the selected set.

    ``replicas`` is how many pods are wanted (of a DaemonSet, how many nodes), ``present`` how many there are in all.
    ``away`` counts the cluster's nodes that are NotReady: a DaemonSet's pods on them say nothing (test-infra#31706).
    ``strategy`` is its update strategy, as JSON. ``stuck`` is what the Deployment controller says once its own progress
    deadline is over; ``unavailable`` what it says while too few pods are available, and ``unavailable_since`` since
    when. ``owner`` names the object that controls it, ``gitops`` who applies it from Git, and ``hands_off`` says that
    its annotation patchwright.dev/paused is true. ``opted_out`` holds the mark by which people keep it out,
    ``record_fault`` why our annotation cannot be read. ``kept`` is what registries said of images that may have to be
    put back. ``canary_of`` is the UID of the Deployment that this one is a canary of, ``beside`` what there is under
    the name of such a canary of its own.

    Of an Argo Rollout, ``unfinished`` is what its own phase says while it is not Healthy, ``at_step`` what it has
    paused itself for, and ``stable`` whether its present template is the one that it calls stable. A Rollout may take
    its pods from a Deployment (spec.workloadRef): ``template`` names the one of the two that the other one goes with.
    """

    kind: str
    namespace: str
    short: str
    uid: str
    resource_version: str
    order: Order
    labels: dict[str, str] = field(default_factory=dict)
    images: tuple[ImageField, ...] = ()
    replicas: int = 1
    present: int = 1
    updated: int = 1
    available_pods: int = 1
    generation: int = 1
    observed_generation: int = 1
    revision: str = ""
    partition: int = 0
    strategy: str = ""
    away: int = 0
    paused: bool = False
    recreate: bool = False
    on_delete: bool = False
    stuck: str = ""
    unavailable: str = ""
    unavailable_since: datetime | None = None
    unfinished: str = ""
    at_step: str = ""
    stable: bool = True
    template: str = ""
    owner: str = ""
    gitops: str = ""
    hands_off: bool = False
    opted_out: str = ""
    deleting: bool = False
    record: Record | None = None
    record_fault: str = ""
    canary_of: str = ""
    beside: WorkloadView | None = None
    pods: WorkloadPods | None = None
    kept: Mapping[str, Kept] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name people know it by."""
        return f"{self.kind} {self.namespace}/{self.short}"

    @property
    def ref(self) -> WorkloadRef:
        """The identity and version that a write names as its preconditions."""
        return WorkloadRef(self.kind, self.namespace, self.short, self.uid, self.resource_version)

    @property
    def runs(self) -> bool:
        """Whether any pod of it is wanted, whose health would prove something."""
        return self.kind != "CronJob" and self.replicas > 0

    @property
    def expected(self) -> int:
        """How many pods can be there: a DaemonSet's, but for those on nodes that are NotReady."""
        if self.kind != "DaemonSet":
            return self.replicas
        lost = self.away
        if self.pods is not None:
            lost = sum(pod.node_away_since is not None and pod.counts for pod in self.pods.pods)
        return self.replicas - min(lost, self.replicas)

    @property
    def available(self) -> bool:
        """Whether as many pods serve as are wanted, whoever is to blame if not."""
        return not self.runs or self.available_pods >= self.expected
