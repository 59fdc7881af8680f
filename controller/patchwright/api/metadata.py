"""``metadata``: what we read of it, with the faults that people make there by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from patchwright.api.faults import field_path, show
from patchwright.domain.model import Key
from patchwright.errors import Fault

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII)
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Metadata:
    """The metadata of an object; what is missing in a manifest that no API server has seen is empty."""

    key: Key
    uid: str = ""
    generation: int = 0
    created_at: datetime = _NEVER
    deleting: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    @property
    def sorted_labels(self) -> tuple[tuple[str, str], ...]:
        """Give the labels in a stable order."""
        return tuple(sorted(self.labels.items()))

    def flag(self, annotation: str) -> bool:
        """Read an annotation by which people say yes.

        Anything but "true" and "false" is a fault: "yes", "True" and a typo must neither pass for consent nor be
        passed over in silence.
        """
        value = self.annotations.get(annotation)
        if value not in (None, "true", "false"):
            path = field_path("metadata.annotations", (annotation,))
            self.faults.append(Fault(path, f'must be "true" or "false"; got {show(value)}'))
        return value == "true"


def read_metadata(found: object, *, longest_name: int = 253) -> Metadata:
    """Read an object's metadata; faults are collected in it."""
    if not isinstance(found, Mapping):
        return Metadata(Key("", ""), faults=[Fault("metadata", "must be an object with a name")])
    faults: list[Fault] = []
    name, namespace = _name(found, faults, longest_name), found.get("namespace")
    created = _created(found.get("creationTimestamp"))
    generation = found.get("generation")
    return Metadata(
        Key(namespace if isinstance(namespace, str) else "", name),
        uid=str(found.get("uid") or ""),
        generation=generation if isinstance(generation, int) else 0,
        created_at=created,
        deleting=found.get("deletionTimestamp") is not None,
        labels=_texts(found, "labels", faults),
        annotations=_texts(found, "annotations", faults),
        faults=faults,
    )


def _name(found: Mapping[str, Any], faults: list[Fault], longest: int) -> str:
    name = found.get("name")
    if name is None:
        faults.append(Fault("metadata.name", "is required"))
        return ""
    if not isinstance(name, str) or len(name) > 253 or not _NAME.fullmatch(name):
        words = "must be a name of lower-case letters, digits, '-' and '.' (RFC 1123)"
        faults.append(Fault("metadata.name", f"{words}; got {show(name)}"))
        return ""
    if len(name) > longest:
        faults.append(Fault("metadata.name", f"must be at most {longest} characters long; it is part of a label"))
    return name


def _texts(found: Mapping[str, Any], name: str, faults: list[Fault]) -> dict[str, str]:
    texts = found.get(name) or {}
    if not isinstance(texts, Mapping):
        faults.append(Fault(f"metadata.{name}", f"must be an object; got {show(texts)}"))
        return {}
    for key, value in texts.items():
        if not isinstance(value, str):
            path = field_path(f"metadata.{name}", (str(key),))
            faults.append(Fault(path, f"must be a text; got {show(value)}; put it in quotes"))
    return {str(key): value for key, value in texts.items() if isinstance(value, str)}


def _created(value: object) -> datetime:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return _NEVER
