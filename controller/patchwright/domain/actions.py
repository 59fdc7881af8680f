"""What can be done to the world, as data.

``decide`` returns these; the executor re-checks each one's preconditions just before it acts, and every one of them may
be repeated after a crash without a second effect (L12). A dry run is the same decision with the executor left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patchwright.domain.nodes.record import Record
    from patchwright.domain.workloads.record import Record as WorkloadRecord


class JobStep(StrEnum):
    """The steps of a change that run as a Job on the target."""

    PREPARE = "prepare"
    APPLY = "apply"
    VERIFY = "verify"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class NodeRef:
    """A node as it was seen: every write carries its UID and resource version as preconditions."""

    name: str
    uid: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class PodRef:
    """A pod by identity: a StatefulSet's next pod has the same name and another UID (kubernetes#64923)."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Cordon:
    """Cordon a node and write who did it, in one patch (L5).

    ``exclude`` takes it out of load balancers in the same one.
    """

    node: NodeRef
    record: Record
    exclude: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """Write a node's record; nothing else changes."""

    node: NodeRef
    record: Record


@dataclass(frozen=True, slots=True)
class Uncordon:
    """Make a node schedulable and write or remove its record, in one patch (L5).

    ``keep_cordon`` leaves ``spec.unschedulable`` as it is, for a node that is not (or no longer) ours to uncordon.
    ``label`` sets (``(key, value)``) or removes (``(key, None)``) the label that says what is installed.
    ``include`` lets load balancers use the node again.
    """

    node: NodeRef
    record: Record | None
    keep_cordon: bool = False
    label: tuple[str, str | None] | None = None
    include: bool = False


@dataclass(frozen=True, slots=True)
class ListPods:
    """List the pods of a node; the answer is a fact of the next snapshot."""

    node: NodeRef


@dataclass(frozen=True, slots=True)
class ListVolumes:
    """List the volumes that are attached to a node; the answer is a fact of the next snapshot."""

    node: NodeRef


@dataclass(frozen=True, slots=True)
class Evict:
    """Ask the eviction API to move a pod, with its UID as precondition."""

    node: NodeRef
    pod: PodRef
    grace_period: timedelta | None = None


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete a pod without asking its PodDisruptionBudget, with its UID as precondition."""

    node: NodeRef
    pod: PodRef
    grace_period: timedelta | None = None


@dataclass(frozen=True, slots=True)
class StartJob:
    """Create the Job of one step on one node; its name is the same at every attempt."""

    node: NodeRef
    step: JobStep
    name: str


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Delete one Job and its pods, with its UID as precondition."""

    node: NodeRef
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class DeleteJobs:
    """Delete every Job of the rollout."""

    rollout_uid: str


@dataclass(frozen=True, slots=True)
class WorkloadRef:
    """A workload as it was seen: every write carries its UID and resource version as preconditions."""

    kind: str
    namespace: str
    name: str
    uid: str
    resource_version: str

    def __str__(self) -> str:
        """Give it as people know it: ``Deployment shop/web``."""
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class ImageEdit:
    """One image of a pod template, compared and swapped.

    ``entry`` and ``place`` are JSON pointers: of the container (or volume), whose name must be ``name``, and of its
    image, which must be ``was`` and becomes ``to``.
    """

    entry: str
    name: str
    place: str
    was: str
    to: str


@dataclass(frozen=True, slots=True)
class StrategyEdit:
    """A workload's update strategy, compared and swapped as a whole; both are JSON objects."""

    was: str
    to: str


@dataclass(frozen=True, slots=True)
class SetImages:
    """Change images, and perhaps the update strategy, and write what they were, in one patch."""

    workload: WorkloadRef
    record: WorkloadRecord
    edits: tuple[ImageEdit, ...]
    strategy: StrategyEdit | None = None


@dataclass(frozen=True, slots=True)
class RestoreImages:
    """Put images back, and the update strategy, and write that this is under way, in one patch."""

    workload: WorkloadRef
    record: WorkloadRecord
    edits: tuple[ImageEdit, ...]
    strategy: StrategyEdit | None = None


@dataclass(frozen=True, slots=True)
class CommitImages:
    """Change images, or put them back, where Git says them, and write which commit has that.

    Those of one step become one commit; ``record`` says what was, what is wanted, and in which direction it goes.
    """

    workload: WorkloadRef
    record: WorkloadRecord


@dataclass(frozen=True, slots=True)
class MarkWorkload:
    """Write a workload's record; nothing else changes."""

    workload: WorkloadRef
    record: WorkloadRecord


@dataclass(frozen=True, slots=True)
class ReleaseWorkload:
    """Remove a workload's record."""

    workload: WorkloadRef


@dataclass(frozen=True, slots=True)
class ListWorkloadPods:
    """List the pods of a workload; the answer is a fact of the next snapshot."""

    workload: WorkloadRef


@dataclass(frozen=True, slots=True)
class CheckImages:
    """Ask registries whether they have what a workload may have to go back to; the answers are facts."""

    workload: WorkloadRef
    images: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeleteBadPod:
    """Delete a pod that is in the way of its workload's rollback, with its UID as precondition."""

    workload: WorkloadRef
    pod: PodRef


@dataclass(frozen=True, slots=True)
class CreateCanary:
    """Create the canary Deployment that a workload's record names, of its template with new images."""

    workload: WorkloadRef
    record: WorkloadRecord
    edits: tuple[ImageEdit, ...]


@dataclass(frozen=True, slots=True)
class DeleteCanary:
    """Delete a workload's canary Deployment, if it is one, with its pods."""

    workload: WorkloadRef
    name: str


@dataclass(frozen=True, slots=True)
class ReplacePod:
    """Delete a pod for its workload to make a new one on the new images, with its UID as precondition."""

    workload: WorkloadRef
    pod: PodRef


@dataclass(frozen=True, slots=True)
class AskPolicy:
    """Ask OPA about a wave (0 is the canary); the answer is a fact of the next snapshot."""

    wave: int
    size: int
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Remember:
    """Write into the policy's status that a change failed, so that it is not tried again (L9)."""

    change_id: str
    version: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class DropFinalizer:
    """Let a rollout go whose marks are all removed."""

    rollout_uid: str


Action = (
    Cordon
    | Mark
    | Uncordon
    | ListPods
    | ListVolumes
    | Evict
    | DeletePod
    | StartJob
    | DeleteJob
    | DeleteJobs
    | SetImages
    | RestoreImages
    | CommitImages
    | MarkWorkload
    | ReleaseWorkload
    | ListWorkloadPods
    | CheckImages
    | DeleteBadPod
    | CreateCanary
    | DeleteCanary
    | ReplacePod
    | AskPolicy
    | Remember
    | DropFinalizer
)
