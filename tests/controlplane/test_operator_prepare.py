"""Changes with a prepare step, by the real operator: what is missing is missed before any node is cordoned (trap 4.20).

That no node is cordoned before its prepare Job has succeeded is checked by the observer in every test.
"""

from __future__ import annotations

import pytest

from support.operator_scene import Scene, pause

pytestmark = pytest.mark.controlplane
CANARIES = {"canary": {"count": 1, "soak": "1s"}, "maxUnavailable": "50%"}
PREPARE = {"prepare": {"args": ["prepare", "--duration=200ms"]}}
SLOWLY = {"prepare": {"args": ["prepare", "--duration=5s"]}}


def test_each_node_is_prepared_while_its_pods_run_and_cordoned_after_that(scene: Scene) -> None:
    scene.add_nodes(6)
    space = scene.add_workloads(1, replicas=6)
    scene.policy(strategy=CANARIES)
    rollout = scene.rollout("1.0", script=SLOWLY)
    scene.until(lambda: scene.claimed(rollout), "the canary being prepared")
    scene.until_message(rollout, "runs its prepare Job")
    assert (scene.cordoned(), scene.leaving(space)) == ([], [])
    assert scene.status(rollout)["counts"]["unavailable"] == 0
    status = scene.until_phase(rollout, "Succeeded")
    assert status["updated"] == "6/6"
    assert sorted(scene.claimed(rollout)) == sorted(scene.touched(rollout)) == sorted(scene.nodes)
    assert (scene.marks(), scene.cordoned(), scene.jobs()) == ({}, [], [])


def test_an_image_that_is_not_there_costs_no_cordon_and_its_version_is_not_blamed(scene: Scene) -> None:
    scene.add_nodes(4)
    scene.policy(strategy=CANARIES)
    missing = {"image": "sandbox.patchwright.dev/script:missing", "prepare": {"args": ["prepare"]}}
    rollout = scene.rollout("1.1", script=missing)
    status = scene.until_phase(rollout, "RolledBack")
    assert status["cause"]["reason"] == "PrepareFailed"
    assert "ImagePullBackOff (image sandbox.patchwright.dev/script:missing)" in status["message"]
    assert (len(scene.claimed(rollout)), scene.touched(rollout)) == (1, [])
    assert not scene.ever_cordoned()
    assert (scene.marks(), scene.jobs()) == ({}, [])
    assert not scene.policy_status().get("failedChanges"), "nothing was applied"
    # With the image in place it may be tried again without a word.
    again = scene.rollout("1.1", name=f"{scene.name}-again", script=PREPARE)
    assert scene.until_phase(again, "Succeeded")["updated"] == "4/4"


def test_a_prepare_step_that_fails_on_one_node_leaves_it_alone_and_counts(scene: Scene) -> None:
    scene.add_nodes(3)
    [bare] = scene.add_nodes(1, prefix="bare", labels={"patchwright.dev/risk": "high"})
    scene.policy(strategy={**CANARIES, "failureThreshold": 2})
    rollout = scene.rollout("1.2", script=PREPARE)
    status = scene.until_phase(rollout, "Succeeded")
    assert (status["updated"], status["counts"]["failed"]) == ("3/4", 1)
    assert f"failed: 1, first {bare}" in status["message"]
    assert [(note["name"], note["reason"]) for note in status["failed"]] == [(bare, "PrepareFailed")]
    assert bare in scene.claimed(rollout)
    assert bare not in scene.ever_cordoned()


def test_a_node_that_a_person_cordons_while_it_is_prepared_is_theirs_and_comes_again_when_they_uncordon_it(
    scene: Scene,
) -> None:
    scene.add_nodes(4)
    scene.policy(strategy={**CANARIES, "maxUnavailable": 2})
    rollout = scene.rollout("1.3", script=SLOWLY)
    scene.until(lambda: scene.claimed(rollout), "the canary being prepared")
    [first] = scene.claimed(rollout)
    scene.jobs_deleted.add(
        (first, "prepare")
    )  # by the operator: it is stopped, and run again when its turn comes again
    scene.cordon(first)
    scene.until(lambda: first not in scene.marks(), "the node being given back")
    assert scene.cordoned()[:1] == [first]
    scene.until_message(rollout, f"waits for {first}: somebody else cordoned it")
    scene.uncordon(first)
    assert scene.until_phase(rollout, "Succeeded")["updated"] == "4/4"


def test_a_pause_holds_what_is_prepared_before_its_cordon(scene: Scene) -> None:
    scene.add_nodes(3)
    scene.policy(strategy=CANARIES)
    rollout = scene.rollout("1.4", script=SLOWLY)
    scene.until(lambda: scene.claimed(rollout), "the canary being prepared")
    scene.change("PatchRollout", rollout, {"spec": {"paused": True}})
    scene.until(lambda: "Prepared" in scene.marks().values(), "the canary being prepared")
    scene.until_message(rollout, "what is prepared stays in service")
    pause(2)
    assert (scene.touched(rollout), scene.ever_cordoned(), scene.phase(rollout)) == ([], [], "Paused")
    scene.restart()
    scene.change("PatchRollout", rollout, {"spec": {"paused": None}})
    scene.until_phase(rollout, "Succeeded")


def test_a_rollout_that_is_deleted_while_it_prepares_leaves_nothing_behind(scene: Scene) -> None:
    scene.add_nodes(3)
    scene.policy(strategy=CANARIES)
    rollout = scene.rollout("1.5", script={"prepare": {"args": ["prepare", "--hang"]}})
    scene.until(scene.jobs, "the prepare Job")
    scene.delete("PatchRollout", rollout)
    scene.until_gone(rollout)
    assert (scene.marks(), scene.ever_cordoned(), scene.installed(), scene.jobs()) == ({}, [], {}, [])
