"""Semver ranges over tags, as Flux's users write them."""

from __future__ import annotations

import pytest

from patchwright.adapters.git.failures import redact
from patchwright.adapters.git.semver import highest

TAGS = [
    "0.0.3", "0.2.3", "0.2.9", "0.3.0", "v1.0.0", "v1.2.3", "v1.2.10", "v1.10.0", "v2.0.0", "v2.1.0-rc.1",
    "v3.0.0-alpha.10", "v3.0.0-alpha.9", "latest", "v1", "release-9.9.9", "1.2.3.4", "01.2.3",
]  # fmt: skip


@pytest.mark.parametrize(
    ("constraint", "tag"),
    [
        ("*", "v2.0.0"),
        ("x", "v2.0.0"),
        (">=1.0.0", "v2.0.0"),
        (">=1.0.0 <2.0.0", "v1.10.0"),
        (">=1.0.0, <1.10", "v1.2.10"),
        ("1.x", "v1.10.0"),
        ("1.2.x", "v1.2.10"),
        ("1.2", "v1.2.10"),
        ("v1.2.3", "v1.2.3"),
        ("=1.2.3", "v1.2.3"),
        ("~1.2.3", "v1.2.10"),
        ("~1", "v1.10.0"),
        ("^1.2.3", "v1.10.0"),
        ("^0.2.3", "0.2.9"),
        ("^0.0.3", "0.0.3"),
        ("^0", "0.3.0"),
        ("1.0 - 1.2", "v1.2.10"),
        ("1.0.0 - 1.2.3", "v1.2.3"),
        (">1.2", "v2.0.0"),
        (">1.2.10 <2", "v1.10.0"),
        ("<=1.2", "v1.2.10"),
        ("<1.2.3", "v1.0.0"),
        ("!=2.0.0", "v1.10.0"),
        ("0.2.x || 1.2.3", "v1.2.3"),
        (">=2.1.0-0", "v3.0.0-alpha.10"),
        (">=2.1.0-0 <3.0.0-0", "v2.1.0-rc.1"),
        ("2.1.0-rc.1", "v2.1.0-rc.1"),
        (">9", ""),
        ("4.x", ""),
    ],
)
def test_the_highest_tag_in_the_range_wins(constraint: str, tag: str) -> None:
    assert highest(TAGS, constraint) == tag


@pytest.mark.parametrize("constraint", ["", "||", ">>1", "abc", "1.2.3.4", ">", "1 ||"])
def test_a_range_that_cannot_be_read_is_no_range(constraint: str) -> None:
    with pytest.raises(ValueError, match="range"):
        highest(TAGS, constraint)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("fatal: https://user:pa/ss@w@host/x failed", "fatal: https://***@host/x failed"),
        ("at ssh://git@host/x", "at ssh://git@host/x"),
        ("at ssh://git@x:pw@host/x", "at ssh://***@host/x"),
        ("Authorization: Bearer abcdef", "Authorization: Bearer ***"),
        ("authorization: basic YTpi", "authorization: basic ***"),
        ("the s3cret is s3cret", "the *** is ***"),
        ("a\nb\x1b[31mc", "a b [31mc"),
    ],
)
def test_redaction_removes_secrets_and_control_characters(text: str, shown: str) -> None:
    assert redact(text, ["s3cret"]) == shown
    assert len(redact("x" * 10_000)) == 300
