"""Versions of an image as files spell them, and how a new one is spelled in the same place."""

from __future__ import annotations

import re
from dataclasses import dataclass

from patchwright.domain.workloads import images

# What is filled in by somebody else: Helm and Go templates, Flux's postBuild, Kustomize's vars.
TEMPLATED = re.compile(r"\{\{|\$\{|\$\(")
_VERSION = re.compile(r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?\Z", re.ASCII)
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null", "~", ""})
# Numbers in any base, times and dates, as any reader of YAML takes them; in doubt a word is quoted.
_NUMBER_LIKE = re.compile(r"[-+.0-9][-+.:_0-9a-fA-FxXoOTtZz]*|\.?(inf|nan)", re.IGNORECASE)
_DOTTED = re.compile(r"\d+(\.\d+){2,}")


@dataclass(frozen=True, slots=True)
class Version:
    """A tag, a digest, or both; the digest says what it is then."""

    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        """Give it as people write it after an image's name: ``1.2@sha256:…``."""
        return "@".join(part for part in (self.tag, self.digest) if part) or "no tag"

    @property
    def suffix(self) -> str:
        """What follows the name in a reference."""
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def is_that(self, other: Version) -> bool:
        """Tell whether two spellings mean the same: by the digest where both have one, else by the tag."""
        if self.digest and other.digest:
            return self.digest == other.digest
        return self.tag == other.tag and (bool(self.tag) or self.digest == other.digest)

    def serves(self, wanted: Version) -> bool:
        """Tell whether it is all that is wanted: the same tag alone does not do where a digest is."""
        return self.is_that(wanted) and bool(self.digest or not wanted.digest)


def of_image(text: str) -> Version:
    """Give the version of a whole reference."""
    found = _VERSION.search(text)
    assert found is not None  # both parts are optional, and the end is always there
    return Version(found["tag"] or "", found["digest"] or "")


def of_parts(tag: str, digest: str) -> Version:
    """Give the version of a tag and a digest that stand apart; the tag may hold both (``1.2@sha256:…``)."""
    inner, _, pinned = tag.partition("@")
    return Version(inner, digest or pinned)


def name_of(text: str) -> str:
    """Give a reference without its version, as it is spelled."""
    found = _VERSION.search(text)
    return text[: found.start()] if found else text


def fixed_part(text: str) -> str:
    """Give the name before the first thing that a template fills in."""
    return TEMPLATED.split(text, maxsplit=1)[0].rstrip(":@")


def repository(text: str) -> str:
    """Give the canonical repository of a reference; empty when it is none."""
    return images.repository(text)


def spelled(text: str, style: str) -> str | None:
    """Spell a text in the style that its scalar has; ``None`` when that cannot be.

    A plain scalar is quoted only when some reader would take the new text for something else: ``1.10`` is a number.
    """
    if style:
        return f"{style}{text}{style}"
    if not text:
        return None
    return f'"{text}"' if _misread(text) else text


def _misread(text: str) -> bool:
    return text.lower() in _WORDS or bool(_NUMBER_LIKE.fullmatch(text) and not _DOTTED.fullmatch(text))
