"""Who vouches for an image: whom a policy trusts, what was found, and what that comes to.

A signature by somebody who is not trusted is no signature. What cannot be read is a fact with an error in it: whoever
may push into a repository could stop every rollout otherwise, or hide a good signature behind a bad one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

UNKNOWN: Final = "SignaturesUnknown"
"""The reason for having no decision while nobody can say who signed; no ``failurePolicy`` passes over it."""

_SHOWN: Final = 2


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a certificate may be for: patterns (RE2), matched anywhere in the issuer and in the subject."""

    issuer: str
    subject: str


@dataclass(frozen=True, slots=True)
class Verify:
    """Whom a policy trusts: the keys of a Secret, identities, or both; one good signature is enough.

    ``trusted_root`` is the Secret with the roots of a Sigstore of one's own; ``None`` is the public one.
    """

    keys: str | None = None
    identities: tuple[Identity, ...] = ()
    trusted_root: str | None = None


class Form(StrEnum):
    """What is attached to an image, by its media type."""

    SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
    ENVELOPE = "application/vnd.dsse.envelope.v1+json"
    BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


@dataclass(frozen=True, slots=True)
class Document:
    """A signature or an attestation as a registry has it, unverified; of a simple signature ``body`` is the payload.

    ``signature`` is in Base64, empty where it is in the body; ``certificate`` tells that there is one beside it.
    """

    form: Form
    body: bytes = field(repr=False)
    signature: str = ""
    certificate: bool = False


@dataclass(frozen=True, slots=True)
class Attached:
    """All that is attached to an image; ``faults`` are phrases about what could not be read."""

    documents: tuple[Document, ...] = ()
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Material:
    """What is verified with: public keys (PEM) by name, identities, and a trusted root (JSON), ``None`` for our own."""

    keys: Mapping[str, bytes] = field(default_factory=dict, hash=False)
    identities: tuple[Identity, ...] = ()
    root: bytes | None = None


@dataclass(frozen=True, slots=True, order=True)
class Voucher:
    """One verified claim about the very digest: by a trusted ``key``, or by ``issuer`` and ``subject``.

    ``predicate`` is empty for a signature. ``at`` is when a log or a timestamp says that it was signed, which only
    claims of an identity have.
    """

    key: str = ""
    issuer: str = ""
    subject: str = ""
    predicate: str = ""
    at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What verification came to; ``faults`` are phrases about each claim that does not count."""

    vouchers: tuple[Voucher, ...] = ()
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trust:
    """The facts about one image. Nothing is ``asked`` where the policy trusts nobody, and nothing is known then."""

    asked: bool = False
    signed: bool = False
    key: str = ""
    issuer: str = ""
    subject: str = ""
    attestations: tuple[str, ...] = ()
    signed_at: datetime | None = None
    error: str = ""


NOT_ASKED: Final = Trust()


class AgeSource(StrEnum):
    """How we know that an image was there at an instant."""

    SIGNATURE = "Signature"
    ROLLOUT = "Rollout"


def judge(evidence: Evidence) -> Trust:
    """Give the facts; of several signatures the first by name is told, and the earliest proven time of all."""
    signatures = sorted(each for each in evidence.vouchers if not each.predicate)
    first = signatures[0] if signatures else Voucher()
    times = [each.at for each in evidence.vouchers if each.at is not None]
    return Trust(
        asked=True,
        signed=bool(signatures),
        key=first.key,
        issuer=first.issuer,
        subject=first.subject,
        attestations=tuple(sorted({each.predicate for each in evidence.vouchers if each.predicate})),
        signed_at=min(times, default=None),
        error=_told(evidence),
    )


def since(trust: Trust, created_at: datetime) -> tuple[datetime, AgeSource]:
    """Give since when an image is known to have been there.

    Nobody can name a digest before there is something that has it, so it is as old as the rollout that names it at
    least. The date inside the image is its builder's word, and proves nothing.
    """
    if trust.signed_at is not None and trust.signed_at < created_at:
        return trust.signed_at, AgeSource.SIGNATURE
    return created_at, AgeSource.ROLLOUT


def _told(evidence: Evidence) -> str:
    counts = Counter(evidence.faults)
    told = [f"{fault} ({count} times)" if count > 1 else fault for fault, count in counts.items()]
    more = f", and {len(told) - _SHOWN} other faults" if len(told) > _SHOWN else ""
    return "; ".join(told[:_SHOWN]) + more
