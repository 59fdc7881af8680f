"""Image registries over HTTP: tags, digests, platforms; nothing is ever pulled, and nothing written.

``RegistryClient`` implements ``image_ports.Images``.

Law: a registry is a stranger. Its answers are bounded in bytes and seconds, verified where there is a digest to verify
by, and never shown to people. A login goes to the registry it is for and to the token server that this one names, to
nobody else, and into no message. Plain HTTP is spoken on loopback, and elsewhere only where somebody said so. HEAD
comes before GET, because that is what registries do not count as a pull.
"""

from patchwright.adapters.registry.client import RegistryClient

__all__ = ["RegistryClient"]
