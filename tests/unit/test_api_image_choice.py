"""The models of which image is wanted: what they refuse and in which words, and what they become."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from patchwright.api import faults, schema
from patchwright.api.base import VALIDATIONS
from patchwright.api.imagechoice import ImageChoice
from patchwright.api.scalars import Label
from patchwright.domain.images import imagepolicy
from patchwright.domain.images.imagepolicy import AgeBehaviour, DigestReflection, ImagePolicy
from support import api_images
from support.api_images import Case, Spec


def faults_of(spec: dict[str, Any]) -> list[tuple[str, str]]:
    try:
        Spec.model_validate(spec)
    except ValidationError as error:
        return [(fault.path, fault.message) for fault in faults.faults_of(error, Spec, prefix="spec")]
    return []


def domain(value: object) -> ImagePolicy:
    return ImageChoice.model_validate(value).domain_choice()


@pytest.mark.parametrize("case", api_images.WRONG, ids=str)
def test_what_is_wrong_gets_one_message_at_its_path(case: Case) -> None:
    [(path, message)] = faults_of(case.spec)
    assert path == case.blamed
    assert case.words in message


@pytest.mark.parametrize("case", api_images.RIGHT, ids=str)
def test_what_is_right_has_no_fault(case: Case) -> None:
    assert faults_of(case.spec) == []


@pytest.mark.parametrize(
    "given", [api_images.MINIMAL, api_images.FULL, api_images.DIGEST], ids=["min", "full", "digest"]
)
def test_minimal_and_full_entries_have_no_fault(given: dict[str, Any]) -> None:
    assert faults_of({"images": [given]}) == []


def test_what_is_left_out_has_the_defaults_of_the_domain() -> None:
    assert domain(api_images.MINIMAL) == ImagePolicy(imagepolicy.SemVer("~1.4"))
    assert domain({"policy": {"digest": {}}}) == ImagePolicy(
        imagepolicy.Digest(), digest_reflection=DigestReflection.ALWAYS
    )
    assert domain({"policy": {"alphabetical": {}}}) == ImagePolicy(imagepolicy.Alphabetical())
    assert domain({"policy": {"numerical": {}}}) == ImagePolicy(imagepolicy.Numerical())
    assert domain({"policy": {"digest": {}}}).follows_digest


def test_what_is_written_arrives() -> None:
    changed = {
        **api_images.FULL,
        "digestReflectionPolicy": "Never",
        "minimumReleaseAgeBehaviour": "timestamp-optional",
        "allowDowngrade": True,
    }
    assert domain(changed) == ImagePolicy(
        imagepolicy.SemVer(">=1.2.0-0 <2 || 3.x"),
        imagepolicy.TagFilter("^v(?P<v>[0-9.]+)(-(alpine))?$", "$v"),
        digest_reflection=DigestReflection.NEVER,
        minimum_release_age=timedelta(hours=72),
        age_behaviour=AgeBehaviour.OPTIONAL,
        allow_downgrade=True,
        patched_suffix="-patched(-[0-9]+)?",
        platforms=("linux/amd64", "linux/arm64/v8"),
    )
    desc = domain({"policy": {"alphabetical": {"order": "desc"}}, "filterTags": {"pattern": "x"}})
    assert desc.order == imagepolicy.Alphabetical(imagepolicy.Direction.DESC)
    assert desc.filter_tags == imagepolicy.TagFilter("x")
    assert domain({"policy": {"numerical": {"order": "desc"}}}).order == imagepolicy.Numerical(
        imagepolicy.Direction.DESC
    )


class Entry(ImageChoice):
    """An entry as PatchPolicy will have it."""

    name: Label
    """What it is about."""


def test_an_entry_may_add_what_it_is_about_and_keeps_every_rule() -> None:
    found = schema.structural(Entry)
    assert "name" in found["properties"]
    assert found[VALIDATIONS] == schema.structural(ImageChoice)[VALIDATIONS]
    with pytest.raises(ValidationError, match="do not go with"):
        Entry.model_validate({**api_images.DIGEST, "name": "web", "allowDowngrade": True})


def test_every_rule_has_a_case_and_every_case_a_rule() -> None:
    messages = {entry["message"] for node in nodes(schema.structural(Spec)) for entry in node.get(VALIDATIONS, ())}
    assert messages == {case.words for case in api_images.RULES}


def test_every_text_and_list_is_bounded_and_every_field_described() -> None:
    for node in nodes(schema.structural(Spec)):
        bound = {"string": "maxLength", "array": "maxItems"}.get(node.get("type", ""))
        assert bound is None or "enum" in node or bound in node, node
        assert all(field["description"].strip() for field in node.get("properties", {}).values())


def nodes(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield found
    for below in [*found.get("properties", {}).values(), *([found["items"]] if "items" in found else [])]:
        yield from nodes(below)
