"""Patterns over tags, as Flux's ``filterTags`` has them: Go's regular expressions, which are RE2's.

Python's own ``re`` is not used, for two reasons. It goes back and forth: ``(a+)+$`` against one tag of forty letters
takes longer than the operator lives, and whoever may write a policy could stop it so; RE2 takes time in proportion to
the tag. And it reads other things: ``re`` has look-around and back-references, which Go refuses; ``$`` matches before a
trailing line break, ``\\d`` and ``\\w`` match letters of all alphabets, ``(?i)`` in the middle is an error, and
``(?<v>…)``, ``\\z``, ``\\pL`` and ``[[:alpha:]]`` are unknown or mean something else. What was tried against Flux must
mean the same here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import re2

LONGEST: Final = 512
LONGEST_TAG: Final = 128
"""The OCI distribution specification allows no longer tag."""

_MEMORY: Final = 1 << 20
# Go's Regexp.Expand: the longest run of letters, digits and underscores is the name, so that $1x is ${1x}.
_REFERENCE: Final = re.compile(r"\$(?:(?P<escaped>\$)|(?P<bare>\w+)|\{(?P<braced>\w+)\})", re.ASCII)


class PatternError(ValueError):
    """A pattern or template that cannot be used; ``str()`` is a phrase for people."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern; ``text`` is as the user wrote it, and all that counts in a comparison."""

    text: str
    program: Any = field(compare=False)

    def search(self, tag: str) -> re.Match[str] | None:
        """Find the first match anywhere in the tag, as Go's ``FindStringSubmatch`` does."""
        found: re.Match[str] | None = self.program.search(tag)
        return found

    def has(self, group: str) -> bool:
        """Tell whether the pattern has a group of that name or number."""
        names: dict[str, int] = self.program.groupindex
        count: int = self.program.groups
        return int(group) <= count if group.isdigit() else group in names


def compiled(text: str) -> Pattern:
    """Compile a pattern.

    Raises:
        PatternError: RE2 refuses it, or it is too long or needs too much memory.
    """
    if len(text) > LONGEST:
        raise PatternError(f"is {len(text)} characters long; at most {LONGEST} are read")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    try:
        return Pattern(text, re2.compile(text, options))
    except re2.error as error:
        raise PatternError(f"is no regular expression that Go and RE2 know: {_words(error)}") from None


def expand(template: str, match: re.Match[str]) -> str:
    """Fill in what was matched for ``$name``, ``${name}`` and ``$1``, as Go does; ``$$`` is a dollar.

    A group that took no part is empty, and so is one that does not exist.
    """
    return _REFERENCE.sub(lambda reference: _filled(reference, match), template)


def references(template: str) -> Iterator[str]:
    """Give the names and numbers of the groups that a template asks for."""
    for reference in _REFERENCE.finditer(template):
        if not reference["escaped"]:
            yield reference["bare"] or reference["braced"]


def _filled(reference: re.Match[str], match: re.Match[str]) -> str:
    if reference["escaped"]:
        return "$"
    name = reference["bare"] or reference["braced"]
    try:
        return match.group(int(name) if name.isdigit() else name) or ""
    except (IndexError, KeyError):
        return ""


def _words(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)
