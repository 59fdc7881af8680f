"""The durable state of one workload, kept in the annotation ``patchwright.dev/state`` on the workload itself.

It stands on the object's own metadata and never on its pod template, where it would restart every pod. It is written in
the same patch as the images, so that there is no moment at which one is there without the other (L4, L6, L12).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from patchwright.domain import annotation

# Annotations have 256 KiB together; a record of 64 images, each string as long as the API lets it be, is far below.
LIMIT = 128 * 1024


class Mark(StrEnum):
    """The durable stages of a workload."""

    SAMPLING = "Canary"
    SAMPLED = "CanaryDone"
    APPLYING = "Applying"
    DONE = "Done"
    FAILED = "Failed"
    REVERTING = "RollingBack"
    RESTORED = "RolledBack"
    QUARANTINED = "Quarantined"


_PARTIAL = frozenset({Mark.SAMPLING.value, Mark.SAMPLED.value})


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image: where it stands, what it was, what ran then (empty: nobody knows), and what we put there."""

    part: str
    name: str
    was: str
    to: str
    digest: str = ""

    @property
    def key(self) -> str:
        """What finds its place again, as ``ImageField.key``."""
        return f"{self.part}/{self.name}"


@dataclass(frozen=True, slots=True)
class Part:
    """A canary within the workload: how many of its pods run the new images.

    ``was`` is its update strategy as it was, and ``to`` what keeps the other pods as they are, both JSON objects.
    ``beside`` names the Deployment beside it that has the canary's pods, where a strategy cannot tell them apart;
    ``rest`` says that its own images are ours too by now, and that one is only to be deleted still.
    """

    pods: int
    was: str = ""
    to: str = ""
    beside: str = ""
    rest: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """Everything about a workload that must survive us.

    ``since`` is when ``mark`` was written (the anchor of the deadline), ``started_at`` when the images were.
    ``revision`` is the one of our template, once it was seen: pods of it that never become Ready are in the way of a
    StatefulSet's rollback. ``held`` says that a person has paused it in the middle, so that no deadline counts.
    ``taken`` says that somebody else changed its images, so that what follows says nothing about ours.
    ``step`` names the commit by which a workload is changed that is made from Git, empty for one that is changed in the
    cluster; ``commit`` is that commit and ``undo`` the one that takes it back, each empty until it is in Git.
    ``part`` is there while only a part of its pods is to follow, and with it what else we have changed for that.
    """

    rollout: str
    rollout_uid: str
    change_id: str
    mark: Mark
    wave: int
    started_at: datetime
    since: datetime
    images: tuple[ImageRecord, ...]
    revision: str = ""
    reason: str = ""
    message: str = ""
    failed: bool = False
    held: bool = False
    taken: bool = False
    step: str = ""
    commit: str = ""
    undo: str = ""
    part: Part | None = None


def encode(record: Record) -> str:
    """Give the annotation's value."""
    body: dict[str, Any] = {
        "rollout": record.rollout,
        "rolloutUid": record.rollout_uid,
        "changeId": record.change_id,
        "mark": record.mark.value,
        "wave": record.wave,
        "startedAt": record.started_at.isoformat(),
        "since": record.since.isoformat(),
        "images": [_image_to_wire(image) for image in record.images],
        **{name: text for name in _TEXTS if (text := getattr(record, name))},
        **{name: True for name in _FLAGS if getattr(record, name)},
        **({"part": _part_to_wire(record.part)} if record.part else {}),
    }
    return annotation.write(body)


_TEXTS = ("revision", "reason", "message", "step", "commit", "undo")
_FLAGS = ("failed", "held", "taken")


def _image_to_wire(image: ImageRecord) -> dict[str, str]:
    body = {"part": image.part, "name": image.name, "was": image.was, "to": image.to}
    return {**body, "digest": image.digest} if image.digest else body


def _part_to_wire(part: Part) -> dict[str, Any]:
    texts = {name: text for name in (*_STRATEGIES, "beside") if (text := getattr(part, name))}
    return {"pods": part.pods, **texts, **({"rest": True} if part.rest else {})}


_STRATEGIES = ("was", "to")


def decode(text: str) -> Record:
    """Read the annotation's value.

    Raises:
        RecordError: with what is wrong, in words for a person.
    """
    return annotation.read(text, _record, limit=LIMIT)


def _record(body: annotation.Body) -> Record:
    if body.get("mark") in _PARTIAL and "part" not in body:
        raise ValueError("the field 'part' is missing")
    return Record(
        rollout=annotation.text(body, "rollout"),
        rollout_uid=annotation.text(body, "rolloutUid"),
        change_id=annotation.text(body, "changeId"),
        mark=Mark(body["mark"]),
        wave=annotation.wave(body),
        started_at=annotation.instant(body, "startedAt"),
        since=annotation.instant(body, "since"),
        images=_images(body),
        revision=str(body.get("revision", "")),
        reason=str(body.get("reason", "")),
        message=str(body.get("message", "")),
        failed=body.get("failed") is True,
        held=body.get("held") is True,
        taken=body.get("taken") is True,
        step=str(body.get("step", "")),
        commit=str(body.get("commit", "")),
        undo=str(body.get("undo", "")),
        part=_part(body["part"]) if "part" in body else None,
    )


def _part(found: Any) -> Part:
    if not isinstance(found, dict) or type(found.get("pods")) is not int or found["pods"] < 1:
        raise ValueError("the field 'part' does not say how many pods are the canary")
    was, to = (_strategy(found.get(name, "")) for name in _STRATEGIES)
    return Part(found["pods"], was, to, beside=str(found.get("beside", "")), rest=found.get("rest") is True)


def _strategy(found: Any) -> str:
    """Read an update strategy; it is written into the workload, so it must be one as far as that can be told."""
    try:
        fits = not found or isinstance(json.loads(str(found)), dict)
    except RecursionError:
        fits = False
    if not fits:
        raise ValueError("the field 'part' holds an update strategy that is none")
    return str(found)


def _images(body: annotation.Body) -> tuple[ImageRecord, ...]:
    found = body["images"]
    if not isinstance(found, list) or not found or not all(isinstance(each, dict) for each in found):
        raise ValueError("the field 'images' is no list of images")
    return tuple(
        ImageRecord(
            annotation.text(each, "part"),
            annotation.text(each, "name"),
            was=annotation.text(each, "was"),
            to=annotation.text(each, "to"),
            digest=str(each.get("digest", "")),
        )
        for each in found
    )
