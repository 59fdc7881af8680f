"""A parsed document that still knows where each of its fields stands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, Union

from patchwright.errors import Fault

Json: TypeAlias = Union[bool, int, float, str, list["Json"], dict[str, "Json"], None]  # noqa: UP007 - recursive

_PLAIN_KEY = re.compile(r"\A[A-Za-z_][A-Za-z0-9_-]*\Z")
_LAST_SEGMENT = re.compile(r"(\.[^.\[\]]+|\[[^\[\]]*\]|\A[^.\[\]]+)\Z")


@dataclass(frozen=True, slots=True)
class YamlLimits:
    """How large a file may be: bytes, levels, documents and nodes."""

    file_bytes: int = 1024 * 1024
    depth: int = 32
    documents: int = 200
    nodes: int = 100_000


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document. ``lines`` maps a field's path (``spec.waves[0].size``) to its line, counted from 1."""

    path: str
    line: int
    value: Json
    lines: Mapping[str, int] = field(repr=False)

    def line_of(self, name: str) -> int:
        """Give a field's line; for a field that is not there, that of its nearest parent."""
        while name and name not in self.lines:
            shorter = _LAST_SEGMENT.sub("", name)
            name = shorter if shorter != name else ""
        return self.lines.get(name, self.line)

    def source(self, name: str = "") -> str:
        """Give ``file:line`` of a field."""
        return f"{self.path}:{self.line_of(name)}"

    def located(self, fault: Fault) -> Fault:
        """Give a fault its place in the file, if it does not have one."""
        return fault if fault.source else Fault(fault.path, fault.message, self.source(fault.path))


def field_path(segments: Iterable[str | int]) -> str:
    """Render a path as Kubernetes does: ``metadata.annotations[patchwright.dev/prune]``, ``spec.waves[0]``."""
    path = ""
    for segment in segments:
        path = join(path, segment)
    return path


def join(path: str, segment: str | int) -> str:
    """Append one segment to a rendered path."""
    if isinstance(segment, int) or not _PLAIN_KEY.match(segment):
        return f"{path}[{segment}]"
    return f"{path}.{segment}" if path else segment
