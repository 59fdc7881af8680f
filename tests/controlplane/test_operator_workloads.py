"""Images of workloads on the real kube-controller-manager, patched by the real operator, each watched by the observer.

The laws are checked over everything that happened when a test ends (``shop`` in conftest.py); what stands here is what
each story is to come to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from support import workload_world
from support.observer import SYSTEM, Change
from support.operator_scene import pause
from support.workload_scene import REPOSITORY, WorkloadScene, digest, image

pytestmark = pytest.mark.controlplane
QUICK = {"canary": {"count": 1, "soak": "1s"}, "maxUnavailable": "50%"}


def test_deployments_of_three_namespaces_get_a_new_image_canary_first(shop: WorkloadScene) -> None:
    for _ in range(3):
        shop.deployments(shop.space(), "web", "api")
    shop.image_policy(strategy={"canary": {"count": 1, "soak": "2s"}, "waves": [{"size": 2, "soak": "1s"}]})
    rollout = shop.image_rollout("1.1")

    status = shop.until_phase(rollout, "Succeeded")

    assert status["updated"] == "6/6"
    assert set(shop.images().values()) == {image("1.1")}
    assert shop.image_marks() == {}
    assert shop.phases(rollout)[:3] == ["Pending", "Canary", "Soaking"]
    assert len(shop.begun(rollout)) == 6
    ready = {one["type"]: one["message"] for one in shop.policy_status()["conditions"]}
    assert ready == {"Ready": "selects 6 workloads"}


def test_a_crashing_image_stops_at_the_canary_is_put_back_and_is_not_tried_again(shop: WorkloadScene) -> None:
    for _ in range(2):
        shop.deployments(shop.space(), "web", "api", "job")
    before = shop.images()
    shop.image_policy(strategy=QUICK)
    bad = shop.image_rollout("1.2-bad")

    status = shop.until_phase(bad, "RolledBack")

    assert status["cause"]["reason"] == "CanaryFailed"
    assert "crashes, 3 times by now" in status["message"]
    assert "put back: 1" in status["message"]
    assert shop.images() == before
    [canary] = shop.begun(bad)
    # One pod more than the Deployment has, its surge: no other pod ever ran the bad image.
    assert 1 <= len(shop.exposed("1.2-bad")) <= 2
    assert all(name.startswith(f"{canary}-") for name in shop.exposed("1.2-bad"))
    [failed] = shop.policy_status()["failedChanges"]
    assert (failed["version"], failed["rollout"]) == ("web:1.2-bad", f"{SYSTEM}/{bad}")

    again = shop.image_rollout("1.2-bad", name=f"{shop.name}-again")
    denied = shop.until_phase(again, "Denied")
    assert denied["cause"]["reason"] == "FailedBefore"
    assert shop.begun(again) == []

    shop.until_phase(shop.image_rollout("1.3"), "Succeeded")
    assert set(shop.images().values()) == {image("1.3")}


def test_a_failure_in_the_waves_puts_everything_back_to_the_old_digest(shop: WorkloadScene) -> None:
    space, full = shop.space(), shop.space()
    # Kubernetes keeps no ReplicaSet of what was there before.
    shop.deployments(space, "web", "api", revisionHistoryLimit=0)
    shop.deployments(full, "zoo", labels={"patchwright.dev/risk": "high"})
    before = shop.images()
    # There is no room for one pod more there, so that a rollout never gets anywhere.
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full"}, "spec": {"hard": {"pods": "2"}}}
    shop.api.create(f"/api/v1/namespaces/{full}/resourcequotas", quota)
    used = lambda found: found.get("status", {}).get("used", {}).get("pods") == "2"  # noqa: E731 (a condition in a word)
    shop.api.wait(f"/api/v1/namespaces/{full}/resourcequotas/full", used)
    shop.image_policy(strategy={**QUICK, "progressDeadlineSeconds": 10})
    rollout = shop.image_rollout("2.0")

    status = shop.until_phase(rollout, "RolledBack")

    assert status["cause"]["reason"] == "FailureThreshold"
    assert f"first Deployment {full}/zoo: it has 0 of 2 pods updated still after 10s" in status["message"]
    assert "put back: 3" in status["message"]
    assert shop.begun(rollout)[-1] == "zoo"
    assert shop.images() == before
    assert [one["version"] for one in shop.policy_status()["failedChanges"]] == ["web:2.0"]


def test_an_image_that_cannot_be_pulled_fails_after_half_a_minute(shop: WorkloadScene) -> None:
    shop.deployments(shop.space(), "web", "api")
    before = shop.images()
    shop.image_policy(strategy={**QUICK, "progressDeadlineSeconds": 600})
    status = shop.until_phase(shop.image_rollout("1.4-missing"), "RolledBack", timeout=120)
    assert "cannot start: ImagePullBackOff: Back-off pulling image" in status["message"]
    assert shop.images() == before


@pytest.mark.parametrize("management", ["OrderedReady", "Parallel"])
def test_a_stateful_set_that_is_stuck_on_a_broken_pod_is_freed(shop: WorkloadScene, management: str) -> None:
    space = shop.space()
    spec = {"replicas": 3, "serviceName": "db", "template": {"spec": shop.pods_of("1.0")}}
    shop.workload("StatefulSet", space, "db", spec, podManagementPolicy=management)
    shop.until(lambda: shop.settled("StatefulSet", space, "db"), "the StatefulSet")
    shop.image_policy(strategy=QUICK)

    status = shop.until_phase(shop.image_rollout("1.5-bad"), "RolledBack", timeout=120)

    assert "put back: 1" in status["message"]
    assert shop.images() == {f"{space}/db": image("1.0")}
    assert shop.settled("StatefulSet", space, "db")
    assert {name.rpartition("-")[2] for name in shop.exposed("1.5-bad")} == {"2"}, "one pod, the last, had it"
    if management == "OrderedReady":
        # With Parallel, Kubernetes moves past the broken pod by itself before it is in the way (kubernetes#96218).
        shop.until(lambda: shop.events("BrokenPodDeleted", about="db"), "the event")
    shop.until_phase(shop.image_rollout("1.6"), "Succeeded")
    assert shop.images() == {f"{space}/db": image("1.6")}


def test_every_kind_is_patched_and_what_runs_no_pods_comes_after_the_canary(shop: WorkloadScene) -> None:
    space = shop.space()
    shop.deployments(space, "web")
    shop.deployments(space, "asleep", replicas=0)
    shop.workload("DaemonSet", space, "agent", {"template": {"spec": shop.pods_of("1.0")}})
    shop.until(lambda: shop.settled("DaemonSet", space, "agent"), "the DaemonSet")
    nightly = {"spec": {"template": {"spec": {**shop.pods_of("1.0"), "restartPolicy": "Never"}}}}
    shop.workload("CronJob", space, "nightly", {"schedule": "0 3 1 1 *", "jobTemplate": nightly})
    shop.image_policy(strategy={"canary": {"count": 2, "soak": "1s"}, "maxUnavailable": 2})
    rollout = shop.image_rollout("1.1")

    status = shop.until_phase(rollout, "Succeeded")

    assert status["updated"] == "4/4"
    assert set(shop.images().values()) == {image("1.1")}
    assert set(shop.begun(rollout)[:2]) == {"agent", "web"}
    shop.until(lambda: shop.events("Patched", about="nightly"), "the event")
    [told] = shop.events("Patched", about="nightly")
    assert "unproven until its next run" in told["note"]


def test_what_nobody_can_patch_is_told_of_and_left_alone(shop: WorkloadScene) -> None:
    space = shop.space()
    shop.deployments(space, "web")
    spec = {**shop.pods_of("1.0"), "nodeSelector": shop.selector}
    bare = {"metadata": {"name": "debug", "labels": shop.selector}, "spec": spec}
    about = {"name": "proxy-n1", "labels": shop.selector, "annotations": {"kubernetes.io/config.mirror": "x"}}
    static = {"metadata": about, "spec": {**spec, "nodeName": shop.nodes[0]}}
    shop.api.create_all(f"/api/v1/namespaces/{space}/pods", [bare, static])
    never = {"template": {"spec": {**spec, "restartPolicy": "Never"}}}
    jobs = {"import": {**never, "suspend": True}, "done": {**never, "activeDeadlineSeconds": 1, "backoffLimit": 0}}
    for name, body in jobs.items():
        about = {"name": name, "labels": shop.selector}
        shop.api.create(f"/apis/batch/v1/namespaces/{space}/jobs", {"metadata": about, "spec": body})
    over = lambda found: any(one["status"] == "True" for one in found.get("status", {}).get("conditions", ()))  # noqa: E731 (a condition in a word)
    shop.api.wait(f"/apis/batch/v1/namespaces/{space}/jobs/done", over)
    shop.image_policy(strategy=QUICK)
    # They are listed every ten minutes, and at the start.
    shop.restart()

    shop.until(lambda: "standalone" in shop.policy_status(), "what nobody can patch being told")
    found = [(one["kind"], one["name"], one.get("static", False)) for one in shop.policy_status()["standalone"]]
    assert found == [("Job", "import", False), ("Pod", "debug", False), ("Pod", "proxy-n1", True)]
    assert shop.policy_status()["standaloneTotal"] == 3
    [ready] = [one["message"] for one in shop.policy_status()["conditions"] if one["type"] == "Ready"]
    assert ready == (
        "selects 1 workloads; 3 Jobs and pods without a controller run its images and cannot be patched, "
        "see status.standalone"
    )
    assert shop.until_phase(shop.image_rollout("1.1"), "Succeeded")["updated"] == "1/1"
    assert shop.exposed("1.0") >= {"debug", "proxy-n1"}
    assert not shop.exposed("1.1") & {"debug", "proxy-n1"}


def test_every_place_of_an_image_is_patched_and_put_back_and_nothing_else_is(shop: WorkloadScene) -> None:
    space = shop.space()
    old = {"image": image("1.0")}
    pods = {
        "initContainers": [{"name": "migrate", **old}, {"name": "mesh", "restartPolicy": "Always", **old}],
        "containers": [{"name": "other", "image": "registry.example/shop/other:1"}, {"name": "app", **old}],
        "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "model", "image": {"reference": image("1.0")}}],
    }
    shop.workload("Deployment", space, "web", {"replicas": 2, "template": {"spec": pods}})
    shop.until(lambda: shop.settled("Deployment", space, "web"), "the Deployment")
    shop.image_policy(strategy={**QUICK, "canary": {"count": 1, "soak": "2s"}})

    def places() -> dict[str, str]:
        return workload_world.images("Deployment", shop.get("Deployment", space, "web"))

    before = places()
    rollout = shop.image_rollout("1.1")
    wanted = {**dict.fromkeys(before, image("1.1")), "containers/other": "registry.example/shop/other:1"}
    shop.until(lambda: places() == wanted, "the new images")
    fields = (shop.get("Deployment", space, "web") or {})["metadata"]["managedFields"]
    assert {entry["operation"] for entry in fields} == {"Update"}, "nothing was applied that could be left out later"
    shop.annotate("PatchRollout", rollout, "patchwright.dev/abort", "true")
    shop.until_phase(rollout, "RolledBack")
    assert places() == before
    assert len(before) == 5


def test_what_belongs_to_somebody_else_is_left_alone_and_named(shop: WorkloadScene) -> None:
    space = shop.space()
    shop.deployments(space, "web", "api")
    shop.deployments(space, "synced", labels={"kustomize.toolkit.fluxcd.io/name": "apps"})
    shop.deployments(space, "argo", annotations={"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/argo"})
    shop.deployments(space, "outage", strategy={"type": "Recreate"})
    shop.image_policy(strategy=QUICK)

    status = shop.until_phase(shop.image_rollout("1.1"), "Succeeded")

    assert status["updated"] == "2/5"
    skipped = {one["name"].rpartition("/")[2]: (one["reason"], one["message"]) for one in status["skipped"]}
    assert {name: reason for name, (reason, _) in skipped.items()} == {
        "synced": "OwnershipConflict", "argo": "OwnershipConflict", "outage": "Recreate",
    }  # fmt: skip
    assert "Flux Kustomization apps applies it from Git" in skipped["synced"][1]
    assert "Argo CD application shop applies it from Git" in skipped["argo"][1]
    assert {shop.images()[f"{space}/{name}"] for name in skipped} == {image("1.0")}


def test_whoever_changes_an_image_in_the_middle_keeps_it(shop: WorkloadScene) -> None:
    space = shop.space()
    shop.deployments(space, "web")
    shop.image_policy(strategy=QUICK)
    # kwok pulls it never, so that the canary waits.
    rollout = shop.image_rollout("1.1-missing")
    shop.until(lambda: shop.begun(rollout), "the canary")
    own = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": image("9.9")}]}}}}
    shop.change_workload("Deployment", space, "web", own)

    status = shop.until_phase(rollout, "Failed")

    assert [(one["name"], one["reason"]) for one in status["quarantined"]] == [
        (f"Deployment {space}/web", "ImageChanged")
    ]
    assert shop.images() == {f"{space}/web": image("9.9")}
    assert not shop.policy_status().get("failedChanges"), "the digest is not to blame"


def test_a_paused_deployment_is_waited_for_and_never_resumed(shop: WorkloadScene) -> None:
    space = shop.space()
    shop.deployments(space, "web")
    shop.deployments(space, "api", paused=False)
    shop.change_workload("Deployment", space, "api", {"spec": {"paused": True}})
    shop.image_policy(strategy=QUICK)
    rollout = shop.image_rollout("1.1")
    shop.until_message(rollout, f"waits for Deployment {space}/api: its rollouts are paused by spec.paused")
    assert shop.images()[f"{space}/api"] == image("1.0")
    shop.change_workload("Deployment", space, "api", {"spec": {"paused": None}})
    assert shop.until_phase(rollout, "Succeeded")["updated"] == "2/2"


def test_an_old_record_that_kubectl_rollout_undo_brings_back_is_in_nobody_s_way(shop: WorkloadScene) -> None:
    space = shop.space()
    shop.deployments(space, "web")
    shop.image_policy(strategy=QUICK)
    first = shop.image_rollout("1.1")
    shop.until_phase(first, "Succeeded")
    shop.until_phase(shop.image_rollout("1.2"), "Succeeded")
    shop.delete("PatchRollout", first)
    shop.until_gone(first)

    shop.undo(space, "web", back_to="1.1")

    shop.until(lambda: shop.image_marks() == {"web": "Done"}, "its record having come back from the ReplicaSet")
    shop.until(lambda: shop.settled("Deployment", space, "web"), "the undo")
    assert shop.images() == {f"{space}/web": image("1.1")}
    shop.until_phase(shop.image_rollout("1.3"), "Succeeded")
    assert shop.images() == {f"{space}/web": image("1.3")}


def test_whoever_undoes_a_rollback_after_the_rollout_is_over_has_his_way(shop: WorkloadScene) -> None:
    space = shop.space()
    shop.deployments(space, "web")
    shop.image_policy(strategy=QUICK)
    shop.until_phase(shop.image_rollout("1.2-bad"), "RolledBack")
    # The ReplicaSet of the bad image still carries the record of its failure, and brings it back.
    shop.undo(space, "web", back_to="1.2-bad")
    shop.until(lambda: shop.image_marks() == {}, "the record being removed again")
    pause(2)
    assert shop.images() == {f"{space}/web": image("1.2-bad")}


def test_a_tenant_reaches_the_workloads_of_its_own_namespace_only(shop: WorkloadScene) -> None:
    mine, theirs = shop.space(), shop.space()
    shop.deployments(mine, "web")
    shop.deployments(theirs, "web")
    where = f"/apis/patchwright.dev/v1alpha1/namespaces/{mine}"
    own = {"selector": {}, "images": [{"image": REPOSITORY}]}
    greedy = {**own, "namespaceSelector": {}}
    targets = {"own": {"workloads": own}, "greedy": {"workloads": greedy}, "nodes": {"nodes": {"selector": {}}}}
    for name, target in targets.items():
        strategy = {"canary": {"count": 1, "soak": "1s"}, "maxUnavailable": 1}
        body = shop.manifest("PatchPolicy", name, {"target": target, "strategy": strategy})
        body["metadata"]["namespace"] = mine
        shop.api.create(f"{where}/patchpolicies", body)

    def ready(name: str) -> Callable[[Any], bool]:
        def told(found: Any) -> bool:
            conditions = {each["type"]: each for each in found.get("status", {}).get("conditions", ())}
            return bool(conditions.get("Ready", {}).get("reason") == name)

        return told

    shop.api.wait(f"{where}/patchpolicies/own", ready("Succeeded"))
    shop.api.wait(f"{where}/patchpolicies/greedy", ready("NotAllowed"))
    shop.api.wait(f"{where}/patchpolicies/nodes", ready("NotAllowed"))
    change = {"images": [{"image": REPOSITORY, "tag": "1.1", "digest": digest("1.1")}]}
    for name in ("greedy", "own"):
        body = shop.manifest("PatchRollout", name, {"policyRef": {"name": name}, "change": change})
        body["metadata"]["namespace"] = mine
        shop.api.create(f"{where}/patchrollouts", body)
    ended = shop.api.wait(
        f"{where}/patchrollouts/own", lambda found: found.get("status", {}).get("phase") == "Succeeded", timeout=60
    )
    assert ended["status"]["updated"] == "1/1"
    why = "may target workloads of its own namespace only"
    held = shop.api.wait(
        f"{where}/patchrollouts/greedy", lambda found: why in found.get("status", {}).get("message", "")
    )
    assert held["status"]["phase"] == "Pending"
    assert shop.images() == {f"{mine}/web": image("1.1"), f"{theirs}/web": image("1.0")}
    for name in ("greedy", "own"):
        shop.api.delete(f"{where}/patchrollouts/{name}")
    shop.api.wait(f"{where}/patchrollouts", lambda found: not found["items"])


# --- crashes --------------------------------------------------------------------------------------------------------


def marked(mark: str) -> Callable[[Change], bool]:
    return lambda change: (
        change.kind in workload_world.KINDS and workload_world.record(change.after).get("mark") == mark
    )


def status_of(holds: Callable[[dict[str, Any]], Any]) -> Callable[[Change], Any]:
    return lambda change: change.kind == "PatchRollout" and holds((change.after or {}).get("status") or {})


FORWARD = {
    "the images of the canary": marked("Applying"),
    "the canary being done": marked("Done"),
    "the soak": status_of(lambda found: found.get("phase") == "Soaking"),
    "the rest": status_of(lambda found: found.get("wave", {}).get("index") == 1),
    "the outcome": status_of(lambda found: found.get("outcome")),
}
BACKWARD = {
    "the failure": marked("Failed"),
    "the cause": status_of(lambda found: found.get("cause")),
    "the images being put back": marked("RollingBack"),
    "the canary being put back": marked("RolledBack"),
    "the outcome": status_of(lambda found: found.get("outcome")),
}


def kill_at_every(shop: WorkloadScene, signs: dict[str, Callable[[Change], Any]]) -> None:
    shop.crashed = True
    for what, sign in signs.items():
        shop.await_change(sign, what)
        shop.operator.kill()
        shop.observer.settle()
        shop.operator.start()


def test_a_rollout_of_images_outlives_a_kill_at_each_of_five_points(shop: WorkloadScene) -> None:
    shop.deployments(shop.space(), "web", "api", "job", "pay")
    shop.image_policy(strategy={**QUICK, "canary": {"count": 1, "soak": "2s"}})
    rollout = shop.image_rollout("1.1")
    kill_at_every(shop, FORWARD)
    assert shop.until_phase(rollout, "Succeeded")["updated"] == "4/4"
    assert shop.image_marks() == {}


def test_a_rollback_of_images_outlives_a_kill_at_each_of_five_points(shop: WorkloadScene) -> None:
    shop.deployments(shop.space(), "web", "api")
    before = shop.images()
    shop.image_policy(strategy=QUICK)
    rollout = shop.image_rollout("1.2-bad")
    kill_at_every(shop, BACKWARD)
    shop.until_phase(rollout, "RolledBack")
    assert shop.images() == before
    assert shop.image_marks() == {}
    assert [one["version"] for one in shop.policy_status()["failedChanges"]] == ["web:1.2-bad"]


def test_an_aborted_rollout_of_images_is_put_back_everywhere(shop: WorkloadScene) -> None:
    shop.deployments(shop.space(), "web", "api", "job")
    before = shop.images()
    shop.image_policy(strategy={"canary": {"count": 1, "soak": "0s"}, "maxUnavailable": 1})
    rollout = shop.image_rollout("1.1")
    shop.until(lambda: len(shop.begun(rollout)) >= 2, "a second one")
    shop.annotate("PatchRollout", rollout, "patchwright.dev/abort", "true")
    status = shop.until_phase(rollout, "RolledBack")
    assert status["cause"]["reason"] == "Aborted"
    pause(1)
    assert shop.images() == before
