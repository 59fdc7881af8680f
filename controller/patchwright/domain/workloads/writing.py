"""A workload that is changed where Git says it: claimed, committed, applied by its owner, and back by the same way.

The record is on the workload as ever, written before anything is committed. Whoever applies the workload from Git gives
it its images: what it has then is taken over into the record, as it is spelled, and from there on everything is as for
a workload that was changed in the cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from patchwright.domain.actions import CommitImages, MarkWorkload
from patchwright.domain.model import PatchPolicy, PatchRollout
from patchwright.domain.targets import Brief, Stage, Standing
from patchwright.domain.workloads import images, marks
from patchwright.domain.workloads.record import ImageRecord, Mark, Record
from patchwright.domain.workloads.view import WorkloadView
from patchwright.domain.writeback import versions
from patchwright.domain.writeback.edits import Swap
from patchwright.domain.writeback.orders import Destination, Step, WriteOrder, Written
from patchwright.domain.writeback.places import Scope
from patchwright.domain.writeback.settings import GitTarget

CANARY = "canary"
SHORT = 12


def into_git(view: WorkloadView, policy: PatchPolicy) -> bool:
    """Tell whether a workload is changed in Git."""
    return policy.write.into_git(owned=bool(view.gitops))


def claim(view: WorkloadView, brief: Brief, record: Record) -> MarkWorkload:
    """Write ahead what the images were; all that are claimed in one round become one commit."""
    wave = CANARY if record.wave == 0 else f"wave-{record.wave}"
    return MarkWorkload(view.ref, replace(record, step=f"{wave}-{_moment(brief.now)}"))


def forward(view: WorkloadView, record: Record, brief: Brief) -> Standing | None:
    """Have it committed, and wait until its owner has applied that; nothing once it has, and that is recorded."""
    if changed := _foreign(view, record):
        text = f"{changed} while it was being patched; check it, then remove its annotation patchwright.dev/state"
        lost = marks.quarantine(view, record, brief, reason="ImageChanged", message=text, taken=True)
        return _over(Stage.WORKING, record, lost)
    if not record.commit:
        return _commits(Stage.WORKING, view, record)
    if all(_is(view, image, image.to) for image in record.images):
        return _adopted(Stage.WORKING, view, record, _with_new)

    def late(text: str) -> MarkWorkload:
        # The new images never ran here, so this says nothing about them.
        return marks.fail(view, replace(record, taken=True), brief, reason="NotSynced", message=text)

    return _waits(Stage.WORKING, view, record, brief, commit=record.commit, late=late)


def put_back(view: WorkloadView, record: Record, brief: Brief, *, why: str) -> MarkWorkload:
    """Begin the way back through Git; where nothing was ever committed there is none to go."""
    if changed := _foreign(view, record):
        text = f"to be put back, but {changed}; check it, then remove its annotation patchwright.dev/state"
        return marks.quarantine(view, record, brief, reason="RollbackConflict", message=text)
    if record.mark is Mark.FAILED and not record.commit:
        return marks.mark(view, record, brief, Mark.RESTORED)
    seen = view.revision if view.observed_generation >= view.generation else ""
    after = replace(record, reason=record.reason or why, revision=record.revision or seen)
    return marks.mark(view, after, brief, Mark.REVERTING)


def back(view: WorkloadView, record: Record, brief: Brief) -> Standing | None:
    """Have the commit taken back, and wait until its owner has applied that; nothing once it has."""

    def lost(reason: str, text: str) -> MarkWorkload:
        said = f"its rollback failed: {text}; check it, then remove its annotation patchwright.dev/state"
        return marks.quarantine(view, record, brief, reason=reason, message=said)

    if changed := _foreign(view, record):
        return _over(Stage.RESTORING, record, lost("RollbackConflict", changed))
    if not record.undo:
        return _commits(Stage.RESTORING, view, record)
    if all(_is_old(view, image) for image in record.images):
        return _adopted(Stage.RESTORING, view, record, _with_old)

    def late(text: str) -> MarkWorkload:
        return lost("RollbackNotSynced", text)

    return _waits(Stage.RESTORING, view, record, brief, commit=record.undo, late=late)


def written(record: Record, commit: Written, now: datetime) -> Record:
    """Give the record of a workload whose commit is in Git; from now on its owner has the time that a target has."""
    if record.mark is Mark.REVERTING:
        return replace(record, undo=commit.commit, since=now)
    return replace(record, commit=commit.commit, since=now)


def refused(record: Record, reason: str, message: str, *, now: datetime) -> Record:
    """Give the record of a workload that may not be written; the way back that is not to be had needs a person."""
    back_too = record.mark is Mark.REVERTING
    mark = Mark.QUARANTINED if back_too else Mark.FAILED
    text = message[: marks.MESSAGE_KEPT]
    return replace(
        record, mark=mark, since=now, reason=reason, message=text, failed=True, taken=record.taken or not back_too
    )


def order(git: GitTarget, rollout: PatchRollout, group: Sequence[CommitImages]) -> WriteOrder:
    """Give the one commit for workloads of one step."""
    first = group[0].record
    turning = first.mark is Mark.REVERTING
    swaps = dict.fromkeys(swap for action in group for swap in _swaps(action))
    name = f"{first.step}-back-{_moment(first.since)}" if turning else first.step
    # A tag that was not pinned may mean the bad image by now, so that its bytes are not what is wanted back.
    exact = turning and all(images.digest(image.was) for action in group for image in action.record.images)
    return WriteOrder(
        Destination(git.url, git.branch, path=git.path),
        Step(rollout.key, rollout.uid, name, at=first.since, since=rollout.created_at),
        tuple(swaps),
        back_of=first.step if turning else "",
        undoes=first.commit if exact else "",
        unsure=turning and not first.commit,
        author=git.author,
    )


def together(actions: Sequence[CommitImages]) -> list[list[CommitImages]]:
    """Sort actions into those that are one commit: of one step, one direction and one decision."""
    groups: dict[object, list[CommitImages]] = {}
    for action in actions:
        record = action.record
        groups.setdefault((record.step, record.mark, record.since, record.commit), []).append(action)
    return list(groups.values())


def _moment(at: datetime) -> str:
    """Spell a moment so that no other round has the same."""
    return at.strftime("%Y%m%dT%H%M%S.%f")


def _swaps(action: CommitImages) -> list[Swap]:
    only = frozenset({(action.workload.kind, action.workload.name)})
    return [
        Swap(
            Scope(images.repository(image.to), only),
            was=versions.of_image(images.pinned(image.was, image.digest)),
            to=versions.of_image(image.to),
        )
        for image in action.record.images
    ]


def _commits(stage: Stage, view: WorkloadView, record: Record) -> Standing:
    text = "is written into Git" if stage is Stage.WORKING else "is put back in Git"
    return marks.standing(stage, record, message=text, actions=(CommitImages(view.ref, record),))


def _waits(
    stage: Stage, view: WorkloadView, record: Record, brief: Brief, *, commit: str, late: Callable[[str], MarkWorkload]
) -> Standing:
    owner = view.gitops or "whoever applies it from Git"
    text = f"waits for {owner} to sync {commit[:SHORT]}"
    if marks.expired(record, brief):
        return _over(stage, record, late(f"it {text} still after {marks.span(brief)}"))
    return marks.standing(stage, record, message=text, wake=marks.deadline(record, brief))


def _adopted(
    stage: Stage, view: WorkloadView, record: Record, adopt: Callable[[ImageRecord, str], ImageRecord]
) -> Standing | None:
    """Take over how its owner spells the images; nothing to do where the record says the same."""
    there = {field.key: field.image for field in view.images}
    after = replace(record, images=tuple(adopt(image, there[image.key]) for image in record.images))
    if after == record:
        return None
    return marks.standing(stage, record, message="was synced", actions=(MarkWorkload(view.ref, after),))


def _with_new(image: ImageRecord, found: str) -> ImageRecord:
    return replace(image, to=found)


def _with_old(image: ImageRecord, found: str) -> ImageRecord:
    return image if found == images.pinned(image.was, image.digest) else replace(image, was=found, digest="")


def _over(stage: Stage, record: Record, last: MarkWorkload) -> Standing:
    found = marks.standing(stage, record, message=last.record.message, actions=(last,))
    return replace(found, reason=last.record.reason)


def _foreign(view: WorkloadView, record: Record) -> str:
    """Say which image is neither what was there nor what we have put into Git."""
    there = {field.key: field.image for field in view.images}
    for image in record.images:
        if image.key not in there:
            return f"somebody removed {image.name}"
        if not (_is(view, image, image.to) or _is_old(view, image)):
            return f"somebody changed the image of {image.name} to {there[image.key]}"
    return ""


def _is_old(view: WorkloadView, image: ImageRecord) -> bool:
    return _is(view, image, image.was) or _is(view, image, images.pinned(image.was, image.digest))


def _is(view: WorkloadView, image: ImageRecord, wanted: str) -> bool:
    """Tell whether an image is what is wanted, however its name is spelled."""
    found = next(field.image for field in view.images if field.key == image.key)
    same = images.repository(found) == images.repository(wanted)
    return same and versions.of_image(found) == versions.of_image(wanted)
