"""What a workload must say to count as healthy, one manifest per case; real controllers are in tier 3."""

from __future__ import annotations

from typing import Any

import pytest

from patchwright.adapters.health import cluster, workloads
from patchwright.adapters.kube import selectors
from patchwright.domain.model import Operator, Requirement, Selector
from patchwright.errors import HealthProbeError

STUCK = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}


def manifest(spec: dict[str, Any] | None = None, *, generation: int = 2, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "shop", "name": "web", "generation": generation},
        "spec": spec or {},
        "status": {"observedGeneration": 2} | status,
    }


def rollout(*, observed: str = "2", **status: Any) -> dict[str, Any]:
    return manifest({"replicas": 4}, observedGeneration=observed, **status)


@pytest.mark.parametrize(
    ("kind", "of", "expected"),
    [
        pytest.param("Deployment", manifest({"replicas": 2}, availableReplicas=2), "", id="all available"),
        pytest.param("Deployment", manifest({"replicas": 2}, availableReplicas=3), "", id="a surge"),
        pytest.param("Deployment", manifest({"replicas": 0}), "", id="scaled to zero"),
        pytest.param("StatefulSet", manifest({"replicas": 0}), "", id="a set scaled to zero"),
        pytest.param("DaemonSet", manifest(), "", id="a daemon without a node"),
        pytest.param(
            "Deployment", manifest({"replicas": 3}, availableReplicas=1), "has 1 of 3 replicas available", id="short"
        ),
        pytest.param("StatefulSet", manifest(), "has 0 of 1 replicas available", id="one replica is the default"),
        pytest.param(
            "DaemonSet",
            manifest(desiredNumberScheduled=5, numberAvailable=4),
            "has 4 of 5 pods available",
            id="a daemon short of a pod",
        ),
        pytest.param(
            "Deployment",
            manifest({"replicas": 1}, generation=3, availableReplicas=1),
            "is at generation 3 and its controller has seen 2",
            id="a status of the spec before",
        ),
        pytest.param(
            "Deployment",
            {"metadata": {"namespace": "shop", "name": "web", "generation": 1}},
            "is at generation 1 and its controller has seen 0",
            id="no status at all",
        ),
        pytest.param(
            "Deployment",
            manifest({"replicas": 2}, availableReplicas=1, conditions=[{"type": "Available"}, STUCK]),
            "has 1 of 2 replicas available (ProgressDeadlineExceeded: timed out)",
            id="short and stuck",
        ),
        pytest.param("Rollout", rollout(availableReplicas=4, phase="Healthy"), "", id="a Rollout"),
        pytest.param("Rollout", rollout(availableReplicas=4, phase="Paused"), "", id="a Rollout at a step of its own"),
        pytest.param(
            "Rollout",
            rollout(observed="1", availableReplicas=4, phase="Healthy"),
            "is at generation 2 and its controller has seen 1",
            id="a Rollout's status of the spec before",
        ),
        pytest.param(
            "Rollout",
            rollout(availableReplicas=3, phase="Progressing"),
            "has 3 of 4 replicas available",
            id="a Rollout short of a pod",
        ),
        pytest.param(
            "Rollout",
            rollout(availableReplicas=4, phase="Degraded", message="ProgressDeadlineExceeded: timed out"),
            "does not progress (Degraded: ProgressDeadlineExceeded: timed out)",
            id="a Rollout that Argo gave up on, its old pods available",
        ),
        pytest.param(
            "Deployment",
            manifest({"replicas": 2}, availableReplicas=2, conditions=[STUCK]),
            "does not progress (ProgressDeadlineExceeded: timed out)",
            id="stuck though the old replicas serve",
        ),
    ],
)
def test_a_workload_lacks(kind: str, of: dict[str, Any], expected: str) -> None:
    assert workloads.shortfall(kind, of) == expected


def test_selectors_are_written_for_the_api_server() -> None:
    selector = Selector(
        (
            Requirement("tier", Operator.IN, frozenset({"web", "api"})),
            Requirement("env", Operator.NOT_IN, frozenset({"dev"})),
            Requirement("team", Operator.EXISTS),
            Requirement("old", Operator.DOES_NOT_EXIST),
        )
    )
    assert selectors.query(selector) == "tier in (api,web),env notin (dev),team,!old"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../secrets"])
def test_a_name_cannot_change_the_path(name: str) -> None:
    with pytest.raises(HealthProbeError, match="is not the name of an object"):
        cluster.segment(name)
