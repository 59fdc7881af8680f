"""The names of the rollouts that a policy proposes: the same proposal has the same name, so that it is created once."""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import count
from typing import Final

_TAG_SHOWN: Final = 40
_ID_SHOWN: Final = 8
_STRANGE = re.compile(r"[^a-z0-9.]+", re.ASCII)
_DOTS = re.compile(r"[-.]*\.[-.]*")


def rollout(policy: str, tag: str, change_id: str, *, taken: Collection[str]) -> str:
    """Give the name of a policy's rollout to a tag; the change's identity tells apart what a tag meant at two times.

    A change that comes again, because it was asked for or because a workload has gone back, has a number.
    """
    readable = _DOTS.sub(".", _STRANGE.sub("-", tag.lower()))[:_TAG_SHOWN].strip("-.")
    stem = "-".join(part for part in (policy, readable, change_id[:_ID_SHOWN]) if part)
    if stem not in taken:
        return stem
    return next(name for number in count(2) if (name := f"{stem}-{number}") not in taken)
