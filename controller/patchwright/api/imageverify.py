"""Who must have signed an image, as PatchPolicy spells it, in the words of ``verify`` of Flux's OCIRepository."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from patchwright.api.base import Rule, WireModel
from patchwright.api.scalars import Name
from patchwright.domain.images import patterns, trust


def _compiles(text: str) -> str:
    patterns.compiled(text)
    return text


_Pattern = Annotated[str, Field(min_length=1, max_length=patterns.LONGEST), AfterValidator(_compiles)]


class KeysRef(WireModel):
    """A Secret by name."""

    name: Name
    """The name of a Secret in the policy's namespace."""


class OIDCIdentity(WireModel):
    """Whom a certificate may be for."""

    issuer: _Pattern
    """A regular expression of Go (RE2), matched anywhere in who knows the signer, such as
    `^https://token\\.actions\\.githubusercontent\\.com$`."""
    subject: _Pattern
    """A regular expression of Go (RE2), matched anywhere in who signed, such as
    `^https://github\\.com/acme/api/\\.github/workflows/release\\.yaml@refs/tags/v.*$`."""

    def domain(self) -> trust.Identity:
        """Convert to the domain."""
        return trust.Identity(self.issuer, self.subject)


class Verify(WireModel):
    """Who must have signed an image: the holder of one of some keys, or one of some identities."""

    rules = (
        Rule(
            "has(self.secretRef) || has(self.matchOIDCIdentity)",
            "at least one of secretRef and matchOIDCIdentity must be set, or anybody's signature would do",
            lambda it: it.secret_ref is not None or it.match_oidc_identity is not None,
        ),
        Rule(
            "!has(self.trustedRootSecretRef) || has(self.matchOIDCIdentity)",
            "trustedRootSecretRef goes with matchOIDCIdentity: keys need no root",
            lambda it: it.trusted_root_secret_ref is None or it.match_oidc_identity is not None,
            field=".trustedRootSecretRef",
        ),
    )
    hints: ClassVar[Mapping[str, str]] = {
        "cosignKey": "put the public key into a Secret, under a name that ends in .pub, and name it in secretRef",
        "matchOidcIdentity": "it is spelled matchOIDCIdentity, as in Flux",
        "identities": "trusted identities are called matchOIDCIdentity, as in Flux",
    }
    provider: Literal["cosign"] | None = None
    """What signs; `cosign` (the default)."""
    secret_ref: KeysRef | None = None
    """A Secret with trusted public keys in PEM, under names that end in `.pub`: ECDSA P-256 or P-384, Ed25519 or RSA.
    A signature by one of them is enough."""
    match_oidc_identity: Annotated[tuple[OIDCIdentity, ...], Field(min_length=1, max_length=16)] | None = Field(
        default=None, alias="matchOIDCIdentity"
    )
    """Trusted identities of keyless signatures; a signature by one of them is enough."""
    trusted_root_secret_ref: KeysRef | None = None
    """A Secret with the `trusted_root.json` of a Sigstore of one's own; left out, the public one, as it was when this
    version of Patchwright was made."""

    def domain(self) -> trust.Verify:
        """Convert to the domain."""
        root = self.trusted_root_secret_ref
        return trust.Verify(
            self.secret_ref.name if self.secret_ref else None,
            tuple(each.domain() for each in self.match_oidc_identity or ()),
            trusted_root=root.name if root else None,
        )
