"""The pods of a workload in flight, as its health is judged by them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from patchwright.adapters.kube.jobs import EPOCH
from patchwright.adapters.kube.projection import instant
from patchwright.domain.actions import PodRef
from patchwright.domain.workloads import images
from patchwright.domain.workloads.view import ARGO, VOLUMES, ContainerState, WorkloadPod

_ARGO_REVISION: Final = "rollouts-pod-template-hash"
_REVISIONS: Final = ("controller-revision-hash", _ARGO_REVISION, "pod-template-hash")
_STATUSES: Final = {"initContainers": "initContainerStatuses", "containers": "containerStatuses"}
_SHORT: Final = 200

AwaySince = Callable[[str], datetime | None]
Architecture = Callable[[str], str]


def project(raw: Mapping[str, Any], away_since: AwaySince, architecture: Architecture = lambda _: "") -> WorkloadPod:
    """Project a raw pod; ``away_since`` says since when a node is NotReady, ``architecture`` what its processor is."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    labels = metadata.get("labels") or {}
    ready, since = _ready(status.get("conditions") or ())
    node = spec.get("nodeName", "")
    return WorkloadPod(
        ref=PodRef(metadata["namespace"], metadata["name"], metadata["uid"]),
        created_at=instant(metadata.get("creationTimestamp")) or EPOCH,
        revision=next((labels[name] for name in _REVISIONS if name in labels), ""),
        images=dict(_images(spec)),
        digests={f"{part}/{name}": digest for part, name, digest in _digests(status)},
        containers=tuple(_states(status)),
        ready=ready,
        ready_since=since,
        node=node,
        node_away_since=away_since(node) if node else None,
        architecture=architecture(node) if node else "",
        deleted_at=instant(metadata.get("deletionTimestamp")),
        ended=status.get("phase") in ("Succeeded", "Failed"),
    )


def controlled_by(raw: Mapping[str, Any], uid: str, kind: str) -> bool:
    """Tell whether a pod that the selector matched is really the workload's.

    A Deployment's are its ReplicaSets', and a Rollout's, whose ReplicaSets mark theirs by a label of Argo's.
    """
    metadata = raw["metadata"]
    argo = _ARGO_REVISION in (metadata.get("labels") or {})
    for ref in metadata.get("ownerReferences") or ():
        if ref.get("controller"):
            by_set = (kind == "Deployment" and not argo) or (kind == ARGO and argo)
            return bool(ref["uid"] == uid or (by_set and ref["kind"] == "ReplicaSet"))
    return False


def _images(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for part in _STATUSES:
        for each in spec.get(part) or ():
            yield f"{part}/{each['name']}", each.get("image", "")
    for each in spec.get(VOLUMES) or ():
        if "image" in each:
            yield f"{VOLUMES}/{each['name']}", each["image"].get("reference", "")


def _digests(status: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for part, name in _STATUSES.items():
        for each in status.get(name) or ():
            yield part, each["name"], images.digest(each.get("imageID", ""))


def _states(status: Mapping[str, Any]) -> Iterator[ContainerState]:
    for name in _STATUSES.values():
        for each in status.get(name) or ():
            waiting = (each.get("state") or {}).get("waiting") or {}
            message = " ".join(str(waiting.get("message", "")).split())[:_SHORT]
            yield ContainerState(each["name"], waiting.get("reason", ""), message, restarts=each.get("restartCount", 0))


def _ready(conditions: Any) -> tuple[bool, datetime | None]:
    for condition in conditions:
        if condition.get("type") == "Ready":
            return condition.get("status") == "True", instant(condition.get("lastTransitionTime"))
    return False, None
