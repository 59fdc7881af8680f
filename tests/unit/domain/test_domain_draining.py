"""A node while it is being emptied: what is done next, and what becomes of it when its time is up."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from patchwright.domain.actions import (
    Action,
    Cordon,
    DeletePod,
    Evict,
    JobStep,
    ListPods,
    StartJob,
    Uncordon,
)
from patchwright.domain.actions import Mark as WriteRecord
from patchwright.domain.model import Drain, OnTimeout
from patchwright.domain.nodes import draining, marks, spans
from patchwright.domain.nodes.record import Mark, Record
from patchwright.domain.nodes.view import Eviction, Owner
from patchwright.domain.targets import Stage, Standing
from support.builders import NOW, brief, labelled, node, pod, policy, record, stand

GOING = node().record(Mark.DRAINING)
BACK = node().record(Mark.UNDRAINING)
TIMEOUT = Drain().timeout
BLOCKED = pod("db-0")


def drains(**options: Any) -> dict[str, Any]:
    return {"policy": policy(drain=Drain(**options))}


def kinds(standing: Standing) -> list[type[Action]]:
    return [type(action) for action in standing.actions]


def written(standing: Standing) -> Record:
    """Give the one record that is written."""
    (found,) = [action.record for action in standing.actions if isinstance(action, Cordon | WriteRecord)]
    return found


# --- looking ----------------------------------------------------------------------------------------------------------


def test_pods_are_listed_once_the_cordon_has_settled() -> None:
    fresh = stand(node().record(Mark.DRAINING, seconds=0))
    assert (fresh.actions, fresh.wake) == ((), NOW + draining.SETTLE)
    assert kinds(stand(GOING)) == [ListPods]


def test_without_the_taint_that_answers_a_cordon_the_list_waits_longer() -> None:
    untold = node().record(Mark.DRAINING, seconds=0.9).but(tainted=False)
    standing = stand(untold)
    assert (standing.actions, standing.wake) == ((), NOW + draining.SETTLE_UNTOLD - timedelta(seconds=0.9))
    assert kinds(stand(untold.record(Mark.DRAINING, seconds=1).but(tainted=False))) == [ListPods]
    assert kinds(stand(untold.but(tainted=True))) == [ListPods]


# kubevirt/node-maintenance-operator#20: the scheduler may have bound a pod while the cordon was on its way.
def test_a_list_from_before_the_cordon_is_not_believed() -> None:
    assert kinds(stand(GOING.pods(seconds=0.95))) == [ListPods]
    assert kinds(stand(GOING.pods(seconds=0.5))) == [WriteRecord, StartJob]


def test_an_empty_node_gets_its_record_before_its_job() -> None:
    standing = stand(GOING.pods())
    write, start = standing.actions
    assert isinstance(write, WriteRecord)
    assert (write.record.mark, write.record.applied, write.record.boot_id) == (Mark.APPLYING, True, "boot-1")
    assert isinstance(start, StartJob)
    assert start.step is JobStep.APPLY
    assert write.record.started_at == record(Mark.DRAINING).started_at


def test_the_boot_id_is_the_one_at_the_moment_of_the_job_and_not_of_the_claim() -> None:
    assert written(stand(GOING.pods().but(boot_id="boot-2"))).boot_id == "boot-2"


def test_pods_are_evicted_and_looked_at_again_a_second_later() -> None:
    standing = stand(GOING.pods(pod("a"), pod("b")))
    assert kinds(standing) == [Evict, Evict]
    assert standing.wake == NOW + timedelta(seconds=1)
    assert standing.message == "waits for 2 pods to end, first shop/a"
    assert kinds(stand(node().record(Mark.DRAINING, seconds=60).pods(pod(), seconds=1))) == [Evict, ListPods]


def test_evictions_carry_the_pods_uid_and_the_grace_period_of_the_policy() -> None:
    (evict,) = stand(GOING.pods(pod()), **drains(grace_period=timedelta(seconds=7))).actions
    assert isinstance(evict, Evict)
    assert (evict.pod.uid, evict.grace_period) == ("uid-shop-web-0", timedelta(seconds=7))


def test_with_eviction_disabled_pods_are_deleted() -> None:
    assert kinds(stand(GOING.pods(pod()), **drains(disable_eviction=True))) == [DeletePod]


def test_a_blocked_pod_is_the_reason_that_people_see_and_wakes_at_its_retry() -> None:
    made = GOING.pods(BLOCKED).answered(BLOCKED, Eviction.BLOCKED, message="needs 3 healthy pods and has 3 currently")
    standing = stand(made)
    assert (standing.reason, standing.actions) == ("DisruptionBudget", ())
    assert standing.message == "pod shop/db-0 cannot be evicted: needs 3 healthy pods and has 3 currently"
    assert standing.wake == NOW + timedelta(seconds=1)


def test_a_pod_that_asks_to_stay_is_looked_at_again_in_a_second() -> None:
    standing = stand(GOING.pods(pod(do_not_disrupt="karpenter.sh/do-not-disrupt=true")))
    assert standing.wake == NOW + timedelta(seconds=1)


def test_without_a_drain_the_job_starts_as_soon_as_the_node_is_cordoned() -> None:
    assert kinds(stand(GOING, **drains(enabled=False))) == [WriteRecord, StartJob]


# MCO and tuppr do not drain a single node either (4.18): its pods, ours among them, would wait for it to come back.
def test_the_only_node_of_a_cluster_is_not_drained() -> None:
    alone = GOING.pods(BLOCKED).but(alone=True)
    standing = stand(alone)
    assert kinds(standing) == [WriteRecord, StartJob]
    assert standing.message == "is not drained (the cluster has no other node that could take its pods)"


def test_the_pod_selector_of_the_policy_is_asked() -> None:
    assert kinds(stand(GOING.pods(pod()), **drains(pod_selector=labelled("a", "b")))) == [WriteRecord, StartJob]


# --- somebody uncordons it (4.2) --------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"enabled": False}])
def test_a_node_that_somebody_uncordons_mid_drain_is_cordoned_again_and_never_counts_as_drained(
    options: dict[str, Any],
) -> None:
    standing = stand(GOING.pods().uncordoned(), **drains(**options))
    assert kinds(standing) == [Cordon]
    assert written(standing).since == NOW, "so that only a list made after the new cordon counts"
    assert written(standing).started_at == record(Mark.DRAINING).started_at, "the timeout does not start again"
    assert "uncordoned" in standing.message


def test_a_node_whose_person_takes_his_cordon_back_while_it_is_drained_to_be_restored_is_cordoned_by_us() -> None:
    under_his = node().record(Mark.UNDRAINING, cordoned=False).pods()
    assert kinds(stand(under_his.cordoned())) == [WriteRecord, StartJob]
    standing = stand(under_his)
    assert kinds(standing) == [Cordon]
    assert written(standing).cordoned


# --- time is up (4.11, 4.12) ------------------------------------------------------------------------------------------


# MCO keeps its drain timer in memory and loses it at a restart.
def test_the_drain_timeout_counts_from_the_persisted_start_however_often_it_was_cordoned_again() -> None:
    late: dict[str, Any] = {"started_at": NOW - TIMEOUT}
    assert kinds(stand(node().record(Mark.DRAINING, **late).pods(pod()))) == [Uncordon]
    assert kinds(stand(node().record(Mark.UNDRAINING, **late).pods(pod()))) == [WriteRecord]
    early: dict[str, Any] = {"started_at": NOW - TIMEOUT + timedelta(seconds=1)}
    assert kinds(stand(node().record(Mark.DRAINING, **early).pods(pod()))) == [Evict]


# kured uncordons unconditionally after a failed drain, and kept the slot for the release delay (kured#1129).
def test_a_failed_drain_is_undone_at_once_in_one_patch() -> None:
    made = node().record(Mark.DRAINING, started_at=NOW - TIMEOUT).pods(BLOCKED)
    standing = stand(made.answered(BLOCKED, Eviction.BLOCKED, message="budget db"))
    (undo,) = standing.actions
    assert isinstance(undo, Uncordon)
    assert not undo.keep_cordon
    assert undo.record is not None
    assert (undo.record.mark, undo.record.failed, undo.record.cordoned) == (Mark.RESTORED, True, False)
    assert undo.record.reason == "DrainTimeout"
    assert undo.record.message == "not drained within 10m: pod shop/db-0 cannot be evicted: budget db"
    assert undo.label is None, "nothing was installed, so what is said to be installed stays"


def test_a_pod_that_can_never_go_ends_the_drain_at_once() -> None:
    (undo,) = stand(GOING.pods(pod(owner=Owner.NOBODY))).actions
    assert isinstance(undo, Uncordon)
    assert undo.record is not None
    assert undo.record.reason == "DrainRefused"


def test_on_the_way_back_a_failed_drain_leaves_the_node_quarantined_and_cordoned() -> None:
    quarantined = written(stand(BACK.pods(pod(owner=Owner.NOBODY))))
    assert (quarantined.mark, quarantined.reason) == (Mark.QUARANTINED, "RollbackDrainRefused")
    assert quarantined.cordoned


def test_on_the_way_back_an_empty_node_gets_its_rollback_job() -> None:
    write, start = stand(BACK.pods().but(boot_id="boot-2")).actions
    assert isinstance(write, WriteRecord)
    assert (write.record.mark, write.record.boot_id) == (Mark.REVERTING, "boot-2")
    assert isinstance(start, StartJob)
    assert start.step is JobStep.ROLLBACK


# --- force ------------------------------------------------------------------------------------------------------------

FORCE = drains(on_timeout=OnTimeout.FORCE)


def forced(seconds: float = 0, *pods: Any) -> Standing:
    made = node().record(Mark.DRAINING, started_at=NOW - TIMEOUT - timedelta(seconds=seconds))
    return stand(made.pods(*pods, seconds=0.5).answered(BLOCKED, Eviction.BLOCKED, message="budget"), **FORCE)


def test_force_deletes_what_eviction_could_not_move_and_leaves_terminating_pods_their_time() -> None:
    going = pod("going", deleted_at=NOW)
    standing = forced(0, BLOCKED, pod("free"), going, pod("w", wait="patchwright.dev/drain=wait-completed"))
    deleted = [action for action in standing.actions if isinstance(action, DeletePod)]
    assert {action.pod.name for action in deleted} == {"db-0", "free", "w"}
    assert standing.message.endswith("; forcing")


# A grace period of 0 kills at once and breaks "at most one" of StatefulSets (4.8; Karpenter floors it too).
def test_force_has_a_grace_period_of_a_second_and_never_of_none() -> None:
    for action in forced(0, BLOCKED).actions:
        assert isinstance(action, DeletePod)
        assert action.grace_period == timedelta(seconds=1)


def test_force_lists_again_to_see_what_is_left() -> None:
    made = node().record(Mark.DRAINING, seconds=60, started_at=NOW - TIMEOUT).pods(BLOCKED, seconds=2)
    assert kinds(stand(made, **FORCE)) == [DeletePod, ListPods]


def test_force_comes_to_an_end_too() -> None:
    over = spans.FORCE_TIME.total_seconds()
    assert all(isinstance(action, DeletePod) for action in forced(over - 1, BLOCKED).actions)
    assert kinds(forced(over, BLOCKED)) == [Uncordon]


# --- 4.13: a node that becomes unreachable ----------------------------------------------------------------------------


def test_a_node_that_becomes_unreachable_mid_drain_holds_its_slot_until_the_timeout() -> None:
    stuck = pod(deleted_at=NOW)
    assert stand(GOING.not_ready().pods(stuck)).stage is Stage.WORKING
    late = node().record(Mark.DRAINING, started_at=NOW - TIMEOUT).not_ready().pods(stuck)
    assert kinds(stand(late)) == [Uncordon]


def test_messages_are_cut_before_they_are_written() -> None:
    view = GOING.view
    found = marks.fail(view, record(Mark.APPLYING), brief(), "X", "y" * 5000)
    assert len(found.record.message) == marks.MESSAGE_KEPT
