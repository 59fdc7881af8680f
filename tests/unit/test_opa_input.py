"""The input document: complete, typed, bounded, and without secrets; and what the values about it say."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from patchwright.adapters.opa import library
from patchwright.domain import policy
from support import opa_server

SCHEMA = json.loads(library.input_schema().read_text())
DOCUMENTATION = Path(__file__).parents[2] / "docs" / "policy-input.md"
LATER = datetime(2026, 12, 24, tzinfo=UTC)


def fields(schema: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for name, field in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        items = field.get("items", {})
        found += [path, *fields(field, f"{path}."), *fields(items, f"{path}[].")]
    return found


def decision(*violations: policy.Violation) -> policy.PolicyDecision:
    return policy.PolicyDecision(
        allowed=not violations,
        violations=violations,
        warnings=(),
        waived=(),
        revision="r1",
        decision_id="",
        input_digest="",
        evaluated_at=opa_server.NOW,
        package="patchwright.rollout",
    )


@pytest.mark.parametrize("stage", list(policy.Stage))
def test_the_document_has_every_field_of_the_schema_and_no_other(stage: policy.Stage) -> None:
    jsonschema.validate(opa_server.document(stage=stage), SCHEMA)


def test_a_document_without_a_field_fails_the_schema() -> None:
    broken = opa_server.document()
    del broken["fleet"]["protectedTotal"]
    with pytest.raises(jsonschema.ValidationError, match="protectedTotal"):
        jsonschema.validate(broken, SCHEMA)


def test_every_field_is_documented_and_no_other() -> None:
    section = DOCUMENTATION.read_text().partition("\n## The input\n")[2].partition("\n## ")[0]
    documented = re.findall(r"^\| `([\w.\[\]]+)` \|", section, re.MULTILINE)
    assert sorted(documented) == sorted(fields(SCHEMA))


def test_the_example_in_the_documentation_is_a_whole_document() -> None:
    example = re.search(r"```json\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)
    assert example is not None
    jsonschema.validate(json.loads(example[1]), SCHEMA)


def test_only_our_own_annotations_are_sent() -> None:
    annotations = {"patchwright.dev/ticket": "OPS-1", "kubectl.kubernetes.io/last-applied-configuration": "secret"}
    sent = opa_server.document(annotations=annotations)["rollout"]["annotations"]
    assert sent == {"patchwright.dev/ticket": "OPS-1"}


def test_of_workloads_the_first_fifty_are_told_and_all_are_counted() -> None:
    image = policy.ImageFacts("web", "ghcr.io/acme/web:1.0", "ghcr.io/acme/web:1.1@sha256:12")
    workloads = [
        policy.WorkloadFacts(
            f"Deployment shop/web-{number:03}",
            "Deployment",
            namespace="shop",
            strategy="RollingUpdate",
            replicas=3,
            paused=False,
            owner="",
            images=[image],
            labels={"team": "shop"},
        )
        for number in reversed(range(60))
    ]
    wave = policy.WaveFacts(1, "rest", [one.name for one in workloads], workloads=workloads)
    spaces = {f"n{number}": number for number in range(300)}
    fleet = policy.FleetFacts(60, 2, target="workload", kinds={"Deployment": 60}, namespaces=spaces)
    sent = opa_server.document(stage=policy.Stage.WAVE, wave=wave, fleet=fleet)
    jsonschema.validate(sent, SCHEMA)
    assert [one["name"] for one in sent["wave"]["workloads"]] == [f"Deployment shop/web-{n:03}" for n in range(50)]
    assert sent["wave"]["workloads"][0]["images"] == [{"container": "web", "old": image.old, "new": image.new}]
    assert sent["wave"]["targetsTotal"] == 60
    assert len(sent["fleet"]["namespaces"]) == 200
    assert sent["fleet"]["namespaces"]["n299"] == 299


def test_names_are_sorted_and_cut_with_their_total_beside_them() -> None:
    names = [f"n{number:04}" for number in reversed(range(5000))]
    wave = policy.WaveFacts(1, "wave-1", names, protected=names)
    fleet = policy.FleetFacts(selected=5000, max_unavailable=10, protected=names)
    sent = opa_server.document(stage=policy.Stage.WAVE, wave=wave, fleet=fleet)
    assert sent["wave"]["targets"] == sent["wave"]["protected"] == sent["fleet"]["protected"] == sorted(names)[:200]
    assert sent["wave"]["size"] == sent["wave"]["targetsTotal"] == sent["wave"]["protectedTotal"] == 5000
    assert sent["fleet"]["protectedTotal"] == 5000


def test_instants_are_utc_and_an_unknown_release_date_is_null() -> None:
    berlin = opa_server.NOW.astimezone(tz=None)
    assert opa_server.document(now=berlin)["now"] == "2026-12-03T10:30:00Z"
    assert opa_server.document()["release"] == {"publishedAt": "2026-12-01T00:30:00Z", "ageDays": 2}


def test_the_digest_depends_on_the_content_and_not_on_the_order_of_keys() -> None:
    one = opa_server.document()
    other = dict(reversed(one.items()))
    assert policy.input_digest(one) == policy.input_digest(other)
    assert policy.input_digest(one) != policy.input_digest({**one, "stage": "wave"})
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", policy.input_digest(one))


def test_a_refusal_is_temporary_only_if_every_violation_is() -> None:
    frozen = policy.Violation("frozen", "p/deny_freeze", until=LATER)
    longer = replace(frozen, until=LATER + timedelta(days=1))
    forever = policy.Violation("no canary", "p/deny_canary")
    assert decision(frozen, longer).wait_until == LATER + timedelta(days=1)
    assert decision(frozen, forever).wait_until is None
    assert decision().wait_until is None


def test_status_shows_the_first_twenty_and_the_total() -> None:
    many = decision(*(policy.Violation(f"{number:03}", "p/deny") for number in range(41)))
    assert [violation.msg for violation in many.shown] == [f"{number:03}" for number in range(20)]
    assert many.total == 41
