"""Trusted public keys, as ``cosign generate-key-pair`` and ``openssl`` write them, and what they have signed.

sigstore-python verifies no keys (sigstore-python#1244); securesystemslib does, and is what it stands on itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Signature, SSlibKey

from patchwright.errors import Fault, InvalidInput

SUFFIX: Final = ".pub"
_CURVES: Final = {"secp256r1": "ecdsa-sha2-nistp256", "secp384r1": "ecdsa-sha2-nistp384"}
_RSA_BITS: Final = 2048
_MOST: Final = 32


class _Unfit(ValueError):
    """The key is none; ``str()`` is a phrase."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys by name."""

    keys: Mapping[str, SSlibKey]

    def signer(self, signature: bytes, data: bytes) -> str:
        """Give the name of the key that signed these very bytes; empty when none did."""
        for name, key in self.keys.items():
            try:
                key.verify_signature(Signature(key.keyid, signature.hex()), data)
            except UnverifiedSignatureError:
                continue
            return name
        return ""


def load(pems: Mapping[str, bytes]) -> Keys:
    """Read keys; raises ``InvalidInput`` with one fault for each that is none."""
    faults, found = [], {}
    for name, pem in sorted(pems.items())[:_MOST]:
        try:
            found[name] = _key(pem)
        except _Unfit as fault:
            faults.append(Fault(f"verify.secretRef.{name}", str(fault)))
    if len(pems) > _MOST:
        faults.append(Fault("verify.secretRef", f"the Secret holds {len(pems)} keys; at most {_MOST} are tried"))
    if faults:
        raise InvalidInput(faults, reason="VerificationError")
    return Keys(found)


def _key(pem: bytes) -> SSlibKey:
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _Unfit("it is no public key in PEM (-----BEGIN PUBLIC KEY-----)") from error
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return SSlibKey.from_crypto(key, scheme=_CURVES[key.curve.name])
    if isinstance(key, ed25519.Ed25519PublicKey):
        return SSlibKey.from_crypto(key, scheme="ed25519")
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < _RSA_BITS:
            raise _Unfit(f"it is an RSA key of {key.key_size} bits; use one of {_RSA_BITS} or more")
        return SSlibKey.from_crypto(key, scheme="rsa-pkcs1v15-sha256")
    raise _Unfit("it is of a kind that is not supported; use ECDSA P-256 or P-384, Ed25519 or RSA")
