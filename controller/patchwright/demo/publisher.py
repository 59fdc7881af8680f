"""A publisher of images: pushes releases to the sandbox's registry, and asks it what a tag is."""

from __future__ import annotations

import hashlib
from typing import Final

from patchwright.sandbox import images

# As examples/policy-repo names it; in the demo the registry is on this machine.
EXAMPLE_HOST: Final = "registry.example.com"
REPOSITORY: Final = "storefront/web"
APPLICATION: Final = "checkout/app"


class Publisher:
    """Whoever may push to the registry at ``url``."""

    def __init__(self, url: str) -> None:
        self._store = images.Store(url)

    @property
    def host(self) -> str:
        """What stands before the first slash of an image."""
        return self._store.host

    def image(self, name: str = REPOSITORY) -> str:
        """Give an image without tag and digest, as manifests name it."""
        return f"{self.host}/{name}"

    def push(self, tag: str, name: str = REPOSITORY) -> str:
        """Push a release; give it as manifests name it, pinned."""
        self._store.push(f"{name}:{tag}", platforms=["linux/amd64", "linux/arm64"])
        return self.pinned(tag, name)

    def pinned(self, tag: str, name: str = REPOSITORY) -> str:
        """Give what the registry says that a tag is, as manifests name it."""
        whole = self._store.manifest(f"{name}:{tag}")
        return f"{self.image(name)}:{tag}@sha256:{hashlib.sha256(whole).hexdigest()}"


def digest_of(pinned: str) -> str:
    """Give the digest of a pinned image."""
    return pinned.rpartition("@")[2]
