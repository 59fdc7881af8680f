"""One workload from its old images to the new ones, and back.

Forward: Applying (the images are changed, the pods follow), Done. Back: RollingBack, RolledBack. The images and the
record that says what they were are one patch, so a crash between any two requests leaves a workload that says itself
what has happened to it. Replicas and pauses are read and never written; strategies are for a canary of some pods only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import assert_never

from patchwright.domain.actions import Action, CheckImages, ListWorkloadPods, ReleaseWorkload
from patchwright.domain.model import WorkloadTarget
from patchwright.domain.targets import Brief, Stage, Standing
from patchwright.domain.workloads import beside, images, marks, obstacles, parts, reversible, rolling, writing
from patchwright.domain.workloads.record import Mark, Record
from patchwright.domain.workloads.view import WorkloadView

_FRESH = Standing(Stage.FRESH, Stage.FRESH.value)
_CURRENT = Standing(Stage.CURRENT, Stage.CURRENT.value)


class WorkloadKind:
    """How workloads are patched; implements ``domain.targets.TargetKind``."""

    noun = "workload"
    hint = "check target.workloads.selector, and whether any of them runs an image of the change"
    remedy = "check which images it runs"

    def stand(self, target: WorkloadView, brief: Brief) -> Standing:
        """Say where a workload stands and what goes on with it."""
        record = target.record
        if record is None or record.rollout_uid != brief.rollout.uid:
            return beside.stray(target, brief) or _untouched(target, brief)
        return _touched(target, record, brief)

    def begin(self, target: WorkloadView, brief: Brief, *, wave: int) -> Sequence[Action]:
        """Change the images and write what they were, in one patch; look first at what runs, and that it can come back.

        The write names the version that was looked at, so whatever came in between makes it fail. Of one that is a
        canary in some of its pods, the rest is what begins.
        """
        if target.record is not None and target.record.part is not None:
            return parts.rest(target, target.record, brief)
        changes = images.outdated(brief.rollout.images, target.images)
        unknown = target.runs and not all(images.digest(field.image) for field, _ in changes)
        if unknown and not rolling.fresh(target, brief):
            return (ListWorkloadPods(target.ref),)
        if unasked := reversible.unasked(target, brief):
            return (CheckImages(target.ref, unasked),)
        record = marks.begun(target, brief, changes, wave=wave)
        if writing.into_git(target, brief.policy):
            return (writing.claim(target, brief, record),)
        if wave == 0 and (pods := parts.count(target, brief)):
            return parts.begin(target, record, changes, pods=pods)
        if wave == 0 and brief.policy.strategy.canary.pods is not None:
            record = replace(record, message=parts.WHOLE)
        return (marks.apply(target, record, changes),)

    def put_back(self, target: WorkloadView, brief: Brief, *, why: str) -> Sequence[Action]:
        """Put back exactly the images that we changed, if they are still ours (L4)."""
        record = target.record
        if record is None:
            return ()
        if record.step and brief.policy.rollback.enabled:
            return (writing.put_back(target, record, brief, why=why),)
        if back := parts.put_back(target, record, brief, why=why):
            return (back,)
        return (*beside.dismissal(target, record), self._put_back(target, record, brief, why=why))

    def _put_back(self, target: WorkloadView, record: Record, brief: Brief, *, why: str) -> Action:
        if conflict := rolling.taken_by_others(target, record):
            text = f"to be put back, but {conflict}; check it, then remove its annotation patchwright.dev/state"
            return parts.given_up(target, record, brief, reason="RollbackConflict", message=text)
        if not brief.policy.rollback.enabled:
            text = "rollback is disabled by the policy"
            return parts.stopped(target, record, brief, reason="RollbackDisabled", message=text)
        back = marks.restore(target, record, brief, reason=why)
        return replace(back, record=replace(back.record, part=None), strategy=parts.returned(target, record))

    def release(self, target: WorkloadView, brief: Brief, *, forget: bool) -> Sequence[Action]:
        """Remove our annotation; quarantined workloads keep theirs unless ``forget``."""
        record = target.record
        if record is None or record.rollout_uid != brief.rollout.uid:
            return ()
        if record.mark is Mark.QUARANTINED and not forget:
            return ()
        return (ReleaseWorkload(target.ref),)

    def longest(self, brief: Brief) -> timedelta:
        """Give how long the pods of one may take to follow."""
        return marks.limit(brief)

    def refusal(self, brief: Brief) -> tuple[str, str] | None:
        """Refuse a change that the policy does not cover."""
        policy, target = brief.policy.key.name, brief.policy.target
        if not isinstance(target, WorkloadTarget):
            return "WrongTarget", (
                f"policy {policy} targets nodes, and spec.change.images is for workloads: "
                "name a policy that targets workloads, or change by a script"
            )
        names = [images.repository(pin.image) for pin in brief.rollout.images.images]
        if twice := [name for name in names if names.count(name) > 1]:
            return "DuplicateImage", f"spec.change.images names {twice[0]} twice, in two spellings; keep one of them"
        uncovered = [pin.image for pin in brief.rollout.images.images if not images.covers(target.images, pin.image)]
        if uncovered:
            return "ImageNotCovered", (
                f"policy {policy} does not cover the image {uncovered[0]}: "
                "add it to target.workloads.images, or name another policy"
            )
        return None


def _untouched(view: WorkloadView, brief: Brief) -> Standing:
    change = brief.rollout.images
    if not images.outdated(change, view.images):
        if images.current(change, view.images) and view.record is None and not view.record_fault:
            return _CURRENT
        if view.record is None and not view.record_fault:
            return _skipped("OtherVersion", "it runs another version than the one that is replaced", for_good=True)
    found = obstacles.find(view, brief)
    return _skipped(found.reason, found.message, for_good=found.for_good) if found else _FRESH


def _skipped(reason: str, message: str, *, for_good: bool) -> Standing:
    return Standing(Stage.SKIPPED, Stage.SKIPPED.value, message, reason=reason, for_good=for_good)


def _came_back(record: Record, brief: Brief) -> bool:
    """Tell whether a record is a copy that somebody brought back after the rollout had removed it and was over.

    Kubernetes copies a Deployment's annotations to its ReplicaSets, and ``kubectl rollout undo`` back from there. What
    such a record says was true once; whoever ran the undo must not see it undone.
    """
    return brief.ended is not None and record.since < brief.ended and record.mark is not Mark.QUARANTINED


def _touched(view: WorkloadView, record: Record, brief: Brief) -> Standing:
    if _came_back(record, brief):
        return marks.standing(Stage.DONE, record)
    match record.mark:
        case Mark.SAMPLING:
            return parts.sampling(view, record, brief)
        case Mark.SAMPLED:
            return parts.sampled(view, record, brief)
        case Mark.APPLYING:
            return rolling.forward(view, record, brief)
        case Mark.DONE:
            return rolling.done(view, record, brief)
        case Mark.FAILED:
            return marks.standing(Stage.FAILED, record)
        case Mark.REVERTING:
            return rolling.back(view, record, brief)
        case Mark.RESTORED:
            return marks.standing(Stage.RESTORED, record)
        case Mark.QUARANTINED:
            return marks.standing(Stage.QUARANTINED, record)
        case _ as never:
            assert_never(never)
