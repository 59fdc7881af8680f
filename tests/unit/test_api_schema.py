"""The converter raises on what a structural schema cannot say, and the CRDs are as generated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from click.testing import CliRunner
from pydantic import BaseModel, Field

from patchwright.api import crds, schema
from patchwright.api.base import VALIDATIONS, Rule, WireModel
from patchwright.api.scalars import IntOrString
from patchwright.cli.main import main
from support.api_manifests import FULL

ROOT = Path(__file__).parents[2]


class Leaf(WireModel):
    """A leaf's own words."""

    rules = (Rule("self.size > 0", "size must be more than 0", lambda leaf: leaf.size > 0, field=".size"),)
    size: int
    """Its size."""


class Tree(WireModel):
    """Everything that a structural schema can say."""

    leaf: Leaf
    """The field's words count
    more than the type's."""
    more: Annotated[tuple[Leaf, ...], Field(max_length=3)] | None = None
    """More of them."""
    share: IntOrString | None = None
    """How much."""
    only: Literal["A"] | None = None
    """One word."""
    labels: dict[str, str] | None = None
    """Labels."""


def test_what_has_a_structural_form_is_converted() -> None:
    leaf = {
        "type": "object",
        "required": ["size"],
        VALIDATIONS: [{"rule": "self.size > 0", "message": "size must be more than 0", "fieldPath": ".size"}],
        "properties": {"size": {"type": "integer", "description": "Its size."}},
    }
    found = schema.structural(Tree)
    assert found["properties"] == {
        "leaf": {"description": "The field's words count more than the type's.", **leaf},
        "more": {
            "description": "More of them.",
            "type": "array",
            "maxItems": 3,
            "items": {"description": "A leaf's own words.", **leaf},
        },
        "share": {
            "description": "How much.",
            "x-kubernetes-int-or-string": True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "maxLength": 11,
            VALIDATIONS: found["properties"]["share"][VALIDATIONS],
        },
        "only": {"description": "One word.", "type": "string", "enum": ["A"]},
        "labels": {"description": "Labels.", "type": "object", "additionalProperties": {"type": "string"}},
    }
    assert found["required"] == ["leaf"]


class Endless(WireModel):
    """A model inside of itself."""

    below: Endless | None = None
    """Itself."""


class Choice(WireModel):
    """A union."""

    value: int | str
    """One of two."""


class Anything(WireModel):
    """No type at all."""

    value: Any
    """Anything."""


class Speechless(WireModel):
    """A field without a description."""

    value: int


class Exclusive(WireModel):
    """A numeric exclusiveMinimum, which is a boolean in a CRD."""

    value: Annotated[int, Field(gt=0)]
    """More than 0."""


class Open(WireModel):
    """A map of anything, without x-kubernetes-preserve-unknown-fields."""

    value: dict[str, Any]
    """Anything."""


class Pair(WireModel):
    """A tuple of two types."""

    value: tuple[int, str]
    """Two."""


class Oddly(BaseModel):
    """A format that the API server does not know."""

    value: Annotated[str, Field(json_schema_extra={"format": "stardate"}, description="When.")]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Endless, "Endless.below: Endless contains itself"),
        (Choice, "Choice.value: a choice between types has no structural form"),
        (Anything, "Anything.value: it has no type"),
        (Speechless, "Speechless.value: it has no description"),
        (Exclusive, "Exclusive.value: exclusiveMinimum: 0 has no structural form"),
        (Open, "Open.value: it is an object without fields"),
        (Pair, "Pair.value: prefixItems"),
        (Oddly, "Oddly.value: format: 'stardate' has no structural form"),
    ],
)
def test_what_has_no_structural_form_raises_with_its_path(model: type[BaseModel], words: str) -> None:
    with pytest.raises(schema.SchemaError) as refused:
        schema.structural(model)
    assert words in str(refused.value)


@pytest.mark.parametrize("kind", crds.KINDS, ids=lambda kind: kind.name)
def test_no_schema_holds_what_rewrites_objects_or_what_the_server_refuses(kind: crds.Kind) -> None:
    for path, node in nodes(crds.schema(kind), kind.name):
        assert not {"title", "default", "const", "$ref", "oneOf", "exclusiveMinimum"} & node.keys(), path


@pytest.mark.parametrize("kind", crds.KINDS, ids=lambda kind: kind.name)
def test_every_text_list_and_map_of_a_spec_is_bounded(kind: crds.Kind) -> None:
    for path, node in nodes(crds.schema(kind)["properties"]["spec"], "spec"):
        bound = {"string": "maxLength", "array": "maxItems"}.get(node.get("type", ""))
        free = "enum" in node or node.get("format") == "date-time"
        assert bound is None or free or bound in node, path
        assert "additionalProperties" not in node or "maxProperties" in node, path


@pytest.mark.parametrize("kind", crds.KINDS, ids=lambda kind: kind.name)
def test_every_field_has_a_description_of_one_line(kind: crds.Kind) -> None:
    for path, node in nodes(crds.schema(kind), kind.name):
        for name, field in node.get("properties", {}).items():
            if f"{path}.{name}" != f"{kind.name}.metadata":
                assert field["description"].strip(), f"{path}.{name}"
                assert "\n" not in field["description"], f"{path}.{name}"


def nodes(found: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, found
    for name, below in found.get("properties", {}).items():
        yield from nodes(below, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), dict):
            yield from nodes(found[key], f"{path}[]")


@pytest.mark.parametrize("kind", crds.KINDS, ids=lambda kind: kind.name)
def test_the_files_are_as_generated(kind: crds.Kind) -> None:
    assert (ROOT / "crds" / kind.file).read_text(encoding="utf-8") == crds.render(kind)


def test_the_names_of_kinds_do_not_clash() -> None:
    names = [name for kind in crds.KINDS for name in (kind.name.lower(), kind.plural, kind.short)]
    assert len(set(names)) == len(names)
    assert {kind.name for kind in crds.KINDS} == set(FULL)


def test_crds_are_printed_as_one_stream() -> None:
    printed = CliRunner().invoke(main, ["crds"])
    assert printed.exit_code == 0
    found = list(yaml.safe_load_all(printed.output))
    assert found == [crds.definition(kind) for kind in crds.KINDS]


def test_crds_are_written_one_file_for_each_kind(tmp_path: Path) -> None:
    written = CliRunner().invoke(main, ["crds", "--output", str(tmp_path / "new" / "crds")])
    assert written.exit_code == 0
    assert {path.name for path in (tmp_path / "new" / "crds").iterdir()} == {kind.file for kind in crds.KINDS}
