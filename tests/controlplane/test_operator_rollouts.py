"""Whole rollouts by the real operator on the real control plane, each watched by the observer.

The laws L1 to L12 are checked over everything that happened when a test ends (``scene`` in conftest.py); what stands
here is what each story is to come to.
"""

from __future__ import annotations

import pytest

from support.operator_scene import Scene, pause

pytestmark = pytest.mark.controlplane
CANARIES = {"canary": {"count": 1, "soak": "1s"}, "maxUnavailable": "50%"}


def test_thirty_nodes_under_budgets_are_patched_canary_first_and_wave_by_wave(scene: Scene) -> None:
    scene.add_nodes(30)
    scene.add_workloads(6, replicas=5)
    waves = [{"size": "25%", "soak": "1s"}]
    scene.policy(strategy={"canary": {"count": 2, "soak": "2s"}, "waves": waves, "maxUnavailable": "20%"})
    rollout = scene.rollout("1.0.1")
    status = scene.until_phase(rollout, "Succeeded")
    assert status["updated"] == "30/30"
    assert len(set(scene.installed().values())) == 1
    assert len(scene.installed()) == 30
    assert scene.marks() == {}
    assert scene.cordoned() == []
    assert scene.phases(rollout)[:4] == ["Pending", "Canary", "Soaking", "Progressing"]


def test_a_failed_canary_is_put_back_and_its_version_is_remembered_until_somebody_says_retry(scene: Scene) -> None:
    scene.add_nodes(4)
    scene.policy(strategy=CANARIES)
    scene.until_phase(scene.rollout("1.0.1"), "Succeeded")
    good = scene.installed()
    bad = scene.rollout("2.0-bad")
    status = scene.until_phase(bad, "RolledBack")
    assert status["cause"]["reason"] == "CanaryFailed"
    assert "put back: 1" in status["message"]
    assert status["counts"]["updated"] == 0
    assert scene.installed() == good
    [failed] = scene.policy_status()["failedChanges"]
    assert (failed["version"], failed["rollout"]) == ("2.0-bad", f"patchwright-system/{bad}")
    assert len(scene.touched(bad)) == 1

    again = scene.rollout("2.0-bad", name=f"{scene.name}-again")
    denied = scene.until_phase(again, "Denied")
    assert denied["cause"]["reason"] == "FailedBefore"
    assert "patchwright.dev/retry" in denied["message"]
    assert scene.touched(again) == []

    retried = scene.rollout("2.0-bad", name=f"{scene.name}-retry", annotations={"patchwright.dev/retry": "true"})
    scene.until_phase(retried, "RolledBack")
    assert len(scene.touched(retried)) == 1


def test_a_failure_in_the_second_wave_puts_the_whole_rollout_back(scene: Scene) -> None:
    scene.add_nodes(4)
    [weak] = scene.add_nodes(1, prefix="weak", labels={"patchwright.dev/risk": "high"})
    waves = [{"size": 2, "soak": "0s"}]
    scene.policy(strategy={"canary": {"count": 1, "soak": "1s"}, "waves": waves, "maxUnavailable": 2})
    rollout = scene.rollout("1.1.0")
    status = scene.until_phase(rollout, "RolledBack")
    assert status["cause"]["target"] == weak
    assert status["cause"]["reason"] == "FailureThreshold"
    assert "exit code 1" in status["message"]
    assert status["wave"]["index"] == 2
    assert status["counts"]["restored"] == len(scene.touched(rollout))
    assert scene.installed() == {}
    assert [one["version"] for one in scene.policy_status()["failedChanges"]] == ["1.1.0"]


def test_a_rollout_whose_scope_is_the_target_keeps_what_went_well(scene: Scene) -> None:
    scene.add_nodes(3)
    [weak] = scene.add_nodes(1, prefix="weak", labels={"patchwright.dev/risk": "high"})
    scene.policy(strategy=CANARIES, rollback={"scope": "Target"})
    status = scene.until_phase(scene.rollout("1.1.1"), "Failed")
    assert "3 keep the new version" in status["message"]
    assert sorted(scene.installed()) == [name for name in scene.nodes if name != weak]


def test_a_paused_rollout_finishes_what_is_in_flight_and_starts_nothing_until_it_is_resumed(scene: Scene) -> None:
    scene.add_nodes(4)
    scene.policy(strategy={"canary": {"count": 1, "soak": "0s"}, "maxUnavailable": 1})
    rollout = scene.rollout("1.2.0")
    scene.until_phase(rollout, "Canary", "Progressing")
    scene.until(scene.marks, "a node being started")
    scene.change("PatchRollout", rollout, {"spec": {"paused": True}})
    scene.until(lambda: scene.phase(rollout) == "Paused" and not scene.cordoned(), "the pause")
    before = scene.touched(rollout)
    pause(2)
    assert scene.touched(rollout) == before
    assert len(before) < 4
    scene.change("PatchRollout", rollout, {"spec": {"paused": None}})
    scene.until_phase(rollout, "Succeeded")


def test_an_aborted_rollout_is_put_back_everywhere(scene: Scene) -> None:
    scene.add_nodes(4)
    scene.policy(strategy={"canary": {"count": 1, "soak": "0s"}, "maxUnavailable": 1})
    rollout = scene.rollout("1.3.0")
    scene.until(lambda: len(scene.touched(rollout)) >= 2, "a second node being started")
    scene.annotate("PatchRollout", rollout, "patchwright.dev/abort", "true")
    status = scene.until_phase(rollout, "RolledBack")
    assert status["cause"]["reason"] == "Aborted"
    assert scene.installed() == {}
    assert not scene.policy_status().get("failedChanges"), "an abort says nothing about the version"
    # It may be tried again without a word.
    again = scene.rollout("1.3.0", name=f"{scene.name}-again")
    scene.until_phase(again, "Succeeded")


def test_a_newer_rollout_takes_over_once_the_older_one_has_let_go(scene: Scene) -> None:
    scene.add_nodes(4)
    scene.policy(strategy={"canary": {"count": 1, "soak": "0s"}, "maxUnavailable": 1})
    older = scene.rollout("1.4.0")
    scene.until(lambda: scene.touched(older), "a node being started")
    newer = scene.rollout("1.5.0")
    status = scene.until_phase(older, "Superseded")
    assert newer in status["message"]
    scene.until_phase(newer, "Succeeded")
    assert len(set(scene.installed().values())) == 1
    assert len(scene.installed()) == 4


def test_of_two_rollouts_on_the_same_nodes_the_younger_waits_and_says_for_whom(scene: Scene) -> None:
    scene.add_nodes(3)
    first, second = (
        scene.policy(f"{scene.name}-a", strategy=CANARIES),
        scene.policy(f"{scene.name}-b", strategy=CANARIES),
    )
    older = scene.rollout("1.0", policy=first)
    scene.until(lambda: scene.touched(older), "a node being started")
    younger = scene.rollout("7.0", policy=second)
    status = scene.until_message(younger, f"waits for rollout patchwright-system/{older}")
    assert status["phase"] == "Pending"
    scene.until_phase(older, "Succeeded")
    scene.until_phase(younger, "Succeeded")
    assert len(scene.installed(policy=first)) == len(scene.installed(policy=second)) == 3


def test_a_rollout_that_is_deleted_midway_is_undone_before_it_goes(scene: Scene) -> None:
    scene.add_nodes(4)
    scene.policy(strategy={"canary": {"count": 1, "soak": "0s"}, "maxUnavailable": 1})
    rollout = scene.rollout("1.6.0")
    scene.until(lambda: len(scene.installed()) >= 1 and len(scene.touched(rollout)) >= 2, "two nodes being touched")
    scene.delete("PatchRollout", rollout)
    scene.until(lambda: scene.phase(rollout) == "RollingBack", "the rollback")
    scene.until_gone(rollout)
    assert (scene.marks(), scene.cordoned(), scene.installed(), scene.jobs()) == ({}, [], {}, [])


def test_control_plane_nodes_are_patched_after_the_others_and_one_at_a_time(scene: Scene) -> None:
    workers = scene.add_nodes(2)
    masters = scene.add_nodes(3, prefix="cp", labels={"node-role.kubernetes.io/control-plane": ""})
    scene.policy(strategy={"canary": {"count": 1, "soak": "0s"}, "maxUnavailable": "50%"})
    rollout = scene.rollout("0.95", words=["--duration=1s"])
    assert scene.until_phase(rollout, "Succeeded")["updated"] == "5/5"
    # Within one step nodes are written side by side: what is ordered is the moment at which a start was decided.
    decided = scene.decided(rollout)
    assert max(decided[name] for name in workers) <= min(decided[name] for name in masters)
    away: set[str] = set()
    for change in scene.observer.since(scene.mark):
        if change.kind == "Node" and change.after and (name := change.thing["metadata"]["name"]) in masters:
            (away.add if change.after["spec"].get("unschedulable") else away.discard)(name)
            assert len(away) <= 1, "etcd may not survive two of them away at once (4.23)"


def test_a_budget_of_zero_starts_nothing_and_says_so(scene: Scene) -> None:
    scene.add_nodes(3)
    scene.policy(strategy={**CANARIES, "maxUnavailable": 0})
    rollout = scene.rollout("1.7.0")
    scene.until_message(rollout, "maxUnavailable is 0")
    pause(1)
    assert scene.touched(rollout) == []
    scene.change("PatchPolicy", scene.name, {"spec": {"strategy": {"maxUnavailable": 1}}})
    scene.until_phase(rollout, "Succeeded")


def test_a_reboot_is_believed_only_with_a_new_boot_id(scene: Scene) -> None:
    scene.add_nodes(3)
    scene.policy(strategy=CANARIES)
    boots = scene.boot_ids()
    rollout = scene.rollout("2.1.0", script={"reboot": "Always", "apply": {"args": ["--version=2.1.0", "--reboot=1s"]}})
    scene.until_phase(rollout, "Succeeded")
    after = scene.boot_ids()
    assert all(after[name] != boots[name] for name in scene.nodes)
    assert scene.uncordoned_with(rollout) == after, "no node was given back before it had rebooted"


def test_a_reboot_that_never_happens_fails_the_canary(scene: Scene) -> None:
    scene.add_nodes(3)
    scene.policy(strategy={**CANARIES, "progressDeadlineSeconds": 8})
    script = {"reboot": "Always", "rollback": {"args": ["rollback", "--reboot=1s"]}}
    status = scene.until_phase(scene.rollout("2.2.0", script=script), "RolledBack")
    assert "reboots still after 8s" in status["message"]
    assert scene.installed() == {}
