"""Semantic versions and ranges of them, with the meaning that Flux's users know (Masterminds/semver 3.5).

Operators ``= != > < >= <= ~ ^``, wildcards ``1.x``, ranges ``1.2 - 1.4``, a space or comma for "and", ``||`` for "or".
A pre-release matches only where the range itself names one; then all do (``>=1.0.0-0`` takes them all), which is where
npm's ranges, and every library that implements those, differ.

A version has three numbers. ``1.4`` is none, as in Flux: a registry's ``1.4`` moves to each of the releases below it.
Zeros may lead (``2026.02.03``), as in Flux since 2.7, and a ``v`` may stand before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

LONGEST: Final = 256
"""Longer texts are neither versions nor ranges. What is read here comes from strangers."""

_PRE = r"-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)"
_BUILD = r"\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_VERSION = re.compile(rf"v?(\d{{1,20}})\.(\d{{1,20}})\.(\d{{1,20}})(?:{_PRE})?(?:{_BUILD})?", re.ASCII)
_TERM = re.compile(
    rf"(!=|>=|=>|<=|=<|~>|[=><~^])?\s*v?(\d{{1,20}}|[xX*])(?:\.(\d{{1,20}}|[xX*]))?(?:\.(\d{{1,20}}|[xX*]))?"
    rf"(?:{_PRE})?(?:{_BUILD})?(?:\s*,\s*(?=\S)|\s+|\Z)",
    re.ASCII,
)
_HYPHEN = re.compile(r"([^\s,|]+)\s+-\s+([^\s,|]+)")
_SPELLINGS = {"": "=", "=>": ">=", "=<": "<=", "~>": "~"}

PreRelease = tuple[int, tuple[tuple[int, int, str], ...]]
_RELEASE: PreRelease = (1, ())


class Version(NamedTuple):
    """A version; compares in the order of semver.org, section 11. What stands after a ``+`` says nothing."""

    major: int
    minor: int
    patch: int
    pre: PreRelease

    @property
    def released(self) -> bool:
        """Tell whether it is no pre-release."""
        return self.pre == _RELEASE


@dataclass(frozen=True, slots=True)
class Range:
    """Which versions are taken: those for which all terms of one alternative hold."""

    alternatives: tuple[tuple[_Term, ...], ...]

    def holds(self, version: Version) -> bool:
        """Tell whether a version is in the range."""
        return any(
            (version.released or any(term.pre for term in terms)) and all(term.holds(version) for term in terms)
            for terms in self.alternatives
        )

    @property
    def takes_pre_releases(self) -> bool:
        """Tell whether the range names a pre-release anywhere, without which none is taken."""
        return any(term.pre for terms in self.alternatives for term in terms)


def parse(tag: str) -> Version | None:
    """Read a version, with or without a leading ``v``; ``None`` when the tag is none."""
    match = _VERSION.fullmatch(tag) if len(tag) <= LONGEST else None
    if match is None:
        return None
    major, minor, patch, pre = match.groups()
    found = _pre_release(pre)
    return Version(int(major), int(minor), int(patch), found) if found is not None else None


def parse_range(text: str) -> Range:
    """Read a range.

    Raises:
        ValueError: it is none; the sentence says from where on.
    """
    if len(text) > LONGEST:
        raise ValueError(f"the version range is {len(text)} characters long; at most {LONGEST} are read")
    spelled_out = _HYPHEN.sub(r">=\1 <=\2", text)
    return Range(tuple(_terms(part.strip()) for part in spelled_out.split("||")))


def highest(tags: Iterable[str], constraint: str) -> str:
    """Give the highest tag in the range, or an empty string; raise ValueError for a range that cannot be read."""
    wanted = parse_range(constraint)
    found = [(version, tag) for tag in tags if (version := parse(tag)) is not None and wanted.holds(version)]
    return max(found)[1] if found else ""


@dataclass(frozen=True, slots=True)
class _Term:
    """One comparison; ``width`` says how many numbers were given, the rest of ``base`` is zeros."""

    operator: str
    base: Version
    width: int
    pre: bool

    def holds(self, version: Version) -> bool:
        # What was not given is not compared: >1.2 begins at 1.3.0, and <=1.2 ends with the last 1.2.x.
        given = self.width if self.width < 3 else None
        match self.operator:
            case "=" if given is None:
                return version == self.base
            case "!=":
                return not self._shares(version, self.width) or (given != 1 and version.pre != self.base.pre)
            case ">":
                return version[:given] > self.base[:given]
            case "<=":
                return version[:given] <= self.base[:given]
            case ">=":
                return version >= self.base
            case "<":
                return version < self.base
            case "^":
                return version >= self.base and self._shares(version, self._first_that_counts())
            case _:
                return version >= self.base and self._shares(version, self._patch_level())

    def _shares(self, version: Version, width: int) -> bool:
        return version[:width] == self.base[:width]

    def _patch_level(self) -> int:
        # Masterminds' words: ~0.0.0 is a special case where all are accepted.
        return min(self.width, 2) if any(self.base[:3]) or self.width in (1, 2) else 0

    def _first_that_counts(self) -> int:
        """``^`` keeps everything up to the first number that is not zero."""
        return next((place for place, number in enumerate(self.base[: self.width], start=1) if number), self.width)


def _terms(text: str) -> tuple[_Term, ...]:
    terms, position = [], 0
    while position < len(text):
        match = _TERM.match(text, position)
        if match is None:
            raise ValueError(f"{text[position:]!r} is no version range")
        operator, *numbers, pre = match.groups()
        terms.append(_term(_SPELLINGS.get(operator or "", operator or ""), numbers, pre))
        position = match.end()
    if not terms:
        raise ValueError("the version range is empty")
    return tuple(terms)


def _term(operator: str, numbers: list[str | None], pre: str | None) -> _Term:
    width = next((place for place, number in enumerate(numbers) if number is None or not number.isdigit()), 3)
    if not width and operator not in ("=", "~", ">="):
        raise ValueError(f"the version range compares with {operator} and no number; write * for every version")
    found = _pre_release(pre)
    if found is None:
        raise ValueError(f"{pre!r} is no pre-release, because zeros lead a number; it is no version range")
    major, minor, patch = (*(int(number or 0) for number in numbers[:width]), 0, 0, 0)[:3]
    return _Term(operator, Version(major, minor, patch, found), width, pre is not None)


def _pre_release(text: str | None) -> PreRelease | None:
    """Give its place in the order; ``None`` where zeros lead a number, which semver.org (section 9) rules out."""
    if text is None:
        return _RELEASE
    parts = text.split(".")
    if any(part.isdigit() and part != "0" and part.startswith("0") for part in parts):
        return None
    return 0, tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)
