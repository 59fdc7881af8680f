"""A Job as health check, against a real API server with real controllers; kwok says how it ends."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from patchwright.adapters.health import Probes
from patchwright.adapters.kube.client import connect
from patchwright.domain.checks import HealthCheck, JobCheck
from patchwright.domain.health import Finding, Measurement
from patchwright.errors import HealthProbeError
from patchwright.sandbox import client, controlplane

pytestmark = pytest.mark.controlplane


class WallClock:
    """The time as it is."""

    def now(self) -> datetime:
        return datetime.now(UTC)


async def measure(kubeconfig: Path, namespace: str, *args: str, seconds: float = 60.0) -> Measurement:
    api = await connect(kubeconfig)
    probes = Probes(api, WallClock(), operator_namespace="patchwright-system")
    check = HealthCheck("smoke", JobCheck("smoke:1", args=args), probe_timeout=timedelta(seconds=seconds))
    try:
        return await probes.measure(check, namespace=namespace)
    finally:
        await probes.close()
        await api.close()


def jobs(api: client.Client, namespace: str) -> list[dict[str, Any]]:
    return list(api.items(f"/apis/batch/v1/namespaces/{namespace}/jobs"))


async def test_a_job_that_succeeds_is_well_and_leaves_nothing(
    sandbox: controlplane.ControlPlane, api: client.Client, namespace: str, fleet: list[str]
) -> None:
    before = datetime.now(UTC)
    found = await measure(sandbox.kubeconfig, namespace)
    assert (found.findings, found.population) == ((), 1)
    assert before <= found.at < datetime.now(UTC) - timedelta(seconds=0.5), "when it began, not when it ended"
    api.wait(f"/apis/batch/v1/namespaces/{namespace}/jobs", lambda listed: not listed["items"])
    api.wait(f"/api/v1/namespaces/{namespace}/pods", lambda listed: not listed["items"])


async def test_a_job_that_fails_is_bad_in_its_own_words(
    sandbox: controlplane.ControlPlane, api: client.Client, namespace: str, fleet: list[str]
) -> None:
    found = await measure(sandbox.kubeconfig, namespace, "--exit-code=3", "--message=the-till-is-shut")
    assert found.findings == (Finding("failed", "its Job exited with 3: the-till-is-shut"),)
    api.wait(f"/apis/batch/v1/namespaces/{namespace}/jobs", lambda listed: not listed["items"])


async def test_a_job_that_never_ends_cannot_say_that_all_is_well(
    sandbox: controlplane.ControlPlane, api: client.Client, namespace: str, fleet: list[str]
) -> None:
    with pytest.raises(HealthProbeError, match="its Job did not answer within 3 s; see why it is slow, or raise"):
        await measure(sandbox.kubeconfig, namespace, "--hang", seconds=3)
    api.wait(f"/apis/batch/v1/namespaces/{namespace}/jobs", lambda listed: not listed["items"])


async def test_a_job_that_somebody_deletes_says_nothing(
    sandbox: controlplane.ControlPlane, api: client.Client, namespace: str, fleet: list[str]
) -> None:
    measured = asyncio.create_task(measure(sandbox.kubeconfig, namespace, "--hang"))
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    listed = await asyncio.to_thread(api.wait, path, lambda found: found["items"] and found)
    [name] = [one["metadata"]["name"] for one in listed["items"]]
    await asyncio.to_thread(api.delete, f"{path}/{name}")
    with pytest.raises(HealthProbeError, match=f"Job {namespace}/{name} was deleted before it ended; let it be"):
        await measured


async def test_an_image_that_cannot_be_pulled_is_no_success(
    sandbox: controlplane.ControlPlane, api: client.Client, namespace: str, fleet: list[str]
) -> None:
    measured = asyncio.create_task(measure(sandbox.kubeconfig, namespace, "--hang"))
    pods = f"/api/v1/namespaces/{namespace}/pods"
    listed = await asyncio.to_thread(
        api.wait, pods, lambda found: [one for one in found["items"] if one["status"].get("containerStatuses")]
    )
    [pod] = listed["items"]
    [status] = pod["status"]["containerStatuses"]
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    body = {"status": {"containerStatuses": [{**status, "ready": False, "state": waiting}]}}
    api.patch(f"{pods}/{pod['metadata']['name']}/status", body)
    with pytest.raises(HealthProbeError, match="cannot start: ImagePullBackOff: no such image; correct its image"):
        await measured


async def test_a_missing_right_is_named(sandbox: controlplane.ControlPlane, namespace: str) -> None:
    nobody = sandbox.kubeconfig_for("nobody")
    with pytest.raises(HealthProbeError) as caught:
        await measure(nobody, namespace)
    assert f"the API server refuses POST /apis/batch/v1/namespaces/{namespace}/jobs" in caught.value.message
    assert caught.value.message.endswith("let the operator's role create, get and delete this resource")
