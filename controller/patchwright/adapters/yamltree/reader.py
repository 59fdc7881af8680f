"""One file of somebody else's YAML, read by libyaml's events."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import yaml

from patchwright.domain.writeback.tree import MERGE, Block, File, Items, Node, Scalar

FILE_BYTES = 1024 * 1024
DEPTH = 64
NODES = 100_000
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BREAKS = "\r\n\x85\u2028\u2029"
_BLOCK_STYLES = frozenset("|>")


class _Unread(Exception):
    """The file has no tree; ``args`` are why, and on which line."""


def read(path: str, content: bytes) -> File:
    """Read a file's documents; a file that cannot be read is given with its ``fault``."""
    try:
        text = _decode(content)
        events = list(_events(text))
        return File(path, content, tuple(_Builder(text, content, shared=_shared(events)).documents(events)))
    except _Unread as fault:
        why, line = fault.args
        return File(path, content, fault=why, fault_line=line)


def _decode(content: bytes) -> str:
    if len(content) > FILE_BYTES:
        raise _Unread(f"it has more than {FILE_BYTES} bytes", 0)
    try:
        # libyaml's marks do not count a byte order mark.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _Unread("it is not UTF-8", content.count(b"\n", 0, error.start) + 1) from None


def _events(text: str) -> Iterator[yaml.Event]:
    try:
        for count, event in enumerate(yaml.parse(text, Loader=_LOADER)):
            if count > NODES:
                raise _Unread(f"it has more than {NODES} values", _line(event))
            yield event
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _Unread(f"it is not YAML: {error.problem or error.context}", mark.line + 1 if mark else 0) from None
    except yaml.YAMLError as error:
        raise _Unread(f"it is not YAML: {str(error).splitlines()[0]}", 0) from None


def _shared(events: Sequence[yaml.Event]) -> frozenset[str]:
    """Give the anchors that an alias uses: whoever changes what they hold changes it in several places."""
    return frozenset(str(event.anchor) for event in events if isinstance(event, yaml.AliasEvent))


@dataclass
class _Builder:
    """Makes the trees of one file; ``shared`` are the names of the anchors that aliases use."""

    text: str
    content: bytes
    shared: frozenset[str]
    anchors: dict[str, Node] = field(default_factory=dict)
    holders: list[str] = field(default_factory=list)
    depth: int = 0
    ascii: bool = field(init=False)
    offset: int = field(init=False)

    def __post_init__(self) -> None:
        self.ascii = self.text.isascii()
        self.offset = len(codecs.BOM_UTF8) if self.content.startswith(codecs.BOM_UTF8) else 0

    def documents(self, events: Sequence[yaml.Event]) -> Iterator[Node]:
        stream = iter(events)
        for event in stream:
            if isinstance(event, yaml.DocumentStartEvent):
                self.anchors = {}
                yield self._node(next(stream), stream)

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event]) -> Node:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchors:
                raise _Unread(f"the alias *{event.anchor} is inside of what it means", _line(event))
            return self.anchors[event.anchor]
        anchor = getattr(event, "anchor", None)
        if anchor in self.shared:
            self.holders.append(str(anchor))
        node = self._built(event, events)
        if anchor in self.shared:
            self.holders.pop()
        if anchor is not None:
            self.anchors[anchor] = node
        return node

    def _built(self, event: yaml.Event, events: Iterator[yaml.Event]) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        self.depth += 1
        if self.depth > DEPTH:
            raise _Unread(f"it is nested more than {DEPTH} levels deep", _line(event))
        node = self._mapping(events) if isinstance(event, yaml.MappingStartEvent) else self._sequence(events)
        self.depth -= 1
        return node

    def _sequence(self, events: Iterator[yaml.Event]) -> Items:
        items = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(self._node(event, events))
        return Items(tuple(items))

    def _mapping(self, events: Iterator[yaml.Event]) -> Block:
        entries: list[tuple[str, Node]] = []
        names: set[str] = set()
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = self._node(event, events)
            value = self._node(next(events), events)
            if not isinstance(key, Scalar):
                continue  # a key that is a mapping or a list is nothing that an image is looked for under
            if key.text in names and key.text != MERGE:
                raise _Unread(f"the key {key.text[:60]!r} is given twice", key.line)
            names.add(key.text)
            entries.append((key.text, value))
        return Block(tuple(entries))

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        style = event.style or ""
        spelled = f"{style}{event.value}{style}" if style not in _BLOCK_STYLES else event.value
        # The marks of a scalar with an anchor or a tag begin with that.
        assert event.start_mark is not None
        assert event.end_mark is not None
        begin, end = event.start_mark.index, event.end_mark.index
        start = max(begin, end - len(spelled))
        return Scalar(
            event.value,
            self._byte(start),
            self._byte(end),
            _line(event),
            style=style,
            comment=self._comment(end),
            held=self._held(style, verbatim=self.text[start:end] == spelled),
        )

    def _held(self, style: str, *, verbatim: bool) -> str:
        if self.holders:
            return f"is shared by the anchor &{self.holders[0]}"
        if style in _BLOCK_STYLES:
            return f"is a block of text ({style})"
        return "" if verbatim else "is spelled with escapes, or over several lines"

    def _comment(self, end: int) -> str:
        """Give the comment that follows on the same line, if nothing but spaces is between."""
        rest = self.text[end : end + 512]
        stop = min((at for each in _BREAKS if (at := rest.find(each)) >= 0), default=len(rest))
        line = rest[:stop]
        return line.strip() if line[:1] in (" ", "\t") and line.lstrip().startswith("#") else ""

    def _byte(self, index: int) -> int:
        """Give the byte at which a character stands."""
        return self.offset + (index if self.ascii else len(self.text[:index].encode()))


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0
