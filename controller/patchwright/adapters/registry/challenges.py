"""What a registry asks for with a 401: ``WWW-Authenticate``, read as RFC 9110 (11.6.1) has it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf'({_WORD})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_SCHEME = re.compile(rf"({_WORD})(?=\s|,|$)")
_SEPARATOR = re.compile(r"[\s,]+|.", re.DOTALL)
# `pull` is all we need; ACR wants `metadata_read` for a list of tags. A registry that asks for more does not get it.
_READING = frozenset({"pull", "metadata_read"})


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way in: the scheme in lower case, and its parameters by their names in lower case."""

    scheme: str
    parameters: Mapping[str, str]

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes it asks for, as far as they only read."""
        return frozenset(filter(None, map(_reading, self.parameters.get("scope", "").split(" "))))


def parse(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """Read every challenge; what cannot be read is passed over."""
    found: list[Challenge] = []
    for header in headers:
        position, parameters = 0, dict[str, str]()
        while position < len(header):
            if match := _PARAMETER.match(header, position):
                quoted, plain = match[2], match[3]
                parameters[match[1].lower()] = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
            elif match := _SCHEME.match(header, position):
                parameters = {}
                found.append(Challenge(match[1].lower(), parameters))
            else:
                match = _SEPARATOR.match(header, position)
                assert match is not None
            position = match.end()
    return tuple(found)


def _reading(scope: str) -> str:
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    kept = [action for action in actions.split(",") if action in _READING]
    return f"{kind}:{name}:{','.join(kept)}" if kind == "repository" and kept else ""
