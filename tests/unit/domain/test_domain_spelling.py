"""Durations in sentences."""

from __future__ import annotations

from datetime import timedelta

import pytest

from patchwright.domain import spelling


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(0), "0s"),
        (timedelta(milliseconds=250), "1s"),
        (timedelta(seconds=8), "8s"),
        (timedelta(minutes=10), "10m"),
        (timedelta(minutes=90), "1h30m"),
        (timedelta(days=2, seconds=1), "48h1s"),
    ],
)
def test_a_duration_is_spelled_as_in_a_policy(span: timedelta, words: str) -> None:
    assert spelling.duration(span) == words
