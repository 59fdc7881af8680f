"""The ``workloads`` check: Deployments and their like are available at the generation they are at.

What the objects say is judged as kstatus does: a status older than the spec says nothing about it, fewer available
replicas than desired is unhealthy, and so is a Deployment whose progress deadline has passed, or a Rollout that Argo
has given up on. Scaled to zero is as desired. What is being deleted is on its way out on purpose and is not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from patchwright.adapters.health.cluster import Cluster, segment
from patchwright.adapters.health.looks import Look, empty, short
from patchwright.adapters.kube import argo, selectors
from patchwright.domain.checks import WorkloadsCheck
from patchwright.domain.health import Finding
from patchwright.errors import HealthProbeError

_RESOURCES: Final = {
    "Deployment": ("apps/v1", "deployments"),
    "StatefulSet": ("apps/v1", "statefulsets"),
    "DaemonSet": ("apps/v1", "daemonsets"),
    "Rollout": ("argoproj.io/v1alpha1", "rollouts"),
}


async def look(cluster: Cluster, check: WorkloadsCheck, *, only: str | None) -> Look:
    """Look at what the check selects, in the one namespace ``only`` unless it is ``None``.

    Raises:
        HealthProbeError: the API server does not let us look.
    """
    namespaces = await _namespaces(cluster, check)
    findings: list[Finding] = []
    population = 0
    for kind in check.kinds:
        for manifest in await cluster.items(_path(kind, only), check.selector):
            if _looked_at(manifest, namespaces):
                population += 1
                findings += _judge(kind, manifest)
    if not population:
        return empty(_nothing(check, only))
    return Look(tuple(findings), population)


async def _namespaces(cluster: Cluster, check: WorkloadsCheck) -> frozenset[str] | None:
    """Give the names of the selected namespaces, ``None`` for all of them."""
    if not check.namespace_selector.requirements:
        return None
    found = await cluster.items("/api/v1/namespaces", check.namespace_selector)
    return frozenset(manifest["metadata"]["name"] for manifest in found)


def _path(kind: str, namespace: str | None) -> str:
    resource = _RESOURCES.get(kind)
    if resource is None:
        raise HealthProbeError(f"workloads of kind {short(kind)} cannot be judged; name {', '.join(_RESOURCES)}")
    version, plural = resource
    # One cluster-wide list costs less than one per namespace, and the label selector thins it at the server.
    return f"/apis/{version}/namespaces/{segment(namespace)}/{plural}" if namespace else f"/apis/{version}/{plural}"


def _looked_at(manifest: Mapping[str, Any], namespaces: frozenset[str] | None) -> bool:
    metadata = manifest["metadata"]
    return "deletionTimestamp" not in metadata and (namespaces is None or metadata["namespace"] in namespaces)


def _nothing(check: WorkloadsCheck, only: str | None) -> str:
    where = f"in namespace {only}" if only else "in the selected namespaces"
    labels = selectors.query(check.selector)
    which = f' with labels "{short(labels)}"' if labels else ""
    return f"selects no {' or '.join(check.kinds)}{which} {where}; a check of nothing does not pass"


def _judge(kind: str, manifest: Mapping[str, Any]) -> list[Finding]:
    metadata = manifest["metadata"]
    name = f"{metadata['namespace']}/{metadata['name']}"
    fault = shortfall(kind, manifest)
    return [Finding(f"{kind}/{name}", f"{kind} {name} {fault}")] if fault else []


def shortfall(kind: str, manifest: Mapping[str, Any]) -> str:
    """Say in a phrase what a workload lacks to be healthy; empty when it lacks nothing."""
    spec, status = manifest.get("spec") or {}, manifest.get("status") or {}
    generation = manifest["metadata"].get("generation", 0)
    observed = argo.observed(status) if kind == "Rollout" else status.get("observedGeneration", 0)
    if observed < generation:
        return f"is at generation {generation} and its controller has seen {observed}"
    desired, available = _numbers(kind, spec, status)
    stuck = _given_up(spec, status) if kind == "Rollout" else _stuck(status)
    if available < desired:
        what = "pods" if kind == "DaemonSet" else "replicas"
        return f"has {available} of {desired} {what} available{stuck}"
    return f"does not progress{stuck}" if stuck else ""


def _numbers(kind: str, spec: Mapping[str, Any], status: Mapping[str, Any]) -> tuple[int, int]:
    if kind == "DaemonSet":
        return status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
    return spec.get("replicas", 1), status.get("availableReplicas", 0)


def _given_up(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    stuck = argo.progress(spec, status).stuck
    return f" ({short(stuck)})" if stuck else ""


def _stuck(status: Mapping[str, Any]) -> str:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            return f" (ProgressDeadlineExceeded: {short(condition.get('message', ''))})"
    return ""
