"""Strict YAML against anything: it fails only by naming faults, and what it takes is what others take."""

from __future__ import annotations

import contextlib
import json
import math

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from patchwright.adapters.manifests import parse_manifests
from patchwright.adapters.strictyaml import Json, load_documents
from patchwright.errors import InvalidInput

SETTINGS = settings(max_examples=300, deadline=None)

texts = st.text(
    st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="\ufeff\ufffe\uffff"), max_size=20
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
# Text made of the pieces that YAML trips over.
pieces = st.sampled_from(
    ["a", "b: ", "- ", "\n", "  ", "[", "]", "{", "}", ", ", ": ", "? ", "&x ", "*x ", "!!str ", "! ", "| ", "|\n ",
     ">", "'", '"', "#", "---\n", "...\n", "%YAML 1.1\n", "<<: ", "on", "yes", "0777", "1:30", "2026-11-23", "1e3",
     ".inf", "null", "~", "\t", "\\", "0x1f", "é", "\u2028", "\x85", "@", "`", "=", "kind: PatchPolicy\n", "true"]
)  # fmt: skip


@SETTINGS
@given(values)
def test_any_json_value_survives(value: Json) -> None:
    content = json.dumps(value, ensure_ascii=False).encode()
    documents = load_documents("a.json", content)
    assert [d.value for d in documents] == ([] if value is None else [value])


@SETTINGS
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_named(content: bytes) -> None:
    read_or_named(content)


@SETTINGS
@given(st.lists(pieces, max_size=25).map("".join))
def test_what_is_taken_is_what_another_reader_takes(text: str) -> None:
    documents = read_or_named(text.encode())
    if documents is None:
        return
    theirs = [value for value in yaml.load_all(text, Loader=yaml.CSafeLoader) if value is not None]
    assert [agree(d, t) for d, t in zip(documents, theirs, strict=True)] == [True] * len(theirs)


def read_or_named(content: bytes) -> list[Json] | None:
    with contextlib.suppress(InvalidInput):
        parse_manifests({"a.yaml": content}, namespace="x")
    try:
        return [document.value for document in load_documents("a.yaml", content)]
    except InvalidInput as error:
        unnamed = [fault for fault in error.faults if not fault.source.startswith("a.yaml") or not fault.message]
        if unnamed:
            raise
        return None


def agree(ours: Json, theirs: object) -> bool:
    """Compare with PyYAML's YAML 1.1; ``1e3`` without a dot is a number in 1.2 (and kubectl) and text in 1.1."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return list(ours) == list(theirs) and all(agree(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(agree, ours, theirs))
    if isinstance(ours, float) and isinstance(theirs, str):
        return math.isclose(ours, float(theirs))
    return type(ours) is type(theirs) and ours == theirs
