"""What the pipeline needs from the outside, in the domain's verbs.

Adapters implement these; the simulator implements them in memory. Every method raises nothing but
``patchwright.errors``; every write is safe to repeat (L12) and names its preconditions (L10).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from patchwright.domain.actions import ImageEdit, JobStep, NodeRef, PodRef, StrategyEdit, WorkloadRef
from patchwright.domain.checks import HealthCheck
from patchwright.domain.health import Measurement
from patchwright.domain.images.trust import Trust
from patchwright.domain.memory import FailedChange, PolicyState
from patchwright.domain.model import ImagePin, Key, PatchPolicy, PatchRollout
from patchwright.domain.nodes.record import Record
from patchwright.domain.nodes.view import EvictionAttempt, NodeView, PodList, Remains, VolumeList
from patchwright.domain.policy import PolicyDecision, PolicyQuestion
from patchwright.domain.state import RolloutState
from patchwright.domain.workloads.record import Record as WorkloadRecord
from patchwright.domain.workloads.standalone import Survey
from patchwright.domain.workloads.view import Canary, WorkloadPods, WorkloadView
from patchwright.domain.writeback.orders import WriteOrder, Written
from patchwright.domain.writeback.settings import GitTarget


class Clock(Protocol):
    """The time."""

    def now(self) -> datetime:
        """Give the current time, in UTC."""


@dataclass(frozen=True, slots=True)
class Case:
    """A rollout with everything that its own objects say.

    ``faults`` are set when the rollout or its policy cannot be read; ``policy`` is ``None`` when it does not exist or
    is faulty. ``retried_at`` is when somebody asked for a retry of a remembered change.
    """

    rollout: PatchRollout | None
    policy: PatchPolicy | None
    state: RolloutState
    resource_version: str
    key: Key
    uid: str
    generation: int
    faults: tuple[str, ...] = ()
    remembered: FailedChange | None = None
    superseded_by: str = ""
    finalizer: bool = False
    deleting: bool = False


class Rollouts(Protocol):
    """The PatchRollout objects and the policies they run under, from the watch cache."""

    def keys(self) -> Sequence[Key]:
        """List every rollout."""

    def get(self, key: Key) -> Case | None:
        """Read a rollout; ``None`` when it is gone. Reads its own writes."""

    async def living(self) -> frozenset[str]:
        """List the UIDs of all rollouts of all namespaces, past any cache: what is not in it does not exist.

        Raises:
            ClusterError: there is no complete list.
        """

    async def save(self, case: Case, state: RolloutState) -> None:
        """Write the status, with the resource version as precondition.

        Raises:
            Conflict: somebody else wrote first.
        """

    async def hold(self, case: Case) -> None:
        """Put our finalizer on a rollout, before anything of it is done."""

    async def let_go(self, case: Case) -> None:
        """Take our finalizer off."""

    async def remember(self, case: Case, failed: FailedChange) -> None:
        """Write a failed change into the policy's status."""


@dataclass(frozen=True, slots=True)
class PolicyCase:
    """A PatchPolicy as it stands; ``policy`` is ``None`` when its spec has ``faults``."""

    key: Key
    resource_version: str
    state: PolicyState
    policy: PatchPolicy | None = None
    faults: tuple[str, ...] = ()


class Policies(Protocol):
    """The PatchPolicy objects, from the watch cache."""

    def policy(self, key: Key) -> PolicyCase | None:
        """Read a policy; ``None`` when it is gone."""

    async def save_policy(self, case: PolicyCase, state: PolicyState) -> None:
        """Write the status, with the resource version as precondition.

        Raises:
            Conflict: somebody else wrote first.
        """


class Fleet(Protocol):
    """Nodes with their Jobs, from the watch cache, and every write to them. Reads its own writes."""

    def nodes(self, policy: PatchPolicy) -> tuple[NodeView, ...]:
        """Give the nodes that the policy selects, as they look to it (its label, its topology key)."""

    def marked(self, rollout_uid: str, policy: PatchPolicy) -> tuple[NodeView, ...]:
        """Give the nodes that carry this rollout's record, selected or not (a label may have changed since)."""

    def orphan_jobs(self, rollout_uid: str) -> int:
        """Count the rollout's Jobs that still exist."""

    def claimed(self) -> frozenset[str]:
        """Give the UIDs of all rollouts that a record on a node or a Job names, existing or not."""

    def remains(self, rollout_uid: str) -> Remains:
        """Give everything that names one rollout."""

    async def refresh(self, node: NodeRef) -> None:
        """Read one node past the cache, after a conflict."""

    def backends(self) -> frozenset[str]:
        """Give the UIDs of all nodes of the cluster that load balancers may use (``nodes.balancers.usable``)."""

    async def cordon(self, node: NodeRef, record: Record, *, exclude: bool = False) -> None:
        """Set ``spec.unschedulable`` and the record, and our label against load balancers, in one patch."""

    async def mark(self, node: NodeRef, record: Record) -> None:
        """Write the record."""

    async def uncordon(
        self,
        node: NodeRef,
        record: Record | None,
        *,
        keep_cordon: bool,
        label: tuple[str, str | None] | None,
        include: bool = False,
    ) -> None:
        """Remove ``spec.unschedulable`` (unless ``keep_cordon``), write or remove the record, set the label.

        ``include`` removes the label against load balancers, all in one patch.
        """

    async def pods(self, node: NodeRef) -> PodList:
        """List the pods of one node, past any cache."""

    async def volumes(self, node: NodeRef) -> VolumeList:
        """List the volumes that are attached to one node, past any cache; it may be a second old."""

    async def evict(self, pod: PodRef, *, grace_period: timedelta | None) -> EvictionAttempt:
        """Ask for an eviction and say what the API server answered; only ``ClusterUnavailable`` is raised."""

    async def delete_pod(self, pod: PodRef, *, grace_period: timedelta | None) -> EvictionAttempt:
        """Delete a pod without asking its budget."""

    async def start_job(self, case: Case, node: NodeRef, *, step: JobStep, name: str) -> None:
        """Create a Job; one that exists already is fine."""

    async def delete_job(self, name: str, *, uid: str) -> None:
        """Delete a Job and its pods; one that is gone already is fine."""

    async def delete_jobs(self, rollout_uid: str) -> None:
        """Delete every Job of a rollout and their pods."""


class Workloads(Protocol):
    """Workloads, from the watch cache, and every write to them. Reads its own writes."""

    def selected(self, policy: PatchPolicy) -> tuple[WorkloadView, ...]:
        """Give the workloads that the policy selects and that run an image it covers.

        None outside the policy's own namespace, unless it is the operator's (tenancy).
        """

    def one(self, workload: WorkloadRef, policy: PatchPolicy) -> WorkloadView | None:
        """Give one workload as it stands by now, if the policy selects it; one of the same name is another one."""

    def marked(self, rollout_uid: str, policy: PatchPolicy) -> tuple[WorkloadView, ...]:
        """Give the workloads that carry this rollout's record, selected or not."""

    def absent(self, policy: PatchPolicy) -> str:
        """Say why a kind that the policy names cannot be looked at, such as one that is not installed; else empty."""

    def standalone(self, policy: PatchPolicy) -> Survey:
        """Give the Jobs and pods without a controller that run an image that the policy covers, as seen last."""

    async def refresh(self, workload: WorkloadRef) -> None:
        """Read one workload past the cache, after a conflict."""

    async def set_images(
        self,
        workload: WorkloadRef,
        record: WorkloadRecord,
        edits: Sequence[ImageEdit],
        *,
        strategy: StrategyEdit | None = None,
    ) -> None:
        """Change images and the update strategy and write the record in one patch, if each is still what it was.

        Raises:
            Conflict: the workload is not as it was seen.
        """

    async def mark(self, workload: WorkloadRef, record: WorkloadRecord | None) -> None:
        """Write or remove the record."""

    async def pods(self, workload: WorkloadRef) -> WorkloadPods:
        """List the pods of one workload, past any cache."""

    async def delete_pod(self, pod: PodRef) -> None:
        """Delete a pod, with its UID as precondition; one that is gone already is fine."""

    async def create_canary(self, workload: WorkloadRef, record: WorkloadRecord, edits: Sequence[ImageEdit]) -> None:
        """Create the canary Deployment that a record names; one that exists already, whosever it is, is fine.

        Raises:
            Conflict: the workload is not as it was seen.
        """

    async def delete_canary(self, workload: WorkloadRef, name: str) -> None:
        """Delete a workload's canary Deployment, which goes after its pods; one that is gone or not ours is fine."""

    def canaries(self) -> tuple[Canary, ...]:
        """Give every canary Deployment, whosever rollout has made it."""


class Registries(Protocol):
    """Image registries, as far as a rollout needs them."""

    async def has(self, policy: PatchPolicy, image: str) -> bool:
        """Tell whether an image, by digest, is still there, with the login of the policy that follows it.

        Raises:
            RegistryError: it is not known.
            InvalidInput: the pull secret is none.
            ClusterError: the pull secret could not be read.
        """


class WriteBacks(Protocol):
    """Git, written to: never by force, never a second commit for one step, never over somebody else's value."""

    async def write(self, order: WriteOrder, git: GitTarget, *, namespace: str) -> Written:
        """Bring about what the order says, as ``git`` says and with its Secrets; who repeats it gets what is there.

        Raises:
            SourceError: the repository cannot be reached or read; the order is to be repeated.
            WriteBackError: nothing may be written, the server does not take it, or a pull request is not merged yet.
            InvalidInput: the Secret is none for Git.
            ClusterError: the Secret cannot be read.
        """


class PolicyEngine(Protocol):
    """OPA."""

    def revision(self) -> str:
        """Give the revision that is pinned now: decisions of another one are asked for again."""

    async def evaluate(self, question: PolicyQuestion) -> PolicyDecision:
        """Ask for a decision.

        Raises:
            PolicyError: one of its five kinds; never anything else.
        """


class ImageTrust(Protocol):
    """Who vouches for images."""

    async def facts(self, policy: PatchPolicy, pin: ImagePin) -> Trust:
        """Give the facts about one image, by those whom the policy trusts; nothing is asked where it trusts nobody.

        Raises:
            SignaturesUnknown: they are not known.
        """


class HealthProber(Protocol):
    """Whatever the health checks look at."""

    async def measure(self, check: HealthCheck, *, namespace: str) -> Measurement:
        """Make one check, in at most its ``probe_timeout``.

        Raises:
            HealthProbeError: the check could not be made.
        """


class Journal(Protocol):
    """Events and metrics: what is told besides the status (L11)."""

    async def event(self, key: Key, *, uid: str, reason: str, message: str, warning: bool = False) -> None:
        """Write a Kubernetes Event on a rollout; never raises."""

    async def node_event(self, node: NodeRef, *, reason: str, message: str, warning: bool = False) -> None:
        """Write a Kubernetes Event on a node; never raises."""

    async def workload_event(self, workload: WorkloadRef, *, reason: str, message: str, warning: bool = False) -> None:
        """Write a Kubernetes Event on a workload; never raises."""

    def rollout_changed(self, key: Key, state: RolloutState) -> None:
        """Take a rollout's new state into the metrics."""

    def rollout_gone(self, key: Key) -> None:
        """Forget a rollout's metrics."""

    def evicted(self, attempt: EvictionAttempt) -> None:
        """Count an eviction by its answer."""

    def drain_blocked(self, node: str, *, namespace: str, pod: str, reason: str) -> None:
        """Say which pod blocks which drain."""

    def drain_ended(self, node: str) -> None:
        """Say that a node's drain is over, one way or the other."""

    def health_failed(self, check: str) -> None:
        """Count an unhealthy measurement."""

    def step_took(self, step: str, seconds: float) -> None:
        """Observe how long a target stayed in a step."""


@dataclass(frozen=True, slots=True)
class World:
    """Every port that a rollout needs, in one hand; ``operator_namespace`` is where policies may target anything."""

    rollouts: Rollouts
    fleet: Fleet
    workloads: Workloads
    policy_engine: PolicyEngine
    health: HealthProber
    journal: Journal
    clock: Clock
    operator_namespace: str
    registries: Registries
    writes: WriteBacks
    trust: ImageTrust
