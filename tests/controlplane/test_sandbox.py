"""The sandbox on real parts: it boots, its nodes live, its Jobs end as declared, and it goes without a trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from patchwright import errors
from patchwright.sandbox import client, controlplane, syncer
from patchwright.sandbox import fleet as fleets
from support import sandbox_jobs
from support.git_servers import Upstream

pytestmark = pytest.mark.controlplane


def node_condition(node: Any, kind: str) -> str:
    return str(next((each["status"] for each in node["status"]["conditions"] if each["type"] == kind), ""))


def test_nodes_are_ready_in_their_zones(api: client.Client, fleet: list[str]) -> None:
    nodes = [api.get(f"/api/v1/nodes/{name}") for name in fleet]
    assert {node_condition(node, "Ready") for node in nodes} == {"True"}
    zones = [node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in nodes]
    assert zones == ["zone-a", "zone-b", "zone-c"] * 2
    assert len({node["status"]["nodeInfo"]["bootID"] for node in nodes}) == 6


def test_a_node_of_a_user_registers_and_becomes_ready(api: client.Client) -> None:
    body = {"apiVersion": "v1", "kind": "Node"}
    body["metadata"] = {"name": "bare", "annotations": {"kwok.x-k8s.io/node": "fake"}}  # type: ignore[assignment]
    api.create("/api/v1/nodes", body)
    node = api.wait(
        "/api/v1/nodes/bare",
        lambda it: node_condition(it, "Ready") == "True" if "conditions" in it["status"] else False,
    )
    assert node["status"]["nodeInfo"]["bootID"]
    api.delete("/api/v1/nodes/bare")


def test_a_job_ends_with_its_termination_message(api: client.Client, namespace: str, fleet: list[str]) -> None:
    ended = sandbox_jobs.run(api, namespace, sandbox_jobs.job("good", fleet[0], "apply", "--version=1.2.3"))
    assert "Complete" in ended.conditions
    assert (ended.phase, ended.exit_code) == ("Succeeded", 0)
    assert ended.message == '{"rebootRequired":false,"version":"1.2.3"}'


def test_a_failing_job_fails_with_its_code_and_message(api: client.Client, namespace: str, fleet: list[str]) -> None:
    body = sandbox_jobs.job("bad", fleet[0], "--exit-code=7", "--message=no-such-package")
    ended = sandbox_jobs.run(api, namespace, body)
    assert "Failed" in ended.conditions
    assert (ended.exit_code, ended.message, ended.phase) == (7, "no-such-package", "Failed")


def test_a_budget_blocks_an_eviction_with_429(
    sandbox: controlplane.ControlPlane, api: client.Client, namespace: str, fleet: list[str]
) -> None:
    sandbox.add_workloads(_one_pod(namespace, max_unavailable=0))
    [pod] = api.items(f"/api/v1/namespaces/{namespace}/pods")
    with pytest.raises(errors.ClusterUnavailable, match="429 TooManyRequests"):
        evict(api, pod)


def test_an_evicted_pod_goes_and_another_comes(
    sandbox: controlplane.ControlPlane, api: client.Client, namespace: str, fleet: list[str]
) -> None:
    sandbox.add_workloads(_one_pod(namespace, max_unavailable=1))
    [pod] = api.items(f"/api/v1/namespaces/{namespace}/pods")
    evict(api, pod)
    uid = pod["metadata"]["uid"]
    path = f"/api/v1/namespaces/{namespace}/pods"
    api.wait(path, lambda it: bool(it["items"]) and uid not in {each["metadata"]["uid"] for each in it["items"]})


MANIFEST = """\
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings, namespace: {space}}}
data: {{colour: {colour}}}
"""


def test_what_stands_in_for_flux_applies_a_branch_takes_drift_back_and_else_writes_nothing(
    api: client.Client, namespace: str, tmp_path: Path
) -> None:
    upstream, applied = Upstream(tmp_path), list[Any]()
    source = syncer.Source(upstream.bare, "apps", "flux-system/shop")
    flux = syncer.Syncer(api, source, applied=applied.append)
    flux.sync()
    assert applied == [], "there is no branch yet"
    upstream.commit({"apps/a.yaml": MANIFEST.format(space=namespace, colour="red"), "b.yaml": "not: ours"})
    flux.sync()
    path = f"/api/v1/namespaces/{namespace}/configmaps/settings"
    made = api.get(path)
    assert made["data"] == {"colour": "red"}
    assert made["metadata"]["labels"] == {
        "kustomize.toolkit.fluxcd.io/name": "shop",
        "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
    }
    assert {entry["manager"] for entry in made["metadata"]["managedFields"]} == {"kustomize-controller"}
    api.patch(path, {"metadata": {"annotations": {"patchwright.dev/state": "{}"}}})
    flux.sync()
    assert len(applied) == 1, "what others add is theirs, and nothing differs"
    api.patch(path, {"data": {"colour": "blue"}})
    flux.sync()
    assert [each["data"] for each in applied] == [{"colour": "red"}, {"colour": "red"}]


def evict(api: client.Client, pod: Any) -> None:
    meta = pod["metadata"]
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": meta["name"]}}
    api.create(f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/eviction", body)


def _one_pod(namespace: str, *, max_unavailable: int) -> fleets.Workloads:
    return fleets.Workloads(1, replicas=1, namespace=namespace, max_unavailable=max_unavailable)


def test_a_restarted_api_server_keeps_its_data_and_its_address(
    sandbox: controlplane.ControlPlane, api: client.Client, namespace: str
) -> None:
    before = sandbox.api_url
    uid = api.get(f"/api/v1/namespaces/{namespace}")["metadata"]["uid"]
    sandbox.restart("kube-apiserver")
    assert sandbox.api_url == before
    assert api.get(f"/api/v1/namespaces/{namespace}")["metadata"]["uid"] == uid
