"""Statuses: what is written fits its schema and its limit, and what people write into it is named, never a crash."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from patchwright import errors
from patchwright.api import rolloutstate, status
from patchwright.domain import memory, policy, repository
from patchwright.domain.state import NOTES_KEPT, Condition, Phase, Plan, RolloutState, WavePlan, WavePolicy
from patchwright.domain.sync import ObjectKey
from patchwright.domain.targets import Counts, Note

NOW = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
READY = Condition("Ready", "False", "Canary", "patches the canary")
LIMIT = 256 * 1024


def size(found: dict[str, Any]) -> int:
    return len(json.dumps(found).encode())


def note(number: int, *, message: str = "", step: str = "Applying") -> Note:
    name = f"ip-10-0-{number // 256}-{number % 256}.eu-central-1.compute.internal"
    return Note(name, f"0c8ae9b2-0000-4000-8000-{number:012d}", step, 1, "DrainBlocked", message, NOW)


def denial(*violations: policy.Violation) -> WavePolicy:
    decision = policy.PolicyDecision(
        allowed=not violations, violations=violations, warnings=(), waived=(), revision="main@sha1:0",
        decision_id="d", input_digest="sha256:0", evaluated_at=NOW, package="patchwright.rollout",
    )  # fmt: skip
    return WavePolicy(0, NOW, decision)


def test_a_rollout_that_nobody_has_looked_at_has_no_status() -> None:
    assert rolloutstate.status_to_state(None) == RolloutState()
    assert rolloutstate.status_to_state({}) == RolloutState()
    assert rolloutstate.state_to_status(RolloutState(), now=NOW) == {"phase": "Pending", "observedGeneration": 0}


def test_the_columns_of_kubectl_get_are_filled() -> None:
    plan = Plan(200, (WavePlan("canary", 2, 300.0), WavePlan("rest", None, 0.0)))
    state = RolloutState(
        phase=Phase.PROGRESSING, message="patches 5 nodes", plan=plan, wave=1, counts=Counts(total=200, updated=37)
    )
    found = rolloutstate.state_to_status(state, now=NOW)
    assert (found["phase"], found["updated"], found["wave"]["name"]) == ("Progressing", "37/200", "rest")
    assert found["plan"]["waves"] == [
        {"name": "canary", "size": 2, "soakSeconds": 300.0},
        {"name": "rest", "soakSeconds": 0.0},
    ]


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    first = rolloutstate.state_to_status(RolloutState(observed_generation=4, conditions=(READY,)), now=NOW)
    [was] = first["conditions"]
    assert was == {
        "type": "Ready",
        "status": "False",
        "reason": "Canary",
        "message": "patches the canary",
        "observedGeneration": 4,
        "lastTransitionTime": "2026-11-23T12:00:00.123456Z",
    }
    later = NOW + timedelta(hours=1)
    other_reason = RolloutState(conditions=(replace(READY, reason="Soaking"),))
    [kept] = rolloutstate.state_to_status(other_reason, now=later, previous=first)["conditions"]
    assert kept["lastTransitionTime"] == was["lastTransitionTime"]
    other_status = RolloutState(conditions=(replace(READY, status="True"),))
    [new] = rolloutstate.state_to_status(other_status, now=later, previous=first)["conditions"]
    assert new["lastTransitionTime"] == "2026-11-23T13:00:00.123456Z"


@pytest.mark.parametrize(
    "garbage", [None, {"conditions": 5}, {"conditions": [5, {"type": 1, "lastTransitionTime": "x"}]}]
)
def test_garbage_in_the_previous_conditions_costs_only_their_time(garbage: Any) -> None:
    [found] = rolloutstate.state_to_status(RolloutState(conditions=(READY,)), now=NOW, previous=garbage)["conditions"]
    assert found["lastTransitionTime"] == "2026-11-23T12:00:00.123456Z"


def test_lists_for_people_are_capped_and_their_totals_told() -> None:
    many = tuple(note(number) for number in range(NOTES_KEPT + 10))
    counts = Counts(total=100, failed=60, skipped=60, quarantined=60)
    found = rolloutstate.state_to_status(
        RolloutState(counts=counts, failed=many, skipped=many, quarantined=many, in_flight=many, vanished=many), now=NOW
    )
    assert [len(found[name]) for name in ("failed", "skipped", "quarantined")] == [NOTES_KEPT] * 3
    assert (len(found["inFlight"]), len(found["vanished"])) == (60, 60)
    assert found["counts"]["failed"] == 60


def test_a_thousand_targets_in_flight_fit_with_everything_that_the_engine_needs() -> None:
    flying = tuple(note(number, message="waits for its drain " * 20) for number in range(1000))
    state = RolloutState(in_flight=flying, failed=flying[:50], skipped=flying[:50], counts=Counts(in_flight=1000))
    found = rolloutstate.state_to_status(state, now=NOW)
    assert size(found) < LIMIT
    back = rolloutstate.status_to_state(found)
    assert [(one.name, one.uid, one.step, one.wave, one.since) for one in back.in_flight] == [
        (one.name, one.uid, one.step, one.wave, one.since) for one in flying
    ]
    assert back.failed


def test_a_status_past_any_measure_is_squeezed_under_the_limit() -> None:
    flying = tuple(note(number, message="\u0001\u2028" * 300) for number in range(5000))
    baseline = {f"check-{number}": tuple(f"ns/{'x' * 900}-{key}" for key in range(50)) for number in range(16)}
    told = tuple(policy.Violation("m" * 9000, "a/deny", details={"x": "y" * 90_000}) for _ in range(300))
    state = RolloutState(
        message="m" * 100_000, in_flight=flying, vanished=flying, failed=flying, skipped=flying, quarantined=flying,
        baseline=baseline, policy=denial(*told), conditions=(replace(READY, message="m" * 100_000),),
    )  # fmt: skip
    found = rolloutstate.state_to_status(state, now=NOW)
    assert size(found) < LIMIT
    back = rolloutstate.status_to_state(found)
    assert back.in_flight
    assert back.baseline.keys() == baseline.keys()
    assert found["policy"]["violationsTotal"] == 300


def test_a_text_that_is_not_unicode_can_be_written() -> None:
    found = rolloutstate.state_to_status(RolloutState(message="bad \udce9 byte"), now=NOW)
    assert found["message"] == "bad ? byte"


def test_a_final_refusal_does_not_become_a_wait_by_being_cut() -> None:
    passing = [policy.Violation(f"frozen {n}", "a/deny", until=NOW + timedelta(hours=n)) for n in range(30)]
    final = policy.Violation("never", "a/deny", severity=policy.Severity.LOW)
    state = RolloutState(policy=denial(*passing, final))
    back = rolloutstate.status_to_state(rolloutstate.state_to_status(state, now=NOW)).policy
    assert back is not None
    assert back.decision is not None
    assert len(back.decision.violations) == policy.MAX_VIOLATIONS_IN_STATUS
    assert back.decision.wait_until is None
    longest = RolloutState(policy=denial(*passing))
    back = rolloutstate.status_to_state(rolloutstate.state_to_status(longest, now=NOW)).policy
    assert back is not None
    assert back.decision is not None
    assert back.decision.wait_until == NOW + timedelta(hours=29)


def test_fields_of_a_newer_version_are_passed_over() -> None:
    assert rolloutstate.status_to_state({"phase": "Canary", "warp": {"factor": 9}}).phase is Phase.CANARY


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("garbage", ["status: must be an object; got 'garbage'"]),
        ([], ["status: must be an object; got []"]),
        ({"phase": "Flying"}, ["status.phase: must be 'Pending'"]),
        ({"phase": 5, "counts": {"total": "x"}}, ["status.phase: must be", "status.counts.total: must be a"]),
        ({"plan": {"total": 3, "waves": [{"name": "canary", "size": "two"}]}}, ["status.plan.waves[0].size: must be"]),
        ({"plan": {"total": 3}}, ["status.plan.waves: is required"]),
        ({"wave": {"index": -2}}, ["status.wave.index: must be at least -1"]),
        ({"wave": {"soakUntil": "soon"}}, ["status.wave.soakUntil: must be a time such as"]),
        ({"startedAt": "2026-11-23T12:00:00"}, ["status.startedAt: must be a time with a time zone"]),
        ({"inFlight": [{"name": "n"}]}, ["inFlight[0].uid: is required", "inFlight[0].step: is required"]),
        ({"inFlight": {"name": "n"}}, ["status.inFlight: must be a list"]),
        ({"baseline": {"apps": "all"}}, ["status.baseline.apps: must be a list"]),
        ({"policy": {"wave": 0}}, ["status.policy.at: is required"]),
        ({"cause": "bad luck"}, ["status.cause: must be an object; got 'bad luck'"]),
        ({"conditions": [{"type": "Ready"}]}, ["status.conditions[0].status", "[0].reason", "[0].lastTransitionTime"]),
        ({"message": None}, ["status.message: must be a text; got null"]),
    ],
)  # fmt: skip
def test_a_status_edited_by_hand_names_what_cannot_be_read(given: Any, said: list[str]) -> None:
    with pytest.raises(errors.InvalidInput) as refused:
        rolloutstate.status_to_state(given)
    told = [str(fault) for fault in refused.value.faults]
    assert len(told) == len(said)
    assert all(words in fault for words, fault in zip(said, told, strict=True))
    assert refused.value.reason == "InvalidStatus"


FAILED = memory.FailedChange("abc", "3.0.17", "openssl", "CanaryFailed", "canary n1 failed", NOW)


def test_a_policys_memory_comes_back_as_it_went() -> None:
    state = memory.PolicyState(
        observed_generation=2, selected=0, active_rollout="b",
        last_rollout=memory.LastRollout("a", Phase.ROLLED_BACK, "3.0.17", NOW),
        next_window=NOW, failed_changes=(FAILED,), conditions=(READY,),
    )  # fmt: skip
    found = status.policy_state_to_status(state, now=NOW)
    assert status.status_to_policy_state(found) == state
    assert (found["selected"], found["failedChanges"][0]["changeID"]) == (0, "abc")
    assert status.status_to_policy_state(None) == memory.PolicyState()


def test_a_garbled_memory_is_a_fault_and_not_forgotten() -> None:
    with pytest.raises(errors.InvalidInput, match=r"status\.failedChanges\[0\]\.changeID: is required"):
        status.status_to_policy_state({"failedChanges": [{"version": "3.0.17"}]})


def test_the_newest_failures_are_remembered_and_a_retry_forgets_one() -> None:
    known: tuple[memory.FailedChange, ...] = ()
    for number in range(memory.FAILED_KEPT + 5):
        known = memory.remember(known, replace(FAILED, change_id=str(number)))
    assert len(known) == memory.FAILED_KEPT
    assert known[0].change_id == "24"
    again = memory.remember(known, replace(FAILED, change_id="20", message="again"))
    assert [one.change_id for one in again].count("20") == 1
    assert memory.recall(again, "20") == again[0]
    assert memory.recall(memory.forget(again, "20"), "20") is None


KEY = ObjectKey("PatchRollout", "fleet", "openssl-3.0.17")
ENTRY = repository.HistoryEntry("sha256:1", "main@sha1:1", NOW, NOW, "Succeeded")


def test_a_repositorys_state_comes_back_as_it_went() -> None:
    state = repository.RepositoryState(
        observed_generation=1, last_attempted_revision="main@sha1:2", last_applied_revision="main@sha1:1",
        last_handled_reconcile_at="now", inventory=(KEY,), history=(ENTRY,), conditions=(READY,),
    )  # fmt: skip
    found = status.repository_state_to_status(state, now=NOW)
    assert status.status_to_repository_state(found) == state
    assert found["inventory"] == {
        "entries": [{"id": "fleet_openssl-3.0.17_patchwright.dev_PatchRollout", "v": "v1alpha1"}]
    }
    assert status.status_to_repository_state(None) == repository.RepositoryState()


@pytest.mark.parametrize("entry", ["", "a_b_c_d", "fleet_x_patchwright.dev_Secret"])
def test_an_inventory_entry_that_is_not_ours_is_a_fault(entry: str) -> None:
    with pytest.raises(errors.InvalidInput, match=r"status\.inventory\.entries\[0\]\.id: must be"):
        status.status_to_repository_state({"inventory": {"entries": [{"id": entry}]}})


def test_history_keeps_five_contents_and_counts_how_often_each_was_seen() -> None:
    history: tuple[repository.HistoryEntry, ...] = ()
    for number in range(7):
        history = repository.recorded(history, replace(ENTRY, digest=f"sha256:{number}"))
    assert [one.digest for one in history] == [f"sha256:{number}" for number in (6, 5, 4, 3, 2)]
    later = replace(ENTRY, digest="sha256:4", first_reconciled=NOW + timedelta(1), last_reconciled=NOW + timedelta(1))
    [first, *rest] = repository.recorded(history, later)
    assert (first.total, first.first_reconciled, first.last_reconciled) == (2, NOW, NOW + timedelta(1))
    assert len(rest) == 4
