"""What a probe brings back, before the dispatcher says when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from patchwright.domain.health import Finding

_SHOWN: Final = 160


@dataclass(frozen=True, slots=True)
class Look:
    """What was found bad among ``population`` things, as in ``domain.health.Measurement``."""

    findings: tuple[Finding, ...] = ()
    population: int | None = 1


def empty(message: str) -> Look:
    """Give the look of a check that has nothing to look at: it must not read as a pass (images.md: no data)."""
    return Look((Finding("empty", message, inexcusable=True),), 0)


def short(text: object) -> str:
    """Cut a text of somebody else's for a sentence of ours, on one line."""
    line = " ".join(str(text).split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
