"""Nodes that leave the load balancers, and volumes that are waited for, by the real operator on the real control plane.

That the label comes with its cordon, goes with it and is never a person's, is among the laws that ``scene`` checks.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.attached_volumes import DRIVER, Storage, using
from support.observer import Change, Raw
from support.operator_scene import Scene, pause
from support.operator_world import EXCLUDE, cordoned, excluded

pytestmark = pytest.mark.controlplane
ONE_BY_ONE = {"canary": {"count": 1, "soak": "0s"}, "maxUnavailable": 1}
BALANCED = {"excludeFromLoadBalancers": True, "loadBalancerWait": "2s"}


def taken_out(change: Change) -> bool:
    return change.kind == "Node" and excluded(change.after) == "patchwright" and excluded(change.before) is None


def labels(scene: Scene) -> dict[str, str]:
    """Give the label against load balancers of every node of this scene that has it."""
    found = {name: excluded(scene.node(name)) for name in scene.nodes}
    return {name: value for name, value in found.items() if value is not None}


def asked_for_volumes(scene: Scene) -> list[str]:
    """Give the operator's requests about volumes since the scene began."""
    asked = scene.resources_asked("operator-a")
    assert "nodes" in asked
    return [kind for kind in asked if kind in ("volumeattachments", "persistentvolumes")]


# --- load balancers ---------------------------------------------------------------------------------------------------


def test_nodes_leave_the_load_balancers_with_their_cordon_and_come_back_with_their_uncordon(scene: Scene) -> None:
    theirs, *_ = scene.add_nodes(3)
    space = scene.add_workloads(1, replicas=3)
    scene.exclude(theirs, "true")
    scene.policy(strategy=ONE_BY_ONE, drain=BALANCED)
    status = scene.until_phase(scene.rollout("1.0"), "Succeeded")
    assert status["updated"] == "3/3"
    changes = scene.observer.since(scene.mark)
    out = {change.thing["metadata"]["name"]: change for change in changes if taken_out(change)}
    assert sorted([*out, theirs]) == sorted(scene.nodes), "the person's node keeps his label and gets none of ours"
    assert all(cordoned(change.after) and not cordoned(change.before) for change in out.values())
    assert labels(scene) == {theirs: "true"}
    going = [change for change in changes if change.kind == "Pod" and leaves(change, space)]
    early = [change.at - out[node].at for change in going if (node := change.thing["spec"]["nodeName"]) in out]
    assert early
    assert min(early) > 1.5, "no pod was evicted before load balancers had had their two seconds"
    assert asked_for_volumes(scene) == []


def leaves(change: Change, space: str) -> bool:
    before = (change.before or {"metadata": {}})["metadata"]
    now = change.thing["metadata"]
    return bool(now["namespace"] == space and "deletionTimestamp" in now and "deletionTimestamp" not in before)


def test_the_last_node_that_load_balancers_may_use_waits_for_another_one(scene: Scene) -> None:
    last, other = scene.add_nodes(2)
    scene.exclude(other, "")
    scene.policy(strategy=ONE_BY_ONE, drain=BALANCED)
    rollout = scene.rollout("1.1")
    scene.until_message(rollout, f"holds: {last} is the last node that load balancers may use")
    pause(1)
    assert scene.touched(rollout) == [other], "the one that they do not use goes first"
    scene.exclude(other, None)
    assert scene.until_phase(rollout, "Succeeded")["updated"] == "2/2"
    assert labels(scene) == {}


def test_a_rollout_that_is_aborted_while_load_balancers_have_their_time_gives_its_node_back(scene: Scene) -> None:
    scene.add_nodes(2)
    scene.policy(strategy=ONE_BY_ONE, drain={**BALANCED, "loadBalancerWait": "1h"})
    rollout = scene.rollout("1.2")
    scene.until_message(rollout, "is out of load balancers, which have until")
    assert list(labels(scene).values()) == ["patchwright"]
    scene.annotate("PatchRollout", rollout, "patchwright.dev/abort", "true")
    scene.until_phase(rollout, "RolledBack")
    assert (labels(scene), scene.cordoned(), scene.jobs()) == ({}, [], [])


def test_a_node_is_given_back_to_load_balancers_though_the_operator_was_killed_and_the_rollout_deleted(
    scene: Scene,
) -> None:
    scene.add_nodes(3)
    scene.policy(strategy=ONE_BY_ONE, drain=BALANCED)
    rollout = scene.rollout("1.3", words=["--duration=2s"])
    scene.crashed = True
    scene.await_change(taken_out, "a node leaving the load balancers")
    scene.operator.kill()
    scene.observer.settle()
    assert list(labels(scene).values()) == ["patchwright"]
    scene.operator.start()
    scene.until(scene.jobs, "the apply Job")
    scene.operator.kill()
    scene.delete("PatchRollout", rollout)
    scene.operator.start()
    scene.until_gone(rollout)
    assert (labels(scene), scene.cordoned(), scene.marks()) == ({}, [], {})


def test_a_label_that_a_person_takes_off_or_writes_over_midway_is_his(scene: Scene) -> None:
    scene.add_nodes(3)
    scene.policy(strategy=ONE_BY_ONE, drain=BALANCED)
    rollout = scene.rollout("1.4", words=["--duration=2s"])
    [first] = scene.until(lambda: list(labels(scene)), "the first node leaving the load balancers")
    scene.exclude(first, "maintenance")
    scene.until(lambda: first in scene.installed(), "the first node being patched")
    [second] = scene.until(lambda: [name for name in labels(scene) if name != first], "the second node leaving")
    scene.exclude(second, None)
    scene.until_phase(rollout, "Succeeded")
    assert labels(scene) == {first: "maintenance"}


def test_a_quarantined_node_stays_out_of_the_load_balancers_with_its_cordon(scene: Scene) -> None:
    scene.add_nodes(2)
    scene.policy(strategy=ONE_BY_ONE, drain=BALANCED)
    script = {"apply": {"args": ["--version=1.5", "--fail"]}, "rollback": {"args": ["rollback", "--fail"]}}
    rollout = scene.rollout("1.5", script=script)
    status = scene.until_phase(rollout, "Failed")
    [node] = [note["name"] for note in status["quarantined"]]
    assert (scene.cordoned(), labels(scene)) == ([node], {node: "patchwright"})
    # It is a person's from now on, the record being gone too.
    scene.delete("PatchRollout", rollout)
    scene.until_gone(rollout)
    assert (scene.cordoned(), labels(scene)) == ([node], {node: "patchwright"})
    # He uncordons it and forgets the label: whoever patches it next takes it off.
    scene.uncordon(node)
    scene.until_phase(scene.rollout("1.6"), "Succeeded")
    assert labels(scene) == {}


# --- volumes ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def storage(scene: Scene) -> Iterator[Storage]:
    found = Storage(scene.api)
    yield found
    found.clear()


def run(scene: Scene, name: str, claim: str, node: str) -> None:
    """Start a bare pod with a volume on a node."""
    container = {"name": "c", "image": "sandbox.patchwright.dev/app:1"}
    spec = {"nodeName": node, "containers": [container], "volumes": [using(claim)]}
    place = f"/api/v1/namespaces/{scene.namespace()}/pods"
    scene.api.create(place, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
    scene.api.wait(f"{place}/{name}", lambda it: it.get("status", {}).get("phase") == "Running")


def daemons(scene: Scene, claim: str) -> None:
    """Start a DaemonSet whose pods share a volume."""
    container = {"name": "c", "image": "sandbox.patchwright.dev/app:1"}
    spec: Raw = {"containers": [container], "volumes": [using(claim)], "nodeSelector": scene.selector}
    template = {"metadata": {"labels": {"app": "agent"}}, "spec": spec}
    body = {"selector": {"matchLabels": {"app": "agent"}}, "template": template}
    place = f"/apis/apps/v1/namespaces/{scene.namespace()}/daemonsets"
    scene.api.create(place, {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"}, "spec": body})
    scene.api.wait(f"{place}/agent", lambda it: it.get("status", {}).get("numberReady") == len(scene.nodes))


def test_a_node_is_drained_once_the_volumes_of_its_pods_are_detached(scene: Scene, storage: Storage) -> None:
    node, _ = scene.add_nodes(2)
    stays, volume = storage.claim(scene.namespace(), "logs"), storage.claim(scene.namespace(), "data")
    daemons(scene, "logs")
    run(scene, "db", "data", node)
    storage.attach(stays, node)
    attached = storage.attach(volume, node)
    scene.policy(strategy=ONE_BY_ONE, drain={"force": True, "waitForVolumeDetach": True})
    rollout = scene.rollout("2.0")
    claim = f"claim {scene.namespace()}/data, driver {DRIVER}, VolumeAttachment {attached}"
    status = scene.until_message(rollout, f"{node}: volume {volume} ({claim}) is still attached")
    assert [(note["name"], note["reason"]) for note in status["inFlight"]] == [(node, "VolumeAttached")]
    storage.fails_to_detach(attached, "the node is busy")
    scene.until_message(rollout, "is still attached: the node is busy")
    [event] = scene.until(lambda: scene.events("DrainBlocked", about=node), "an event on the node")
    assert event["note"].endswith("is still attached: the node is busy")
    # Whoever was not there when the pods went, waits for all volumes but the DaemonSet's.
    scene.crashed = True
    scene.operator.kill()
    scene.operator.start()
    pause(4)
    assert scene.marks() == {node: "Draining"}
    assert scene.jobs() == []
    storage.detach(attached)
    assert scene.until_phase(rollout, "Succeeded")["updated"] == "2/2"


def test_a_volume_that_stays_attached_fails_the_drain_at_its_timeout(scene: Scene, storage: Storage) -> None:
    node, _ = scene.add_nodes(2)
    volume = storage.claim(scene.namespace(), "data")
    run(scene, "db", "data", node)
    attached = storage.attach(volume, node)
    scene.policy(strategy=ONE_BY_ONE, drain={"force": True, "timeout": "5s", "waitForVolumeDetach": True, **BALANCED})
    rollout = scene.rollout("2.1")
    status = scene.until_phase(rollout, "RolledBack")
    assert status["cause"]["reason"] == "DrainTimeout"
    assert f"canary {node} failed: not drained within 5s: volume {volume} (claim" in status["message"]
    assert attached in status["message"]
    assert (scene.cordoned(), labels(scene), scene.jobs(), scene.installed()) == ([], {}, [], {})
    assert not scene.policy_status().get("failedChanges"), "this says nothing about the version"


def test_what_nobody_asked_for_is_not_looked_at(scene: Scene, storage: Storage) -> None:
    node, _ = scene.add_nodes(2)
    volume = storage.claim(scene.namespace(), "data")
    run(scene, "db", "data", node)
    storage.attach(volume, node)
    scene.policy(strategy=ONE_BY_ONE, drain={"force": True})
    scene.until_phase(scene.rollout("2.2"), "Succeeded")
    assert asked_for_volumes(scene) == []
    assert not any(EXCLUDE in one["metadata"].get("labels", {}) for one in scene.observer.all("Node"))
