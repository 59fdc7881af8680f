"""What is known of a repository from all looks at its registry: enough to choose by, and small enough to be kept.

A look is a listing and the digests of a few tags. Of the tags that were never asked for nothing is kept: they are
either asked for before they can be chosen, or they do not matter. So what is kept does not grow with the repository.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from patchwright.domain.images import scans
from patchwright.domain.images.content import Image, Listing
from patchwright.domain.images.facts import Scan, TagFacts
from patchwright.domain.images.scans import Memory, Standing, TagRecord

TAGS_KEPT: Final = 500
"""As many tags of a repository are remembered, those that were seen last."""
# An index has three manifests, or ten; one with hundreds must not push everything else out of a ConfigMap.
MANIFESTS_KEPT: Final = 2000
_UNSTEADY: Final = frozenset({Standing.CHANGING, Standing.FLAPPING})

Sightings = Mapping[str, datetime]


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in an image: its platforms, and the digests that a pod may show for it."""

    platforms: frozenset[str]
    manifests: frozenset[str]


def contents(image: Image) -> Contents:
    """Give what is in an image as a registry describes it."""
    return Contents(frozenset(map(str, image.platforms)), image.digests - {image.digest})


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a registry.

    ``digests`` are those of the tags that were asked for, ``absent`` are tags that were listed and, when asked for, not
    there. ``contents`` are the images that were described, by digest.
    """

    at: datetime
    listing: Listing
    digests: Mapping[str, str] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    contents: Mapping[str, Contents] = field(default_factory=dict)

    @property
    def tags(self) -> frozenset[str]:
        """The tags that are there."""
        return frozenset(self.listing.tags) - self.absent

    @property
    def complete(self) -> bool:
        """Whether it saw all there is; none at all is what a registry says to whom it distrusts, or as it starts."""
        return self.listing.complete and bool(self.tags)


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known after the last look ``at``.

    ``sightings`` says for each tag when each of its digests was seen first. ``complete`` is what the last look was,
    ``since`` when the first complete one was. ``listed`` counts the tags of the last listing, ``forgotten`` those that
    there was no room for.
    """

    tags: Mapping[str, TagRecord] = field(default_factory=dict)
    sightings: Mapping[str, Sightings] = field(default_factory=dict)
    contents: Mapping[str, Contents] = field(default_factory=dict)
    at: datetime | None = None
    complete: bool = False
    since: datetime | None = None
    listed: int = 0
    forgotten: int = 0

    def fresh(self, tag: str) -> bool:
        """Tell whether the last look asked for a tag."""
        record = self.tags.get(tag)
        return record is not None and bool(record.runs) and record.runs[-1].until == self.at


NOTHING: Final = Knowledge()


def learn(known: Knowledge, look: Look) -> Knowledge:
    """Take a look in. One that failed is none: nothing is learnt from it, and nothing forgotten."""
    seen = scans.Scan(look.at, look.tags, look.complete, look.digests)
    remembered = scans.remember(Memory(known.tags), seen).tags
    asked = {tag: record for tag, record in remembered.items() if record.runs}
    tags = dict(sorted(asked.items(), key=lambda entry: (entry[1].runs[-1].until, entry[0]), reverse=True)[:TAGS_KEPT])
    found = {**known.contents, **look.contents}
    return Knowledge(
        tags,
        {tag: _sighted(known, look, tag, tags[tag]) for tag in tags},
        dict(_kept(tags, found)),
        look.at,
        complete=look.complete,
        since=known.since or (look.at if look.complete else None),
        listed=len(look.tags),
        forgotten=len(asked) - len(tags),
    )


def facts(known: Knowledge, image: str) -> Scan | None:
    """Give what a choice is made from; ``None`` before the first look."""
    if known.at is None:
        return None
    tags = tuple(_facts(known, tag, record) for tag, record in sorted(known.tags.items()))
    return Scan(image, tags, complete=known.complete, at=known.at, since=known.since, listed=known.listed)


def _facts(known: Knowledge, tag: str, record: TagRecord) -> TagFacts:
    found = known.contents.get(record.digest)
    fact = TagFacts(
        tag,
        record.digest,
        first_seen=known.sightings[tag].get(record.digest),
        missing=record.missed > 0,
        flapping=scans.standing(replace(record, missed=0)) in _UNSTEADY,
    )
    return fact if found is None else replace(fact, platforms=found.platforms, manifests=found.manifests)


def _sighted(known: Knowledge, look: Look, tag: str, record: TagRecord) -> Sightings:
    before = known.sightings.get(tag, {})
    held = {record.digest, *(run.digest for run in record.runs)}
    found = {digest: at for digest, at in before.items() if digest in held}
    digest = look.digests.get(tag)
    return found if digest is None else {**found, digest: found.get(digest, look.at)}


def _kept(tags: Mapping[str, TagRecord], found: Mapping[str, Contents]) -> Iterator[tuple[str, Contents]]:
    """Give the contents of what tags name, as far as there is room; those seen last come first."""
    room = MANIFESTS_KEPT
    for digest in dict.fromkeys(record.digest for record in tags.values()):
        if digest in found:
            room -= len(found[digest].manifests)
            if room < 0:
                return
            yield digest, found[digest]
