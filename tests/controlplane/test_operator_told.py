"""What people and machines are told: kubectl, events, /healthz, /readyz and /metrics."""

from __future__ import annotations

import pytest

from support.operator_scene import Scene

pytestmark = pytest.mark.controlplane
HALF = {"canary": {"count": 1, "soak": "3s"}, "maxUnavailable": "50%"}
# The names of nodes.md §3, as Prometheus spells them.
METRICS = (
    "patchwright_rollout_phase",
    "patchwright_nodes",
    "patchwright_nodes_failed",
    "patchwright_node_phase_duration_seconds",
    "patchwright_drain_blocked",
    "patchwright_evictions_total",
    "patchwright_health_check_failures_total",
    "patchwright_window_active",
    "patchwright_rollbacks_total",
    "patchwright_reboot_required",
)


def test_kubectl_tells_where_a_rollout_is_and_why(scene: Scene) -> None:
    scene.add_nodes(4)
    scene.policy(strategy=HALF)
    rollout = scene.rollout("8.0")
    scene.until_phase(rollout, "Soaking")
    columns, row = scene.kubectl("get", "patchrollout", rollout, "-n", "patchwright-system").splitlines()
    assert columns.split() == ["NAME", "PHASE", "UPDATED", "WAVE", "MESSAGE", "AGE"]
    assert row.split()[:4] == [rollout, "Soaking", "1/4", "canary"]
    assert "canary is healthy; soaks until" in row
    described = scene.kubectl("describe", "patchrollout", rollout, "-n", "patchwright-system")
    assert "canary is healthy; soaks until" in described
    assert "allowed by patchwright.rollout at builtin@" in described
    assert "Soaking" in described[described.index("Events:") :]
    scene.until_phase(rollout, "Succeeded")
    _, row = scene.kubectl("get", "patchrollouts", "-n", "patchwright-system", "-l", f"{scene.label}").splitlines()
    assert row.split()[1:3] == ["Succeeded", "4/4"]
    assert "4 of 4 nodes have version 8.0" in row
    scene.until(lambda: scene.policy_status().get("lastRollout"), "the policy telling of its last rollout")
    columns, row = scene.kubectl("get", "patchpolicy", scene.name, "-n", "patchwright-system").splitlines()
    assert columns.split()[:4] == ["NAME", "READY", "SELECTED", "ACTIVE"]
    assert row.split()[:3] == [scene.name, "True", "4"]


def test_kubectl_tells_why_a_rollout_was_taken_back_and_which_version_is_remembered(scene: Scene) -> None:
    scene.add_nodes(4)
    scene.policy(strategy=HALF)
    rollout = scene.rollout("8.1-bad")
    scene.until_phase(rollout, "RolledBack")
    canary = scene.touched(rollout)[0]
    row = scene.kubectl("get", "patchrollout", rollout, "-n", "patchwright-system").splitlines()[1]
    assert f"canary {canary} failed: it is not Ready" in row
    described = scene.kubectl("describe", "patchrollout", rollout, "-n", "patchwright-system")
    assert "put back: 1" in described
    assert "RollingBack" in described[described.index("Events:") :]
    assert "RolledBack" in described[described.index("Events:") :]
    policy = scene.kubectl("describe", "patchpolicy", scene.name, "-n", "patchwright-system")
    assert "8.1-bad" in policy
    assert scene.until(lambda: scene.events("PatchFailed", about=canary), "the node's event")[0]["type"] == "Warning"
    assert scene.events("RolledBack", about=canary)
    assert scene.kubectl("wait", "--for=condition=Stalled", f"patchrollout/{rollout}", "-n", "patchwright-system")


def test_the_probes_say_yes_and_the_metrics_have_the_names_that_dashboards_know(scene: Scene) -> None:
    assert scene.operator.get("/healthz") == (200, "ok\n")
    assert scene.operator.get("/readyz") == (200, "ok\n")
    scene.add_nodes(2)
    scene.policy(strategy={**HALF, "canary": {"count": 1, "soak": "0s"}})
    rollout = scene.rollout("8.2")
    scene.until_phase(rollout, "Succeeded")
    text = scene.metrics()
    for name in METRICS:
        assert f"# TYPE {name.removesuffix('_total')}" in text or f"# TYPE {name}" in text, name
    mine = {"namespace": "patchwright-system", "rollout": rollout}
    assert scene.metric("patchwright_rollout_phase", phase="Succeeded", **mine) == 1.0
    assert scene.metric("patchwright_nodes", state="updated", **mine) == 2.0
    assert (scene.metric("patchwright_node_phase_duration_seconds_count", phase="Applying") or 0) >= 2
    scene.delete("PatchRollout", rollout)
    scene.until(lambda: scene.metric("patchwright_rollout_phase", **mine) is None, "its series going with it")


def test_an_operator_without_an_api_server_is_alive_and_not_ready(scene: Scene) -> None:
    lost = scene.stage.replica("operator-lost")
    lost.options["kubeconfig"] = str(scene.unreachable_cluster())
    lost.start()
    try:
        scene.until(lambda: lost.get("/healthz")[0] == 200, "its own server")
        assert lost.get("/readyz") == (503, "the API server was not reached yet\n")
        assert lost.stop() == 0
    finally:
        if lost.alive:
            lost.kill()


def test_a_manifest_with_two_faults_is_told_both_with_their_paths(scene: Scene) -> None:
    body = scene.rollout_manifest("8.3", policy="nobody")
    body["spec"]["change"]["script"] |= {"version": "", "reboot": "Sometimes"}
    said = scene.refused(body)
    assert "spec.change.script.version" in said
    assert "spec.change.script.reboot" in said
