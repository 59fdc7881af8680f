"""Platforms are compared as containerd compares them; an image lacks what its index does not name."""

from __future__ import annotations

import pytest

from patchwright.domain.images import platforms
from patchwright.domain.images.content import Child, Image
from patchwright.domain.images.platforms import InvalidPlatform, Platform


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/x86_64", "linux/amd64"),
        ("Linux/AMD64/v1", "linux/amd64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/7", "linux/arm/v7"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/i386", "linux/386"),
    ],
)
def test_one_platform_has_one_spelling(text: str, same: str) -> None:
    assert platforms.parse(text) == platforms.parse(same)
    assert str(platforms.parse(text)) == same


@pytest.mark.parametrize(
    "text", ["", "linux", "linux/", "linux/amd64/v1/x", "linux/am d64", "*/*", f"linux/{'x' * 65}"]
)
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(InvalidPlatform, match="is no platform; write it as linux/amd64"):
        platforms.parse(text)


def test_what_is_missing_is_named_once_and_in_order() -> None:
    wanted = [platforms.parse(each) for each in ("linux/arm64", "linux/s390x", "linux/arm64/v8", "linux/amd64")]
    found = [Platform("linux", "amd64"), Platform("linux", "amd64", "v3")]
    assert [str(each) for each in platforms.missing(wanted, found)] == ["linux/arm64", "linux/s390x"]


def test_a_pod_may_show_the_index_or_any_manifest_below_it() -> None:
    amd64, arm64 = Platform("linux", "amd64"), Platform("linux", "arm64")
    image = Image("sha256:i", (Child("sha256:b", arm64), Child("sha256:a", amd64), Child("sha256:c", None)))
    assert image.digests == {"sha256:i", "sha256:a", "sha256:b", "sha256:c"}
    assert image.platforms == (amd64, arm64)
