"""The pods of a node that is being drained, as a drain sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from patchwright.adapters.kube.projection import instant
from patchwright.domain.actions import PodRef
from patchwright.domain.nodes import labels as own
from patchwright.domain.nodes.view import Owner, PodView

MIRROR: Final = "kubernetes.io/config.mirror"
# Cluster API's MachineDrainRule behaviours, which it also reads from this label.
_CAPI: Final = "cluster.x-k8s.io/drain"
_KARPENTER: Final = "karpenter.sh/do-not-disrupt"


@dataclass(frozen=True, slots=True)
class Controller:
    """The object that controls a pod."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str

    @property
    def daemon_set(self) -> bool:
        """Whether it is a real DaemonSet: the kind alone may be anybody's."""
        return self.kind == "DaemonSet" and self.api_version == "apps/v1"


def controller(raw: Mapping[str, Any]) -> Controller | None:
    """Give a pod's controller; mere owners do not count.

    Skyhook took a pod with more than one owner for a DaemonSet's, which matches no normal one.
    """
    metadata = raw["metadata"]
    for ref in metadata.get("ownerReferences") or ():
        if ref.get("controller"):
            return Controller(ref["apiVersion"], ref["kind"], metadata["namespace"], ref["name"], ref["uid"])
    return None


def project(raw: Mapping[str, Any], *, namespace: str, orphaned: frozenset[str], own_pod: str = "") -> PodView:
    """Project a raw pod.

    ``namespace`` is where our own Jobs are, and where the operator's own pod is (``own_pod``); ``orphaned`` are the
    UIDs of DaemonSets that do not exist any more.
    """
    metadata = raw["metadata"]
    labels = metadata.get("labels") or {}
    annotations = metadata.get("annotations") or {}
    return PodView(
        ref=PodRef(metadata["namespace"], metadata["name"], metadata["uid"]),
        phase=(raw.get("status") or {}).get("phase", "Pending"),
        owner=_owner(controller(raw), orphaned),
        mirror=MIRROR in annotations,
        emptydir=any("emptyDir" in volume for volume in (raw.get("spec") or {}).get("volumes") or ()),
        patch_job=own.ROLLOUT in labels and metadata["namespace"] == namespace,
        operator=(metadata["namespace"], metadata["name"]) == (namespace, own_pod),
        deleted_at=instant(metadata.get("deletionTimestamp")),
        labels=labels,
        opt_out=_asks("skip", labels, annotations),
        wait=_asks("wait-completed", labels, annotations),
        do_not_disrupt=f"{_KARPENTER}=true" if annotations.get(_KARPENTER) == "true" else "",
        claims=_claims(raw),
    )


def _claims(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the claims of a pod; that of a generic ephemeral volume is called after the pod and the volume."""
    metadata, found = raw["metadata"], []
    for volume in (raw.get("spec") or {}).get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            found.append(volume["persistentVolumeClaim"]["claimName"])
        elif "ephemeral" in volume:
            found.append(f"{metadata['name']}-{volume['name']}")
    return tuple(f"{metadata['namespace']}/{name}" for name in found)


def _owner(who: Controller | None, orphaned: frozenset[str]) -> Owner:
    if who is None:
        return Owner.NOBODY
    if not who.daemon_set:
        return Owner.OTHER
    return Owner.ORPHANED_DAEMON_SET if who.uid in orphaned else Owner.DAEMON_SET


def _asks(behaviour: str, labels: Mapping[str, str], annotations: Mapping[str, str]) -> str:
    """Give the mark by which a pod's owner asks for this behaviour; as a label or an annotation, both are in use."""
    for key in (own.DRAIN, _CAPI):
        if behaviour in (labels.get(key), annotations.get(key)):
            return f"{key}={behaviour}"
    return ""
