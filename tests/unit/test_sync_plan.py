"""What a commit changes in the cluster, and the guard against an empty or huge deletion."""

from __future__ import annotations

import pytest

from patchwright.domain.sync import GuardRules, Manifest, ObjectKey, SyncPlan, SyncRefused, plan_sync

REVISION = f"main@sha1:{'a' * 40}"


def policy(name: str) -> ObjectKey:
    return ObjectKey("PatchPolicy", "prod", name)


def rollout(name: str) -> ObjectKey:
    return ObjectKey("PatchRollout", "prod", name)


def manifests(*keys: ObjectKey) -> list[Manifest]:
    return [Manifest(key, {"kind": key.kind}, "a.yaml:1") for key in keys]


def policies(count: int) -> list[ObjectKey]:
    return [policy(f"p{n:02}") for n in range(count)]


def planned(plan: SyncPlan | SyncRefused) -> SyncPlan:
    assert isinstance(plan, SyncPlan), plan
    return plan


def refused(plan: SyncPlan | SyncRefused) -> SyncRefused:
    assert isinstance(plan, SyncRefused), plan
    return plan


def test_policies_come_before_the_rollouts_that_name_them_and_go_after_them() -> None:
    old = [policy("x"), rollout("y"), policy("keep"), rollout("z")]
    plan = planned(plan_sync(old, manifests(rollout("a"), policy("b"), policy("keep")), revision=REVISION, prune=True,
                             rules=GuardRules(percent=100)))  # fmt: skip
    assert [m.key for m in plan.apply] == [policy("b"), policy("keep"), rollout("a")]
    assert plan.prune == (rollout("z"), rollout("y"), policy("x"))
    assert plan.inventory == (policy("b"), policy("keep"), rollout("a"))


def test_what_left_git_stays_when_pruning_is_off_for_all_or_for_one() -> None:
    old = policies(4)
    plan = planned(plan_sync(old, manifests(*old[:2]), revision=REVISION, prune=False))
    assert (plan.prune, plan.orphaned, plan.inventory) == ((), tuple(old[2:]), tuple(old[:2]))
    plan = planned(plan_sync(old, manifests(*old[:2]), revision=REVISION, prune=True, keep=[old[3]]))
    assert (plan.prune, plan.orphaned) == ((old[2],), (old[3],))


@pytest.mark.parametrize(
    ("inventory", "wanted", "allowed"),
    [
        (12, 6, True),
        (12, 5, False),
        (3, 1, True),
        (4, 1, False),
        (2, 1, True),
        (1, 0, False),
        (100, 49, False),
        (0, 3, True),
    ],
)
def test_more_than_half_of_the_inventory_is_not_deleted_without_a_word(
    inventory: int, wanted: int, allowed: bool
) -> None:
    old = policies(inventory)
    plan = plan_sync(old, manifests(*policies(100)[:wanted]), revision=REVISION, prune=True)
    assert isinstance(plan, SyncPlan) is allowed


def test_an_emptied_repository_is_refused_with_names_and_the_way_out() -> None:
    refusal = refused(plan_sync(policies(12), [], revision=REVISION, prune=True))
    assert refusal.reason == "PruneRefused"
    assert refusal.deleted == tuple(policies(12))
    assert refusal.message == (
        f"Revision {REVISION} holds no PatchPolicy and no PatchRollout and would delete 12 of 12 objects ("
        + ", ".join(f"PatchPolicy prod/p{n:02}" for n in range(10))
        + f" and 2 more), so nothing was applied; if that is meant, annotate the PolicyRepository with "
        f"patchwright.dev/confirm-prune={REVISION}."
    )


def test_an_empty_repository_is_refused_the_first_time_and_without_pruning() -> None:
    assert (
        "holds no PatchPolicy and no PatchRollout, so"
        in refused(plan_sync([], [], revision=REVISION, prune=True)).message
    )
    assert refused(plan_sync(policies(3), [], revision=REVISION, prune=False)).deleted == ()


@pytest.mark.parametrize("word", [REVISION, "a" * 40])
def test_a_word_for_this_revision_lets_the_deletion_through(word: str) -> None:
    plan = planned(plan_sync(policies(12), [], revision=REVISION, prune=True, confirmed=word))
    assert len(plan.prune) == 12
    assert plan.inventory == ()


@pytest.mark.parametrize("word", [f"main@sha1:{'b' * 40}", "true", "a" * 7, ""])
def test_a_word_for_another_revision_is_no_word(word: str) -> None:
    refused(plan_sync(policies(12), [], revision=REVISION, prune=True, confirmed=word))


def test_an_inventory_id_is_that_of_flux_and_reads_back() -> None:
    assert policy("a.b-c").entry_id == "prod_a.b-c_patchwright.dev_PatchPolicy"
    assert ObjectKey.from_entry_id(policy("a.b-c").entry_id) == policy("a.b-c")
    for foreign in ("prod_a_apps_Deployment", "prod_a_patchwright.dev_Secret", "x", ""):
        assert ObjectKey.from_entry_id(foreign) is None
