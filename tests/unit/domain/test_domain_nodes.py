"""Nodes as a kind of target: who may be started, how one is claimed, turned round and let go."""

from __future__ import annotations

from typing import Any

import pytest

from patchwright.domain.actions import Action, Cordon, DeleteJob, JobStep, StartJob, Uncordon
from patchwright.domain.actions import Mark as WriteRecord
from patchwright.domain.model import Drain, OnTimeout, Rollback
from patchwright.domain.nodes.procedure import NodeKind
from patchwright.domain.nodes.record import Mark
from patchwright.domain.nodes.view import Outcome, Owner, Stuck
from patchwright.domain.targets import Stage
from support.builders import (
    CHANGE,
    CLAIMED,
    NOW,
    NodeBuilder,
    ago,
    brief,
    labelled,
    node,
    pod,
    policy,
    rollout,
    stand,
)

KIND = NodeKind()
NO_ROLLBACK = policy(rollback=Rollback(enabled=False))


def put_back(made: NodeBuilder, **changes: Any) -> tuple[Action, ...]:
    return tuple(KIND.put_back(made.view, brief(**changes), why="Aborted"))


def release(made: NodeBuilder, *, forget: bool = False) -> tuple[Action, ...]:
    return tuple(KIND.release(made.view, brief(), forget=forget))


# --- who may be started -----------------------------------------------------------------------------------------------


def test_a_healthy_node_without_marks_may_be_started() -> None:
    assert stand(node()).stage is Stage.FRESH


def test_a_node_that_has_the_change_already_is_not_touched() -> None:
    assert stand(node().but(installed=CHANGE)).stage is Stage.CURRENT
    assert stand(node().but(installed=CHANGE).cordoned()).stage is Stage.CURRENT


def test_a_node_with_another_change_may_be_started() -> None:
    assert stand(node().but(installed="older")).stage is Stage.FRESH


@pytest.mark.parametrize(
    ("made", "reason", "says"),
    [
        # Eleven projects uncordon a node that a human had cordoned (nodes.md 4.1); MCO PR#4475 skips it, and so do we.
        pytest.param(node().cordoned(), "CordonedByOther", "somebody else cordoned it", id="cordoned by a human"),
        pytest.param(node().not_ready("disk"), "NotReady", "it is not Ready: disk", id="not Ready (4.13)"),
        pytest.param(node().not_ready(""), "NotReady", "it is not Ready", id="not Ready, nobody says why"),
        pytest.param(node().but(deleting=True), "Deleting", "it is being deleted", id="being deleted"),
        pytest.param(node().but(paused=True), "Paused", "annotation patchwright.dev/paused", id="paused by annotation"),
        pytest.param(node().but(foreign="kured"), "Busy", "kured is at work on it", id="a foreign actor's (4.24)"),
        pytest.param(
            node().but(opted_out="label plan.patchwright.dev/openssl=disabled"),
            "OptedOut",
            "it is kept out by label plan.patchwright.dev/openssl=disabled",
            id="opted out",
        ),
        pytest.param(
            node().but(record_fault="it is not JSON"),
            "StateUnreadable",
            "annotation patchwright.dev/state cannot be read: it is not JSON",
            id="its annotation is unreadable",
        ),
        pytest.param(
            node().foreign_record(), "NodeConflict", "rollout ops/other is at work on it", id="another rollout's (L10)"
        ),
        pytest.param(
            node().record(Mark.QUARANTINED, rollout="ops/other", rollout_uid="another", message="exit code 1"),
            "Quarantined",
            "rollout ops/other gave it up; check what is on it, then remove its annotation patchwright.dev/state and "
            "uncordon it (exit code 1)",
            id="left to a person by a rollout that nobody deleted",
        ),
        pytest.param(
            node().record(Mark.QUARANTINED, rollout_uid="another", reason="RolloutGone", message="it says what to do"),
            "RolloutGone",
            "it says what to do",
            id="left to a person by a rollout that is gone",
        ),
    ],
)
def test_it_is_skipped_and_the_reason_told(made: NodeBuilder, reason: str, says: str) -> None:
    standing = stand(made)
    assert (standing.stage, standing.reason) == (Stage.SKIPPED, reason)
    assert says in standing.message
    assert standing.actions == ()


DB = (Stuck(pod("db-0"), "PodDisruptionBudget shop/db never allows it"), Stuck(pod("db-1"), "nor this"))


def stays(**changes: Any) -> tuple[Stuck, ...]:
    return (Stuck(pod("db-0", **changes), "its budget never allows it"),)


# A deadlock between a budget and its replicas is better known before the cordon than after a drain's timeout (4.10).
def test_a_node_whose_drain_could_never_end_is_not_begun_and_says_which_pod_and_budget() -> None:
    standing = stand(node().but(stuck=DB))
    assert (standing.stage, standing.reason) == (Stage.SKIPPED, "DrainBlocked")
    assert standing.message == (
        "pod shop/db-0 cannot be evicted: PodDisruptionBudget shop/db never allows it (and 1 more)"
    )
    assert stand(node().but(stuck=DB[1:])).message == "pod shop/db-1 cannot be evicted: nor this"


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        pytest.param(Drain(enabled=False), {}, id="it is not drained"),
        pytest.param(Drain(disable_eviction=True), {}, id="pods are deleted, whatever their budget says"),
        pytest.param(Drain(on_timeout=OnTimeout.FORCE), {}, id="the drain is forced in the end"),
        pytest.param(Drain(pod_selector=labelled("app", "web")), {}, id="the pod stays where it is"),
        pytest.param(Drain(), {"alone": True}, id="it is the only node, which is not drained"),
        pytest.param(Drain(), {"stuck": stays(opt_out="patchwright.dev/drain=skip")}, id="its owner has it stay"),
        pytest.param(Drain(), {"stuck": stays(wait="patchwright.dev/drain=wait-completed")}, id="its end counts"),
        pytest.param(Drain(), {"stuck": stays(do_not_disrupt="karpenter.sh/do-not-disrupt=true")}, id="so does its"),
        pytest.param(Drain(), {"stuck": stays(operator=True)}, id="it is the operator's own, which stays (4.18)"),
        pytest.param(Drain(), {"stuck": stays(owner=Owner.DAEMON_SET)}, id="it is a DaemonSet's, which stays"),
    ],
)
def test_a_budget_that_never_allows_an_eviction_is_no_obstacle_where_none_is_asked(
    options: Drain, changes: dict[str, Any]
) -> None:
    made = node().but(**{"stuck": DB, **changes})
    assert stand(made, policy=policy(drain=options)).stage is Stage.FRESH


@pytest.mark.parametrize(
    "made",
    [node().but(record_fault="bad", installed=CHANGE), node().foreign_record().but(installed=CHANGE)],
    ids=["unreadable", "another rollout's"],
)
def test_a_label_does_not_vouch_for_a_node_that_something_is_at_work_on(made: NodeBuilder) -> None:
    assert stand(made).stage is Stage.SKIPPED


def test_who_is_at_work_on_it_is_told_before_what_it_looks_like() -> None:
    assert stand(node().cordoned().not_ready().but(foreign="system-upgrade-controller")).reason == "Busy"


# --- claiming ---------------------------------------------------------------------------------------------------------


def test_cordon_and_ownership_are_one_patch_with_everything_the_way_back_needs() -> None:
    (cordon,) = KIND.begin(node().but(installed="older").view, brief(), wave=2)
    assert isinstance(cordon, Cordon)
    assert (cordon.node.name, cordon.node.uid, cordon.node.resource_version) == ("n1", "uid-n1", "1")
    found = cordon.record
    assert (found.mark, found.cordoned, found.applied, found.wave) == (Mark.DRAINING, True, False, 2)
    assert (found.previous, found.boot_id, found.started_at) == ("older", "boot-1", NOW)


# --- where a touched one stands ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mark", "stage"),
    [
        (Mark.PREPARING, Stage.PREPARING),
        (Mark.PREPARED, Stage.PREPARED),
        (Mark.DRAINING, Stage.WORKING),
        (Mark.APPLYING, Stage.WORKING),
        (Mark.DONE, Stage.DONE),
        (Mark.FAILED, Stage.FAILED),
        (Mark.UNDRAINING, Stage.RESTORING),
        (Mark.REVERTING, Stage.RESTORING),
        (Mark.RESTORED, Stage.RESTORED),
        (Mark.QUARANTINED, Stage.QUARANTINED),
    ],
)
def test_the_record_says_where_it_stands(mark: Mark, stage: Stage) -> None:
    assert stand(node().record(mark)).stage is stage


@pytest.mark.parametrize("mark", sorted(set(Mark) - CLAIMED))
def test_what_was_begun_goes_on_whatever_marks_people_put_on_the_node(mark: Mark) -> None:
    marked = node().record(mark).but(paused=True, foreign="kured", opted_out="label", deleting=True)
    assert stand(marked).stage is stand(node().record(mark)).stage


@pytest.mark.parametrize(
    ("mark", "unchanged"),
    [
        (Mark.PREPARING, True),
        (Mark.PREPARED, True),
        (Mark.DRAINING, True),
        (Mark.APPLYING, False),
        (Mark.FAILED, False),
    ],
)
def test_it_is_unchanged_until_its_apply_job_may_exist(mark: Mark, unchanged: bool) -> None:
    assert stand(node().record(mark)).unchanged is unchanged


def test_a_done_node_says_how_long_it_took() -> None:
    assert stand(node().record(Mark.DONE, started_at=ago(91))).seconds == 90


# --- after it was done ------------------------------------------------------------------------------------------------


def test_a_watched_node_that_is_not_ready_after_its_patch_has_failed() -> None:
    standing = stand(node().record(Mark.DONE, wave=1).not_ready("kubelet"), watched_from=1)
    assert standing.stage is Stage.FAILED
    (write,) = standing.actions
    assert isinstance(write, WriteRecord)
    assert write.record.message == "it is not Ready after the patch: kubelet"


@pytest.mark.parametrize(
    "changes",
    [{"watched_from": 2}, {"watched_from": 1, "turning_back": True}],
    ids=["its soak is over", "the rollout is being undone anyway"],
)
def test_a_node_that_is_no_longer_watched_is_not_failed_by_being_not_ready(changes: dict[str, Any]) -> None:
    assert stand(node().record(Mark.DONE, wave=1).not_ready(), **changes).stage is Stage.DONE


def test_a_done_node_that_a_human_cordoned_stays_done_and_cordoned() -> None:
    standing = stand(node().record(Mark.DONE).cordoned())
    assert (standing.stage, standing.actions) == (Stage.DONE, ())


# --- the way back -----------------------------------------------------------------------------------------------------


def test_an_untouched_node_has_nothing_to_put_back() -> None:
    assert put_back(node()) == ()


def test_before_anything_was_applied_it_is_uncordoned_at_once() -> None:
    (undo,) = put_back(node().record(Mark.DRAINING))
    assert isinstance(undo, Uncordon)
    assert (undo.keep_cordon, undo.label) == (False, None)
    assert undo.record is not None
    assert (undo.record.mark, undo.record.reason, undo.record.failed) == (Mark.RESTORED, "Aborted", False)


def test_a_failed_node_that_is_still_drained_goes_straight_to_its_rollback_job() -> None:
    write, start = put_back(node().record(Mark.FAILED))
    assert isinstance(write, WriteRecord)
    assert write.record.mark is Mark.REVERTING
    assert isinstance(start, StartJob)
    assert start.step is JobStep.ROLLBACK


def test_a_failed_node_that_somebody_uncordoned_is_cordoned_and_drained_first() -> None:
    (cordon,) = put_back(node().record(Mark.FAILED).uncordoned())
    assert isinstance(cordon, Cordon)
    assert (cordon.record.mark, cordon.record.cordoned) == (Mark.UNDRAINING, True)


def test_a_done_node_is_cordoned_and_drained_first_and_its_drain_has_its_full_time() -> None:
    (cordon,) = put_back(node().record(Mark.DONE, seconds=3600))
    assert isinstance(cordon, Cordon)
    assert (cordon.record.mark, cordon.record.started_at) == (Mark.UNDRAINING, NOW)


def test_a_done_node_that_a_human_cordoned_is_put_back_under_his_cordon() -> None:
    (write,) = put_back(node().record(Mark.DONE).cordoned())
    assert isinstance(write, WriteRecord), "no Cordon: it is cordoned, and not by us"
    assert (write.record.mark, write.record.cordoned) == (Mark.UNDRAINING, False)


# Two package managers at once would be worse than either version (4.22).
def test_a_job_that_still_runs_is_deleted_before_the_rollback_job_starts() -> None:
    made = node().record(Mark.FAILED).job(JobStep.APPLY)
    fence, gone = put_back(made)
    assert made.view.record is not None
    assert isinstance(gone, DeleteJob)
    assert gone.uid == "job-uid-n1-apply"
    assert fence == WriteRecord(made.view.ref, made.view.record), "an old look at a node must not stop its Job"
    assert put_back(node().record(Mark.FAILED).job(JobStep.APPLY, deleting=True)) == ()
    ended = node().record(Mark.FAILED).job(JobStep.APPLY, Outcome.FAILED)
    assert isinstance(put_back(ended)[0], WriteRecord)


def test_a_rollback_job_that_runs_already_is_never_stopped_to_put_a_node_back() -> None:
    (write,) = put_back(node().record(Mark.DONE, cordoned=False).job(JobStep.ROLLBACK))
    assert not isinstance(write, DeleteJob), "the Job is newer than the node as it was seen"


def test_with_rollback_disabled_a_failed_node_is_quarantined_and_stays_cordoned() -> None:
    (write,) = put_back(node().record(Mark.FAILED, message="exit code 1"), policy=NO_ROLLBACK)
    assert isinstance(write, WriteRecord)
    assert (write.record.mark, write.record.reason) == (Mark.QUARANTINED, "RollbackDisabled")
    assert write.record.message == "exit code 1; rollback is disabled by the policy"


def test_a_policy_that_enables_rollback_midway_cannot_have_what_the_change_does_not_bring() -> None:
    (write,) = put_back(node().record(Mark.FAILED), rollout=rollout(rollback=None))
    assert isinstance(write, WriteRecord)
    assert write.record.reason == "RollbackImpossible"


def test_a_change_without_a_rollback_step_is_refused_where_the_policy_promises_rollback() -> None:
    refused = KIND.refusal(brief(rollout=rollout(rollback=None)))
    assert refused is not None
    assert refused[0] == "RollbackImpossible"
    assert KIND.refusal(brief(rollout=rollout(rollback=None), policy=NO_ROLLBACK)) is None
    assert KIND.refusal(brief()) is None


# --- letting go (L6) --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", [Mark.DONE, Mark.RESTORED])
def test_at_the_end_the_annotation_goes_and_the_cordon_of_a_human_stays(mark: Mark) -> None:
    (gone,) = release(node().record(mark).cordoned())
    assert isinstance(gone, Uncordon)
    assert (gone.record, gone.keep_cordon, gone.label) == (None, True, None)


# A request that timed out may have been carried out: the cordon shows up after the end was decided.
def test_a_cordon_of_ours_that_arrives_late_is_not_left_behind() -> None:
    (gone,) = release(node().record(Mark.DRAINING))
    assert isinstance(gone, Uncordon)
    assert not gone.keep_cordon


def test_a_quarantined_node_keeps_its_mark_until_the_rollout_is_deleted_and_its_cordon_even_then() -> None:
    kept = node().record(Mark.QUARANTINED)
    assert release(kept) == ()
    (gone,) = release(kept, forget=True)
    assert isinstance(gone, Uncordon)
    assert gone.keep_cordon


def test_nobody_elses_record_is_removed() -> None:
    assert release(node()) == ()
    assert release(node().foreign_record(), forget=True) == ()


def test_it_is_available_when_it_takes_pods_whoever_is_to_blame_if_not() -> None:
    assert node().view.available
    assert not node().cordoned().view.available
    assert not node().not_ready().view.available


def test_a_cordon_that_the_record_does_not_claim_stays_when_a_node_is_given_back() -> None:
    (undo,) = put_back(node().record(Mark.DRAINING, cordoned=False).cordoned())
    assert isinstance(undo, Uncordon)
    assert undo.keep_cordon
