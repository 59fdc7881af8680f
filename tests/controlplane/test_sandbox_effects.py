"""What patch Jobs do in the sandbox: each word of effects.yaml, on the real control plane."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from patchwright.sandbox import client, controlplane
from patchwright.sandbox import fleet as fleets
from support import sandbox_jobs

pytestmark = pytest.mark.controlplane
_READY = "Ready"


@pytest.fixture
def node(sandbox: controlplane.ControlPlane, request: pytest.FixtureRequest) -> Iterator[str]:
    """One Ready node of this test alone."""
    [name] = sandbox.add_nodes(1, prefix=request.node.name.replace("_", "-")[5:45])
    yield name
    sandbox.remove_nodes([name])


def condition(node: Any, kind: str) -> str:
    return str(next((each["status"] for each in node["status"]["conditions"] if each["type"] == kind), ""))


def await_ready(api: client.Client, node: str, *, ready: bool) -> Any:
    return api.wait(f"/api/v1/nodes/{node}", lambda it: condition(it, _READY) == str(ready))


def test_a_version_in_the_environment_is_told(api: client.Client, namespace: str, node: str) -> None:
    body = sandbox_jobs.job("env", node, "apply", env={"TARGET_VERSION": "3.0.17"})
    assert sandbox_jobs.run(api, namespace, body).message == '{"rebootRequired":false,"version":"3.0.17"}'


def test_a_reboot_gives_a_new_boot_id_after_a_while_not_ready(api: client.Client, namespace: str, node: str) -> None:
    path = f"/api/v1/nodes/{node}"
    before = api.get(path)["status"]["nodeInfo"]
    ended = sandbox_jobs.run(api, namespace, sandbox_jobs.job("reboot", node, "--reboot=1s", "--kernel=6.1.0-31-amd64"))
    assert ended.message == '{"rebootRequired":true}'
    assert await_ready(api, node, ready=False)["status"]["nodeInfo"]["bootID"] == before["bootID"]
    after = await_ready(api, node, ready=True)["status"]["nodeInfo"]
    assert after["bootID"] != before["bootID"]
    assert (after["kernelVersion"], after["osImage"]) == ("6.1.0-31-amd64", before["osImage"])


def test_a_bad_version_breaks_its_node_and_a_rollback_heals_it(api: client.Client, namespace: str, node: str) -> None:
    applied = sandbox_jobs.run(api, namespace, sandbox_jobs.job("apply", node, "apply", "--version=2.0-bad"))
    assert applied.exit_code == 0
    broken = await_ready(api, node, ready=False)
    time.sleep(1.5)
    assert condition(api.get(f"/api/v1/nodes/{node}"), _READY) == "False", "it must stay broken"
    assert [each["reason"] for each in broken["status"]["conditions"] if each["type"] == _READY] == ["SandboxBroken"]
    sandbox_jobs.run(api, namespace, sandbox_jobs.job("verify", node, "verify", "--version=2.0-bad"))
    assert condition(api.get(f"/api/v1/nodes/{node}"), _READY) == "False", "a look does not heal"
    sandbox_jobs.run(api, namespace, sandbox_jobs.job("undo", node, "rollback", "--version=1.9"))
    await_ready(api, node, ready=True)


def test_the_step_label_of_a_rollback_heals_too(api: client.Client, namespace: str, node: str) -> None:
    sandbox_jobs.run(api, namespace, sandbox_jobs.job("break", node, "--break-node"))
    await_ready(api, node, ready=False)
    body = sandbox_jobs.job("heal", node, "--version=2.0-bad", labels={"patchwright.dev/step": "rollback"})
    sandbox_jobs.run(api, namespace, body)
    await_ready(api, node, ready=True)


def test_words_inside_a_shell_script_count(api: client.Client, namespace: str, node: str) -> None:
    body = sandbox_jobs.job("shell", node, "set -e\ninstall --version=1.4 --exit-code=3")
    ended = sandbox_jobs.run(api, namespace, body)
    assert (ended.exit_code, ended.message) == (3, '{"rebootRequired":false,"version":"1.4"}')


def test_a_termination_message_may_be_json(api: client.Client, namespace: str, node: str) -> None:
    text = '{"version":"0.9","message":"held-back"}'
    assert sandbox_jobs.run(api, namespace, sandbox_jobs.job("json", node, f"--message={text}")).message == text


def test_a_bad_image_fails_its_job(api: client.Client, namespace: str, node: str) -> None:
    body = sandbox_jobs.job("image", node, image="sandbox.patchwright.dev/script:bad")
    assert sandbox_jobs.run(api, namespace, body).exit_code == 1


def test_a_digest_that_spells_bad_is_good(api: client.Client, namespace: str, node: str) -> None:
    body = sandbox_jobs.job("digest", node, image=f"sandbox.patchwright.dev/script@sha256:{'bad0' * 16}")
    assert sandbox_jobs.run(api, namespace, body).exit_code == 0


def test_a_job_that_hangs_runs_until_its_deadline(api: client.Client, namespace: str, node: str) -> None:
    body = sandbox_jobs.job("hang", node, "--hang", deadline=3)
    api.create(f"/apis/batch/v1/namespaces/{namespace}/jobs", body)
    failed = sandbox_jobs.ended(api, namespace, "hang")
    assert [each["reason"] for each in failed["status"]["conditions"] if each["type"] == "Failed"] == [
        "DeadlineExceeded"
    ]


def test_an_image_that_is_missing_waits_for_its_pull(api: client.Client, namespace: str, node: str) -> None:
    body = sandbox_jobs.job("pull", node, image="sandbox.patchwright.dev/script:missing")
    api.create(f"/apis/batch/v1/namespaces/{namespace}/jobs", body)
    assert sandbox_jobs.waiting_reason(api, namespace) == "ImagePullBackOff"


def test_a_finished_job_goes_after_its_time_to_live(api: client.Client, namespace: str, node: str) -> None:
    sandbox_jobs.run(api, namespace, sandbox_jobs.job("brief", node, ttl=2))
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    api.wait(path, lambda it: not it["items"])
    api.wait(f"/api/v1/namespaces/{namespace}/pods", lambda it: not it["items"])


def test_workloads_crash_on_a_node_and_run_again_once_it_heals(
    sandbox: controlplane.ControlPlane, api: client.Client, namespace: str, node: str
) -> None:
    sandbox.add_workloads(fleets.Workloads(1, replicas=2, namespace=namespace, prefix="victim", node=node))
    sandbox_jobs.run(api, namespace, sandbox_jobs.job("crash", node, "--version=3-crash"))
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/victim-0"
    api.wait(path, lambda it: it["status"].get("unavailableReplicas") == 2)
    pods = api.items(f"/api/v1/namespaces/{namespace}/pods", labelSelector="app=victim-0")
    reasons = {pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] for pod in pods}
    assert reasons == {"CrashLoopBackOff"}
    assert condition(api.get(f"/api/v1/nodes/{node}"), _READY) == "True"
    sandbox_jobs.run(api, namespace, sandbox_jobs.job("undo", node, "rollback"))
    api.wait(path, lambda it: it["status"].get("availableReplicas") == 2)


def test_a_bad_image_makes_a_workload_crash(
    sandbox: controlplane.ControlPlane, api: client.Client, namespace: str, node: str
) -> None:
    sandbox.add_workloads(fleets.Workloads(1, replicas=1, namespace=namespace, image="app:2-bad", node=node), wait=None)
    assert sandbox_jobs.waiting_reason(api, namespace) == "CrashLoopBackOff"


def test_a_pod_takes_its_time_to_end(
    sandbox: controlplane.ControlPlane, api: client.Client, namespace: str, node: str
) -> None:
    workloads = fleets.Workloads(1, replicas=1, namespace=namespace, termination="3s", node=node)
    [pod] = _pods(sandbox, api, workloads)
    began = time.monotonic()
    api.delete(pod)
    api.wait(pod, lambda it: not it)
    assert 2 < time.monotonic() - began < 15


def test_a_pod_that_never_ends_goes_by_force(
    sandbox: controlplane.ControlPlane, api: client.Client, namespace: str, node: str
) -> None:
    workloads = fleets.Workloads(1, replicas=1, namespace=namespace, termination="never", node=node)
    [pod] = _pods(sandbox, api, workloads)
    api.delete(pod)
    time.sleep(2)
    assert api.get(pod)["metadata"]["deletionTimestamp"]
    api.delete(pod, {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0})
    api.wait(pod, lambda it: not it)


def _pods(sandbox: controlplane.ControlPlane, api: client.Client, workloads: fleets.Workloads) -> list[str]:
    """Create workloads; give the paths of their pods."""
    sandbox.add_workloads(workloads)
    base = f"/api/v1/namespaces/{workloads.namespace}/pods"
    return [f"{base}/{name}" for name in client.names(api.items(base))]
