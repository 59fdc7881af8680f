"""The page on signatures: its examples are right, and what it names is there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import yaml

from patchwright.adapters.opa import library
from patchwright.api import parse, schema
from patchwright.api.imageverify import Verify
from patchwright.domain.images.trust import AgeSource

PAGE = (Path(__file__).parents[2] / "docs" / "image-trust.md").read_text(encoding="utf-8")
POLICY, PARAMETERS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def test_the_policy_is_what_the_api_takes() -> None:
    assert list(parse.validate(yaml.safe_load(POLICY), kinds=frozenset(parse.SPECS))) == []


def test_the_parameters_are_what_the_library_takes() -> None:
    jsonschema.validate(yaml.safe_load(PARAMETERS), json.loads(library.parameters_schema().read_text()))


def test_every_field_and_every_parameter_is_named() -> None:
    named = set(re.findall(r"[A-Za-z]+", " ".join(re.findall(r"`([^`\n]+)`", PAGE + PARAMETERS))))
    assert set(schema.structural(Verify)["properties"]) <= named
    known = json.loads(library.parameters_schema().read_text())["properties"]
    rules = ("signedImages", "allowedRegistries", "minimumImageAge", "requiredAttestations")
    assert {name for rule in rules for name in known[rule]["properties"]} <= named
    assert {each.value for each in AgeSource} <= named


def test_every_fact_is_named() -> None:
    document = json.loads(library.input_schema().read_text())
    image = document["properties"]["rollout"]["properties"]["change"]["properties"]["images"]["items"]
    assert set(image["properties"]) - {"image", "tag", "digest"} <= set(re.findall(r"`([A-Za-z]+)`", PAGE))
