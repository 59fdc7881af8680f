"""What holds a rollout or turns it back: budgets of pods, maintenance windows, health checks, OPA that is away."""

from __future__ import annotations

import datetime

import pytest

from support.operator_scene import Scene, pause
from support.threaded_servers import StatusServer

pytestmark = pytest.mark.controlplane
HALF = {"canary": {"count": 1, "soak": "1s"}, "maxUnavailable": "50%"}


def test_a_budget_that_never_allows_is_named_before_anything_is_cordoned(scene: Scene) -> None:
    scene.add_nodes(3)
    space = scene.add_workloads(1, replicas=6, max_unavailable=0)
    scene.restart()  # budgets are looked at before anything is begun
    scene.policy(strategy=HALF)
    rollout = scene.rollout("3.9")
    status = scene.until_message(rollout, "no canary can be started")
    assert f"pod {space}/app-0-" in status["message"]
    why = f"PodDisruptionBudget {space}/app-0 never allows it: it wants 6 healthy pods of 6; scale up"
    assert why in status["message"]
    assert {note["reason"] for note in status["skipped"]} == {"DrainBlocked"}
    pause(1)
    assert (scene.touched(rollout), scene.cordoned()) == ([], [])
    budget = f"/apis/policy/v1/namespaces/{space}/poddisruptionbudgets/app-0"
    scene.api.patch(budget, {"spec": {"maxUnavailable": 2}})
    assert scene.until_phase(rollout, "Succeeded")["updated"] == "3/3"


def test_a_budget_that_allows_nothing_ends_the_drain_and_is_named_in_status_event_and_metric(scene: Scene) -> None:
    scene.add_nodes(3)
    space = scene.add_workloads(1, replicas=6)
    scene.add_pending(space, "app-0")
    scene.policy(strategy=HALF, drain={"timeout": "5s"})
    rollout = scene.rollout("4.0")
    status = scene.until_message(rollout, "cannot be evicted")
    assert f"pod {space}/app-0-" in status["message"]
    assert "The disruption budget app-0 needs 6 healthy pods and has 6 currently" in status["message"]
    [node] = scene.cordoned()
    assert scene.metric("patchwright_drain_blocked", node=node, namespace=space, reason="Blocked") == 1.0
    assert (scene.metric("patchwright_evictions_total", code="Blocked") or 0) >= 1
    event = scene.until(lambda: scene.events("DrainBlocked", about=node), "the event")[0]
    assert f"pod {space}/app-0-" in event["note"]
    assert "disruption budget app-0" in event["note"]
    status = scene.until_phase(rollout, "RolledBack")
    assert status["cause"]["reason"] == "DrainTimeout"
    assert "not drained within 5s" in status["message"]
    assert "disruption budget app-0" in status["message"]
    assert (scene.cordoned(), scene.installed()) == ([], {})
    assert scene.touched(rollout) == [node], "nothing else was begun"
    assert scene.jobs() == []
    assert not scene.policy_status().get("failedChanges"), "a budget says nothing about the version"
    assert scene.metric("patchwright_drain_blocked", node=node) is None


def test_a_drain_that_is_to_be_forced_goes_on_after_its_timeout(scene: Scene) -> None:
    scene.add_nodes(2)
    scene.add_workloads(1, replicas=4, max_unavailable=0)
    scene.policy(strategy=HALF, drain={"timeout": "2s", "onTimeout": "Force"})
    assert scene.until_phase(scene.rollout("4.1"), "Succeeded")["updated"] == "2/2"


def test_a_bare_pod_is_not_lost_without_being_asked_for(scene: Scene) -> None:
    names = scene.add_nodes(2)
    space = scene.namespace()
    scene.stage.plane.add_pods(2, names, namespace=space, prefix="bare")
    scene.policy(strategy=HALF)
    status = scene.until_phase(scene.rollout("4.2"), "RolledBack")
    assert "set drain.force to delete it" in status["message"]
    assert len(scene.api.items(f"/api/v1/namespaces/{space}/pods")) == 2
    scene.change("PatchPolicy", scene.name, {"spec": {"drain": {"force": True}}})
    scene.until_phase(scene.rollout("4.2", name=f"{scene.name}-forced"), "Succeeded")


def test_a_window_that_closes_midway_lets_finish_what_is_begun_and_starts_no_more(scene: Scene) -> None:
    scene.add_nodes(10)
    now = datetime.datetime.now(datetime.UTC)
    window = {"start": f"{now.minute} {now.hour} * * *", "duration": f"{now.second + 20}s"}
    strategy = {"canary": {"count": 1, "soak": "0s"}, "maxUnavailable": 1, "progressDeadlineSeconds": 6}
    scene.policy(strategy=strategy, maintenanceWindows=[window], drain={"timeout": "3s"})
    rollout = scene.rollout("4.3", words=["--duration=2s"])
    scene.until(lambda: scene.touched(rollout), "a node being started")
    status = scene.until_phase(rollout, "WaitingForWindow")
    tomorrow = (now + datetime.timedelta(days=1)).strftime("%Y-%m-%d %H:%M UTC")
    assert f"the next one opens at {tomorrow}" in status["message"]
    assert status["nextMaintenanceWindow"].startswith(tomorrow[:10])
    begun = scene.touched(rollout)
    assert 1 <= len(begun) < 10
    assert sorted(scene.installed()) == sorted(begun), "what was begun has finished"
    pause(1)
    assert scene.touched(rollout) == begun
    scene.change("PatchPolicy", scene.name, {"spec": {"maintenanceWindows": None}})
    assert scene.until_phase(rollout, "Succeeded")["updated"] == "10/10"


def test_a_window_that_leaves_no_time_for_the_drain_is_not_used_and_one_that_does_is(scene: Scene) -> None:
    scene.add_nodes(2)
    now = datetime.datetime.now(datetime.UTC)
    opened = now - datetime.timedelta(minutes=1)
    # It closes in 45 seconds: enough for the Jobs, not for a drain of a minute before them.
    window = {"start": f"{opened.minute} {opened.hour} * * *", "duration": f"{60 + now.second + 45}s"}
    strategy = {"canary": {"count": 1, "soak": "0s"}, "maxUnavailable": 1, "progressDeadlineSeconds": 5}
    scene.policy(strategy=strategy, maintenanceWindows=[window], drain={"timeout": "60s"})
    rollout = scene.rollout("4.31")
    status = scene.until_phase(rollout, "WaitingForWindow")
    assert "too soon for a target that may take 1m5s" in status["message"]
    pause(1)
    assert scene.touched(rollout) == []
    scene.change("PatchPolicy", scene.name, {"spec": {"drain": {"timeout": "3s"}}})
    scene.until(lambda: scene.touched(rollout), "a node being started", timeout=20)
    scene.change("PatchPolicy", scene.name, {"spec": {"maintenanceWindows": None}})
    scene.until_phase(rollout, "Succeeded")


def test_a_rollout_outside_its_window_does_not_begin_and_says_when_it_will(scene: Scene) -> None:
    scene.add_nodes(2)
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=3)
    window = {"start": f"{later.minute} {later.hour} * * *", "duration": "1h"}
    scene.policy(strategy=HALF, maintenanceWindows=[window])
    rollout = scene.rollout("4.4")
    status = scene.until_phase(rollout, "WaitingForWindow")
    assert f"opens at {later.strftime('%Y-%m-%d %H:%M UTC')}" in status["message"]
    pause(1)
    assert scene.touched(rollout) == []


def test_a_page_that_turns_bad_during_the_soak_takes_the_canary_back(scene: Scene) -> None:
    scene.add_nodes(4)
    with StatusServer() as page:
        check = {"name": "shop", "http": {"url": page.url}, "interval": "500ms", "timeout": "1s"}
        scene.policy(strategy={**HALF, "canary": {"count": 1, "soak": "20s"}}, healthChecks=[check])
        rollout = scene.rollout("4.5")
        scene.until_phase(rollout, "Soaking")
        page.status = 503
        status = scene.until_phase(rollout, "RolledBack")
    assert status["cause"]["reason"] == "HealthCheckFailed"
    assert "health check shop: " in status["message"]
    assert "503" in status["message"]
    assert len(scene.touched(rollout)) == 1
    assert [one["version"] for one in scene.policy_status()["failedChanges"]] == ["4.5"]
    assert (scene.metric("patchwright_health_check_failures_total", check="shop") or 0) >= 1
    assert (scene.metric("patchwright_rollbacks_total", reason="HealthCheckFailed") or 0) >= 1


def test_a_job_that_fails_holds_the_start_and_what_is_well_again_goes_on(scene: Scene) -> None:
    scene.add_nodes(3)
    job = {"image": "smoke:1", "args": ["--exit-code=4", "--message=till-shut"]}
    check = {"name": "smoke", "job": job, "interval": "2s", "timeout": "5s", "probeTimeout": "20s"}
    scene.policy(strategy=HALF, healthChecks=[check])
    rollout = scene.rollout("5.9")
    held = scene.until_message(rollout, "does not start: health check smoke is unhealthy before the patch")
    assert "its Job exited with 4: till-shut" in held["message"]
    assert scene.touched(rollout) == []
    scene.change("PatchPolicy", scene.name, {"spec": {"healthChecks": [{**check, "job": {"image": "smoke:1"}}]}})
    assert scene.until_phase(rollout, "Succeeded")["updated"] == "3/3"


def test_a_fleet_that_is_unhealthy_already_does_not_start_until_it_is_well(scene: Scene) -> None:
    scene.add_nodes(2)
    with StatusServer() as page:
        page.status = 500
        check = {"name": "shop", "http": {"url": page.url}, "interval": "500ms", "timeout": "1s"}
        scene.policy(strategy=HALF, healthChecks=[check])
        rollout = scene.rollout("4.6")
        scene.until_message(rollout, "does not start: health check shop is unhealthy before the patch")
        assert scene.touched(rollout) == []
        page.status = 200
        scene.until_phase(rollout, "Succeeded")


def test_workloads_that_crash_on_the_patched_node_take_the_patch_back(scene: Scene) -> None:
    scene.add_nodes(3)
    space = scene.add_workloads(1, replicas=6)
    check = {
        "name": "apps",
        "workloads": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": space}}},
        "interval": "500ms",
        "timeout": "3s",
    }
    # The pods are left where they are, so that some of them live through the patch of their node.
    scene.policy(
        strategy={**HALF, "canary": {"count": 1, "soak": "30s"}}, healthChecks=[check], drain={"enabled": False}
    )
    rollout = scene.rollout("4.7-crash")
    status = scene.until_phase(rollout, "RolledBack")
    assert status["cause"]["reason"] == "HealthCheckFailed"
    assert f"{space}/app-0" in status["message"]
    scene.await_available(space, 6)
    assert len(scene.touched(rollout)) == 1


def test_without_opa_nothing_starts_what_is_in_flight_finishes_and_it_goes_on_when_opa_is_back(scene: Scene) -> None:
    scene.add_nodes(4)
    scene.policy(strategy={"canary": {"count": 1, "soak": "0s"}, "maxUnavailable": 1})
    rollout = scene.rollout("4.8", words=["--duration=2s"])
    scene.until(lambda: "Applying" in scene.marks().values(), "the canary at work")
    scene.stage.plane.stop_component("opa")
    try:
        scene.until(lambda: len(scene.installed()) == 1, "the canary being finished")
        status = scene.until_message(rollout, "no policy decision")
        evaluated = {one["type"]: one for one in status["conditions"]}["PolicyEvaluated"]
        assert (evaluated["status"], evaluated["reason"]) == ("Unknown", "PolicyUnavailable")
        other = scene.rollout("4.9", policy=scene.policy(f"{scene.name}-b", strategy=HALF))
        scene.until_message(other, "no policy decision")
        pause(1)
        assert (len(scene.touched(rollout)), scene.touched(other), scene.cordoned()) == (1, [], [])
    finally:
        scene.stage.plane.start_component("opa")
    scene.until_phase(rollout, "Succeeded")
    scene.until_phase(other, "Succeeded")


def test_a_rollback_needs_no_opa(scene: Scene) -> None:
    scene.add_nodes(4)
    scene.policy(strategy={"canary": {"count": 1, "soak": "0s"}, "maxUnavailable": 1})
    rollout = scene.rollout("5.0", words=["--duration=1s"])
    scene.until(lambda: len(scene.touched(rollout)) >= 2, "a second node")
    scene.stage.plane.kill_component("opa")
    try:
        scene.annotate("PatchRollout", rollout, "patchwright.dev/abort", "true")
        scene.until_phase(rollout, "RolledBack")
        assert (scene.installed(), scene.cordoned()) == ({}, [])
    finally:
        scene.stage.plane.start_component("opa")
