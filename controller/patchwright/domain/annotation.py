"""What the annotation ``patchwright.dev/state`` has in common on every kind of target: people edit it, so it is read
strictly, and what is wrong with it is a sentence.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

VERSION = 1
WAVES = 1000
YEARS = range(2000, 3000)
Body = Mapping[str, Any]
R = TypeVar("R")


class RecordError(ValueError):
    """The annotation cannot be read: somebody edited it by hand, or a newer version wrote it."""


def write(body: Body) -> str:
    """Give the annotation's value."""
    return json.dumps({"v": VERSION, **body}, separators=(",", ":"))


def read(value: str, record: Callable[[Body], R], *, limit: int) -> R:
    """Read the annotation's value, of at most ``limit`` characters; ``record`` makes a record of its fields.

    Raises:
        RecordError: with what is wrong, in words for a person.
    """
    if len(value) > limit:
        raise RecordError(f"it is {len(value)} characters long, more than {limit}")
    try:
        body = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"it is not JSON ({error})") from None
    if not isinstance(body, dict) or body.get("v") != VERSION:
        raise RecordError(f"it is not a state of version {VERSION}")
    try:
        return record(body)
    except KeyError as error:
        raise RecordError(f"the field {error} is missing") from None
    except ValueError as error:
        raise RecordError(str(error)) from None


def wave(body: Body) -> int:
    """Read the number of a wave."""
    found = body["wave"]
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < WAVES:
        raise ValueError(f"the field 'wave' is not a whole number from 0 to {WAVES - 1}")
    return found


def text(body: Body, name: str) -> str:
    """Read a text that must not be empty."""
    found = body[name]
    if not isinstance(found, str) or not found:
        raise ValueError(f"the field '{name}' is not a text")
    return found


def instant(body: Body, name: str) -> datetime:
    """Read a time with its zone."""
    found = datetime.fromisoformat(text(body, name))
    if found.tzinfo is None:
        raise ValueError(f"the field '{name}' has no time zone")
    if found.year not in YEARS:
        # Deadlines are added to it, and the calendar ends with the year 9999.
        raise ValueError(f"the field '{name}' is no time of ours")
    return found
