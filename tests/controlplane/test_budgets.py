"""Hopeless PodDisruptionBudgets on a real API server with its controllers: which pods they hold, and when no more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from patchwright.adapters.kube import budgets, client
from patchwright.adapters.kube.projection import Lens
from patchwright.adapters.kube.reflector import Reflector
from patchwright.domain.model import Operator, Requirement, Selector
from patchwright.domain.nodes.view import Stuck
from patchwright.handlers import wiring
from patchwright.handlers.settings import Settings
from patchwright.sandbox import client as admin
from patchwright.sandbox import controlplane

pytestmark = pytest.mark.controlplane
HELD = "PodDisruptionBudget {}/{} never allows it: it wants {} healthy pods of {}; scale up, or let it spare one"


class Bench:
    """Everything that the operator watches about these, and one node that runs all pods."""

    def __init__(self, api: client.KubeApi, admin_api: admin.Client, namespace: str, node: str) -> None:
        self.api = api
        self.admin = admin_api
        self.namespace = namespace
        self.node = node
        self.caches = wiring.Caches.empty(Settings(namespace=namespace, identity="operator-1"))
        self.reflectors = wiring.reflectors(api, self.caches)
        self.budgets = self.caches.budgets

    async def look(self) -> dict[str, str]:
        """List everything, look, and give what holds each pod of this test."""
        for each in self.reflectors:
            await each.list()
        await self.budgets.look(self.api)
        return self.held()

    def held(self) -> dict[str, str]:
        return {each.pod.ref.name: each.message for each in self.stuck() if each.pod.ref.namespace == self.namespace}

    def stuck(self) -> tuple[Stuck, ...]:
        here = Selector((Requirement("kubernetes.io/hostname", Operator.IN, frozenset({self.node})),))
        (view,) = self.caches.fleet.nodes(Lens("workers", here))
        return view.stuck

    def pod(self, name: str, **spec: Any) -> None:
        """Start a pod that nobody brings back, and wait until it runs."""
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        metadata = {"name": name, "labels": {"app": name}}
        self.admin.create(path, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": self.spec(**spec)})
        self.admin.wait(f"{path}/{name}", lambda it: it["status"].get("phase") == "Running")

    def workload(self, name: str, replicas: int, *, kind: str = "Deployment") -> None:
        template = {"metadata": {"labels": {"app": name}}, "spec": self.spec()}
        spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
        path = f"/apis/apps/v1/namespaces/{self.namespace}/{kind.lower()}s"
        self.admin.create(path, {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})
        self.admin.wait(f"{path}/{name}", lambda it: it.get("status", {}).get("readyReplicas") == replicas)

    def spec(self, **changes: Any) -> dict[str, Any]:
        return {"nodeName": self.node, "containers": [{"name": "c", "image": "sandbox.example/app:1"}], **changes}

    def budget(self, app: str, *, counts: int, **spec: Any) -> str:
        """Create a budget over an app, and wait until its controller has counted that many healthy pods."""
        path = f"/apis/policy/v1/namespaces/{self.namespace}/poddisruptionbudgets"
        body = {"metadata": {"name": app}, "spec": {"selector": {"matchLabels": {"app": app}}, **spec}}
        self.admin.create(path, {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", **body})
        self.admin.wait(f"{path}/{app}", lambda it: it.get("status", {}).get("currentHealthy") == counts)
        return f"{path}/{app}"

    def says(self, app: str, wanted: int, expected: int) -> str:
        return HELD.format(self.namespace, app, wanted, expected)


@pytest.fixture
async def bench(
    sandbox: controlplane.ControlPlane, api: admin.Client, namespace: str, fleet: list[str]
) -> AsyncIterator[Bench]:
    kube = await client.connect(sandbox.kubeconfig)
    yield Bench(kube, api, namespace, fleet[0])
    await kube.close()


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("Deployment", {"maxUnavailable": 0}),
        ("Deployment", {"minAvailable": 2}),
        ("StatefulSet", {"minAvailable": 2}),
        ("StatefulSet", {"minAvailable": "100%"}),
        ("ReplicaSet", {"maxUnavailable": "0%"}),
    ],
)
async def test_a_budget_that_wants_every_replica_holds_each_pod_and_says_what_to_do(
    bench: Bench, kind: str, spec: dict[str, Any]
) -> None:
    bench.workload("db", 2, kind=kind)
    bench.budget("db", counts=2, **spec)
    assert list((await bench.look()).values()) == [bench.says("db", 2, 2)] * 2


async def test_a_replica_that_is_missing_for_now_makes_no_budget_hopeless(bench: Bench) -> None:
    bench.workload("web", 2)
    bench.budget("web", counts=2, minAvailable=2)
    quota = {"metadata": {"name": "full"}, "spec": {"hard": {"pods": "2"}}}
    where = f"/api/v1/namespaces/{bench.namespace}/resourcequotas"
    bench.admin.create(where, {"apiVersion": "v1", "kind": "ResourceQuota", **quota})
    bench.admin.wait(f"{where}/full", lambda it: it.get("status", {}).get("used", {}).get("pods") == "2")
    path = f"/apis/apps/v1/namespaces/{bench.namespace}/deployments/web"
    bench.admin.patch(path, {"spec": {"replicas": 3}})
    bench.admin.wait(path, lambda it: it["status"].get("observedGeneration") == it["metadata"]["generation"])
    assert await bench.look() == {}
    bench.admin.patch(path, {"spec": {"replicas": 2}})
    assert list((await bench.look()).values()) == [bench.says("web", 2, 2)] * 2


async def test_replicas_that_are_nowhere_to_be_read_make_no_budget_hopeless(bench: Bench) -> None:
    bench.workload("odd", 2, kind="ReplicaSet")
    bench.budget("odd", counts=2, minAvailable=2)
    assert await bench.look() == {}


async def test_bare_pods_are_held_and_those_that_end_by_themselves_are_not(bench: Bench) -> None:
    bench.pod("bare")
    bench.pod("build", restartPolicy="Never")
    for name in ("bare", "build"):
        bench.budget(name, counts=1, minAvailable=1)
    assert await bench.look() == {"bare": bench.says("bare", 1, 1)}


# Two replicas and a budget over them must not keep the operator from patching its own node (4.18).
async def test_the_operators_own_pod_is_known_among_those_that_are_held(bench: Bench) -> None:
    bench.pod("operator-1")
    bench.budget("operator-1", counts=1, minAvailable=1)
    await bench.look()
    (held,) = (each for each in bench.stuck() if each.pod.ref.namespace == bench.namespace)
    assert held.pod.operator


@pytest.mark.parametrize("how", ["edited", "deleted", "scaled up"])
async def test_a_budget_that_was_changed_holds_nobody_any_more_from_that_moment_on(bench: Bench, how: str) -> None:
    bench.workload("db", 1)
    path = bench.budget("db", counts=1, minAvailable=1)
    watched = Reflector(
        bench.api,
        budgets.PATH,
        take=bench.budgets.apply,
        gone=bench.budgets.remove,
        complete=lambda all_: bench.budgets.prune(all_.uids, all_.at),
    )
    async with _running(watched):
        assert list((await bench.look()).values()) == [bench.says("db", 1, 1)]
        changed = asyncio.Event()
        bench.caches.fleet.on_change(lambda _: changed.set())
        if how == "edited":
            bench.admin.patch(path, {"spec": {"minAvailable": 0}})
        elif how == "deleted":
            bench.admin.delete(path)
        else:
            scale = f"/apis/apps/v1/namespaces/{bench.namespace}/deployments/db"
            bench.admin.patch(scale, {"spec": {"replicas": 2}})
        async with asyncio.timeout(10):
            await changed.wait()
        assert bench.held() == {}


async def test_a_budget_that_becomes_hopeless_is_news_and_only_that_one_is_looked_at(bench: Bench) -> None:
    bench.workload("db", 1)
    assert await bench.look() == {}
    bench.budgets.news.clear()
    path = bench.budget("db", counts=1, minAvailable=1)
    for each in bench.reflectors:
        await each.list()
    assert bench.budgets.news.is_set()
    assert bench.held() == {}
    await bench.budgets.look_at_news(bench.api)
    assert list(bench.held().values()) == [bench.says("db", 1, 1)]
    bench.admin.delete(path)
    for each in bench.reflectors:
        await each.list()
    assert bench.held() == {}, "a list that does not hold it says that it is gone"


@contextlib.asynccontextmanager
async def _running(reflector: Reflector) -> AsyncIterator[None]:
    task = asyncio.create_task(reflector.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
