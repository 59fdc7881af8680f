"""Which of a registry's tags count, and which is newest: as repositories of images really look."""

from __future__ import annotations

import pytest

from patchwright.domain.images import ordering
from patchwright.domain.images.facts import Running
from patchwright.domain.images.imagepolicy import ImagePolicy
from support.images import (
    COPA,
    alphabetical,
    choose,
    chosen,
    digest,
    numerical,
    running,
    semver,
    tag,
    why,
)

NGINX = [
    "1", "1-alpine", "1.27", "1.27-alpine", "1.27.2", "1.27.2-alpine", "1.27.3", "1.27.3-alpine", "1.27.3-alpine3.20",
    "1.27.3-alpine-slim", "1.27.3-bookworm", "1.27.3-perl", "1.28.0", "1.28.0-alpine", "alpine", "latest", "mainline",
    "stable", "stable-alpine",
]  # fmt: skip


# --- versions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("runs", "limits", "tag"),
    [
        ("1.27.2", "~1.27", "1.27.3"),
        ("1.27.2", "^1.27", "1.28.0"),
        ("1.27.2", "1.27.x", "1.27.3"),
        ("1.27.3", "1.27.x", "UpToDate/UpToDate"),
        ("1.26.0", ">=1.27 <1.28", "1.27.3"),
    ],
)
def test_of_nginx_the_highest_release_in_the_range_is_chosen(runs: str, limits: str, tag: str) -> None:
    assert chosen(choose(NGINX, runs, semver(limits))) == tag


def test_what_runs_as_alpine_never_becomes_debian_by_itself() -> None:
    found = choose(NGINX, "1.27.2-alpine", semver("~1.27"))
    assert chosen(found) == "Refused/NothingMatches"
    assert why(found)["1.27.3"] == (
        "is another variant than 1.27.2-alpine, which runs; say with filterTags which one is meant"
    )


def test_a_filter_says_which_variant_is_meant() -> None:
    alpine = semver("~1.27", pattern=r"^(?P<v>\d+\.\d+\.\d+)-alpine$", extract="$v")
    found = choose(NGINX, "1.27.2-alpine", alpine)
    assert chosen(found) == "1.27.3-alpine"
    assert why(found)["1.27.3-alpine-slim"] == "does not match filterTags.pattern"
    # And whoever wants to leave Alpine says so, too.
    assert chosen(choose(NGINX, "1.27.2-alpine", semver("~1.27", pattern=r"^[0-9.]+$"))) == "Refused/RunningUnordered"


def test_a_range_over_pre_releases_keeps_the_variant_as_well() -> None:
    assert chosen(choose(NGINX, "1.27.2-alpine", semver("~1.27-0"))) == "1.27.3-alpine3.20"
    assert chosen(choose(NGINX, "1.27.2", semver("~1.27-0"))) == "1.27.3"


@pytest.mark.parametrize("suffix", ["rc.1", "beta2", "SNAPSHOT", "20261123", "3f2a9c1", "g3f2a9c1", "m1.build7"])
def test_a_maturity_or_a_build_is_no_variant(suffix: str) -> None:
    assert chosen(choose(["1.4.1"], running(f"1.4.1-{suffix}"))) == "1.4.1"


def test_tags_of_fewer_than_three_numbers_move_and_are_never_chosen() -> None:
    found = choose(["1", "1.28", "latest", "1.27.2"], "1.27.2")
    assert chosen(found) == "UpToDate/UpToDate"
    assert why(found)["1.28"] == "is no version of three numbers"


def test_a_moving_tag_stands_where_the_release_stands_that_it_names() -> None:
    tags = [tag("1.27.2", "a"), tag("1.27", "b"), tag("1.27.3", "b"), tag("1.27.4", "c"), tag("latest", "c")]
    assert chosen(choose(tags, running("1.27", "a"))) == "1.27.4"
    assert chosen(choose(tags, running("1.27", "b"))) == "1.27.4"
    assert chosen(choose(tags, running("latest", "c"))) == "UpToDate/UpToDate"
    assert chosen(choose(tags, running("", "b"))) == "1.27.4"
    assert chosen(choose(tags, running("latest", "unheard of"))) == "Refused/RunningUnordered"


def test_calendar_versions_are_versions() -> None:
    tags = ["2026.02.03", "2026.11.23", "2026.9.1", "2025.12.31"]
    assert chosen(choose(tags, "2026.02.03", semver("2026.x"))) == "2026.11.23"


def test_alpine_linux_keeps_dates_beside_versions_and_either_can_be_followed() -> None:
    tags = ["3.19.1", "3.20.3", "3.20", "20240807", "20250108", "edge"]
    assert chosen(choose(tags, "3.19.1", semver("3.x"))) == "3.20.3"
    assert chosen(choose(tags, "20240807", numerical(pattern="^[0-9]{8}$"))) == "20250108"


def test_a_pre_release_is_chosen_only_by_a_range_that_names_one() -> None:
    tags = ["1.4.0", "1.5.0-rc.1"]
    assert why(choose(tags, "1.4.0", semver("1.x")))["1.5.0-rc.1"] == "is a pre-release, and the range 1.x names none"
    assert chosen(choose(tags, "1.4.0", semver(">=1.4.0-0"))) == "1.5.0-rc.1"
    assert why(choose(["1.4.0", "2.0.0-rc.1"], "1.4.0", semver("<1.9-0")))["2.0.0-rc.1"] == "is not in the range <1.9-0"


def test_of_two_spellings_of_one_version_neither_is_newer() -> None:
    assert chosen(choose(["1.4.1", "v1.4.1"], "1.4.1")) == "UpToDate/UpToDate"
    found = choose(["1.4.2", "v1.4.2"], "1.4.1")
    assert chosen(found) == "v1.4.2"
    assert why(found) == {"1.4.2": "is not newer than v1.4.2"}


# --- patched images ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("runs", "newest"),
    [
        ("1.24.0", "1.24.0-patched-10"),
        ("1.24.0-patched", "1.24.0-patched-10"),
        ("1.24.0-patched-9", "1.24.0-patched-10"),
        ("1.24.0-patched-10", "UpToDate/UpToDate"),
    ],
)
def test_a_patched_image_comes_after_the_one_it_patches(runs: str, newest: str) -> None:
    tags = [
        "1.24.0",
        "1.24.0-patched",
        "1.24.0-patched-1",
        "1.24.0-patched-9",
        "1.24.0-patched-10",
        "1.23.9-patched-99",
    ]
    assert chosen(choose(tags, runs, semver("1.24.x", patched_suffix=COPA))) == newest


def test_a_release_comes_after_every_patch_of_the_one_before() -> None:
    tags = ["1.24.0", "1.24.0-patched-3", "1.24.1"]
    assert chosen(choose(tags, "1.24.0-patched-3", semver("1.24.x", patched_suffix=COPA))) == "1.24.1"


def test_a_bare_number_may_be_the_suffix() -> None:
    tags = ["1.24.0", "1.24.0-1", "1.24.0-2", "1.24.0-rc.1"]
    found = choose(tags, "1.24.0", semver("1.24.x", patched_suffix="-[0-9]+"))
    assert chosen(found) == "1.24.0-2"
    assert why(found)["1.24.0-rc.1"] == "is a pre-release, and the range 1.24.x names none"


def test_without_the_suffix_the_reason_says_what_is_missing() -> None:
    found = choose(["1.24.0", "1.24.0-patched"], "1.24.0", semver("1.24.x"))
    assert chosen(found) == "UpToDate/UpToDate"
    assert why(found)["1.24.0-patched"] == (
        "is a pre-release, and the range 1.24.x names none; set patchedSuffix if it is a patched image"
    )


def test_the_filter_sees_what_is_left_without_the_suffix() -> None:
    tags = ["v1.24.0-alpine", "v1.24.0-alpine-patched", "v1.24.0", "v1.25.0-patched"]
    alpine = semver("*", pattern="^v(?P<v>.*)-alpine$", extract="$v", patched_suffix=COPA)
    assert chosen(choose(tags, "v1.24.0-alpine", alpine)) == "v1.24.0-alpine-patched"


# Found by Hypothesis: 1.4.0 was newer than 1.3.9, which named the same image as the release candidate that ran.
def test_a_version_that_the_filter_leaves_out_stands_no_lower_than_its_name() -> None:
    tags = [tag("1.3.9", "same"), tag("1.4.0"), tag("1.6.0")]
    releases = semver("*", pattern="^v?(?P<v>[0-9.]+)$", extract="$v")
    assert chosen(choose(tags[:2], running("1.5.0-rc.1", "same"), releases)) == "UpToDate/UpToDate"
    assert chosen(choose(tags, running("1.5.0-rc.1", "same"), releases)) == "1.6.0"
    assert chosen(choose(tags[:2], running("latest", "same"), releases)) == "1.4.0"
    assert chosen(choose(tags, running("1.5.0-rc.1"), releases)) == "Refused/RunningUnordered"


def test_patches_come_after_in_every_order() -> None:
    tags = ["20261101", "20261101-patched", "20261101-patched-1"]
    for policy in (
        alphabetical(patched_suffix=COPA),
        numerical(patched_suffix=COPA),
        numerical("desc", patched_suffix=COPA),
    ):
        assert chosen(choose(tags, "20261101", policy)) == "20261101-patched-1"


def test_a_suffix_that_can_be_nothing_patches_nothing() -> None:
    assert chosen(choose(["1.4.0", "1.4.1"], "1.4.0", semver(patched_suffix="(-p)?"))) == "1.4.1"


# --- other orders -----------------------------------------------------------------------------------------------------


def test_the_alphabet_orders_what_is_no_version() -> None:
    minio = [
        "RELEASE.2026-10-31T23-41-22Z",
        "RELEASE.2026-11-07T00-52-20Z",
        "latest",
        "RELEASE.2026-11-07T00-52-20Z.fips",
    ]
    releases = alphabetical(pattern=r"^RELEASE\.[^.]+$")
    assert chosen(choose(minio, "RELEASE.2026-10-31T23-41-22Z", releases)) == "RELEASE.2026-11-07T00-52-20Z"
    assert chosen(choose(["a", "b", "c"], "b", alphabetical("desc"))) == "a"


def test_numbers_are_ordered_as_numbers_and_taken_out_of_a_tag() -> None:
    tags = ["main-3f2a9c1-9", "main-12e4567-10", "main-0000000-1.5", "dev-77"]
    builds = numerical(pattern=r"^main-[a-f0-9]+-(?P<n>\d+)", extract="$n")
    assert chosen(choose(tags, "main-3f2a9c1-9", builds)) == "main-12e4567-10"
    assert chosen(choose(["3", "2", "1.5"], "2", numerical("desc"))) == "1.5"
    assert chosen(choose(["-1", "+2"], "-1", numerical())) == "+2"


def test_long_numbers_lose_no_digit_and_a_commit_is_none() -> None:
    found = choose(["20261123094512001", "20261123094512002", "12e4567"], "20261123094512001", numerical())
    assert chosen(found) == "20261123094512002"
    assert why(found)["12e4567"] == "is no number"


def test_what_the_filter_extracts_nothing_from_has_no_place() -> None:
    empty = {"pattern": "^v(?P<v>[0-9.]*)", "extract": "$v"}
    tags = ["vnext", "v1.0.0"]
    said = "is no version of three numbers, because filterTags.extract takes nothing from it"
    assert why(choose(tags, "v1.0.0", semver(**empty)))["vnext"] == said
    assert why(choose(tags, "v1.0.0", alphabetical(**empty)))["vnext"] == "has nothing that filterTags.extract takes"
    said = "is no number, because filterTags.extract takes nothing from it"
    assert why(choose(tags, "v1.0.0", numerical(**empty)))["vnext"] == said


# --- what is no image -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        f"sha256-{'0' * 64}",
        f"sha256-{'0' * 64}.sig",
        f"sha512-{'0' * 128}"[:128],
        "v9.9.9.sig",
        "v9.9.9.att",
        "v9.9.9.sbom",
    ],
)
def test_signatures_and_attestations_are_no_images(name: str) -> None:
    found = choose([name, "v1.0.0"], "v1.0.0", alphabetical())
    assert chosen(found) == "UpToDate/UpToDate"
    assert why(found)[name] == "is a signature or an attestation, no image"


def test_nothing_longer_than_a_tag_is_read() -> None:
    assert why(choose(["1" * 129], "1", numerical()))["1" * 129] == "is longer than a tag can be"


# --- which digests are needed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("runs", "policy", "wanted"),
    [
        (running("1.27.2"), semver("1.x"), ["1.28.0", "1.27.3", "1.27.2"]),
        (running("1.28.0"), semver("1.x"), ["1.28.0"]),
        (running("1.29.0"), semver("1.x"), []),
        (running("9.9.9"), semver("1.x"), ["1.28.0", "1.27.3", "1.27.2"]),
        (running("latest"), semver("1.x"), ["1.28.0", "1.27.3", "1.27.2", "latest"]),
        (Running("", digest("x")), semver("1.x"), ["1.28.0", "1.27.3", "1.27.2"]),
    ],
)
def test_only_the_digests_of_what_could_be_chosen_are_asked_for(
    runs: Running, policy: ImagePolicy, wanted: list[str]
) -> None:
    assert ordering.shortlist(NGINX, runs, policy) == wanted


def test_of_a_thousand_tags_five_digests_are_asked_for_and_that_of_what_runs() -> None:
    tags = [f"1.{number}.0" for number in range(1000)]
    found = ordering.shortlist(tags, running("1.0.0"), semver())
    assert found == ["1.999.0", "1.998.0", "1.997.0", "1.996.0", "1.995.0", "1.0.0"]
