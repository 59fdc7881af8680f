"""Where files set the version of an image: pod templates, Kustomize's images, Helm's values, Flux's markers.

Only what is known to be a version of that image is a place. An overlay that sets a tag and leaves the name to another
file cannot be told from any other tag, and is none; its marker ``{"$imagepolicy": …}`` tells, where it has one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from patchwright.domain.writeback import tree, versions
from patchwright.domain.writeback.tree import Block, File, Node, Scalar
from patchwright.domain.writeback.versions import Version

_POD_SPECS = {
    "Deployment": "spec.template.spec",
    "StatefulSet": "spec.template.spec",
    "DaemonSet": "spec.template.spec",
    "Rollout": "spec.template.spec",
    "CronJob": "spec.jobTemplate.spec.template.spec",
}
_FLUX = "kustomize.toolkit.fluxcd.io/"
_KUSTOMIZATIONS = frozenset({"kustomization.yaml", "kustomization.yml", "Kustomization"})
_MARKER = re.compile(r'\{\s*"\$imagepolicy"\s*:\s*"(?P<policy>[^":]+:[^":]+)(?::(?P<part>tag|name|digest))?"\s*\}')


class Form(StrEnum):
    """What kind of file a place is in, in words."""

    MANIFEST = "a pod template"
    KUSTOMIZATION = "a Kustomize image"
    VALUES = "Helm values"
    MARKER = "a Flux marker"


@dataclass(frozen=True, slots=True)
class Spot:
    """A scalar, and the field that it is the value of, in words that find it again after an edit."""

    where: str
    scalar: Scalar


@dataclass(frozen=True, slots=True)
class Place:
    """One place that sets a version: in a ``whole`` reference, or in a tag, a digest, or both apart.

    None of them means that the image is named there and its version is not, which a chart then fills in.
    """

    path: str
    form: Form
    name: Spot
    whole: Spot | None = None
    tag: Spot | None = None
    digest: Spot | None = None

    @property
    def spots(self) -> tuple[Spot, ...]:
        """What spells the version."""
        return tuple(spot for spot in (self.whole, self.tag, self.digest) if spot is not None)

    @property
    def version(self) -> Version:
        """The version that it sets."""
        if self.whole is not None:
            return versions.of_image(_text(self.whole))
        return versions.of_parts(_text(self.tag), _text(self.digest))

    @property
    def line(self) -> int:
        """The line of what spells the version."""
        return self.spots[0].scalar.line if self.spots else self.name.scalar.line

    @property
    def fault(self) -> str:
        """Why it cannot be changed by its bytes alone; empty when it can."""
        for spot in self.spots:
            if spot.scalar.held:
                return spot.scalar.held
            if versions.TEMPLATED.search(spot.scalar.text):
                return "is filled in by a template"
        if self.whole is not None and not versions.repository(versions.name_of(_text(self.whole))):
            return "has a version that cannot be read"
        return ""

    def __str__(self) -> str:
        """Give it as people find it: ``web/values.yaml:12``."""
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True)
class Scope:
    """Which places count: of an image's ``repository``, and of pod templates those of some workloads only.

    ``workloads`` are kinds and names (``("Deployment", "web")``); none means all. What stands outside a pod template
    says no workload, and counts for all that are made from it.
    """

    repository: str
    workloads: frozenset[tuple[str, str]] = frozenset()


def find(files: Sequence[File], scope: Scope) -> tuple[Place, ...]:
    """Give every place, in order of files and lines; one that is told by a marker too is given once."""
    found = [place for file in files for place in _in_file(file, scope)]
    taken = {(place.path, spot.scalar.start) for place in found for spot in place.spots}
    marked = [place for place in _marked(files, scope) if not _known(place, taken)]
    return tuple(sorted([*found, *marked], key=lambda place: (place.path, place.line)))


def _known(place: Place, taken: set[tuple[str, int]]) -> bool:
    return any((place.path, spot.scalar.start) in taken for spot in place.spots)


def _text(spot: Spot | None) -> str:
    return spot.scalar.text.strip() if spot is not None else ""


def _in_file(file: File, scope: Scope) -> Iterator[Place]:
    for index, document in enumerate(file.documents):
        if isinstance(document, Block):
            yield from _in_document(file, document, scope, label=_label(document, index))


def _label(document: Block, index: int) -> str:
    kind, name = document.text("kind"), document.block("metadata").text("name")
    return f"{kind} {name}: " if kind and name else f"document {index + 1}: "


def _in_document(file: File, document: Block, scope: Scope, *, label: str) -> Iterator[Place]:
    kind = document.text("kind")
    if kind in _POD_SPECS:
        named = (kind, document.block("metadata").text("name"))
        if not scope.workloads or named in scope.workloads:
            yield from _pod_spec(file, document, scope, label=label)
    elif kind == "Kustomization" and document.text("apiVersion").startswith(_FLUX):
        yield from _images(file, document.block("spec").sequence("images"), scope, label=f"{label}spec.images")
    elif file.name in _KUSTOMIZATIONS:
        yield from _images(file, document.sequence("images"), scope, label=f"{label}images")
    elif kind == "HelmRelease":
        yield from _release(file, document.block("spec"), scope, label=label)
    elif kind == "List":
        for index, item in enumerate(document.sequence("items")):
            if isinstance(item, Block):
                yield from _in_document(file, item, scope, label=f"{label}{_label(item, index)}")
    elif not kind:
        yield from _values(file, document, scope, label=label)


def _pod_spec(file: File, document: Block, scope: Scope, *, label: str) -> Iterator[Place]:
    path = _POD_SPECS[document.text("kind")]
    spec = document
    for key in path.split("."):
        spec = spec.block(key)
    for part in ("initContainers", "containers"):
        for where, container in tree.labelled(f"{label}{path}.{part}", spec.sequence(part)):
            yield from _whole(file, container.get("image"), scope, where=f"{where}.image", form=Form.MANIFEST)
    for where, volume in tree.labelled(f"{label}{path}.volumes", spec.sequence("volumes")):
        reference = volume.block("image").get("reference")
        yield from _whole(file, reference, scope, where=f"{where}.image.reference", form=Form.MANIFEST)


def _whole(file: File, node: Node | None, scope: Scope, *, where: str, form: Form) -> Iterator[Place]:
    if isinstance(node, Scalar) and _names(node.text.strip(), scope):
        spot = Spot(where, node)
        yield Place(file.path, form, name=spot, whole=spot)


def _names(text: str, scope: Scope) -> bool:
    """Tell whether a reference is of the image, also one whose version a template fills in."""
    if versions.TEMPLATED.search(text):
        return versions.repository(versions.fixed_part(text)) == scope.repository
    return versions.repository(text) == scope.repository


def _images(file: File, entries: tuple[Node, ...], scope: Scope, *, label: str) -> Iterator[Place]:
    """Read Kustomize's ``images``: what a ``name`` becomes is its ``newName``, where it has one."""
    for where, entry in tree.labelled(label, entries):
        name = _spot(entry, "newName", where) or _spot(entry, "name", where)
        if name is not None and _names(_text(name), scope):
            tag, digest = _spot(entry, "newTag", where), _spot(entry, "digest", where)
            yield Place(file.path, Form.KUSTOMIZATION, name=name, tag=tag, digest=digest)


def _spot(block: Block, key: str, where: str) -> Spot | None:
    """Give the spot of a key; one without a value has no bytes to be changed, and is none."""
    node = block.get(key)
    return Spot(tree.join(where, key), node) if isinstance(node, Scalar) and node.start < node.end else None


def _release(file: File, spec: Block, scope: Scope, *, label: str) -> Iterator[Place]:
    values = spec.get("values")
    if values is not None:
        yield from _values(file, values, scope, label=f"{label}spec.values")
    for index, renderer in tree.labelled(f"{label}spec.postRenderers", spec.sequence("postRenderers")):
        images = renderer.block("kustomize").sequence("images")
        yield from _images(file, images, scope, label=f"{index}.kustomize.images")


def _values(file: File, root: Node, scope: Scope, *, label: str) -> Iterator[Place]:
    for where, node in tree.walk(root, label):
        if isinstance(node, Block):
            yield from _value(file, node, scope, where=where)


def _value(file: File, block: Block, scope: Scope, *, where: str) -> Iterator[Place]:
    """Read one mapping of values: ``repository``, ``tag`` and ``digest``, or references under keys like ``image``."""
    apart = _apart(file, block, scope, where=where)
    if apart is not None:
        yield apart
    for key, node in block.entries:
        is_apart = apart is not None and node is apart.name.scalar
        if key.lower().endswith("image") and not is_apart:
            yield from _whole(file, node, scope, where=tree.join(where, key), form=Form.VALUES)


def _apart(file: File, block: Block, scope: Scope, *, where: str) -> Place | None:
    tag, digest = _spot(block, "tag", where), _spot(block, "digest", where)
    name = _spot(block, "repository", where)
    if name is None and (tag or digest):
        name = _spot(block, "image", where)
    if name is None or versions.of_image(_text(name)) != Version():
        return None
    registry = block.text("registry").strip()
    text = f"{registry}/{_text(name)}" if registry else _text(name)
    return Place(file.path, Form.VALUES, name=name, tag=tag, digest=digest) if _names(text, scope) else None


@dataclass(frozen=True, slots=True)
class _Mark:
    file: File
    policy: str
    part: str
    spot: Spot
    parent: str


def _marked(files: Iterable[File], scope: Scope) -> Iterator[Place]:
    """Give the places that Flux's markers tell, of the policies that are about the image."""
    marks = [mark for file in files for mark in _marks(file)]
    policies = {mark.policy for mark in marks if mark.part in ("", "name") and _names(_text(mark.spot), scope)}
    mine = [mark for mark in marks if mark.policy in policies]
    digests = {(mark.file.path, mark.parent): mark.spot for mark in mine if mark.part == "digest"}
    for mark in mine:
        here, spot = (mark.file.path, mark.parent), mark.spot
        match mark.part:
            case "":
                yield from _whole(mark.file, spot.scalar, scope, where=spot.where, form=Form.MARKER)
            case "tag":
                yield Place(mark.file.path, Form.MARKER, name=spot, tag=spot, digest=digests.get(here))
            case "digest" if not any(m.part == "tag" and (m.file.path, m.parent) == here for m in mine):
                yield Place(mark.file.path, Form.MARKER, name=spot, digest=spot)
            case _:
                pass


def _marks(file: File) -> Iterator[_Mark]:
    for index, document in enumerate(file.documents):
        label = _label(document, index) if isinstance(document, Block) else f"document {index + 1}: "
        for where, node in tree.walk(document, label):
            if isinstance(node, Scalar) and (found := _MARKER.search(node.comment)):
                parent = where.rpartition(".")[0]
                yield _Mark(file, found["policy"], found["part"] or "", spot=Spot(where, node), parent=parent)
