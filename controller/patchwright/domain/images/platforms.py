"""Platforms of images, ``linux/arm64/v8``, and whether an image has what a fleet needs.

Spelled and compared as containerd does: ``aarch64`` is ``arm64``, ``arm64`` is ``arm64/v8``, ``arm`` is ``arm/v7``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ALIASES: Final = {
    "aarch64": ("arm64", ""),
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "i386": ("386", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
# What an architecture is when nobody says which variant.
_PLAIN: Final = {("arm64", "v8"), ("arm64", "8"), ("amd64", "v1")}


class InvalidPlatform(ValueError):
    """The text is no platform; ``str()`` is a sentence that says why."""


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """An operating system and an architecture; ``variant`` is empty where the architecture has only one that counts."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        """Give the text that parses to the same platform."""
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def parse(text: str) -> Platform:
    """Read ``os/architecture[/variant]``.

    Raises:
        InvalidPlatform: it is none.
    """
    parts = text.split("/")
    if len(parts) not in (2, 3) or not all(_WORD.fullmatch(part) for part in parts):
        raise InvalidPlatform(f"{text[:80]!r} is no platform; write it as linux/amd64 or linux/arm/v7.")
    return normal(*parts)


def normal(os: str, architecture: str, variant: str = "") -> Platform:
    """Give a platform in its one spelling."""
    os, architecture, variant = os.lower(), architecture.lower(), variant.lower()
    architecture, implied = _ALIASES.get(architecture, (architecture, ""))
    variant = variant or implied
    if architecture == "arm":
        # A bare digit is how some builders write it (containerd/platforms normalises it, too).
        variant = f"v{variant}" if variant.isdigit() else variant or "v7"
    return Platform(os, architecture, "" if (architecture, variant) in _PLAIN else variant)


def missing(wanted: Iterable[Platform], found: Iterable[Platform]) -> tuple[Platform, ...]:
    """Give what is wanted and not found, in the order in which it is wanted."""
    there = frozenset(found)
    return tuple(each for each in dict.fromkeys(wanted) if each not in there)


def lacking(wanted: Iterable[str], found: Iterable[str]) -> list[str]:
    """Give what is wanted and not found, as it is written; other spellings of a platform count as it."""
    there = frozenset(_plain(text) for text in found)
    return [text for text in wanted if _plain(text) not in there]


def _plain(text: str) -> str:
    parts = text.split("/")
    return str(normal(*parts)) if len(parts) in (2, 3) else text
