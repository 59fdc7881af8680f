"""The identity of a change: what nodes are labelled with, and what is remembered as failed (L9)."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from datetime import timedelta
from enum import Enum
from typing import Any, assert_never

from patchwright.domain.model import Change, ImagesChange, ScriptChange
from patchwright.domain.workloads import images

LENGTH = 16


def change_id(change: Change) -> str:
    """Give the first 16 hexadecimal digits of the SHA-256 of the change's canonical form; fit for a label's value.

    Everything that a user can write into ``change`` counts, because whatever he changed may be what makes it work.
    Fields that have their default do not: a field that a later version adds must not give every change a new identity,
    or each node would look unpatched after an upgrade of the operator.

    Of images only repositories and digests count: a bad digest is as bad under another tag (L9).
    """
    text = json.dumps(_body(change), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def _body(change: Change) -> dict[str, Any]:
    match change:
        case ScriptChange():
            return {"kind": "script", **_canonical(change)}
        case ImagesChange():
            return {
                "kind": "images",
                "images": sorted([images.repository(pin.image), pin.digest] for pin in change.images),
            }
        case _ as never:
            assert_never(never)


def _canonical(value: Any) -> dict[str, Any]:
    found = {field.name: (getattr(value, field.name), field.default) for field in dataclasses.fields(value)}
    return {name: _plain(item) for name, (item, default) in found.items() if item != default}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return _canonical(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, timedelta):
        return value / timedelta(milliseconds=1)
    return value.value if isinstance(value, Enum) else value
