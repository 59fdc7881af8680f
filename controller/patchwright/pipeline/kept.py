"""Whether registries still have what may have to be put back (L4)."""

from __future__ import annotations

from patchwright import errors, ports
from patchwright.domain.images import reference
from patchwright.domain.model import PatchPolicy
from patchwright.domain.workloads import reversible
from patchwright.domain.workloads.view import Kept
from patchwright.image_ports import ImageWorld
from patchwright.pipeline.looks import Looker


class KeptImages:
    """Implements ``ports.Registries`` by what following images needs anyway."""

    def __init__(self, world: ImageWorld) -> None:
        self._images = world.images
        self._looker = Looker(world)

    async def has(self, policy: PatchPolicy, image: str) -> bool:
        """Ask with the login of the entry that follows the image: it has listed the repository's tags."""
        followed = reversible.follows(policy, image)
        keyring = await self._looker.keyring(policy, followed.secret if followed else None)
        return await self._images.exists(reference.parse(image), keyring)


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
