"""From what is attached to an image to who vouches for it. What is not verified is a fault, in words."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from patchwright.adapters.cosign import envelopes, keys
from patchwright.adapters.cosign.envelopes import Signed
from patchwright.domain.images import claims
from patchwright.domain.images.claims import Claim, Malformed
from patchwright.domain.images.trust import Attached, Document, Evidence, Form, Identity, Material, Voucher

if TYPE_CHECKING:
    from patchwright.adapters.cosign.identities import Identities

_UNTRUSTED = "a signature is by none of the trusted keys"
_OLD_KEYLESS = (
    "a keyless signature is in cosign's older form, which cannot be verified offline; sign with cosign 3, as a bundle"
)


def verify(digest: str, attached: Attached, material: Material) -> Evidence:
    """Verify everything that is attached; raises ``InvalidInput`` when the material is none."""
    desk = _Desk(keys.load(material.keys), material)
    vouchers, faults = set(), list(attached.faults)
    for document in attached.documents:
        try:
            vouchers.add(desk.voucher(document, digest))
        except Malformed as fault:
            faults.append(str(fault))
    return Evidence(tuple(sorted(vouchers)), tuple(faults))


class _Desk:
    def __init__(self, trusted: keys.Keys, material: Material) -> None:
        self._keys = trusted
        self._identities = _identities(material.identities, material.root) if material.identities else None

    def voucher(self, document: Document, digest: str) -> Voucher:
        """Give who vouches by a document, for this digest and no other; raises Malformed."""
        claim, voucher = self._opened(document)
        if digest not in claim.digests:
            raise Malformed("a good signature is for another image, and was put here")
        return Voucher(voucher.key, voucher.issuer, voucher.subject, claim.predicate, voucher.at)

    def _opened(self, document: Document) -> tuple[Claim, Voucher]:
        if document.form is Form.BUNDLE:
            found = envelopes.bundle(document.body)
            return self._identified(document.body) if found.certificate else self._enveloped(found.signed)
        if document.certificate:
            raise Malformed(_OLD_KEYLESS)
        if document.form is Form.ENVELOPE:
            return self._enveloped(envelopes.envelope(document.body))
        key = self._signer(Signed(document.body, (envelopes.decoded(document.signature),), document.body))
        return claims.simple_signing(document.body), Voucher(key)

    def _enveloped(self, signed: Signed) -> tuple[Claim, Voucher]:
        key = self._signer(signed)
        return claims.statement(signed.payload), Voucher(key)

    def _signer(self, signed: Signed) -> str:
        """Give the key's name; nothing of the payload is read before there is one."""
        for signature in signed.signatures:
            if name := self._keys.signer(signature, signed.encoded):
                return name
        raise Malformed(_UNTRUSTED)

    def _identified(self, body: bytes) -> tuple[Claim, Voucher]:
        if self._identities is None:
            raise Malformed("a signature is by an identity, and verify.matchOIDCIdentity trusts none")
        found = self._identities.open(body)
        return claims.statement(found.payload), Voucher("", found.issuer, found.subject, at=found.before)


@functools.lru_cache(maxsize=8)
def _identities(identities: tuple[Identity, ...], root: bytes | None) -> Identities:
    from patchwright.adapters.cosign.identities import Identities  # noqa: PLC0415 - two seconds and 45 MiB

    return Identities(identities, root)
