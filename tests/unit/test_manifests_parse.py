"""From files to manifests of our kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from patchwright.adapters.manifests import parse_manifests
from patchwright.adapters.strictyaml import Json
from patchwright.domain.sync import ObjectKey
from patchwright.errors import Fault, InvalidInput

ONLY_OURS = "only PatchPolicy and PatchRollout (patchwright.dev/v1alpha1) are synced"
HEAD = "apiVersion: patchwright.dev/v1alpha1\nkind: PatchPolicy\n"
GOOD = HEAD + "metadata:\n  name: openssl\nspec: {}\n"


def faults_of(files: Mapping[str, str | bytes], namespace: str | None = "prod") -> list[str]:
    content = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
    with pytest.raises(InvalidInput) as caught:
        parse_manifests(content, namespace=namespace)
    assert caught.value.reason == "BuildFailed"
    return [str(fault) for fault in caught.value.faults]


def test_documents_of_our_kinds_become_manifests_in_the_repositorys_namespace() -> None:
    text = GOOD + "---\n" + HEAD.replace("Policy", "Rollout") + "metadata: {name: r.1, namespace: prod}\n"
    found = parse_manifests({"b.yml": text.encode(), "README.md": b"# hi", "a.sh": b"\0"}, namespace="prod")
    assert [m.key for m in found] == [
        ObjectKey("PatchPolicy", "prod", "openssl"), ObjectKey("PatchRollout", "prod", "r.1"),
    ]  # fmt: skip
    assert [m.source for m in found] == ["b.yml:1", "b.yml:7"]
    assert found[0].document["metadata"] == {"name": "openssl", "namespace": "prod"}


def test_a_check_without_a_cluster_takes_any_namespace() -> None:
    other = GOOD.replace("name: openssl", "name: openssl\n  namespace: other")
    found = parse_manifests({"a.yaml": GOOD.encode(), "b.yaml": other.encode()}, namespace=None)
    assert [m.key.namespace for m in found] == ["", "other"]
    assert found[0].document["metadata"] == {"name": "openssl"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("apiVersion: v1\nkind: Secret\nmetadata: {name: a}",
         f"a.yaml:2: kind: Secret (v1) is refused; {ONLY_OURS}"),
        ("apiVersion: patchwright.dev/v1alpha1\nkind: PolicyRepository\nmetadata: {name: a}",
         f"a.yaml:2: kind: PolicyRepository (patchwright.dev/v1alpha1) is refused; {ONLY_OURS}"),
        ("apiVersion: evil.dev/v1alpha1\nkind: PatchPolicy\nmetadata: {name: a}",
         f"a.yaml:2: kind: PatchPolicy (evil.dev/v1alpha1) is refused; {ONLY_OURS}"),
        ("apiVersion: patchwright.dev/v1beta1\nkind: PatchPolicy\nmetadata: {name: a}",
         "a.yaml:1: apiVersion: patchwright.dev/v1beta1 is unknown; use patchwright.dev/v1alpha1"),
        ("apiVersion: v1\nkind: List\nitems: []",
         "a.yaml:2: kind: a List is not taken apart; put each object in a document of its own"),
        ("apiVersion: patchwright.dev/v1alpha1\nkind: PatchPolicyList\nitems: []",
         "a.yaml:2: kind: a PatchPolicyList is not taken apart; put each object in a document of its own"),
        ("a: b", f"a.yaml:1: kind: it is missing; {ONLY_OURS}"),
        ("kind: PatchPolicy",
         f"a.yaml:1: apiVersion: it is missing on this PatchPolicy; {ONLY_OURS}"),
        ("- a", "a.yaml:1: a document must be an object, not a list"),
        ("just text", "a.yaml:1: a document must be an object, not a string"),
        (HEAD, "a.yaml:1: metadata: it must be an object with a name"),
        (HEAD + "metadata: {}", "a.yaml:3: metadata.name: it is missing"),
        (HEAD + "metadata: {generateName: a-}",
         "a.yaml:3: metadata.generateName: an object in Git needs a fixed name; use metadata.name"),
        (HEAD + "metadata: {name: 5}",
         "a.yaml:3: metadata.name: it must be lower-case letters, digits, '-' and '.', at most 253"),
        (HEAD + "metadata: {name: ../a}",
         "a.yaml:3: metadata.name: it must be lower-case letters, digits, '-' and '.', at most 253"),
        (HEAD + "metadata: {name: a, namespace: other}",
         "a.yaml:3: metadata.namespace: other is not prod, where the PolicyRepository is; it may write nowhere else"),
        (HEAD + "metadata: {name: a, namespace: 5}", "a.yaml:3: metadata.namespace: it must be a namespace's name"),
        (HEAD + "metadata: {name: a}\nstatus: {}", "a.yaml:4: status: status is written by the operator"),
        (HEAD + "metadata: {name: a}\nspce: {}", "a.yaml:4: spce: no such field"),
        (HEAD + "metadata:\n  name: a\n  finalizers: [x]",
         "a.yaml:5: metadata.finalizers: a finalizer from Git could make an object impossible to delete"),
        (HEAD + "metadata:\n  name: a\n  ownerReferences: []",
         "a.yaml:5: metadata.ownerReferences: owners are set by the cluster"),
        (HEAD + "metadata:\n  name: a\n  managedFields: []",
         "a.yaml:5: metadata.managedFields: it is kept by the API server; export without it"),
        (HEAD + "metadata:\n  name: a\n  uid: x",
         "a.yaml:5: metadata.uid: it is kept by the API server or does not exist; remove it"),
        (HEAD + "metadata:\n  name: a\n  labels:\n    b: 1",
         "a.yaml:6: metadata.labels.b: it must be a string, not a number; quote it"),
        (HEAD + "metadata:\n  name: a\n  annotations:\n    x.dev/b: true",
         "a.yaml:6: metadata.annotations[x.dev/b]: it must be a string, not a boolean; quote it"),
        (HEAD + "metadata: {name: a, labels: [x]}", "a.yaml:3: metadata.labels: it must be an object, not a list"),
        (HEAD + "metadata: {name: a}\nspec: yes",
         "a.yaml:4: spec: unquoted 'yes' is a boolean to some readers; quote it"),
    ],
)  # fmt: skip
def test_what_is_not_ours_or_not_right_is_named_with_its_place(text: str, said: str) -> None:
    assert faults_of({"a.yaml": text}) == [said]


def test_all_faults_of_all_files_are_told_and_nothing_is_taken() -> None:
    files: dict[str, str | bytes] = {
        "good.yaml": GOOD,
        "b.yaml": "a: b: c",
        "c.json": b"\xff",
        "d/kustomization.yaml": "resources: []",
        "e.yaml": "[]",
    }
    assert faults_of(files) == [
        "b.yaml:1: not YAML: mapping values are not allowed in this context",
        "c.json:1: the file is not UTF-8 text",
        "d/kustomization.yaml: Kustomize is not run; commit rendered manifests, or exclude it with spec.ignore",
        "e.yaml:1: a document must be an object, not a list",
    ]


def test_an_object_defined_twice_names_both_places() -> None:
    assert faults_of({"a.yaml": GOOD, "z/b.yaml": "# again\n" + GOOD + "  # twice\n"}) == [
        "z/b.yaml:2: metadata.name: PatchPolicy prod/openssl is already defined in a.yaml:1"
    ]


def test_the_models_faults_get_their_line_and_only_sound_documents_reach_the_models() -> None:
    seen: list[str] = []

    def validate(document: Mapping[str, Json]) -> Sequence[Fault]:
        seen.append(str(document["kind"]))
        return [Fault("spec.strategy.canary.count", "must be at least 1"), Fault("spec.nothing", "is required")]

    text = GOOD.replace("spec: {}", "spec:\n  strategy:\n    canary:\n      count: 0")
    with pytest.raises(InvalidInput) as caught:
        parse_manifests({"a.yaml": text.encode(), "b.yaml": b"kind: Secret"}, namespace="prod", validate=validate)
    assert [str(fault) for fault in caught.value.faults][:2] == [
        "a.yaml:8: spec.strategy.canary.count: must be at least 1", "a.yaml:5: spec.nothing: is required",
    ]  # fmt: skip
    assert seen == ["PatchPolicy"]
    assert len(caught.value.faults) == 3
