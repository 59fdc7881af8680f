"""What every status shares, and the statuses of PatchPolicy and PolicyRepository; PatchRollout's has its own module."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError

from patchwright.api.base import StatusModel
from patchwright.api.faults import faults_of
from patchwright.api.scalars import Bool, Generation, Instant, Int
from patchwright.domain import memory, repository, state
from patchwright.domain.sync import VERSION, ObjectKey
from patchwright.domain.workloads import standalone
from patchwright.errors import Fault, InvalidInput

M = TypeVar("M", bound=StatusModel)
MESSAGE_KEPT = 1024
BY_TYPE = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}


class Condition(StatusModel):
    """One aspect of the object's state, as kstatus, Flux and Argo CD read it."""

    type: str
    """Which aspect, such as `Ready`."""
    status: Annotated[str, Field(json_schema_extra={"enum": ["True", "False", "Unknown"]})]
    """Whether it holds."""
    reason: str
    """Why, as one word."""
    message: str = ""
    """Why, as a sentence."""
    observed_generation: Generation | None = None
    """The generation of the spec that this is about."""
    last_transition_time: Instant
    """Since when `status` has been what it is."""


Conditions = Annotated[tuple[Condition, ...], Field(json_schema_extra=BY_TYPE)]


class FailedChange(StatusModel):
    """A change that failed."""

    change_id: Annotated[str, Field(alias="changeID")]
    """The digest of the change; the same change is refused until somebody says `retry`."""
    version: str = ""
    """The version that failed."""
    rollout: str = ""
    """The rollout in which it failed."""
    reason: str = ""
    """Why, as one word."""
    message: str = ""
    """Why, as a sentence."""
    at: Instant
    """When."""


class LastRollout(StatusModel):
    """A rollout that ended."""

    name: str
    """Its name."""
    phase: state.Phase
    """How it ended."""
    version: str = ""
    """The version that it rolled out."""
    finished_at: Instant | None = None
    """When it ended."""


class LatestRef(StatusModel):
    """The image that was chosen."""

    tag: str = ""
    """Its tag."""
    digest: str = ""
    """Its digest."""


class FollowedImage(StatusModel):
    """An image whose updates are looked for."""

    image: str
    """The image's repository."""
    verdict: str = ""
    """`Update`, `UpToDate`, `Wait` (it passes by itself) or `Refused` (somebody has to act)."""
    reason: str = ""
    """Why, as one word."""
    message: str = ""
    """Why, as a sentence."""
    latest_ref: LatestRef | None = None
    """The image to run next; absent while there is none."""
    scanned_at: Instant | None = None
    """When the registry was last looked at with success."""
    tags: Int | None = None
    """How many tags it had then."""


class Standalone(StatusModel):
    """Something that runs an image that the policy covers, and that nobody can patch."""

    kind: str
    """`Job` or `Pod`."""
    namespace: str
    """Its namespace."""
    name: str
    """Its name."""
    image: str
    """The image, as it is spelled there; the first where there are several."""
    static: Bool = False
    """Whether it is a static pod: a file on its node, of which the API server only has a mirror."""


class PatchPolicyStatus(StatusModel):
    """What Patchwright knows about the policy; written by Patchwright only."""

    observed_generation: Generation = 0
    """The generation of the spec that this status is about."""
    selected: Int | None = None
    """How many targets the policy selects."""
    active_rollout: str = ""
    """The rollout at work, if any."""
    last_rollout: LastRollout | None = None
    """The latest rollout that ended."""
    next_maintenance_window: Instant | None = None
    """When the next maintenance window opens; absent when there are no windows."""
    failed_changes: tuple[FailedChange, ...] = ()
    """The changes that failed, newest first, at most 20; none of them is tried again by itself."""
    standalone: tuple[Standalone, ...] = ()
    """Jobs, bare pods and static pods that run an image that the policy covers, at most 20: nobody can patch them."""
    standalone_total: Int | None = None
    """How many there are."""
    images: tuple[FollowedImage, ...] = ()
    """The images whose updates are looked for, at most 64."""
    images_total: Int | None = None
    """How many there are."""
    last_handled_reconcile_at: str = ""
    """The value of the annotation `patchwright.dev/requestedAt` that was handled last."""
    last_handled_retry: str = ""
    """The value of the annotation `patchwright.dev/retry` that was handled last."""
    retried_at: Instant | None = None
    """When that was; what failed before may be tried again."""
    conditions: Conditions = ()
    """`Ready`: the policy is valid and can be used. `Scanned`: the registries of its images were looked at. `Stalled`:
    somebody has to correct it."""


class InventoryEntry(StatusModel):
    """One object that came from the repository."""

    id: str
    """`<namespace>_<name>_<group>_<kind>`."""
    v: str = VERSION
    """The version of its API."""


class Inventory(StatusModel):
    """The objects that came from the repository."""

    entries: tuple[InventoryEntry, ...] = ()
    """One entry for each object."""


class HistoryEntry(StatusModel):
    """One state of the repository's content that was reconciled."""

    digest: str
    """The digest of the content; equal content in several commits is one entry."""
    revision: str = ""
    """The latest revision with this content."""
    first_reconciled: Instant
    """When it was first reconciled."""
    last_reconciled: Instant
    """When it was last reconciled."""
    last_reconciled_status: str = ""
    """How that ended: the reason of the `Ready` condition."""
    total_reconciliations: Int = 1
    """How often it was reconciled."""


class PolicyRepositoryStatus(StatusModel):
    """What Patchwright knows about the repository; written by Patchwright only."""

    observed_generation: Generation = 0
    """The generation of the spec that this status is about."""
    last_attempted_revision: str = ""
    """The revision that was tried last, such as `main@sha1:9f2c…`."""
    last_applied_revision: str = ""
    """The revision that is in force; it stays when a later one fails."""
    last_handled_reconcile_at: str = ""
    """The value of the annotation `patchwright.dev/requestedAt` that was handled last."""
    inventory: Inventory | None = None
    """The objects that were applied, and will be pruned."""
    history: tuple[HistoryEntry, ...] = ()
    """The latest reconciled states of the content, newest first, at most 5."""
    conditions: Conditions = ()
    """`Ready`; `Reconciling` and `Stalled` while true; `SourceVerified`, `FetchFailed`, `ArtifactInStorage`."""


def policy_state_to_status(
    found: memory.PolicyState, *, now: datetime, previous: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Give PatchPolicy.status; ``previous`` is the present one, from which unchanged conditions keep their time."""
    return written(
        PatchPolicyStatus(
            observed_generation=found.observed_generation,
            selected=found.selected,
            active_rollout=found.active_rollout,
            last_rollout=_last_to_wire(found.last_rollout),
            next_maintenance_window=found.next_window,
            failed_changes=tuple(_failed(one) for one in found.failed_changes[: memory.FAILED_KEPT]),
            standalone=tuple(
                Standalone(kind=one.kind, namespace=one.namespace, name=one.name, image=one.image, static=one.static)
                for one in found.standalone
            ),
            standalone_total=found.standalone_total or None,
            images=tuple(map(_image_to_wire, found.images[: memory.IMAGES_KEPT])),
            images_total=found.images_total or None,
            last_handled_reconcile_at=found.last_handled_reconcile_at,
            last_handled_retry=found.last_handled_retry,
            retried_at=found.retried_at,
            conditions=conditions_to_status(
                found.conditions, generation=found.observed_generation, now=now, previous=previous
            ),
        )
    )


def status_to_policy_state(status: Mapping[str, Any] | None) -> memory.PolicyState:
    """Read PatchPolicy.status.

    Raises:
        InvalidInput: somebody wrote into it what cannot be read; the faults name the fields.
    """
    wire = read(PatchPolicyStatus, status)
    return memory.PolicyState(
        observed_generation=wire.observed_generation,
        selected=wire.selected,
        active_rollout=wire.active_rollout,
        last_rollout=_last(wire.last_rollout),
        next_window=wire.next_maintenance_window,
        failed_changes=tuple(
            memory.FailedChange(one.change_id, one.version, one.rollout, one.reason, one.message, one.at)
            for one in wire.failed_changes
        ),
        standalone=tuple(
            standalone.Standalone(one.kind, one.namespace, one.name, one.image, one.static) for one in wire.standalone
        ),
        standalone_total=wire.standalone_total or 0,
        images=tuple(map(_image, wire.images)),
        images_total=wire.images_total or 0,
        last_handled_reconcile_at=wire.last_handled_reconcile_at,
        last_handled_retry=wire.last_handled_retry,
        retried_at=wire.retried_at,
        conditions=conditions_from(wire.conditions),
    )


def repository_state_to_status(
    found: repository.RepositoryState, *, now: datetime, previous: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Give PolicyRepository.status; ``previous`` is the present one."""
    entries = tuple(InventoryEntry(id=key.entry_id) for key in found.inventory)
    return written(
        PolicyRepositoryStatus(
            observed_generation=found.observed_generation,
            last_attempted_revision=found.last_attempted_revision,
            last_applied_revision=found.last_applied_revision,
            last_handled_reconcile_at=found.last_handled_reconcile_at,
            inventory=Inventory(entries=entries) if entries else None,
            history=tuple(_history(one) for one in found.history[: repository.HISTORY_KEPT]),
            conditions=conditions_to_status(
                found.conditions, generation=found.observed_generation, now=now, previous=previous
            ),
        )
    )


def status_to_repository_state(status: Mapping[str, Any] | None) -> repository.RepositoryState:
    """Read PolicyRepository.status.

    Raises:
        InvalidInput: somebody wrote into it what cannot be read. An inventory entry that is lost would never be pruned,
            so one that is not ours is a fault too.
    """
    wire = read(PolicyRepositoryStatus, status)
    return repository.RepositoryState(
        observed_generation=wire.observed_generation,
        last_attempted_revision=wire.last_attempted_revision,
        last_applied_revision=wire.last_applied_revision,
        last_handled_reconcile_at=wire.last_handled_reconcile_at,
        inventory=_object_keys(wire.inventory.entries if wire.inventory else ()),
        history=tuple(
            repository.HistoryEntry(
                one.digest, one.revision, one.first_reconciled, one.last_reconciled, one.last_reconciled_status,
                one.total_reconciliations,
            )
            for one in wire.history
        ),
        conditions=conditions_from(wire.conditions),
    )  # fmt: skip


def conditions_to_status(
    found: Iterable[state.Condition], *, generation: int, now: datetime, previous: Mapping[str, Any] | None
) -> tuple[Condition, ...]:
    """Give conditions with their transition times: kept while the status of a condition stays the same."""
    since = _since((previous or {}).get("conditions"))
    return tuple(
        Condition.model_construct(
            type=one.type,
            status=one.status,
            reason=one.reason or "Unknown",
            message=cut(one.message, MESSAGE_KEPT),
            observed_generation=generation,
            last_transition_time=since.get((one.type, one.status), now),
        )
        for one in found
    )


def conditions_from(found: Iterable[Condition]) -> tuple[state.Condition, ...]:
    """Give the domain's conditions; when they changed is of no concern there."""
    return tuple(state.Condition(one.type, one.status, one.reason, one.message) for one in found)


def written(status: StatusModel) -> dict[str, Any]:
    """Give a status as JSON holds it, without what is empty."""
    found = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {name: value for name, value in found.items() if value not in ("", [], {})}


def read(model: type[M], status: object) -> M:
    """Read a status that anybody may have edited; ``None`` is an empty one.

    Raises:
        InvalidInput: naming every field that cannot be read.
    """
    try:
        return model.model_validate({} if status is None else status)
    except ValidationError as error:
        raise InvalidInput(faults_of(error, model, prefix="status"), reason="InvalidStatus") from None


def cut(text: str, limit: int) -> str:
    """Cut a text for status; lone surrogates, which no JSON may carry, are replaced."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _since(conditions: object) -> dict[tuple[str, str], datetime]:
    found = {}
    for one in conditions if isinstance(conditions, (list, tuple)) else ():
        if isinstance(one, Mapping) and (at := _instant(one.get("lastTransitionTime"))):
            found[str(one.get("type")), str(one.get("status"))] = at
    return found


def _instant(value: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _failed(one: memory.FailedChange) -> FailedChange:
    return FailedChange(
        change_id=one.change_id,
        version=one.version,
        rollout=one.rollout,
        reason=one.reason,
        message=cut(one.message, MESSAGE_KEPT),
        at=one.at,
    )


def _image_to_wire(one: memory.ImageState) -> FollowedImage:
    return FollowedImage(
        image=one.image,
        verdict=one.verdict,
        reason=one.reason,
        message=cut(one.message, MESSAGE_KEPT),
        latest_ref=LatestRef(tag=one.tag, digest=one.digest) if one.digest else None,
        scanned_at=one.scanned_at,
        tags=one.tags,
    )


def _image(one: FollowedImage) -> memory.ImageState:
    latest = one.latest_ref or LatestRef()
    return memory.ImageState(
        one.image,
        one.verdict,
        one.reason,
        one.message,
        tag=latest.tag,
        digest=latest.digest,
        scanned_at=one.scanned_at,
        tags=one.tags,
    )


def _last_to_wire(last: memory.LastRollout | None) -> LastRollout | None:
    if last is None:
        return None
    return LastRollout(name=last.name, phase=last.phase, version=last.version, finished_at=last.finished_at)


def _last(last: LastRollout | None) -> memory.LastRollout | None:
    if last is None:
        return None
    return memory.LastRollout(last.name, last.phase, version=last.version, finished_at=last.finished_at)


def _history(one: repository.HistoryEntry) -> HistoryEntry:
    return HistoryEntry(
        digest=one.digest,
        revision=one.revision,
        first_reconciled=one.first_reconciled,
        last_reconciled=one.last_reconciled,
        last_reconciled_status=one.last_status,
        total_reconciliations=one.total,
    )


def _object_keys(entries: Sequence[InventoryEntry]) -> tuple[ObjectKey, ...]:
    keys = [ObjectKey.from_entry_id(entry.id) for entry in entries]
    bad = [index for index, key in enumerate(keys) if key is None]
    if bad:
        raise InvalidInput(
            [
                Fault(f"status.inventory.entries[{index}].id", "must be <namespace>_<name>_patchwright.dev_<kind>")
                for index in bad
            ],
            reason="InvalidStatus",
        )
    return tuple(key for key in keys if key is not None)
