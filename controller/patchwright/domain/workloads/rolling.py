"""A workload while its pods follow its template, on the way forward or back, and while it is watched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from patchwright.domain.actions import Action, DeleteBadPod, ListWorkloadPods, MarkWorkload
from patchwright.domain.targets import Brief, Stage, Standing
from patchwright.domain.workloads import beside, health, images, marks, writing
from patchwright.domain.workloads.record import ImageRecord, Mark, Record
from patchwright.domain.workloads.view import WorkloadPods, WorkloadView

# Pods are listed for workloads in flight only, and no oftener than this: in the beginning, later, and in a soak.
LOOK = timedelta(seconds=2)
LOOK_LATER = timedelta(seconds=5)
LOOK_IN_SOAK = timedelta(seconds=10)
LATER = timedelta(minutes=1)
# A list of 500 pods has ten megabytes: the more there are, the more time is left between two looks.
PODS_A_SECOND = 20
FRESH = timedelta(seconds=20)


def fresh(view: WorkloadView, brief: Brief) -> bool:
    """Tell whether what is known of its pods is recent enough to write down which digests they run."""
    return view.pods is not None and brief.now - view.pods.at <= FRESH


def forward(view: WorkloadView, record: Record, brief: Brief) -> Standing:
    """Wait until every pod runs the new images and is available, or something says that they never will."""

    if record.step and (waiting := writing.forward(view, record, brief)):
        return waiting

    def fails(reason: str, message: str) -> MarkWorkload:
        return marks.fail(view, record, brief, reason=reason, message=message)

    if changed := taken_by_others(view, record):
        return over(Stage.WORKING, record, _taken(view, record, brief, changed))
    if held := _held(view, record, brief, late=fails):
        return held
    if view.observed_generation < view.generation:
        return waits(Stage.WORKING, view, record, brief, missing=health.unsettled(view), late=fails)
    pods = seen(view, record)
    if view.runs and pods is None:
        return looks(Stage.WORKING, view, record, brief)
    if pods is not None and (found := health.trouble(record, pods, now=brief.now)):
        return over(Stage.WORKING, record, fails(*found))
    if missing := health.missing(view, pods) if pods is not None else "":
        if view.stuck:
            return over(Stage.WORKING, record, fails(*health.given_up(view, missing)))
        return waits(Stage.WORKING, view, record, brief, missing=missing, late=fails)
    last = marks.mark(view, record, brief, Mark.DONE, message=_success(view, record))
    return beside.leaves(view, record, brief, stage=Stage.WORKING, last=last)


def _taken(view: WorkloadView, record: Record, brief: Brief, changed: str) -> MarkWorkload:
    """Leave a workload to whoever has changed its image; one with a canary beside it has that to be put back first."""
    text = f"{changed} while it was being patched"
    if record.part is not None:
        return marks.fail(view, replace(record, taken=True), brief, reason="ImageChanged", message=text)
    text += "; check it, then remove its annotation patchwright.dev/state"
    return marks.quarantine(view, record, brief, reason="ImageChanged", message=text, taken=True)


def back(view: WorkloadView, record: Record, brief: Brief) -> Standing:
    """Wait until every pod runs the old images again; a StatefulSet's broken pods are taken out of its way."""
    if record.step and (waiting := writing.back(view, record, brief)):
        return waiting

    def fails(reason: str, message: str) -> MarkWorkload:
        text = f"its rollback failed: {message}"
        return marks.quarantine(view, record, brief, reason=f"Rollback{reason}", message=text)

    # Why it failed stays; what a healthy workload said about the new images is true no longer.
    message = record.message if record.failed else ""
    last = marks.mark(view, record, brief, Mark.RESTORED, message=message)
    if record.part is not None:
        return beside.leaves(view, record, brief, stage=Stage.RESTORING, last=last)
    if changed := _differs(view, record, _old):
        text = f"{changed} while it was being put back; check it, then remove its annotation patchwright.dev/state"
        return over(
            Stage.RESTORING, record, marks.quarantine(view, record, brief, reason="RollbackConflict", message=text)
        )
    if view.observed_generation < view.generation:
        return waits(Stage.RESTORING, view, record, brief, missing=health.unsettled(view), late=fails)
    if view.paused:
        text = f"has its old images, and its pods follow once {_resumed(view)}"
        return waits(Stage.RESTORING, view, record, brief, missing=text, late=fails)
    pods = seen(view, record)
    if view.runs and pods is None:
        return looks(Stage.RESTORING, view, record, brief)
    late = marks.expired(record, brief)
    if pods is not None and not late and (broken := health.in_the_way(view, record, pods)):
        text = f"deletes pod {broken.ref.namespace}/{broken.ref.name}, which is not Ready and in the way"
        move = DeleteBadPod(view.ref, broken.ref)
        return marks.standing(Stage.RESTORING, record, message=text, actions=(move, ListWorkloadPods(view.ref)))
    if missing := health.missing(view, pods) if pods is not None else "":
        return waits(Stage.RESTORING, view, record, brief, missing=missing, late=fails)
    return over(Stage.RESTORING, record, last)


def done(view: WorkloadView, record: Record, brief: Brief) -> Standing:
    """Watch a workload that has the new images for as long as its wave is watched."""
    seconds = (record.since - record.started_at).total_seconds()
    well = replace(marks.standing(Stage.DONE, record), seconds=seconds)
    if record.wave < brief.watched_from or brief.turning_back or not view.runs:
        return well
    if changed := taken_by_others(view, record):
        # A team that ships a release of its own in the middle does not make the change a bad one.
        return replace(well, message=f"{record.message}; {changed} since")
    if found := health.unwell(view, record, now=brief.now, deadline=marks.limit(brief)):
        failed = marks.fail(view, record, brief, reason=found[0], message=found[1])
        return marks.standing(Stage.FAILED, failed.record, actions=(failed,))
    # Its own status is watched, and says that it lacks a pod long before ten seconds are over.
    due = next_look(view, LOOK if health.unsettled(view) else LOOK_IN_SOAK, never=record.since)
    look: tuple[Action, ...] = (ListWorkloadPods(view.ref),) if brief.now >= due else ()
    return replace(well, actions=look, wake=due)


def taken_by_others(view: WorkloadView, record: Record) -> str:
    """Say which image is not what we put there, where somebody else has changed it since."""
    return _differs(view, record, lambda image: image.to)


def untaken(view: WorkloadView, record: Record) -> str:
    """Say which image is not what it was, of a workload whose own images we have not changed yet."""
    return _differs(view, record, lambda image: image.was)


def _old(image: ImageRecord) -> str:
    return images.pinned(image.was, image.digest)


def _differs(view: WorkloadView, record: Record, wanted: Callable[[ImageRecord], str]) -> str:
    there = {field.key: field.image for field in view.images}
    for image in record.images:
        found = there.get(image.key)
        if found is None:
            return f"somebody removed {image.name}"
        if found != wanted(image):
            return f"somebody changed the image of {image.name} to {found}"
    return ""


def _held(
    view: WorkloadView, record: Record, brief: Brief, *, late: Callable[[str, str], MarkWorkload]
) -> Standing | None:
    """Wait for whoever has paused it, without a deadline; the time of the pause is not the change's fault.

    A Rollout that has paused itself at a step has done so to have its new pods looked at, and so they are.
    """
    text = f"is paused by {view.at_step or 'spec.paused'}; its pods follow once {_resumed(view)}"
    if view.paused and record.held:
        held = replace(marks.standing(Stage.WORKING, record, message=text), reason="TargetPaused")
        return _looked_at(view, record, brief, held=held, late=late) if view.at_step else held
    if view.paused == record.held:
        return None
    after = replace(record, held=view.paused, since=brief.now)
    return marks.standing(
        Stage.WORKING, record, message=text if view.paused else "is resumed", actions=(MarkWorkload(view.ref, after),)
    )


def _resumed(view: WorkloadView) -> str:
    return "that is over, or somebody promotes it" if view.at_step else "somebody resumes it"


def _looked_at(
    view: WorkloadView, record: Record, brief: Brief, *, held: Standing, late: Callable[[str, str], MarkWorkload]
) -> Standing:
    pods = seen(view, record)
    if pods is not None and (found := health.trouble(record, pods, now=brief.now)):
        return over(Stage.WORKING, record, late(*found))
    due = next_look(view, LOOK_IN_SOAK, never=record.since)
    look: tuple[Action, ...] = (ListWorkloadPods(view.ref),) if brief.now >= due else ()
    return replace(held, actions=look, wake=due)


def seen(view: WorkloadView, record: Record) -> WorkloadPods | None:
    """Give what was seen of its pods since the present stage began."""
    return view.pods if view.pods is not None and view.pods.at >= record.since else None


def looks(stage: Stage, view: WorkloadView, record: Record, brief: Brief) -> Standing:
    """Look at its pods before anything is said of them."""
    wake = marks.deadline(record, brief)
    return marks.standing(stage, record, message="looks at its pods", actions=(ListWorkloadPods(view.ref),), wake=wake)


def waits(
    stage: Stage,
    view: WorkloadView,
    record: Record,
    brief: Brief,
    *,
    missing: str,
    late: Callable[[str, str], MarkWorkload],
) -> Standing:
    """Wait for what is missing, look at the pods now and then, and give up at the deadline."""
    if marks.expired(record, brief):
        return over(stage, record, late("DeadlineExceeded", f"it {missing} still after {marks.span(brief)}"))
    due = next_look(view, LOOK if brief.now - record.since < LATER else LOOK_LATER, never=brief.now)
    look: tuple[Action, ...] = (ListWorkloadPods(view.ref),) if view.runs and brief.now >= due else ()
    wake = min(marks.deadline(record, brief), due) if view.runs else marks.deadline(record, brief)
    return marks.standing(stage, record, message=missing, actions=look, wake=wake)


def next_look(view: WorkloadView, pause: timedelta, *, never: datetime) -> datetime:
    """Give when its pods are to be looked at again; ``never`` is from when it counts while they never were."""
    if view.pods is None:
        return never + pause
    return view.pods.at + pause + timedelta(seconds=len(view.pods.pods) // PODS_A_SECOND)


def over(stage: Stage, record: Record, last: MarkWorkload) -> Standing:
    """Give the standing of a workload whose stage ends by a write; until it is written, nothing has failed."""
    found = marks.standing(stage, record, message=last.record.message, actions=(last,))
    return replace(found, reason=last.record.reason)


def tags(record: Record) -> str:
    """Give the new images as people call them."""
    return ", ".join(dict.fromkeys(image.to.partition("@")[0].rpartition("/")[2] for image in record.images))


def _success(view: WorkloadView, record: Record) -> str:
    wanted = tags(record)
    if view.kind == "CronJob":
        return f"{wanted} is set, unproven until its next run"
    if not view.runs:
        return f"{wanted} is set, unproven: it runs no pods"
    said = f"; {record.message}" if record.message else ""
    return f"{wanted} runs in {view.expected} pods{said}"
