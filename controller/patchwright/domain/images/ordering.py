"""Where tags stand in the order of a policy, and why others have no place in it.

A tag is read in three steps. What says that it was patched is taken off its end (``patchedSuffix``), the rest is
filtered (``filterTags``), and what is extracted from that is ordered. A patched image comes right after the one that it
patches: to semver.org ``1.24.0-patched`` is older than ``1.24.0``, so that no range would ever choose it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, assert_never

from patchwright.domain import semver
from patchwright.domain.images import patterns
from patchwright.domain.images.facts import Running, TagFacts
from patchwright.domain.images.imagepolicy import Alphabetical, Digest, Direction, ImagePolicy, Numerical, SemVer

Place = tuple[int, int]
"""The rank among all that was extracted, and which patch of it: 0 is the image as it was released."""

# Cosign keeps signatures as tags beside the image, and so does every registry without the referrers API: what belongs
# to sha256:4f… has the tag sha256-4f…
_ARTIFACT: Final = re.compile(r"sha(256|512)-.*|.*\.(sig|att|sbom)", re.ASCII)
# Not a float, as in Flux: 20261123094512001 would lose its last digits, and the commit 12e4567 would be a number.
_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)
_DIGITS: Final = re.compile(r"\d+", re.ASCII)
_PATCHED_HINT: Final = re.compile(r"patched", re.ASCII)
# What stands for maturity in a suffix, or for one build; all else names another variant of the image (-alpine, -slim).
_NO_VARIANT: Final = re.compile(
    r"\d*|g?(?=[0-9a-f]*\d)[0-9a-f]{7,40}|"
    r"(alpha|beta|rc|cr|pre|preview|dev|snapshot|nightly|canary|next|build|milestone|ea|a|b|m|r)\d*",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Order:
    """Which tags a policy admits and where each stands; ``out`` says of the others why not.

    ``current`` is where that stands which runs, ``None`` where nobody can tell; ``admitted`` tells whether the policy
    would have it at all.
    """

    places: Mapping[str, Place]
    out: Mapping[str, str]
    current: Place | None
    admitted: bool


@dataclass(frozen=True, slots=True)
class _Reading:
    """What is ordered of a tag (empty: nothing), which patch it is, and why the policy does not admit it."""

    value: tuple[Any, ...] = ()
    patched: int = 0
    out: str = ""


def arrange(tags: Iterable[TagFacts], running: Running, policy: ImagePolicy) -> Order:
    """Put tags in order.

    What runs stands where its tag stands, or where the newest tag stands that names the same image: so ``latest`` and
    ``1.4``, which no range can order, have a place as well. A version that ``filterTags`` leaves out (``1.5.0-rc.1``)
    never stands lower than its name says, whatever older tag names the same image.

    Raises:
        ValueError: the policy has a range or a pattern that cannot be read.
    """
    reader = _reader(policy, running.tag)
    facts = list(tags)
    readings = {fact.tag: reader.read(fact.tag) for fact in facts}
    own = reader.read(running.tag)
    named = own if own.value else reader.named(running.tag)
    rank = _ranks([*readings.values(), named], descending=_descending(policy))
    places = {tag: (rank[found.value], found.patched) for tag, found in readings.items() if not found.out}
    # A digest that comes and goes says nothing of where anything stands.
    same = [
        places[fact.tag] for fact in facts if fact.tag in places and not fact.flapping and fact.holds(running.digest)
    ]
    known = [(rank[named.value], named.patched)] if own.value or (same and named.value) else []
    out = {tag: found.out for tag, found in readings.items() if found.out}
    return Order(places, out, max([*known, *same], default=None), not own.out or bool(same))


def shortlist(tags: Iterable[str], running: Running, policy: ImagePolicy, *, limit: int = 5) -> list[str]:
    """Give the tags whose digests have to be known to choose, best first, the one that runs always among them.

    A registry lists a thousand tags in one request, and asks one for each digest.

    Raises:
        ValueError: the policy has a range or a pattern that cannot be read.
    """
    order = arrange((TagFacts(tag) for tag in tags), running, policy)
    floor = order.current if order.current is not None and order.admitted else (-1, 0)
    newer = sorted((place, tag) for tag, place in order.places.items() if place > floor)
    found = [tag for _, tag in reversed(newer)][:limit]
    listed = running.tag in order.places or running.tag in order.out
    return found if running.tag in found or not listed else [*found, running.tag]


def _descending(policy: ImagePolicy) -> bool:
    match policy.order:
        case Alphabetical(order) | Numerical(order):
            return order is Direction.DESC
        case _:
            return False


def _ranks(readings: Iterable[_Reading], *, descending: bool) -> dict[tuple[Any, ...], int]:
    values = sorted({found.value for found in readings if found.value}, reverse=descending)
    return {value: rank for rank, value in enumerate(values)}


def _reader(policy: ImagePolicy, running: str) -> _Reader:
    wanted = semver.parse_range(policy.order.range) if isinstance(policy.order, SemVer) else None
    filtered = patterns.compiled(policy.filter_tags.pattern) if policy.filter_tags else None
    # \z, the very end: what RE2 calls $ is that too, but a (?m) in the pattern would change it.
    suffix = patterns.compiled(rf"(?:{policy.patched_suffix})\z") if policy.patched_suffix else None
    reader = _Reader(policy, running, wanted, filtered=filtered, suffix=suffix)
    # Whoever filters has said which variant he means.
    variant = None if filtered or not running else _variant(reader.unpatched(running)[0])
    return _Reader(policy, running, wanted, filtered=filtered, suffix=suffix, variant=variant)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads tags by one policy."""

    policy: ImagePolicy
    running: str
    wanted: semver.Range | None
    filtered: patterns.Pattern | None = field(kw_only=True)
    suffix: patterns.Pattern | None = field(kw_only=True)
    variant: tuple[str, ...] | None = field(kw_only=True, default=None)

    def read(self, tag: str) -> _Reading:
        if len(tag) > patterns.LONGEST_TAG:
            return _Reading(out="is longer than a tag can be")
        if _ARTIFACT.fullmatch(tag):
            return _Reading(out="is a signature or an attestation, no image")
        base, patched = self.unpatched(tag)
        text = self._extracted(base)
        if text is None:
            return _Reading(out="does not match filterTags.pattern")
        return self._ordered(text, patched)

    def named(self, tag: str) -> _Reading:
        """Read a version that ``filterTags`` leaves out; only versions can be compared unfiltered."""
        return self._version(*self.unpatched(tag)) if isinstance(self.policy.order, SemVer) else _Reading()

    def unpatched(self, tag: str) -> tuple[str, int]:
        """Split ``1.24.0-patched-2`` into ``1.24.0`` and the third patch of it; 0 is none."""
        found = self.suffix.search(tag) if self.suffix else None
        if found is None or not found.group():
            return tag, 0
        numbers = _DIGITS.findall(found.group())
        return tag[: found.start()], 1 + (int(numbers[-1]) if numbers else 0)

    def _extracted(self, base: str) -> str | None:
        if self.filtered is None:
            return base
        found = self.filtered.search(base)
        if found is None:
            return None
        template = self.policy.filter_tags.extract if self.policy.filter_tags else ""
        return patterns.expand(template, found) if template else base

    def _ordered(self, text: str, patched: int) -> _Reading:
        order = self.policy.order
        match order:
            case SemVer():
                return self._version(text, patched)
            case Alphabetical():
                return _Reading((text,), patched) if text else _Reading(out="has nothing that filterTags.extract takes")
            case Numerical():
                number = _NUMBER.fullmatch(text)
                return _Reading((Decimal(text),), patched) if number else _Reading(out=f"is no number{_made(text)}")
            case Digest():
                followed = text == self.running and bool(text)
                return _Reading((0,)) if followed else _Reading(out="is not the tag that is followed")
            case _ as never:
                assert_never(never)

    def _version(self, text: str, patched: int) -> _Reading:
        version = semver.parse(text)
        if version is None:
            return _Reading(out=f"is no version of three numbers{_made(text)}")
        return _Reading(version, patched, self._outside(text, version))

    def _outside(self, text: str, version: semver.Version) -> str:
        assert self.wanted is not None, "semver has a range"
        assert isinstance(self.policy.order, SemVer)
        limits = self.policy.order.range
        if not self.wanted.holds(version):
            if version.released or self.wanted.takes_pre_releases:
                return f"is not in the range {limits}"
            hint = "; set patchedSuffix if it is a patched image" if _PATCHED_HINT.search(text) else ""
            return f"is a pre-release, and the range {limits} names none{hint}"
        if self.variant is not None and _variant(text) != self.variant:
            return f"is another variant than {self.running}, which runs; say with filterTags which one is meant"
        return ""


def _made(text: str) -> str:
    return "" if text else ", because filterTags.extract takes nothing from it"


def _variant(tag: str) -> tuple[str, ...]:
    """Give the words of a suffix that name a variant of the image: of ``1.27.3-alpine3.20-slim`` alpine and slim."""
    _, _, suffix = tag.partition("-")
    words = (word for word in re.split(r"[-._+]", suffix.lower()) if not _NO_VARIANT.fullmatch(word))
    return tuple(word.rstrip("0123456789") for word in words)
