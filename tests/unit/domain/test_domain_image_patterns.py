"""Patterns over tags mean what they mean to Go, and none takes long."""

from __future__ import annotations

import time

import pytest

from patchwright.domain.images import patterns


@pytest.mark.parametrize(
    ("pattern", "tag", "template", "made"),
    [
        (r"^v(?P<v>.*)$", "v1.4.2", "$v", "1.4.2"),
        (r"^v(?<v>.*)$", "v1.4.2", "${v}", "1.4.2"),
        (r"^(?P<ts>\d+)-(?P<sha>[a-f0-9]+)$", "20261123-3f2a", "$ts.$sha", "20261123.3f2a"),
        (r"(\d+)\.(\d+)", "v1.4", "$2-$1", "4-1"),
        (r"(\d+)", "v14", "${1}x", "14x"),
        (r"(\d+)", "v14", "$1x", ""),
        (r"(\d+)", "v14", "$0!", "14!"),
        (r"(\d+)(-rc)?", "v14", "$1$2", "14"),
        (r"(\d+)", "v14", "$9$none", ""),
        (r"(\d+)", "v14", "$$1 $ ${1", "$1 $ ${1"),
        (r"\d+", "v14-9", "plain", "plain"),
        (r"(?i)V(?P<v>\d+)", "v14", "$v", "14"),
        (r"[[:alpha:]]+(?P<v>\d+)\z", "v14", "$v", "14"),
        (r"\pL(?P<v>\d+)", "v14", "$v", "14"),
    ],
)
def test_a_template_is_filled_in_as_go_does(pattern: str, tag: str, template: str, made: str) -> None:
    match = patterns.compiled(pattern).search(tag)
    assert match is not None
    assert patterns.expand(template, match) == made


@pytest.mark.parametrize(("pattern", "tag"), [(r"^\d$", "٩"), (r"^\w$", "é"), ("a$", "a\n"), ("^b", "ab")])
def test_what_python_would_match_and_go_does_not_is_not_matched(pattern: str, tag: str) -> None:
    assert patterns.compiled(pattern).search(tag) is None


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(", "missing ): ("),
        ("(?=a)", "invalid perl operator: (?="),
        ("(?<!a)b", "is no regular expression that Go and RE2 know"),
        (r"(a)\1", r"invalid escape sequence: \1"),
        ("a{1001}", "invalid repetition size: {1001}"),
        ("((a{100}){10}){999}", "is no regular expression that Go and RE2 know"),
        ("a" * 513, "is 513 characters long; at most 512 are read"),
    ],
)
def test_what_go_refuses_is_refused_in_words(pattern: str, words: str) -> None:
    with pytest.raises(patterns.PatternError) as refused:
        patterns.compiled(pattern)
    assert words in str(refused.value)


def test_nothing_of_a_refusal_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(patterns.PatternError):
        patterns.compiled("(?P<never printed>")
    assert capfd.readouterr() == ("", "")


def test_a_pattern_that_would_take_python_for_ever_is_done_at_once() -> None:
    hostile = patterns.compiled(r"^(([a-z0-9])+.)+[A-Z]([a-z0-9])+$")
    started = time.monotonic()
    assert all(hostile.search("a" * 128) is None for _ in range(100))
    # Python's re would need longer than the universe has been there; ten seconds are no measurement.
    assert time.monotonic() - started < 10


def test_groups_are_known_by_name_and_number() -> None:
    pattern = patterns.compiled(r"^v(?P<v>\d+)(-rc)?")
    assert [pattern.has(group) for group in ("v", "0", "1", "2", "3", "w")] == [True, True, True, True, False, False]
    assert list(patterns.references("$v-${2}-$$3-$")) == ["v", "2"]
