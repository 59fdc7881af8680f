"""What policy is told of a change whose age nobody knows."""

from __future__ import annotations

from datetime import timedelta

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
