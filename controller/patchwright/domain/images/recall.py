"""What is known of a repository, as it is written down; a version that another operator wrote is not guessed at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from patchwright.domain.images.knowledge import Contents, Knowledge
from patchwright.domain.images.scans import Run, TagRecord

VERSION: Final = 1


class Unreadable(ValueError):
    """It is not what was written; ``str()`` says what is wrong."""


def encode(known: Knowledge) -> str:
    """Give what is known as text."""
    body = {
        "version": VERSION,
        "at": _instant(known.at),
        "since": _instant(known.since),
        "complete": known.complete,
        "listed": known.listed,
        "forgotten": known.forgotten,
        "tags": {tag: _record(record) for tag, record in known.tags.items()},
        "sightings": {
            tag: {digest: at.isoformat() for digest, at in seen.items()} for tag, seen in known.sightings.items()
        },
        "contents": {
            digest: {"platforms": sorted(found.platforms), "manifests": sorted(found.manifests)}
            for digest, found in known.contents.items()
        },
    }
    return json.dumps(body, separators=(",", ":"))


def decode(text: str) -> Knowledge:
    """Read what was written.

    Raises:
        Unreadable: it is something else.
    """
    try:
        body = json.loads(text)
        if body["version"] != VERSION:
            raise Unreadable(f"it is of version {body['version']!r}, and this operator reads {VERSION}")
        return _knowledge(body)
    except Unreadable:
        raise
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise Unreadable(f"it is not what an operator wrote ({type(error).__name__}: {error})") from None


def _knowledge(body: Mapping[str, Any]) -> Knowledge:
    return Knowledge(
        {tag: _read_record(raw) for tag, raw in body["tags"].items()},
        {tag: {digest: _at(at) for digest, at in body["sightings"][tag].items()} for tag in body["tags"]},
        {
            digest: Contents(frozenset(raw["platforms"]), frozenset(raw["manifests"]))
            for digest, raw in body["contents"].items()
        },
        at=_maybe(body["at"]),
        complete=body["complete"] is True,
        since=_maybe(body["since"]),
        listed=int(body["listed"]),
        forgotten=int(body["forgotten"]),
    )


def _record(record: TagRecord) -> dict[str, Any]:
    runs = [[run.digest, run.scans, run.until.isoformat()] for run in record.runs]
    return {"missed": record.missed, "digest": record.digest, "runs": runs}


def _read_record(raw: Mapping[str, Any]) -> TagRecord:
    runs = tuple(Run(str(digest), int(scans), _at(until)) for digest, scans, until in raw["runs"])
    return TagRecord(int(raw["missed"]), str(raw["digest"]), runs)


def _instant(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _maybe(text: str | None) -> datetime | None:
    return None if text is None else _at(text)


def _at(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return found
