"""Semantic version ranges over tags, in the syntax of ``spec.ref.semver`` (that of Masterminds/semver, as in Flux).

Operators ``= != > < >= <= ~ ^``, wildcards ``1.x``, ranges ``1.2 - 1.4``, a space or comma for "and", ``||`` for "or".
A pre-release matches only where the range itself names one (``>=1.0.0-0`` takes them all).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_VERSION = re.compile(
    r"v?(0|[1-9]\d*)(?:\.(0|[1-9]\d*))?(?:\.(0|[1-9]\d*))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?", re.ASCII
)
_TERM = re.compile(
    r"\s*(=|!=|>=|<=|>|<|~>|~|\^)?\s*v?(\d+|[xX*])(?:\.(\d+|[xX*]))?(?:\.(\d+|[xX*]))?(?:-([0-9A-Za-z.-]+))?\s*,?",
    re.ASCII,
)
_HYPHEN = re.compile(r"(\S+)\s+-\s+(\S+)")

PreKey = tuple[int, tuple[tuple[int, int, str], ...]]
VersionKey = tuple[int, int, int, PreKey]
RELEASE: PreKey = (1, ())


def version_key(tag: str) -> VersionKey | None:
    """Give a tag's place in the order of semver.org section 11, or None when the tag is no version."""
    match = _VERSION.fullmatch(tag)
    if match is None:
        return None
    major, minor, patch, pre = match.groups()
    return int(major), int(minor or 0), int(patch or 0), _pre_key(pre)


def highest(tags: Iterable[str], constraint: str) -> str:
    """Give the highest tag in the range, or an empty string; raise ValueError for a range that cannot be read."""
    alternatives = [_terms(part) for part in constraint.split("||")]
    best: tuple[VersionKey, str] | None = None
    for tag in tags:
        key = version_key(tag)
        if key is not None and any(_holds(terms, key) for terms in alternatives):
            best = max(best, (key, tag)) if best else (key, tag)
    return best[1] if best else ""


@dataclass(frozen=True, slots=True)
class _Term:
    """One interval ``[low, high)``, or its complement; None is unbounded."""

    low: VersionKey | None
    high: VersionKey | None
    negated: bool = False
    pre: bool = False

    def holds(self, key: VersionKey) -> bool:
        inside = (self.low is None or key >= self.low) and (self.high is None or key < self.high)
        return inside != self.negated


def _holds(terms: list[_Term], key: VersionKey) -> bool:
    if key[3] != RELEASE and not any(term.pre for term in terms):
        return False
    return all(term.holds(key) for term in terms)


def _terms(text: str) -> list[_Term]:
    text = _HYPHEN.sub(r">=\1 <=\2", text).strip()
    terms, position = [], 0
    while position < len(text):
        match = _TERM.match(text, position)
        if match is None:
            raise ValueError(f"{text[position:]!r} is no version range")
        operator, *parts, pre = match.groups()
        terms.append(_term(operator or "=", [int(p) for p in parts if p and p.isdigit()], pre))
        position = match.end()
    if not terms:
        raise ValueError("the version range is empty")
    return terms


def _term(operator: str, given: list[int], pre: str | None) -> _Term:
    major, minor, patch = (*given, 0, 0, 0)[:3]
    low: VersionKey = (major, minor, patch, _pre_key(pre))
    after = _after(low, len(given))
    has_pre = pre is not None
    match operator:
        case "=" | "!=":
            return _Term(low if given else None, after, operator == "!=", has_pre)
        case ">":
            return _Term(after, None, pre=has_pre) if after else _Term(low, low, pre=has_pre)
        case ">=":
            return _Term(low, None, pre=has_pre)
        case "<":
            return _Term(None, low, pre=has_pre)
        case "<=":
            return _Term(None, after, pre=has_pre)
        case "~" | "~>":
            return _Term(low, _after(low, min(len(given), 2)), pre=has_pre)
        case _:
            return _Term(low, _after(low, _caret_width(low, len(given))), pre=has_pre)


def _after(low: VersionKey, width: int) -> VersionKey | None:
    """Give the first version past those that share the first ``width`` numbers; width 0 is everything."""
    major, minor, patch, pre = low
    match width:
        case 0:
            return None
        case 1:
            return major + 1, 0, 0, RELEASE
        case 2:
            return major, minor + 1, 0, RELEASE
        case _:
            return major, minor, patch, (pre[0], (*pre[1], (0, -1, ""))) if pre != RELEASE else (2, ())


def _caret_width(low: VersionKey, given: int) -> int:
    """``^`` keeps everything up to the first number that is not zero."""
    first = next((index for index, number in enumerate(low[:3], start=1) if number), given)
    return min(max(first, 1), given) if given else 0


def _pre_key(pre: str | None) -> PreKey:
    if pre is None:
        return RELEASE
    return 0, tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre.split("."))
