"""Strict, bounded YAML (and JSON, which is YAML): events in, documents with line numbers out.

Built on libyaml's events rather than on a loader, because a loader has already expanded an alias bomb (396 bytes passed
2 GiB), recursed into 1,000 brackets or dropped a duplicate key before anybody can look.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

import yaml

from patchwright.adapters.strictyaml.documents import Document, Json, YamlLimits, join
from patchwright.adapters.strictyaml.scalars import Ambiguous, resolve
from patchwright.errors import Fault, InvalidInput

MAX_FAULTS = 50
_QUOTED = frozenset("'\"|>")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_documents(path: str, content: bytes, limits: YamlLimits | None = None) -> tuple[Document, ...]:
    """Read a file's documents, empty ones left out; raise InvalidInput with every fault, each with ``file:line``.

    Syntax errors end the file at once; duplicate keys, ambiguous words and the like are collected.
    """
    reader = _Reader(path, limits or YamlLimits())
    documents = reader.read(content)
    if reader.faults:
        raise InvalidInput(reader.faults, reason="BuildFailed")
    return documents


class _Stop(Exception):
    """Reading on makes no sense; the fault is recorded."""


class _Reader:
    """Build the values of one file, collecting faults."""

    def __init__(self, path: str, limits: YamlLimits) -> None:
        self.faults: list[Fault] = []
        self._path = path
        self._limits = limits
        self._nodes = 0
        self._lines: dict[str, int] = {}

    def read(self, content: bytes) -> tuple[Document, ...]:
        documents = []
        try:
            events = self._events(self._decode(content))
            for event in events:
                if isinstance(event, yaml.DocumentStartEvent):
                    documents.append(self._document(event, events))
                    if len(documents) > self._limits.documents:
                        most = self._limits.documents
                        self._stop(_line(event), "", f"more than {most} document{'s' if most > 1 else ''}")
        except _Stop:
            pass
        return tuple(document for document in documents if document.value is not None)

    def _decode(self, content: bytes) -> str:
        if len(content) > self._limits.file_bytes:
            self._stop(0, "", f"the file has {len(content)} bytes, more than {self._limits.file_bytes}")
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            self._stop(content.count(b"\n", 0, error.start) + 1, "", "the file is not UTF-8 text")
        if "\0" in text:
            self._stop(text.count("\n", 0, text.index("\0")) + 1, "", "the file is binary, not text")
        return text

    def _events(self, text: str) -> Iterator[yaml.Event]:
        try:
            yield from yaml.parse(text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._stop(mark.line + 1 if mark else 0, "", f"not YAML: {error.problem or error.context}")
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1 if isinstance(error.position, int) else 0
            self._stop(line, "", "not YAML: a control character")
        except yaml.YAMLError as error:
            self._stop(0, "", f"not YAML: {str(error).splitlines()[0]}")

    def _document(self, start: yaml.DocumentStartEvent, events: Iterator[yaml.Event]) -> Document:
        if start.version or start.tags:
            self._fault(start, "", "directives (%YAML, %TAG) are not accepted; remove them")
        self._lines = {}
        first = next(events)
        value = self._node(first, events, path="", depth=1)
        return Document(self._path, _line(first), value, self._lines)

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event], *, path: str, depth: int) -> Json:
        self._nodes += 1
        if self._nodes > self._limits.nodes:
            self._stop(_line(event), "", f"more than {self._limits.nodes} values")
        if depth > self._limits.depth:
            self._stop(_line(event), "", f"nested more than {self._limits.depth} levels deep")
        self._no_magic(event, path)
        match event:
            case yaml.ScalarEvent():
                return self._scalar(event, path)
            case yaml.SequenceStartEvent():
                return self._sequence(events, path=path, depth=depth)
            case yaml.MappingStartEvent():
                return self._mapping(events, path=path, depth=depth)
            case _:
                return None

    def _no_magic(self, event: yaml.Event, path: str) -> None:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            self._fault(event, path, "anchors and aliases are not accepted; write the value out")
        elif getattr(event, "tag", None):
            self._fault(event, path, f"the tag {str(getattr(event, 'tag', ''))[:60]!r} is not accepted; remove it")

    def _sequence(self, events: Iterator[yaml.Event], *, path: str, depth: int) -> list[Json]:
        items: list[Json] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            here = join(path, len(items))
            self._lines[here] = _line(event)
            items.append(self._node(event, events, path=here, depth=depth + 1))
        return items

    def _mapping(self, events: Iterator[yaml.Event], *, path: str, depth: int) -> dict[str, Json]:
        found: dict[str, Json] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = self._key(event, events, path=path, depth=depth)
            here = join(path, key)
            if key in found:
                self._fault(event, here, f"the key is given twice, first on line {self._lines[here]}")
            else:
                self._lines[here] = _line(event)
            found[key] = self._node(next(events), events, path=here, depth=depth + 1)
        return found

    def _key(self, event: yaml.Event, events: Iterator[yaml.Event], *, path: str, depth: int) -> str:
        if isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.style not in _QUOTED:
            self._fault(event, path, "merge keys (<<) are not accepted; write the fields out")
            return "<<"
        key = self._node(event, events, path=path, depth=depth + 1)
        if isinstance(key, str):
            return key
        if isinstance(event, yaml.ScalarEvent):
            self._fault(event, path, f"the key {event.value[:60]!r} is not a string; quote it")
            return str(event.value)
        self._fault(event, path, "a key must be a string")
        return f"?{_line(event)}"

    def _scalar(self, event: yaml.ScalarEvent, path: str) -> Json:
        # libyaml calls block scalars (| and >) implicit too, so the style decides.
        if not event.implicit[0] or event.style in _QUOTED:
            return str(event.value)
        try:
            return resolve(event.value)
        except Ambiguous as meaning:
            self._fault(event, path, f"unquoted {event.value[:60]!r} is {meaning}; quote it")
            return str(event.value)

    def _fault(self, event: yaml.Event, path: str, message: str) -> None:
        self.faults.append(Fault(path, message, f"{self._path}:{_line(event)}"))
        if len(self.faults) >= MAX_FAULTS:
            raise _Stop

    def _stop(self, line: int, path: str, message: str) -> NoReturn:
        self.faults.append(Fault(path, message, f"{self._path}:{line}" if line else self._path))
        raise _Stop from None


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0
