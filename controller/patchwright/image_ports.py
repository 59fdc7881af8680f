"""What patching images needs from registries; the same rules hold as for ``patchwright.ports``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from patchwright.domain.images.content import Image, Listing
from patchwright.domain.images.keyring import Keyring
from patchwright.domain.images.reference import Reference


class Images(Protocol):
    """Image registries. Nothing is pulled; every answer is the registry's of this moment.

    What is asked for is the reference's digest, else its tag, else ``latest``. Every method raises ``RegistryError``
    only: ``RegistryUnavailable``, ``RegistryAuthFailed``, ``RegistryUnusable`` or ``ImageNotFound``.
    """

    def keyring(self, secrets: Mapping[str, Mapping[str, bytes]]) -> Keyring:
        """Read pull secrets, by name, in the order in which they are tried; raises ``InvalidInput``."""

    async def tags(self, image: Reference, keyring: Keyring) -> Listing:
        """List the tags of the repository. An answer that broke off is an error, never a short list."""

    async def digest(self, image: Reference, keyring: Keyring) -> str:
        """Give the digest that the tag means now: the index's, where there is one."""

    async def exists(self, image: Reference, keyring: Keyring) -> bool:
        """Tell whether the registry still has it; only its own "not found" is a "no"."""

    async def describe(self, image: Reference, keyring: Keyring) -> Image:
        """Give the image's digest, the platforms it is for, and the digests a pod may show for it."""

    async def created(self, image: Reference, keyring: Keyring) -> datetime | None:
        """Give when its publisher says it was built: to be told, never to be decided by."""


class RegistryMeter(Protocol):
    """Who counts the requests to registries."""

    def registry_asked(self, image: str, *, registry: str, what: str, code: str) -> None:
        """Count one request about ``image``.

        ``what`` is ``tags``, ``manifest``, ``blob`` or ``token``, ``code`` the status, or ``none`` without an answer.
        """
