"""Every answer that an eviction can get, provoked on a real API server (through a proxy where load is the cause)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from patchwright import errors
from patchwright.adapters.kube import client
from patchwright.adapters.kube.evictions import Evictor
from patchwright.domain.actions import PodRef
from patchwright.domain.nodes.view import Eviction
from patchwright.sandbox import client as admin
from patchwright.sandbox import controlplane
from support.fault_proxy import Fault, FaultProxy

pytestmark = pytest.mark.controlplane
NOBODY = "11111111-2222-3333-4444-555555555555"
Place = Callable[..., PodRef]


@pytest.fixture
async def evictor(sandbox: controlplane.ControlPlane) -> AsyncIterator[Evictor]:
    api = await client.connect(sandbox.kubeconfig)
    yield Evictor(api, lambda: datetime.now(UTC))
    await api.close()


@pytest.fixture
async def proxied(sandbox: controlplane.ControlPlane, tmp_path: Path) -> AsyncIterator[tuple[Evictor, FaultProxy]]:
    async with FaultProxy(sandbox.kubeconfig) as proxy:
        api = await client.connect(proxy.kubeconfig(tmp_path / "kubeconfig"))
        yield Evictor(api, lambda: datetime.now(UTC)), proxy
        await api.close()


@pytest.fixture
def place(api: admin.Client, namespace: str, fleet: list[str]) -> Place:
    """Start a pod and wait until it runs."""

    def start(name: str = "web-0", *, stays: bool = False, **labels: str) -> PodRef:
        metadata: dict[str, Any] = {"name": name, "labels": labels}
        if stays:
            # It is told to go and does not.
            metadata["annotations"] = {"sandbox.patchwright.dev/termination": "never"}
        spec = {"nodeName": fleet[0], "containers": [{"name": "c", "image": "sandbox.example/app:1"}]}
        path = f"/api/v1/namespaces/{namespace}/pods"
        made = api.create(path, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        api.wait(f"{path}/{name}", lambda it: it["status"].get("phase") == "Running")
        return PodRef(namespace, name, made["metadata"]["uid"])

    return start


def budget(api: admin.Client, namespace: str, name: str, labels: dict[str, str]) -> None:
    """Create a PodDisruptionBudget that never allows anything, and wait until its controller has counted."""
    path = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
    spec = {"minAvailable": 1, "selector": {"matchLabels": labels}}
    body = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name}, "spec": spec}
    api.create(path, body)
    api.wait(f"{path}/{name}", lambda it: it["status"].get("currentHealthy") == 1)


async def test_an_eviction_is_accepted_and_again_while_the_pod_is_on_its_way(evictor: Evictor, place: Place) -> None:
    pod = place(stays=True)
    for _ in range(2):
        assert (await evictor.evict(pod, None)).result is Eviction.ACCEPTED


async def test_a_budget_blocks_and_is_named_with_its_numbers(
    evictor: Evictor, place: Place, api: admin.Client, namespace: str
) -> None:
    pod = place(app="web")
    budget(api, namespace, "web", {"app": "web"})
    answer = await evictor.evict(pod, None)
    assert (answer.result, answer.budget) == (Eviction.BLOCKED, "web")
    assert answer.message == "The disruption budget web needs 1 healthy pods and has 1 currently"
    assert answer.retry_after is None


async def test_two_budgets_over_one_pod_are_named_because_the_server_does_not(
    evictor: Evictor, place: Place, api: admin.Client, namespace: str
) -> None:
    pod = place(app="web", tier="front")
    place("other-0", app="other")
    for name, labels in (("by-app", {"app": "web"}), ("by-tier", {"tier": "front"}), ("other", {"app": "other"})):
        budget(api, namespace, name, labels)
    answer = await evictor.evict(pod, None)
    assert (answer.result, answer.budget) == (Eviction.MISCONFIGURED, "by-app, by-tier")
    assert "by-app, by-tier" in answer.message


async def test_a_pod_that_is_gone_is_done(evictor: Evictor, namespace: str) -> None:
    for answer in (
        await evictor.evict(PodRef(namespace, "nobody", NOBODY), None),
        await evictor.delete(PodRef(namespace, "nobody", NOBODY), None),
    ):
        assert answer.result is Eviction.GONE


async def test_another_pod_of_the_same_name_is_left_alone(evictor: Evictor, place: Place, api: admin.Client) -> None:
    pod = place()
    before = PodRef(pod.namespace, pod.name, NOBODY)
    assert (await evictor.evict(before, None)).result is Eviction.REPLACED
    assert (await evictor.delete(before, None)).result is Eviction.REPLACED
    metadata = api.get(f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}")["metadata"]
    assert "deletionTimestamp" not in metadata


async def test_a_pod_in_a_namespace_that_is_going_is_told_apart(
    evictor: Evictor, place: Place, api: admin.Client, namespace: str
) -> None:
    pod = place(stays=True, app="web")
    api.delete(f"/api/v1/namespaces/{namespace}")
    answer = await evictor.evict(pod, None)
    assert answer.result is Eviction.NAMESPACE_TERMINATING


async def test_a_grace_period_of_zero_is_never_sent(evictor: Evictor, place: Place, api: admin.Client) -> None:
    for name, request in (("evicted", evictor.evict), ("deleted", evictor.delete)):
        pod = place(name, stays=True)
        assert (await request(pod, timedelta(0))).result is Eviction.ACCEPTED
        path = f"/api/v1/namespaces/{pod.namespace}/pods/{name}"
        assert api.get(path)["metadata"]["deletionGracePeriodSeconds"] == 1


async def test_a_deletion_does_not_ask_the_budget(
    evictor: Evictor, place: Place, api: admin.Client, namespace: str
) -> None:
    pod = place(app="web")
    budget(api, namespace, "web", {"app": "web"})
    assert (await evictor.delete(pod, timedelta(seconds=1))).result is Eviction.ACCEPTED


async def test_a_request_without_rights_is_refused(
    sandbox: controlplane.ControlPlane, place: Place, namespace: str
) -> None:
    api = await client.connect(sandbox.kubeconfig_for("nobody-in-particular"))
    answer = await Evictor(api, lambda: datetime.now(UTC)).evict(place(), None)
    await api.close()
    assert answer.result is Eviction.REFUSED
    assert "nobody-in-particular" in answer.message


async def test_an_overloaded_server_is_not_a_budget(proxied: tuple[Evictor, FaultProxy], place: Place) -> None:
    evictor, proxy = proxied
    proxy.inject(Fault("/eviction$", method="POST", status=429, reason="TooManyRequests", retry_after=7, times=1))
    pod = place(app="web")
    answer = await evictor.evict(pod, None)
    assert (answer.result, answer.retry_after) == (Eviction.OVERLOADED, timedelta(seconds=7))
    assert (await evictor.evict(pod, None)).result is Eviction.ACCEPTED


async def test_a_conflict_over_the_same_pod_is_worth_another_try(
    proxied: tuple[Evictor, FaultProxy], place: Place
) -> None:
    evictor, proxy = proxied
    proxy.inject(Fault("/eviction$", status=409, reason="Conflict", times=1))
    assert (await evictor.evict(place(), None)).result is Eviction.OVERLOADED


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 503}, {"reset": True}], ids=str)
async def test_a_server_in_trouble_is_unavailable(
    proxied: tuple[Evictor, FaultProxy], place: Place, fault: dict[str, Any]
) -> None:
    evictor, proxy = proxied
    proxy.inject(Fault("/eviction$", **fault))
    with pytest.raises(errors.ClusterUnavailable):
        await evictor.evict(place(), None)


async def test_an_eviction_whose_answer_was_lost_is_accepted_again(
    proxied: tuple[Evictor, FaultProxy], place: Place
) -> None:
    evictor, proxy = proxied
    pod = place(stays=True)
    proxy.inject(Fault("/eviction$", lose_answer=True, times=1))
    with pytest.raises(errors.ClusterUnavailable):
        await evictor.evict(pod, None)
    assert (await evictor.evict(pod, None)).result is Eviction.ACCEPTED


async def test_a_pod_under_a_budget_that_nobody_counted_yet_is_blocked_for_as_long_as_the_server_says(
    sandbox: controlplane.ControlPlane, evictor: Evictor, place: Place, api: admin.Client, namespace: str
) -> None:
    pod = place(app="web")
    sandbox.stop_component("kube-controller-manager")
    try:
        path = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
        spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
        body = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"}, "spec": spec}
        api.create(path, body)
        answer = await evictor.evict(pod, None)
    finally:
        sandbox.start_component("kube-controller-manager")
    assert (answer.result, answer.budget) == (Eviction.BLOCKED, "web")
    assert answer.retry_after == timedelta(seconds=10)
