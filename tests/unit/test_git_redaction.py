"""What Git says is shown without what is secret in it."""

from __future__ import annotations

import pytest

from patchwright.adapters.git.failures import redact


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
