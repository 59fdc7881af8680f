"""YAML files as trees whose scalars know their bytes.

Whoever reads YAML makes these (``adapters.yamltree``); nothing here is ever written as YAML again: a file is changed
by the bytes of single scalars, so that comments, layout and everything else stay as somebody wrote them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias, Union

MERGE = "<<"


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value.

    ``start`` and ``end`` are the bytes that spell it, quotes included; ``style`` is its quote, ``|`` or ``>``, empty
    for a plain one. ``comment`` is what follows it on its line. ``held`` says why its bytes cannot be changed alone:
    ``is shared by the anchor &image``; empty when they can.
    """

    text: str
    start: int
    end: int
    line: int
    style: str = ""
    comment: str = ""
    held: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A mapping. Keys are unique, but for merge keys."""

    entries: tuple[tuple[str, Node], ...]

    def get(self, key: str) -> Node | None:
        """Give a key's value, from a merged mapping where it has none of its own."""
        for name, node in self.entries:
            if name == key:
                return node
        found = (block.get(key) for block in self._merged())
        return next((node for node in found if node is not None), None)

    def _merged(self) -> Iterator[Block]:
        for name, node in self.entries:
            merged = node.items if isinstance(node, Items) else (node,)
            yield from (each for each in merged if name == MERGE and isinstance(each, Block))

    def text(self, key: str) -> str:
        """Give the text of a key's scalar; empty when it has none."""
        found = self.get(key)
        return found.text if isinstance(found, Scalar) else ""

    def block(self, key: str) -> Block:
        """Give the mapping under a key; an empty one when there is none."""
        found = self.get(key)
        return found if isinstance(found, Block) else _NOTHING

    def sequence(self, key: str) -> tuple[Node, ...]:
        """Give the items under a key; none when there is no list."""
        found = self.get(key)
        return found.items if isinstance(found, Items) else ()


@dataclass(frozen=True, slots=True, eq=False)
class Items:
    """A sequence."""

    items: tuple[Node, ...]


Node: TypeAlias = Union[Scalar, Block, Items]  # noqa: UP007 - it names itself
_NOTHING = Block(())


@dataclass(frozen=True, slots=True)
class File:
    """A file of a commit, by its path from the repository's root.

    ``fault`` says why it has no ``documents``, ``fault_line`` where.
    """

    path: str
    content: bytes
    documents: tuple[Node, ...] = ()
    fault: str = ""
    fault_line: int = 0

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]


def walk(node: Node, path: str = "") -> Iterator[tuple[str, Node]]:
    """Give a node and all below it, each once however many aliases it has, with its field's path."""
    seen: set[int] = set()
    waiting = [(path, node)]
    while waiting:
        here, node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield here, node
        waiting += reversed(list(_below(here, node)))


def _below(path: str, node: Node) -> Iterator[tuple[str, Node]]:
    if isinstance(node, Block):
        yield from ((join(path, key), value) for key, value in node.entries)
    elif isinstance(node, Items):
        yield from ((f"{path}[{_label(item, index)}]", item) for index, item in enumerate(node.items))


def join(path: str, key: str) -> str:
    """Append a key to a field's path."""
    return f"{path}{key}" if not path or path.endswith(" ") else f"{path}.{key}"


def labelled(path: str, items: tuple[Node, ...]) -> Iterator[tuple[str, Block]]:
    """Give the mappings of a list, each under its name where it has one, which survives a re-ordered list."""
    for index, item in enumerate(items):
        if isinstance(item, Block):
            yield f"{path}[{_label(item, index)}]", item


def _label(item: Node, index: int) -> str:
    return (item.text("name") if isinstance(item, Block) else "") or str(index)
