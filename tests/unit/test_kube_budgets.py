"""Which PodDisruptionBudgets never allow an eviction: those that no waiting helps with, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from patchwright.adapters.kube import budgets
from patchwright.handlers.settings import Settings

ALL: dict[str, Any] = {"maxUnavailable": 0}
THREE: dict[str, Any] = {"minAvailable": 3}


def budget(
    expected: int, wanted: int, *, allowed: int = 0, observed: int = 2, spec: dict[str, Any] | None = None
) -> dict[str, Any]:
    status = {
        "expectedPods": expected,
        "desiredHealthy": wanted,
        "currentHealthy": wanted,
        "disruptionsAllowed": allowed,
        "observedGeneration": observed,
    }
    found = {"selector": {"matchLabels": {"app": "db"}}, **(ALL if spec is None else spec)}
    return {"metadata": {"namespace": "shop", "name": "db", "generation": 2}, "spec": found, "status": status}


def test_a_budget_that_wants_every_replica_healthy_is_looked_into() -> None:
    assert budgets.project(budget(3, 3)) == budgets.Budget("shop", "db", "app in (db)", 3, 3, 3, spares_unready=False)
    assert budgets.project(budget(3, 3, spec={"minAvailable": "100%"})), "a share is of the replicas, as is 0"
    spares = budgets.project(budget(3, 3, spec={**ALL, "unhealthyPodEvictionPolicy": "AlwaysAllow"}))
    assert spares is not None
    assert spares.spares_unready


# The disruption controller counts the pods of such a budget, not the replicas: a StatefulSet's third pod that is being
# started anew is none of them for a moment, and one that an eviction left behind as Failed is one for ever.
@pytest.mark.parametrize("there", [3, 2, 5])
def test_what_a_minimum_that_is_a_number_expects_is_not_told_from_the_pods_that_are_there(there: int) -> None:
    found = budgets.project(budget(there, 3, spec=THREE))
    assert found is not None
    assert (found.wanted, found.expected) == (3, None)


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(budget(3, 2, allowed=1), id="it allows one"),
        pytest.param(budget(4, 3, allowed=1, spec=THREE), id="it allows one, by a number"),
        pytest.param(budget(3, 2), id="one is away, and will be back"),
        pytest.param(budget(0, 0), id="it selects nothing"),
        pytest.param(budget(3, 3, spec={**ALL, "selector": None}), id="it has no selector"),
        pytest.param(budget(3, 3, observed=1), id="it was edited, and nobody has counted yet"),
        pytest.param({"metadata": {"namespace": "shop", "name": "db", "generation": 1}}, id="it has no status yet"),
    ],
)
def test_a_budget_that_allows_one_now_or_may_in_a_moment_is_not(found: dict[str, Any]) -> None:
    assert budgets.project(found) is None


def pod(*, ready: str = "True", phase: str = "Running", **spec: Any) -> dict[str, Any]:
    status = {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}
    return {"metadata": {"name": "db-0"}, "spec": {"nodeName": "n1", **spec}, "status": status}


STRICT = budgets.Budget("shop", "db", "app in (db)", 3, 3, 3, spares_unready=False)
SPARES = budgets.Budget("shop", "db", "app in (db)", 3, 3, 3, spares_unready=True)


def test_a_pod_that_runs_for_ever_is_held_by_it() -> None:
    assert budgets.held(pod(), STRICT)
    assert budgets.held(pod(restartPolicy="Always"), SPARES)
    assert budgets.held(pod(ready="False"), STRICT), "a pod that crashes is held as well"


@pytest.mark.parametrize(
    ("found", "by"),
    [
        pytest.param(pod(ready="False"), SPARES, id="not Ready, under AlwaysAllow"),
        pytest.param({**pod(), "status": {"phase": "Running"}}, SPARES, id="nobody has said yet that it is Ready"),
        pytest.param(pod(phase="Pending"), STRICT, id="pending: no budget is asked about it"),
        pytest.param(pod(phase="Succeeded"), STRICT, id="it has ended"),
        pytest.param({**pod(), "metadata": {"deletionTimestamp": "2026-11-23T12:00:00Z"}}, STRICT, id="ending"),
        pytest.param(pod(restartPolicy="Never"), STRICT, id="a build, which ends by itself"),
        pytest.param(pod(restartPolicy="OnFailure"), STRICT, id="a Job's, which ends by itself"),
    ],
)
def test_a_pod_that_may_be_evicted_all_the_same_or_ends_by_itself_is_not(
    found: dict[str, Any], by: budgets.Budget
) -> None:
    assert not budgets.held(found, by)


def test_the_operators_pod_is_known_by_its_identity_or_by_its_host_name() -> None:
    assert Settings(identity="patchwright-7d9f-abcde").pod_name == "patchwright-7d9f-abcde"
    assert Settings(identity="patchwright-7d9f-abcde_1a2b3c4d").pod_name == "patchwright-7d9f-abcde"
