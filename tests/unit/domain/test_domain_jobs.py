"""A node while a Job of ours is at work on it: what each Job's state asks for, and how a reboot is proven."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from patchwright.domain import names
from patchwright.domain.actions import Cordon, JobStep, StartJob, Uncordon
from patchwright.domain.actions import Mark as WriteRecord
from patchwright.domain.model import Reboot
from patchwright.domain.nodes import jobs
from patchwright.domain.nodes.record import Mark, Record
from patchwright.domain.nodes.view import Outcome
from patchwright.domain.targets import Stage, Standing
from support.builders import (
    CHANGE,
    VERIFIED,
    VERSION,
    NodeBuilder,
    ago,
    node,
    policy,
    record,
    rollout,
    stand,
)

APPLYING = node().record(Mark.APPLYING)
REVERTING = node().record(Mark.REVERTING)
DEADLINE = 600
LATE = {"seconds": DEADLINE}


def failure(standing: Standing) -> Record:
    """Give the record of a node that is given up."""
    (write,) = standing.actions
    assert isinstance(write, WriteRecord)
    assert write.record.failed
    assert write.record.cordoned, "it stays cordoned until it is put back"
    return write.record


def finish(standing: Standing) -> Uncordon:
    (last,) = standing.actions
    assert isinstance(last, Uncordon)
    return last


def step(made: NodeBuilder) -> JobStep:
    return JobStep.APPLY if made is APPLYING else JobStep.ROLLBACK


# --- deterministic Jobs (L12) -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [APPLYING, REVERTING], ids=["forward", "back"])
def test_after_a_crash_between_record_and_job_the_same_job_is_started(made: NodeBuilder) -> None:
    fence, start = stand(made).actions
    assert isinstance(start, StartJob)
    assert start.step is step(made)
    assert (fence, start) == stand(made).actions


@pytest.mark.parametrize("made", [APPLYING, REVERTING], ids=["forward", "back"])
def test_a_lost_job_is_started_again_only_by_who_sees_the_node_as_it_is(made: NodeBuilder) -> None:
    fence, _ = stand(made).actions
    assert made.view.record is not None
    assert fence == WriteRecord(made.view.ref, made.view.record), "it changes nothing, and fails on an old node"


def test_a_jobs_name_is_the_same_at_every_attempt_and_differs_by_rollout_node_and_step() -> None:
    uids = [("r1", "n1", JobStep.APPLY), ("r2", "n1", JobStep.APPLY), ("r1", "n2", JobStep.APPLY)]
    found = {names.job(rollout, node, step) for rollout, node, step in [*uids, ("r1", "n1", JobStep.VERIFY)]}
    assert len(found) == 4
    assert names.job(*uids[0]) == names.job(*uids[0])
    assert all(len(name) <= 63 for name in found), "it is a label's value, too"


@pytest.mark.parametrize("made", [APPLYING, REVERTING], ids=["forward", "back"])
def test_a_running_job_is_waited_for_and_nobody_turns_its_node_round(made: NodeBuilder) -> None:
    standing = stand(made.job(step(made)))
    assert (standing.actions, standing.settled) == ((), False)
    assert standing.wake == ago(1) + timedelta(seconds=DEADLINE)
    assert standing.message == f"runs its {step(made)} Job"


def test_a_job_whose_result_is_not_seen_yet_is_waited_for_a_moment() -> None:
    ended = APPLYING.job(JobStep.APPLY, Outcome.SUCCEEDED, finished_at=ago(1))
    standing = stand(ended)
    assert (standing.actions, standing.wake) == ((), ago(1) + jobs.MESSAGE_PATIENCE)
    gone = APPLYING.job(JobStep.APPLY, Outcome.SUCCEEDED, finished_at=ago(5))
    assert finish(stand(gone)).record is not None
    assert finish(stand(APPLYING.job(JobStep.APPLY, Outcome.SUCCEEDED))).record is not None


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_failed_job_fails_its_node_with_exit_code_and_words() -> None:
    found = failure(stand(APPLYING.failed(JobStep.APPLY, '{"message": "dpkg: broken"}', code=2)))
    assert (found.mark, found.reason) == (Mark.FAILED, "ApplyFailed")
    assert found.message == "its apply Job failed with exit code 2: dpkg: broken"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"message": "Job was active too long", "reason": "DeadlineExceeded"}, ": Job was active too long"),
        ({"reason": "BackoffLimitExceeded"}, ": BackoffLimitExceeded"),
        ({}, ""),
    ],
)
def test_a_job_that_said_nothing_speaks_through_its_conditions(changes: dict[str, Any], wanted: str) -> None:
    made = APPLYING.job(JobStep.APPLY, Outcome.FAILED, **changes)
    assert failure(stand(made)).message == f"its apply Job failed{wanted}"


@pytest.mark.parametrize("waiting", sorted(jobs.HOPELESS))
def test_a_pod_that_can_never_start_fails_its_node_at_once(waiting: str) -> None:
    found = failure(stand(APPLYING.job(JobStep.APPLY, waiting=waiting)))
    assert found.reason == "PodCannotStart"
    assert waiting in found.message


@pytest.mark.parametrize("waiting", sorted(jobs.PULLING))
def test_a_failed_pull_has_half_a_minute_to_heal(waiting: str) -> None:
    soon = stand(APPLYING.job(JobStep.APPLY, waiting=waiting, seconds=29))
    assert (soon.actions, soon.wake) == ((), ago(29) + jobs.PULL_PATIENCE)
    assert soon.message == f"runs its apply Job ({waiting})"
    assert failure(stand(APPLYING.job(JobStep.APPLY, waiting=waiting, seconds=30))).reason == "PodCannotStart"


@pytest.mark.parametrize(
    ("made", "reason", "says"),
    [
        pytest.param(node().record(Mark.APPLYING, **LATE), "DeadlineExceeded", "no apply Job within 10m", id="none"),
        pytest.param(
            node().record(Mark.APPLYING, **LATE).job(JobStep.APPLY),
            "DeadlineExceeded",
            "apply Job still runs after 10m",
            id="endless",
        ),
        pytest.param(
            node().record(Mark.REVERTING, **LATE),
            "RollbackDeadlineExceeded",
            "its rollback failed: no rollback Job within 10m",
            id="back, none",
        ),
    ],
)
def test_the_deadline_counts_from_the_persisted_record(made: NodeBuilder, reason: str, says: str) -> None:
    found = failure(stand(made))
    assert (found.reason, found.message) == (reason, says)


def test_the_deadline_is_the_policys() -> None:
    slow = policy(progress_deadline=timedelta(seconds=DEADLINE + 1))
    assert stand(node().record(Mark.APPLYING, **LATE).job(JobStep.APPLY), policy=slow).actions == ()


def test_a_failed_rollback_leaves_its_node_quarantined_cordoned_and_named() -> None:
    made = node().record(Mark.REVERTING, message="exit code 1").failed(JobStep.ROLLBACK, "no such package")
    found = failure(stand(made))
    assert (found.mark, found.reason) == (Mark.QUARANTINED, "RollbackFailed")
    assert found.message.startswith("exit code 1; its rollback failed: ")
    assert found.message.endswith("no such package")


# --- somebody uncordons it (4.2) --------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [APPLYING, REVERTING], ids=["forward", "back"])
@pytest.mark.parametrize("ours", [True, False], ids=["our cordon", "somebody's cordon"])
def test_a_node_that_somebody_uncordons_under_a_running_job_is_cordoned_again(made: NodeBuilder, ours: bool) -> None:
    known = made.view.record
    assert known is not None
    run = made.job(step(made)).but(record=record(known.mark, cordoned=ours)).uncordoned()
    standing = stand(run)
    (again,) = standing.actions
    assert isinstance(again, Cordon)
    assert again.record == record(known.mark, cordoned=True), "and the deadline does not start again"
    assert not standing.settled


# --- reboots (4.14, 4.21) ---------------------------------------------------------------------------------------------

ALWAYS = {"rollout": rollout(reboot=Reboot.ALWAYS)}
ASKED = {"rollout": rollout(reboot=Reboot.WHEN_REQUESTED)}
APPLIED = APPLYING.succeeded(JobStep.APPLY)


def test_ready_alone_proves_no_reboot() -> None:
    standing = stand(APPLIED, **ALWAYS)
    assert (standing.actions, standing.settled) == ((), False)
    assert standing.message == "reboots after its Job"


def test_a_new_boot_id_alone_proves_no_healthy_node() -> None:
    standing = stand(APPLIED.but(boot_id="boot-2").not_ready(), **ALWAYS)
    assert standing.actions == ()
    assert standing.message == "is not Ready after its Job"


def test_a_new_boot_id_on_a_ready_node_proves_the_reboot() -> None:
    assert finish(stand(APPLIED.but(boot_id="boot-2"), **ALWAYS)).label is not None


@pytest.mark.parametrize("boot", ["boot-1", "boot-2"])
def test_a_reboot_that_never_comes_back_fails_its_node(boot: str) -> None:
    late = node().record(Mark.APPLYING, **LATE).succeeded(JobStep.APPLY).but(boot_id=boot).not_ready()
    assert failure(stand(late, **ALWAYS)).reason == "DeadlineExceeded"


@pytest.mark.parametrize(
    ("said", "reboots"),
    [('{"rebootRequired": true}', True), ('{"rebootRequired": false}', False), ("{}", False), ("", False)],
)
def test_a_reboot_is_due_only_when_the_script_says_yes(said: str, reboots: bool) -> None:
    standing = stand(APPLYING.succeeded(JobStep.APPLY, said), **ASKED)
    assert (standing.actions == ()) is reboots


def test_a_script_that_should_have_said_whether_to_reboot_and_did_not_is_told() -> None:
    told = finish(stand(APPLYING.succeeded(JobStep.APPLY, "done"), **ASKED)).record
    assert told is not None
    assert told.message == "done; its apply Job did not say rebootRequired, so it was not rebooted"
    for said, how in (('{"rebootRequired": false}', ASKED), ("{}", {})):
        quiet = finish(stand(APPLYING.succeeded(JobStep.APPLY, said), **how)).record
        assert quiet is not None
        assert "rebootRequired" not in quiet.message


def test_without_a_reboot_a_node_that_is_not_ready_after_the_patch_has_failed() -> None:
    assert failure(stand(APPLIED.not_ready("kubelet died"))).message == "it is not Ready after the patch: kubelet died"
    assert failure(stand(APPLIED.not_ready(""))).message == "it is not Ready after the patch"


def test_on_the_way_back_a_node_that_is_not_ready_has_time_to_recover() -> None:
    made = REVERTING.succeeded(JobStep.ROLLBACK).not_ready()
    assert stand(made).actions == ()
    late = node().record(Mark.REVERTING, **LATE).succeeded(JobStep.ROLLBACK).not_ready()
    assert failure(stand(late)).mark is Mark.QUARANTINED


def test_the_way_back_reboots_as_the_way_forward_did() -> None:
    assert stand(REVERTING.succeeded(JobStep.ROLLBACK), **ALWAYS).message == "reboots after its Job"


# --- verification -----------------------------------------------------------------------------------------------------

CHECKED = {"rollout": rollout(verify=VERIFIED)}


def test_the_verify_job_starts_after_the_apply_job() -> None:
    (start,) = stand(APPLIED, **CHECKED).actions
    assert isinstance(start, StartJob)
    assert start.step is JobStep.VERIFY


def test_a_running_verify_job_is_waited_for() -> None:
    assert stand(APPLIED.job(JobStep.VERIFY), **CHECKED).message == "runs its verify Job"


def test_a_failed_verify_job_fails_its_node() -> None:
    assert failure(stand(APPLIED.failed(JobStep.VERIFY), **CHECKED)).reason == "VerifyFailed"


def test_the_verify_job_has_the_last_word_on_the_version() -> None:
    made = APPLYING.succeeded(JobStep.APPLY, '{"version": "0"}')
    done = finish(stand(made.succeeded(JobStep.VERIFY, f'{{"version": "{VERSION}"}}'), **CHECKED))
    assert done.record is not None
    assert done.record.message == f"version {VERSION} is on it"


def test_an_apply_job_that_was_cleaned_away_is_not_run_again_once_verification_began() -> None:
    assert stand(APPLYING.job(JobStep.VERIFY), **CHECKED).message == "runs its verify Job"


# omni#1552, brupop#123: the boot ID changed, the version did not, and the operator applied it again and again.
def test_an_os_that_rolled_itself_back_has_failed_and_is_not_done() -> None:
    made = APPLIED.but(boot_id="boot-2").succeeded(JobStep.VERIFY, '{"version": "3.0.15"}')
    found = failure(stand(made, rollout=rollout(reboot=Reboot.ALWAYS, verify=VERIFIED)))
    assert (found.reason, found.message) == ("VersionMismatch", f"it reports version 3.0.15, not {VERSION}")


# --- the end ----------------------------------------------------------------------------------------------------------


def test_a_patched_node_is_uncordoned_and_labelled_in_one_patch() -> None:
    done = finish(stand(APPLIED))
    assert not done.keep_cordon
    assert done.label == ("plan.patchwright.dev/openssl", CHANGE)
    assert done.record is not None
    assert (done.record.mark, done.record.cordoned) == (Mark.DONE, False)


def test_a_restored_node_is_uncordoned_and_gets_the_label_it_had_before() -> None:
    for previous in ("old-change", None):
        made = node().record(Mark.REVERTING, previous=previous, failed=True).succeeded(JobStep.ROLLBACK)
        back = finish(stand(made))
        assert not back.keep_cordon
        assert back.label == ("plan.patchwright.dev/openssl", previous)
        assert back.record is not None
        assert (back.record.mark, back.record.failed) == (Mark.RESTORED, True)


def test_a_restored_node_tells_why_it_failed_and_no_longer_what_was_on_it() -> None:
    for failed, told in ((True, "exit code 1"), (False, "")):
        message = "exit code 1" if failed else "version 3.0.15 is on it"
        made = node().record(Mark.REVERTING, failed=failed, message=message).succeeded(JobStep.ROLLBACK)
        back = finish(stand(made)).record
        assert back is not None
        assert back.message == told


def test_a_node_that_a_person_cordoned_meanwhile_is_restored_under_that_cordon() -> None:
    made = node().record(Mark.REVERTING, cordoned=False).cordoned().succeeded(JobStep.ROLLBACK)
    assert finish(stand(made)).keep_cordon


def test_forward_and_back_are_told_apart() -> None:
    assert (stand(APPLYING).stage, stand(REVERTING).stage) == (Stage.WORKING, Stage.RESTORING)
    assert stand(APPLYING).since == ago(1)


@pytest.mark.parametrize(("failed", "kept"), [(True, "exit code 1"), (False, "")])
def test_what_a_restored_node_says_is_why_it_failed_and_not_what_was_on_it(failed: bool, kept: str) -> None:
    made = node().record(Mark.REVERTING, failed=failed, message="exit code 1").succeeded(JobStep.ROLLBACK)
    back = finish(stand(made)).record
    assert back is not None
    assert back.message == kept
