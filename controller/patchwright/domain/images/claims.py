"""What a signed payload claims: cosign's simple signing, and in-toto statements. Read only after it was verified.

The digest in it is what counts. The name in it is what its signer called the image, which a mirror calls otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from patchwright.domain.images import reference

SIGNATURE: Final = "https://sigstore.dev/cosign/sign/v1"
"""The predicate of a signature that is kept as a bundle; all others are attestations."""

_SIMPLE_TYPES: Final = frozenset({"cosign container image signature", "atomic container signature"})
_STATEMENTS: Final = frozenset({"https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"})
_LONGEST_PREDICATE: Final = 512
_MOST_SUBJECTS: Final = 1000


class Malformed(ValueError):
    """The payload is no such claim; ``str()`` is a phrase."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The digests that a payload is about; ``predicate`` is empty for a signature."""

    digests: frozenset[str]
    predicate: str = ""


def simple_signing(payload: bytes) -> Claim:
    """Read a payload of the type ``application/vnd.dev.cosign.simplesigning.v1+json``."""
    critical = _mapping(_object(payload).get("critical"))
    if critical.get("type") not in _SIMPLE_TYPES:
        raise Malformed("its payload is of another type than a signature's")
    digest = _mapping(critical.get("image")).get("docker-manifest-digest")
    if not isinstance(digest, str) or not reference.is_digest(digest):
        raise Malformed("its payload names no digest")
    return Claim(frozenset({digest}))


def statement(payload: bytes) -> Claim:
    """Read an in-toto statement."""
    document = _object(payload)
    predicate, subjects = document.get("predicateType"), document.get("subject")
    if document.get("_type") not in _STATEMENTS:
        raise Malformed("its payload is no in-toto statement")
    if not isinstance(predicate, str) or not 0 < len(predicate) <= _LONGEST_PREDICATE:
        raise Malformed("its statement says of no predicate what type it is")
    if not isinstance(subjects, list) or len(subjects) > _MOST_SUBJECTS:
        raise Malformed("its statement is about nothing, or about too much")
    digests = frozenset(digest for subject in subjects for digest in _digests(_mapping(subject).get("digest")))
    return Claim(digests, "" if predicate == SIGNATURE else predicate)


def _digests(raw: Any) -> list[str]:
    found = [f"{algorithm}:{value}" for algorithm, value in _mapping(raw).items()]
    return [each for each in found if reference.is_digest(each)]


def _object(payload: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise Malformed("its payload is no JSON object") from error
    return _mapping(document)


def _mapping(raw: Any) -> Mapping[str, Any]:
    if not isinstance(raw, dict):
        raise Malformed("its payload has something else where an object belongs")
    return raw
