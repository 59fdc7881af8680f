"""What runs an image and has nobody who would run another: Jobs, bare pods and static pods are told of, never changed.

The template of a Job is immutable, a bare pod is not started again by anybody, and a static pod is a file on its node.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

KEPT = 20
"""So many are named in the status of a policy."""


@dataclass(frozen=True, slots=True, order=True)
class Standalone:
    """One of them; ``image`` is the one that a policy covers, the first where there are several."""

    kind: str
    namespace: str
    name: str
    image: str
    static: bool = False


@dataclass(frozen=True, slots=True)
class Survey:
    """Those that run what a policy covers: as many as are named, how many there are, and of how many nobody knows.

    ``fault`` says why they may not be looked at.
    """

    named: tuple[Standalone, ...] = ()
    total: int = 0
    unknown: int = 0
    fault: str = ""

    @property
    def sentence(self) -> str:
        """What is said of them; empty when there are none."""
        parts = []
        if self.total:
            parts.append(f"{_things(self.total)} its images and cannot be patched, see status.standalone")
        if self.unknown:
            parts.append(f"what {self.unknown} other Jobs and pods without a controller run was not looked at")
        if self.fault:
            parts.append(f"Jobs and pods without a controller may not be looked at: {self.fault}")
        return "; ".join(parts)


def survey(found: Iterable[Standalone], *, unknown: int, fault: str = "") -> Survey:
    """Name the first of them, in order, and count all."""
    mine = sorted(found)
    return Survey(tuple(mine[:KEPT]), len(mine), unknown, fault)


def _things(count: int) -> str:
    return "1 Job or pod without a controller runs" if count == 1 else f"{count} Jobs and pods without a controller run"


NOTHING = Survey()
