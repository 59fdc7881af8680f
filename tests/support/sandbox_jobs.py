"""Jobs for the sandbox, written by hand: what the operator's own Jobs look like to kwok."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from patchwright.sandbox import client


@dataclass(frozen=True, slots=True)
class Ended:
    """How a Job's only container ended."""

    conditions: frozenset[str]
    phase: str
    exit_code: int
    message: str


def job(
    name: str,
    node: str,
    *words: str,
    image: str = "sandbox.patchwright.dev/script:1",
    env: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    deadline: int = 60,
    ttl: int = 600,
) -> Any:
    """Give a Job with one try on ``node``, whose container has the arguments ``words``."""
    variables = [{"name": key, "value": value} for key, value in (env or {}).items()]
    pod = {
        "restartPolicy": "Never",
        "nodeName": node,
        "tolerations": [{"operator": "Exists"}],
        "containers": [{"name": "patch", "image": image, "args": list(words), "env": variables}],
    }
    spec = {
        "backoffLimit": 0,
        "activeDeadlineSeconds": deadline,
        "ttlSecondsAfterFinished": ttl,
        "template": {"metadata": {"labels": {"run": name, **(labels or {})}}, "spec": pod},
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def run(api: client.Client, namespace: str, body: Any) -> Ended:
    """Create a Job and wait for its end."""
    name = body["metadata"]["name"]
    api.create(f"/apis/batch/v1/namespaces/{namespace}/jobs", body)
    conditions = _true(ended(api, namespace, name))
    [pod] = api.items(f"/api/v1/namespaces/{namespace}/pods", labelSelector=f"run={name}")
    [status] = pod["status"]["containerStatuses"]
    terminated = status["state"]["terminated"]
    return Ended(conditions, pod["status"]["phase"], terminated["exitCode"], terminated.get("message", ""))


def ended(api: client.Client, namespace: str, name: str) -> Any:
    """Wait until a Job is Complete or Failed; give it."""
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}"
    return api.wait(path, lambda it: {"Complete", "Failed"} & _true(it))


def waiting_reason(api: client.Client, namespace: str) -> str:
    """Wait until the only pod of a namespace waits for something; give the reason."""

    def reasons(listed: Any) -> list[str]:
        statuses = [each for pod in listed["items"] for each in pod["status"].get("containerStatuses", ())]
        return [each["state"]["waiting"]["reason"] for each in statuses if "waiting" in each["state"]]

    [reason] = reasons(api.wait(f"/api/v1/namespaces/{namespace}/pods", reasons))
    return reason


def _true(it: Any) -> frozenset[str]:
    return frozenset(each["type"] for each in it["status"].get("conditions", ()) if each["status"] == "True")
