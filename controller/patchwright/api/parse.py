"""The way in: from an object, as the API server or a file gives it, to a value that the domain can trust."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from patchwright.api.base import WireModel
from patchwright.api.faults import faults_of, null_faults, show
from patchwright.api.metadata import Metadata, read_metadata
from patchwright.api.patchpolicy import PatchPolicySpec
from patchwright.api.patchrollout import PatchRolloutSpec
from patchwright.api.policyrepository import PolicyRepositorySpec
from patchwright.domain import changes, model, repository
from patchwright.domain.sync import CONFIRM_ANNOTATION, GROUP, VERSION
from patchwright.errors import Fault, InvalidInput

API_VERSION = f"{GROUP}/{VERSION}"
ABORT_ANNOTATION = f"{GROUP}/abort"
RETRY_ANNOTATION = f"{GROUP}/retry"
REQUESTED_ANNOTATION = f"{GROUP}/requestedAt"
# A policy's name is part of the label plan.patchwright.dev/<name>, and labels have at most 63 characters there.
LONGEST_POLICY_NAME = 63

SPECS: Mapping[str, type[WireModel]] = {
    "PatchPolicy": PatchPolicySpec,
    "PatchRollout": PatchRolloutSpec,
    "PolicyRepository": PolicyRepositorySpec,
}
SYNCED = frozenset({"PatchPolicy", "PatchRollout"})
S = TypeVar("S", bound=WireModel)


def parse_policy(found: Mapping[str, Any]) -> model.PatchPolicy:
    """Read a PatchPolicy.

    Raises:
        InvalidInput: with one fault for each thing that is wrong, and its field path.
    """
    meta, spec = _object(found, PatchPolicySpec, longest_name=LONGEST_POLICY_NAME)
    default = model.PatchPolicy(meta.key, "", 0, target=model.NodeTarget())
    return model.PatchPolicy(
        meta.key,
        meta.uid,
        meta.generation,
        target=spec.target.domain(),
        strategy=spec.strategy.domain() if spec.strategy else default.strategy,
        trigger=model.Trigger(spec.trigger or default.trigger),
        requested_at=meta.annotations.get(REQUESTED_ANNOTATION, ""),
        retry=meta.annotations.get(RETRY_ANNOTATION, ""),
        windows=tuple(window.domain() for window in spec.maintenance_windows or ()),
        drain=spec.drain.domain() if spec.drain else default.drain,
        health_checks=tuple(check.domain() for check in spec.health_checks or ()),
        rollback=spec.rollback.domain() if spec.rollback else default.rollback,
        policy=spec.policy.domain() if spec.policy else default.policy,
        suspend=bool(spec.suspend),
        write=spec.write.domain() if spec.write else default.write,
        deleting=meta.deleting,
        labels=meta.sorted_labels,
    )


def parse_rollout(found: Mapping[str, Any]) -> model.PatchRollout:
    """Read a PatchRollout, with what people say by annotation.

    Of one that is being deleted, a flag that cannot be read is passed over: its spec is as valid as when it was
    created, and nothing that a flag could say would change that everything is undone.

    Raises:
        InvalidInput: with one fault for each thing that is wrong, and its field path.
    """
    meta, spec = _object(found, PatchRolloutSpec)
    abort, retry = meta.flag(ABORT_ANNOTATION), meta.flag(RETRY_ANNOTATION)
    if not meta.deleting:
        _refuse(meta.faults)
    change = spec.change.domain()
    return model.PatchRollout(
        meta.key,
        meta.uid,
        meta.generation,
        created_at=meta.created_at,
        policy_name=spec.policy_ref.name,
        change=change,
        change_id=changes.change_id(change),
        advisories=spec.advisories or (),
        paused=bool(spec.paused),
        abort=abort,
        retry=retry,
        deleting=meta.deleting,
        released_at=spec.released_at,
        labels=meta.sorted_labels,
        annotations=tuple(sorted(pair for pair in meta.annotations.items() if pair[0].startswith(f"{GROUP}/"))),
        ignored=tuple(map(str, meta.faults)),
    )


def parse_repository(found: Mapping[str, Any]) -> repository.PolicyRepository:
    """Read a PolicyRepository.

    Raises:
        InvalidInput: with one fault for each thing that is wrong, and its field path; never with a credential in it.
    """
    meta, spec = _object(found, PolicyRepositorySpec)
    return spec.domain(
        meta.key,
        meta.uid,
        generation=meta.generation,
        deleting=meta.deleting,
        requested_at=meta.annotations.get(REQUESTED_ANNOTATION, ""),
        confirm_prune=meta.annotations.get(CONFIRM_ANNOTATION, ""),
    )


def validate(document: Mapping[str, Any], *, kinds: frozenset[str] = SYNCED) -> Sequence[Fault]:
    """Give every fault of a manifest, without an API server; empty when there is none."""
    kind, version = document.get("kind"), document.get("apiVersion")
    if not isinstance(kind, str) or kind not in kinds:
        return [Fault("kind", f"must be one of {', '.join(sorted(kinds))}; got {show(kind)}")]
    faults = []
    if version != API_VERSION:
        faults.append(Fault("apiVersion", f"must be {API_VERSION}; got {show(version)}"))
    for name in document:
        if name not in ("apiVersion", "kind", "metadata", "spec"):
            words = "is written by Patchwright; remove it" if name == "status" else "is no field of a manifest"
            faults.append(Fault(str(name), words))
    try:
        _PARSE[kind](document)
    except InvalidInput as error:
        faults.extend(error.faults)
    return faults


def validate_update(old: Mapping[str, Any], new: Mapping[str, Any]) -> Sequence[Fault]:
    """Give the immutable fields that an update would change, before the API server refuses it."""
    kind = new.get("kind")
    if not isinstance(kind, str) or kind not in SPECS:
        return []
    before, after = (one.get("spec") or {} for one in (old, new))
    return [
        Fault(f"spec.{rule.name}", rule.message)
        for rule in SPECS[kind].immutable
        if before.get(rule.name) != after.get(rule.name)
    ]


_PARSE = {"PatchPolicy": parse_policy, "PatchRollout": parse_rollout, "PolicyRepository": parse_repository}


def _object(found: Mapping[str, Any], spec: type[S], *, longest_name: int = 253) -> tuple[Metadata, S]:
    meta = read_metadata(found.get("metadata"), longest_name=longest_name)
    parsed, faults = _spec(found.get("spec"), spec)
    _refuse([*meta.faults, *faults])
    assert parsed is not None
    return meta, parsed


def _spec(found: object, spec: type[S]) -> tuple[S | None, list[Fault]]:
    if not isinstance(found, Mapping):
        return None, [Fault("spec", "is required" if found is None else f"must be an object; got {show(found)}")]
    nulls = list(null_faults(found, prefix="spec"))
    try:
        parsed = spec.model_validate(found)
    except ValidationError as error:
        told = {fault.path for fault in nulls}
        return None, nulls + [one for one in faults_of(error, spec, prefix="spec") if one.path not in told]
    return parsed, nulls


def _refuse(faults: Sequence[Fault]) -> None:
    if faults:
        raise InvalidInput(faults)
