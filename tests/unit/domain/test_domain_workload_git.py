"""A workload that is made from Git: claimed, committed, synced by its owner, and back by the same way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from patchwright.domain.actions import CommitImages, ListWorkloadPods, MarkWorkload
from patchwright.domain.model import Rollback
from patchwright.domain.sources import Author
from patchwright.domain.targets import Stage, Standing
from patchwright.domain.workloads import writing
from patchwright.domain.workloads.record import ImageRecord, Mark, Record, decode, encode
from patchwright.domain.writeback.edits import Swap
from patchwright.domain.writeback.orders import Written, message, proposal
from patchwright.domain.writeback.places import Scope
from patchwright.domain.writeback.settings import GitTarget, Write, WriteMode
from patchwright.domain.writeback.versions import Version
from support.builders import LONG_AGO, NOW, ROLLOUT_UID, ago
from support.image_builders import (
    NEW,
    OLD,
    PINNED,
    REPOSITORY,
    TAGGED,
    WANTED,
    WorkloadBuilder,
    begin,
    pod,
    policy,
    put_back,
    record,
    rollout,
    stand,
    workload,
)

FLUX = "Flux Kustomization flux-system/shop"
GIT = GitTarget("https://git.example/acme/shop", branch="main", path="prod", author=Author("R", "r@example.com"))
POLICY = policy(write=Write(git=GIT))
COMMIT, UNDO = "c" * 40, "d" * 40
STEP = "canary-20261125T120000.000000"


def owned(mark: Mark | None = None, *, image: str = TAGGED, **changes: Any) -> WorkloadBuilder:
    """Give a workload that Flux applies, with the record of one that is changed through Git."""
    made = workload(gitops=FLUX).image(image)
    return made if mark is None else made.but(record=record(mark, step=STEP, **changes))


def standing(made: WorkloadBuilder, **changes: Any) -> Standing:
    return stand(made, **{"policy": POLICY, **changes})


def written(found: Standing) -> Record:
    [action] = found.actions
    assert isinstance(action, MarkWorkload)
    return action.record


def turned(made: WorkloadBuilder, **changes: Any) -> Record:
    [action] = put_back(made, **{"policy": POLICY, **changes})
    assert isinstance(action, MarkWorkload)
    return action.record


# --- which ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "git", "gitops", "into_git"),
    [
        (WriteMode.AUTO, GIT, FLUX, True),
        (WriteMode.AUTO, GIT, "", False),
        (WriteMode.AUTO, None, FLUX, False),
        (WriteMode.GIT, GIT, "", True),
        (WriteMode.CLUSTER, None, FLUX, False),
    ],
)
def test_the_policy_and_the_owner_say_where_a_workload_is_changed(
    mode: WriteMode, git: GitTarget | None, gitops: str, into_git: bool
) -> None:
    made = workload(gitops=gitops)
    assert writing.into_git(made.view, policy(write=Write(mode, git))) is into_git


def test_without_a_repository_what_has_an_owner_is_left_alone_as_ever() -> None:
    found = stand(owned())
    assert (found.stage, found.reason) == (Stage.SKIPPED, "OwnershipConflict")
    assert standing(owned()).stage is Stage.FRESH


# --- forward --------------------------------------------------------------------------------------------------------


def test_it_is_claimed_by_a_record_before_anything_is_committed() -> None:
    made = owned().pods(pod(image=TAGGED))
    [action] = begin(made, policy=POLICY)
    assert isinstance(action, MarkWorkload)
    assert (action.record.mark, action.record.commit) == (Mark.APPLYING, "")
    assert action.record.step == f"canary-{NOW.strftime('%Y%m%dT%H%M%S.%f')}"
    assert action.record.images == (ImageRecord("containers", "web", TAGGED, WANTED, OLD),)
    [action] = begin(made, policy=POLICY, wave=2)
    assert isinstance(action, MarkWorkload)
    assert action.record.step.startswith("wave-2-")
    assert decode(encode(action.record)) == action.record


def test_a_claimed_one_is_committed_whatever_its_owner_has_done_meanwhile() -> None:
    for image in (TAGGED, WANTED):
        made = owned(Mark.APPLYING, image=image, seconds=10_000)
        found = standing(made)
        assert (found.stage, found.message) == (Stage.WORKING, "is written into Git")
        assert found.actions == (CommitImages(made.view.ref, made.view.record),)  # type: ignore[arg-type] # it has one


def test_a_committed_one_waits_for_its_owner_and_says_which_commit() -> None:
    found = standing(owned(Mark.APPLYING, commit=COMMIT))
    assert (found.stage, found.actions) == (Stage.WORKING, ())
    assert found.message == f"waits for {FLUX} to sync {'c' * 12}"
    assert found.wake == ago(1) + POLICY.strategy.progress_deadline
    nobody = standing(owned(Mark.APPLYING, commit=COMMIT).but(gitops=""))
    assert nobody.message.startswith("waits for whoever applies it from Git to sync")


def test_an_owner_that_does_not_sync_in_time_is_no_fault_of_the_image() -> None:
    late = standing(owned(Mark.APPLYING, commit=COMMIT, seconds=601))
    after = written(late)
    assert (after.mark, after.reason, after.taken, after.failed) == (Mark.FAILED, "NotSynced", True, True)
    assert after.message == f"it waits for {FLUX} to sync {'c' * 12} still after 10m"


def test_what_its_owner_has_applied_is_taken_over_as_it_is_spelled() -> None:
    spelled = WANTED.replace("ghcr.io/acme/web", "ghcr.io/acme/web")
    made = owned(Mark.APPLYING, image=spelled, commit=COMMIT).pods(pod())
    found = standing(made)
    assert written_mark(found) is Mark.DONE, "it is spelled as the record says, so that there is nothing to take over"
    hub = workload(gitops=FLUX).image(f"nginx:1.1@{NEW}")
    images = (ImageRecord("containers", "web", "nginx:1.0", f"docker.io/library/nginx:1.1@{NEW}", OLD),)
    after = written(standing(hub.but(record=record(Mark.APPLYING, step=STEP, commit=COMMIT, images=images))))
    assert after.images[0].to == f"nginx:1.1@{NEW}"
    assert (after.mark, after.since) == (Mark.APPLYING, ago(1)), "no progress makes the deadline longer"


def written_mark(found: Standing) -> Mark:
    return written(found).mark


def test_a_synced_one_goes_on_as_if_it_were_changed_in_the_cluster() -> None:
    made = owned(Mark.APPLYING, image=WANTED, commit=COMMIT)
    assert standing(made).actions == (ListWorkloadPods(made.view.ref),)


@pytest.mark.parametrize("image", [f"{REPOSITORY}:9@{NEW}", f"{REPOSITORY}:1.0@{NEW}", "ghcr.io/acme/other:1.0"])
def test_an_image_that_is_neither_old_nor_ours_is_somebody_elses(image: str) -> None:
    after = written(standing(owned(Mark.APPLYING, image=image, commit=COMMIT)))
    assert (after.mark, after.reason, after.taken) == (Mark.QUARANTINED, "ImageChanged", True)
    assert after.message.startswith(f"somebody changed the image of web to {image} while it was being patched")


def test_a_container_that_is_gone_is_somebody_elses_doing() -> None:
    after = written(standing(owned(Mark.APPLYING, commit=COMMIT).but(images=())))
    assert after.message.startswith("somebody removed web while it was being patched")


# --- back -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", [Mark.APPLYING, Mark.DONE, Mark.FAILED])
def test_what_was_committed_goes_back_by_a_commit(mark: Mark) -> None:
    made = owned(mark, image=WANTED, commit=COMMIT, reason="PodCrashes" if mark is Mark.FAILED else "")
    after = turned(made)
    assert (after.mark, after.commit, after.undo, after.since) == (Mark.REVERTING, COMMIT, "", NOW)
    assert after.reason == ("PodCrashes" if mark is Mark.FAILED else "CanaryFailed")
    found = standing(made.but(record=after))
    assert (found.stage, found.message) == (Stage.RESTORING, "is put back in Git")
    assert found.actions == (CommitImages(made.view.ref, after),)


def test_one_that_was_never_committed_is_put_back_by_a_word() -> None:
    assert turned(owned(Mark.FAILED, taken=True)).mark is Mark.RESTORED
    assert turned(owned(Mark.APPLYING)).mark is Mark.REVERTING, "but who crashed may have committed it"


def test_the_bad_revision_is_remembered_on_the_way_back() -> None:
    made = owned(Mark.DONE, image=WANTED, commit=COMMIT).but(kind="StatefulSet", revision="new")
    assert turned(made).revision == "new"
    assert turned(made.but(observed_generation=0)).revision == ""


def test_a_value_that_somebody_has_changed_is_left_and_named() -> None:
    for mark in (Mark.DONE, Mark.REVERTING):
        made = owned(mark, image=f"{REPOSITORY}:9", commit=COMMIT)
        after = turned(made) if mark is Mark.DONE else written(standing(made))
        assert (after.mark, after.reason) == (Mark.QUARANTINED, "RollbackConflict")
        assert f"somebody changed the image of web to {REPOSITORY}:9" in after.message


def test_a_policy_without_rollback_leaves_it_to_a_person() -> None:
    off = replace(POLICY, rollback=Rollback(enabled=False))
    assert turned(owned(Mark.FAILED, image=WANTED, commit=COMMIT), policy=off).reason == "RollbackDisabled"


def test_on_the_way_back_it_waits_for_its_owner_too() -> None:
    found = standing(owned(Mark.REVERTING, image=WANTED, commit=COMMIT, undo=UNDO))
    assert (found.stage, found.message) == (Stage.RESTORING, f"waits for {FLUX} to sync {'d' * 12}")
    late = written(standing(owned(Mark.REVERTING, image=WANTED, commit=COMMIT, undo=UNDO, seconds=601)))
    assert (late.mark, late.reason) == (Mark.QUARANTINED, "RollbackNotSynced")
    assert "still after 10m; check it" in late.message


@pytest.mark.parametrize("image", [TAGGED, PINNED])
def test_what_its_owner_has_put_back_is_enough_pinned_or_not(image: str) -> None:
    made = owned(Mark.REVERTING, image=image, commit=COMMIT, undo=UNDO).pods(pod(image=image))
    found = standing(made)
    if image == TAGGED:
        made = made.but(record=written(found))
        assert made.view.record is not None
        assert made.view.record.images[0].was == TAGGED
        found = standing(made)
    assert written(found).mark is Mark.RESTORED


# --- orders ---------------------------------------------------------------------------------------------------------


def commits(*records: tuple[str, Record]) -> list[CommitImages]:
    return [CommitImages(workload(name).view.ref, each) for name, each in records]


def test_workloads_of_one_round_are_one_commit() -> None:
    one, two = record(Mark.APPLYING, step="wave-1-a"), record(Mark.APPLYING, step="wave-1-b")
    back = record(Mark.REVERTING, step="wave-1-a", commit=COMMIT)
    actions = commits(("a", one), ("b", two), ("c", one), ("d", back))
    assert [[action.workload.name for action in step] for step in writing.together(actions)] == [
        ["a", "c"],
        ["b"],
        ["d"],
    ]


def test_an_order_says_where_what_and_which_step() -> None:
    found = writing.order(GIT, rollout(), commits(("a", record(Mark.APPLYING, step=STEP))))
    assert (found.place.url, found.place.branch, found.place.path) == (GIT.url, "main", "prod")
    assert (found.step.name, found.step.uid, found.step.at, found.step.since) == (STEP, ROLLOUT_UID, ago(1), LONG_AGO)
    scope = Scope(REPOSITORY, frozenset({("Deployment", "a")}))
    assert found.swaps == (Swap(scope, was=Version("1.0", OLD), to=Version("1.1", NEW)),)
    assert (found.back_of, found.undoes, found.unsure, found.author) == ("", "", False, GIT.author)


def test_the_way_back_gives_every_byte_back_only_where_they_still_mean_the_same() -> None:
    pinned = (ImageRecord("containers", "web", PINNED, WANTED, OLD),)
    exact = writing.order(
        GIT, rollout(), commits(("a", record(Mark.REVERTING, step=STEP, commit=COMMIT, images=pinned)))
    )
    assert (exact.back_of, exact.undoes, exact.unsure) == (STEP, COMMIT, False)
    assert exact.step.name.startswith(f"{STEP}-back-")
    by_tag = writing.order(GIT, rollout(), commits(("a", record(Mark.REVERTING, step=STEP, commit=COMMIT))))
    assert (by_tag.undoes, by_tag.unsure) == ("", False), "its tag may mean the bad image by now"
    crashed = writing.order(GIT, rollout(), commits(("a", record(Mark.REVERTING, step=STEP, images=pinned))))
    assert (crashed.undoes, crashed.unsure) == ("", True)


def test_a_commit_of_many_is_told_in_few_words() -> None:
    order = writing.order(GIT, rollout(), commits(*((name, record(Mark.APPLYING, step=STEP)) for name in "ab")))
    assert message(order, ()).startswith("Set ghcr.io/acme/web to 1.1\n\nRollout ops/web, canary-2026")
    other = (ImageRecord("containers", "api", "ghcr.io/acme/api:1", f"ghcr.io/acme/api@{NEW}"),)
    order = writing.order(
        GIT, rollout(), commits(("a", record(Mark.APPLYING, step=STEP)), ("b", record(Mark.APPLYING, images=other)))
    )
    subject, body = proposal(order)
    assert subject == "Set image web and 1 more"
    assert f"Set ghcr.io/acme/web to 1.1\nSet ghcr.io/acme/api to {NEW}" in body
    back = replace(order, back_of=STEP, undoes=COMMIT)
    assert proposal(back)[0] == "Put back image web and 1 more"
    assert f"This reverts commit {COMMIT}." in proposal(back)[1]


def test_what_came_of_it_is_what_the_record_says() -> None:
    done = Written(COMMIT, "main")
    assert writing.written(record(Mark.APPLYING, step=STEP), done, NOW).commit == COMMIT
    back = writing.written(record(Mark.REVERTING, step=STEP, commit=COMMIT), Written(UNDO, "main"), NOW)
    assert (back.commit, back.undo, back.since) == (COMMIT, UNDO, NOW)
    failed = writing.refused(record(Mark.APPLYING, step=STEP), "WriteBackConflict", "no" * 999, now=NOW)
    assert (failed.mark, failed.reason, failed.taken, len(failed.message)) == (
        Mark.FAILED,
        "WriteBackConflict",
        True,
        400,
    )
    lost = writing.refused(record(Mark.REVERTING, step=STEP), "RollbackConflict", "no", now=NOW)
    assert (lost.mark, lost.failed, lost.taken) == (Mark.QUARANTINED, True, False)
