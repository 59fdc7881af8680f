"""The CRDs on the real API server: it takes them, and judges manifests as the models do, in the same words."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from patchwright import errors
from patchwright.api.base import VALIDATIONS
from patchwright.api.crds import KINDS, Kind, definition
from patchwright.domain.sync import GROUP, VERSION
from patchwright.sandbox import client, controlplane
from support import api_cases
from support.api_manifests import Wrong, changed

pytestmark = pytest.mark.controlplane

_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
# What `kubectl apply` asks for: unknown fields are refused instead of dropped.
_DRY = {"dryRun": "All", "fieldValidation": "Strict"}


@pytest.fixture(scope="module")
def crds(sandbox: controlplane.ControlPlane) -> client.Client:
    for kind in KINDS:
        body = definition(kind)
        name = body["metadata"]["name"]
        sandbox.api.apply(f"{_CRDS}/{name}", body, manager="test-crds")
        sandbox.api.wait(f"{_CRDS}/{name}", lambda found: _true(found) >= {"Established", "NamesAccepted"})
    for kind in KINDS:
        sandbox.api.wait(f"/apis/{GROUP}/{VERSION}", _serves(kind.plural))
    return sandbox.api


def _serves(plural: str) -> Callable[[Any], bool]:
    return lambda found: any(one["name"] == plural for one in found.get("resources", ()))


def _true(found: Any) -> set[str]:
    conditions = found.get("status", {}).get("conditions") or ()
    return {each["type"] for each in conditions if each["status"] == "True"}


def collection(kind: str, namespace: str = "default") -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{api_cases.PLURALS[kind]}"


def refusal(api: client.Client, manifest: Any) -> str:
    """Give what the API server says against a manifest, without creating anything; empty when it takes it."""
    try:
        api.request("POST", collection(manifest["kind"]), manifest, query=_DRY)
    except errors.Denied as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_api_server_has_nothing_against_the_schema(crds: client.Client, kind: Kind) -> None:
    found = crds.get(f"{_CRDS}/{kind.plural}.{GROUP}")
    assert "NonStructuralSchema" not in _true(found)
    # A CEL rule past the cost budget, or one that does not compile, would have been refused.
    stored = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert json.dumps(stored).count(VALIDATIONS) == json.dumps(definition(kind)).count(VALIDATIONS)


@pytest.mark.parametrize("case", api_cases.WRONG, ids=str)
def test_a_wrong_manifest_is_refused_in_the_words_of_the_model(crds: client.Client, case: Wrong) -> None:
    said = refusal(crds, case.manifest)
    if case.told_by_server is None:
        assert said == ""
    else:
        assert case.told_by_server in said


@pytest.mark.parametrize("case", api_cases.RULES, ids=str)
def test_a_broken_rule_is_told_at_the_path_of_the_model(crds: client.Client, case: Wrong) -> None:
    path = "" if case.at == "metadata.name" else f"{case.blamed}: Invalid value"
    assert path in refusal(crds, case.manifest)


@pytest.mark.parametrize("case", api_cases.RIGHT, ids=str)
def test_a_right_manifest_is_taken(crds: client.Client, case: Wrong) -> None:
    assert refusal(crds, case.manifest) == ""


@pytest.mark.parametrize("kind", sorted(api_cases.PLURALS))
def test_minimal_and_full_manifests_are_taken_and_nothing_is_added(
    crds: client.Client, namespace: str, kind: str
) -> None:
    for number, given in enumerate((api_cases.MINIMAL[kind], api_cases.FULL[kind])):
        manifest = {**given, "metadata": {"name": f"m{number}"}}
        stored = crds.request("POST", collection(kind, namespace), manifest, query={"fieldValidation": "Strict"})
        assert stored["spec"] == given["spec"]


@pytest.mark.parametrize("case", api_cases.IMMUTABLE, ids=str)
def test_an_immutable_field_cannot_be_updated(crds: client.Client, namespace: str, case: Wrong) -> None:
    with pytest.raises(errors.Denied) as refused:
        _update(crds, namespace, case)
    assert f"{case.blamed}: Invalid value" in str(refused.value)
    assert case.words in str(refused.value)


@pytest.mark.parametrize("case", api_cases.MUTABLE, ids=str)
def test_other_fields_can_be_updated(crds: client.Client, namespace: str, case: Wrong) -> None:
    _update(crds, namespace, case)


def _update(api: client.Client, namespace: str, case: Wrong) -> None:
    made = api.create(collection(case.kind, namespace), api_cases.FULL[case.kind])
    body = {**case.manifest, "metadata": made["metadata"]}
    api.request("PUT", f"{collection(case.kind, namespace)}/{made['metadata']['name']}", body, query=_DRY)


def test_many_faults_are_told_at_once(crds: client.Client) -> None:
    manifest = api_cases.FULL["PatchPolicy"]
    for at, value in (("spec.trigger", "x"), ("spec.drain.force", "yes"), ("spec.rollback.scope", "Everything")):
        manifest = changed(manifest, at, value)
    said = refusal(crds, manifest)
    assert all(path in said for path in ("spec.trigger", "spec.drain.force", "spec.rollback.scope"))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_kubectl_explains_and_lists_every_kind(
    sandbox: controlplane.ControlPlane, crds: client.Client, namespace: str, kind: Kind
) -> None:
    explained = _kubectl(sandbox, "explain", f"{kind.short}.spec")
    assert f"KIND:       {kind.name}" in explained
    first = next(iter(kind.spec.model_fields.values()))
    assert " ".join((first.description or "").split())[:40] in " ".join(explained.split())
    crds.create(collection(kind.name, namespace), api_cases.FULL[kind.name])
    listed = _kubectl(sandbox, "get", "patchwright", "-n", namespace, "-o", "wide")
    header = next(line for line in listed.splitlines() if line.startswith("NAME"))
    assert all(column.name.upper() in header for column in kind.columns)


def _kubectl(sandbox: controlplane.ControlPlane, *words: str) -> str:
    command = [str(sandbox.binary("kubectl")), "--kubeconfig", str(sandbox.kubeconfig), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
