"""The change of an image in files, as edits of bytes; each can be taken back byte by byte.

A change is compared and swapped: only places that have the version that was are changed. What has any other is
somebody else's, and what has the new one already is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from patchwright.domain.writeback import places, versions
from patchwright.domain.writeback.places import Place, Scope, Spot
from patchwright.domain.writeback.tree import File
from patchwright.domain.writeback.versions import Version

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Swap:
    """A change of one image from the version that ``was`` to another; ``scope`` says where."""

    scope: Scope
    was: Version
    to: Version

    @property
    def back(self) -> Swap:
        """The way back."""
        return Swap(self.scope, was=self.to, to=self.was)

    def __str__(self) -> str:
        """Give it in words."""
        return f"{self.scope.repository} from {self.was} to {self.to}"


@dataclass(frozen=True, slots=True)
class Edit:
    """The bytes of one scalar, replaced; ``where`` is its field and finds it again when lines have moved."""

    path: str
    where: str
    line: int
    start: int
    old: bytes
    new: bytes

    @property
    def end(self) -> int:
        """Where the old bytes end."""
        return self.start + len(self.old)

    def __str__(self) -> str:
        """Give it as people find it."""
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A place that would have to be changed and cannot be, with the file, the line and the reason."""

    path: str
    line: int
    reason: str

    def __str__(self) -> str:
        """Give it as a sentence's part."""
        return f"{self.path}:{self.line} {self.reason}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a change finds: ``edits`` to make, places that are ``there`` already, and what is in the way.

    ``others`` have another version than the one that was, ``unset`` name the image without one.
    """

    edits: tuple[Edit, ...] = ()
    there: tuple[Place, ...] = ()
    others: tuple[Place, ...] = ()
    unset: tuple[Place, ...] = ()
    refusals: tuple[Refusal, ...] = ()

    @property
    def fault(self) -> tuple[str, str] | None:
        """Give a reason and a sentence's part when nothing may be written."""
        if self.refusals:
            return "WriteBackRefused", _listed(str(each) for each in self.refusals)
        if self.edits or self.there:
            return None
        if self.others:
            found = (f"{place} has {place.version}" for place in self.others)
            return "WriteBackConflict", f"somebody else has changed it: {_listed(found)}"
        if self.unset:
            found = (f"{place} names it" for place in self.unset)
            return "WriteBackRefused", f"no version is set: {_listed(found)}, and its chart fills in the version"
        return "ImageNotFound", "no file sets its version"


def _listed(parts: Iterable[str]) -> str:
    found = list(parts)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more


def plan(files: Sequence[File], swap: Swap) -> Plan:
    """Find what a change has to edit; nothing of it is to be written when it has a ``fault``."""
    found = _Findings(swap)
    for file in files:
        found.refusals += _unreadable(file, swap)
    for place in places.find(files, swap.scope):
        found.take(place, files)
    return found.plan()


@dataclass(slots=True)
class _Findings:
    swap: Swap
    edits: list[Edit] = field(default_factory=list)
    there: list[Place] = field(default_factory=list)
    others: list[Place] = field(default_factory=list)
    unset: list[Place] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)

    def take(self, place: Place, files: Sequence[File]) -> None:
        if place.fault:
            self.refusals.append(_refused(place, place.fault))
        elif place.version == Version() and place.whole is None:
            self.unset.append(place)
        elif place.version.serves(self.swap.to):
            self.there.append(place)
        elif not place.version.is_that(self.swap.was):
            self.others.append(place)
        else:
            self._edit(place, next(file.content for file in files if file.path == place.path))

    def _edit(self, place: Place, content: bytes) -> None:
        wanted = [(spot, _spelled(spot, text)) for spot, text in _texts(place, self.swap.to)]
        if not wanted or any(raw is None for _, raw in wanted):
            text = f"has no place for {self.swap.to}: it is written as {place.version}"
            self.refusals.append(_refused(place, text))
            return
        self.edits += (_edit(place.path, spot, content, raw) for spot, raw in wanted if raw is not None)

    def plan(self) -> Plan:
        return Plan(
            tuple(edit for edit in self.edits if edit.old != edit.new),
            tuple(self.there),
            others=tuple(self.others),
            unset=tuple(self.unset),
            refusals=tuple(self.refusals),
        )


def _refused(place: Place, reason: str) -> Refusal:
    return Refusal(place.path, place.line, reason)


def _texts(place: Place, to: Version) -> Sequence[tuple[Spot, str]]:
    """Give what each spot of a place says then; none when the place cannot say it."""
    whole, tag, digest = place.whole, place.tag, place.digest
    if whole is not None:
        return [(whole, versions.name_of(whole.scalar.text) + to.suffix)]
    if tag is not None and digest is not None:
        return [(tag, to.tag), (digest, to.digest)] if to.tag else []
    if tag is not None:
        return [(tag, str(to))] if to.tag else []
    return [(digest, to.digest)] if digest is not None and to.digest else []


def _spelled(spot: Spot, text: str) -> bytes | None:
    found = versions.spelled(text, spot.scalar.style)
    return None if found is None else found.encode()


def _edit(path: str, spot: Spot, content: bytes, new: bytes) -> Edit:
    scalar = spot.scalar
    return Edit(path, spot.where, scalar.line, start=scalar.start, old=content[scalar.start : scalar.end], new=new)


def _unreadable(file: File, swap: Swap) -> Iterator[Refusal]:
    """Refuse a file that is no YAML and names the image: a chart's template, which builds it from something else."""
    if not file.fault:
        return
    name = swap.scope.repository.removeprefix("docker.io/").removeprefix("library/").encode()
    for number, line in enumerate(file.content.splitlines(), start=1):
        if name in line and b"image" in line and not line.lstrip().startswith(b"#"):
            yield Refusal(file.path, number, f"names it in a file that cannot be read ({file.fault})")


def apply(files: Sequence[File], edits: Sequence[Edit]) -> Mapping[str, bytes]:
    """Give the new content of each file that edits change; everything else of them stays, byte by byte."""
    changed = {file.path: file.content for file in files if any(edit.path == file.path for edit in edits)}
    # From the end, so that what was found stays where it was found.
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        content = changed[edit.path]
        changed[edit.path] = content[: edit.start] + edit.new + content[edit.end :]
    return changed


@dataclass(frozen=True, slots=True)
class Joint:
    """What several changes edit together, each scalar once; ``fault`` is the first of theirs."""

    edits: tuple[Edit, ...] = ()
    fault: tuple[str, str] | None = None


def plan_all(files: Sequence[File], swaps: Sequence[Swap]) -> Joint:
    """Plan several changes as one; a place that many workloads share may be told by many of them."""
    found: dict[tuple[str, int], Edit] = {}
    for swap in swaps:
        planned = plan(files, swap)
        if planned.fault is not None:
            return Joint(fault=planned.fault)
        for edit in planned.edits:
            if found.setdefault((edit.path, edit.start), edit) != edit:
                return Joint(fault=("WriteBackRefused", f"{edit} is wanted in two versions at once"))
    return Joint(tuple(found.values()))


def undo_all(files: Sequence[File], edits: Sequence[Edit], swaps: Sequence[Swap]) -> Joint:
    """Find edits again in files that may have changed since, and turn them round where they are as they were left.

    What is back already is no edit; what is neither is somebody else's by now, and then nothing is turned round.
    """
    there = _spots(files, dict.fromkeys(swap.scope for swap in swaps))
    back, taken = [], []
    for edit in edits:
        found = there.get((edit.path, edit.where), [])
        mine = next((each for each in found if each.old == edit.new), None)
        if mine is not None:
            found.remove(mine)
            back.append(replace(mine, new=edit.old))
        elif all(each.old != edit.old for each in found):
            raw = ", ".join(each.old.decode(errors="replace") for each in found) or "nothing"
            taken.append(f"{edit.path} has {raw} at {edit.where}")
    if taken:
        return Joint(fault=("RollbackConflict", f"somebody else has changed it since: {_listed(taken)}"))
    return Joint(tuple(back))


def _spots(files: Sequence[File], scopes: Iterable[Scope]) -> dict[tuple[str, str], list[Edit]]:
    """Give what spells a version now, as edits that change nothing, by file and field."""
    contents = {file.path: file.content for file in files}
    found: dict[tuple[str, str], list[Edit]] = {}
    for place in (place for scope in scopes for place in places.find(files, scope)):
        for spot in place.spots:
            known = found.setdefault((place.path, spot.where), [])
            edit = _edit(place.path, spot, contents[place.path], b"")
            if edit not in known:
                known.append(edit)
    return found
