"""What is known: what a registry shows of an image, and what runs.

A digest is that of the index (the manifest list) wherever there is one, and index is compared with index. A runtime may
report the digest of the one manifest that it took from the index instead; so what an index holds is known here, and
either counts as the same image. Seven projects compared unlike digests, and updated for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class TagFacts:
    """A tag as the scans saw it.

    ``digest`` is what it names, empty while nobody asked for it. ``first_seen`` is when we first saw this digest under
    this tag; ``pushed_at`` is when the registry says that it was pushed, which few do. The date inside an image counts
    nowhere: whoever builds it chooses it, and reproducible builds all have the same.

    ``platforms`` are those of the index, such as ``linux/arm64``, ``None`` while unknown; ``manifests`` are the digests
    in it. ``missing``: the latest scan did not list it, and it does not count as gone yet. ``flapping``: its digest
    changed, and did not stay the same for two scans since.
    """

    tag: str
    digest: str = ""
    first_seen: datetime | None = None
    pushed_at: datetime | None = None
    platforms: frozenset[str] | None = None
    manifests: frozenset[str] = frozenset()
    missing: bool = False
    flapping: bool = False

    def holds(self, digest: str) -> bool:
        """Tell whether a digest is this image's, or that of one of its platforms."""
        return bool(digest) and (digest == self.digest or digest in self.manifests)


@dataclass(frozen=True, slots=True)
class Scan:
    """What the scans of one image know together.

    ``image`` is its name without tag and digest. ``complete`` says whether the latest scan saw all that there is: one
    that was cut short, refused or timed out did not. ``since`` is when the image was first scanned completely; what was
    there already is of unknown age. ``tags`` are those that are known more of, ``listed`` counts all there are.
    """

    image: str
    tags: tuple[TagFacts, ...]
    complete: bool
    at: datetime
    since: datetime | None = None
    listed: int = 0


@dataclass(frozen=True, slots=True, order=True)
class Container:
    """A container of a workload; ``kind`` is the workload's, which is never a ReplicaSet that a Deployment owns."""

    kind: str
    namespace: str
    workload: str
    name: str

    def __str__(self) -> str:
        """Give what a sentence calls it."""
        return f"{self.kind} {self.namespace}/{self.workload} (container {self.name})"


@dataclass(frozen=True, slots=True)
class Running:
    """What a container runs: the tag that its template names, and the digest that its pods report.

    Either is empty where there is none: the tag of ``image@sha256:…``, or the digest while no pod runs and the template
    names none.
    """

    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        """Give what a sentence calls it."""
        return self.tag or self.digest or "an unknown image"

    @property
    def suffix(self) -> str:
        """Give what stands after the image's name."""
        return f":{self.tag}" if self.tag else f"@{self.digest}"
