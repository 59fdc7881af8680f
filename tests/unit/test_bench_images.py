"""What the benchmarks over images read and compute: a number that is told wrong is worse than none."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bench import asking, badimages, badregistry, imagefleet, imagefloor, shop
from bench.asking import Count
from bench.badimages import Fault, Trial
from bench.badregistry import Found, Sometimes
from bench.process import Usage
from support.fault_proxy import Seen

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
OLD, BAD = "host/shop/web:1.0.0", "host/shop/web:1.0.1-bad"


def pod(image: str, *, ready: bool = True, waits: str = "", uid: str = "one") -> dict[str, Any]:
    state = {"waiting": {"reason": waits}} if waits else {"running": {}}
    status = {
        "conditions": [{"type": "Ready", "status": str(ready)}],
        "containerStatuses": [{"name": "app", "state": state}],
    }
    return {"metadata": {"uid": uid}, "spec": {"containers": [{"name": "app", "image": image}]}, "status": status}


def deployment(image: str, *, generation: int = 1, observed: int = 1, **counts: int) -> dict[str, Any]:
    found = shop.deployment("web", {"app": image}, replicas=2)
    found["metadata"]["generation"] = generation
    found["status"] = {"observedGeneration": observed, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
    found["status"] |= counts
    return found


# --- pods -----------------------------------------------------------------------------------------------------------


def test_a_pod_is_read_by_its_images_its_readiness_and_what_it_waits_for() -> None:
    assert shop.pod(pod(OLD)) == shop.Pod((OLD,), True, frozenset())
    assert shop.pod(pod(BAD, ready=False, waits="CrashLoopBackOff")).waits == {"CrashLoopBackOff"}
    bare = {"metadata": {"uid": "one"}, "spec": {"containers": [{"image": OLD}]}}
    assert shop.pod(bare) == shop.Pod((OLD,), False, frozenset())


def test_whoever_ever_had_an_image_is_counted_once_and_stays_counted_when_it_is_gone() -> None:
    ledger = shop.Ledger()
    ledger.take({"type": "ADDED", "object": pod(BAD, ready=False, waits="ContainerCreating")}, 1.0)
    ledger.take({"type": "MODIFIED", "object": pod(BAD, ready=False, waits="CrashLoopBackOff")}, 2.0)
    ledger.take({"type": "MODIFIED", "object": pod(BAD, ready=False, waits="CrashLoopBackOff")}, 3.0)
    ledger.take({"type": "ADDED", "object": pod(OLD, uid="two")}, 3.5)
    ledger.take({"type": "DELETED", "object": pod(BAD, ready=False)}, 4.0)
    assert ledger.exposed == {BAD: {"one"}, OLD: {"two"}}
    assert ledger.broken == {BAD: 2.0}, "the first time that it was seen, and no sooner"
    assert set(ledger.pods) == {"two"}


@pytest.mark.parametrize(
    ("changes", "settled"),
    [
        ({}, True),
        ({"generation": 2}, False),
        ({"replicas": 3}, False),
        ({"updatedReplicas": 1}, False),
        ({"availableReplicas": 1}, False),
    ],
)
def test_a_deployment_is_settled_when_all_its_pods_are_new_and_available(changes: Any, settled: bool) -> None:
    assert shop.settled(deployment(OLD, **changes)) is settled


# --- bad images -----------------------------------------------------------------------------------------------------


def test_one_pod_more_than_the_canary_has_breaks_the_budget_of_a_bad_image() -> None:
    trials = {fault: [Trial(1.0, 2.0, badimages.REPLICAS)] for fault in Fault}
    assert badimages.section(trials).kept
    trials[Fault.CRASHES].append(Trial(1.0, 2.0, badimages.REPLICAS + 1))
    assert not badimages.section(trials).kept


def test_the_slowest_decision_is_held_against_the_budget_and_patience_is_no_delay() -> None:
    trials = {fault: [Trial(fault.budget, 2.0, 1)] for fault in Fault}
    assert badimages.section(trials).kept
    assert Fault.CANNOT_BE_PULLED.budget - Fault.CRASHES.budget == badimages.PULL_PATIENCE_S
    trials[Fault.CRASHES_IN_SOAK] += [Trial(0.1, 2.0, 1), Trial(5.1, 2.0, 1)]
    assert not badimages.section(trials).kept


# --- registries -----------------------------------------------------------------------------------------------------


def test_looks_are_read_from_the_metrics_by_how_they_went() -> None:
    text = (
        "# TYPE patchwright_image_scans_total counter\n"
        'patchwright_image_scans_total{result="Succeeded"} 41.0\n'
        'patchwright_image_scans_total{result="RateLimited"} 2.0\n'
        "# TYPE patchwright_evictions_total counter\n"
        'patchwright_evictions_total{code="Accepted"} 7.0\n'
    )
    assert shop.scans(text) == {"Succeeded": 41, "RateLimited": 2}


def test_requests_are_counted_by_what_they_ask_for_and_scaled_by_the_looks_of_an_hour() -> None:
    paths = (
        "/v2/a/tags/list?n=1000",
        "/v2/a/manifests/1.0",
        "/v2/a/manifests/sha256:1",
        "/v2/a/blobs/sha256:1",
        "/v2/",
    )
    found = asking.kinds(Seen("GET", path, "patchwright") for path in paths)
    kinds = ("tags", "manifest, by tag", "manifest, by digest", "blob", "others")
    assert found == {f"GET {kind}": 1 for kind in kinds}
    count = Count(20, Counter({"GET tags": 20, "HEAD manifest, by tag": 30}))
    assert (count.a_look, count.an_hour) == (2.5, 15.0)


def test_what_became_older_is_found_by_generations_whatever_the_order_of_the_news() -> None:
    facts = [
        f"web {generation} {OLD.replace('1.0.0', tag)}@sha256:1" for generation, tag in ((10, "1.3.0"), (9, "1.2.0"))
    ]
    assert badregistry.backward([*facts, f"api 1 {OLD}"]) == []
    assert badregistry.backward([*facts, "web 11 host/shop/web:1.2.0"]) == ["web 1.2.0"]
    assert badregistry.backward(["web 1 host/web:1.10.0", "web 2 host/web:1.9.0"]) == ["web 1.9.0"]


def test_a_false_rollback_a_way_back_and_a_release_that_never_went_out_break_their_budgets() -> None:
    well: dict[str, Any] = {"released": 3, "succeeded": 3, "created": 3, "turned_back": (), "backward": ()}
    seen: dict[str, Any] = {"looks": 9, "failed_looks": 1, "hits": 5}
    assert badregistry.section(3, Found(**well, **seen)).kept
    for broken in ({"succeeded": 2}, {"created": 4}, {"turned_back": ("web RollingBack",)}, {"backward": ("web 1",)}):
        assert not badregistry.section(3, Found(**{**well, **broken}, **seen)).kept


def test_a_fault_takes_its_share_of_the_requests_that_it_is_about_and_no_other() -> None:
    fault = Sometimes("/tags/list", status=503, share=0.25, dice=random.Random(1))
    assert 200 < sum(fault.takes("GET", "/v2/a/tags/list") for _ in range(1000)) < 300
    assert not any(fault.takes("GET", "/v2/a/manifests/1.0") for _ in range(100))


# --- a thousand Deployments -----------------------------------------------------------------------------------------


def followed(count: int, *, seconds: float = 0, reason: str = "UpToDate") -> list[dict[str, str]]:
    at = (NOW + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
    return [{"image": f"host/app-{number}", "reason": reason, "scannedAt": at} for number in range(count)]


@pytest.mark.parametrize(
    ("selected", "images", "known"),
    [
        (100, followed(5), True),
        (100, followed(5, seconds=0.5), True),
        (99, followed(5), False),
        (100, followed(4), False),
        (100, [*followed(4), *followed(1, seconds=-0.5)], False),
        (100, [*followed(4), *followed(1, reason="NotScanned")], False),
        (100, [*followed(4), {"image": "host/app-5", "reason": "UpToDate"}], False),
    ],
)
def test_all_is_judged_when_every_workload_is_selected_and_every_image_was_looked_at_since(
    selected: int, images: list[dict[str, str]], known: bool
) -> None:
    facts = imagefleet.judged(imagefleet.Size(100, images=4), NOW)
    assert facts({"status": {"selected": selected, "images": images}}) == ["judged"] * known
    assert facts({}) == []


def test_what_comes_again_every_ten_minutes_is_a_part_of_rest() -> None:
    size, mib = imagefleet.Size(100, images=4), 2**20
    accounts = [Usage(at, cpu, 100 * mib, 120 * mib) for at, cpu in ((10.0, 6.0), (40.0, 6.5), (160.0, 6.74))]
    found = imagefleet.resting(size, *accounts, took=10.0)
    assert found.numbers["still_cpu"] == pytest.approx(0.002)
    assert found.numbers["idle_cpu"] == pytest.approx(0.012)
    assert found.kept
    accounts[0] = Usage(10.0, 11.0, 100 * mib, 120 * mib)
    assert not imagefleet.resting(size, *accounts, took=10.0).kept


def test_a_rollout_is_followed_by_the_tag_that_it_brings() -> None:
    rollout: dict[str, Any] = {"spec": {"change": {"images": [{"image": "host/web", "tag": "1.0.1"}]}}}
    assert imagefleet.progress_of(rollout) == ["1.0.1 created"]
    rollout["status"] = {"phase": "Canary", "counts": {"updated": 1}}
    assert imagefleet.progress_of(rollout) == ["1.0.1 created", "1.0.1 Canary", "1.0.1 updated 1"]


def test_the_library_of_policies_allows_what_goes_at_a_time() -> None:
    changes = [imagefleet.Change("app", "1.0.1", count) for count in (5, 25, 1000)]
    assert [change.parallel for change in changes] == [2, 10, 100]


def test_the_floor_changes_the_container_that_runs_the_repository_pinned_or_not() -> None:
    assert imagefloor.container(deployment(f"{OLD}@sha256:1"), "host/shop/web") == "app"
    assert imagefloor.container(deployment(OLD), "host/shop/web") == "app"
    assert imagefloor.container(deployment(OLD), "host/shop/we") == ""
