"""The CRDs on the real API server: it takes them, and judges manifests as the models do, in the same words."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from patchwright import errors
from patchwright.api import rolloutstate, status
from patchwright.api.base import VALIDATIONS
from patchwright.api.crds import KINDS, Kind, definition
from patchwright.domain import memory, policy, repository
from patchwright.domain.state import Cause, Condition, Phase, Plan, RolloutState, WavePlan, WavePolicy
from patchwright.domain.sync import GROUP, VERSION, ObjectKey
from patchwright.domain.targets import Counts, Note
from patchwright.domain.workloads.standalone import Standalone
from patchwright.sandbox import client, controlplane
from support import api_cases
from support.api_manifests import Wrong, changed

pytestmark = pytest.mark.controlplane

NOW = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
READY = Condition("Ready", "False", "Progressing", "patches 5 nodes")
_NOTE = Note("n1", "u1", "Draining", 1, "DrainBlocked", "pod shop/web cannot be evicted", NOW)
_REFUSAL = policy.Violation(
    "frozen", "patchwright.library/deny", policy.Severity.LOW, {"a": [1, {"b": None}], "c": 1.5}, "wait", NOW
)
_DECISION = policy.PolicyDecision(
    allowed=False,
    violations=(_REFUSAL,),
    warnings=(_REFUSAL,),
    waived=(policy.Waiver(_REFUSAL, "break-glass", NOW),),
    revision="main@sha1:0",
    decision_id="d",
    input_digest="sha256:0",
    evaluated_at=NOW,
    package="patchwright.rollout",
)
STATE = RolloutState(
    phase=Phase.PROGRESSING,
    message="patches 5 nodes",
    observed_generation=1,
    started_at=NOW,
    finished_at=NOW,
    plan=Plan(200, (WavePlan("canary", 2, 300.5), WavePlan("rest", None, 0.0))),
    wave=1,
    wave_since=NOW,
    soak_since=NOW,
    soak_until=NOW,
    outcome=Phase.FAILED,
    cause=Cause("FailureThreshold", "1 of 200 failed", NOW, "n1"),
    policy=WavePolicy(-1, NOW, _DECISION, "trouble", "Denied"),
    baseline={"apps": ("shop/web", "shop/db"), "errors": ()},
    counts=Counts(200, 37, 1, 1, 1, 1, 1, 1, {"Draining": 1}),
    in_flight=(_NOTE,),
    failed=(_NOTE,),
    skipped=(_NOTE,),
    quarantined=(_NOTE,),
    vanished=(_NOTE,),
    leftover_since=NOW,
    next_window=NOW,
    conditions=(READY,),
)
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


def test_a_rollouts_memory_survives_the_api_server(
    sandbox: controlplane.ControlPlane, crds: client.Client, namespace: str
) -> None:
    written = rolloutstate.state_to_status(STATE, now=NOW)
    assert rolloutstate.status_to_state(_stored(crds, "PatchRollout", namespace, written)) == STATE
    shown = _kubectl(sandbox, "get", "proll", "-n", namespace, "-o", "wide").splitlines()[-1]
    name, phase, updated, wave, message, _policy, version, cause, *_ = re.split(r"\s{2,}", shown)
    assert (name, phase, updated, wave) == ("openssl", "Progressing", "37/200", "rest")
    assert (message, version, cause) == ("patches 5 nodes", "3.0.17-1~deb12u3", "FailureThreshold")


def test_the_other_memories_survive_the_api_server(crds: client.Client, namespace: str) -> None:
    failed = memory.FailedChange("abc", "3.0.17", "openssl", "CanaryFailed", "canary n1 failed", NOW)
    last = memory.LastRollout("a", Phase.ROLLED_BACK, "3.0.17", NOW)
    image = memory.ImageState("ghcr.io/acme/api", "Update", "Newer", "1.1 replaces 1.0", "1.1", "sha256:1", NOW, 7)
    loose = Standalone("Pod", "kube-system", "proxy-n1", "ghcr.io/acme/api:1.0", static=True)
    policy_state = memory.PolicyState(
        2, 0, "b", last, NOW, (failed,), (image,), 1, "now", "again", NOW, (READY,), (loose,), 1
    )  # fmt: skip
    written = status.policy_state_to_status(policy_state, now=NOW)
    assert status.status_to_policy_state(_stored(crds, "PatchPolicy", namespace, written)) == policy_state
    entry = repository.HistoryEntry("sha256:1", "main@sha1:1", NOW, NOW, "Succeeded", 3)
    key = ObjectKey("PatchRollout", "fleet", "openssl-3.0.17")
    repository_state = repository.RepositoryState(1, "main@sha1:2", "main@sha1:1", "now", (key,), (entry,), (READY,))
    written = status.repository_state_to_status(repository_state, now=NOW)
    assert status.status_to_repository_state(_stored(crds, "PolicyRepository", namespace, written)) == repository_state


def _stored(api: client.Client, kind: str, namespace: str, written: dict[str, Any]) -> Any:
    api.create(collection(kind, namespace), api_cases.FULL[kind])
    # A JSON patch, as the operator writes it: to a merge patch a null in a policy's details means "delete".
    body = [{"op": "add", "path": "/status", "value": written}]
    return api.patch(f"{collection(kind, namespace)}/openssl/status", body, kind="json-patch")["status"]


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
