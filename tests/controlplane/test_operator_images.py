"""Policies that follow images of a real registry, by the real operator: from a pushed tag to a rollout, or to a word.

The laws are checked over everything that happened when a test ends (``gallery`` in conftest.py). Registries are looked
at when a test says so, so that it knows what a look has seen; one test lets the interval do it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from patchwright.sandbox import controlplane, settings
from patchwright.sandbox import images as sandbox_images
from support import registries
from support.fault_proxy import Fault, FaultProxy
from support.image_scene import PROPOSED_BY, ImageScene
from support.observer import SYSTEM, Change
from support.operator_stage import Stage
from support.threaded_servers import proxied

pytestmark = pytest.mark.controlplane
# By a tag with "bad" kwok knows that its pods crash; to a version it would be another variant.
BAD_ONES_TOO = {"filterTags": {"pattern": "^(?P<v>[0-9.]+)(-bad)?$", "extract": "$v"}}


def test_a_new_patch_tag_becomes_a_rollout_that_runs_its_digest_everywhere(gallery: ImageScene) -> None:
    gallery.push("1.0.0", "2.0.0")
    space = gallery.space()
    gallery.running(space, "web", "api", image=gallery.at("1.0.0"))
    gallery.following({"interval": "1s"})
    gallery.until_told("UpToDate")
    gallery.push("1.0.1", platforms=["linux/amd64", "linux/arm64"])

    rollout = gallery.until_proposed("1.0.1")

    assert gallery.until_phase(rollout, "Succeeded")["updated"] == "2/2"
    assert set(gallery.images().values()) == {gallery.at("1.0.1")}
    [change] = gallery.spec(rollout)["change"]["images"]
    digest = gallery.pushed["1.0.1"].digest
    assert change == {"image": gallery.image, "tag": "1.0.1", "digest": digest, "fromAny": ["1.0.0"]}
    gallery.until_told("UpToDate", f"{gallery.image}:1.0.1 is the newest")
    ready = {one["type"]: (one["status"], one["message"]) for one in gallery.policy_status()["conditions"]}
    assert ready["Scanned"] == ("True", "looked at 1 images")
    gallery.until(lambda: gallery.events("Proposed", about=rollout), "the event")
    assert gallery.proposed() == [rollout]


def test_a_crashing_tag_is_rolled_back_and_no_later_scan_tries_it_again(gallery: ImageScene) -> None:
    gallery.push("1.0.0")
    gallery.running(gallery.space(), "web", "api", image=gallery.at("1.0.0"))
    before = gallery.images()
    gallery.following(BAD_ONES_TOO)
    gallery.until_told("UpToDate")
    gallery.push("1.0.1-bad")
    gallery.look()
    bad = gallery.until_proposed("1.0.1-bad")

    assert gallery.until_phase(bad, "RolledBack")["cause"]["reason"] == "CanaryFailed"

    assert f"1.0.1-bad failed in rollout {SYSTEM}/{bad}" in gallery.until_told("FailedBefore")
    gallery.restart()
    gallery.look(3)
    assert gallery.proposed() == [bad]
    assert gallery.images() == before
    gallery.push("1.0.2")
    gallery.look()
    gallery.until_phase(gallery.until_proposed("1.0.2"), "Succeeded")
    assert set(gallery.images().values()) == {gallery.at("1.0.2")}


def test_after_three_failures_in_a_row_nothing_is_proposed_until_a_person_says_retry(gallery: ImageScene) -> None:
    gallery.push("1.0.0")
    gallery.running(gallery.space(), "web", image=gallery.at("1.0.0"))
    gallery.following(BAD_ONES_TOO)
    for tag in ("1.0.1-bad", "1.0.2-bad", "1.0.3-bad"):
        gallery.push(tag)
        gallery.look()
        gallery.until_phase(gallery.until_proposed(tag), "RolledBack")
    gallery.push("1.0.4")
    gallery.look()

    assert "but the last 3 rollouts failed" in gallery.until_told("CircuitOpen")
    gallery.restart()
    gallery.look()
    assert len(gallery.proposed()) == 3

    gallery.annotate("PatchPolicy", gallery.name, "patchwright.dev/retry", "it was the proxy")
    gallery.until_phase(gallery.until_proposed("1.0.4"), "Succeeded")
    assert gallery.policy_status()["lastHandledRetry"] == "it was the proxy"


def test_a_newer_tag_takes_the_place_of_a_rollout_that_is_still_open(gallery: ImageScene) -> None:
    gallery.push("1.0.0")
    gallery.running(gallery.space(), "web", "api", "job", image=gallery.at("1.0.0"))
    gallery.following(strategy={"canary": {"count": 1, "soak": "4s"}, "maxUnavailable": 1})
    gallery.push("1.0.1")
    gallery.look()
    first = gallery.until_proposed("1.0.1")
    gallery.until_phase(first, "Soaking")
    gallery.push("1.0.2")
    gallery.look()

    second = gallery.until_proposed("1.0.2")

    assert gallery.until_phase(second, "Succeeded")["updated"] == "3/3"
    assert gallery.phase(first) == "Superseded"
    assert set(gallery.images().values()) == {gallery.at("1.0.2")}
    assert gallery.proposed() == [first, second]


def test_a_manual_policy_says_what_it_would_do_and_does_nothing(gallery: ImageScene) -> None:
    gallery.push("1.0.0", "1.0.1")
    gallery.running(gallery.space(), "web", image=gallery.at("1.0.0"))
    gallery.following(trigger="Manual")
    assert "trigger is Manual: create a PatchRollout of it" in gallery.until_told("Manual")
    assert gallery.told()["latestRef"] == {"tag": "1.0.1", "digest": gallery.pushed["1.0.1"].digest}
    gallery.look()
    assert gallery.proposed() == []


def test_images_below_a_prefix_are_followed_by_themselves_and_one_at_a_time(gallery: ImageScene) -> None:
    space = gallery.space()
    for name in ("one", "two"):
        pushed = gallery.store.push(f"{gallery.repository}/{name}:1.0.0")
        gallery.running(space, name, image=f"{gallery.image}/{name}:1.0.0@{pushed.digest}")
        gallery.store.push(f"{gallery.repository}/{name}:1.0.1")
    gallery.following({"image": f"{gallery.image}/*"})

    def ended() -> list[str]:
        return [name for name in gallery.proposed() if gallery.phase(name) == "Succeeded"]

    gallery.until(lambda: len(ended()) == 2, "both rollouts")

    first, second = gallery.proposed()
    [change] = gallery.spec(first)["change"]["images"]
    assert change["image"] == f"{gallery.image}/one"
    assert gallery.begun(second) == ["two"]
    began = next(change.version for change in gallery.observer.since(gallery.mark) if named(change, second))
    over = [change.version for change in gallery.observer.since(gallery.mark) if named(change, first)]
    assert began > over[-2], "the second one was created when the first one was over"
    assert gallery.policy_status()["imagesTotal"] == 2


def named(change: Change, rollout: str) -> bool:
    return change.kind == "PatchRollout" and change.thing["metadata"]["name"] == rollout


# --- bad moments of a registry --------------------------------------------------------------------------------------


def test_a_digest_that_is_moved_back_and_forth_is_waited_for(gallery: ImageScene) -> None:
    gallery.push("stable", content="a")
    running = gallery.at("stable")
    gallery.running(gallery.space(), "web", image=running)
    gallery.following({"policy": {"digest": {}}})
    gallery.until_told("UpToDate")
    for content in ("b", "a", "b", "a"):
        gallery.push("stable", content=content)
        gallery.look()
        gallery.until_told("DigestFlapping")
    assert gallery.proposed() == []
    assert set(gallery.images().values()) == {running}


def test_a_tag_that_was_pushed_again_is_followed_after_two_looks(gallery: ImageScene) -> None:
    gallery.push("stable", content="a")
    gallery.running(gallery.space(), "web", image=gallery.at("stable"))
    gallery.following({"policy": {"digest": {}}})
    gallery.until_told("UpToDate")
    gallery.push("stable", content="b")
    gallery.look()
    gallery.until_told("DigestFlapping")
    gallery.look()
    gallery.until_phase(gallery.until_proposed("stable"), "Succeeded")
    assert set(gallery.images().values()) == {gallery.at("stable")}


def test_a_tag_that_is_deleted_is_no_reason_to_go_back(gallery: ImageScene) -> None:
    gallery.push("1.0.0", "1.0.1")
    gallery.running(gallery.space(), "web", image=gallery.at("1.0.1"))
    gallery.following({"minimumReleaseAge": "1h"})
    gallery.until_told("UpToDate")
    gallery.push("1.0.2")
    gallery.look()
    gallery.until_told("TooYoung")
    for tag in ("1.0.1", "1.0.2"):
        gallery.store.remove_tag(f"{gallery.repository}:{tag}")
    gallery.look()
    assert "1.0.2 was missing from the latest scan" in gallery.until_told("TagMissing")
    gallery.look()
    gallery.until_told("UpToDate", ":1.0.1 is the newest")
    gallery.look()
    assert gallery.proposed() == []


@pytest.fixture
def faulty(stage: Stage, registry_url: str) -> Iterator[tuple[ImageScene, FaultProxy]]:
    """A registry behind a proxy that can break what is asked."""
    with proxied(registry_url) as proxy:
        store = sandbox_images.Store(registry_url)
        found = ImageScene(stage, store, host=proxy.url.partition("://")[2])
        found.add_nodes(2)
        try:
            yield found, proxy
        finally:
            found.clear()
            found.strike()
            store.close()
        assert found.faults() == []


def released(scene: ImageScene) -> None:
    """Follow an image until it is known, and push a newer one that nobody has looked at yet."""
    scene.push("1.0.0")
    scene.running(scene.space(), "web", image=scene.at("1.0.0"))
    scene.following()
    scene.until_told("UpToDate")
    scene.push("1.0.1")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault("/tags/list", status=503), "RegistryUnavailable"),
        (Fault("/manifests/", status=500), "RegistryUnavailable"),
        (Fault("/tags/list", truncate=10), "RegistryUnavailable"),
        (Fault("/tags/list", reset=True), "RegistryUnavailable"),
        (Fault("/tags/list", status=429, retry_after=20), "RateLimited"),
        (Fault("/tags/list", headers={"Content-Type": "text/html"}, replace=(b"{", b"<")), "RegistryUnusable"),
    ],
    ids=["503", "500", "truncated", "reset", "429", "no-json"],
)
def test_a_registry_in_trouble_is_told_of_and_nothing_is_concluded(
    faulty: tuple[ImageScene, FaultProxy], fault: Fault, reason: str
) -> None:
    scene, proxy = faulty
    released(scene)
    proxy.inject(fault)
    scene.look()

    told = scene.until_told(reason)

    assert "looked at again at" in told
    scanned = next(one for one in scene.policy_status()["conditions"] if one["type"] == "Scanned")
    assert (scanned["status"], scanned["reason"]) == ("False", reason)
    assert scene.proposed() == []
    proxy.clear()
    if reason != "RateLimited":
        scene.look()
        scene.until_phase(scene.until_proposed("1.0.1"), "Succeeded")


def test_a_slow_look_that_outlasts_a_rollout_does_not_propose_the_same_again(
    faulty: tuple[ImageScene, FaultProxy],
) -> None:
    scene, proxy = faulty
    scene.push("1.0.0", "1.0.1")
    scene.running(scene.space(), "web", image=scene.at("1.0.0"))
    scene.following(strategy={"canary": {"count": 1, "soak": "1s"}})
    rollout = scene.until_proposed("1.0.1")
    # What runs was seen before this look, and that the rollout has ended is seen after it.
    proxy.inject(Fault("/tags/list", delay=6))
    scene.look()

    scene.until_phase(rollout, "Succeeded")
    scene.until_told("UpToDate")
    assert scene.proposed() == [rollout]


def test_a_policy_that_is_suspended_while_a_registry_is_slow_proposes_nothing(
    faulty: tuple[ImageScene, FaultProxy],
) -> None:
    scene, proxy = faulty
    released(scene)
    slow = Fault("/tags/list", delay=5)
    proxy.inject(slow)
    scene.annotate("PatchPolicy", scene.name, "patchwright.dev/requestedAt", "now")
    scene.until(lambda: slow.hits, "the look")

    scene.change("PatchPolicy", scene.name, {"spec": {"suspend": True}})

    scene.until_told("Suspended", "1.0.1")
    assert scene.proposed() == []


# --- crashes --------------------------------------------------------------------------------------------------------


def test_an_operator_that_is_killed_between_scan_and_creation_proposes_once(gallery: ImageScene) -> None:
    gallery.push("1.0.0", "1.0.1")
    gallery.running(gallery.space(), "web", image=gallery.at("1.0.0"))
    # It has looked and chosen, and would create.
    gallery.following(trigger="Manual")
    gallery.until_told("Manual")
    gallery.crashed = True
    gallery.operator.kill()
    gallery.change("PatchPolicy", gallery.name, {"spec": {"trigger": "Automatic"}})
    gallery.keep_running()
    gallery.await_change(lambda change: proposed(change, gallery), "the rollout")
    # It has created, and may not have heard the answer.
    gallery.operator.kill()
    gallery.keep_running()
    [rollout] = gallery.proposed()
    gallery.until_phase(rollout, "Succeeded")
    gallery.look()
    assert gallery.proposed() == [rollout]


def proposed(change: Change, scene: ImageScene) -> bool:
    labels = change.thing["metadata"].get("labels", {})
    return change.kind == "PatchRollout" and labels.get(PROPOSED_BY) == scene.name


def test_what_is_known_of_a_registry_survives_the_operator_and_goes_with_the_policy(gallery: ImageScene) -> None:
    gallery.push("1.0.0", "1.0.1")
    gallery.running(gallery.space(), "web", image=gallery.at("1.0.0"))
    gallery.following({"minimumReleaseAge": "1h"})
    first = gallery.until_told("TooYoung")
    gallery.restart()
    gallery.look()
    assert gallery.until_told("TooYoung") == first, "its age counts from the first look of all"

    [memory] = memories(gallery)
    gallery.api.patch(memory_path(memory), {"binaryData": {"knowledge": base64.b64encode(b"rubbish").decode()}})
    gallery.restart()
    assert "delete it to begin anew" in gallery.until_told("MemoryUnreadable")

    gallery.delete("PatchPolicy", gallery.name)
    gallery.api.wait(memory_path(), lambda _: not memories(gallery))


def memory_path(name: str = "") -> str:
    return f"/api/v1/namespaces/{SYSTEM}/configmaps" + (f"/{name}" if name else "")


def memories(scene: ImageScene) -> list[str]:
    found: list[Any] = scene.api.get(memory_path())["items"]
    names = ((one["metadata"]["name"], one["metadata"].get("labels") or {}) for one in found)
    return [name for name, labels in names if labels.get("patchwright.dev/policy") == scene.name]


# --- what cannot come back ------------------------------------------------------------------------------------------


def test_what_could_not_be_put_back_is_not_touched_until_it_could(gallery: ImageScene) -> None:
    gallery.push("1.0.0")
    old = gallery.at("1.0.0")
    gallery.running(gallery.space(), "web", image=old)
    gallery.following()
    gallery.until_told("UpToDate")
    gallery.store.remove(gallery.repository, gallery.pushed["1.0.0"].digest)
    gallery.push("1.0.1")
    gallery.look()
    assert "which runs, is not in its registry any more" in gallery.until_told("ImageGone")
    assert gallery.proposed() == []

    pin = {"image": gallery.image, "tag": "1.0.1", "digest": gallery.pushed["1.0.1"].digest}
    spec = {"policyRef": {"name": gallery.name}, "change": {"images": [pin]}}
    gallery.create(gallery.manifest("PatchRollout", f"{gallery.name}-by-hand", spec))
    held = gallery.until_message(f"{gallery.name}-by-hand", "is not in its registry any more")
    assert held["phase"] in ("Pending", "Canary")
    assert set(gallery.images().values()) == {old}

    # The same content has the same digest.
    gallery.push("1.0.0")
    gallery.until_phase(f"{gallery.name}-by-hand", "Succeeded", timeout=120)
    assert set(gallery.images().values()) == {gallery.at("1.0.1")}


# --- logins ---------------------------------------------------------------------------------------------------------


def test_a_pull_secret_of_the_policys_namespace_opens_the_registry(stage: Stage) -> None:
    parts, wanted = [settings.REGISTRY], settings.Registry(htpasswd=registries.HTPASSWD)
    with controlplane.ControlPlane(parts=parts, registry=wanted) as plane:
        store = sandbox_images.Store(plane.registry_url, authorization=lambda _: registries.BASIC)
        scene = ImageScene(stage, store)
        scene.add_nodes(2)
        try:
            scene.push("1.0.0", "1.0.1")
            scene.running(scene.space(), "web", image=scene.at("1.0.0"))
            scene.following({"secretRef": {"name": scene.name}})
            scene.until_told("AuthenticationFailed", f"Secret {SYSTEM}/{scene.name} does not exist")
            data = registries.secret(store.host)
            scene.secret(scene.name, {name: text.decode() for name, text in data.items()})
            scene.look()
            scene.until_phase(scene.until_proposed("1.0.1"), "Succeeded")
        finally:
            scene.clear()
            scene.strike()
            store.close()
    assert scene.faults() == []
