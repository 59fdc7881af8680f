"""Policies that follow images of a real registry, by the real operator: from a pushed tag to a rollout, or to a word.

The laws are checked over everything that happened when a test ends (``gallery`` in conftest.py).
"""

from __future__ import annotations

import pytest

from support.image_scene import ImageScene

pytestmark = pytest.mark.controlplane
# By a tag with "bad" kwok knows that its pods crash; to a version it would be another variant.
BAD_ONES_TOO = {"filterTags": {"pattern": "^(?P<v>[0-9.]+)(-bad)?$", "extract": "$v"}}


def test_a_new_patch_tag_becomes_a_rollout_that_runs_its_digest_everywhere(gallery: ImageScene) -> None:
    gallery.push("1.0.0", "2.0.0")
    space = gallery.space()
    gallery.running(space, "web", "api", image=gallery.at("1.0.0"))
    gallery.following()
    gallery.until_told("UpToDate")
    gallery.push("1.0.1", platforms=["linux/amd64", "linux/arm64"])

    rollout = gallery.until_proposed("1.0.1")

    assert gallery.until_phase(rollout, "Succeeded")["updated"] == "2/2"
    assert set(gallery.images().values()) == {gallery.at("1.0.1")}
    [change] = gallery.spec(rollout)["change"]["images"]
    assert change == {
        "image": gallery.image, "tag": "1.0.1", "digest": gallery.pushed["1.0.1"].digest, "fromAny": ["1.0.0"],
    }  # fmt: skip
    gallery.until_told("UpToDate", f"{gallery.image}:1.0.1 is the newest")
    assert gallery.proposed() == [rollout]


def test_a_crashing_tag_is_rolled_back_and_no_later_scan_tries_it_again(gallery: ImageScene) -> None:
    gallery.push("1.0.0")
    gallery.running(gallery.space(), "web", "api", image=gallery.at("1.0.0"))
    before = gallery.images()
    gallery.following(BAD_ONES_TOO)
    gallery.until_told("UpToDate")
    gallery.push("1.0.1-bad")
    bad = gallery.until_proposed("1.0.1-bad")

    assert gallery.until_phase(bad, "RolledBack")["cause"]["reason"] == "CanaryFailed"

    told = gallery.until_told("FailedBefore")
    assert f"1.0.1-bad failed in rollout patchwright-system/{bad}" in told
    gallery.until_looked(3)
    assert gallery.proposed() == [bad]
    assert gallery.images() == before
    gallery.push("1.0.2")
    gallery.until_phase(gallery.until_proposed("1.0.2"), "Succeeded")
    assert set(gallery.images().values()) == {gallery.at("1.0.2")}
