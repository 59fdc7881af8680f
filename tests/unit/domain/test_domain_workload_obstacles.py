"""What is left alone: each with a reason and a sentence, never silently."""

from __future__ import annotations

from dataclasses import replace

import pytest

from patchwright.domain.model import ImagePin, Rollback, WorkloadTarget
from patchwright.domain.targets import Stage
from patchwright.domain.workloads.record import Mark
from support.image_builders import (
    NEW,
    PINNED,
    REPOSITORY,
    WANTED,
    WorkloadBuilder,
    pod,
    policy,
    record,
    rollout,
    stand,
    stateful,
    workload,
)

FOREIGN = record(Mark.APPLYING, rollout="ops/other", rollout_uid="another")


def test_a_settled_workload_with_an_old_image_is_fresh() -> None:
    assert stand(workload()).stage is Stage.FRESH


def test_one_that_has_the_digest_is_current() -> None:
    assert stand(workload().image(WANTED)).stage is Stage.CURRENT
    assert stand(workload().image(f"{REPOSITORY}@{NEW}")).stage is Stage.CURRENT


def test_one_that_runs_something_else_than_what_is_replaced_is_left_out_for_good() -> None:
    found = stand(workload(), rollout=rollout(ImagePin(REPOSITORY, NEW, replaces=("0.9",))))
    assert (found.stage, found.reason, found.for_good) == (Stage.SKIPPED, "OtherVersion", True)


@pytest.mark.parametrize(
    ("made", "reason", "said"),
    [
        (workload(record_fault="it is not JSON"), "StateUnreadable", "cannot be read: it is not JSON"),
        (workload(record=FOREIGN), "WorkloadConflict", "rollout ops/other is at work on it"),
        (workload(record=FOREIGN).image(WANTED), "WorkloadConflict", "rollout ops/other is at work on it"),
        (workload(record_fault="it is not JSON").image(WANTED), "StateUnreadable", "cannot be read"),
        (workload(hands_off=True), "Paused", "its annotation patchwright.dev/paused is true"),
        (workload(deleting=True), "Deleting", "it is being deleted"),
        (stateful(partition=2), "Partitioned", "its partition is 2"),
        (workload(paused=True), "TargetPaused", "paused by spec.paused; resume it"),
        (workload(observed_generation=0), "NotReady", "it waits for its controller to see generation 1"),
        (workload(updated=1), "NotReady", "it has 1 of 2 pods updated"),
        (workload(present=3), "NotReady", "it waits for 1 old pods to end"),
        (workload(available_pods=1), "NotReady", "it has 1 of 2 pods available"),
        (workload().scaled(0), "NoEvidence", "it runs no pods"),
        (workload(kind="CronJob"), "NoEvidence", "its turn comes after the canary"),
    ],
)
def test_what_may_pass_is_waited_for(made: WorkloadBuilder, reason: str, said: str) -> None:
    found = stand(made)
    assert (found.stage, found.reason, found.for_good) == (Stage.SKIPPED, reason, False)
    assert said in found.message


@pytest.mark.parametrize(
    ("made", "reason", "said"),
    [
        (workload(opted_out="label x=disabled"), "OptedOut", "it is kept out by label x=disabled"),
        (workload(owner="Prometheus k8s"), "Owned", "Prometheus k8s controls it and would undo the change"),
        (workload(gitops="Flux Kustomization a/b"), "OwnershipConflict", "Flux Kustomization a/b applies it from Git"),
        (workload(recreate=True), "Recreate", "set target.workloads.allowRecreate"),
        (stateful(on_delete=True), "OnDelete", "nothing rolls out until somebody deletes its pods"),
    ],
)
def test_what_does_not_pass_is_left_out_for_good(made: WorkloadBuilder, reason: str, said: str) -> None:
    found = stand(made)
    assert (found.stage, found.reason, found.for_good) == (Stage.SKIPPED, reason, True)
    assert said in found.message


def test_an_outage_that_was_asked_for_is_no_obstacle() -> None:
    wanted = WorkloadTarget((REPOSITORY,), allow_recreate=True)
    assert stand(workload(recreate=True), policy=policy(target=wanted)).stage is Stage.FRESH


def test_a_stateful_set_with_a_settled_old_pod_more_is_no_matter() -> None:
    assert stand(stateful(present=3)).stage is Stage.FRESH


def test_after_the_canary_the_turn_of_those_without_pods_comes() -> None:
    assert stand(workload().scaled(0), watched_from=1).stage is Stage.FRESH
    assert stand(workload(kind="CronJob"), watched_from=1).stage is Stage.FRESH


def test_a_daemon_set_is_judged_by_the_nodes_that_are_ready() -> None:
    lame = workload(kind="DaemonSet", replicas=4, updated=3, available_pods=3)
    assert stand(lame).reason == "NotReady"
    assert stand(lame.but(away=1)).stage is Stage.FRESH
    assert lame.but(away=1).view.available
    assert workload(kind="DaemonSet", replicas=1, away=9).view.expected == 0


def test_a_digest_that_nobody_knows_is_an_obstacle_where_it_may_have_to_come_back() -> None:
    unknown = workload().pods(pod(image=workload().view.images[0].image, digests={}))
    found = stand(unknown)
    assert (found.stage, found.reason) == (Stage.SKIPPED, "DigestUnknown")
    assert "ghcr.io/acme/web:1.0 runs in web; pin it by digest first" in found.message
    assert stand(unknown, policy=policy(rollback=Rollback(enabled=False))).stage is Stage.FRESH
    assert stand(unknown.image(PINNED)).stage is Stage.FRESH
    assert stand(unknown.pods(*unknown.view.pods.pods, seconds=301)).stage is Stage.FRESH  # type: ignore[union-attr]  # they are there


def test_known_digests_are_no_obstacle() -> None:
    old = workload().view.images[0].image
    assert stand(workload().pods(pod(image=old))).stage is Stage.FRESH
    gone = replace(pod(image=old), ended=True)
    assert stand(workload().pods(gone)).reason == "DigestUnknown"


def test_digests_that_go_with_the_processor_are_those_of_platforms_and_none_may_be_written() -> None:
    old = workload().view.images[0].image
    amd, arm = pod(image=old, architecture="amd64"), pod("web-1", old, architecture="arm64")
    assert stand(workload().pods(amd, arm)).stage is Stage.FRESH, "both tell the digest of the index"
    other = replace(arm, digests={"containers/web": NEW})
    found = stand(workload().pods(amd, other))
    assert (found.stage, found.reason) == (Stage.SKIPPED, "DigestUnknown")
    silent = replace(arm, digests={})
    assert stand(workload().pods(amd, silent)).stage is Stage.FRESH
    moved = replace(other, architecture="amd64")
    assert stand(workload().pods(amd, pod("web-2", old, architecture="amd64"), moved)).stage is Stage.FRESH
