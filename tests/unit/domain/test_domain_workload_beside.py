"""The canary beside a Deployment: when it is made, what ends it, and that it is gone before the record says so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from patchwright.domain.actions import (
    CreateCanary,
    DeleteCanary,
    ListWorkloadPods,
    MarkWorkload,
    RestoreImages,
    SetImages,
)
from patchwright.domain.model import Quantity, Rollback
from patchwright.domain.nodes.labels import ROLLOUT
from patchwright.domain.targets import Stage, Standing
from patchwright.domain.workloads import beside
from patchwright.domain.workloads.record import Mark, Part, Record
from patchwright.domain.workloads.view import WorkloadPods, WorkloadView
from support.builders import NOW, ROLLOUT_UID, ago
from support.image_builders import (
    OTHER,
    PINNED,
    REPOSITORY,
    WANTED,
    WorkloadBuilder,
    begin,
    pod,
    policy,
    put_back,
    stand,
    waiting,
    workload,
)

ONE = policy()
ONE = replace(ONE, strategy=replace(ONE.strategy, canary=replace(ONE.strategy.canary, pods=Quantity(1))))
NAME = beside.name("web", "uid-shop-web")
PART = Part(1, beside=NAME)
REST = replace(PART, rest=True)


def second(*pods: Any, seconds: float = 0.5, **changes: Any) -> WorkloadView:
    """Give the canary of web as it is when all is well."""
    made = workload(NAME).scaled(1).image(WANTED)
    made = made.but(canary_of="uid-shop-web", labels={ROLLOUT: ROLLOUT_UID}, **changes)
    return replace(made.view, pods=WorkloadPods(ago(seconds), pods) if pods else None)


def web(mark: Mark, *, part: Part = PART, there: WorkloadView | None = None, **changes: Any) -> WorkloadBuilder:
    """Give a Deployment of two pods with a record; its own images are the old ones until its rest has begun."""
    made = workload().record(mark, part=part, **changes)
    return made.image(WANTED if part.rest else PINNED).but(beside=there).but(record=_pinned(made))


def _pinned(made: WorkloadBuilder) -> Record:
    record = made.view.record
    assert record is not None
    return replace(record, images=tuple(replace(image, was=PINNED) for image in record.images))


def written(found: Standing) -> Record:
    last = found.actions[-1]
    assert isinstance(last, MarkWorkload)
    return last.record


GONE = DeleteCanary(workload().view.ref, NAME)


# --- its name -------------------------------------------------------------------------------------------------------


def test_its_name_is_the_same_at_every_attempt_and_short_enough_for_its_pods() -> None:
    assert beside.name("web", "uid-1") == beside.name("web", "uid-1") != beside.name("web", "uid-2")
    assert beside.name("web", "uid-1").startswith("web-canary-")
    long = beside.name("a" * 31 + "." + "b" * 200, "uid-1")
    assert long.startswith("a" * 31 + "-canary-")
    assert len(long) <= 46, "with a ReplicaSet's and a pod's suffix it is a label's value still"


# --- beginning ------------------------------------------------------------------------------------------------------


def test_it_is_written_down_before_there_is_one() -> None:
    [action] = begin(workload().image(PINNED), policy=ONE)
    assert isinstance(action, MarkWorkload)
    assert (action.record.mark, action.record.part) == (Mark.SAMPLING, PART)
    found = stand(web(Mark.SAMPLING), policy=ONE)
    [create] = found.actions
    assert isinstance(create, CreateCanary)
    assert [(edit.was, edit.to) for edit in create.edits] == [(PINNED, WANTED)]
    assert (found.stage, found.message) == (Stage.WORKING, f"gets the canary Deployment {NAME} beside it")


def test_where_somebody_has_its_name_the_workload_is_refused() -> None:
    foreign = workload(NAME).view
    found = stand(workload().image(PINNED).but(beside=foreign), policy=ONE)
    assert (found.stage, found.reason) == (Stage.SKIPPED, "CanaryNameTaken")
    assert found.message == (
        f"there is a Deployment {NAME}, which is what its canary would be called; rename or delete that one"
    )
    record = written(stand(web(Mark.SAMPLING, there=foreign), policy=ONE))
    assert (record.mark, record.reason, record.taken) == (Mark.FAILED, "CanaryNameTaken", True)


def test_one_that_cannot_be_created_in_time_fails() -> None:
    record = written(stand(web(Mark.SAMPLING, seconds=700), policy=ONE))
    assert (record.mark, record.reason) == (Mark.FAILED, "DeadlineExceeded")
    assert record.message == f"its canary Deployment {NAME} could not be created in 10m"


# --- on the way -----------------------------------------------------------------------------------------------------


def test_it_is_judged_by_the_pods_of_the_canary() -> None:
    there = second(pod(f"{NAME}-1"))
    found = stand(web(Mark.SAMPLING, there=replace(there, generation=2)), policy=ONE)
    assert found.message == "waits for its controller to see generation 2"
    found = stand(web(Mark.SAMPLING, there=replace(there, pods=None)), policy=ONE)
    assert found.actions == (ListWorkloadPods(there.ref),)
    late = replace(there, available_pods=0)
    found = stand(web(Mark.SAMPLING, there=late), policy=ONE)
    assert found.message == "has a canary Deployment that has 0 of 1 pods available"
    stuck = replace(late, stuck="ReplicaSet has timed out progressing")
    record = written(stand(web(Mark.SAMPLING, there=stuck), policy=ONE))
    assert (record.mark, record.reason) == (Mark.FAILED, "ProgressDeadlineExceeded")
    record = written(stand(web(Mark.SAMPLING, there=there), policy=ONE))
    assert (record.mark, record.message) == (
        Mark.SAMPLED,
        "web:1.1 runs in 1 pods beside it, its own wait for the soak",
    )


def test_a_pod_of_it_that_crashes_fails_it() -> None:
    there = second(waiting("CrashLoopBackOff", restarts=3, name=f"{NAME}-1"))
    for mark in (Mark.SAMPLING, Mark.SAMPLED):
        record = written(stand(web(mark, there=there), policy=ONE))
        assert (record.mark, record.reason) == (Mark.FAILED, "PodCrashes")


def test_it_is_watched_while_it_soaks() -> None:
    well = second(pod(f"{NAME}-1"), seconds=3)
    found = stand(web(Mark.SAMPLED, there=well, seconds=30), policy=ONE)
    assert (found.stage, found.actions) == (Stage.PARTLY, ())
    found = stand(web(Mark.SAMPLED, there=replace(well, pods=None), seconds=30), policy=ONE)
    assert found.actions == (ListWorkloadPods(well.ref),)


@pytest.mark.parametrize(
    ("mark", "there", "reason", "said"),
    [
        (Mark.SAMPLED, None, "CanaryGone", f"somebody deleted its canary Deployment {NAME}"),
        (Mark.SAMPLED, second(deleting=True), "CanaryGone", f"somebody deletes its canary Deployment {NAME}"),
        (Mark.SAMPLING, second(deleting=True), "CanaryGone", f"somebody deletes its canary Deployment {NAME}"),
        (Mark.SAMPLED, second(replicas=3), "CanaryScaled", f"somebody scaled its canary Deployment {NAME} to 3 pods"),
    ],
)
def test_a_hand_in_it_ends_it_and_blames_no_image(
    mark: Mark, there: WorkloadView | None, reason: str, said: str
) -> None:
    record = written(stand(web(mark, there=there), policy=ONE))
    assert (record.mark, record.reason, record.taken) == (Mark.FAILED, reason, True)
    assert record.message == f"{said} while some of its pods were the canary"


def test_somebody_else_s_image_on_the_deployment_itself_ends_it_too() -> None:
    made = web(Mark.SAMPLED, there=second(pod(f"{NAME}-1"))).image(f"{REPOSITORY}:9@{OTHER}")
    assert written(stand(made, policy=ONE)).reason == "ImageChanged"


# --- the rest -------------------------------------------------------------------------------------------------------


def test_the_rest_is_the_deployment_itself() -> None:
    [action] = begin(web(Mark.SAMPLED, there=second(pod(f"{NAME}-1"))), policy=ONE)
    assert isinstance(action, SetImages)
    assert [(edit.was, edit.to) for edit in action.edits] == [(PINNED, WANTED)]
    assert action.strategy is None
    assert (action.record.mark, action.record.part, action.record.since) == (Mark.APPLYING, REST, NOW)


def followed(there: WorkloadView | None, **changes: Any) -> Standing:
    made = web(Mark.APPLYING, part=REST, there=there, **changes).pods(pod(), pod("web-1"))
    return stand(made, policy=ONE)


def test_the_canary_goes_when_the_rest_has_followed_and_before_that_is_written() -> None:
    found = followed(second(pod(f"{NAME}-1")))
    assert (found.stage, found.actions) == (Stage.WORKING, (GONE,))
    found = followed(second(deleting=True))
    assert found.actions == ()
    assert found.message == f"waits for the pods of its canary Deployment {NAME} to end"
    found = followed(None)
    assert found.actions[0] == GONE, "a cache may not have heard of it yet"
    assert (written(found).mark, written(found).part) == (Mark.DONE, None)


def test_pods_that_never_end_do_not_hold_it_for_ever() -> None:
    found = stand(
        web(Mark.APPLYING, part=REST, there=second(deleting=True), seconds=700).pods(pod(), pod("web-1")), policy=ONE
    )
    assert written(found).mark is Mark.DONE


def test_somebody_else_s_image_in_the_rest_is_left_and_the_canary_goes() -> None:
    made = web(Mark.APPLYING, part=REST, there=second()).image(f"{REPOSITORY}:9@{OTHER}")
    record = written(stand(made, policy=ONE))
    assert (record.mark, record.reason, record.taken) == (Mark.FAILED, "ImageChanged", True)
    going, last = put_back(made.but(record=record), policy=ONE)
    assert going == GONE
    assert isinstance(last, MarkWorkload)
    assert (last.record.mark, last.record.part) == (Mark.QUARANTINED, None)


# --- back -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("enabled", [True, False])
def test_before_the_rest_has_begun_only_the_canary_has_to_go_and_does_so_in_any_case(enabled: bool) -> None:
    spec = replace(ONE, rollback=Rollback(enabled=enabled))
    [action] = put_back(web(Mark.FAILED, there=second(), reason="PodCrashes"), policy=spec)
    assert isinstance(action, MarkWorkload)
    assert (action.record.mark, action.record.part, action.record.reason) == (Mark.REVERTING, PART, "PodCrashes")
    assert stand(web(Mark.REVERTING, there=second()), policy=spec).actions == (GONE,)
    found = stand(web(Mark.REVERTING, failed=True, message="it crashes"), policy=spec)
    assert found.actions[0] == GONE
    record = written(found)
    assert (record.mark, record.message, record.part) == (Mark.RESTORED, "it crashes", None)


def test_once_the_rest_has_begun_the_canary_goes_first_and_the_images_go_back() -> None:
    going, action = put_back(web(Mark.APPLYING, part=REST, there=second()), policy=ONE)
    assert going == GONE
    assert isinstance(action, RestoreImages)
    assert [(edit.was, edit.to) for edit in action.edits] == [(WANTED, PINNED)]
    assert (action.record.mark, action.record.part, action.strategy) == (Mark.REVERTING, None, None)


def test_without_rollback_the_rest_stays_and_the_canary_goes() -> None:
    spec = replace(ONE, rollback=Rollback(enabled=False))
    going, last = put_back(web(Mark.FAILED, part=REST, there=second()), policy=spec)
    assert going == GONE
    assert isinstance(last, MarkWorkload)
    assert (last.record.mark, last.record.reason, last.record.part) == (Mark.QUARANTINED, "RollbackDisabled", None)


# --- strays ---------------------------------------------------------------------------------------------------------


def test_a_canary_that_no_record_names_goes() -> None:
    found = stand(workload().image(PINNED).but(beside=second()), policy=ONE)
    assert (found.stage, found.actions) == (Stage.RESTORING, (GONE,))
    assert found.message == f"its canary Deployment {NAME} goes, which no record names"
    assert stand(workload().image(PINNED).but(beside=second(deleting=True)), policy=ONE).actions == ()
    made = workload().record(Mark.DONE).but(beside=second()).pods(pod(), pod("web-1"))
    assert stand(made, policy=ONE).stage is Stage.DONE, "it goes when the record has"


def test_another_rollout_s_canary_is_waited_for() -> None:
    theirs = replace(second(), labels={ROLLOUT: "another"})
    assert stand(workload().image(PINNED).but(beside=theirs), policy=ONE).reason == "CanaryNameTaken"
