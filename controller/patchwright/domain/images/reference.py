"""Image references, by the grammar that kubelet and containerd read them with (distribution/reference v0.6.0).

``nginx`` is ``docker.io/library/nginx``, ``acme/api`` is ``docker.io/acme/api``; what stands before the first slash is
a registry when it is ``localhost``, holds a dot, a colon or an upper-case letter. A missing tag stays missing: whoever
asks a registry asks for ``latest`` then, but nothing is written that nobody wrote.

Stricter than the original in one thing: ``foo_bar.com/x``, which it reads as an image of no registry, is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

DOCKER_HUB: Final = "docker.io"
LATEST: Final = "latest"
_HUB_ALIAS: Final = "index.docker.io"
_OFFICIAL: Final = "library"
# The original has no limit for the registry's part; nothing that DNS knows is longer than this.
_LONGEST: Final = 1024
_LONGEST_REPOSITORY: Final = 255
_SHOWN: Final = 80

_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[a-f0-9]{64}|sha384:[a-f0-9]{96}|sha512:[a-f0-9]{128}")
# 64 hexadecimal digits are an image's ID to Docker, and no name.
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")


class InvalidReference(ValueError):
    """The text is no image reference; ``str()`` is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An image in a registry; always one that could have been parsed.

    With a tag and a digest, the digest says what it is, and the tag is what people read.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    def __post_init__(self) -> None:
        for what, text, fault in (
            ("registry", self.registry, _registry_fault(self.registry)),
            ("repository", self.repository, _repository_fault(self.repository)),
            ("tag", self.tag, "" if self.tag is None or is_tag(self.tag) else "is no tag"),
            ("digest", self.digest, "" if self.digest is None or is_digest(self.digest) else "is no digest"),
        ):
            if fault:
                why = f"the {what} {_shown(text or '')} {fault}"
                raise InvalidReference(f"{_shown(str(self))} is no image reference: {why}; correct it.")

    def __str__(self) -> str:
        """Give the canonical text, which parses to the same reference."""
        tag = f":{self.tag}" if self.tag is not None else ""
        digest = f"@{self.digest}" if self.digest is not None else ""
        return f"{self.name}{tag}{digest}"

    @property
    def name(self) -> str:
        """Registry and repository, ``docker.io/library/nginx``."""
        return f"{self.registry}/{self.repository}"

    @property
    def version(self) -> str:
        """What a registry is asked for: the digest, else the tag, else ``latest``."""
        return self.digest or self.tag or LATEST

    def tagged(self, tag: str) -> Reference:
        """Give the image of another tag, whatever digest that has."""
        return replace(self, tag=tag, digest=None)

    def pinned(self, digest: str) -> Reference:
        """Give the same name and tag, held at a digest."""
        return replace(self, digest=digest)


def parse(text: str) -> Reference:
    """Read a reference as it stands in a pod template.

    Raises:
        InvalidReference: it is none.
    """
    if len(text) > _LONGEST:
        raise InvalidReference(f"{_shown(text)} is no image reference: it is longer than {_LONGEST} characters.")
    if "://" in text:
        raise InvalidReference(f"{_shown(text)} is no image reference: it begins with a scheme; leave that out.")
    if _IDENTIFIER.fullmatch(text):
        raise InvalidReference(f"{_shown(text)} is an image's ID; name the image as repository@sha256:<digest>.")
    registry, rest = _split(text)
    rest, at, digest = rest.partition("@")
    repository, colon, tag = rest.partition(":")
    if registry == DOCKER_HUB and "/" not in repository:
        repository = f"{_OFFICIAL}/{repository}" if repository else ""
    return Reference(registry, repository, tag=tag if colon else None, digest=digest if at else None)


def is_tag(text: str) -> bool:
    """Tell whether a registry could have a tag of this name."""
    return _TAG.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Tell whether this is a digest by one of the registered algorithms: sha256, sha384 or sha512."""
    return _DIGEST.fullmatch(text) is not None


def _split(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    if not slash:
        return DOCKER_HUB, text
    if first == _HUB_ALIAS:
        return DOCKER_HUB, rest
    if first == "localhost" or "." in first or ":" in first or first.lower() != first:
        return first, rest
    return DOCKER_HUB, text


def _registry_fault(text: str) -> str:
    return "" if _REGISTRY.fullmatch(text) else "is no host name with an optional port"


def _repository_fault(text: str) -> str:
    if not text:
        return "is empty"
    if len(text) > _LONGEST_REPOSITORY:
        return f"is longer than {_LONGEST_REPOSITORY} characters"
    if _REPOSITORY.fullmatch(text):
        return ""
    return "holds capital letters" if _REPOSITORY.fullmatch(text.lower()) else "is no path of lower-case words"


def _shown(text: str) -> str:
    cut = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return repr(cut)
