"""Where a registry is asked: https, but for loopback and for what somebody said otherwise."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from yarl import URL

from patchwright import errors
from patchwright.domain.images.reference import DOCKER_HUB, Reference

# Docker Hub's name in images is not the host that answers.
_HUB: Final = URL("https://registry-1.docker.io")


@dataclass(frozen=True, slots=True)
class Addresses:
    """``plain_http`` are the registries, ``host`` or ``host:port``, that are asked without TLS.

    ``elsewhere`` has the addresses of registries that the operator reaches by another name than the nodes do: kind's
    ``localhost:5001`` is ``http://kind-registry:5000`` inside the cluster.
    """

    plain_http: frozenset[str] = frozenset()
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    def home(self, image: Reference) -> URL:
        """Give the address of an image's registry."""
        if image.registry in self.elsewhere:
            return URL(self.elsewhere[image.registry]).origin()
        if image.registry == DOCKER_HUB:
            return _HUB
        try:
            return self._of(image.registry)
        except ValueError as error:
            raise errors.RegistryUnusable(
                f"Registry {image.registry} cannot be asked for {image}: that is no host and port; correct the image"
            ) from error

    def _of(self, registry: str) -> URL:
        if registry.startswith("["):
            # The grammar takes any colons and digits in there, and yarl builds an address of them that it cannot read.
            ipaddress.IPv6Address(registry[1 : registry.index("]")])
        url = URL(f"https://{registry}").origin()
        # As containerd does: a registry on this very machine has no certificate unless it has the port for one.
        plain = registry in self.plain_http or (_is_loopback(url.host or "") and not registry.endswith(":443"))
        return URL(f"http://{registry}").origin() if plain else url

    def at(self, image: Reference, rest: str) -> URL:
        """Give the address of something of an image's repository, ``manifests/latest``."""
        # Nothing to quote: the grammar of references has nothing that means something in a URL.
        return URL(f"{self.home(image)}/v2/{image.repository}/{rest}", encoded=True)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
