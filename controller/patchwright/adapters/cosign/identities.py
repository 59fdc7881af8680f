"""Keyless signatures: a bundle, a trusted root, and whom the certificate is for. sigstore-python verifies all of it.

Offline: the certificate's chain, its SCT, the log's inclusion proof and checkpoint, and the time of the signature are
all in the bundle, and what they are checked against is in the root.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat import asn1
from sigstore.errors import Error, VerificationError
from sigstore.models import Bundle, TrustedRoot
from sigstore.verify import Verifier
from sigstore_models.trustroot.v1 import TrustedRoot as RootDocument

from patchwright.domain.images import patterns
from patchwright.domain.images.claims import Malformed
from patchwright.domain.images.patterns import Pattern
from patchwright.domain.images.trust import Identity
from patchwright.errors import Fault, InvalidInput

_IN_TOTO: Final = "application/vnd.in-toto+json"
_ISSUER: Final = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_OLD_ISSUER: Final = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_USER_NAME: Final = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.7")
# The root that sigstore was released with; a refresh would be a request to somebody at the moment of a decision.
_STORE, _PUBLIC = "sigstore._store", "https%3A%2F%2Ftuf-repo-cdn.sigstore.dev"
# What a stranger's certificate and bundle can make sigstore and cryptography raise, besides their own errors.
_BROKEN: Final = (
    Error, ValueError, TypeError, KeyError, IndexError, AttributeError, InvalidSignature, UnsupportedAlgorithm,
    x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Signature:
    """A verified bundle: its payload, and who signed it, not later than ``before``."""

    payload: bytes
    issuer: str
    subject: str
    before: datetime


class Identities:
    """Verifies bundles for identities; raises ``InvalidInput`` for a root that is none."""

    def __init__(self, identities: Sequence[Identity], root: bytes | None) -> None:
        self._identities = [(patterns.compiled(each.issuer), patterns.compiled(each.subject)) for each in identities]
        self._verifier = Verifier(trusted_root=_root(root))

    def open(self, body: bytes) -> Signature:
        """Verify a bundle.

        Raises:
            Malformed: it does not count; ``str()`` is a phrase.
        """
        try:
            bundle = Bundle.from_json(body)
            kind, payload = self._verifier.verify_dsse(bundle, _Anybody(self._identities))
            issuer, subjects = _named(bundle.signing_certificate)
        except Malformed:
            raise
        except _Nobody as error:
            raise Malformed(str(error)) from error
        except _BROKEN as error:
            # Not its text: that repeats what a stranger wrote, at any length.
            raise Malformed(f"sigstore refuses it ({type(error).__name__})") from error
        if kind != _IN_TOTO:
            raise Malformed("its payload is no in-toto statement")
        # Its certificate lived for some minutes, and the signature was made in them; so it is no younger than this.
        return Signature(payload, issuer, subjects[0], bundle.signing_certificate.not_valid_after_utc)


class _Nobody(VerificationError):
    """The certificate is for none of the identities."""


class _Anybody:
    """A sigstore ``VerificationPolicy``: one of these identities. Its own compare texts, and Flux has patterns."""

    def __init__(self, identities: Sequence[tuple[Pattern, Pattern]]) -> None:
        self._identities = identities

    def verify(self, cert: x509.Certificate) -> None:
        """Raise unless one of the identities is the certificate's."""
        issuer, subjects = _named(cert)
        for wanted, subject in self._identities:
            if wanted.search(issuer) and any(subject.search(each) for each in subjects):
                return
        raise _Nobody(f"it is signed by {_cut(subjects[0])} of {_cut(issuer)}, which is none of the trusted identities")


def _named(certificate: x509.Certificate) -> tuple[str, list[str]]:
    """Give whom a certificate is for (Fulcio's oid-info.md): the issuer, and the names."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    found = [*names.get_values_for_type(x509.UniformResourceIdentifier), *names.get_values_for_type(x509.RFC822Name)]
    others = [each for each in names.get_values_for_type(x509.OtherName) if each.type_id == _USER_NAME]
    found += [asn1.decode_der(str, each.value) for each in others]
    if not found:
        raise Malformed("its certificate is for nobody")
    return _issuer(certificate), found


def _issuer(certificate: x509.Certificate) -> str:
    found = {each.oid: each.value for each in certificate.extensions}
    new, old = found.get(_ISSUER), found.get(_OLD_ISSUER)
    if isinstance(new, x509.UnrecognizedExtension):
        return asn1.decode_der(str, new.value)
    if isinstance(old, x509.UnrecognizedExtension):
        return old.value.decode()
    raise Malformed("its certificate does not say who knows the signer")


def _root(root: bytes | None) -> TrustedRoot:
    if root is None:
        root = importlib.resources.files(_STORE).joinpath(_PUBLIC, "trusted_root.json").read_bytes()
    try:
        return TrustedRoot(RootDocument.from_json(root))
    except (Error, ValueError) as error:
        raise InvalidInput(
            [Fault("verify.trustedRootSecretRef", "its trusted_root.json is no trusted root of Sigstore")],
            reason="VerificationError",
        ) from error


def _cut(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}…"
