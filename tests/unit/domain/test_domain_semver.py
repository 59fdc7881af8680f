"""Ranges of versions mean what they mean to Flux; each line was compared with Masterminds/semver 3.5.0."""

from __future__ import annotations

import pytest

from patchwright.domain import semver

TAGS = [
    "0.0.3", "0.2.3", "0.2.9", "0.3.0", "v1.0.0", "v1.2.3", "v1.2.10", "v1.10.0", "v2.0.0", "v2.1.0-rc.1",
    "v3.0.0-alpha.10", "v3.0.0-alpha.9", "latest", "v1", "1.11", "release-9.9.9", "1.2.3.4", "vv9.9.9", "9.9.9-",
    "9.9.9-a..b", "9.9.9-01", "9.9.9 ", "٩.9.9", "9.9.9-" + "9" * 300,
]  # fmt: skip


@pytest.mark.parametrize(
    ("constraint", "tag"),
    [
        ("*", "v2.0.0"),
        ("x", "v2.0.0"),
        (">=*", "v2.0.0"),
        (">=1.0.0", "v2.0.0"),
        (">=1.0.0 <2.0.0", "v1.10.0"),
        (">=1.0.0, <1.10", "v1.2.10"),
        (">=1.0.0,<1.10", "v1.2.10"),
        ("=>1.0.0 =<1.10", "v1.10.0"),
        ("1.x", "v1.10.0"),
        ("1", "v1.10.0"),
        ("1.2.x", "v1.2.10"),
        ("1.2.*", "v1.2.10"),
        ("1.2.X", "v1.2.10"),
        ("1.x.3", "v1.10.0"),
        ("1.2", "v1.2.10"),
        ("v1.2.3", "v1.2.3"),
        ("=1.2.3", "v1.2.3"),
        ("= 1.2.3", "v1.2.3"),
        ("1.2.3+build.5", "v1.2.3"),
        ("~1.2.3", "v1.2.10"),
        ("~>1.2.3", "v1.2.10"),
        ("~1", "v1.10.0"),
        ("~0.0.0", "v2.0.0"),
        ("^1.2.3", "v1.10.0"),
        ("^0.2.3", "0.2.9"),
        ("^0.2", "0.2.9"),
        ("^0.0.3", "0.0.3"),
        ("^0.0", "0.0.3"),
        ("^0", "0.3.0"),
        ("^1.x", "v1.10.0"),
        ("1.0 - 1.2", "v1.2.10"),
        ("1.0.0 - 1.2.3", "v1.2.3"),
        ("0.2 - 0.2.5 || 0.3.x", "0.3.0"),
        (">1.2", "v2.0.0"),
        (">1", "v2.0.0"),
        (">1.2.10 <2", "v1.10.0"),
        ("<=1.2", "v1.2.10"),
        ("<=1", "v1.10.0"),
        ("<=1.2.3", "v1.2.3"),
        ("<1.2.3", "v1.0.0"),
        ("<1.x", "0.3.0"),
        ("!=2.0.0", "v1.10.0"),
        ("!=2", "v1.10.0"),
        ("!=2.0", "v1.10.0"),
        ("0.2.x || 1.2.3", "v1.2.3"),
        (">9", ""),
        ("4.x", ""),
    ],
)
def test_the_highest_tag_in_the_range_wins(constraint: str, tag: str) -> None:
    assert semver.highest(TAGS, constraint) == tag


@pytest.mark.parametrize(
    ("constraint", "tag"),
    [
        (">=2.1.0-0", "v3.0.0-alpha.10"),
        (">=2.1.0-0 <3.0.0-0", "v2.1.0-rc.1"),
        ("<3.0.0 >=2.1.0-0", "v3.0.0-alpha.10"),
        ("2.1.0-rc.1", "v2.1.0-rc.1"),
        ("^2.0.0-0", "v2.1.0-rc.1"),
        ("~3.0.0-0", "v3.0.0-alpha.10"),
        ("<=2-0", "v2.1.0-rc.1"),
        ("*-0", "v3.0.0-alpha.10"),
        ("<=3.0.0-alpha.9", "v3.0.0-alpha.9"),
        (">3.0.0-alpha.9", "v3.0.0-alpha.10"),
        (">=2.1.0", ""),
        ("2.1.x", ""),
        (">=2.1.0 || 1.2.3-0", ""),
        ("!=3.0-alpha.10", "v3.0.0-alpha.9"),
    ],
)
def test_pre_releases_count_only_where_the_range_names_one_and_then_all_do(constraint: str, tag: str) -> None:
    assert semver.highest(TAGS, constraint) == tag


def test_versions_are_ordered_as_semver_org_says() -> None:
    ordered = [
        "0.9.10", "1.0.0-0", "1.0.0-2", "1.0.0-10", "1.0.0-BETA", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta",
        "1.0.0-rc.2", "1.0.0-rc.10", "1.0.0-rc.10-x", "1.0.0", "v1.0.1", "1.2.0", "1.10.0", "10.0.0",
    ]  # fmt: skip
    versions = [semver.parse(tag) for tag in ordered]
    assert all(versions)
    assert sorted(versions, key=lambda version: version or ()) == versions
    assert len(set(versions)) == len(ordered)


def test_what_stands_after_a_plus_says_nothing() -> None:
    assert semver.parse("1.2.3+exp.sha.5114f85") == semver.parse("v1.2.3")


def test_a_calendar_is_a_version_zeros_and_all() -> None:
    assert semver.highest(["2026.02.03", "v2026.11.23", "2026.9.1", "2026.11"], "2026.x") == "v2026.11.23"


@pytest.mark.parametrize("tag", ["1.4", "1", "latest", "1.2.3.4", "9.9.9-01", "1.2.3-", "", "1.2.3\n", "1.2.-3"])
def test_fewer_than_three_numbers_are_no_version(tag: str) -> None:
    assert semver.parse(tag) is None


@pytest.mark.parametrize(
    ("constraint", "words"),
    [
        ("", "the version range is empty"),
        ("||", "the version range is empty"),
        ("1 ||", "the version range is empty"),
        (">>1", "'>>1' is no version range"),
        ("abc", "'abc' is no version range"),
        ("1.2.3.4", "'1.2.3.4' is no version range"),
        (">", "'>' is no version range"),
        (">1<2", "'>1<2' is no version range"),
        (">=1,", "'>=1,' is no version range"),
        (">1 - 2", "'>=>1 <=2' is no version range"),
        ("1.0.0-a..b", "'1.0.0-a..b' is no version range"),
        ("1.0.0-01", "'01' is no pre-release, because zeros lead a number; it is no version range"),
        ("^*", "the version range compares with ^ and no number; write * for every version"),
        ("<x", "the version range compares with < and no number; write * for every version"),
        ("1 " * 200, "the version range is 400 characters long; at most 256 are read"),
    ],
)
def test_a_range_that_cannot_be_read_is_named(constraint: str, words: str) -> None:
    with pytest.raises(ValueError, match="range") as refused:
        semver.highest(TAGS, constraint)
    assert str(refused.value) == words


@pytest.mark.parametrize("text", ["1" * 5000 + ".0.0", "1.0.0-" + "1" * 5000, "1 - " * 2000])
def test_what_strangers_write_is_read_in_no_time_or_not_at_all(text: str) -> None:
    assert semver.parse(text) is None
    with pytest.raises(ValueError, match="characters long"):
        semver.parse_range(text)
