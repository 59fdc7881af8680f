"""From files to manifests of our kinds; every fault is collected, and one fault means that nothing is taken.

Only PatchPolicy and PatchRollout are synced. Whoever can merge could otherwise have the operator apply a ClusterRole
(policy-as-code repositories are an escalation path: CVE-2022-24817), or a PolicyRepository that points elsewhere and
trusts other keys. A ``List`` is not taken apart, and Kustomize is not run: what is applied is what was reviewed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from patchwright.adapters import strictyaml
from patchwright.adapters.strictyaml import Document, Json, YamlLimits, join
from patchwright.domain.sync import GROUP, SYNCED_KINDS, VERSION, Manifest, ObjectKey
from patchwright.errors import Fault, InvalidInput

Validate = Callable[[Mapping[str, Json]], Sequence[Fault]]

SUFFIXES = (".yaml", ".yml", ".json")
API_VERSION = f"{GROUP}/{VERSION}"
ONLY_OURS = f"only {' and '.join(SYNCED_KINDS)} ({API_VERSION}) are synced"
MAX_FAULTS = 200
_KUSTOMIZE = ("kustomization.yaml", "kustomization.yml")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII)
_METADATA = ("name", "namespace", "labels", "annotations")
_TOP = ("apiVersion", "kind", "metadata", "spec")
_WHY_NOT = {
    "generateName": "an object in Git needs a fixed name; use metadata.name",
    "ownerReferences": "owners are set by the cluster",
    "finalizers": "a finalizer from Git could make an object impossible to delete",
    "managedFields": "it is kept by the API server; export without it",
}


def parse_manifests(
    files: Mapping[str, bytes],
    *,
    namespace: str | None,
    validate: Validate | None = None,
    limits: YamlLimits | None = None,
) -> tuple[Manifest, ...]:
    """Parse the ``.yaml``, ``.yml`` and ``.json`` files among ``files``; other files are not looked at.

    ``namespace`` is the PolicyRepository's: documents without one get it, documents with another are a fault. None (a
    check before merge, where no cluster is known) takes any. ``validate`` judges one document against the models and
    gives faults with field paths; they get file and line here. Raise InvalidInput (BuildFailed) with all faults.
    """
    faults: list[Fault] = []
    manifests: list[Manifest] = []
    for path in sorted(files):
        for document in _documents(path, files[path], limits=limits, faults=faults):
            found = list(_document_faults(document, namespace))
            if not found and validate is not None and isinstance(document.value, dict):
                found += [document.located(fault) for fault in validate(document.value)]
            faults += found
            if not found:
                manifests.append(_manifest(document, namespace))
    faults += _duplicates(manifests)
    if faults:
        raise InvalidInput(faults[:MAX_FAULTS], reason="BuildFailed")
    return tuple(manifests)


def _documents(path: str, content: bytes, *, limits: YamlLimits | None, faults: list[Fault]) -> tuple[Document, ...]:
    name = PurePosixPath(path).name
    if not name.endswith(SUFFIXES):
        return ()
    if name in _KUSTOMIZE:
        faults.append(
            Fault("", "Kustomize is not run; commit rendered manifests, or exclude it with spec.ignore", path)
        )
        return ()
    try:
        return strictyaml.load_documents(path, content, limits)
    except InvalidInput as error:
        faults += error.faults
        return ()


def _document_faults(document: Document, namespace: str | None) -> Iterator[Fault]:
    value = document.value
    if not isinstance(value, dict):
        yield Fault("", f"a document must be an object, not a {_type(value)}", document.source())
        return
    kind = list(_kind_faults(document, value))
    yield from kind
    if kind:
        return
    for name in value:
        if name not in _TOP:
            why = "status is written by the operator" if name == "status" else "no such field"
            yield _fault(document, join("", name), why)
    metadata = value.get("metadata")
    if isinstance(metadata, dict):
        yield from _metadata_faults(document, metadata, namespace)
    else:
        yield _fault(document, "metadata", "it must be an object with a name")


def _kind_faults(document: Document, value: Mapping[str, Json]) -> Iterator[Fault]:
    kind, version = value.get("kind"), value.get("apiVersion")
    if not isinstance(kind, str) or not kind:
        yield _fault(document, "kind", f"it is missing; {ONLY_OURS}")
    elif not isinstance(version, str) or not version:
        yield _fault(document, "apiVersion", f"it is missing on this {_shown(kind)}; {ONLY_OURS}")
    elif kind.endswith("List"):
        yield _fault(document, "kind", f"a {_shown(kind)} is not taken apart; put each object in a document of its own")
    elif kind not in SYNCED_KINDS or version.partition("/")[0] != GROUP:
        yield _fault(document, "kind", f"{_shown(kind)} ({_shown(version)}) is refused; {ONLY_OURS}")
    elif version != API_VERSION:
        yield _fault(document, "apiVersion", f"{_shown(version)} is unknown; use {API_VERSION}")


def _metadata_faults(document: Document, metadata: Mapping[str, Json], namespace: str | None) -> Iterator[Fault]:
    for name in metadata:
        if name not in _METADATA:
            why = _WHY_NOT.get(name, "it is kept by the API server or does not exist; remove it")
            yield _fault(document, join("metadata", name), why)
    yield from _name_faults(document, metadata)
    yield from _namespace_faults(document, metadata, namespace)
    for field in ("labels", "annotations"):
        yield from _string_map_faults(document, join("metadata", field), metadata.get(field))


def _name_faults(document: Document, metadata: Mapping[str, Json]) -> Iterator[Fault]:
    name = metadata.get("name")
    if name is None:
        if "generateName" not in metadata:
            yield _fault(document, "metadata.name", "it is missing")
    elif not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > 253:
        yield _fault(document, "metadata.name", "it must be lower-case letters, digits, '-' and '.', at most 253")


def _namespace_faults(document: Document, metadata: Mapping[str, Json], namespace: str | None) -> Iterator[Fault]:
    given = metadata.get("namespace")
    if given is None:
        return
    if not isinstance(given, str) or not _NAME.fullmatch(given) or len(given) > 63:
        yield _fault(document, "metadata.namespace", "it must be a namespace's name")
    elif namespace is not None and given != namespace:
        yield _fault(
            document, "metadata.namespace",
            f"{given} is not {namespace}, where the PolicyRepository is; it may write nowhere else",
        )  # fmt: skip


def _string_map_faults(document: Document, path: str, value: Json) -> Iterator[Fault]:
    if value is None:
        return
    if not isinstance(value, dict):
        yield _fault(document, path, f"it must be an object, not a {_type(value)}")
        return
    for key, text in value.items():
        if not isinstance(text, str):
            yield _fault(document, join(path, key), f"it must be a string, not a {_type(text)}; quote it")


def _manifest(document: Document, namespace: str | None) -> Manifest:
    value = document.value
    assert isinstance(value, dict)
    metadata = value["metadata"]
    assert isinstance(metadata, dict)
    metadata = {**metadata, "namespace": metadata.get("namespace") or namespace or ""}
    if not metadata["namespace"]:
        del metadata["namespace"]
    key = ObjectKey(str(value["kind"]), str(metadata.get("namespace", "")), str(metadata["name"]))
    return Manifest(key, {**value, "metadata": metadata}, document.source())


def _duplicates(manifests: Sequence[Manifest]) -> Iterator[Fault]:
    seen: dict[ObjectKey, Manifest] = {}
    for manifest in manifests:
        first = seen.setdefault(manifest.key, manifest)
        if first is not manifest:
            yield Fault("metadata.name", f"{manifest.key} is already defined in {first.source}", manifest.source)


def _fault(document: Document, path: str, message: str) -> Fault:
    return Fault(path, message, document.source(path))


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:100]


def _type(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "list"
        case _:
            return "object"
