"""One look at a repository in a registry: the list of tags, and then what ``looking`` says has to be asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Final

from patchwright import errors
from patchwright.domain.images import knowledge, looking, proposals, reference
from patchwright.domain.images.keyring import ANONYMOUS, Keyring
from patchwright.domain.images.knowledge import Knowledge, Look
from patchwright.domain.images.reference import Reference
from patchwright.domain.images.uses import Usage
from patchwright.domain.memory import FailedChange
from patchwright.domain.model import Key, PatchPolicy
from patchwright.image_ports import Images, ImageWorld, Secrets

# Each round asks for what the one before has shown to be missing: the newest tags, further ones, what is in one.
_ROUNDS: Final = 12


class Looker:
    """Looks at repositories."""

    def __init__(self, world: ImageWorld) -> None:
        self._world = world

    async def look(
        self, policy: PatchPolicy, usage: Usage, known: Knowledge, *, failed: Iterable[FailedChange], now: datetime
    ) -> Knowledge:
        """Look once, and give what is known then.

        Raises:
            RegistryError: nothing is to be concluded.
            ClusterError: the pull secret could not be read.
            InvalidInput: it is none.
        """
        image = _reference(usage.image)
        keyring = await login(self._world.images, self._world.secrets, policy, secret=usage.followed.secret)
        look = Look(now, await self._world.images.tags(image, keyring))
        failed = tuple(failed)
        for _ in range(_ROUNDS):
            asked = looking.questions(
                known,
                look,
                usage.running,
                policy=usage.followed.policy,
                memory=lambda scan: proposals.remembered(usage, scan, failed),
                now=now,
            )
            if not (asked.tags or asked.contents):
                break
            look = await self._ask(image, keyring, look, asked)
        return knowledge.learn(known, look)

    async def _ask(self, image: Reference, keyring: Keyring, look: Look, asked: looking.Questions) -> Look:
        digests, absent, contents = dict(look.digests), set(look.absent), dict(look.contents)
        for tag in sorted(asked.tags):
            try:
                digests[tag] = await self._world.images.digest(image.tagged(tag), keyring)
            except errors.ImageNotFound:
                # Listed, and not there: it is on its way out, or was never whole.
                absent.add(tag)
        for digest in sorted(asked.contents):
            contents[digest] = knowledge.contents(await self._world.images.describe(image.pinned(digest), keyring))
        return replace(look, digests=digests, absent=frozenset(absent), contents=contents)


async def login(images: Images, secrets: Secrets, policy: PatchPolicy, *, secret: str | None) -> Keyring:
    """Read the pull secret that a policy names, in its own namespace.

    Raises:
        RegistryAuthFailed: there is none.
        ClusterError: it could not be read.
        InvalidInput: it is no pull secret.
    """
    if secret is None:
        return ANONYMOUS
    key = Key(policy.key.namespace, secret)
    try:
        data = await secrets.secret(key)
    except errors.NotFound:
        message = f"secretRef: Secret {key} does not exist; create it or correct the name"
        raise errors.RegistryAuthFailed(message, retry_after=30.0) from None
    return images.keyring({secret: data})


def _reference(image: str) -> Reference:
    try:
        return reference.parse(image)
    except reference.InvalidReference as error:
        raise errors.RegistryUnusable(str(error)) from error
