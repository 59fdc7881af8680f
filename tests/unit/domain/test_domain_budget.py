"""Budgets: how many targets a quantity means, how much room is left, when it is enough of failures."""

from __future__ import annotations

import pytest

from patchwright.domain import budget
from support.builders import quantity


@pytest.mark.parametrize(
    ("said", "total", "means"),
    [
        pytest.param("10%", 25, 2, id="percentages round down, as the Machine Config Operator's"),
        pytest.param("10%", 3, 1, id="but never below one"),
        pytest.param("100%", 7, 7, id="all is all"),
        pytest.param("0%", 100, 0, id="an explicit 0% is nothing"),
        pytest.param(0, 100, 0, id="an explicit 0 is nothing, where the Machine Config Operator makes it 1"),
        pytest.param(3, 2, 3, id="a number is that number"),
    ],
)
def test_a_quantity_means(said: int | str, total: int, means: int) -> None:
    assert budget.resolve(quantity(said), total) == means


@pytest.mark.parametrize(("unavailable", "left"), [(0, 3), (2, 1), (3, 0), (9, 0)])
def test_room_is_what_the_unavailable_leave_and_never_negative(unavailable: int, left: int) -> None:
    assert budget.room(quantity(3), total=30, unavailable=unavailable) == left


@pytest.mark.parametrize(("said", "limit"), [(0, 1), (1, 1), ("50%", 5), ("0%", 1), (4, 4)])
def test_at_least_one_failure_halts(said: int | str, limit: int) -> None:
    assert budget.threshold(quantity(said), 10) == limit
