"""The models refuse what is wrong, one sentence for each fault, and take what is right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from patchwright.api import parse
from patchwright.api.base import VALIDATIONS
from patchwright.api.crds import KINDS, schema
from support import api_cases
from support.api_cases import Wrong

ALL = frozenset(api_cases.PLURALS)


def faults_of(manifest: api_cases.Manifest) -> list[tuple[str, str]]:
    return [(fault.path, fault.message) for fault in parse.validate(manifest, kinds=ALL)]


@pytest.mark.parametrize("case", api_cases.WRONG, ids=str)
def test_a_wrong_manifest_gets_one_message_at_its_path(case: Wrong) -> None:
    [(path, message)] = faults_of(case.manifest)
    assert path == case.blamed
    assert case.words in message


@pytest.mark.parametrize("case", api_cases.RIGHT, ids=str)
def test_a_right_manifest_has_no_fault(case: Wrong) -> None:
    assert faults_of(case.manifest) == []


@pytest.mark.parametrize("kind", sorted(ALL))
def test_minimal_and_full_manifests_have_no_fault(kind: str) -> None:
    assert faults_of(api_cases.MINIMAL[kind]) == []
    assert faults_of(api_cases.FULL[kind]) == []
    assert faults_of(api_cases.WORKLOADS.get(kind, api_cases.FULL[kind])) == []


@pytest.mark.parametrize("case", api_cases.IMMUTABLE, ids=str)
def test_an_update_of_an_immutable_field_is_a_fault(case: Wrong) -> None:
    [fault] = parse.validate_update(case.full, case.manifest)
    assert fault.path == case.blamed
    assert case.words in fault.message


@pytest.mark.parametrize("case", api_cases.MUTABLE, ids=str)
def test_an_update_of_another_field_is_none(case: Wrong) -> None:
    assert list(parse.validate_update(case.full, case.manifest)) == []


def test_every_cel_rule_has_a_case() -> None:
    told = [case.told_by_server or "" for case in (*api_cases.RULES, *api_cases.IMMUTABLE)]
    messages = {rule["message"] for kind in KINDS for rule in rules(schema(kind))}
    assert {message for message in messages if not any(words in message for words in told)} == set()


def test_every_rule_of_the_cases_is_in_a_schema() -> None:
    messages = [rule["message"] for kind in KINDS for rule in rules(schema(kind))]
    for case in (*api_cases.RULES, *api_cases.IMMUTABLE):
        assert any((case.told_by_server or "") in message for message in messages), str(case)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_full_manifest_has_every_field_of_the_schema(kind: Any) -> None:
    missing = {path for path in fields(schema(kind)["properties"]["spec"], "spec") if not _has(kind.name, path)}
    # Exactly-one-of and at-most-one-of cannot be set both; the canary's selector is in the cases above.
    assert missing == {path for path in missing if path.startswith("spec.strategy.canary.selector")}


def _has(kind: str, path: str) -> bool:
    def found(here: Any, parts: list[str]) -> bool:
        if isinstance(here, list):
            return any(found(one, parts) for one in here)
        if not parts:
            return True
        return isinstance(here, dict) and parts[0] in here and found(here[parts[0]], parts[1:])

    # Selectors are the same everywhere; one full one is enough.
    if any(part in path for part in ("Selector.match", "object.selector.", "workloads.selector.")):
        return True
    if kind == "PatchRollout":
        # Every step has the same fields, and apply has all of them.
        path = path.replace("prepare.", "apply.").replace("verify.", "apply.").replace("rollback.", "apply.")
    both = (api_cases.FULL[kind], api_cases.WORKLOADS.get(kind, {}))
    return any(found(full, path.split(".")) for full in both)


def fields(found: Any, path: str) -> Iterator[str]:
    for name, below in found.get("properties", {}).items():
        yield f"{path}.{name}"
        yield from fields(below, f"{path}.{name}")
    if "items" in found:
        yield from fields(found["items"], path)


def rules(found: Any) -> Iterator[dict[str, str]]:
    if isinstance(found, dict):
        for key, value in found.items():
            if key == VALIDATIONS:
                yield from value
            else:
                yield from rules(value)
    elif isinstance(found, list):
        for value in found:
            yield from rules(value)
