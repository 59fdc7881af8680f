"""What policy is told of a change whose age nobody knows, and of a canary of some pods."""

from __future__ import annotations

from datetime import timedelta

import pytest

from patchwright.domain import policy
from support.builders import NOW


def test_a_release_of_unknown_age_has_none_and_not_no_field() -> None:
    change = policy.ChangeFacts("script", "3.0.17", image="registry.example/patch:1", privileged=True)
    standing = policy.PolicyFacts(
        "openssl",
        "ops",
        canary_count=1,
        canary_soak=timedelta(minutes=5),
        max_unavailable=1,
        failure_threshold=1,
        waves=[],
        windows=[],
    )
    found = policy.policy_input(
        now=NOW,
        stage=policy.Stage.START,
        rollout=policy.RolloutFacts("openssl", "ops", NOW, change),
        policy=standing,
        fleet=policy.FleetFacts(selected=1, max_unavailable=1),
        plan=[],
        source_revision="r1",
    )
    assert found["release"] == {"publishedAt": None, "ageDays": None}


@pytest.mark.parametrize(("pods", "told"), [(None, {}), (2, {"pods": 2}), ("10%", {"pods": "10%"})])
def test_a_canary_of_some_pods_is_told_as_written(pods: int | str | None, told: dict[str, object]) -> None:
    change = policy.ChangeFacts("images", "web:1.1")
    standing = policy.PolicyFacts(
        "web", "ops", canary_count=1, canary_soak=timedelta(0), max_unavailable=1, failure_threshold=1, canary_pods=pods
    )
    found = policy.policy_input(
        now=NOW,
        stage=policy.Stage.START,
        rollout=policy.RolloutFacts("web", "ops", NOW, change),
        policy=standing,
        fleet=policy.FleetFacts(selected=1, max_unavailable=1),
        plan=[],
        source_revision="r1",
    )
    assert found["policy"]["strategy"]["canary"] == {"count": 1, "soakSeconds": 0, **told}
