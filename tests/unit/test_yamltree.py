"""Somebody else's YAML: every scalar knows its bytes, and what is not understood is a fault or held."""

from __future__ import annotations

import pytest

from patchwright.adapters import yamltree
from patchwright.adapters.yamltree import reader
from patchwright.domain.writeback import tree
from patchwright.domain.writeback.tree import File, Scalar

TEXT = """\
# ä
a: plain  # c1
b: 'it''s'
c: "x\\ty"
d: !!str tagged
e: &n anchored
f: [*n, 'q', {g: 漢}]
? {odd: key}
: h
i:
j: |
  block
k: two
  lines
"""


def scalars(file: File) -> dict[str, Scalar]:
    [document] = file.documents
    return {where: node for where, node in tree.walk(document) if isinstance(node, Scalar)}


@pytest.mark.parametrize("breaks", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_every_scalar_is_where_it_says(breaks: str, mark: str) -> None:
    content = (mark + TEXT).replace("\n", breaks).encode()
    found = scalars(yamltree.read("a.yaml", content))
    spelled = {where: content[each.start : each.end].decode() for where, each in found.items() if not each.held}
    assert spelled == {"a": "plain", "d": "tagged", "f[1]": "'q'", "f[2].g": "漢", "i": ""}
    assert (found["a"].comment, found["a"].line, found["f[2].g"].line) == ("# c1", 2, 7)
    assert {where: each.held for where, each in found.items() if each.held} == {
        "b": "is spelled with escapes, or over several lines",
        "c": "is spelled with escapes, or over several lines",
        "e": "is shared by the anchor &n",
        "j": "is a block of text (|)",
        "k": "is spelled with escapes, or over several lines",
    }


@pytest.mark.parametrize(
    ("content", "fault", "line"),
    [
        (b"a: 1\nb: \xff\n", "it is not UTF-8", 2),
        (b"a" * (reader.FILE_BYTES + 1), "it has more than 1048576 bytes", 0),
        (b"[" * 65 + b"]" * 65, "it is nested more than 64 levels deep", 1),
        (b"a: [1, 2\n", "it is not YAML: did not find expected ',' or ']'", 2),
        (b"a: \x07\n", "it is not YAML: ", 0),
        (b"a: 1\nb: 2\na: 3\n", "the key 'a' is given twice", 3),
        (b"a: *nobody\n", "the alias *nobody is inside of what it means", 1),
    ],
)
def test_what_cannot_be_read_is_a_fault_with_its_line(content: bytes, fault: str, line: int) -> None:
    found = yamltree.read("a.yaml", content)
    assert found.fault.startswith(fault)
    assert (found.documents, found.fault_line) == ((), line)


def test_a_file_of_too_many_values_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "NODES", 5)
    assert yamltree.read("a.yaml", b"[1, 2, 3, 4]\n").fault == "it has more than 5 values"


def test_aliases_are_followed_and_not_multiplied() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    [document] = yamltree.read("a.yaml", "\n".join(lines).encode()).documents
    assert len(list(tree.walk(document))) < 100
