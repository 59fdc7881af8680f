"""A workload on its way back: exactly what was there, by compare-and-swap, and a StatefulSet that would be stuck."""

from __future__ import annotations

from dataclasses import replace

import pytest

from patchwright.domain.actions import DeleteBadPod, ListWorkloadPods, MarkWorkload, ReleaseWorkload, RestoreImages
from patchwright.domain.model import ImagePin, NodeTarget, Rollback
from patchwright.domain.nodes.procedure import NodeKind
from patchwright.domain.targets import Stage, Standing
from patchwright.domain.workloads.procedure import WorkloadKind
from patchwright.domain.workloads.record import ImageRecord, Mark, Record
from patchwright.domain.workloads.view import ImageField
from support import builders
from support.builders import NOW, ago
from support.image_builders import (
    NEW,
    PINNED,
    REPOSITORY,
    TAGGED,
    WANTED,
    WorkloadBuilder,
    brief,
    pod,
    policy,
    put_back,
    rollout,
    stand,
    stateful,
    workload,
)


def written(found: Standing) -> Record:
    [action] = found.actions
    assert isinstance(action, MarkWorkload)
    return action.record


# --- turning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", [Mark.APPLYING, Mark.DONE, Mark.FAILED])
def test_what_we_changed_goes_back_pinned_to_what_ran(mark: Mark) -> None:
    [action] = put_back(workload().record(mark))
    assert isinstance(action, RestoreImages)
    [edit] = action.edits
    assert (edit.was, edit.to, edit.name) == (WANTED, PINNED, "web")
    assert (action.record.mark, action.record.reason, action.record.since) == (Mark.REVERTING, "CanaryFailed", NOW)


def test_why_it_failed_stays_and_so_does_the_revision_that_was_bad() -> None:
    [action] = put_back(stateful().record(Mark.FAILED, reason="PodCrashes", revision="bad", message="it crashes"))
    assert isinstance(action, RestoreImages)
    assert (action.record.reason, action.record.message, action.record.revision) == ("PodCrashes", "it crashes", "bad")
    [action] = put_back(stateful().record(Mark.APPLYING))
    assert isinstance(action, RestoreImages)
    assert action.record.revision == "new"
    [action] = put_back(stateful().record(Mark.APPLYING).but(generation=2))
    assert isinstance(action, RestoreImages)
    assert action.record.revision == ""


def test_a_container_is_found_again_where_its_list_was_re_ordered() -> None:
    fields = (ImageField("containers", 0, "sidecar", "nginx:1"), ImageField("containers", 1, "web", WANTED))
    [action] = put_back(workload().record(Mark.DONE).but(images=fields))
    assert isinstance(action, RestoreImages)
    assert [edit.entry for edit in action.edits] == ["/spec/template/spec/containers/1"]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (workload().record(Mark.DONE).image(f"{REPOSITORY}:9"), "changed the image of web to ghcr.io/acme/web:9"),
        (workload().record(Mark.FAILED).image(TAGGED), "changed the image of web to ghcr.io/acme/web:1.0"),
        (workload().record(Mark.DONE).but(images=()), "removed web"),
    ],
)  # fmt: skip
def test_what_is_not_ours_any_more_is_left_to_a_person(made: WorkloadBuilder, said: str) -> None:
    [action] = put_back(made)
    assert isinstance(action, MarkWorkload)
    assert (action.record.mark, action.record.reason) == (Mark.QUARANTINED, "RollbackConflict")
    assert f"to be put back, but somebody {said}; check it" in action.record.message


def test_of_two_images_one_that_is_not_ours_stops_both() -> None:
    images = tuple(ImageRecord("containers", name, TAGGED, WANTED) for name in ("web", "job"))
    fields = (ImageField("containers", 0, "web", WANTED), ImageField("containers", 1, "job", TAGGED))
    [action] = put_back(workload().record(Mark.DONE, images=images).but(images=fields))
    assert isinstance(action, MarkWorkload)
    assert action.record.reason == "RollbackConflict"


def test_a_policy_that_puts_nothing_back_leaves_it_to_a_person() -> None:
    [action] = put_back(
        workload().record(Mark.FAILED, message="it crashes"), policy=policy(rollback=Rollback(enabled=False))
    )
    assert isinstance(action, MarkWorkload)
    assert (action.record.reason, action.record.message) == (
        "RollbackDisabled", "it crashes; rollback is disabled by the policy",
    )  # fmt: skip


def test_what_was_never_touched_has_nothing_to_be_put_back() -> None:
    assert put_back(workload()) == ()


# --- on the way back ------------------------------------------------------------------------------------------------


def reverting(made: WorkloadBuilder | None = None, **changes: object) -> WorkloadBuilder:
    return (made or workload()).record(Mark.REVERTING, **changes)  # type: ignore[arg-type]  # its own fields


def test_it_is_put_back_when_every_pod_is_old_again() -> None:
    found = stand(reverting(failed=True, message="it crashes").pods(pod(image=PINNED), pod("web-1", image=PINNED)))
    assert (written(found).mark, written(found).message) == (Mark.RESTORED, "it crashes")
    found = stand(reverting(message="web:1.1 runs").pods(pod(image=PINNED)))
    assert written(found).message == "", "what a healthy one said is true no longer"
    assert written(stand(reverting().scaled(0))).mark is Mark.RESTORED


def test_what_is_missing_on_the_way_back_is_told_and_has_a_deadline() -> None:
    assert stand(reverting()).message == "looks at its pods"
    assert stand(reverting().but(generation=2)).message == "waits for its controller to see generation 2"
    assert stand(reverting().rolling().pods(pod())).message == "has 1 of 2 pods updated"
    record = written(stand(reverting(seconds=600).rolling().pods(pod())))
    assert (record.mark, record.reason) == (Mark.QUARANTINED, "RollbackDeadlineExceeded")
    assert record.message == "its rollback failed: it has 1 of 2 pods updated still after 10m"


def test_it_is_never_resumed_for_whoever_paused_it() -> None:
    found = stand(reverting().but(paused=True))
    assert "its pods follow once somebody resumes it" in found.message
    assert written(stand(reverting(seconds=600).but(paused=True))).mark is Mark.QUARANTINED


def test_whoever_changes_the_image_while_it_goes_back_has_the_last_word() -> None:
    record = written(stand(reverting().image(TAGGED)))
    assert (record.mark, record.reason) == (Mark.QUARANTINED, "RollbackConflict")
    assert "to ghcr.io/acme/web:1.0 while it was being put back" in record.message


# --- a StatefulSet that would be stuck ------------------------------------------------------------------------------


BAD = pod("web-1", revision="bad", ready=False)
GOOD = pod("web-0", image=PINNED, revision="new")


def stuck(**changes: object) -> WorkloadBuilder:
    return reverting(stateful(), revision="bad", **changes).but(updated=1)


def test_a_broken_pod_of_the_bad_revision_is_deleted() -> None:
    found = stand(stuck().pods(GOOD, BAD))
    assert found.actions == (DeleteBadPod(stuck().view.ref, BAD.ref), ListWorkloadPods(stuck().view.ref))
    assert found.message == "deletes pod shop/web-1, which is not Ready and in the way"


def test_the_last_one_goes_first_and_one_at_a_time() -> None:
    third = pod("web-10", revision="bad", ready=False)
    odd = pod("web-x", revision="bad", ready=False)
    assert stand(stuck().pods(BAD, third, odd)).actions[0] == DeleteBadPod(stuck().view.ref, third.ref)
    assert not stand(stuck().pods(BAD, replace(third, deleted_at=NOW))).actions


@pytest.mark.parametrize(
    "made",
    [
        stuck().but(generation=2).pods(BAD),
        stuck().pods(replace(BAD, ready=True)),
        stuck().pods(replace(BAD, revision="other")),
        stuck().but(revision="bad").pods(BAD),
        reverting(workload(), revision="bad").rolling().pods(BAD),
    ],
)
def test_nothing_else_is_deleted(made: WorkloadBuilder) -> None:
    assert stand(made).actions == ()


def test_a_stateful_set_that_nothing_frees_is_given_up_at_the_deadline() -> None:
    record = written(stand(stuck(seconds=600).pods(GOOD, BAD)))
    assert (record.mark, record.reason) == (Mark.QUARANTINED, "RollbackDeadlineExceeded")


def test_without_a_known_revision_the_image_tells_what_is_bad() -> None:
    assert isinstance(stand(reverting(stateful()).but(updated=1).pods(BAD)).actions[0], DeleteBadPod)


# --- marks and refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", [Mark.RESTORED, Mark.QUARANTINED, Mark.FAILED])
def test_a_stage_that_is_over_is_shown_as_it_is(mark: Mark) -> None:
    stages = {Mark.RESTORED: Stage.RESTORED, Mark.QUARANTINED: Stage.QUARANTINED, Mark.FAILED: Stage.FAILED}
    assert stand(workload().record(mark)).stage is stages[mark]


def release(made: WorkloadBuilder, *, forget: bool = False) -> object:
    return WorkloadKind().release(made.view, brief(), forget=forget)


def test_our_record_is_removed_and_nothing_else() -> None:
    ref = workload().view.ref
    assert release(workload().record(Mark.DONE)) == (ReleaseWorkload(ref),)
    assert release(workload().record(Mark.QUARANTINED)) == ()
    assert release(workload().record(Mark.QUARANTINED), forget=True) == (ReleaseWorkload(ref),)
    assert release(workload()) == ()
    assert release(workload().record(Mark.DONE, rollout_uid="another")) == ()


def test_a_change_that_the_policy_does_not_cover_is_refused() -> None:
    kind = WorkloadKind()
    assert kind.refusal(brief()) is None
    refused = kind.refusal(brief(rollout=rollout(ImagePin("nginx", NEW))))
    assert refused is not None
    assert refused[0] == "ImageNotCovered"
    assert "policy web does not cover the image nginx" in refused[1]


def test_one_repository_in_two_spellings_is_refused() -> None:
    both = rollout(ImagePin("nginx", NEW), ImagePin("docker.io/library/nginx", NEW))
    refused = WorkloadKind().refusal(brief(rollout=both))
    assert refused is not None
    assert refused[0] == "DuplicateImage"
    assert "names docker.io/library/nginx twice" in refused[1]


@pytest.mark.parametrize("mark", [Mark.FAILED, Mark.APPLYING, Mark.REVERTING])
def test_a_record_that_comes_back_after_the_end_is_removed_and_nothing_is_undone(mark: Mark) -> None:
    old = workload().record(mark, seconds=60)
    assert stand(old, ended=ago(30)).stage is Stage.DONE
    assert stand(old, ended=ago(30)).actions == ()
    late = workload().record(mark, seconds=10)
    assert stand(late, ended=ago(30)).stage is not Stage.DONE, "a deposed operator's, which has to be carried back"
    given_up = workload().record(Mark.QUARANTINED, seconds=60)
    assert stand(given_up, ended=ago(30)).stage is Stage.QUARANTINED


def test_a_change_for_the_other_kind_of_target_is_refused() -> None:
    refused = WorkloadKind().refusal(brief(policy=replace(policy(), target=NodeTarget())))
    assert refused is not None
    assert refused[0] == "WrongTarget"
    assert "policy web targets nodes, and spec.change.images is for workloads" in refused[1]
    refused = NodeKind().refusal(builders.brief(policy=policy()))
    assert refused is not None
    assert refused[0] == "WrongTarget"
    assert "policy web targets workloads, and spec.change.script is for nodes" in refused[1]
