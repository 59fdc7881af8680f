"""The operator is killed, stopped, replaced and cut off: the next one goes on from what is recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.observer import Change
from support.operator_scene import Scene
from support.operator_stage import Stage
from support.operator_world import record

pytestmark = pytest.mark.controlplane
Sign = Callable[[Change], Any]


def marked(mark: str) -> Sign:
    return lambda change: change.kind == "Node" and record(change.after).get("mark") == mark


def status(holds: Callable[[dict[str, Any]], Any]) -> Sign:
    return lambda change: change.kind == "PatchRollout" and holds((change.after or {}).get("status") or {})


def evicted(change: Change) -> bool:
    metadata = change.thing["metadata"]
    return change.kind == "Pod" and "-apps" in metadata["namespace"] and "deletionTimestamp" in metadata


def pod_of(step: str, phase: str) -> Sign:
    def seen(change: Change) -> bool:
        labels = change.thing["metadata"].get("labels") or {}
        return labels.get("patchwright.dev/step") == step and change.thing.get("status", {}).get("phase") == phase

    return lambda change: change.kind == "Pod" and change.after is not None and seen(change)


def job_of(step: str) -> Sign:
    return lambda change: (
        change.kind == "Job" and (change.thing["metadata"].get("labels") or {}).get("patchwright.dev/step") == step
    )


FORWARD: dict[str, Sign] = {
    "the finalizer": lambda change: change.kind == "PatchRollout" and change.thing["metadata"].get("finalizers"),
    "the plan": status(lambda found: found.get("plan")),
    "the first cordon": marked("Draining"),
    "the first eviction": evicted,
    "the record before the apply Job": marked("Applying"),
    "the apply Job being created": job_of("apply"),
    "the apply Job running": pod_of("apply", "Running"),
    "the apply Job having ended, before the uncordon": pod_of("apply", "Succeeded"),
    "the canary being done": marked("Done"),
    "the soak": status(lambda found: found.get("phase") == "Soaking"),
    "the first wave": status(lambda found: found.get("wave", {}).get("index") == 1),
    "the rest": status(lambda found: found.get("wave", {}).get("index") == 2),
    "the outcome, before the marks are removed": status(lambda found: found.get("outcome")),
}
BACKWARD: dict[str, Sign] = {
    "the first failure": marked("Failed"),
    "the cause": status(lambda found: found.get("cause")),
    "a patched node being cordoned again": marked("RollbackDraining"),
    "the record before the rollback Job": marked("RollingBack"),
    "the rollback Job running": pod_of("rollback", "Running"),
    "the rollback Job having ended": pod_of("rollback", "Succeeded"),
    "the first node being put back": marked("RolledBack"),
    "the outcome, before the version is remembered": status(lambda found: found.get("outcome")),
}


def kill_at_every(scene: Scene, signs: dict[str, Sign]) -> None:
    """Kill the operator at each sign and start it again; what it had time to do after a sign is up to chance."""
    scene.crashed = True
    for what, sign in signs.items():
        scene.await_change(sign, what)
        scene.operator.kill()
        scene.observer.settle()
        scene.operator.start()


def test_a_rollout_outlives_a_kill_at_each_of_thirteen_points_on_its_way_forward(scene: Scene) -> None:
    scene.add_nodes(6)
    scene.add_workloads(2, replicas=6, termination="500ms")
    waves = [{"size": 2, "soak": "1s"}]
    scene.policy(strategy={"canary": {"count": 1, "soak": "1s"}, "waves": waves, "maxUnavailable": 2})
    rollout = scene.rollout("3.0", words=["--duration=1s"])
    kill_at_every(scene, FORWARD)
    assert scene.until_phase(rollout, "Succeeded")["updated"] == "6/6"
    assert (scene.marks(), scene.cordoned(), scene.jobs()) == ({}, [], [])


def test_a_rollback_outlives_a_kill_at_each_of_eight_points(scene: Scene) -> None:
    scene.add_nodes(4)
    [weak] = scene.add_nodes(1, prefix="weak", labels={"patchwright.dev/risk": "high"})
    scene.add_workloads(1, replicas=6, termination="500ms")
    scene.policy(strategy={"canary": {"count": 1, "soak": "0s"}, "maxUnavailable": 2})
    rollout = scene.rollout("3.1", script={"rollback": {"args": ["rollback", "--duration=1s"]}})
    kill_at_every(scene, BACKWARD)
    found = scene.until_phase(rollout, "RolledBack")
    assert found["cause"]["target"] == weak
    assert scene.installed() == {}
    assert [one["version"] for one in scene.policy_status()["failedChanges"]] == ["3.1"]


def test_a_deletion_outlives_a_kill(scene: Scene) -> None:
    scene.add_nodes(4)
    scene.policy(strategy={"canary": {"count": 1, "soak": "0s"}, "maxUnavailable": 2})
    rollout = scene.rollout("3.2")
    scene.until(lambda: len(scene.installed()) >= 1, "a patched node")
    scene.operator.kill()
    scene.crashed = True
    scene.delete("PatchRollout", rollout)
    scene.operator.start()
    scene.until(lambda: scene.phase(rollout) == "RollingBack", "the rollback")
    scene.operator.kill()
    scene.operator.start()
    scene.until_gone(rollout)
    assert (scene.marks(), scene.cordoned(), scene.installed()) == ({}, [], {})


def test_the_api_server_may_be_restarted_in_the_middle(scene: Scene) -> None:
    scene.add_nodes(6)
    scene.add_workloads(1, replicas=6, termination="500ms")
    scene.policy(strategy={"canary": {"count": 1, "soak": "0s"}, "maxUnavailable": 2})
    rollout = scene.rollout("3.3", words=["--duration=1s"])
    scene.until(lambda: len(scene.touched(rollout)) >= 3, "the third node")
    scene.crashed = True
    scene.stage.plane.restart("kube-apiserver")
    scene.keep_running()
    assert scene.until_phase(rollout, "Succeeded")["updated"] == "6/6"


@pytest.fixture
def both(stage: Stage, scene: Scene) -> Iterator[Scene]:
    """A scene with a second replica standing by; after it the first one leads again."""
    standby = stage.standby
    standby.start()
    standby.await_ready()
    yield scene
    if standby.alive:
        standby.stop()
    scene.operator.start()
    scene.operator.await_ready()


def test_the_stand_by_takes_over_from_a_killed_leader_once_its_lease_has_run_out(both: Scene) -> None:
    scene, standby = both, both.stage.standby
    assert standby.get("/readyz") == (200, "ok\n")
    assert "patchwright_rollout_phase{" not in standby.get("/metrics")[1], "a stand-by knows nothing"
    scene.add_nodes(4)
    scene.policy(strategy={"canary": {"count": 1, "soak": "0s"}, "maxUnavailable": 1})
    rollout = scene.rollout("3.4", words=["--duration=1s"])
    scene.until(lambda: len(scene.touched(rollout)) >= 2, "the second node")
    scene.crashed = True
    scene.operator.kill()
    scene.until(lambda: scene.leader() == "operator-b", "the stand-by leading")
    scene.until_phase(rollout, "Succeeded")
    assert scene.written_by_two() == []
    assert standby.get("/metrics")[1].count("patchwright_rollout_phase{") > 0


def test_the_stand_by_takes_over_at_once_from_a_leader_that_was_told_to_stop(both: Scene) -> None:
    scene = both
    scene.add_nodes(4)
    scene.policy(strategy={"canary": {"count": 1, "soak": "0s"}, "maxUnavailable": 1})
    rollout = scene.rollout("3.5", words=["--duration=1s"])
    scene.until(lambda: len(scene.touched(rollout)) >= 2, "the second node")
    scene.crashed = True
    assert scene.operator.stop() == 0
    scene.until(lambda: scene.leader() == "operator-b", "the stand-by leading")
    # The lease had been given back: its holder was nobody in between, and nobody waited for it to run out.
    assert "" in scene.leaders()
    scene.until_phase(rollout, "Succeeded")
    assert scene.written_by_two() == []


def test_a_leader_whose_lease_was_taken_ends_with_1_and_writes_nothing_more(both: Scene) -> None:
    scene = both
    scene.add_nodes(4)
    scene.policy(strategy={"canary": {"count": 1, "soak": "0s"}, "maxUnavailable": 1})
    rollout = scene.rollout("3.6", words=["--duration=1s"])
    scene.until(lambda: len(scene.touched(rollout)) >= 2, "the second node")
    scene.crashed = True
    scene.take_lease("somebody-else")
    assert scene.operator.wait() == 1
    scene.until(lambda: scene.leader() == "operator-b", "the stand-by leading", timeout=60)
    scene.until_phase(rollout, "Succeeded")
    assert scene.written_by_two() == []


def test_a_leader_that_was_frozen_while_another_took_over_ends_and_writes_nothing_more(both: Scene) -> None:
    scene = both
    scene.add_nodes(4)
    scene.policy(strategy={"canary": {"count": 1, "soak": "0s"}, "maxUnavailable": 1})
    rollout = scene.rollout("3.7", words=["--duration=1s"])
    scene.until(lambda: len(scene.touched(rollout)) >= 2, "the second node")
    scene.crashed = True
    scene.operator.freeze()
    try:
        scene.until(lambda: "operator-b" in scene.leaders(), "the stand-by taking the lease")
        # Two replicas on one machine publish their bundle on one port, which the frozen one keeps: who took over ends
        # for it, and is started again below, as a container is.
        assert scene.stage.standby.wait() == 1
    finally:
        scene.operator.thaw()
    assert scene.operator.wait() == 1
    scene.stage.standby.start()
    scene.until_phase(rollout, "Succeeded")
    assert scene.written_by_two() == []
