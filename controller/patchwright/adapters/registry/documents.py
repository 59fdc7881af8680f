"""Manifests, indexes and configs, as the OCI image specification 1.1 and Docker's schema 2 have them.

A document is what its media type says; one that says two things at once is none (CVE-2021-41190).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from patchwright.domain.images import platforms, reference
from patchwright.domain.images.content import Child
from patchwright.domain.images.platforms import InvalidPlatform, Platform

INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
# All in one request, or a registry gives some child of the index instead of it, and the wrong digest with it.
ACCEPT: Final = ", ".join((*INDEXES, *MANIFESTS))
_MOST_CHILDREN: Final = 1000


class Unreadable(ValueError):
    """The document is none of ours; ``str()`` is a phrase."""


@dataclass(frozen=True, slots=True)
class Index:
    """An index: the manifests below it that a node could run."""

    children: tuple[Child, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of one platform: the digest of its config, which says what platform that is."""

    config: str


@dataclass(frozen=True, slots=True)
class Config:
    """What a config says; ``created`` is its publisher's word."""

    platform: Platform | None
    created: datetime | None


def digest(body: bytes, like: str = "sha256:") -> str:
    """Give the digest of a body, by the algorithm of the digest that it is to be compared with."""
    algorithm = like.partition(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}"


def read(body: bytes, media_type: str) -> Index | Manifest:
    """Read what a manifest's address gave; raises Unreadable."""
    document = as_object(body)
    # A web server that knows no manifests says application/json, and the document speaks for itself.
    said = [media_type.partition(";")[0].strip().lower(), document.get("mediaType")]
    kinds = {each for each in said if each in (*INDEXES, *MANIFESTS)}
    if len(kinds) > 1:
        raise Unreadable("its media type is not the one that the header says")
    if kinds.intersection(INDEXES):
        _without(document, "layers", "config")
        return Index(_children(document))
    if kinds:
        _without(document, "manifests")
        return Manifest(_digest(as_mapping(document.get("config"))))
    raise Unreadable("it is no image index and no image manifest")


def read_config(body: bytes) -> Config:
    """Read an image's config; raises Unreadable."""
    document = as_object(body)
    return Config(_platform(document), _instant(document.get("created")))


def read_tags(body: bytes) -> tuple[str, ...]:
    """Read a page of tags; raises Unreadable. What could be no tag in any reference is passed over."""
    tags = as_object(body).get("tags")
    if tags is not None and not isinstance(tags, list):
        raise Unreadable("it is no list of tags")
    return tuple(tag for tag in tags or () if isinstance(tag, str) and reference.is_tag(tag))


def _children(document: Mapping[str, Any]) -> tuple[Child, ...]:
    found = document.get("manifests")
    if not isinstance(found, list) or len(found) > _MOST_CHILDREN:
        raise Unreadable(f"it has no manifests, or more than {_MOST_CHILDREN}")
    descriptors = [as_mapping(each) for each in found]
    return tuple(
        Child(_digest(each), _platform(each.get("platform"))) for each in descriptors if not _is_attestation(each)
    )


def _is_attestation(descriptor: Mapping[str, Any]) -> bool:
    # BuildKit puts provenance beside the platforms, on one that does not exist.
    annotations = descriptor.get("annotations")
    return isinstance(annotations, dict) and "vnd.docker.reference.type" in annotations


def _platform(raw: Any) -> Platform | None:
    if not isinstance(raw, dict):
        return None
    parts = [raw.get("os"), raw.get("architecture"), raw.get("variant")]
    try:
        found = platforms.parse("/".join(str(part) for part in parts if part))
    except InvalidPlatform:
        return None
    return None if found.os == "unknown" else found


def _digest(descriptor: Mapping[str, Any]) -> str:
    found = descriptor.get("digest")
    if not isinstance(found, str) or not reference.is_digest(found):
        raise Unreadable("a digest in it is none")
    return found


def _instant(raw: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(raw)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def as_object(body: bytes) -> Mapping[str, Any]:
    """Read a JSON object; raises ``Unreadable``."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unreadable("it is no JSON") from error
    return as_mapping(document)


def as_mapping(raw: Any) -> Mapping[str, Any]:
    """Take it for an object; raises ``Unreadable``."""
    if not isinstance(raw, dict):
        raise Unreadable("it has something else where an object belongs")
    return raw


def _without(document: Mapping[str, Any], *keys: str) -> None:
    if any(key in document for key in keys):
        raise Unreadable("it is an index and a manifest at once")
