"""The fleet adapter on a real API server: one patch per node, Jobs, pods, and what a lagging watch may not do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from patchwright import errors
from patchwright.adapters.kube import client, fleet_cache
from patchwright.adapters.kube.fleet import KubeFleet, utc_now
from patchwright.adapters.kube.volumes import Volumes
from patchwright.domain.actions import JobStep, NodeRef
from patchwright.domain.model import Operator, PatchPolicy, Reboot, Requirement, Selector, Step
from patchwright.domain.nodes import labels as own
from patchwright.domain.nodes import marks
from patchwright.domain.nodes.record import Mark
from patchwright.domain.nodes.view import Attachment, JobView, NodeView, Outcome, Owner
from patchwright.drivers import script
from patchwright.handlers import wiring
from patchwright.handlers.settings import Settings
from patchwright.sandbox import client as admin
from patchwright.sandbox import controlplane
from support import rollouts
from support.attached_volumes import DRIVER, Storage, using

pytestmark = pytest.mark.controlplane


class Bench:
    """An adapter in front of the sandbox, fed by hand, so that tests decide how far its watch lags."""

    def __init__(self, api: client.KubeApi, admin_api: admin.Client, namespace: str, nodes: list[str]) -> None:
        self.admin = admin_api
        self.namespace = namespace
        self.names = nodes
        self.cache = fleet_cache.FleetCache(namespace=namespace)
        self.fleet = KubeFleet(api, self.cache, drivers={"script": script.render})
        caches = wiring.Caches.empty(Settings(namespace=namespace))
        self.reflectors = wiring.reflectors(api, replace(caches, fleet=self.cache))
        names = Requirement("kubernetes.io/hostname", Operator.IN, frozenset(nodes))
        self.policy: PatchPolicy = rollouts.policy(namespace=namespace, selector=Selector((names,)))
        self.case = rollouts.case(rollouts.rollout(namespace=namespace, uid=f"uid-{namespace}"), self.policy)

    def feed(self) -> None:
        for raw in self.admin.items("/api/v1/nodes"):
            self.cache.apply_node(raw)
        for raw in self.admin.items(f"/apis/batch/v1/namespaces/{self.namespace}/jobs"):
            self.cache.apply_job(raw)
        for raw in self.admin.items(f"/api/v1/namespaces/{self.namespace}/pods"):
            self.cache.apply_pod(raw)

    async def list_anew(self) -> None:
        for each in self.reflectors:
            await each.list()

    def view(self, name: str = "") -> NodeView:
        wanted = name or self.names[0]
        return next(each for each in self.fleet.nodes(self.policy) if each.name == wanted)

    def node(self) -> Any:
        return self.admin.get(f"/api/v1/nodes/{self.names[0]}")

    async def until(self, holds: Callable[[], bool], within: float = 30.0) -> None:
        async with asyncio.timeout(within):
            while not holds():
                await asyncio.sleep(0.1)
                self.feed()

    async def write(self, request: Callable[[NodeRef], Awaitable[None]]) -> NodeRef:
        """Write to the first node as whoever acts does: a heartbeat may come in between, and then it is read again."""
        for _ in range(5):
            try:
                await request(self.view().ref)
            except errors.Conflict:
                await self.fleet.refresh(self.view().ref)
            else:
                return self.view().ref
        raise AssertionError("five heartbeats in a row came in between")

    async def claim(self, mark: Mark = Mark.APPLYING) -> NodeRef:
        return await self.write(lambda ref: self.fleet.cordon(ref, rollouts.record(self.case.uid, mark)))

    async def run(self, step: JobStep, *, name: str, **change: Any) -> JobView:
        assert self.case.rollout is not None
        case = replace(self.case, rollout=replace(self.case.rollout, change=rollouts.change(**change)))
        ref = await self.claim()
        await self.fleet.start_job(case, ref, step=step, name=name)
        await self.until(lambda: step in self.view().jobs and self.view().jobs[step].outcome is not None)
        await self.until(lambda: self.view().jobs[step].termination is not None)
        return self.view().jobs[step]


@pytest.fixture
async def bench(
    sandbox: controlplane.ControlPlane, api: admin.Client, namespace: str, fleet: list[str]
) -> AsyncIterator[Bench]:
    kube = await client.connect(sandbox.kubeconfig)
    made = Bench(kube, api, namespace, fleet)
    made.feed()
    yield made
    await kube.close()


async def test_a_cordon_and_its_owner_are_written_in_one_patch_and_read_back_at_once(bench: Bench) -> None:
    record = rollouts.record(bench.case.uid)
    await bench.write(lambda ref: bench.fleet.cordon(ref, record))
    assert (bench.view().unschedulable, bench.view().record) == (True, record)
    assert [each.name for each in bench.fleet.marked(bench.case.uid, bench.policy)] == [bench.names[0]]
    agents = {each["manager"] for each in bench.node()["metadata"]["managedFields"] if "subresource" not in each}
    assert client.USER_AGENT.partition("/")[0] in agents


async def test_an_uncordon_takes_cordon_and_record_away_and_sets_the_label_in_one_patch(bench: Bench) -> None:
    await bench.claim()
    label = (marks.label(bench.policy.key.name), "c0ffee")
    await bench.write(lambda ref: bench.fleet.uncordon(ref, None, keep_cordon=False, label=label))
    seen = bench.view()
    assert (seen.unschedulable, seen.record, seen.installed) == (False, None, "c0ffee")
    assert "patchwright.dev/state" not in bench.node()["metadata"].get("annotations", {})
    await bench.write(lambda ref: bench.fleet.uncordon(ref, None, keep_cordon=False, label=(label[0], None)))
    assert bench.view().installed is None


async def test_the_label_against_load_balancers_comes_and_goes_in_the_patch_of_the_cordon(bench: Bench) -> None:
    label = (marks.label(bench.policy.key.name), "c0ffee")
    await bench.write(lambda ref: bench.fleet.cordon(ref, rollouts.record(bench.case.uid), exclude=True))
    seen = bench.node()
    assert (seen["spec"]["unschedulable"], seen["metadata"]["labels"][own.EXCLUDE]) == (True, "patchwright")
    assert bench.view().uid not in bench.fleet.backends()
    await bench.write(lambda ref: bench.fleet.uncordon(ref, None, keep_cordon=False, label=label, include=True))
    seen = bench.node()
    assert own.EXCLUDE not in seen["metadata"]["labels"]
    assert (bench.view().unschedulable, bench.view().installed) == (False, "c0ffee")
    assert bench.view().uid in bench.fleet.backends()


async def test_a_person_who_writes_another_value_in_between_wins(bench: Bench) -> None:
    await bench.write(lambda ref: bench.fleet.cordon(ref, rollouts.record(bench.case.uid), exclude=True))
    before = bench.view().ref
    bench.admin.patch(f"/api/v1/nodes/{bench.names[0]}", {"metadata": {"labels": {own.EXCLUDE: "maintenance"}}})
    with pytest.raises(errors.Conflict):
        await bench.fleet.uncordon(before, None, keep_cordon=False, label=None, include=True)
    assert bench.node()["metadata"]["labels"][own.EXCLUDE] == "maintenance"


async def test_a_cordon_that_is_not_ours_stays_when_the_record_goes(bench: Bench) -> None:
    await bench.claim()
    await bench.write(lambda ref: bench.fleet.uncordon(ref, None, keep_cordon=True, label=None))
    assert (bench.view().unschedulable, bench.view().record) == (True, None)


@pytest.mark.parametrize("unschedulable", [True, False], ids=["cordons", "uncordons"])
async def test_a_person_who_writes_in_between_wins(bench: Bench, unschedulable: bool) -> None:
    before = bench.view().ref
    bench.admin.patch(f"/api/v1/nodes/{bench.names[0]}", {"spec": {"unschedulable": not unschedulable}})
    bench.admin.patch(f"/api/v1/nodes/{bench.names[0]}", {"spec": {"unschedulable": unschedulable}})
    with pytest.raises(errors.Conflict, match=bench.names[0]):
        await bench.fleet.cordon(before, rollouts.record(bench.case.uid))
    assert "patchwright.dev/state" not in bench.node()["metadata"].get("annotations", {})
    await bench.fleet.refresh(before)
    assert bench.view().unschedulable is unschedulable


async def test_a_new_node_of_the_same_name_is_not_written_to(bench: Bench) -> None:
    seen = bench.view().ref
    with pytest.raises(errors.Conflict):
        await bench.fleet.mark(replace(seen, uid="11111111-2222-3333-4444-555555555555"), rollouts.record())


async def test_a_stale_watch_does_not_take_back_what_was_written(bench: Bench) -> None:
    old = bench.node()
    await bench.claim()
    bench.cache.apply_node(old)
    assert bench.view().record is not None


async def test_a_node_that_is_gone_leaves_the_cache_by_refresh_and_by_a_new_list(bench: Bench) -> None:
    first, second = (bench.view(name).ref for name in bench.names[:2])
    for name in (first.name, second.name):
        bench.admin.delete(f"/api/v1/nodes/{name}")
    await bench.fleet.refresh(first)
    left = {each.name for each in bench.fleet.nodes(bench.policy)}
    assert (first.name in left, second.name in left) == (False, True)
    await bench.list_anew()
    assert second.name not in {each.name for each in bench.fleet.nodes(bench.policy)}
    with pytest.raises(errors.NotFound):
        await bench.fleet.mark(second, rollouts.record())
    bench.admin.create("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": first.name}})
    bench.admin.create("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": second.name}})


async def test_a_job_runs_on_its_node_and_its_termination_message_is_read(bench: Bench) -> None:
    job = await bench.run(JobStep.APPLY, name="apply-good")
    assert (job.outcome, job.exit_code, job.node_name) == (Outcome.SUCCEEDED, 0, bench.names[0])
    assert job.termination == '{"rebootRequired":false,"version":"1.2.3"}'
    assert job.node_uid == bench.view().uid


async def test_a_failed_job_says_its_exit_code_and_message(bench: Bench) -> None:
    failing = Step(args=("apply", "--exit-code=7", "--message=no-such-package"))
    job = await bench.run(JobStep.APPLY, name="apply-bad", apply=failing)
    assert (job.outcome, job.exit_code, job.termination) == (Outcome.FAILED, 7, "no-such-package")


async def test_a_step_that_may_reboot_fails_at_once_when_its_script_fails_by_itself(bench: Bench) -> None:
    failing = Step(args=("apply", "--exit-code=3"))
    job = await bench.run(JobStep.APPLY, name="apply-reboot", apply=failing, reboot=Reboot.ALWAYS)
    assert (job.outcome, job.exit_code, job.reason) == (Outcome.FAILED, 3, "PodFailurePolicy")
    assert len(bench.admin.items(f"/api/v1/namespaces/{bench.namespace}/pods")) == 1


async def test_a_pod_that_was_killed_as_a_reboot_does_it_is_replaced_and_its_job_has_not_failed(bench: Bench) -> None:
    assert bench.case.rollout is not None
    killed = rollouts.change(apply=Step(args=("apply", "--exit-code=137")), reboot=Reboot.ALWAYS)
    case = replace(bench.case, rollout=replace(bench.case.rollout, change=killed))
    await bench.fleet.start_job(case, await bench.claim(), step=JobStep.APPLY, name="killed")
    await bench.until(lambda: JobStep.APPLY in bench.view().jobs and bench.view().jobs[JobStep.APPLY].exit_code == 137)
    assert bench.view().jobs[JobStep.APPLY].outcome is None
    # The Job controller waits ten seconds before it tries again.
    await bench.until(lambda: len(bench.admin.items(f"/api/v1/namespaces/{bench.namespace}/pods")) == 2)
    assert bench.view().jobs[JobStep.APPLY].outcome is None


async def test_a_job_is_created_once_however_often_it_is_asked_for(bench: Bench) -> None:
    ref = await bench.claim()
    for _ in range(2):
        await bench.fleet.start_job(bench.case, ref, step=JobStep.APPLY, name="twice")
    assert bench.fleet.orphan_jobs(bench.case.uid) == 1


async def test_a_job_of_somebody_else_under_our_name_is_not_taken_for_ours(bench: Bench) -> None:
    ref = await bench.claim()
    other = replace(bench.case, rollout=rollouts.rollout(namespace=bench.namespace, uid="somebody-else"))
    await bench.fleet.start_job(other, ref, step=JobStep.APPLY, name="taken")
    with pytest.raises(errors.Denied, match="not this rollout's"):
        await bench.fleet.start_job(bench.case, ref, step=JobStep.APPLY, name="taken")


async def test_a_job_that_cannot_start_says_what_its_pod_waits_for(bench: Bench) -> None:
    assert bench.case.rollout is not None
    missing = replace(bench.case.rollout, change=rollouts.change(image="sandbox.patchwright.dev/script:missing"))
    ref = await bench.claim()
    await bench.fleet.start_job(replace(bench.case, rollout=missing), ref, step=JobStep.APPLY, name="no-image")
    await bench.until(lambda: JobStep.APPLY in bench.view().jobs and bench.view().jobs[JobStep.APPLY].waiting != "")
    assert bench.view().jobs[JobStep.APPLY].waiting == "ImagePullBackOff"


async def test_a_deleted_job_stays_until_its_pod_is_gone(bench: Bench) -> None:
    ref = await bench.claim()
    assert bench.case.rollout is not None
    hanging = replace(bench.case.rollout, change=rollouts.change(apply=Step(args=("apply", "--hang"))))
    await bench.fleet.start_job(replace(bench.case, rollout=hanging), ref, step=JobStep.APPLY, name="hangs")
    await bench.until(lambda: bool(bench.admin.items(f"/api/v1/namespaces/{bench.namespace}/pods")))
    job = bench.view().jobs[JobStep.APPLY]
    await bench.fleet.delete_job("hangs", uid="11111111-2222-3333-4444-555555555555")
    assert bench.admin.get(f"/apis/batch/v1/namespaces/{bench.namespace}/jobs/hangs")["metadata"]["uid"] == job.uid
    await bench.fleet.delete_job("hangs", uid=job.uid)
    assert bench.view().jobs[JobStep.APPLY].deleting
    await bench.until(lambda: not bench.admin.items(f"/apis/batch/v1/namespaces/{bench.namespace}/jobs"))
    assert not bench.admin.items(f"/api/v1/namespaces/{bench.namespace}/pods")
    await bench.fleet.delete_job("hangs", uid=job.uid)
    assert bench.fleet.orphan_jobs(bench.case.uid) == 0


async def test_all_jobs_of_a_rollout_go_in_one_request_and_no_others(bench: Bench) -> None:
    ref = await bench.claim()
    other = replace(bench.case, rollout=rollouts.rollout(namespace=bench.namespace, uid="somebody-else"))
    for case, name in ((bench.case, "mine-1"), (bench.case, "mine-2"), (other, "theirs")):
        await bench.fleet.start_job(case, ref, step=JobStep.APPLY, name=name)
    await bench.fleet.delete_jobs(bench.case.uid)
    path = f"/apis/batch/v1/namespaces/{bench.namespace}/jobs"
    await bench.until(lambda: [each["metadata"]["name"] for each in bench.admin.items(path)] == ["theirs"])
    await bench.list_anew()
    assert (bench.fleet.orphan_jobs(bench.case.uid), bench.fleet.orphan_jobs("somebody-else")) == (0, 1)


async def test_jobs_that_have_ended_are_gone_at_once_and_one_that_runs_only_with_its_pod(bench: Bench) -> None:
    path = f"/apis/batch/v1/namespaces/{bench.namespace}/jobs"
    await bench.run(JobStep.APPLY, name="done")
    await bench.fleet.delete_jobs(bench.case.uid)
    assert not bench.admin.items(path)
    ref = await bench.claim()
    assert bench.case.rollout is not None
    hanging = replace(bench.case.rollout, change=rollouts.change(apply=Step(args=("apply", "--hang"))))
    await bench.fleet.start_job(replace(bench.case, rollout=hanging), ref, step=JobStep.APPLY, name="runs")
    # A Job that has no pod yet is gone at once, whatever the policy.
    pods = f"/api/v1/namespaces/{bench.namespace}/pods"
    await bench.until(lambda: any(each["metadata"]["name"].startswith("runs") for each in bench.admin.items(pods)))
    [pod] = [each for each in bench.admin.items(pods) if each["metadata"]["name"].startswith("runs")]
    # A kubelet takes its time to end a container; here the pod stays until we say so.
    mine = f"{pods}/{pod['metadata']['name']}"
    finalizers = pod["metadata"].get("finalizers", [])
    bench.admin.patch(mine, {"metadata": {"finalizers": [*finalizers, "example.org/still-runs"]}})
    await bench.fleet.delete_jobs(bench.case.uid)
    [left] = bench.admin.items(path)
    assert "foregroundDeletion" in left["metadata"]["finalizers"]
    bench.admin.patch(mine, {"metadata": {"finalizers": None}})
    await bench.until(lambda: not bench.admin.items(path))


def pod(name: str, node: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, **spec.pop("metadata", {})}
    container = {"name": "c", "image": "sandbox.patchwright.dev/app:1"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"nodeName": node, "containers": [container], **spec},
    }


async def test_the_pods_of_a_node_are_told_apart_as_a_drain_needs_it(bench: Bench) -> None:
    node, path = bench.names[0], f"/api/v1/namespaces/{bench.namespace}/pods"
    gone = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "gone", "uid": "u-1", "controller": True}
    fake = {**gone, "apiVersion": "example.org/v1", "uid": "u-2"}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}}
    owner = bench.admin.create(f"/api/v1/namespaces/{bench.namespace}/configmaps", body)["metadata"]["uid"]
    owned = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner}
    volumes = [{"name": "data", "emptyDir": {}}]
    for body in (
        pod("bare", node, volumes=volumes),
        pod("mirror", node, metadata={"annotations": {"kubernetes.io/config.mirror": "x"}}),
        # The garbage collector deletes it at once; the finalizer keeps it in sight.
        pod("orphan", node, metadata={"ownerReferences": [gone], "finalizers": ["example.org/stay"]}),
        pod("imposter", node, metadata={"ownerReferences": [fake]}),
        pod("owned", node, metadata={"ownerReferences": [owned], "labels": {"patchwright.dev/drain": "skip"}}),
        pod("waits", node, metadata={"annotations": {"patchwright.dev/drain": "wait-completed"}}),
        pod("capi", node, metadata={"labels": {"cluster.x-k8s.io/drain": "skip"}}),
        pod("karpenter", node, metadata={"annotations": {"karpenter.sh/do-not-disrupt": "true"}}),
        pod("operator-1", node),
        pod("elsewhere", bench.names[1]),
    ):
        bench.admin.create(path, body)
    bench.admin.wait(f"{path}/orphan", lambda it: "deletionTimestamp" in it["metadata"])
    bench.cache.own_pod = "operator-1"
    listed = await bench.fleet.pods(bench.view().ref)
    bench.admin.patch(f"{path}/orphan", {"metadata": {"finalizers": None}})
    seen = {each.ref.name: each for each in listed.pods if each.ref.namespace == bench.namespace}
    assert "elsewhere" not in seen
    assert (seen["bare"].owner, seen["bare"].emptydir, seen["bare"].mirror) == (Owner.NOBODY, True, False)
    assert seen["mirror"].mirror
    assert seen["orphan"].owner is Owner.ORPHANED_DAEMON_SET
    assert seen["orphan"].deleted_at is not None
    assert seen["imposter"].owner is Owner.OTHER
    assert (seen["owned"].owner, seen["owned"].opt_out) == (Owner.NOBODY, "patchwright.dev/drain=skip")
    assert seen["waits"].wait == "patchwright.dev/drain=wait-completed"
    assert seen["capi"].opt_out == "cluster.x-k8s.io/drain=skip"
    assert seen["karpenter"].do_not_disrupt == "karpenter.sh/do-not-disrupt=true"
    assert [name for name, each in seen.items() if each.operator] == ["operator-1"]


async def test_the_claims_of_a_pod_are_those_it_names_and_those_made_for_it(bench: Bench) -> None:
    template = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    volumes = [using("data"), {"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}]
    body = pod("db-0", bench.names[0], volumes=[*volumes, {"name": "tmp", "emptyDir": {}}])
    bench.admin.create(f"/api/v1/namespaces/{bench.namespace}/pods", body)
    [seen] = [each for each in (await bench.fleet.pods(bench.view().ref)).pods if each.ref.name == "db-0"]
    assert seen.claims == (f"{bench.namespace}/data", f"{bench.namespace}/db-0-scratch")


@pytest.fixture
def storage(api: admin.Client) -> Iterator[Storage]:
    found = Storage(api)
    yield found
    found.clear()


async def test_the_volumes_attached_to_a_node_are_told_with_their_claims(bench: Bench, storage: Storage) -> None:
    node, other, claim = *bench.names[:2], f"{bench.namespace}/data"
    volume = storage.claim(bench.namespace, "data")
    name = storage.attach(volume, node)
    storage.fails_to_detach(name, "node is\n busy")
    gone = storage.attach(f"gone-{bench.namespace}", node)
    storage.attach(f"elsewhere-{bench.namespace}", other)
    found = (await bench.fleet.volumes(bench.view().ref)).attachments
    assert sorted(found, key=lambda each: each.name, reverse=True) == [
        Attachment(name, volume, DRIVER, claim, "node is busy"),
        Attachment(gone, f"gone-{bench.namespace}", DRIVER),
    ]
    storage.detach(name)
    await asyncio.sleep(1)
    assert [each.name for each in (await bench.fleet.volumes(bench.view().ref)).attachments] == [gone]


async def test_nodes_that_are_drained_at_the_same_time_share_one_list_and_ask_for_each_volume_once(
    sandbox: controlplane.ControlPlane, bench: Bench, storage: Storage
) -> None:
    storage.attach(storage.claim(bench.namespace, "data"), bench.names[0])
    agent = f"patchwright-shared-{bench.namespace}"
    counted = await client.connect(sandbox.kubeconfig, user_agent=agent)
    volumes = Volumes(counted, utc_now)
    try:
        found = await asyncio.gather(*(volumes.of(name) for name in bench.names))
        await volumes.of(bench.names[0])
    finally:
        await counted.close()
    assert [len(each.attachments) for each in found] == [1, 0, 0, 0, 0, 0]
    mine: list[Any] = [each for each in sandbox.audit() if each.get("userAgent") == agent]
    assert [each["objectRef"]["resource"] for each in mine] == ["volumeattachments", "persistentvolumes"]


async def test_without_the_right_to_list_attachments_the_sentence_says_so(
    sandbox: controlplane.ControlPlane, bench: Bench
) -> None:
    stranger = await client.connect(sandbox.kubeconfig_for("nobody-in-particular"))
    with pytest.raises(errors.Denied, match='cannot list resource "volumeattachments"'):
        await Volumes(stranger, utc_now).of(bench.names[0])
    await stranger.close()


async def test_a_node_that_system_upgrade_controller_works_on_is_busy_until_its_job_is_done(bench: Bench) -> None:
    labels = {"upgrade.cattle.io/node": bench.names[0]}
    container = {"name": "c", "image": "sandbox.patchwright.dev/suc:1", "args": ["--hang"]}
    template = {"spec": {"nodeName": bench.names[0], "restartPolicy": "Never", "containers": [container]}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "suc", "labels": labels}}
    bench.admin.create(f"/apis/batch/v1/namespaces/{bench.namespace}/jobs", {**job, "spec": {"template": template}})
    await bench.fleet.look_for_others()
    assert bench.view().foreign == f"system-upgrade-controller (Job {bench.namespace}/suc)"
    policy = {"propagationPolicy": "Background"}
    bench.admin.delete(f"/apis/batch/v1/namespaces/{bench.namespace}/jobs/suc", policy)
    await bench.fleet.look_for_others()
    assert bench.view().foreign == ""


async def test_a_patched_node_costs_few_requests(sandbox: controlplane.ControlPlane, bench: Bench) -> None:
    counted = await client.connect(sandbox.kubeconfig, user_agent="patchwright-counted/1")
    bench.fleet = KubeFleet(counted, bench.cache, drivers={"script": script.render})
    record = rollouts.record(bench.case.uid)
    try:
        await bench.claim(Mark.DRAINING)
        await bench.fleet.pods(bench.view().ref)
        await bench.write(lambda ref: bench.fleet.mark(ref, replace(record, mark=Mark.APPLYING)))
        await bench.fleet.start_job(bench.case, bench.view().ref, step=JobStep.APPLY, name="counted")
        await bench.write(lambda ref: bench.fleet.uncordon(ref, None, keep_cordon=False, label=None))
    finally:
        await counted.close()
    mine: list[Any] = [each for each in sandbox.audit() if each.get("userAgent") == "patchwright-counted/1"]
    # A conflict with a heartbeat costs two more, and is no fault of the protocol.
    assert len([each for each in mine if each["responseStatus"]["code"] != 409 and each["verb"] != "get"]) == 5
