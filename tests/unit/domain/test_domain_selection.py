"""Label selectors, as the API server evaluates them."""

from __future__ import annotations

import pytest

from patchwright.domain.model import Operator, Requirement, Selector
from patchwright.domain.selection import matches

LABELS = {"zone": "a", "empty": ""}


@pytest.mark.parametrize(
    ("key", "operator", "values", "wanted"),
    [
        ("zone", Operator.IN, {"a", "b"}, True),
        ("zone", Operator.IN, {"b"}, False),
        ("none", Operator.IN, {""}, False),
        ("empty", Operator.IN, {""}, True),
        ("zone", Operator.NOT_IN, {"b"}, True),
        ("zone", Operator.NOT_IN, {"a"}, False),
        ("none", Operator.NOT_IN, {"a"}, True),
        ("empty", Operator.EXISTS, set(), True),
        ("none", Operator.EXISTS, set(), False),
        ("none", Operator.DOES_NOT_EXIST, set(), True),
        ("empty", Operator.DOES_NOT_EXIST, set(), False),
    ],
)
def test_a_requirement_holds_as_in_the_api_server(key: str, operator: Operator, values: set[str], wanted: bool) -> None:
    assert matches(Selector((Requirement(key, operator, frozenset(values)),)), LABELS) is wanted


def test_every_requirement_must_hold_and_none_at_all_selects_everything() -> None:
    one, two = Requirement("zone", Operator.EXISTS), Requirement("none", Operator.EXISTS)
    assert not matches(Selector((one, two)), LABELS)
    assert matches(Selector(), {})
