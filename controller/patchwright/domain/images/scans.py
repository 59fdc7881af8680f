"""What is remembered of a repository's tags from scan to scan, so that a registry's bad moment is nobody's rollout.

- A tag is gone when so many complete scans in a row did not list it. A scan that failed, was cut short or lists nothing
  at all takes nothing away: a two-minute outage once looked like "only old tags exist" and downgraded services
  (image-automation-controller#231, #396; keel#823).
- A tag's digest counts when it is the first one, or when so many scans in a row gave it. One that comes back after
  another was seen flaps (two replicas that disagree, a cache between): what counted before is held, and each return
  doubles how long the tag must stand still.
- A digest is as old as our first sight of it. What an image says of its own making is the publisher's word, and the
  same for every reproducible build.

Time comes with the scan. Nothing here knows which tag is better than another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, assert_never

_RUNS_KEPT: Final = 8
_DOUBLINGS: Final = 4
_SHOWN: Final = len("sha256:") + 12


@dataclass(frozen=True, slots=True)
class Patience:
    """How many scans in a row it takes: until a tag is ``gone``, a new digest ``confirmed``, a flapping one ``steady``.

    A run of equal digests plays no part in flapping any more after ``window``; a digest that no tag has is forgotten
    after ``memory``.
    """

    gone: int = 2
    confirmed: int = 2
    steady: int = 4
    window: timedelta = timedelta(days=7)
    memory: timedelta = timedelta(days=90)


PATIENT: Final = Patience()


@dataclass(frozen=True, slots=True)
class Scan:
    """One look at a repository: the tags it listed, and the digests of those that were asked for.

    ``complete`` says that the listing went to its end. A tag that was asked for without a listing belongs into a scan
    that is not complete.
    """

    at: datetime
    tags: frozenset[str] = frozenset()
    complete: bool = False
    digests: Mapping[str, str] = field(default_factory=dict)

    @property
    def seen(self) -> frozenset[str]:
        """The tags that are there, as far as this scan knows."""
        return self.tags | self.digests.keys()


@dataclass(frozen=True, slots=True)
class Run:
    """So many scans in a row gave a tag this digest, the last of them at ``until``."""

    digest: str
    scans: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Span:
    """When a digest was first and last seen under any tag."""

    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class TagRecord:
    """One tag: how many complete scans in a row missed it, the digest that counts (empty before the first), and why."""

    missed: int = 0
    digest: str = ""
    runs: tuple[Run, ...] = ()


@dataclass(frozen=True, slots=True)
class Memory:
    """A repository as it is remembered; ``completed_at`` is when a listing last went to its end."""

    tags: Mapping[str, TagRecord] = field(default_factory=dict)
    digests: Mapping[str, Span] = field(default_factory=dict)
    completed_at: datetime | None = None

    def first_seen(self, digest: str) -> datetime | None:
        """Give when a digest was first seen; ``None`` when it never was."""
        return self.digests[digest].first if digest in self.digests else None


class Standing(StrEnum):
    """How far a tag can be relied on."""

    STEADY = "Steady"
    MISSED = "Missed"
    CHANGING = "Changing"
    FLAPPING = "Flapping"


def remember(memory: Memory, scan: Scan, patience: Patience = PATIENT) -> Memory:
    """Take a scan in. A scan that failed is no scan: nothing is called then, and nothing changes."""
    tags = dict(_kept(memory, scan, patience))
    for tag in scan.seen:
        record = replace(memory.tags.get(tag, TagRecord()), missed=0)
        if tag in scan.digests:
            record = _observed(record, scan.digests[tag], at=scan.at, patience=patience)
        tags[tag] = record
    spans = dict(memory.digests)
    for digest in scan.digests.values():
        known = spans.get(digest, Span(scan.at, scan.at))
        spans[digest] = Span(min(known.first, scan.at), max(known.last, scan.at))
    completed_at = scan.at if scan.complete else memory.completed_at
    return Memory(tags, _fresh(spans, tags.values(), since=scan.at - patience.memory), completed_at)


def standing(record: TagRecord, patience: Patience = PATIENT) -> Standing:
    """Say how a tag stands. What has been missed is worst: it may be gone."""
    if record.missed:
        return Standing.MISSED
    if not record.runs:
        return Standing.STEADY
    if _returned(record.runs) and record.runs[-1].scans < _asked(record.runs, patience):
        return Standing.FLAPPING
    return Standing.STEADY if record.runs[-1].digest == record.digest else Standing.CHANGING


def told(tag: str, record: TagRecord, patience: Patience = PATIENT) -> str:
    """Say in one sentence what keeps a tag from being relied on; empty when nothing does."""
    held, more = _short(record.digest), _more(record, patience)
    match standing(record, patience):
        case Standing.STEADY:
            return ""
        case Standing.MISSED:
            return (
                f"Tag {tag} was not listed by the last complete scan; it counts as gone after {patience.gone} in a row."
            )
        case Standing.CHANGING:
            moved = _short(record.runs[-1].digest)
            return f"Tag {tag} moved to {moved}; {held} is held until that was seen {more}."
        case Standing.FLAPPING:
            others = dict.fromkeys(run.digest for run in record.runs if run.digest != record.digest)
            flaps = " and ".join(_short(each) for each in (record.digest, *others))
            return f"Tag {tag} flaps between {flaps}; {held} is held until one of them was seen {more}."
        case _ as never:
            assert_never(never)


def _kept(memory: Memory, scan: Scan, patience: Patience) -> Iterator[tuple[str, TagRecord]]:
    # A listing without any tag is how a registry answers whom it does not trust, or while it starts.
    counts = scan.complete and bool(scan.tags)
    for tag, record in memory.tags.items():
        missed = record.missed + (counts and tag not in scan.seen)
        if missed < patience.gone:
            yield tag, replace(record, missed=missed)


def _observed(record: TagRecord, digest: str, *, at: datetime, patience: Patience) -> TagRecord:
    *before, last = record.runs or (Run(digest, 0, at),)
    if last.digest != digest:
        before, last = [*before, last], Run(digest, 0, at)
    recent = [run for run in before if run.until >= at - patience.window]
    runs = (*recent, Run(digest, last.scans + 1, at))[-_RUNS_KEPT:]
    counts = not record.digest or runs[-1].scans >= _asked(runs, patience)
    return replace(record, runs=runs, digest=digest if counts else record.digest)


def _asked(runs: tuple[Run, ...], patience: Patience) -> int:
    """Give how many scans in a row the last digest needs before it counts."""
    if not _returned(runs):
        return patience.confirmed
    returns = sum(_returned(runs[: end + 1]) for end in range(len(runs)))
    return int(patience.steady * 2 ** min(returns - 1, _DOUBLINGS))


def _returned(runs: tuple[Run, ...]) -> bool:
    *before, last = runs
    return any(run.digest == last.digest for run in before)


def _fresh(spans: Mapping[str, Span], records: Iterable[TagRecord], *, since: datetime) -> Mapping[str, Span]:
    held = {digest for record in records for digest in (record.digest, *(run.digest for run in record.runs))}
    return {digest: span for digest, span in spans.items() if digest in held or span.last >= since}


def _more(record: TagRecord, patience: Patience) -> str:
    if not record.runs:
        return ""
    return f"{_asked(record.runs, patience)} times in a row ({record.runs[-1].scans} so far)"


def _short(digest: str) -> str:
    return digest[:_SHOWN]
