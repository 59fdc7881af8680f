"""Which PodDisruptionBudgets never allow an eviction: those that no waiting helps with, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from patchwright.adapters.kube import budgets


def budget(expected: int, wanted: int, *, allowed: int = 0, observed: int = 2) -> dict[str, Any]:
    status = {
        "expectedPods": expected,
        "desiredHealthy": wanted,
        "disruptionsAllowed": allowed,
        "observedGeneration": observed,
    }
    return {"metadata": {"namespace": "shop", "name": "db", "generation": 2}, "spec": {}, "status": status}


def test_a_budget_that_wants_every_pod_healthy_never_allows_an_eviction_and_says_what_to_do() -> None:
    assert budgets.hopeless(budget(3, 3)) == (
        "PodDisruptionBudget shop/db never allows it: it wants 3 healthy pods of 3; scale up, or let it spare one"
    )
    assert budgets.hopeless(budget(3, 5)), "minAvailable may be more than there is"


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(budget(3, 2, allowed=1), id="it allows one"),
        pytest.param(budget(3, 2), id="one is away, and will be back"),
        pytest.param(budget(0, 0), id="it selects nothing"),
        pytest.param(budget(3, 3, observed=1), id="it was edited, and nobody has counted yet"),
        pytest.param({"metadata": {"namespace": "shop", "name": "db", "generation": 1}}, id="it has no status yet"),
    ],
)
def test_a_budget_that_allows_one_now_or_may_in_a_moment_does_not(found: dict[str, Any]) -> None:
    assert not budgets.hopeless(found)
