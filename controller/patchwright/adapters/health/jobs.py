"""Runs a Job of the policy's author, and says how it ended.

It is in the policy's own namespace, without a privilege, and without a token unless a ServiceAccount is named: what it
may do is what its author may have done there. Nobody has to come back for it: it has a deadline and a TTL of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from patchwright.adapters.health.cluster import Cluster, segment
from patchwright.adapters.health.looks import Look, short
from patchwright.domain.checks import JobCheck
from patchwright.domain.health import Finding
from patchwright.domain.model import Operator, Requirement, Selector
from patchwright.errors import HealthProbeError, NotFound

CHECK: Final = "patchwright.dev/health-check"
CONTAINER: Final = "check"
# If we do not come to delete it.
_KEEP: Final = 300
_LOOK_AGAIN: Final = 1.0
_UNABLE: Final = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError"}
)


async def look(cluster: Cluster, probe: JobCheck, *, name: str, namespace: str, seconds: float) -> Look:
    """Run it once, to its end; it is deleted whatever comes of it.

    Raises:
        HealthProbeError: the API server takes no such Job, its pod cannot be started, or somebody deletes it midway.
    """
    jobs = f"/apis/batch/v1/namespaces/{segment(namespace)}/jobs"
    made = await cluster.create(jobs, manifest(probe, name=name, seconds=seconds))
    job = made["metadata"]["name"]
    path = f"{jobs}/{segment(job)}"
    try:
        if await _succeeds(cluster, path, namespace, job):
            return Look()
        return Look((Finding("failed", await _told(cluster, namespace, job)),))
    except NotFound as error:
        raise HealthProbeError(
            f"Job {namespace}/{job} was deleted before it ended; let it be: the check is made again with a new one"
        ) from error
    finally:
        await asyncio.shield(cluster.delete(path))


async def _succeeds(cluster: Cluster, path: str, namespace: str, job: str) -> bool:
    while (ended := _ended(await cluster.get(path))) is None:
        await _can_start(cluster, namespace, job)
        await asyncio.sleep(_LOOK_AGAIN)
    return ended


def manifest(probe: JobCheck, *, name: str, seconds: float) -> dict[str, Any]:
    """Give the Job."""
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": probe.image,
        "env": [{"name": key, "value": value} for key, value in probe.env],
        # The log's end stands in where it has written no message.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {"allowPrivilegeEscalation": False, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    container |= {"command": list(probe.command)} if probe.command else {}
    container |= {"args": list(probe.args)} if probe.args else {}
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": probe.service_account is not None,
        "enableServiceLinks": False,
        "containers": [container],
    }
    pod |= {"serviceAccountName": probe.service_account} if probe.service_account is not None else {}
    labels = {CHECK: name}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"generateName": f"check-{name[:40]}-", "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": max(1, int(seconds)),
            "ttlSecondsAfterFinished": _KEEP,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _ended(job: Mapping[str, Any]) -> bool | None:
    """Tell whether it has succeeded or failed; ``None`` while it runs."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    true = {one["type"] for one in conditions if one["status"] == "True"}
    return True if "Complete" in true else False if "Failed" in true else None


async def _can_start(cluster: Cluster, namespace: str, job: str) -> None:
    for pod in await _pods(cluster, namespace, job):
        waiting = _state(pod, "waiting")
        if waiting.get("reason") in _UNABLE:
            said = f": {short(waiting['message'])}" if waiting.get("message") else ""
            raise HealthProbeError(f"Job {namespace}/{job} cannot start: {waiting['reason']}{said}; correct its image")


async def _told(cluster: Cluster, namespace: str, job: str) -> str:
    """Say how it failed, in its own words if it has any."""
    for pod in await _pods(cluster, namespace, job):
        if ended := _state(pod, "terminated"):
            said = f": {short(ended['message'])}" if ended.get("message") else ""
            return f"its Job exited with {ended.get('exitCode')}{said}"
    return "its Job failed, and left no pod that says why"


async def _pods(cluster: Cluster, namespace: str, job: str) -> list[Mapping[str, Any]]:
    mine = Selector((Requirement("batch.kubernetes.io/job-name", Operator.IN, frozenset({job})),))
    return await cluster.items(f"/api/v1/namespaces/{segment(namespace)}/pods", mine)


def _state(pod: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return next(((one.get("state") or {}).get(name) or {} for one in statuses), {})
