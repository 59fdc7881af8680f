"""Rollouts of Argo Rollouts: its own phase is our health, its pauses are waited for, and it goes back to the letter."""

from __future__ import annotations

import pytest

from patchwright.domain.actions import ListWorkloadPods, MarkWorkload, RestoreImages
from patchwright.domain.targets import Stage, Standing
from patchwright.domain.workloads.record import ImageRecord, Mark, Record
from support.builders import NOW, ago
from support.image_builders import (
    OLD,
    PINNED,
    TAGGED,
    WANTED,
    WorkloadBuilder,
    pod,
    put_back,
    record,
    stand,
    waiting,
    workload,
)

PAUSED = "its own step 2 of 4 (CanaryPauseStep)"


def argo(**changes: object) -> WorkloadBuilder:
    return workload(kind="Rollout", revision="hash").but(**changes)


def applying(*, seconds: float = 5, **changes: object) -> WorkloadBuilder:
    return argo().record(Mark.APPLYING, seconds=seconds, **changes).but(stable=False)


def written(found: Standing) -> Record:
    [action] = found.actions
    assert isinstance(action, MarkWorkload)
    return action.record


# --- what is left alone ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "reason", "said"),
    [
        (argo(unfinished="Progressing: more replicas"), "NotReady", "it is Progressing: more replicas"),
        (argo(paused=True), "TargetPaused", "paused by spec.paused; resume it"),
        (argo(paused=True, at_step=PAUSED, unfinished="Paused"), "TargetPaused", f"paused by {PAUSED}; resume it"),
        (argo(template="Deployment web"), "TemplateElsewhere", "its pods are made from Deployment web"),
        (workload(template="Rollout web"), "TemplateElsewhere", "Rollout web makes its pods from it"),
        (workload(template="Rollout web").scaled(0), "TemplateElsewhere", "would roll the change out by its steps"),
    ],
)
def test_a_rollout_that_is_not_to_be_judged_is_not_begun(made: WorkloadBuilder, reason: str, said: str) -> None:
    found = stand(made)
    assert (found.stage, found.reason) == (Stage.SKIPPED, reason)
    assert said in found.message
    assert found.for_good is (reason == "TemplateElsewhere")


def test_a_healthy_rollout_is_fresh_and_a_blue_green_one_may_keep_its_old_pods() -> None:
    assert stand(argo()).stage is Stage.FRESH
    assert stand(argo(present=4)).stage is Stage.FRESH


# --- forward --------------------------------------------------------------------------------------------------------


def test_it_is_done_when_argo_calls_it_healthy_and_not_before() -> None:
    going = applying().pods(pod()).but(unfinished="Progressing: waiting for all steps to complete")
    assert stand(going).message == "is Progressing: waiting for all steps to complete"
    assert written(stand(going.but(unfinished="", stable=True))).mark is Mark.DONE


def test_one_that_argo_has_given_up_on_has_failed_at_once() -> None:
    degraded = "Degraded: RolloutAborted: Rollout aborted update to revision 2"
    found = written(stand(applying().pods(pod()).but(unfinished=degraded, stuck=degraded)))
    assert (found.mark, found.reason, found.message) == (Mark.FAILED, "Degraded", f"it is {degraded}")


def test_what_it_says_before_it_has_seen_our_template_is_of_the_last_one() -> None:
    found = stand(applying().pods(pod()).but(stuck="Degraded", unfinished="Degraded", observed_generation=0))
    assert found.message == "waits for its controller to see generation 1"


def test_its_own_pause_stops_our_deadline_and_its_end_begins_it_anew() -> None:
    paused = applying(seconds=9999).but(paused=True, at_step=PAUSED, unfinished="Paused: CanaryPauseStep")
    begun = written(stand(paused))
    assert (begun.held, begun.since) == (True, NOW)
    held = applying(seconds=5, held=True).but(paused=True, at_step=PAUSED, unfinished="Paused: CanaryPauseStep")
    found = stand(held)
    assert (found.stage, found.reason, found.actions) == (Stage.WORKING, "TargetPaused", ())
    assert found.message == f"is paused by {PAUSED}; its pods follow once that is over, or somebody promotes it"
    assert found.wake == ago(-5), "its pods are looked at now and then"
    resumed = written(stand(held.but(paused=False, at_step="", unfinished="Progressing")))
    assert (resumed.held, resumed.since) == (False, NOW)


def test_pods_are_looked_at_while_it_is_paused_and_one_that_crashes_fails_it() -> None:
    held = applying(seconds=30, held=True).but(paused=True, at_step=PAUSED)
    assert stand(held).actions == (ListWorkloadPods(held.view.ref),)
    assert stand(held.pods(pod())).actions == ()
    crashing = held.pods(waiting("CrashLoopBackOff", restarts=2))
    assert written(stand(crashing)).reason == "PodCrashes"


# --- under watch ----------------------------------------------------------------------------------------------------


def test_one_that_degrades_in_its_soak_has_failed() -> None:
    done = argo().record(Mark.DONE).pods(pod()).but(unfinished="Degraded: x", stuck="Degraded: x")
    [action] = stand(done).actions
    assert isinstance(action, MarkWorkload)
    assert (action.record.mark, action.record.reason, action.record.message) == (
        Mark.FAILED, "Degraded", "it is Degraded: x",
    )  # fmt: skip


# --- back -----------------------------------------------------------------------------------------------------------


def restored(made: WorkloadBuilder) -> tuple[str, str]:
    """Give what the image is put back to, and the digest that the record says ran before."""
    [action] = put_back(made)
    assert isinstance(action, RestoreImages)
    [edit], [image] = action.edits, action.record.images
    assert (edit.was, image.was) == (WANTED, TAGGED)
    return edit.to, image.digest


def test_what_is_not_promoted_goes_back_to_its_stable_template_to_the_letter() -> None:
    assert restored(applying()) == (TAGGED, "")
    unseen = applying().but(stable=True, observed_generation=0)
    assert restored(unseen) == (TAGGED, ""), "its controller has not even begun"


def test_what_is_promoted_goes_back_pinned_since_the_tag_may_mean_the_bad_image_by_now() -> None:
    assert restored(applying().but(stable=True)) == (PINNED, OLD)
    done = argo().record(Mark.DONE).but(observed_generation=0)
    assert restored(done) == (PINNED, OLD)
    assert restored(workload().record(Mark.APPLYING).but(stable=False)) == (PINNED, OLD), "other kinds know no steps"


def test_the_way_back_is_over_when_argo_calls_it_healthy() -> None:
    images = (ImageRecord("containers", "web", was=TAGGED, to=WANTED),)
    back = argo().image(TAGGED).but(record=record(Mark.REVERTING, images=images)).pods(pod(image=TAGGED))
    assert stand(back.but(unfinished="Progressing: x")).message == "is Progressing: x"
    assert written(stand(back)).mark is Mark.RESTORED


def test_a_pause_on_the_way_back_is_told_and_has_our_deadline() -> None:
    paused = argo().record(Mark.REVERTING).but(paused=True, at_step=PAUSED)
    text = "has its old images, and its pods follow once that is over, or somebody promotes it"
    assert stand(paused).message == text
    late = written(stand(argo().record(Mark.REVERTING, seconds=9999).but(paused=True, at_step=PAUSED)))
    assert (late.mark, late.reason) == (Mark.QUARANTINED, "RollbackDeadlineExceeded")
    assert "somebody promotes it still after" in late.message
