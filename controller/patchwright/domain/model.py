"""What people ask for: the validated form of PatchPolicy and PatchRollout.

The wire models of ``patchwright.api`` are parsed into these values, with defaults filled in; whoever holds one may
trust it. Durations are ``timedelta``, instants are timezone-aware ``datetime``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from patchwright.domain.checks import HealthCheck
from patchwright.domain.images.imagepolicy import Followed
from patchwright.domain.images.trust import Verify
from patchwright.domain.writeback.settings import Write


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """The namespace and name of an object."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Give ``namespace/name``, or just the name of a cluster-scoped object."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True)
class Quantity:
    """An IntOrString: a number of targets, or a percentage of the selected set."""

    value: int
    percent: bool = False

    def __str__(self) -> str:
        """Give it as the user wrote it: ``3`` or ``10%``."""
        return f"{self.value}%" if self.percent else str(self.value)


class Operator(StrEnum):
    """The operators of a label selector requirement."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One ``matchExpressions`` entry of a label selector."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Selector:
    """A Kubernetes label selector; every requirement must hold, and none at all selects everything."""

    requirements: tuple[Requirement, ...] = ()


@dataclass(frozen=True, slots=True)
class Canary:
    """The first targets: ``count`` of them, or those that ``selector`` matches, watched for ``soak``.

    With ``pods``, no more than that many pods of each of them have the change before the soak is over.
    """

    count: Quantity = Quantity(1)
    selector: Selector | None = None
    soak: timedelta = timedelta(minutes=5)
    pods: Quantity | None = None


@dataclass(frozen=True, slots=True)
class Wave:
    """A further step of a rollout: ``size`` more targets, then ``soak``."""

    size: Quantity
    soak: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Strategy:
    """How fast and how carefully."""

    canary: Canary = Canary()
    waves: tuple[Wave, ...] = ()
    max_unavailable: Quantity = Quantity(1)
    failure_threshold: Quantity = Quantity(1)
    topology_key: str | None = None
    progress_deadline: timedelta = timedelta(seconds=600)


@dataclass(frozen=True, slots=True)
class MaintenanceWindow:
    """A recurring window: opens at each occurrence of ``start`` (5-field cron) in ``time_zone``, for ``duration``."""

    start: str
    duration: timedelta
    time_zone: str = "UTC"


class OnTimeout(StrEnum):
    """What happens to a drain that does not finish in time."""

    ABORT = "Abort"
    FORCE = "Force"


@dataclass(frozen=True, slots=True)
class Drain:
    """How a node is emptied; the names are system-upgrade-controller's.

    ``grace_period`` overrides the pods' own termination grace period; ``None`` leaves it to them. ``Force`` on timeout
    deletes what eviction could not move, whatever its PodDisruptionBudget says. ``exclude_from_load_balancers`` takes
    the node out of Service load balancers with its cordon, and nothing is evicted before ``load_balancer_wait`` is
    over; ``timeout`` begins after that. ``wait_for_volume_detach`` makes a drain last until the volumes of the pods
    that have gone are off the node.
    """

    enabled: bool = True
    force: bool = False
    timeout: timedelta = timedelta(minutes=10)
    grace_period: timedelta | None = None
    delete_emptydir_data: bool = True
    ignore_daemon_sets: bool = True
    disable_eviction: bool = False
    skip_wait_for_delete_timeout: timedelta | None = None
    pod_selector: Selector | None = None
    on_timeout: OnTimeout = OnTimeout.ABORT
    exclude_from_load_balancers: bool = False
    load_balancer_wait: timedelta = timedelta(seconds=30)
    wait_for_volume_detach: bool = False


class RollbackScope(StrEnum):
    """How much is put back once the failure threshold is reached."""

    TARGET = "Target"
    WAVE = "Wave"
    ALL = "All"


@dataclass(frozen=True, slots=True)
class Rollback:
    """Whether and how far a failed rollout is undone."""

    enabled: bool = True
    scope: RollbackScope = RollbackScope.ALL


class FailurePolicy(StrEnum):
    """What a missing policy decision means: nothing starts, or (break-glass) it is passed over and said so."""

    FAIL = "Fail"
    IGNORE = "Ignore"


@dataclass(frozen=True, slots=True)
class PolicyRef:
    """Which Rego package decides."""

    package: str = "patchwright.rollout"
    failure_policy: FailurePolicy = FailurePolicy.FAIL


class Trigger(StrEnum):
    """How a policy's rollouts come to be."""

    AUTOMATIC = "Automatic"
    PULL_REQUEST = "PullRequest"
    MANUAL = "Manual"


@dataclass(frozen=True, slots=True)
class Toleration:
    """A toleration that is added to the patch Jobs' own (``node.kubernetes.io/unschedulable`` is always there)."""

    key: str | None = None
    operator: str = "Equal"
    value: str | None = None
    effect: str | None = None


WORKLOAD_KINDS = ("Deployment", "StatefulSet", "DaemonSet", "CronJob", "Rollout")


@dataclass(frozen=True, slots=True)
class NodeTarget:
    """Nodes by label, patched by a driver."""

    selector: Selector = Selector()
    driver: str = "script"
    tolerations: tuple[Toleration, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkloadTarget:
    """Workloads whose containers run one of ``images``: names of repositories, or ``prefix/*``.

    Of those in ``followed`` updates are looked for. ``namespaces`` of ``None`` is the policy's own namespace.
    ``allow_recreate`` includes Deployments of the strategy Recreate, whose every change is a whole outage. ``verify``
    is whom it trusts to sign images.
    """

    images: tuple[str, ...]
    selector: Selector = Selector()
    namespaces: Selector | None = None
    kinds: tuple[str, ...] = WORKLOAD_KINDS
    allow_recreate: bool = False
    followed: tuple[Followed, ...] = ()
    verify: Verify | None = None


@dataclass(frozen=True, slots=True)
class PatchPolicy:
    """Standing intent: to PatchRollout what CronJob is to Job.

    ``requested_at`` and ``retry`` are what somebody wrote to have registries looked at now, or what failed tried again;
    each new value counts once.
    """

    key: Key
    uid: str
    generation: int
    target: NodeTarget | WorkloadTarget
    strategy: Strategy = Strategy()
    trigger: Trigger = Trigger.MANUAL
    windows: tuple[MaintenanceWindow, ...] = ()
    drain: Drain = Drain()
    health_checks: tuple[HealthCheck, ...] = ()
    rollback: Rollback = Rollback()
    policy: PolicyRef = PolicyRef()
    suspend: bool = False
    write: Write = field(default=Write())
    deleting: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    requested_at: str = ""
    retry: str = ""

    @property
    def followed(self) -> tuple[Followed, ...]:
        """The images whose updates are looked for."""
        return self.target.followed if isinstance(self.target, WorkloadTarget) else ()

    @property
    def nodes(self) -> NodeTarget:
        """How nodes are patched; the defaults where a policy was edited to target something else meanwhile."""
        return self.target if isinstance(self.target, NodeTarget) else NodeTarget()


# "sha256:" and twelve digits, as docker shows them.
SHORT_DIGEST = 19
VERSION_KEPT = 128


class Reboot(StrEnum):
    """Whether the script reboots the node.

    ``WhenRequested`` believes the termination message's ``rebootRequired``; a message that does not say means no, with
    a warning (kured#976 read a missing command as yes, and rebooted for two days).
    """

    NEVER = "Never"
    ALWAYS = "Always"
    WHEN_REQUESTED = "WhenRequested"


@dataclass(frozen=True, slots=True)
class Step:
    """What one Job runs: overrides of the script's image, command, args and env; ``None`` inherits."""

    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    image: str | None = None
    timeout: timedelta | None = None


@dataclass(frozen=True, slots=True)
class ScriptChange:
    """A change made by running an image on each node, as system-upgrade-controller does.

    ``version`` is what the change installs, as pinned by its author; the verify step's termination message must agree
    when it names a version. ``prepare`` runs before the cordon: what it finds missing costs no drain.
    """

    version: str
    image: str
    apply: Step
    prepare: Step | None = None
    verify: Step | None = None
    rollback: Step | None = None
    reboot: Reboot = Reboot.NEVER
    privileged: bool = True
    host_path: str | None = "/"
    service_account: str | None = None


@dataclass(frozen=True, slots=True)
class ImagePin:
    """One image, pinned: containers that run the repository ``image`` get ``image:tag@digest``.

    ``replaces`` are tags or digests; containers that run anything else than one of them are left out.
    """

    image: str
    digest: str
    tag: str | None = None
    replaces: tuple[str, ...] = ()

    @property
    def wanted(self) -> str:
        """The image string that is written into a container."""
        return f"{self.image}:{self.tag}@{self.digest}" if self.tag else f"{self.image}@{self.digest}"

    @property
    def short(self) -> str:
        """The image in the words of people: its last name, and the tag or the beginning of the digest."""
        name = self.image.rpartition("/")[2]
        return f"{name}:{self.tag}" if self.tag else f"{name}@{self.digest[:SHORT_DIGEST]}"


@dataclass(frozen=True, slots=True)
class ImagesChange:
    """A change of the images that workloads run, always pinned by digest."""

    images: tuple[ImagePin, ...]

    @property
    def version(self) -> str:
        """What the change installs, for people: one word, however many images there are."""
        return "+".join(pin.short for pin in self.images)[:VERSION_KEPT]


Change = ScriptChange | ImagesChange


@dataclass(frozen=True, slots=True)
class PatchRollout:
    """One exact change, run once.

    Of ``annotations`` only our own are kept: policies may read them. ``change_id`` is the digest of the change
    (``domain.changes.change_id``); ``abort`` and ``retry`` are what people say by annotation. ``ignored`` are faults
    that are passed over, because a rollout that is being deleted must be undone whatever else is wrong.
    """

    key: Key
    uid: str
    generation: int
    created_at: datetime
    policy_name: str
    change: Change
    change_id: str
    advisories: tuple[str, ...] = ()
    paused: bool = False
    abort: bool = False
    retry: bool = False
    deleting: bool = False
    released_at: datetime | None = None
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def script(self) -> ScriptChange:
        """The change of a rollout over nodes."""
        assert isinstance(self.change, ScriptChange), "nodes are patched by a script"
        return self.change

    @property
    def images(self) -> ImagesChange:
        """The change of a rollout over workloads."""
        assert isinstance(self.change, ImagesChange), "workloads are patched by images"
        return self.change
