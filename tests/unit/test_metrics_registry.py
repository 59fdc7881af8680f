"""The metrics: names as promised, no series that outlives what it is about, no label without end."""

from __future__ import annotations

from datetime import UTC, datetime

from patchwright.adapters.metrics.registry import OTHERS, Metrics
from patchwright.domain.model import Key
from patchwright.domain.nodes.view import Eviction, EvictionAttempt
from patchwright.domain.state import Cause, Phase, RolloutState
from patchwright.domain.targets import Counts
from patchwright.image_ports import RegistryMeter

KEY = Key("ops", "openssl")
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"patchwright_{name}", labels)


def of(phase: Phase, **fields: object) -> RolloutState:
    return RolloutState(phase=phase, **fields)  # type: ignore[arg-type]  # fields of the dataclass


def test_every_promised_name_is_there() -> None:
    metrics = Metrics()
    metrics.watch_reboots(list)
    metrics.watch_abandoned(list)
    names = {family.name for family in metrics.registry.collect()}
    assert names == {
        "patchwright_rollout_phase",
        "patchwright_nodes",
        "patchwright_nodes_failed",
        "patchwright_node_phase_duration_seconds",
        "patchwright_drain_blocked",
        "patchwright_evictions",
        "patchwright_health_check_failures",
        "patchwright_window_active",
        "patchwright_rollbacks",
        "patchwright_reboot_required",
        "patchwright_node_abandoned",
        "patchwright_events_dropped",
        "patchwright_registry_requests",
        "patchwright_image_scans",
    }


def test_a_rollout_is_in_one_phase_at_a_time() -> None:
    metrics = Metrics()
    for phase in (Phase.PENDING, Phase.CANARY):
        metrics.rollout_changed(KEY, of(phase))
    phases = {each: value(metrics, "rollout_phase", namespace="ops", rollout="openssl", phase=each) for each in Phase}
    assert [each for each, number in phases.items() if number] == [Phase.CANARY]
    assert set(phases.values()) == {0.0, 1.0}


def test_nodes_are_counted_by_state_and_add_up() -> None:
    metrics = Metrics()
    counts = Counts(total=10, updated=3, in_flight=2, failed=1, restored=1, skipped=1, quarantined=0, unavailable=2)
    metrics.rollout_changed(KEY, of(Phase.PROGRESSING, counts=counts))
    assert value(metrics, "nodes", namespace="ops", rollout="openssl", state="updated") == 3
    assert value(metrics, "nodes", namespace="ops", rollout="openssl", state="pending") == 3
    assert value(metrics, "nodes_failed", namespace="ops", rollout="openssl") == 1


def test_a_rollback_is_counted_once_with_its_reason_and_not_again_after_a_restart() -> None:
    metrics = Metrics()
    cause = Cause("FailureThreshold", "x", NOW)
    metrics.rollout_changed(KEY, of(Phase.CANARY))
    for _ in range(3):
        metrics.rollout_changed(KEY, of(Phase.ROLLING_BACK, cause=cause))
    assert value(metrics, "rollbacks_total", reason="FailureThreshold") == 1
    restarted = Metrics()
    restarted.rollout_changed(KEY, of(Phase.ROLLING_BACK, cause=cause))
    assert value(restarted, "rollbacks_total", reason="FailureThreshold") is None


def test_the_window_is_open_unless_a_rollout_waits_for_it_or_is_over() -> None:
    metrics = Metrics()
    for phase, expected in ((Phase.PROGRESSING, 1.0), (Phase.WAITING_FOR_WINDOW, 0.0), (Phase.SUCCEEDED, 0.0)):
        metrics.rollout_changed(KEY, of(phase))
        assert value(metrics, "window_active", namespace="ops", rollout="openssl") == expected


def test_a_rollout_that_is_gone_leaves_no_series_and_no_other_rollout_is_touched() -> None:
    metrics = Metrics()
    for key in (KEY, Key("ops", "kernel")):
        metrics.rollout_changed(key, of(Phase.CANARY))
    metrics.rollout_gone(KEY)
    metrics.rollout_gone(KEY)
    text = metrics.exposition().decode()
    assert 'rollout="openssl"' not in text
    assert 'rollout="kernel"' in text


def test_a_blocked_drain_names_its_pod_until_it_is_over() -> None:
    metrics = Metrics()
    metrics.drain_blocked("n1", namespace="shop", pod="web-0", reason="Blocked")
    metrics.drain_blocked("n1", namespace="shop", pod="web-0", reason="Misconfigured")
    metrics.drain_blocked("n2", namespace="shop", pod="web-1", reason="Blocked")
    blocked = {"node": "n1", "namespace": "shop", "pod": "web-0"}
    assert value(metrics, "drain_blocked", **blocked, reason="Blocked") is None
    assert value(metrics, "drain_blocked", **blocked, reason="Misconfigured") == 1
    metrics.drain_ended("n1")
    metrics.drain_ended("n1")
    text = metrics.exposition().decode()
    assert ('node="n1"' in text, 'node="n2"' in text) == (False, True)


def test_past_the_limit_the_pods_of_a_node_are_counted_together() -> None:
    metrics = Metrics(blocked_kept=3)
    for number in range(50):
        metrics.drain_blocked("n1", namespace="shop", pod=f"web-{number}", reason="Blocked")
    series = [line for line in metrics.exposition().decode().splitlines() if line.startswith("patchwright_drain_bl")]
    assert len(series) == 4
    assert sum(f'pod="{OTHERS}"' in line for line in series) == 1
    metrics.drain_ended("n1")
    assert "web-0" not in metrics.exposition().decode()


def test_counters_and_durations_count() -> None:
    metrics = Metrics()
    metrics.evicted(EvictionAttempt(Eviction.BLOCKED, NOW))
    metrics.health_failed("alerts")
    metrics.step_took("Draining", 7.0)
    assert value(metrics, "evictions_total", code="Blocked") == 1
    assert value(metrics, "health_check_failures_total", check="alerts") == 1
    assert value(metrics, "node_phase_duration_seconds_sum", phase="Draining") == 7.0


def test_nodes_that_wait_for_a_reboot_are_asked_for_at_every_scrape() -> None:
    metrics, due = Metrics(), ["n1", "n2"]
    metrics.watch_reboots(lambda: due)
    assert value(metrics, "reboot_required", node="n1") == 1
    due.remove("n1")
    assert value(metrics, "reboot_required", node="n1") is None
    assert value(metrics, "reboot_required", node="n2") == 1


def test_made_up_registries_are_counted_together() -> None:
    metrics = Metrics()
    meter: RegistryMeter = metrics
    for number in range(60):
        host = f"r{number}.example.com"
        meter.registry_asked(f"{host}/api", registry=host, what="tags", code="200")
    meter.registry_asked("r3.example.com/other", registry="r3.example.com", what="tags", code="200")
    assert value(metrics, "registry_requests_total", registry="r3.example.com", what="tags", code="200") == 2
    assert value(metrics, "registry_requests_total", registry=OTHERS, what="tags", code="200") == 10
