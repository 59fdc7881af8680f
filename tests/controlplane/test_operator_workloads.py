"""Images of workloads on the real kube-controller-manager, patched by the real operator, each watched by the observer.

The laws are checked over everything that happened when a test ends (``shop`` in conftest.py); what stands here is what
each story is to come to.
"""

from __future__ import annotations

import pytest

from support.workload_scene import WorkloadScene, image

pytestmark = pytest.mark.controlplane


def test_deployments_of_three_namespaces_get_a_new_image_canary_first(shop: WorkloadScene) -> None:
    for _ in range(3):
        shop.deployments(shop.space(), "web", "api")
    shop.image_policy(strategy={"canary": {"count": 1, "soak": "2s"}})
    rollout = shop.image_rollout("1.1")

    status = shop.until_phase(rollout, "Succeeded")

    assert status["updated"] == "6/6"
    assert set(shop.images().values()) == {image("1.1")}
    assert shop.image_marks() == {}
    assert shop.phases(rollout)[:3] == ["Pending", "Canary", "Soaking"]
