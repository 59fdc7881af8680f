"""Keys that sign as cosign does, so that unit tests can make what a real cosign never would."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from patchwright.domain.images.trust import Document, Form

DIGEST: Final = f"sha256:{'ab' * 32}"
OTHER: Final = f"sha256:{'cd' * 32}"
SPDX: Final = "https://spdx.dev/Document"
SIGN: Final = "https://sigstore.dev/cosign/sign/v1"
IN_TOTO: Final = "application/vnd.in-toto+json"


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key; ``pem`` is its public half."""

    pem: bytes
    sign: Callable[[bytes], bytes]


def ecdsa(curve: ec.EllipticCurve | None = None) -> Signer:
    """Make a key as ``cosign generate-key-pair`` does."""
    key = ec.generate_private_key(curve or ec.SECP256R1())
    digest = hashes.SHA384() if key.key_size == 384 else hashes.SHA256()
    return Signer(pem(key.public_key()), lambda data: key.sign(data, ec.ECDSA(digest)))


def ed() -> Signer:
    """Make an Ed25519 key."""
    key = ed25519.Ed25519PrivateKey.generate()
    return Signer(pem(key.public_key()), key.sign)


def rsa_key(bits: int = 2048) -> Signer:
    """Make an RSA key."""
    key = rsa.generate_private_key(65537, bits)
    return Signer(pem(key.public_key()), lambda data: key.sign(data, padding.PKCS1v15(), hashes.SHA256()))


def pem(key: Any) -> bytes:
    """Give a public key as a Secret has it."""
    found: bytes = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return found


def b64(data: bytes) -> str:
    """Give Base64."""
    return base64.b64encode(data).decode()


def payload(digest: str = DIGEST, **critical: Any) -> bytes:
    """Give a simple signing payload."""
    found = {
        "identity": {"docker-reference": "ghcr.io/acme/api"},
        "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature",
        **critical,
    }
    return json.dumps({"critical": found, "optional": None}).encode()


def statement(digest: str = DIGEST, predicate: str = SIGN, **changes: Any) -> bytes:
    """Give an in-toto statement."""
    algorithm, _, value = digest.partition(":")
    found = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {algorithm: value}}],
        "predicateType": predicate,
        "predicate": {},
        **changes,
    }
    return json.dumps(found).encode()


def pae(body: bytes, kind: str = IN_TOTO) -> bytes:
    """Give the bytes that a DSSE signature is over."""
    return f"DSSEv1 {len(kind)} {kind} {len(body)} ".encode() + body


def simple(signer: Signer, body: bytes | None = None) -> Document:
    """Give a signature of cosign 1 and 2."""
    body = payload() if body is None else body
    return Document(Form.SIMPLE_SIGNING, body, b64(signer.sign(body)))


def envelope(signer: Signer, body: bytes | None = None, **changes: Any) -> dict[str, Any]:
    """Give a DSSE envelope."""
    body = statement() if body is None else body
    signatures = [{"sig": b64(signer.sign(pae(body)))}]
    return {"payload": b64(body), "payloadType": IN_TOTO, "signatures": signatures, **changes}


def attestation(signer: Signer, body: bytes | None = None) -> Document:
    """Give an attestation of cosign 1 and 2."""
    return Document(Form.ENVELOPE, json.dumps(envelope(signer, body)).encode())


def bundle(
    signer: Signer, body: bytes | None = None, *, material: Mapping[str, Any] | None = None, **changes: Any
) -> Document:
    """Give a signature or an attestation of cosign 3."""
    found = {
        "mediaType": Form.BUNDLE.value,
        "verificationMaterial": material if material is not None else {"publicKey": {"hint": "x"}},
        "dsseEnvelope": envelope(signer, body),
        **changes,
    }
    return Document(Form.BUNDLE, json.dumps(found).encode())
