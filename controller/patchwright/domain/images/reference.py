"""Image references, as container runtimes read them (distribution/reference)."""

from __future__ import annotations

import re
from dataclasses import dataclass

DOCKER_HUB = "docker.io"
_OFFICIAL = "library/"
_REFERENCE = re.compile(
    r"(?P<name>[A-Za-z0-9\[][A-Za-z0-9._:/\[\]-]*?)"
    r"(:(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(@(?P<digest>[a-z0-9]+:[0-9a-f]{32,}))?",
    re.ASCII,
)
_REPOSITORY = re.compile(r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference with what it leaves out filled in: ``nginx`` is ``docker.io`` and ``library/nginx``."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None


def parse(text: str) -> Reference:
    """Read a reference.

    Raises:
        ValueError: it is none.
    """
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no image reference; write one such as registry.example/team/app:1.2")
    registry, slash, rest = found["name"].partition("/")
    if not slash or not _is_host(registry):
        registry, rest = DOCKER_HUB, found["name"]
    if registry == DOCKER_HUB and "/" not in rest:
        rest = _OFFICIAL + rest
    if not _REPOSITORY.fullmatch(rest):
        raise ValueError(f"{text!r} is no image reference: {rest!r} is no name of a repository")
    return Reference(registry, rest, tag=found["tag"], digest=found["digest"])


def _is_host(text: str) -> bool:
    return "." in text or ":" in text or text == "localhost"
