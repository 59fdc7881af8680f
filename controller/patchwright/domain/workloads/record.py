"""The durable state of one workload, kept in the annotation ``patchwright.dev/state`` on the workload itself.

It stands on the object's own metadata and never on its pod template, where it would restart every pod. It is written in
the same patch as the images, so that there is no moment at which one is there without the other (L4, L6, L12).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

VERSION = 1
# Annotations have 256 KiB together; a record of 64 images, each string as long as the API lets it be, is far below.
LIMIT = 128 * 1024
WAVES = 1000
YEARS = range(2000, 3000)


class Mark(StrEnum):
    """The durable stages of a workload."""

    APPLYING = "Applying"
    DONE = "Done"
    FAILED = "Failed"
    REVERTING = "RollingBack"
    RESTORED = "RolledBack"
    QUARANTINED = "Quarantined"


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
class Record:
    """Everything about a workload that must survive us.

    ``since`` is when ``mark`` was written (the anchor of the deadline), ``started_at`` when the images were.
    ``revision`` is the one of our template, once it was seen: pods of it that never become Ready are in the way of a
    StatefulSet's rollback. ``held`` says that a person has paused it in the middle, so that no deadline counts.
    ``taken`` says that somebody else changed its images, so that what follows says nothing about ours.
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


class RecordError(ValueError):
    """The annotation cannot be read: somebody edited it by hand, or a newer version wrote it."""


def encode(record: Record) -> str:
    """Give the annotation's value."""
    body: dict[str, Any] = {
        "v": VERSION,
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
    }
    return json.dumps(body, separators=(",", ":"))


_TEXTS = ("revision", "reason", "message")
_FLAGS = ("failed", "held", "taken")


def _image_to_wire(image: ImageRecord) -> dict[str, str]:
    body = {"part": image.part, "name": image.name, "was": image.was, "to": image.to}
    return {**body, "digest": image.digest} if image.digest else body


def decode(text: str) -> Record:
    """Read the annotation's value.

    Raises:
        RecordError: with what is wrong, in words for a person.
    """
    if len(text) > LIMIT:
        raise RecordError(f"it is {len(text)} characters long, more than {LIMIT}")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"it is not JSON ({error})") from None
    if not isinstance(body, dict) or body.get("v") != VERSION:
        raise RecordError(f"it is not a state of version {VERSION}")
    try:
        return _record(body)
    except KeyError as error:
        raise RecordError(f"the field {error} is missing") from None
    except ValueError as error:
        raise RecordError(str(error)) from None


def _record(body: Mapping[str, Any]) -> Record:
    return Record(
        rollout=_text(body, "rollout"),
        rollout_uid=_text(body, "rolloutUid"),
        change_id=_text(body, "changeId"),
        mark=Mark(body["mark"]),
        wave=_wave(body),
        started_at=_instant(body, "startedAt"),
        since=_instant(body, "since"),
        images=_images(body),
        revision=str(body.get("revision", "")),
        reason=str(body.get("reason", "")),
        message=str(body.get("message", "")),
        failed=body.get("failed") is True,
        held=body.get("held") is True,
        taken=body.get("taken") is True,
    )


def _images(body: Mapping[str, Any]) -> tuple[ImageRecord, ...]:
    found = body["images"]
    if not isinstance(found, list) or not found or not all(isinstance(each, dict) for each in found):
        raise ValueError("the field 'images' is no list of images")
    return tuple(
        ImageRecord(
            _text(each, "part"),
            _text(each, "name"),
            was=_text(each, "was"),
            to=_text(each, "to"),
            digest=str(each.get("digest", "")),
        )
        for each in found
    )


def _wave(body: Mapping[str, Any]) -> int:
    wave = body["wave"]
    if not isinstance(wave, int) or isinstance(wave, bool) or not 0 <= wave < WAVES:
        raise ValueError(f"the field 'wave' is not a whole number from 0 to {WAVES - 1}")
    return wave


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body[name]
    if not isinstance(value, str) or not value:
        raise ValueError(f"the field '{name}' is not a text")
    return value


def _instant(body: Mapping[str, Any], name: str) -> datetime:
    value = datetime.fromisoformat(_text(body, name))
    if value.tzinfo is None:
        raise ValueError(f"the field '{name}' has no time zone")
    if value.year not in YEARS:
        # Deadlines are added to it, and the calendar ends with the year 9999.
        raise ValueError(f"the field '{name}' is no time of ours")
    return value
