"""What rollouts and policies say of each other: faults, memory, who takes over from whom, and who is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from patchwright.adapters.kube.rollout_cache import RolloutCache, Wire
from patchwright.api import parse, rolloutstate, status
from patchwright.domain.model import Key
from patchwright.domain.state import Phase, RolloutState
from patchwright.ports import Case

OPENSSL = Key("ops", "openssl")
WIRE = cast(
    "Wire",
    SimpleNamespace(
        parse_policy=parse.parse_policy,
        parse_rollout=parse.parse_rollout,
        status_to_state=rolloutstate.status_to_state,
        state_to_status=rolloutstate.state_to_status,
        status_to_policy_state=status.status_to_policy_state,
        policy_state_to_status=status.policy_state_to_status,
    ),
)


def metadata(name: str, version: int, uid: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": "ops",
        "uid": uid or f"uid-{name}",
        "resourceVersion": str(version),
        "generation": 1,
        "creationTimestamp": "2026-11-23T12:00:00Z",
        **more,
    }


def policy(name: str = "workers", version: int = 1, *, uid: str = "", spec: Any = None, **more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"target": {"nodes": {"selector": {}}}}
    return {
        "apiVersion": "patchwright.dev/v1alpha1",
        "kind": "PatchPolicy",
        "metadata": metadata(name, version, uid),
        "spec": given if spec is None else spec,
        **more,
    }


def rollout(
    name: str = "openssl", version: int = 1, *, uid: str = "", of: str = "workers", spec: Any = None,
    status: Any = None, **more: Any,
) -> dict[str, Any]:  # fmt: skip
    script = {"version": "1.2.3", "image": "example.org/x:1", "rollback": {"args": ["undo"]}}
    given = {"policyRef": {"name": of}, "change": {"script": script}}
    raw = {
        "apiVersion": "patchwright.dev/v1alpha1",
        "kind": "PatchRollout",
        "metadata": metadata(name, version, uid, **more),
        "spec": given if spec is None else spec,
    }
    return raw if status is None else {**raw, "status": status}


def cache_of(*raws: dict[str, Any]) -> RolloutCache:
    cache = RolloutCache(WIRE)
    for raw in raws:
        cache.apply_policy(raw) if raw["kind"] == "PatchPolicy" else cache.apply_rollout(raw)
    return cache


def case(cache: RolloutCache, key: Key = OPENSSL) -> Case:
    found = cache.case(key)
    assert found is not None
    return found


def test_a_rollout_comes_with_its_policy() -> None:
    found = case(cache_of(policy(), rollout()))
    assert found.rollout is not None
    assert found.policy is not None
    assert (found.rollout.change.version, found.policy.key.name, found.faults) == ("1.2.3", "workers", ())


def test_a_rollout_without_its_policy_is_a_case_without_one() -> None:
    assert case(cache_of(rollout())).policy is None
    assert case(cache_of(rollout(of="others"), policy())).policy is None


def test_a_faulty_rollout_and_a_faulty_policy_say_each_fault() -> None:
    broken = case(cache_of(policy(), rollout(spec={"policyRef": {"name": "workers"}, "change": {}, "nonsense": 1})))
    assert broken.rollout is None
    assert any("nonsense" in fault for fault in broken.faults)
    sick = case(cache_of(policy(spec={"target": {}}), rollout()))
    assert (sick.policy, bool(sick.faults)) == (None, True)


def test_a_status_that_somebody_broke_is_a_fault_and_not_an_empty_memory() -> None:
    found = case(cache_of(policy(), rollout(status={"phase": "Bogus"})))
    assert (found.rollout, any("phase" in fault for fault in found.faults)) == (None, True)


def test_a_status_that_cannot_be_read_does_not_keep_a_rollout_from_being_undone_when_it_is_deleted() -> None:
    found = case(cache_of(policy(), rollout(status={"phase": "Bogus"}, deletionTimestamp="2026-11-23T12:00:01Z")))
    assert found.rollout is not None
    assert (found.state, any("phase" in fault for fault in found.faults)) == (RolloutState(), True)


@pytest.mark.parametrize("news", [rollout(version=1, spec={}), rollout(version=2, uid="other")])
def test_old_news_are_passed_over(news: dict[str, Any]) -> None:
    cache = cache_of(policy(), rollout(version=2))
    cache.apply_rollout(news)
    assert case(cache).uid == "uid-openssl"
    assert case(cache).rollout is not None


def test_a_rollout_that_was_deleted_and_made_again_is_a_new_one() -> None:
    cache = cache_of(rollout(version=1), rollout(version=5, uid="new"))
    cache.remove_rollout(rollout(version=4))
    assert case(cache).uid == "new"
    cache.remove_rollout(rollout(version=6, uid="new"))
    assert cache.keys() == []


def test_a_change_that_failed_is_remembered_by_its_policy() -> None:
    cache = cache_of(policy(), rollout())
    mine = case(cache).rollout
    assert mine is not None
    failed = {"changeID": mine.change_id, "version": "1.2.3", "rollout": "ops/before", "at": "2026-11-22T12:00:00Z"}
    cache.apply_policy(policy(version=2, status={"failedChanges": [failed]}))
    remembered = case(cache).remembered
    assert remembered is not None
    assert remembered.rollout == "ops/before"
    cache.apply_policy(policy(version=3, status={"failedChanges": [{**failed, "changeID": "another"}]}))
    assert case(cache).remembered is None


def test_a_policy_whose_memory_cannot_be_read_is_faulty_because_what_failed_would_be_tried_again() -> None:
    found = case(cache_of(policy(status={"failedChanges": "none"}), rollout()))
    assert (found.policy, bool(found.faults)) == (None, True)


LATER = "2026-11-23T12:00:01Z"


def test_a_newer_rollout_of_the_same_policy_takes_over_once_it_has_begun() -> None:
    newer = rollout("kernel", creationTimestamp=LATER, status={"phase": "Canary", "startedAt": LATER})
    cache = cache_of(policy(), rollout(), newer)
    assert (case(cache).superseded_by, case(cache, Key("ops", "kernel")).superseded_by) == ("kernel", "")


# Of two that a script creates one after the other, the first may be over before the second is there.
@pytest.mark.parametrize(("over", "superseded"), [("12:00:00.6", ""), ("12:00:01.2", "kernel")])
def test_names_decide_between_two_of_one_second_unless_the_other_was_over_within_it(over: str, superseded: str) -> None:
    at = "2026-11-23T12:00:00Z"
    status = {"phase": "RolledBack", "startedAt": at, "finishedAt": f"2026-11-23T{over}Z"}
    mine = rollout("a-fix", creationTimestamp=at)
    cache = cache_of(policy(), mine, rollout("kernel", creationTimestamp=at, status=status))
    assert case(cache, Key("ops", "a-fix")).superseded_by == superseded


@pytest.mark.parametrize("phase", [Phase.DENIED, Phase.SUPERSEDED])
def test_a_newer_rollout_that_was_turned_away_takes_over_from_nobody(phase: Phase) -> None:
    newer = rollout("kernel", creationTimestamp=LATER, status={"phase": phase.value})
    assert case(cache_of(policy(), rollout(), newer)).superseded_by == ""


def test_rollouts_of_other_policies_and_deleted_ones_take_over_from_nobody() -> None:
    begun = {"phase": "Canary", "startedAt": LATER}
    other = rollout("other", of="others", creationTimestamp=LATER, status=begun)
    going = rollout("going", creationTimestamp=LATER, deletionTimestamp=LATER, status=begun)
    assert case(cache_of(policy(), rollout(), other, going)).superseded_by == ""


def test_listeners_hear_of_every_rollout_that_has_something_new() -> None:
    cache = cache_of(rollout(), rollout("kernel"), rollout("elsewhere", of="others"))
    heard: list[str] = []
    cache.on_change(lambda key: heard.append(key.name))
    cache.apply_policy(policy())
    assert sorted(heard) == ["kernel", "openssl"]
    heard.clear()
    cache.apply_policy(policy(version=2))
    cache.apply_rollout(rollout(version=2))
    assert heard == []
    cache.apply_rollout(rollout(version=3, status={"phase": "Canary"}), ours=True)
    assert heard == []
    cache.apply_rollout(rollout(version=4, finalizers=["patchwright.dev/rollout"]))
    assert sorted(heard) == ["kernel", "openssl"]
    assert case(cache).finalizer


def test_a_complete_list_drops_what_it_does_not_hold() -> None:
    cache = cache_of(policy(), rollout(), rollout("kernel", version=9))
    cache.prune(frozenset(), at=5)
    assert [key.name for key in cache.keys()] == ["kernel"]  # noqa: SIM118 - no dictionary
    assert cache.policies() == []
