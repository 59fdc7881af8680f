"""DSSE envelopes and Sigstore bundles, as far as keys need them; sigstore reads its own."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from securesystemslib.dsse import Envelope

from patchwright.domain.images.claims import Malformed

_IN_TOTO: Final = "application/vnd.in-toto+json"
_SIGNATURES: Final = 16


@dataclass(frozen=True, slots=True)
class Signed:
    """A payload, the signatures over it, and the bytes that they sign."""

    payload: bytes
    signatures: tuple[bytes, ...]
    encoded: bytes


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle: what is signed, and whether a certificate says by whom."""

    signed: Signed
    certificate: bool


def bundle(body: bytes) -> Bundle:
    """Read a bundle; raises Malformed."""
    document = _object(body)
    material = _mapping(document.get("verificationMaterial"))
    if "dsseEnvelope" not in document:
        raise Malformed("its bundle holds no envelope")
    certificate = "certificate" in material or "x509CertificateChain" in material
    return Bundle(_envelope(_mapping(document["dsseEnvelope"])), certificate)


def envelope(body: bytes) -> Signed:
    """Read an envelope; raises Malformed."""
    return _envelope(_object(body))


def decoded(text: Any) -> bytes:
    """Read Base64; raises Malformed."""
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, TypeError) as error:
        raise Malformed("something in it is no Base64") from error


def _envelope(document: Mapping[str, Any]) -> Signed:
    if document.get("payloadType") != _IN_TOTO:
        raise Malformed("its payload is no in-toto statement")
    signatures = document.get("signatures")
    if not isinstance(signatures, list) or not 0 < len(signatures) <= _SIGNATURES:
        raise Malformed("its envelope has no signatures, or too many")
    payload = decoded(document.get("payload"))
    found = tuple(decoded(_mapping(each).get("sig")) for each in signatures)
    return Signed(payload, found, Envelope(payload, _IN_TOTO, {}).pae())


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Malformed("it is no JSON object") from error
    return _mapping(document)


def _mapping(raw: Any) -> Mapping[str, Any]:
    if not isinstance(raw, dict):
        raise Malformed("it has something else where an object belongs")
    return raw
