"""Which login of which pull secret is for which image, by kubelet's rules (pkg/credentialprovider/keyring.go, 1.37).

A secret names hosts, with ``*`` inside a label and an optional path: ``registry.example.com/team``, ``*.example.com``.
Port and number of labels must be the same, the path must be a prefix, and the more specific entry comes first. Several
may fit; they are tried in turn, which is how a password is rotated. ``https://index.docker.io/v1/`` is Docker Hub.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from patchwright.domain.images.reference import DOCKER_HUB, Reference

_HUB_KEY = "index.docker.io"
_HOST = re.compile(r"([^/?#@\[\]:\\%\s]+|\[[0-9a-fA-F:]+\])(?::([0-9]*))?")


@dataclass(frozen=True, slots=True)
class Login:
    """A user name and a password; neither is ever shown."""

    username: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """A login and what it is for."""

    host: str
    port: str
    path: str
    login: Login

    @property
    def key(self) -> str:
        """What entries are sorted by; equal for entries that mean the same images."""
        return f"{self.host}{':' if self.port else ''}{self.port}{self.path}"

    def fits(self, image: Reference) -> bool:
        """Tell whether this login is for an image."""
        host, port = _split(image.registry)
        patterns, labels = self.host.split("."), host.split(".")
        return (
            self.port == port
            and len(patterns) == len(labels)
            and f"/{image.repository}".startswith(self.path)
            and all(_glob(pattern, label) for pattern, label in zip(patterns, labels, strict=True))
        )


@dataclass(frozen=True, slots=True)
class Keyring:
    """The logins of some pull secrets, the most specific first; empty for anonymous."""

    entries: tuple[Entry, ...] = ()

    def logins(self, image: Reference) -> tuple[Login, ...]:
        """Give the logins that may open an image, in the order in which to try them."""
        fitting = [entry.login for entry in self.entries if entry.fits(image)]
        if not fitting and image.registry == DOCKER_HUB:
            fitting = [entry.login for entry in self.entries if entry.key == _HUB_KEY]
        return tuple(dict.fromkeys(fitting))


ANONYMOUS = Keyring()


def keyring(entries: Iterable[Entry]) -> Keyring:
    """Put entries into the order in which they are tried; those of the same images stay in the order given."""
    return Keyring(tuple(sorted(entries, key=lambda entry: entry.key, reverse=True)))


def entry(where: str, login: Login) -> Entry | None:
    """Read one key of ``auths``; ``None`` for one that names no host, which kubelet passes over as well."""
    for scheme in ("https://", "http://"):
        if where.startswith(scheme):
            where = where.removeprefix(scheme)
            break
    match = _HOST.match(where)
    rest = where[match.end() :] if match else "?"
    if match is None or rest[:1] not in ("", "/", "?", "#"):
        return None
    path = re.split("[?#]", rest, maxsplit=1)[0]
    if path.startswith(("/v1/", "/v2/")):
        path = path[3:]
    return Entry(match[1], match[2] or "", path if path != "/" else "", login)


def _split(registry: str) -> tuple[str, str]:
    match = _HOST.fullmatch(registry)
    assert match is not None
    return match[1], match[2] or ""


def _glob(pattern: str, text: str) -> bool:
    # By hand, because a regular expression of many stars takes for ever on a text that nearly fits, and whoever may
    # write a Secret writes the pattern.
    first, *rest = pattern.split("*")
    if not rest:
        return text == first
    return text.startswith(first) and _follow(rest, text[len(first) :])


def _follow(parts: Sequence[str], text: str) -> bool:
    *inner, last = parts
    for part in inner:
        at = text.find(part)
        if at < 0:
            return False
        text = text[at + len(part) :]
    return text.endswith(last)
