"""A raw workload becomes the few facts that a rollout asks for; a policy's view of them becomes a ``WorkloadView``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from sys import intern
from typing import Any, Final

from patchwright.adapters.kube import argo, canaries, owners
from patchwright.adapters.kube.projection import instant
from patchwright.domain.annotation import RecordError
from patchwright.domain.model import PatchPolicy
from patchwright.domain.nodes import labels as own
from patchwright.domain.nodes import marks
from patchwright.domain.targets import PAUSED_ANNOTATION, RISK_LABEL, STATE_ANNOTATION, Order
from patchwright.domain.workloads.record import Record, decode
from patchwright.domain.workloads.view import ARGO, VOLUMES, ImageField, WorkloadView

RESOURCES: Final = {
    "Deployment": ("apps", "v1", "deployments"),
    "StatefulSet": ("apps", "v1", "statefulsets"),
    "DaemonSet": ("apps", "v1", "daemonsets"),
    "CronJob": ("batch", "v1", "cronjobs"),
    ARGO: ("argoproj.io", "v1alpha1", "rollouts"),
}
COLLECTIONS: Final = {kind: f"/apis/{group}/{version}/{name}" for kind, (group, version, name) in RESOURCES.items()}
# Whose kind is somebody else's: it may not be installed, or be so later.
OPTIONAL: Final = frozenset({ARGO})
_RISKS: Final = {"low": 0, "normal": 1, "high": 2}
_NORMAL = 1


@dataclass(frozen=True, slots=True)
class Counts:
    """How many pods are wanted, there, of the present template, and available."""

    replicas: int
    present: int
    updated: int
    available: int


@dataclass(frozen=True, slots=True)
class WorkloadFacts:
    """What one workload says of itself, whoever asks.

    Two that differ in ``resource_version`` only are equal. ``annotated`` says whether it has annotations at all, which
    a JSON patch has to know; ``selector`` is its pods', as a query of the API. ``canary_of`` is the name and the UID of
    the Deployment that it is a canary of, empty texts for what is none.
    """

    kind: str
    namespace: str
    name: str
    uid: str
    resource_version: str = field(compare=False)
    generation: int
    observed_generation: int
    labels: dict[str, str]
    images: tuple[ImageField, ...]
    counts: Counts
    selector: str
    annotated: bool
    revision: str
    partition: int
    strategy: str
    paused: bool
    recreate: bool
    on_delete: bool
    stuck: str
    unavailable: str
    unavailable_since: datetime | None
    argo: argo.Progress
    owner: str
    gitops: str
    hands_off: bool
    deleting: bool
    record: Record | None
    record_fault: str
    canary_of: tuple[str, str]

    @property
    def key(self) -> str:
        """What it is kept under."""
        return f"{self.kind}/{self.namespace}/{self.name}"

    @property
    def refers_to(self) -> str:
        """The key of the workload that a Rollout takes its pods from; empty when it has a template of its own."""
        kind, _, name = self.argo.template.partition(" ")
        return f"{kind}/{self.namespace}/{name}" if name else ""


def path(kind: str, namespace: str, name: str) -> str:
    """Give the path of a workload."""
    group, version, plural = RESOURCES[kind]
    return f"/apis/{group}/{version}/namespaces/{namespace}/{plural}/{name}"


def project(kind: str, raw: Mapping[str, Any]) -> WorkloadFacts:
    """Project a raw workload."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    annotations = metadata.get("annotations") or {}
    generation = metadata.get("generation", 0)
    record, fault = _record(annotations.get(STATE_ANNOTATION))
    update = spec.get("updateStrategy") or {}
    progress = argo.progress(spec, status) if kind == ARGO else argo.NONE
    conditions = {each.get("type"): each for each in status.get("conditions") or ()}
    return WorkloadFacts(
        kind=kind,
        namespace=intern(metadata["namespace"]),
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        generation=generation,
        observed_generation=_observed(kind, status, generation),
        labels={intern(key): intern(value) for key, value in (metadata.get("labels") or {}).items()},
        images=tuple(template_images(_pod_spec(kind, spec))),
        counts=_counts(kind, spec, status),
        # A Rollout that refers to a Deployment need not repeat its selector; its status does.
        selector=_selector(spec.get("selector") or {}) or str(status.get("selector") or ""),
        annotated=bool(annotations),
        revision=status.get("updateRevision") or status.get("currentPodHash") or "",
        partition=int((update.get("rollingUpdate") or {}).get("partition") or 0),
        strategy=intern(json.dumps(update, separators=(",", ":"), sort_keys=True)) if update else "",
        paused=progress.paused if kind == ARGO else bool(spec.get("paused")),
        recreate=(spec.get("strategy") or {}).get("type") == "Recreate",
        on_delete=update.get("type") == "OnDelete",
        stuck=progress.stuck if kind == ARGO else _stuck(conditions.get("Progressing") or {}),
        unavailable=_unavailable(conditions.get("Available") or {}),
        unavailable_since=instant((conditions.get("Available") or {}).get("lastTransitionTime")),
        argo=progress,
        owner=owners.controller(metadata),
        gitops=owners.gitops(metadata),
        hands_off=annotations.get(PAUSED_ANNOTATION) == "true",
        deleting="deletionTimestamp" in metadata,
        record=record,
        record_fault=fault,
        canary_of=canaries.of(raw),
    )


def _observed(kind: str, status: Mapping[str, Any], generation: int) -> int:
    if kind == "CronJob":
        # Its status has none: whatever it runs next is of the template that it has then.
        return generation
    return argo.observed(status) if kind == ARGO else int(status.get("observedGeneration", 0))


def _pod_spec(kind: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:
    if kind == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    found: Mapping[str, Any] = (spec.get("template") or {}).get("spec") or {}
    return found


def template_images(spec: Mapping[str, Any]) -> Iterator[ImageField]:
    """Give every place of a pod's spec that names an image."""
    for part in ("initContainers", "containers"):
        for index, each in enumerate(spec.get(part) or ()):
            if image := each.get("image"):
                yield ImageField(part, index, intern(each["name"]), intern(image))
    for index, each in enumerate(spec.get(VOLUMES) or ()):
        if image := (each.get("image") or {}).get("reference"):
            yield ImageField(VOLUMES, index, intern(each["name"]), intern(image))


def _counts(kind: str, spec: Mapping[str, Any], status: Mapping[str, Any]) -> Counts:
    if kind == "DaemonSet":
        names = ("desiredNumberScheduled", "currentNumberScheduled", "updatedNumberScheduled", "numberAvailable")
        return Counts(*(status.get(name, 0) for name in names))
    found = (status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas"))
    return Counts(spec.get("replicas", 1), *found)


def _selector(raw: Mapping[str, Any]) -> str:
    parts = [f"{key}={value}" for key, value in sorted((raw.get("matchLabels") or {}).items())]
    for each in raw.get("matchExpressions") or ():
        values = f"({','.join(each.get('values') or ())})"
        words = {"In": f"{each['key']} in {values}", "NotIn": f"{each['key']} notin {values}", "Exists": each["key"]}
        parts.append(words.get(each["operator"], f"!{each['key']}"))
    return ",".join(parts)


def _stuck(condition: Mapping[str, Any]) -> str:
    if condition.get("reason") != "ProgressDeadlineExceeded":
        return ""
    return str(condition.get("message") or "its own progress deadline has passed")


def _unavailable(condition: Mapping[str, Any]) -> str:
    if condition.get("status") != "False":
        return ""
    return str(condition.get("message") or "the Available condition is False")


def _record(text: str | None) -> tuple[Record | None, str]:
    if text is None:
        return None, ""
    try:
        return decode(text), ""
    except RecordError as error:
        return None, str(error)


def view(
    facts: WorkloadFacts, policy: PatchPolicy, *, operator_namespace: str, away: int, template: str = ""
) -> WorkloadView:
    """Look at a workload through a policy; ``away`` counts the nodes that are NotReady.

    ``template`` names the Deployment that has a Rollout's template, and for that Deployment the Rollout.
    """
    labels, counts = facts.labels, facts.counts
    opt_out = marks.label(policy.key.name)
    topology = policy.strategy.topology_key
    return WorkloadView(
        kind=facts.kind,
        namespace=facts.namespace,
        short=facts.name,
        uid=facts.uid,
        resource_version=facts.resource_version,
        order=Order(
            # What runs beside the operator comes last: it may be the operator itself.
            last=facts.namespace == operator_namespace,
            one_at_a_time=False,
            risk=_RISKS.get(labels.get(RISK_LABEL, ""), _NORMAL),
            domain=labels.get(topology, "") if topology else facts.namespace,
            name=f"{facts.namespace}/{facts.name}/{facts.kind}",
        ),
        labels=labels,
        images=facts.images,
        replicas=counts.replicas,
        present=counts.present,
        updated=counts.updated,
        available_pods=counts.available,
        generation=facts.generation,
        observed_generation=facts.observed_generation,
        revision=facts.revision,
        partition=facts.partition,
        strategy=facts.strategy,
        away=away if facts.kind == "DaemonSet" else 0,
        paused=facts.paused,
        recreate=facts.recreate,
        on_delete=facts.on_delete,
        stuck=facts.stuck,
        unavailable=facts.unavailable,
        unavailable_since=facts.unavailable_since,
        unfinished=facts.argo.unfinished,
        at_step=facts.argo.at_step,
        stable=facts.argo.stable,
        template=template,
        owner=facts.owner,
        gitops=facts.gitops,
        hands_off=facts.hands_off,
        opted_out=f"label {opt_out}={own.DISABLED}" if labels.get(opt_out) == own.DISABLED else "",
        deleting=facts.deleting,
        record=facts.record,
        record_fault=facts.record_fault,
        canary_of=facts.canary_of[1],
    )
