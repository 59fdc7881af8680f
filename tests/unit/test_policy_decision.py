"""A decision as status gives it back."""

from __future__ import annotations

from datetime import UTC, datetime

from patchwright.domain.policy import PolicyDecision, Violation

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def decision(*violations: Violation) -> PolicyDecision:
    return PolicyDecision(False, violations, (), (), "r1", "", "", NOW, "patchwright.rollout")


def test_a_denial_names_its_worst_violation() -> None:
    worst = Violation("frozen", "patchwright.rollout/deny_freeze")
    assert decision(worst, Violation("late", "x")).first is worst


def test_a_denial_edited_by_hand_still_has_a_sentence() -> None:
    assert decision().first.msg == "denied without a reason"
