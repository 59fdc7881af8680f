"""Which image is wanted: the validated form of what is asked for an image, with Flux's and Renovate's names.

What is different on purpose: a downgrade must be asked for, the digest is pinned, and a patched image comes after the
one that it patches.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Direction(StrEnum):
    """Which end of the order is the newest: with ``asc`` the last, with ``desc`` the first."""

    ASC = "asc"
    DESC = "desc"


@dataclass(frozen=True, slots=True)
class SemVer:
    """The highest version in a range, such as ``~1.4``."""

    range: str


@dataclass(frozen=True, slots=True)
class Alphabetical:
    """The last tag of the alphabet, or the first."""

    order: Direction = Direction.ASC


@dataclass(frozen=True, slots=True)
class Numerical:
    """The largest number, or the smallest."""

    order: Direction = Direction.ASC


@dataclass(frozen=True, slots=True)
class Digest:
    """Whatever the tag that the workload names is at present."""


Order = SemVer | Alphabetical | Numerical | Digest


@dataclass(frozen=True, slots=True)
class TagFilter:
    """Only tags that match count, and ``extract`` (``$v``) makes of each what is ordered; empty, the tag itself."""

    pattern: str
    extract: str = ""


class DigestReflection(StrEnum):
    """Whether the digest is written, and whether a tag that was pushed again is an update (Flux's words).

    ``NEVER`` writes the tag alone. ``IF_NOT_PRESENT`` pins what the tag is when it is chosen, for good. ``ALWAYS`` also
    follows the tag that runs.
    """

    NEVER = "Never"
    IF_NOT_PRESENT = "IfNotPresent"
    ALWAYS = "Always"


class AgeBehaviour(StrEnum):
    """What holds for an image whose age nobody knows (Renovate's words).

    It was there when the registry was scanned first. With ``REQUIRED`` its age counts from then; with ``OPTIONAL`` it
    is taken to be old enough.
    """

    REQUIRED = "timestamp-required"
    OPTIONAL = "timestamp-optional"


@dataclass(frozen=True, slots=True)
class ImagePolicy:
    """What is asked for. ``patched_suffix`` is a pattern for the end of a tag; ``platforms`` must all be there."""

    order: Order
    filter_tags: TagFilter | None = None
    digest_reflection: DigestReflection = DigestReflection.IF_NOT_PRESENT
    minimum_release_age: timedelta = timedelta(0)
    age_behaviour: AgeBehaviour = AgeBehaviour.REQUIRED
    allow_downgrade: bool = False
    patched_suffix: str = ""
    platforms: tuple[str, ...] = ()

    @property
    def follows_digest(self) -> bool:
        """Tell whether a new digest under the tag that runs is an update."""
        return isinstance(self.order, Digest) or self.digest_reflection is DigestReflection.ALWAYS


@dataclass(frozen=True, slots=True)
class Followed:
    """An image whose updates are looked for.

    ``name`` is a repository, or ``prefix/*`` for all below that run. Its registry is looked at every ``interval``, with
    the logins of the pull secret ``secret``, anonymously without one.
    """

    name: str
    policy: ImagePolicy
    interval: timedelta = timedelta(minutes=10)
    secret: str | None = None
