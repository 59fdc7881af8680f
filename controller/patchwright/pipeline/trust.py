"""Who vouches for the images of a change: find what is attached, verify it, and keep what came of it for a while.

Asked before policy is, and never for putting something back.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from patchwright import errors, ports
from patchwright.domain.images import reference, trust
from patchwright.domain.images.keyring import ANONYMOUS, Keyring
from patchwright.domain.images.reference import Reference
from patchwright.domain.images.trust import Material, Trust, Verify
from patchwright.domain.model import ImagePin, Key, PatchPolicy, WorkloadTarget
from patchwright.image_ports import Images, Secrets, Verifier

KEY_SUFFIX: Final = ".pub"
ROOT: Final = "trusted_root.json"
# As long as a decision holds. What is not signed may be in a moment: whoever pushes an image signs it afterwards.
_SIGNED_LIFE: Final = timedelta(minutes=5)
_UNSIGNED_LIFE: Final = timedelta(seconds=30)
_KEPT: Final = 1024
# Seconds. Meanwhile nothing else of the rollout goes on, and what is in flight may have to be put back.
_PATIENCE: Final = 15

Keyrings = Callable[[PatchPolicy, Reference], Awaitable[Keyring]]
_Place = tuple[str, str, str]


def whom(policy: PatchPolicy) -> Verify | None:
    """Give whom a policy trusts to sign images; ``None`` when signatures are not looked at."""
    return policy.target.verify if isinstance(policy.target, WorkloadTarget) else None


async def anonymous(policy: PatchPolicy, image: Reference) -> Keyring:  # noqa: ARG001 - a Keyrings
    """Give no login."""
    return ANONYMOUS


@dataclass(frozen=True, slots=True)
class _Known:
    """What came of the last time that a registry was asked: facts, or the sentence why there are none."""

    until: datetime
    facts: Trust = trust.NOT_ASKED
    trouble: str = ""


class TrustDesk:
    """Implements ``ports.ImageTrust``; ``keyrings`` gives the login that a policy has for an image."""

    def __init__(
        self,
        images: Images,
        secrets: Secrets,
        *,
        verifier: Verifier,
        clock: ports.Clock,
        keyrings: Keyrings = anonymous,
    ) -> None:
        self._images = images
        self._secrets = secrets
        self._verifier = verifier
        self._clock = clock
        self._keyrings = keyrings
        self._known: OrderedDict[_Place, _Known] = OrderedDict()

    async def facts(self, policy: PatchPolicy, pin: ImagePin) -> Trust:
        """Give the facts; a registry that is away is not asked again before it said."""
        verify = whom(policy)
        if verify is None:
            return trust.NOT_ASKED
        try:
            material = await self._material(policy, verify)
            known = await self._look(policy, reference.parse(pin.wanted), material)
        except (errors.ClusterError, errors.InvalidInput) as error:
            raise _unknown(pin, error.message) from error
        if known.trouble:
            raise _unknown(pin, known.trouble)
        return known.facts

    async def _look(self, policy: PatchPolicy, image: Reference, material: Material) -> _Known:
        # By the namespace, too: what one tenant's login sees is no news for another.
        place = policy.key.namespace, str(image), _fingerprint(material)
        known, now = self._known.get(place), self._clock.now()
        if known is None or known.until <= now:
            known = await self._ask(policy, image, material)
            self._known[place] = known
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(place)
        return known

    async def _ask(self, policy: PatchPolicy, image: Reference, material: Material) -> _Known:
        assert image.digest is not None, "images are pinned"
        try:
            async with asyncio.timeout(_PATIENCE):
                attached = await self._images.attached(image, await self._keyrings(policy, image))
        except TimeoutError:
            why = f"Registry {image.registry} takes longer than {_PATIENCE} s to say; see that it is well"
            return _Known(self._clock.now() + _UNSIGNED_LIFE, trouble=why)
        except errors.RegistryError as error:
            wait = timedelta(seconds=error.retry_after or 0.0)
            return _Known(self._clock.now() + wait, trouble=error.message)
        facts = trust.judge(await self._verifier.verify(image.digest, attached, material))
        return _Known(self._clock.now() + (_SIGNED_LIFE if facts.signed else _UNSIGNED_LIFE), facts)

    async def _material(self, policy: PatchPolicy, verify: Verify) -> Material:
        keys: Mapping[str, bytes] = {}
        if verify.keys is not None:
            data = await self._secret(policy, "secretRef", verify.keys)
            keys = {name: pem for name, pem in data.items() if name.endswith(KEY_SUFFIX)}
            if not keys:
                raise _fault("secretRef", f"Secret {verify.keys} holds no key under a name that ends in {KEY_SUFFIX}")
        root = None
        if verify.trusted_root is not None:
            root = (await self._secret(policy, "trustedRootSecretRef", verify.trusted_root)).get(ROOT)
            if root is None:
                raise _fault("trustedRootSecretRef", f"Secret {verify.trusted_root} holds no {ROOT}")
        return Material(keys, verify.identities, root)

    async def _secret(self, policy: PatchPolicy, field: str, name: str) -> Mapping[str, bytes]:
        key = Key(policy.key.namespace, name)
        try:
            return await self._secrets.secret(key)
        except errors.NotFound as error:
            raise _fault(field, f"Secret {key} does not exist; create it, or correct the name") from error


def _unknown(pin: ImagePin, why: str) -> errors.SignaturesUnknown:
    return errors.SignaturesUnknown(f"nobody can say who signed {pin.short}: {why}")


def _fault(field: str, message: str) -> errors.InvalidInput:
    path = f"spec.target.workloads.verify.{field}"
    return errors.InvalidInput([errors.Fault(path, message)], reason="VerificationError")


def _fingerprint(material: Material) -> str:
    sha = hashlib.sha256()
    parts = [part for name, pem in sorted(material.keys.items()) for part in (name.encode(), pem)]
    parts += [part.encode() for each in material.identities for part in (each.issuer, each.subject)]
    for part in (*parts, material.root or b""):
        sha.update(len(part).to_bytes(8, "big") + part)
    return sha.hexdigest()
