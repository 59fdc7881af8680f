"""Rollouts, policies and events written to a real API server, with the real CRDs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from patchwright import errors
from patchwright.adapters.kube import client
from patchwright.adapters.kube.journal import KubeJournal
from patchwright.adapters.kube.rollout_cache import RolloutCache, Wire
from patchwright.adapters.kube.rollouts import GROUP, KubeRollouts
from patchwright.adapters.metrics.registry import Metrics
from patchwright.api import parse, rolloutstate, status
from patchwright.domain.actions import NodeRef
from patchwright.domain.memory import FailedChange
from patchwright.domain.model import Key
from patchwright.domain.state import Condition, Phase, RolloutState
from patchwright.ports import Case
from patchwright.sandbox import client as admin
from patchwright.sandbox import controlplane
from support.fault_proxy import Fault, FaultProxy

pytestmark = pytest.mark.controlplane
CRDS = Path(__file__).parents[2] / "crds"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
WIRE = cast(
    "Wire",
    SimpleNamespace(
        parse_policy=parse.parse_policy,
        parse_rollout=parse.parse_rollout,
        status_to_state=rolloutstate.status_to_state,
        state_to_status=rolloutstate.state_to_status,
        status_to_policy_state=status.status_to_policy_state,
        policy_state_to_status=status.policy_state_to_status,
    ),
)


class Bench:
    """A policy, a rollout of it, and the port in front of them, fed by hand."""

    def __init__(self, api: client.KubeApi, admin_api: admin.Client, namespace: str) -> None:
        self.admin = admin_api
        self.path = f"{GROUP}/namespaces/{namespace}"
        self.key = Key(namespace, "openssl")
        self.cache = RolloutCache(WIRE)
        self.port = KubeRollouts(api, self.cache)
        script = {"version": "1.2.3", "image": "example.org/x:1", "rollback": {"args": ["undo"]}}
        self.create("PatchPolicy", "patchpolicies", "workers", {"target": {"nodes": {"selector": {}}}})
        spec = {"policyRef": {"name": "workers"}, "change": {"script": script}}
        self.create("PatchRollout", "patchrollouts", "openssl", spec)
        self.feed()

    def create(self, kind: str, plural: str, name: str, spec: Any) -> None:
        body = {"apiVersion": "patchwright.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        self.admin.create(f"{self.path}/{plural}", body)

    def feed(self) -> None:
        self.cache.apply_policy(self.admin.get(f"{self.path}/patchpolicies/workers"))
        self.cache.apply_rollout(self.raw())

    def raw(self) -> Any:
        return self.admin.get(f"{self.path}/patchrollouts/openssl")

    def case(self) -> Case:
        found = self.port.get(self.key)
        assert found is not None
        return found


@pytest.fixture(scope="session")
def kinds(sandbox: controlplane.ControlPlane) -> None:
    """Our CRDs, established."""
    for file in sorted(CRDS.glob("*.yaml")):
        body = yaml.safe_load(file.read_text(encoding="utf-8"))
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{body['metadata']['name']}"
        sandbox.api.apply(path, body)
        sandbox.api.wait(path, lambda it: "Established" in str(it.get("status", {}).get("conditions")))
        sandbox.api.wait(f"{GROUP}/{body['spec']['names']['plural']}", lambda it: "items" in it)


@pytest.fixture
async def bench(
    sandbox: controlplane.ControlPlane, kinds: None, api: admin.Client, namespace: str
) -> AsyncIterator[Bench]:
    kube = await client.connect(sandbox.kubeconfig)
    yield Bench(kube, api, namespace)
    await kube.close()


def state(phase: Phase, message: str = "", **fields: Any) -> RolloutState:
    ready = Condition("Ready", "False", phase.value, message)
    return RolloutState(phase=phase, message=message, conditions=(ready,), **fields)


async def test_a_status_that_was_written_is_read_back_before_any_watch_has_told(bench: Bench) -> None:
    written = state(Phase.CANARY, "patches its canary", started_at=NOW, wave_since=NOW)
    await bench.port.save(bench.case(), written)
    assert bench.case().state == written
    assert bench.raw()["status"]["phase"] == "Canary"


async def test_what_is_not_so_any_more_leaves_the_status(bench: Bench) -> None:
    await bench.port.save(bench.case(), state(Phase.CANARY, "patches", started_at=NOW, soak_until=NOW))
    await bench.port.save(bench.case(), state(Phase.CANARY, "patches", started_at=NOW))
    assert bench.case().state.soak_until is None


async def test_a_condition_keeps_its_transition_time_while_its_status_stays(bench: Bench) -> None:
    times = []
    for message in ("first", "second"):
        await bench.port.save(bench.case(), state(Phase.PENDING, message))
        times.append(bench.raw()["status"]["conditions"][0]["lastTransitionTime"])
        await asyncio.sleep(1.1)
    assert times[0] == times[1]


async def test_a_status_for_an_old_version_is_not_written_and_the_new_version_is_read(bench: Bench) -> None:
    old = bench.case()
    bench.admin.patch(f"{bench.path}/patchrollouts/openssl", {"spec": {"paused": True}})
    with pytest.raises(errors.Conflict):
        await bench.port.save(old, state(Phase.CANARY))
    assert "status" not in bench.raw()
    now = bench.case()
    assert now.rollout is not None
    assert now.rollout.paused
    await bench.port.save(now, state(Phase.PAUSED))


async def test_a_status_broken_by_hand_keeps_what_stands_in_it_and_says_what_is_wrong(bench: Bench) -> None:
    await bench.port.save(bench.case(), state(Phase.CANARY, "patches", started_at=NOW))
    broken = bench.raw()
    # The CRD would not let this through today; an older one may have.
    broken["status"]["startedAt"] = "yesterday"
    cache = RolloutCache(WIRE)
    cache.apply_rollout(broken)
    found = cache.case(bench.key)
    assert found is not None
    assert (found.rollout, any("startedAt" in fault for fault in found.faults)) == (None, True)
    bench.cache = bench.port._cache = cache
    await bench.port.save(found, state(Phase.PENDING, "status.startedAt: is no time"))
    status_now = bench.raw()["status"]
    assert (status_now["phase"], status_now["message"]) == ("Canary", "status.startedAt: is no time")


async def test_the_broken_status_of_a_rollout_that_is_being_deleted_is_written_anew(bench: Bench) -> None:
    await bench.port.save(bench.case(), state(Phase.CANARY, "patches", started_at=NOW))
    await bench.port.hold(bench.case())
    bench.admin.delete(f"{bench.path}/patchrollouts/openssl")
    broken = bench.raw()
    broken["status"]["startedAt"] = "yesterday"
    bench.cache = bench.port._cache = RolloutCache(WIRE)
    bench.cache.apply_rollout(broken)
    written = state(Phase.ROLLING_BACK, "rolling back")
    await bench.port.save(bench.case(), written)
    assert bench.case().state == written
    assert "startedAt" not in bench.raw()["status"]


async def test_our_finalizer_comes_and_goes_beside_those_of_others(bench: Bench) -> None:
    others = {"metadata": {"finalizers": ["example.org/other"]}}
    bench.admin.patch(f"{bench.path}/patchrollouts/openssl", others)
    bench.feed()
    for _ in range(2):
        await bench.port.hold(bench.case())
    assert bench.raw()["metadata"]["finalizers"] == ["example.org/other", "patchwright.dev/rollout"]
    assert bench.case().finalizer
    for _ in range(2):
        await bench.port.let_go(bench.case())
    assert bench.raw()["metadata"]["finalizers"] == ["example.org/other"]


async def test_a_deleted_rollout_is_gone_once_it_is_let_go(bench: Bench) -> None:
    await bench.port.hold(bench.case())
    bench.admin.delete(f"{bench.path}/patchrollouts/openssl")
    bench.feed()
    going = bench.case()
    assert going.deleting
    await bench.port.let_go(going)
    assert bench.port.get(bench.key) is None
    with pytest.raises(errors.NotFound):
        bench.raw()
    await bench.port.let_go(going)


async def test_what_is_gone_without_a_word_is_dropped_by_a_resync(bench: Bench) -> None:
    bench.admin.delete(f"{bench.path}/patchrollouts/openssl")
    assert bench.port.get(bench.key) is not None
    await bench.port.resync()
    assert bench.port.get(bench.key) is None


def failed(case: Case, rollout: str) -> FailedChange:
    assert case.rollout is not None
    return FailedChange(case.rollout.change_id, "1.2.3", rollout, "NodeNotReady", "it is not Ready", NOW)


async def test_a_failed_change_is_remembered_once_whoever_else_writes_the_policy_s_status(bench: Bench) -> None:
    path = f"{bench.path}/patchpolicies/workers/status"
    bench.admin.patch(path, {"status": {"selected": 7}})
    await bench.port.remember(bench.case(), failed(bench.case(), "ops/first"))
    await bench.port.remember(bench.case(), failed(bench.case(), "ops/second"))
    remembered = bench.case().remembered
    assert remembered is not None
    assert remembered.rollout == "ops/second"
    now = bench.admin.get(f"{bench.path}/patchpolicies/workers")["status"]
    assert (now["selected"], len(now["failedChanges"])) == (7, 1)


async def test_there_is_nothing_to_remember_where_the_policy_is_gone(bench: Bench) -> None:
    case = bench.case()
    bench.admin.delete(f"{bench.path}/patchpolicies/workers")
    await bench.port.remember(case, failed(case, "ops/first"))


# --- events -----------------------------------------------------------------------------------------------------------


def events(bench: Bench, namespace: str, reason: str) -> list[Any]:
    found = bench.admin.items(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events")
    return [each for each in found if each["reason"] == reason]


async def test_an_event_is_found_by_kubectl_on_its_rollout_and_the_same_again_is_counted(
    sandbox: controlplane.ControlPlane, bench: Bench
) -> None:
    kube = await client.connect(sandbox.kubeconfig)
    async with KubeJournal(kube, Metrics(), identity="patchwright-0") as journal:
        for _ in range(3):
            await journal.event(bench.key, uid=bench.case().uid, reason="Canary", message="patches n1 first")
        await journal.event(bench.key, uid=bench.case().uid, reason="RolledBack", message="x" * 5000, warning=True)
    await kube.close()
    [canary] = events(bench, bench.key.namespace, "Canary")
    assert (canary["note"], canary["type"], canary["series"]["count"]) == ("patches n1 first", "Normal", 2)
    [rolled_back] = events(bench, bench.key.namespace, "RolledBack")
    assert rolled_back["type"] == "Warning"
    kubectl = await asyncio.create_subprocess_exec(
        str(sandbox.binary("kubectl")), "--kubeconfig", str(sandbox.kubeconfig), "--namespace", bench.key.namespace,
        "describe", "patchrollout", "openssl", stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await kubectl.communicate()
    assert "patches n1 first" in said.decode()


async def test_an_event_on_a_node_is_found_by_the_node_s_uid(
    sandbox: controlplane.ControlPlane, bench: Bench, fleet: list[str]
) -> None:
    node = bench.admin.get(f"/api/v1/nodes/{fleet[0]}")["metadata"]
    kube = await client.connect(sandbox.kubeconfig)
    async with KubeJournal(kube, Metrics(), identity="patchwright-0") as journal:
        ref = NodeRef(fleet[0], node["uid"], node["resourceVersion"])
        await journal.node_event(ref, reason="DrainBlocked", message="pod shop/web-0 cannot be evicted", warning=True)
    await kube.close()
    found = events(bench, "default", "DrainBlocked")
    assert node["uid"] in {each["regarding"]["uid"] for each in found}


async def test_nobody_waits_for_events_and_nobody_fails_because_of_them(
    sandbox: controlplane.ControlPlane, bench: Bench, tmp_path: Path
) -> None:
    metrics = Metrics()
    async with FaultProxy(sandbox.kubeconfig) as proxy:
        kube = await client.connect(proxy.kubeconfig(tmp_path / "kubeconfig"))
        fault = proxy.inject(Fault("/events", status=503))
        async with KubeJournal(kube, metrics, identity="patchwright-0") as journal:
            for number in range(200):
                await journal.event(bench.key, uid="u", reason="Flood", message=f"number {number}")
        await kube.close()
    dropped = {
        cause: metrics.registry.get_sample_value("patchwright_events_dropped_total", {"cause": cause})
        for cause in ("refused", "rate")
    }
    assert dropped["refused"] == fault.hits
    # The burst, and what the rate has let through since; the rest is dropped and counted.
    assert 50 <= fault.hits < 150
    assert fault.hits + (dropped["rate"] or 0) == 200


async def test_a_case_that_is_out_of_date_cannot_take_the_finalizer_off(bench: Bench) -> None:
    await bench.port.hold(bench.case())
    stale = replace(bench.case(), resource_version="1")
    with pytest.raises(errors.Conflict):
        await bench.port.let_go(stale)
    assert bench.raw()["metadata"]["finalizers"] == ["patchwright.dev/rollout"]


async def test_what_exists_is_listed_past_the_cache_and_over_all_namespaces(
    bench: Bench, sandbox: controlplane.ControlPlane
) -> None:
    uid = bench.raw()["metadata"]["uid"]
    path = f"{GROUP}/namespaces/{sandbox.add_namespace(f'{bench.key.namespace}-b')}/patchrollouts"
    spec = bench.raw()["spec"]
    body = {"apiVersion": "patchwright.dev/v1alpha1", "kind": "PatchRollout", "metadata": {"name": "a"}, "spec": spec}
    other = sandbox.api.create(path, body)["metadata"]["uid"]
    assert {uid, other} <= await bench.port.living()
    sandbox.api.delete(f"{path}/a")
    bench.admin.delete(f"{bench.path}/patchrollouts/openssl")
    assert bench.port.get(bench.key) is not None, "the cache was told nothing"
    assert not {uid, other} & await bench.port.living()
