"""The durable state of one node, kept in the annotation ``patchwright.dev/state`` on the node itself.

It is written ahead: before its prepare Job may exist, before a node is cordoned, before its apply Job may exist, before
its rollback Job may exist. After a crash it is all that is needed to go on or to put everything back (L4, L6, L12).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from patchwright.domain import annotation

# The longest record that we write, with every character of its message escaped, has some 5,500 characters.
LIMIT = 8192


class Mark(StrEnum):
    """The durable stages of a node."""

    PREPARING = "Preparing"
    PREPARED = "Prepared"
    DRAINING = "Draining"
    APPLYING = "Applying"
    DONE = "Done"
    FAILED = "Failed"
    UNDRAINING = "RollbackDraining"
    REVERTING = "RollingBack"
    RESTORED = "RolledBack"
    QUARANTINED = "Quarantined"


@dataclass(frozen=True, slots=True)
class Record:
    """Everything about a node that must survive us.

    ``boot_id`` is the node's when it was claimed; ``previous`` is the value of the label that says what is installed,
    from before; ``since`` is when ``mark`` was written (the anchor of a Job's deadline), and ``started_at`` when the
    node was claimed, or cordoned after it was prepared, for the way forward or the way back (the anchor of the drain's
    timeout): neither starts again after a restart. While it is prepared, ``started_at`` is the anchor of the Job's
    deadline and ``since`` is when the Job was last asked for. ``cordoned`` is whether ``spec.unschedulable`` is ours to
    remove, ``excluded`` whether the label that keeps load balancers away is.
    """

    rollout: str
    rollout_uid: str
    change_id: str
    mark: Mark
    wave: int
    started_at: datetime
    since: datetime
    cordoned: bool
    boot_id: str = ""
    previous: str | None = None
    reason: str = ""
    message: str = ""
    applied: bool = False
    failed: bool = False
    excluded: bool = False


def encode(record: Record) -> str:
    """Give the annotation's value."""
    body: dict[str, Any] = {}
    for name in Record.__slots__:
        value = getattr(record, name)
        # An empty label is not a missing one: what was there before is put back as it was (L4).
        if value is None or value is False or (value == "" and name != "previous"):
            continue
        body[_wire(name)] = value.isoformat() if isinstance(value, datetime) else value
    return annotation.write(body)


def decode(text: str) -> Record:
    """Read the annotation's value.

    Raises:
        RecordError: with what is wrong, in words for a person.
    """
    return annotation.read(text, _record, limit=LIMIT)


def _record(body: annotation.Body) -> Record:
    return Record(
        rollout=annotation.text(body, "rollout"),
        rollout_uid=annotation.text(body, "rolloutUid"),
        change_id=annotation.text(body, "changeId"),
        mark=Mark(body["mark"]),
        wave=annotation.wave(body),
        started_at=annotation.instant(body, "startedAt"),
        since=annotation.instant(body, "since"),
        cordoned=body.get("cordoned") is True,
        boot_id=str(body.get("bootId", "")),
        previous=str(body["previous"]) if "previous" in body else None,
        reason=str(body.get("reason", "")),
        message=str(body.get("message", "")),
        applied=body.get("applied") is True,
        failed=body.get("failed") is True,
        excluded=body.get("excluded") is True,
    )


def _wire(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)
