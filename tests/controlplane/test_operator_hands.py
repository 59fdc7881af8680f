"""People and other machines act on the fleet while the operator does: their hands win, and nothing is lost."""

from __future__ import annotations

import pytest

from support.operator_scene import Scene, pause

pytestmark = pytest.mark.controlplane
ONE_BY_ONE = {"canary": {"count": 1, "soak": "0s"}, "maxUnavailable": 1}
STATE = "patchwright.dev/state"


def test_a_node_that_a_person_cordoned_before_is_left_alone_and_patched_once_they_uncordon_it(scene: Scene) -> None:
    first, *_ = scene.add_nodes(4)
    scene.cordon(first)
    scene.policy(strategy={**ONE_BY_ONE, "maxUnavailable": 2})
    rollout = scene.rollout("1.0")
    status = scene.until_message(rollout, f"waits for {first}: somebody else cordoned it")
    assert status["counts"]["skipped"] == 1
    assert [note["reason"] for note in status["skipped"]] == ["CordonedByOther"]
    assert first not in scene.touched(rollout)
    assert scene.cordoned() == [first]
    scene.uncordon(first)
    assert scene.until_phase(rollout, "Succeeded")["updated"] == "4/4"


def test_a_node_that_stays_cordoned_is_left_out_and_named_at_the_end(scene: Scene) -> None:
    first, *others = scene.add_nodes(4)
    scene.cordon(first)
    scene.policy(strategy={**ONE_BY_ONE, "maxUnavailable": 2, "progressDeadlineSeconds": 10})
    status = scene.until_phase(scene.rollout("1.1"), "Succeeded")
    assert f"left out: {first} (somebody else cordoned it" in status["message"]
    assert status["updated"] == "3/4"
    assert scene.cordoned() == [first]
    assert sorted(scene.installed()) == others


def test_a_person_s_cordon_takes_up_budget(scene: Scene) -> None:
    first, *_ = scene.add_nodes(4)
    scene.cordon(first)
    scene.policy(strategy=ONE_BY_ONE)
    rollout = scene.rollout("1.2")
    status = scene.until_message(rollout, f"1 of 4 are unavailable ({first})")
    pause(1)
    assert scene.touched(rollout) == []
    assert status["counts"]["unavailable"] == 1
    scene.uncordon(first)
    scene.until_phase(rollout, "Succeeded")


def test_a_node_that_a_person_cordons_meanwhile_is_not_touched(scene: Scene) -> None:
    scene.add_nodes(4)
    scene.policy(strategy={**ONE_BY_ONE, "maxUnavailable": 2})
    rollout = scene.rollout("1.3")
    scene.until(lambda: scene.touched(rollout), "a node being started")
    last = max(set(scene.nodes) - set(scene.touched(rollout)))
    scene.cordon(last)
    scene.until_message(rollout, f"waits for {last}: somebody else cordoned it")
    assert last not in scene.touched(rollout)
    scene.uncordon(last)
    scene.until_phase(rollout, "Succeeded")


def test_a_cordon_put_on_a_patched_node_survives_the_rollback_of_that_node(scene: Scene) -> None:
    scene.add_nodes(4)
    scene.policy(strategy={**ONE_BY_ONE, "canary": {"count": 1, "soak": "4s"}, "maxUnavailable": 2})
    rollout = scene.rollout("1.4")
    scene.until_phase(rollout, "Soaking")
    [canary] = scene.installed()
    scene.cordon(canary)
    scene.annotate("PatchRollout", rollout, "patchwright.dev/abort", "true")
    scene.until_phase(rollout, "RolledBack")
    assert scene.cordoned() == [canary]
    assert scene.installed() == {}


def test_a_node_that_a_person_uncordons_in_the_middle_of_its_drain_is_cordoned_and_drained_again(scene: Scene) -> None:
    scene.add_nodes(2)
    space = scene.add_workloads(1, replicas=4, termination="3s")
    scene.policy(strategy=ONE_BY_ONE)
    rollout = scene.rollout("1.5")
    scene.until(lambda: scene.leaving(space), "a pod being evicted")
    [node] = scene.cordoned()
    scene.uncordon(node)
    scene.until(lambda: scene.cordoned() == [node], "the second cordon")
    # That no pod was left when the Job began is checked by the observer (L4).
    assert scene.until_phase(rollout, "Succeeded")["updated"] == "2/2"


def test_nodes_that_others_are_at_work_on_or_that_opted_out_are_skipped_with_the_reason(scene: Scene) -> None:
    kured, karpenter, suc, paused, out, free, also_free = scene.add_nodes(7)
    scene.annotate("Node", kured, "weave.works/kured-reboot-in-progress", "2026-11-23T12:00:00Z")
    scene.change("Node", karpenter, {"spec": {"taints": [{"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}]}})
    scene.annotate("Node", paused, "patchwright.dev/paused", "true")
    scene.change("Node", out, {"metadata": {"labels": {f"plan.patchwright.dev/{scene.name}": "disabled"}}})
    job = scene.foreign_job(suc)
    scene.restart()  # its Jobs leave no mark on a node, so they are looked for at the start and every half a minute
    scene.policy(strategy={**ONE_BY_ONE, "maxUnavailable": 3})
    rollout = scene.rollout("1.6")
    status = scene.until_message(rollout, "all others are patched")
    reasons = {note["name"]: f"{note['reason']}: {note['message']}" for note in status["skipped"]}
    assert "Busy: kured (annotation weave.works/kured-reboot-in-progress)" in reasons[kured]
    assert "Busy: Karpenter (taint karpenter.sh/disrupted)" in reasons[karpenter]
    assert "Busy: system-upgrade-controller (Job " in reasons[suc]
    assert "Paused: its annotation patchwright.dev/paused" in reasons[paused]
    assert f"OptedOut: it is kept out by label plan.patchwright.dev/{scene.name}=disabled" in reasons[out]
    assert sorted(scene.touched(rollout)) == sorted([free, also_free])
    scene.annotate("Node", kured, "weave.works/kured-reboot-in-progress", None)
    scene.annotate("Node", paused, "patchwright.dev/paused", None)
    scene.change("Node", karpenter, {"spec": {"taints": None}})
    scene.api.delete(job)
    scene.restart()
    status = scene.until_phase(rollout, "Succeeded")
    assert f"left out: {out}" in status["message"]
    assert scene.touched(rollout).count(kured) == 1
    assert out not in scene.touched(rollout)


def test_a_state_that_was_garbled_by_hand_halts_the_rollout_and_names_the_node(scene: Scene) -> None:
    scene.add_nodes(4)
    scene.policy(strategy=ONE_BY_ONE)
    rollout = scene.rollout("1.7", words=["--duration=2s"])
    scene.until(lambda: len(scene.touched(rollout)) == 2 and "Applying" in scene.marks().values(), "the second node")
    victim = scene.touched(rollout)[-1]
    scene.annotate("Node", victim, STATE, '{"v": 1, "mark": "Sleeping"}')
    status = scene.until_phase(rollout, "Failed")
    assert "was removed or changed by hand" in status["message"]
    assert f"needs a person: {victim}" in status["message"]
    assert not scene.policy_status().get("failedChanges"), "this says nothing about the version"
    assert scene.installed() == {}
    assert scene.cordoned() == [victim]
    # Until somebody has looked nobody patches that node, whatever the rollout.
    other = scene.rollout("1.8")
    status = scene.until_message(other, victim)
    assert "StateUnreadable" in [note["reason"] for note in status["skipped"]]
    scene.annotate("Node", victim, STATE, None)
    scene.uncordon(victim)
    assert scene.until_phase(other, "Succeeded")["updated"] == "4/4"


def test_a_state_that_was_removed_by_hand_halts_the_rollout_and_names_the_node(scene: Scene) -> None:
    scene.add_nodes(4)
    scene.policy(strategy=ONE_BY_ONE)
    rollout = scene.rollout("1.9", words=["--duration=2s"])
    scene.until(lambda: len(scene.touched(rollout)) == 2 and "Applying" in scene.marks().values(), "the second node")
    victim = scene.touched(rollout)[-1]
    scene.annotate("Node", victim, STATE, None)
    status = scene.until_phase(rollout, "Failed")
    assert f"needs a person: {victim}" in status["message"]
    assert [note["reason"] for note in status["vanished"]] == ["StateLost"]
    assert scene.cordoned() == [victim]


def test_a_node_that_is_deleted_while_it_is_patched_is_counted_as_failed(scene: Scene) -> None:
    scene.add_nodes(4)
    scene.add_workloads(1, replicas=4, termination="2s")
    scene.policy(strategy=ONE_BY_ONE)
    rollout = scene.rollout("2.0")
    scene.until(lambda: len(scene.touched(rollout)) == 2 and "Draining" in scene.marks().values(), "the second node")
    victim = scene.touched(rollout)[-1]
    # Deleted within milliseconds of its cordon it would be a node that never was; nothing has happened on it then.
    scene.until(lambda: victim in {note["name"] for note in scene.status(rollout).get("inFlight", [])}, "it in status")
    scene.api.delete(f"/api/v1/nodes/{victim}")
    status = scene.until_phase(rollout, "Failed", "RolledBack")
    assert f"{victim} vanished while" in status["message"]
    assert scene.installed() == {}
    assert not scene.policy_status().get("failedChanges"), "a node that somebody deleted says nothing about the version"


def test_a_node_that_joins_late_is_patched_too(scene: Scene) -> None:
    scene.add_nodes(3)
    scene.policy(strategy={"canary": {"count": 1, "soak": "3s"}, "maxUnavailable": 1})
    rollout = scene.rollout("2.1")
    scene.until_phase(rollout, "Soaking")
    [late] = scene.add_nodes(1, prefix="late")
    status = scene.until_phase(rollout, "Succeeded")
    assert status["updated"] == "4/4"
    assert late in scene.installed()


def test_a_protected_node_that_joins_after_policy_was_asked_is_not_touched_before_policy_has_seen_it(
    scene: Scene,
) -> None:
    scene.add_nodes(5)
    scene.policy(strategy=ONE_BY_ONE)
    rollout = scene.rollout("2.15", words=["--duration=2s"])
    scene.until(lambda: len(scene.touched(rollout)) == 2, "the last wave being at work")
    assert scene.status(rollout)["policy"]["allowed"]
    # By its name it would be the next to start.
    [late] = scene.add_nodes(1, prefix="late", labels={"patchwright.dev/protected": "true"})
    status = scene.until_message(rollout, "protectedNodes.allow")
    assert f"holds the protected {late}" in status["message"]
    scene.until(lambda: not scene.cordoned(), "what was in flight being finished")
    pause(1)
    assert late not in scene.touched(rollout)
    assert len(scene.touched(rollout)) in (2, 3), "one more may have been started before the node was there"


def test_a_job_that_was_deleted_by_hand_is_made_again(scene: Scene) -> None:
    scene.add_nodes(2)
    scene.policy(strategy=ONE_BY_ONE)
    rollout = scene.rollout("2.2", words=["--duration=3s"])
    [job] = scene.until(scene.jobs, "the first Job")
    node = job["metadata"]["annotations"]["patchwright.dev/node"]
    scene.jobs_deleted.add((node, "apply"))
    scene.api.delete(
        f"/apis/batch/v1/namespaces/patchwright-system/jobs/{job['metadata']['name']}",
        {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"},
    )
    again = scene.until(
        lambda: [j for j in scene.jobs() if j["metadata"]["uid"] != job["metadata"]["uid"]], "a new Job"
    )
    assert again[0]["metadata"]["name"] == job["metadata"]["name"]
    scene.until_phase(rollout, "Succeeded")


def test_a_policy_that_is_edited_midway_counts_from_then_on(scene: Scene) -> None:
    scene.add_nodes(6)
    scene.policy(strategy=ONE_BY_ONE)
    rollout = scene.rollout("2.3", words=["--duration=1s"])
    scene.until(lambda: len(scene.touched(rollout)) == 2, "the second node")
    scene.change("PatchPolicy", scene.name, {"spec": {"strategy": {"maxUnavailable": 3}}})
    scene.until(lambda: len(scene.cordoned()) == 3, "three at a time")
    scene.change("PatchPolicy", scene.name, {"spec": {"suspend": True}})
    status = scene.until_phase(rollout, "Paused", "Succeeded")
    if status["phase"] == "Paused":
        assert "is suspended" in status["message"]
        scene.change("PatchPolicy", scene.name, {"spec": {"suspend": None}})
        scene.until_phase(rollout, "Succeeded")


def test_a_policy_that_is_deleted_midway_takes_its_rollout_back(scene: Scene) -> None:
    scene.add_nodes(4)
    scene.policy(strategy=ONE_BY_ONE)
    rollout = scene.rollout("2.4")
    scene.until(lambda: len(scene.touched(rollout)) == 2, "the second node")
    scene.delete("PatchPolicy", scene.name)
    status = scene.until_phase(rollout, "RolledBack")
    assert status["cause"]["reason"] == "PolicyDeleted"
    assert (scene.marks(), scene.cordoned(), scene.installed()) == ({}, [], {})


def test_a_flag_that_cannot_be_read_does_not_keep_a_deleted_rollout_from_being_undone(scene: Scene) -> None:
    scene.add_nodes(3)
    scene.policy(strategy={**ONE_BY_ONE, "canary": {"count": 1, "soak": "5m"}})
    rollout = scene.rollout("2.55")
    scene.until_phase(rollout, "Soaking")
    scene.annotate("PatchRollout", rollout, "patchwright.dev/abort", "yes")
    fault = """metadata.annotations[patchwright.dev/abort]: must be "true" or "false"; got 'yes'"""
    scene.until_message(rollout, fault)
    # Nor does a policy that the model cannot read though the CRD could, not even for an operator that never knew it.
    window = {"start": "0 2 * * *", "duration": "3h", "timeZone": "Europe/Pari"}
    scene.change("PatchPolicy", scene.name, {"spec": {"maintenanceWindows": [window]}})
    scene.restart()
    assert scene.installed() != {}
    scene.delete("PatchRollout", rollout)
    scene.until_gone(rollout)
    assert (scene.marks(), scene.cordoned(), scene.installed(), scene.jobs()) == ({}, [], {}, [])
    [event] = scene.until(lambda: scene.events("RollingBack", about=rollout), "the event")
    assert f"the rollout is being deleted (passed over: {fault}; " in event["note"]
    assert "timeZone" in event["note"]


def test_a_rollout_that_is_torn_away_leaves_the_node_at_work_to_a_person_who_is_told_what_to_do(scene: Scene) -> None:
    scene.add_nodes(3)
    scene.policy(strategy={**ONE_BY_ONE, "progressDeadlineSeconds": 20})
    rollout = scene.rollout("2.6", words=["--duration=6s"])
    scene.until(lambda: "Applying" in scene.marks().values() and scene.jobs(), "the canary at work")
    [victim] = scene.cordoned()
    scene.tear(rollout)
    event = scene.until(lambda: scene.events("RolloutGone", about=victim), "the event")[0]
    assert f"rollout patchwright-system/{rollout} does not exist any more and left it half-way" in event["note"]
    assert "check what is on it, then uncordon it" in event["note"]
    scene.until(lambda: not scene.jobs(), "its Job being gone once it has ended")
    scene.observer.settle()
    assert (scene.cordoned(), scene.record(victim)["reason"]) == ([victim], "RolloutGone")
    assert scene.metric("patchwright_node_abandoned", node=victim) == 1.0
    scene.change("PatchPolicy", scene.name, {"spec": {"strategy": {"maxUnavailable": "50%", "topologyKey": None}}})
    other = scene.rollout("2.7")
    status = scene.until_message(other, f"1 of 3 are unavailable ({victim})")
    assert [note["reason"] for note in status["skipped"]] == ["RolloutGone"]
    assert "check what is on it, then uncordon it" in status["skipped"][0]["message"]
    scene.uncordon(victim)
    scene.until(lambda: not scene.record(victim).get("reason"), "the record being gone")
    assert scene.until_phase(other, "Succeeded")["updated"] == "3/3"
    assert scene.metric("patchwright_node_abandoned", node=victim) is None


def test_a_rollout_that_is_torn_away_while_nobody_watches_gives_back_what_it_did_nothing_to(scene: Scene) -> None:
    scene.add_nodes(2)
    scene.add_pending(scene.add_workloads(1, replicas=2), "app-0")
    scene.policy(strategy=ONE_BY_ONE)
    rollout = scene.rollout("2.8")
    scene.until_message(rollout, "cannot be evicted")
    [victim] = scene.cordoned()
    scene.crashed = True
    scene.operator.kill()
    scene.tear(rollout)
    assert (scene.cordoned(), scene.marks()) == ([victim], {victim: "Draining"})
    scene.keep_running()
    scene.until(lambda: not scene.cordoned() and not scene.marks(), "the node being given back")
    [event] = scene.until(lambda: scene.events("RolloutGone", about=victim), "the event")
    assert event["note"].endswith("nothing was changed on the node, and it is uncordoned")
    assert event["type"] == "Normal"
    scene.until_message(scene.rollout("2.9"), "cannot be evicted")


def test_a_rollout_without_its_policy_waits_for_it_and_says_so(scene: Scene) -> None:
    scene.add_nodes(2)
    rollout = scene.rollout("2.5")
    status = scene.until_message(rollout, "does not exist")
    assert [one["reason"] for one in status["conditions"] if one["type"] == "Stalled"] == ["PolicyNotFound"]
    scene.policy(strategy=ONE_BY_ONE)
    scene.until_phase(rollout, "Succeeded")
