"""The documents for users name every field, and their examples are what the API takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from patchwright.api import crds, parse
from patchwright.domain.state import Phase
from patchwright.domain.sync import CONFIRM_ANNOTATION

DOCS = Path(__file__).parents[2] / "docs" / "spec" / "v1alpha1"
KINDS = pytest.mark.parametrize("kind", crds.KINDS, ids=lambda kind: kind.name)


def text_of(kind: crds.Kind) -> str:
    return (DOCS / f"{kind.name.lower()}.md").read_text(encoding="utf-8")


def fields(schema: Any) -> Iterator[str]:
    for name, below in schema.get("properties", {}).items():
        yield name
        yield from fields(below)
    if isinstance(schema.get("items"), dict):
        yield from fields(schema["items"])


@KINDS
@pytest.mark.parametrize("part", ["spec", "status"])
def test_every_field_is_in_the_document(kind: crds.Kind, part: str) -> None:
    *_, status = re.split(r"^## (?:Spec|Status)$", text_of(kind), flags=re.MULTILINE)
    # Forms that several fields share are explained once, before the fields.
    told = {"spec": text_of(kind).removesuffix(status), "status": status}[part]
    named = set(re.findall(r"[A-Za-z]+", " ".join(re.findall(r"`([^`\n]+)`", told))))
    assert set(fields(crds.schema(kind)["properties"][part])) - named == set()


@KINDS
def test_the_examples_are_valid(kind: crds.Kind) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", text_of(kind), re.DOTALL)
    assert blocks
    for block in blocks:
        assert list(parse.validate(yaml.safe_load(block), kinds=frozenset(parse.SPECS))) == []


@KINDS
def test_the_columns_shown_are_those_of_kubectl_get(kind: crds.Kind) -> None:
    header = next(line for line in text_of(kind).splitlines() if line.startswith("NAME "))
    assert re.split(r"\s{2,}", header) == ["NAME", *(one.name.upper() for one in kind.columns if not one.wide)]


@KINDS
def test_the_short_name_is_told(kind: crds.Kind) -> None:
    assert f"`kubectl get {kind.short}`" in text_of(kind)


def test_every_phase_and_every_annotation_is_in_the_document() -> None:
    rollout = (DOCS / "patchrollout.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([A-Z][A-Za-z]+)` \| [A-Z]", rollout.split("## Phases")[1], re.MULTILINE)[:13] == list(
        Phase
    )
    for annotation in (parse.ABORT_ANNOTATION, parse.RETRY_ANNOTATION):
        assert f'`{annotation}: "true"`' in rollout
    repository = (DOCS / "policyrepository.md").read_text(encoding="utf-8")
    assert parse.REQUESTED_ANNOTATION in repository
    assert CONFIRM_ANNOTATION in repository


@KINDS
def test_links_lead_somewhere(kind: crds.Kind) -> None:
    for link in re.findall(r"\]\(([^)#]+)", text_of(kind)):
        assert (DOCS / link).is_file(), link
