"""Raw Kubernetes objects as the API server sends them, with only what a test is about."""

from __future__ import annotations

from typing import Any

Raw = dict[str, Any]


def node(
    name: str = "n1",
    version: int = 1,
    *,
    uid: str = "",
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    taints: list[dict[str, str]] | None = None,
    ready: str = "True",
    unschedulable: bool = False,
    boot_id: str = "boot-1",
) -> Raw:
    condition = {"type": "Ready", "status": ready, "lastTransitionTime": "2026-11-23T12:00:00Z", "message": "kubelet"}
    metadata: Raw = {"name": name, "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    metadata |= {"labels": labels or {}, "annotations": annotations or {}}
    spec: Raw = {"taints": taints or [], **({"unschedulable": True} if unschedulable else {})}
    return {
        "metadata": metadata,
        "spec": spec,
        "status": {"conditions": [condition], "nodeInfo": {"bootID": boot_id}},
    }


def job(
    name: str = "job-1",
    version: int = 1,
    *,
    uid: str = "",
    node_name: str = "n1",
    rollout: str = "uid-openssl",
    step: str = "apply",
    namespace: str = "patchwright-system",
    ended: str = "",
    backoff_limit: int = 0,
) -> Raw:
    marks = {"patchwright.dev/rollout": rollout, "patchwright.dev/node": node_name, "patchwright.dev/step": step}
    end = {"type": ended, "status": "True", "reason": "Why", "lastTransitionTime": "2026-11-23T12:00:09Z"}
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid or f"uid-{name}",
            "resourceVersion": str(version),
            "creationTimestamp": "2026-11-23T12:00:00Z",
            "labels": marks,
        },
        "spec": {"backoffLimit": backoff_limit},
        "status": {"conditions": [end] if ended else []},
    }


def pod(
    name: str = "job-1-abc",
    version: int = 1,
    *,
    job_uid: str = "uid-job-1",
    phase: str = "Running",
    state: Raw | None = None,
    created: str = "2026-11-23T12:00:01Z",
) -> Raw:
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "job-1", "uid": job_uid, "controller": True}
    return {
        "metadata": {
            "name": name,
            "namespace": "patchwright-system",
            "uid": f"uid-{name}",
            "resourceVersion": str(version),
            "creationTimestamp": created,
            "labels": {"patchwright.dev/rollout": "uid-openssl"},
            "ownerReferences": [owner],
        },
        "status": {"phase": phase, "containerStatuses": [{"name": "step", "state": state or {"running": {}}}]},
    }


def ended(code: int = 0, message: str = "") -> Raw:
    return {"terminated": {"exitCode": code, "message": message, "finishedAt": "2026-11-23T12:00:08Z"}}
