"""The transitions of a workload's record, each as the one patch that writes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from patchwright.domain import spelling
from patchwright.domain.actions import Action, ImageEdit, MarkWorkload, RestoreImages, SetImages
from patchwright.domain.model import ImagePin
from patchwright.domain.targets import Brief, Stage, Standing
from patchwright.domain.workloads import images
from patchwright.domain.workloads.record import ImageRecord, Mark, Record
from patchwright.domain.workloads.view import ARGO, ImageField, WorkloadView

MESSAGE_KEPT = 400


def standing(
    stage: Stage, record: Record, *, message: str = "", actions: tuple[Action, ...] = (), wake: datetime | None = None
) -> Standing:
    """Say where a touched workload stands, from its record."""
    return Standing(
        stage,
        record.mark.value,
        message or record.message,
        reason=record.reason,
        wave=record.wave,
        since=record.since,
        actions=actions,
        wake=wake,
        failed=record.failed,
        unchanged=record.taken,
    )


def apply(view: WorkloadView, record: Record, changes: Sequence[tuple[ImageField, ImagePin]]) -> SetImages:
    """Change the images, and write what they were and what ran."""
    return SetImages(view.ref, record, tuple(field.edit(view.kind, pin.wanted) for field, pin in changes))


def begun(view: WorkloadView, brief: Brief, changes: Sequence[tuple[ImageField, ImagePin]], *, wave: int) -> Record:
    """Give the record of a workload whose images are changed: what they were and what ran."""
    rollout = brief.rollout
    return Record(
        rollout=str(rollout.key),
        rollout_uid=rollout.uid,
        change_id=rollout.change_id,
        mark=Mark.APPLYING,
        wave=wave,
        started_at=brief.now,
        since=brief.now,
        images=tuple(
            ImageRecord(field.part, field.name, was=field.image, to=pin.wanted, digest=running(view, field))
            for field, pin in changes
        ),
    )


def running(view: WorkloadView, field: ImageField) -> str:
    """Give the digest that runs under an image of the template; empty when nobody knows.

    Some runtimes tell the digest of a node's own platform and not that of the index. Where the pods on one kind of
    processor run another than those on the next, none of them may be written: what is pinned to the manifest for amd64
    does not start on arm64 (argocd-image-updater#297).
    """
    if known := images.digest(field.image):
        return known
    found: dict[str, list[str]] = {}
    for pod in view.pods.pods if view.pods else ():
        if pod.counts and pod.images.get(field.key) == field.image:
            found.setdefault(pod.architecture, []).append(pod.digests.get(field.key, ""))
    run = {images.most_run(digests) for digests in found.values()} - {""}
    return run.pop() if len(run) == 1 else ""


def edits(view: WorkloadView, record: Record) -> tuple[ImageEdit, ...]:
    """Give the way forward of each image that a record names, where it stands now."""
    there = {field.key: field for field in view.images}
    return tuple(there[image.key].edit(view.kind, image.to) for image in record.images if image.key in there)


def restore(view: WorkloadView, record: Record, brief: Brief, *, reason: str) -> RestoreImages:
    """Put back what the record says, where it stands now, and write that this is under way."""
    record = _to_the_letter(view, record)
    seen = view.revision if view.observed_generation >= view.generation else ""
    after = replace(
        record,
        mark=Mark.REVERTING,
        since=brief.now,
        held=False,
        revision=record.revision or seen,
        reason=record.reason or reason,
    )
    return RestoreImages(view.ref, after, _edits(view, record))


def _to_the_letter(view: WorkloadView, record: Record) -> Record:
    """Give what a Rollout goes back to while its old template is still the stable one: that template, to the letter.

    Argo skips all steps on the way there. With a digest added it would be another template, to be rolled out by steps,
    their pauses included, while what runs is bad. The stable pods were never replaced: they run what the tag meant.
    """
    unseen = record.mark is Mark.APPLYING and view.observed_generation < view.generation
    if view.kind != ARGO or (view.stable and not unseen):
        return record
    return replace(record, images=tuple(replace(image, digest="") for image in record.images))


def _edits(view: WorkloadView, record: Record) -> tuple[ImageEdit, ...]:
    """Give the way back of each image, compared with what we put there and not with what is there by now."""
    there = {field.key: field for field in view.images}
    return tuple(
        replace(there[image.key].edit(view.kind, images.pinned(image.was, image.digest)), was=image.to)
        for image in record.images
        if image.key in there
    )


def mark(view: WorkloadView, record: Record, brief: Brief, to: Mark, *, message: str | None = None) -> MarkWorkload:
    """Write the next stage; ``message`` replaces what the last one said."""
    text = record.message if message is None else message
    return MarkWorkload(view.ref, replace(record, mark=to, since=brief.now, message=text[:MESSAGE_KEPT], held=False))


def fail(view: WorkloadView, record: Record, brief: Brief, *, reason: str, message: str) -> MarkWorkload:
    """Record that the way forward failed; the images stay until they are put back."""
    seen = view.revision if view.observed_generation >= view.generation else ""
    failed = replace(record, reason=reason, failed=True, revision=record.revision or seen)
    return mark(view, failed, brief, Mark.FAILED, message=message)


def quarantine(
    view: WorkloadView, record: Record, brief: Brief, *, reason: str, message: str, taken: bool = False
) -> MarkWorkload:
    """Give up on the workload: it stays as it is, and status names it until a person has looked."""
    text = f"{record.message}; {message}" if record.message else message
    given_up = replace(record, reason=reason, failed=True, taken=taken or record.taken)
    return mark(view, given_up, brief, Mark.QUARANTINED, message=text)


def expired(record: Record, brief: Brief) -> bool:
    """Tell whether a stage has taken as long as a target may."""
    return brief.now >= deadline(record, brief)


def deadline(record: Record, brief: Brief) -> datetime:
    """Give when a stage has taken as long as a target may; no progress moves it."""
    return record.since + limit(brief)


def limit(brief: Brief) -> timedelta:
    """Give how long one target may take."""
    return brief.policy.strategy.progress_deadline


def span(brief: Brief) -> str:
    """Spell how long one target may take."""
    return spelling.duration(limit(brief))
