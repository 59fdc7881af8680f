"""A canary of some pods within a workload, on the real controllers, each story watched by the observer.

That no more pods than the canary's ever had a bad image is a law (``workload_world.few_pods``), which is checked over
everything that happened when a test ends; what stands here is what each story is to come to.
"""

from __future__ import annotations

from typing import Any

import pytest

from patchwright.domain.workloads.beside import LABEL
from support import workload_world
from support.observer import Change, Raw
from support.operator_scene import pause
from support.workload_scene import WorkloadScene, image

pytestmark = pytest.mark.controlplane
ONE_POD = {"canary": {"count": 1, "soak": "3s", "pods": 1}, "maxUnavailable": "50%"}


def stateful(shop: WorkloadScene, *names: str, replicas: int = 3, **spec: Any) -> str:
    space = shop.space()
    for name in names:
        body = {"replicas": replicas, "serviceName": name, "template": {"spec": shop.pods_of("1.0")}, **spec}
        shop.workload("StatefulSet", space, name, body)
    shop.until(lambda: all(shop.settled("StatefulSet", space, name) for name in names), "the StatefulSets")
    return space


def strategy(shop: WorkloadScene, kind: str, space: str, name: str) -> Any:
    found = shop.get(kind, space, name)
    assert found is not None
    return found["spec"]["updateStrategy"]


def sampled(shop: WorkloadScene) -> Change:
    """Wait until a canary's pods are well; give that change."""
    shop.await_change(
        lambda change: workload_world.record(change.after).get("mark") == "CanaryDone", "the canary's pods"
    )
    # Pods are another watch than the one that told of the mark.
    shop.observer.settle("Pod")
    found = (each for each in shop.observer.since(shop.mark) if each.kind in workload_world.KINDS)
    return next(each for each in found if workload_world.record(each.after).get("mark") == "CanaryDone")


def ordinals(names: set[str]) -> set[str]:
    return {name.rpartition("-")[2] for name in names}


def kill_at(shop: WorkloadScene, mark: str) -> None:
    """Kill the operator, as by kill -9, once it has written a mark, and start it again."""
    shop.await_change(lambda change: workload_world.record(change.after).get("mark") == mark, mark)
    shop.operator.kill()
    shop.observer.settle()
    shop.operator.start()


def test_one_pod_of_a_stateful_set_soaks_before_the_rest_of_it_and_then_the_others_follow(shop: WorkloadScene) -> None:
    space = stateful(shop, "db", "queue")
    before = strategy(shop, "StatefulSet", space, "db")
    shop.image_policy(strategy=ONE_POD)
    rollout = shop.image_rollout("1.1")

    canary = sampled(shop).thing
    assert ordinals(shop.exposed("1.1")) == {"2"}
    assert canary["spec"]["updateStrategy"] == {**before, "rollingUpdate": {**before["rollingUpdate"], "partition": 2}}
    status = shop.until_phase(rollout, "Succeeded")

    assert status["updated"] == "2/2"
    assert set(shop.images().values()) == {image("1.1")}
    assert [strategy(shop, "StatefulSet", space, name) for name in ("db", "queue")] == [before, before]
    assert shop.image_marks() == {}
    shop.until(lambda: shop.events("CanaryPatched", about="db"), "the event")


def test_a_bad_image_reaches_one_pod_of_a_stateful_set_and_its_strategy_goes_back_with_it(shop: WorkloadScene) -> None:
    space = stateful(shop, "db", replicas=4)
    before = strategy(shop, "StatefulSet", space, "db")
    shop.image_policy(strategy={**ONE_POD, "canary": {"count": 1, "soak": "2s", "pods": "50%"}})

    status = shop.until_phase(shop.image_rollout("1.2-bad"), "RolledBack")

    assert status["cause"]["reason"] == "CanaryFailed"
    # Under OrderedReady the second one of the two never had its turn.
    assert ordinals(shop.exposed("1.2-bad")) == {"3"}
    assert shop.images() == {f"{space}/db": image("1.0")}
    assert strategy(shop, "StatefulSet", space, "db") == before
    assert shop.settled("StatefulSet", space, "db")
    assert shop.image_marks() == {}


def test_a_stateful_set_that_is_scaled_while_one_of_its_pods_is_the_canary_keeps_one(shop: WorkloadScene) -> None:
    space = stateful(shop, "db")
    shop.image_policy(strategy=ONE_POD)
    rollout = shop.image_rollout("1.1")
    sampled(shop)

    shop.change_workload("StatefulSet", space, "db", {"spec": {"replicas": 2}})

    held = lambda: strategy(shop, "StatefulSet", space, "db")["rollingUpdate"]["partition"] == 1  # noqa: E731 (a condition in a word)
    shop.until(held, "its partition following it")
    shop.until_phase(rollout, "Succeeded")
    assert strategy(shop, "StatefulSet", space, "db")["rollingUpdate"]["partition"] == 0
    assert ordinals(shop.exposed("1.1")) == {"0", "1", "2"}


def test_whoever_takes_the_partition_away_gets_the_old_images_and_keeps_his_strategy(shop: WorkloadScene) -> None:
    space = stateful(shop, "db")
    shop.image_policy(strategy={**ONE_POD, "canary": {"count": 1, "soak": "60s", "pods": 1}})
    rollout = shop.image_rollout("1.1")
    sampled(shop)

    own = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    shop.change_workload("StatefulSet", space, "db", {"spec": {"updateStrategy": own}})

    status = shop.until_phase(rollout, "RolledBack")
    assert "somebody changed its update strategy while some of its pods were the canary" in status["message"]
    assert strategy(shop, "StatefulSet", space, "db")["rollingUpdate"]["partition"] == 1
    assert shop.images() == {f"{space}/db": image("1.0")}
    assert not shop.policy_status().get("failedChanges"), "the digest is not to blame"


def test_an_aborted_canary_of_one_pod_outlives_kills_and_goes_back(shop: WorkloadScene) -> None:
    space = stateful(shop, "db")
    before = strategy(shop, "StatefulSet", space, "db")
    shop.image_policy(strategy={**ONE_POD, "canary": {"count": 1, "soak": "60s", "pods": 1}})
    rollout = shop.image_rollout("1.1")
    shop.crashed = True
    for mark in ("Canary", "CanaryDone"):
        kill_at(shop, mark)
    shop.annotate("PatchRollout", rollout, "patchwright.dev/abort", "true")

    shop.until_phase(rollout, "RolledBack")
    pause(1)
    assert shop.images() == {f"{space}/db": image("1.0")}
    assert strategy(shop, "StatefulSet", space, "db") == before
    assert shop.image_marks() == {}


# --- Deployments ----------------------------------------------------------------------------------------------------


def beside(shop: WorkloadScene, space: str) -> list[Raw]:
    """Give the canary Deployments of a namespace."""
    found = (one for one in shop.observer.all("Deployment") if one["metadata"]["namespace"] == space)
    return [one for one in found if LABEL in one["metadata"].get("labels", {})]


def gone(shop: WorkloadScene, space: str) -> bool:
    """Tell whether nothing of a canary is left, not even a pod."""
    pods = (one for one in shop.observer.all("Pod") if one["metadata"]["namespace"] == space)
    return not beside(shop, space) and not any(LABEL in one["metadata"].get("labels", {}) for one in pods)


def test_one_pod_beside_a_deployment_soaks_behind_its_service_before_the_rest_follows(shop: WorkloadScene) -> None:
    space = shop.space()
    shop.deployments(space, "web", "api")
    shop.image_policy(strategy=ONE_POD)
    rollout = shop.image_rollout("1.1")

    stable = sampled(shop).thing
    [canary] = beside(shop, space)
    name = stable["metadata"]["name"]
    assert canary["metadata"]["name"].startswith(f"{name}-canary-")
    [owner] = canary["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner.get("controller")) == ("Deployment", stable["metadata"]["uid"], None)
    labels = canary["spec"]["template"]["metadata"]["labels"]
    assert labels == {**stable["spec"]["template"]["metadata"]["labels"], LABEL: canary["metadata"]["name"]}
    assert workload_world.images("Deployment", stable) == {"containers/app": image("1.0")}
    assert workload_world.images("Deployment", canary) == {"containers/app": image("1.1")}
    status = shop.until_phase(rollout, "Succeeded")

    assert status["updated"] == "2/2"
    assert shop.begun(rollout) == [name, {"web": "api", "api": "web"}[name]]
    assert set(shop.images().values()) == {image("1.1")}
    assert gone(shop, space)
    assert shop.image_marks() == {}


def test_a_bad_image_reaches_one_pod_beside_a_deployment_and_no_other(shop: WorkloadScene) -> None:
    space = shop.space()
    shop.deployments(space, "web", "api")
    before = {name: shop.get("Deployment", space, name) for name in ("web", "api")}
    shop.image_policy(strategy=ONE_POD)

    status = shop.until_phase(shop.image_rollout("1.2-bad"), "RolledBack")

    assert status["cause"]["reason"] == "CanaryFailed"
    assert "crashes, 3 times by now" in status["message"]
    [exposed] = shop.exposed("1.2-bad")
    assert "-canary-" in exposed
    assert gone(shop, space)
    for name, was in before.items():
        found = shop.get("Deployment", space, name)
        assert found is not None
        assert was is not None
        assert found["spec"] == was["spec"], "it was never touched"
    assert shop.image_marks() == {}


def test_a_canary_beside_a_deployment_outlives_a_kill_at_each_of_its_steps(shop: WorkloadScene) -> None:
    space = shop.space()
    shop.deployments(space, "web", replicas=3)
    shop.image_policy(strategy=ONE_POD)
    rollout = shop.image_rollout("1.1")
    shop.crashed = True
    for mark in ("Canary", "CanaryDone", "Applying", "Done"):
        kill_at(shop, mark)

    assert shop.until_phase(rollout, "Succeeded")["updated"] == "1/1"
    assert shop.images() == {f"{space}/web": image("1.1")}
    shop.until(lambda: gone(shop, space), "the canary being gone")


def test_a_rollback_beside_a_deployment_outlives_a_kill_at_each_of_its_steps(shop: WorkloadScene) -> None:
    space = shop.space()
    shop.deployments(space, "web")
    shop.image_policy(strategy=ONE_POD)
    rollout = shop.image_rollout("1.2-bad")
    shop.crashed = True
    for mark in ("Canary", "Failed", "RollingBack", "RolledBack"):
        kill_at(shop, mark)

    shop.until_phase(rollout, "RolledBack")
    assert shop.images() == {f"{space}/web": image("1.0")}
    assert len(shop.exposed("1.2-bad")) == 1
    shop.until(lambda: gone(shop, space), "the canary being gone")


def test_a_rollout_that_is_deleted_in_its_soak_takes_the_canary_with_it(shop: WorkloadScene) -> None:
    space = shop.space()
    shop.deployments(space, "web")
    shop.image_policy(strategy={**ONE_POD, "canary": {"count": 1, "soak": "60s", "pods": 1}})
    rollout = shop.image_rollout("1.1")
    sampled(shop)

    shop.delete("PatchRollout", rollout)
    shop.until_gone(rollout)

    shop.until(lambda: gone(shop, space), "the canary being gone")
    assert shop.images() == {f"{space}/web": image("1.0")}


def test_whoever_deletes_the_canary_ends_it_and_blames_no_image(shop: WorkloadScene) -> None:
    space = shop.space()
    shop.deployments(space, "web")
    shop.image_policy(strategy={**ONE_POD, "canary": {"count": 1, "soak": "60s", "pods": 1}})
    rollout = shop.image_rollout("1.1")
    sampled(shop)

    [canary] = beside(shop, space)
    shop.api.delete(f"/apis/apps/v1/namespaces/{space}/deployments/{canary['metadata']['name']}")

    status = shop.until_phase(rollout, "RolledBack")
    assert f"canary Deployment {canary['metadata']['name']}" in status["message"]
    assert shop.images() == {f"{space}/web": image("1.0")}
    assert not shop.policy_status().get("failedChanges")


# --- DaemonSets -----------------------------------------------------------------------------------------------------


def daemons(shop: WorkloadScene) -> str:
    space = shop.space()
    shop.workload("DaemonSet", space, "agent", {"template": {"spec": shop.pods_of("1.0")}})
    shop.until(lambda: shop.settled("DaemonSet", space, "agent"), "the DaemonSet")
    return space


def nodes_of(shop: WorkloadScene, tag: str) -> set[str]:
    """Give the nodes on which there are pods of an image."""
    found = (one for one in shop.observer.all("Pod") if one["metadata"]["name"].startswith("agent-"))
    return {one["spec"].get("nodeName", "") for one in found if one["spec"]["containers"][0]["image"] == image(tag)}


def test_the_pods_of_two_nodes_are_replaced_one_at_a_time_and_soak_before_the_other_nodes(shop: WorkloadScene) -> None:
    space = daemons(shop)
    before = strategy(shop, "DaemonSet", space, "agent")
    shop.image_policy(strategy={**ONE_POD, "canary": {"count": 1, "soak": "2s", "pods": "50%"}})
    rollout = shop.image_rollout("1.1")

    canary = sampled(shop).thing
    assert canary["spec"]["updateStrategy"] == {"type": "OnDelete"}
    first = sorted(node["metadata"]["name"] for node in shop.observer.all("Node"))[:2]
    assert nodes_of(shop, "1.1") == set(first)
    status = shop.until_phase(rollout, "Succeeded")

    assert status["updated"] == "1/1"
    assert shop.images() == {f"{space}/agent": image("1.1")}
    assert strategy(shop, "DaemonSet", space, "agent") == before
    assert shop.image_marks() == {}


def test_a_bad_image_reaches_one_node_and_the_strategy_goes_back_with_it(shop: WorkloadScene) -> None:
    space = daemons(shop)
    before = strategy(shop, "DaemonSet", space, "agent")
    shop.image_policy(strategy=ONE_POD)

    status = shop.until_phase(shop.image_rollout("1.2-bad"), "RolledBack")

    assert status["cause"]["reason"] == "CanaryFailed"
    assert len(shop.exposed("1.2-bad")) == 1
    assert shop.images() == {f"{space}/agent": image("1.0")}
    assert strategy(shop, "DaemonSet", space, "agent") == before
    assert shop.settled("DaemonSet", space, "agent")
    assert shop.image_marks() == {}


def test_a_canary_of_one_node_outlives_a_kill_at_each_of_its_steps(shop: WorkloadScene) -> None:
    space = daemons(shop)
    before = strategy(shop, "DaemonSet", space, "agent")
    shop.image_policy(strategy=ONE_POD)
    rollout = shop.image_rollout("1.1")
    shop.crashed = True
    for mark in ("Canary", "CanaryDone", "Applying"):
        kill_at(shop, mark)

    assert shop.until_phase(rollout, "Succeeded")["updated"] == "1/1"
    assert shop.images() == {f"{space}/agent": image("1.1")}
    assert strategy(shop, "DaemonSet", space, "agent") == before
