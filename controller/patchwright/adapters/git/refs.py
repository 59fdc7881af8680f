"""From ``spec.ref`` and what the server advertises to one commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from patchwright.adapters.git.failures import failure
from patchwright.domain.semver import highest
from patchwright.domain.sources import GitReference
from patchwright.errors import SourceError

_PEELED = "^{}"
_HEADS = "refs/heads/"
_TAGS = "refs/tags/"


@dataclass(frozen=True, slots=True)
class Advertised:
    """What ``git ls-remote`` printed: object by reference, and the branch that HEAD names."""

    objects: Mapping[str, str]
    head: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """What to fetch. ``wanted`` is a reference or a commit; ``label`` is how the revision names it.

    ``tag_object`` is set for an annotated tag, which alone can carry a signature. ``moving`` says that the reference is
    expected to move forwards only (a branch).
    """

    wanted: str
    label: str
    commit: str
    tag_object: str = ""
    moving: bool = False


def listing_arguments(ref: GitReference) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the options and patterns of the ``ls-remote`` that answers for this reference.

    ``--heads`` and ``--tags`` let the server leave out everything else; a big host has 100,000 ``refs/pull/*``.
    """
    if ref.name:
        return (), (ref.name, ref.name + _PEELED)
    if ref.semver:
        return ("--tags",), ()
    if ref.tag:
        return ("--tags",), (_TAGS + ref.tag, _TAGS + ref.tag + _PEELED)
    if ref.branch:
        return ("--heads",), (_HEADS + ref.branch,)
    return ("--symref",), ("HEAD",)


def parse_listing(output: bytes) -> Advertised:
    """Parse the output of ``git ls-remote --symref``."""
    objects, head = {}, ""
    for line in output.decode("utf-8", errors="replace").splitlines():
        left, _, name = line.partition("\t")
        if left.startswith("ref: "):
            head = left.removeprefix("ref: ") if name == "HEAD" else head
        else:
            objects[name] = left
    return Advertised(objects, head)


def resolve(url: str, ref: GitReference, advertised: Advertised) -> Resolved:
    """Choose the commit, by Flux's precedence; raise SourceError (RefNotFound) when the server does not have it."""
    if ref.commit:
        return Resolved(ref.commit, ref.branch, ref.commit)
    if ref.name:
        return _named(url, ref.name, advertised, label=ref.name)
    if ref.semver:
        tag = _highest(url, ref.semver, advertised)
        return _named(url, _TAGS + tag, advertised, label=tag)
    if ref.tag:
        return _named(url, _TAGS + ref.tag, advertised, label=ref.tag)
    if ref.branch:
        return _named(url, _HEADS + ref.branch, advertised, label=ref.branch)
    if "HEAD" not in advertised.objects:
        raise _not_found(
            url,
            "find a commit: the repository is empty, or this is no Git repository",
            "push the first commit, or check spec.url",
        )
    label = advertised.head.removeprefix(_HEADS) or "HEAD"
    return Resolved(advertised.head or "HEAD", label, _sha1(url, advertised.objects["HEAD"]), moving=True)


def _highest(url: str, constraint: str, advertised: Advertised) -> str:
    tags = [name.removeprefix(_TAGS) for name in advertised.objects if name.startswith(_TAGS)]
    tags = [tag for tag in tags if not tag.endswith(_PEELED)]
    try:
        tag = highest(tags, constraint)
    except ValueError as error:
        raise failure(
            url, f"read spec.ref.semver {constraint!r}: {error}", next_action="correct spec.ref.semver",
            reason="RefInvalid", retry_after=None,
        ) from None  # fmt: skip
    if not tag:
        raise _not_found(url, f"find a tag in {constraint!r} among {len(tags)} tags", "push such a tag")
    return tag


def _named(url: str, name: str, advertised: Advertised, *, label: str) -> Resolved:
    if name not in advertised.objects:
        raise _not_found(url, f"find {name}: the server does not have it", "check spec.ref, or push it")
    tip = _sha1(url, advertised.objects[name])
    peeled = advertised.objects.get(name + _PEELED, "")
    return Resolved(name, label, peeled or tip, tip if peeled else "", moving=name.startswith(_HEADS))


def _sha1(url: str, object_name: str) -> str:
    if len(object_name) == 40:
        return object_name
    raise failure(
        url, "read a SHA-256 repository: only SHA-1 repositories are supported", next_action="convert the repository",
        retry_after=None,
    )  # fmt: skip


def _not_found(url: str, what: str, action: str) -> SourceError:
    return failure(url, what, next_action=action, reason="RefNotFound")
