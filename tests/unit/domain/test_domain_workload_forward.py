"""A workload on its way forward and under watch: what is waited for, what fails, what is done."""

from __future__ import annotations

from datetime import timedelta

import pytest

from patchwright.domain.actions import ListWorkloadPods, MarkWorkload, SetImages
from patchwright.domain.targets import Stage, Standing
from patchwright.domain.workloads.record import Mark, Record
from patchwright.domain.workloads.view import ContainerState, ImageField
from support.builders import NOW, ago
from support.image_builders import (
    NEW,
    OLD,
    OTHER,
    PIN,
    PINNED,
    REPOSITORY,
    TAGGED,
    WANTED,
    WorkloadBuilder,
    begin,
    pod,
    policy,
    stand,
    stateful,
    waiting,
    workload,
)


def written(found: Standing) -> Record:
    [action] = found.actions
    assert isinstance(action, MarkWorkload)
    return action.record


# --- beginning ------------------------------------------------------------------------------------------------------


def test_which_digests_run_is_looked_at_before_anything_is_changed() -> None:
    assert begin(workload()) == (ListWorkloadPods(workload().view.ref),)
    assert begin(workload().pods(pod(image=TAGGED), seconds=21)) == (ListWorkloadPods(workload().view.ref),)


def test_images_and_their_record_are_one_action() -> None:
    [action] = begin(workload().pods(pod(image=TAGGED)), wave=2)
    assert isinstance(action, SetImages)
    [edit] = action.edits
    assert (edit.entry, edit.place) == ("/spec/template/spec/containers/0", "/spec/template/spec/containers/0/image")
    assert (edit.name, edit.was, edit.to) == ("web", TAGGED, WANTED)
    [image] = action.record.images
    assert (image.part, image.name, image.was, image.to, image.digest) == ("containers", "web", TAGGED, WANTED, OLD)
    assert (action.record.mark, action.record.wave, action.record.since) == (Mark.APPLYING, 2, NOW)


def test_what_is_pinned_needs_no_look() -> None:
    [action] = begin(workload().image(PINNED))
    assert isinstance(action, SetImages)
    assert action.record.images[0].digest == OLD


def test_pods_of_another_image_do_not_tell_what_ran() -> None:
    [action] = begin(
        workload().pods(pod(image=TAGGED), pod(image="ghcr.io/acme/web:0.9", digests={"containers/web": OTHER}))
    )
    assert isinstance(action, SetImages)
    assert action.record.images[0].digest == OLD


def test_every_place_of_an_image_is_changed() -> None:
    made = workload().scaled(0).but(
        images=(
            ImageField("initContainers", 1, "migrate", PINNED),
            ImageField("containers", 0, "other", "nginx:1"),
            ImageField("containers", 2, "web", TAGGED),
            ImageField("volumes", 3, "model", TAGGED),
        )
    )  # fmt: skip
    [action] = begin(made)
    assert isinstance(action, SetImages)
    assert [edit.place for edit in action.edits] == [
        "/spec/template/spec/initContainers/1/image",
        "/spec/template/spec/containers/2/image",
        "/spec/template/spec/volumes/3/image/reference",
    ]
    assert [image.digest for image in action.record.images] == [OLD, "", ""]


def test_a_cron_job_s_template_is_deeper() -> None:
    [action] = begin(workload(kind="CronJob"))
    assert isinstance(action, SetImages)
    assert action.edits[0].place == "/spec/jobTemplate/spec/template/spec/containers/0/image"


# --- on the way -----------------------------------------------------------------------------------------------------


def applying(**changes: object) -> WorkloadBuilder:
    return workload().record(Mark.APPLYING, **changes)  # type: ignore[arg-type]  # its own fields


def test_its_status_means_nothing_before_its_controller_has_seen_the_change() -> None:
    found = stand(applying().but(generation=2).pods(pod(), pod("web-1")))
    assert (found.stage, found.message) == (Stage.WORKING, "waits for its controller to see generation 2")
    assert found.settled


def test_its_pods_are_looked_at_before_it_is_judged() -> None:
    found = stand(applying())
    assert (found.stage, found.message) == (Stage.WORKING, "looks at its pods")
    assert found.actions == (ListWorkloadPods(workload().view.ref),)
    # What was seen before the images were changed does not count.
    assert stand(applying().pods(pod(), seconds=2)).message == "looks at its pods"


def test_it_is_done_when_every_pod_is_new_and_available() -> None:
    record = written(stand(applying().pods(pod(), pod("web-1"))))
    assert (record.mark, record.message) == (Mark.DONE, "web:1.1 runs in 2 pods")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (applying().rolling(), "has 1 of 2 pods updated"),
        (applying().but(present=3), "waits for 1 old pods to end"),
        (applying().but(available_pods=0), "has 0 of 2 pods available"),
    ],
)
def test_what_is_missing_is_told(made: WorkloadBuilder, said: str) -> None:
    found = stand(made.pods(pod()))
    assert (found.stage, found.message, found.actions) == (Stage.WORKING, said, ())
    assert found.wake == ago(0.5) + timedelta(seconds=2)


def test_pods_are_listed_every_two_seconds_and_later_every_five() -> None:
    look = (ListWorkloadPods(workload().view.ref),)
    early, late = applying(seconds=10).rolling(), applying(seconds=61).rolling()
    assert stand(early.pods(pod(), seconds=2)).actions == look
    assert stand(late.pods(pod(), seconds=4)).actions == ()
    assert stand(late.pods(pod(), seconds=5)).actions == look


def test_the_more_pods_there_are_the_more_time_is_left_between_two_looks() -> None:
    many = [pod(f"web-{number}") for number in range(100)]
    assert stand(applying(seconds=10).rolling().pods(*many, seconds=6)).actions == ()
    assert stand(applying(seconds=10).rolling().pods(*many, seconds=7)).actions != ()


def test_a_stateful_set_is_done_when_its_pods_are_of_its_revision_whatever_its_status_says() -> None:
    made = stateful().record(Mark.APPLYING)
    found = stand(made.pods(pod(revision="new"), pod("web-1", revision="old")))
    assert found.message == "has 1 of 2 pods on its new revision"
    done = made.pods(pod(revision="new"), pod("web-1", revision="new"), pod("web-2", deleted_at=NOW))
    assert written(stand(done)).mark is Mark.DONE


def test_a_daemon_set_s_pods_on_dead_nodes_are_not_waited_for() -> None:
    made = workload(kind="DaemonSet", replicas=3).record(Mark.APPLYING).but(updated=2, available_pods=2)
    dead = pod("web-2", image=TAGGED, node_away_since=ago(900), ready=False)
    assert written(stand(made.pods(pod(), pod("web-1"), dead))).mark is Mark.DONE
    assert stand(made.pods(pod(), pod("web-1"), pod("web-2", image=TAGGED))).message == "has 2 of 3 pods updated"


def test_replicas_that_an_autoscaler_moves_midway_are_counted_as_they_are_now() -> None:
    more = applying().but(replicas=5, present=5, updated=3, available_pods=3)
    assert stand(more.pods(pod(), pod("web-1"), pod("web-2"))).message == "has 3 of 5 pods updated"
    less = applying().but(replicas=1, present=1, updated=1, available_pods=1)
    assert written(stand(less.pods(pod()))).mark is Mark.DONE


def test_what_runs_no_pods_is_done_and_unproven() -> None:
    assert written(stand(applying().scaled(0))).message == "web:1.1 is set, unproven: it runs no pods"
    cron = workload(kind="CronJob").record(Mark.APPLYING)
    assert written(stand(cron)).message == "web:1.1 is set, unproven until its next run"


@pytest.mark.parametrize(
    ("bad", "reason", "said"),
    [
        (waiting("InvalidImageName"), "PodCannotStart", "web of pod shop/web-0 cannot start: InvalidImageName"),
        (waiting("ErrImageNeverPull"), "PodCannotStart", "ErrImageNeverPull"),
        (waiting("CreateContainerConfigError", message="no such secret"), "PodCannotStart", "Error: no such secret"),
        (waiting("ImagePullBackOff", seconds=30), "PodCannotStart", "ImagePullBackOff"),
        (waiting("RunContainerError", seconds=31), "PodCannotStart", "RunContainerError"),
        (waiting("CrashLoopBackOff", restarts=2), "PodCrashes", "crashes, 2 times by now"),
        (pod(containers=(ContainerState("web", restarts=3),)), "PodCrashes", "was restarted 3 times"),
        (pod(node_away_since=ago(10)), "NodeNotReady", "node n1 became NotReady after pod shop/web-0 was updated"),
    ],
)  # fmt: skip
def test_a_new_pod_that_cannot_work_fails_it_at_once(bad: object, reason: str, said: str) -> None:
    record = written(stand(applying().rolling().pods(bad, pod("web-1"))))  # type: ignore[arg-type]  # parametrized
    assert (record.mark, record.reason, record.failed) == (Mark.FAILED, reason, True)
    assert said in record.message


@pytest.mark.parametrize(
    "fine",
    [
        waiting("ImagePullBackOff", seconds=29),
        waiting("ContainerCreating", seconds=300),
        waiting("PodInitializing", seconds=300),
        waiting("CrashLoopBackOff", restarts=1),
        waiting("CrashLoopBackOff", restarts=9, deleted_at=NOW),
        waiting("CrashLoopBackOff", restarts=9, image=TAGGED),
        waiting("CrashLoopBackOff", restarts=9, ended=True),
        pod(node_away_since=ago(100)),
    ],
)
def test_what_may_pass_and_what_is_no_new_pod_does_not_fail_it(fine: object) -> None:
    assert stand(applying().rolling().pods(fine)).stage is Stage.WORKING  # type: ignore[arg-type]  # parametrized
    assert stand(applying().rolling().pods(fine)).actions == ()  # type: ignore[arg-type]  # parametrized


def test_kubernetes_own_deadline_fails_it_and_so_does_ours_whatever_progress_there_is() -> None:
    stuck = applying().rolling().but(stuck="ReplicaSet x has timed out progressing")
    record = written(stand(stuck.pods(pod())))
    assert (record.reason, record.message) == (
        "ProgressDeadlineExceeded", "it has 1 of 2 pods updated: ReplicaSet x has timed out progressing",
    )  # fmt: skip
    record = written(stand(applying(seconds=600).rolling().pods(pod())))
    assert (record.reason, record.message) == ("DeadlineExceeded", "it has 1 of 2 pods updated still after 10m")
    record = written(stand(applying(seconds=600).but(generation=2)))
    assert record.message == "it waits for its controller to see generation 2 still after 10m"


def test_the_revision_of_a_bad_template_is_written_down_with_the_failure() -> None:
    made = stateful().record(Mark.APPLYING).pods(waiting("InvalidImageName"))
    assert written(stand(made)).revision == "new"
    assert written(stand(made.record(Mark.APPLYING, seconds=600).but(generation=2))).revision == ""


def test_whoever_pauses_it_in_the_middle_is_waited_for_without_a_deadline() -> None:
    paused = applying(seconds=5).but(paused=True)
    record = written(stand(paused))
    assert (record.mark, record.held, record.since) == (Mark.APPLYING, True, NOW)
    held = applying(seconds=9999, held=True)
    found = stand(held.but(paused=True))
    assert (found.stage, found.reason, found.actions) == (Stage.WORKING, "TargetPaused", ())
    record = written(stand(held))
    assert (record.held, record.since) == (False, NOW)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (applying().image(f"{REPOSITORY}:9"), "somebody changed the image of web to ghcr.io/acme/web:9 while"),
        (applying().but(images=()), "somebody removed web while it was being patched"),
    ],
)
def test_whoever_changes_the_image_in_the_middle_has_the_last_word(made: WorkloadBuilder, said: str) -> None:
    record = written(stand(made))
    assert (record.mark, record.reason, record.failed, record.taken) == (Mark.QUARANTINED, "ImageChanged", True, True)
    assert said in record.message
    assert stand(made.but(record=record)).unchanged, "the digest is not to blame"


# --- under watch ----------------------------------------------------------------------------------------------------


def done(**changes: object) -> WorkloadBuilder:
    return workload().record(Mark.DONE, message="web:1.1 runs", **changes)  # type: ignore[arg-type]  # its own fields


def test_what_is_done_is_looked_at_every_ten_seconds_while_it_is_watched() -> None:
    look = (ListWorkloadPods(workload().view.ref),)
    assert stand(done(seconds=5)).actions == ()
    assert stand(done(seconds=10)).actions == look
    seen = done(seconds=60).pods(pod(), pod("web-1"), seconds=4)
    assert (stand(seen).stage, stand(seen).actions) == (Stage.DONE, ())
    assert stand(seen).wake == NOW + timedelta(seconds=6)
    assert stand(done(seconds=60), watched_from=1).actions == ()
    assert stand(done(seconds=60), turning_back=True).actions == ()
    assert stand(done(seconds=60).scaled(0)).actions == ()


def test_what_is_done_and_short_of_a_pod_is_looked_at_soon() -> None:
    look = (ListWorkloadPods(workload().view.ref),)
    ill = done(seconds=60).but(available_pods=0)
    assert stand(ill.pods(pod(), pod("web-1"), seconds=2)).actions == look
    assert stand(ill.pods(pod(), pod("web-1"), seconds=1)).wake == NOW + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (done(seconds=60).but(unavailable="too few", unavailable_since=ago(30)), "Unavailable"),
        (done(seconds=30).but(unavailable="too few", unavailable_since=ago(900)), "Unavailable"),
        (done(seconds=60).pods(waiting("CrashLoopBackOff", restarts=2)), "PodCrashes"),
        (done(seconds=60).pods(pod(seconds=90, ready=False, ready_since=ago(31))), "PodNotReady"),
        (done(seconds=700).pods(pod(seconds=650, ready=False, ready_since=None)), "PodNotReady"),
    ],
)
def test_what_falls_ill_under_watch_has_failed(made: WorkloadBuilder, reason: str) -> None:
    found = stand(made)
    assert (found.stage, found.reason, written(found).mark) == (Stage.FAILED, reason, Mark.FAILED)


@pytest.mark.parametrize(
    "made",
    [
        done(seconds=60).but(unavailable="too few", unavailable_since=ago(40), generation=2),
        done(seconds=60).but(unavailable="too few", unavailable_since=ago(29)),
        done(seconds=29).but(unavailable="too few", unavailable_since=ago(900)),
        done(seconds=60).pods(pod(seconds=90, ready=False, ready_since=ago(29))),
        done(seconds=60).pods(waiting("ContainerCreating", seconds=40)),
        done(seconds=60).pods(pod(seconds=90, ready=False, ready_since=ago(50), node_away_since=ago(100))),
        done(seconds=1).pods(waiting("InvalidImageName"), seconds=2),
    ],
)
def test_what_may_be_news_or_an_autoscaler_s_doing_has_not(made: WorkloadBuilder) -> None:
    assert stand(made).stage is Stage.DONE


def test_a_team_s_own_release_afterwards_makes_the_change_no_bad_one() -> None:
    found = stand(
        done(seconds=60).image(f"{REPOSITORY}:2.0@{OTHER}").but(unavailable="too few", unavailable_since=ago(40))
    )
    assert (found.stage, found.actions) == (Stage.DONE, ())
    assert found.message.startswith("web:1.1 runs; somebody changed the image of web to ghcr.io/acme/web:2.0@")


def test_how_long_it_took_is_told_for_the_windows() -> None:
    assert stand(done(seconds=60, started_at=ago(100))).seconds == 40


def test_the_names_of_people_are_used() -> None:
    view = workload().view
    assert (view.name, str(view.ref)) == ("Deployment shop/web", "Deployment shop/web")
    assert PIN.digest == NEW
    assert policy().key.name == "web"
