"""A node that is being prepared: it takes pods as before, nothing is to be undone, and whoever wants it gets it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from patchwright.domain.actions import Action, Cordon, DeleteJob, JobStep, StartJob, Uncordon
from patchwright.domain.actions import Mark as WriteRecord
from patchwright.domain.model import NodeTarget
from patchwright.domain.nodes import jobs, preparing
from patchwright.domain.nodes.procedure import NodeKind
from patchwright.domain.nodes.record import Mark, Record
from patchwright.domain.nodes.view import Outcome, Stuck
from patchwright.domain.targets import Stage, Standing
from support.builders import NOW, PREPARED, NodeBuilder, ago, brief, labelled, node, pod, policy, record, rollout
from support.builders import stand as standing_of

KIND = NodeKind()
PREPARES = rollout(prepare=PREPARED)
DEADLINE = 600
CLAIMED = node().record(Mark.PREPARING)
SEEN = jobs.SEEN.total_seconds()
OLD = node().record(Mark.PREPARING, seconds=SEEN)
RUNNING = CLAIMED.job(JobStep.PREPARE)
WAITING = node().record(Mark.PREPARED)


def stand(made: NodeBuilder, **changes: Any) -> Standing:
    return standing_of(made, **{"rollout": PREPARES, **changes})


def put_back(made: NodeBuilder) -> tuple[Action, ...]:
    return tuple(KIND.put_back(made.view, brief(rollout=PREPARES), why="Aborted"))


def failure(standing: Standing) -> Record:
    """Give the record of a node whose preparation failed."""
    (write,) = standing.actions
    assert isinstance(write, WriteRecord)
    found = write.record
    assert (found.mark, found.failed, found.applied, found.cordoned) == (Mark.FAILED, True, False, False)
    assert (standing.stage, standing.reason, standing.failing) == (Stage.PREPARING, found.reason, True)
    return found


# --- claiming, and the cordon -----------------------------------------------------------------------------------------


def test_it_is_claimed_without_a_cordon_and_its_record_is_written_before_its_job() -> None:
    write, start = KIND.begin(node().but(installed="older").view, brief(rollout=PREPARES), wave=2)
    assert isinstance(write, WriteRecord)
    assert isinstance(start, StartJob)
    found = write.record
    assert (found.mark, found.cordoned, found.applied, found.wave) == (Mark.PREPARING, False, False, 2)
    assert (found.previous, found.started_at, found.since) == ("older", NOW, NOW)
    assert start.step is JobStep.PREPARE


def test_without_a_prepare_step_it_is_cordoned_as_ever() -> None:
    assert [type(action) for action in KIND.begin(node().view, brief(), wave=0)] == [Cordon]


@pytest.mark.parametrize("mark", [Mark.PREPARING, Mark.PREPARED])
def test_a_prepared_node_is_cordoned_in_one_patch_and_its_drain_has_its_full_time(mark: Mark) -> None:
    made = node().record(mark, seconds=3600, previous="older", wave=3).but(boot_id="boot-2")
    (cordon,) = KIND.begin(made.view, brief(rollout=PREPARES), wave=3)
    assert isinstance(cordon, Cordon)
    found = cordon.record
    assert (found.mark, found.cordoned, found.applied) == (Mark.DRAINING, True, False)
    assert (found.started_at, found.since, found.boot_id) == (NOW, NOW, "boot-2")
    assert (found.previous, found.wave) == ("older", 3)


# --- its Job ----------------------------------------------------------------------------------------------------------


def test_a_lost_job_is_asked_for_again_after_a_pause_and_when_is_written_down() -> None:
    pause = preparing.ASK_AGAIN.total_seconds()
    soon = stand(node().record(Mark.PREPARING, seconds=pause - 1))
    assert (soon.actions, soon.wake, soon.message) == ((), NOW + timedelta(seconds=1), "starts its prepare Job")
    made = node().record(Mark.PREPARING, seconds=pause)
    standing = stand(made)
    write, start = standing.actions
    assert made.view.record is not None
    assert write == WriteRecord(made.view.ref, replace(made.view.record, since=NOW))
    assert isinstance(start, StartJob)
    assert standing.message == "starts its prepare Job"
    assert standing.wake == ago(pause) + jobs.SEEN


def test_the_job_of_an_older_node_of_its_name_says_nothing_about_it() -> None:
    old = CLAIMED.job(JobStep.PREPARE, Outcome.SUCCEEDED)
    reborn = old.but(uid="uid-n1-again")
    assert (stand(reborn).stage, stand(reborn).settled) == (Stage.PREPARING, False)


def test_a_running_job_is_waited_for_until_its_deadline_and_may_be_stopped_at_any_time() -> None:
    standing = stand(RUNNING)
    assert (standing.stage, standing.actions, standing.settled) == (Stage.PREPARING, (), True)
    assert standing.message == "runs its prepare Job"
    assert standing.wake == ago(1) + timedelta(seconds=DEADLINE)


def test_once_its_job_has_succeeded_it_is_prepared_and_that_is_written_for_the_time_when_the_job_is_gone() -> None:
    standing = stand(CLAIMED.job(JobStep.PREPARE, Outcome.SUCCEEDED))
    (write,) = standing.actions
    assert isinstance(write, WriteRecord)
    assert (standing.stage, write.record.mark, write.record.cordoned) == (Stage.PREPARED, Mark.PREPARED, False)
    assert (standing.message, standing.failing) == ("is prepared", False)


def test_what_is_prepared_needs_its_job_no_longer_however_long_it_waits() -> None:
    standing = stand(node().record(Mark.PREPARED, seconds=90_000))
    assert (standing.stage, standing.actions, standing.settled) == (Stage.PREPARED, (), True)


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_failed_job_fails_it_with_exit_code_and_words() -> None:
    found = failure(stand(CLAIMED.failed(JobStep.PREPARE, '{"message": "no space left on device"}', code=28)))
    assert (found.reason, found.message) == (
        "PrepareFailed",
        "its prepare Job failed with exit code 28: no space left on device",
    )


@pytest.mark.parametrize(
    ("image", "named"), [(None, "registry.example/patch@sha256:1"), ("example.org/debs:7", "example.org/debs:7")]
)
def test_an_image_that_cannot_be_pulled_fails_it_and_is_named(image: str | None, named: str) -> None:
    changes = rollout(prepare=replace(PREPARED, image=image))
    soon = stand(RUNNING.job(JobStep.PREPARE, waiting="ImagePullBackOff", seconds=29), rollout=changes)
    assert (soon.actions, soon.wake) == ((), ago(29) + jobs.PULL_PATIENCE)
    assert soon.message == "runs its prepare Job (ImagePullBackOff)"
    late = stand(RUNNING.job(JobStep.PREPARE, waiting="ImagePullBackOff", seconds=30), rollout=changes)
    found = failure(late)
    assert found.reason == "PrepareFailed"
    assert found.message == f"the prepare Job's pod cannot start: ImagePullBackOff (image {named})"


def test_a_job_that_does_not_end_fails_it_by_the_time_it_was_claimed() -> None:
    made = node().record(Mark.PREPARING, seconds=1, started_at=ago(DEADLINE)).job(JobStep.PREPARE)
    assert failure(stand(made)).message == "its prepare Job still runs after 10m"
    made = node().record(Mark.PREPARING, seconds=DEADLINE, started_at=ago(DEADLINE - 1)).job(JobStep.PREPARE)
    assert stand(made).actions == ()


def test_a_job_that_never_comes_to_be_fails_it_once_none_can_be_on_its_way() -> None:
    asked = node().record(Mark.PREPARING, seconds=SEEN - 1, started_at=ago(DEADLINE))
    standing = stand(asked)
    assert (standing.actions, standing.settled, standing.wake) == ((), False, ago(SEEN - 1) + jobs.SEEN)
    assert standing.message == "waits to see whether its prepare Job exists"
    late = node().record(Mark.PREPARING, seconds=SEEN, started_at=ago(DEADLINE))
    assert failure(stand(late)).message == "no prepare Job within 10m"


def test_a_node_that_did_not_bear_its_prepare_job_has_failed_and_the_job_s_success_is_no_excuse() -> None:
    done = CLAIMED.job(JobStep.PREPARE, Outcome.SUCCEEDED)
    found = failure(stand(done.not_ready("disk pressure")))
    assert (found.reason, found.message) == ("NodeNotReady", "it is not Ready after its prepare Job: disk pressure")
    assert failure(stand(done.not_ready(""))).message == "it is not Ready after its prepare Job"


def test_while_its_job_runs_a_node_that_is_not_ready_is_the_job_s_affair() -> None:
    assert stand(RUNNING.not_ready()).actions == ()


# --- whoever wants it gets it (L5) ------------------------------------------------------------------------------------

OBSTACLES = [
    pytest.param({"unschedulable": True}, "CordonedByOther", "somebody else cordoned it", id="cordoned by a human"),
    pytest.param({"deleting": True}, "Deleting", "it is being deleted", id="being deleted"),
    pytest.param({"paused": True}, "Paused", "annotation patchwright.dev/paused", id="paused by annotation"),
    pytest.param({"foreign": "kured"}, "Busy", "kured is at work on it", id="a foreign actor's"),
    pytest.param({"opted_out": "label x"}, "OptedOut", "it is kept out by label x", id="opted out"),
]


@pytest.mark.parametrize(("changes", "reason", "says"), OBSTACLES)
@pytest.mark.parametrize("made", [OLD, WAITING, CLAIMED.job(JobStep.PREPARE, Outcome.SUCCEEDED)])
def test_it_is_given_back_as_if_its_turn_had_not_come(
    made: NodeBuilder, changes: dict[str, Any], reason: str, says: str
) -> None:
    standing = stand(made.but(**changes))
    (gone,) = standing.actions
    assert isinstance(gone, Uncordon)
    assert (gone.record, gone.keep_cordon, gone.label) == (None, True, None)
    assert (standing.stage, standing.reason, standing.failing) == (Stage.PREPARING, reason, False)
    assert standing.message.startswith("is given back before its cordon: ")
    assert says in standing.message


def test_a_node_that_the_policy_does_not_select_any_more_is_given_back() -> None:
    selecting = policy(target=NodeTarget(labelled("pool", "blue")))
    assert stand(WAITING.labels(pool="blue"), policy=selecting).stage is Stage.PREPARED
    assert stand(WAITING.labels(pool="green"), policy=selecting).reason == "NotSelected"


def test_a_prepared_node_that_is_not_ready_is_given_back_and_has_not_failed() -> None:
    standing = stand(WAITING.not_ready("kubelet"))
    assert (standing.stage, standing.reason) == (Stage.PREPARING, "NotReady")
    assert [type(action) for action in standing.actions] == [Uncordon]


def test_a_prepared_node_that_could_never_be_emptied_is_given_back_before_its_cordon() -> None:
    held = (Stuck(pod("db-0"), "its budget never allows it"),)
    standing = stand(WAITING.but(stuck=held))
    assert (standing.stage, standing.reason) == (Stage.PREPARING, "DrainBlocked")
    assert standing.message == "is given back before its cordon: pod shop/db-0 cannot be evicted: " + held[0].message
    assert stand(CLAIMED.job(JobStep.PREPARE).but(stuck=held)).message == "runs its prepare Job"


def test_before_it_is_given_back_its_job_is_stopped_behind_a_write_that_fails_on_an_old_node() -> None:
    made = RUNNING.cordoned()
    fence, stop = stand(made).actions
    assert made.view.record is not None
    assert fence == WriteRecord(made.view.ref, made.view.record)
    assert isinstance(stop, DeleteJob)
    assert stop.uid == "job-uid-n1-prepare"
    assert stand(CLAIMED.job(JobStep.PREPARE, deleting=True).cordoned()).actions == ()


def test_before_it_is_given_back_a_job_that_may_be_on_its_way_is_waited_for() -> None:
    standing = stand(CLAIMED.cordoned())
    assert (standing.actions, standing.settled, standing.wake) == ((), False, ago(1) + jobs.SEEN)


# --- when the rollout turns back --------------------------------------------------------------------------------------


def test_a_prepared_node_is_given_back_at_once_and_its_cordon_is_nobody_s() -> None:
    for made in (WAITING, OLD, WAITING.cordoned(), CLAIMED.job(JobStep.PREPARE, Outcome.FAILED)):
        (gone,) = put_back(made)
        assert isinstance(gone, Uncordon)
        assert gone.record is not None
        assert (gone.record.mark, gone.record.reason, gone.record.failed) == (Mark.RESTORED, "Aborted", False)
        assert gone.keep_cordon


def test_a_running_prepare_job_is_stopped_first_and_one_on_its_way_is_waited_for() -> None:
    assert [type(action) for action in put_back(RUNNING)] == [WriteRecord, DeleteJob]
    assert put_back(CLAIMED.job(JobStep.PREPARE, deleting=True)) == ()
    assert put_back(CLAIMED) == ()


def test_a_failed_one_keeps_its_reason_and_its_pod_that_waits_for_an_image_is_gone_before_it_is_put_back() -> None:
    failed = node().record(Mark.FAILED, applied=False, cordoned=False, reason="PrepareFailed", message="no image")
    assert [type(action) for action in put_back(failed.job(JobStep.PREPARE, waiting="ErrImagePull"))] == [
        WriteRecord,
        DeleteJob,
    ]
    (gone,) = put_back(failed)
    assert isinstance(gone, Uncordon)
    assert gone.record is not None
    assert (gone.record.reason, gone.record.message, gone.record.failed) == ("PrepareFailed", "no image", True)
    assert gone.keep_cordon


@pytest.mark.parametrize("made", [CLAIMED, WAITING])
def test_at_the_end_only_its_annotation_goes(made: NodeBuilder) -> None:
    (gone,) = KIND.release(made.cordoned().view, brief(rollout=PREPARES), forget=False)
    assert isinstance(gone, Uncordon)
    assert (gone.record, gone.keep_cordon) == (None, True)


def test_the_step_of_a_claimed_node_is_named_as_its_stage_is() -> None:
    # By that word the survey knows that nothing is lost with such a node.
    assert {stand(made).step for made in (CLAIMED, WAITING)} == {Stage.PREPARING, Stage.PREPARED}
    assert record(Mark.PREPARING).cordoned is False
