"""Whether registries still have what may have to be put back (L4)."""

from __future__ import annotations

from patchwright import errors, ports
from patchwright.domain.images import reference
from patchwright.domain.images.keyring import Keyring
from patchwright.domain.images.reference import Reference
from patchwright.domain.model import PatchPolicy
from patchwright.domain.workloads import reversible
from patchwright.domain.workloads.view import Kept
from patchwright.image_ports import Images, Secrets
from patchwright.pipeline import looks


class KeptImages:
    """Implements ``ports.Registries`` by what following images needs anyway."""

    def __init__(self, images: Images, secrets: Secrets) -> None:
        self._images = images
        self._secrets = secrets

    async def has(self, policy: PatchPolicy, image: str) -> bool:
        """Ask with the login of the entry that follows the image: it has listed the repository's tags."""
        wanted = reference.parse(image)
        return await self._images.exists(wanted, await self.keyring(policy, wanted))

    async def keyring(self, policy: PatchPolicy, image: Reference) -> Keyring:
        """Give the login that a policy has for an image: that of the entry that follows it."""
        followed = reversible.follows(policy, str(image))
        return await looks.login(self._images, self._secrets, policy, secret=followed.secret if followed else None)


async def ask(world: ports.World, policy: PatchPolicy, image: str) -> Kept:
    """Ask whether an image is there; that nobody answers is an answer, too, which lets nothing begin.

    Raises:
        ClusterError: the pull secret could not be read.
    """
    try:
        there = await world.registries.has(policy, image)
    except (errors.RegistryError, errors.InvalidInput) as error:
        return Kept(world.clock.now(), None, error.reason, str(error))
    return Kept(world.clock.now(), there)
