"""What is urgent: which container runs what is fixed by which candidate, from trivy-operator's VulnerabilityReports.

No report is no good news. trivy-operator deletes each report after a day and writes it anew, and one that is too large
is never kept at all, so that the worst images are those without (trivy-operator#757). And a *fixed version* is that of
a package: that it exists does not mean that an image has it. Only a report of the candidate itself shows what it fixes.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum
from itertools import chain
from typing import Final

from patchwright.domain.images.choice import Candidate
from patchwright.domain.images.facts import Container, Running

FIXED_KEPT: Final = 128
"""As many as ``advisories`` of a PatchRollout holds."""

Profile = tuple[int, ...]
_Weight = tuple[bool, "Severity", float, float, str]


class Severity(IntEnum):
    """How bad a vulnerability is, worst first, in Trivy's words."""

    CRITICAL = 0
    HIGH = 1
    MEDIUM = 2
    LOW = 3
    UNKNOWN = 4

    def __str__(self) -> str:
        """Give the word for a sentence."""
        return self.name.lower()


class Pertinence(IntEnum):
    """What a candidate does about the vulnerabilities of what runs; the order is that of urgency.

    ``FIXES``: its own report shows it. ``MAY_FIX``: it has no report, and packages have been fixed. ``UNKNOWN``: what
    runs has no report. ``NOT_BETTER``: its own report shows that. ``NOTHING``: there is nothing to fix, or no fix.
    """

    FIXES = 0
    MAY_FIX = 1
    UNKNOWN = 2
    NOT_BETTER = 3
    NOTHING = 4


@dataclass(frozen=True, slots=True)
class Vulnerability:
    """One finding in one package. ``fixed_version`` is the package's, and empty while there is none."""

    id: str
    severity: Severity
    package: str = ""
    fixed_version: str = ""
    score: float | None = None
    published: datetime | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """A VulnerabilityReport, of a container of a Deployment where its labels name the ReplicaSet."""

    container: Container
    image: str
    tag: str
    digest: str
    at: datetime
    vulnerabilities: tuple[Vulnerability, ...] = ()

    def is_of(self, image: str, tag: str, *, digests: Collection[str]) -> bool:
        """Tell whether it is about an image; the tag counts only where the report has no digest to compare."""
        if self.digest and digests:
            return self.digest in digests
        return bool(tag) and (self.image, self.tag) == (image, tag)


@dataclass(frozen=True, slots=True)
class Update:
    """A container, what it runs, and what was chosen for it.

    ``same`` are further digests of what runs: those of the index and of its platforms.
    """

    container: Container
    running: Running
    candidate: Candidate
    same: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Urgency:
    """How urgent an update is, and one sentence. ``fixed`` are the vulnerabilities that count, worst first."""

    update: Update
    pertinence: Pertinence
    message: str
    fixed: tuple[str, ...] = ()
    worst: Vulnerability | None = None
    exploited: bool = False


def rank(
    updates: Iterable[Update], reports: Iterable[Report], *, exploited: Collection[str] = ()
) -> tuple[Urgency, ...]:
    """Put updates in order, most urgent first.

    What is exploited comes first, then the severity, the score and the age of the worst that is fixed. ``exploited``
    are the vulnerabilities known to be (CISA's KEV, or the vendor); without that list the rest of the order stands.
    """
    known, attacked = _indexed(reports), frozenset(exploited)
    return tuple(sorted((_judged(update, known, attacked=attacked) for update in updates), key=_order))


def _order(found: Urgency) -> tuple[int, _Weight, Pertinence, Container, str]:
    group = max(found.pertinence, Pertinence.MAY_FIX)
    weight = _weight(found.worst, found.exploited) if found.worst else (True, Severity.UNKNOWN, 0.0, math.inf, "")
    return (group, weight, found.pertinence, found.update.container, found.update.candidate.reference)


@dataclass(frozen=True, slots=True)
class _Reports:
    """The reports by what they are looked up by: a thousand workloads have as many."""

    of_container: Mapping[Container, Sequence[Report]]
    by_digest: Mapping[str, Sequence[Report]]


def _indexed(reports: Iterable[Report]) -> _Reports:
    of_container: dict[Container, list[Report]] = defaultdict(list)
    by_digest: dict[str, list[Report]] = defaultdict(list)
    for report in reports:
        of_container[report.container].append(report)
        by_digest[report.digest].append(report)
    return _Reports(of_container, by_digest)


def _weight(found: Vulnerability, exploited: bool) -> _Weight:
    """Sort: exploited first, then what is worse, then what has been known for longer."""
    known_since = found.published.timestamp() if found.published else math.inf
    return (not exploited, found.severity, -(found.score or 0.0), known_since, found.id)


def _as_reported(container: Container) -> Container:
    """Give a container as reports name it: by its ReplicaSet, which may be a Deployment's or a Rollout's."""
    return replace(container, kind="Deployment") if container.kind == "Rollout" else container


def _judged(update: Update, reports: _Reports, *, attacked: frozenset[str]) -> Urgency:
    running, candidate = update.running, update.candidate
    of_container = reports.of_container.get(_as_reported(update.container), ())
    before = _latest(of_container, candidate.image, running.tag, digests={running.digest, *update.same} - {""})
    digests = {candidate.digest, *candidate.manifests}
    about = chain.from_iterable(reports.by_digest.get(digest, ()) for digest in (*digests, ""))
    after = _latest(about, candidate.image, candidate.tag, digests=digests)
    if before is None:
        text = f"no report says what {running} is vulnerable to; see whether trivy-operator scans it"
        return _urgency(update, Pertinence.UNKNOWN, text)
    if not before.vulnerabilities:
        return _urgency(update, Pertinence.NOTHING, f"the report of {running} lists no vulnerability")
    if after is None:
        return _unproven(update, before, attacked=attacked)
    return _compared(update, before, after, attacked=attacked)


def _latest(reports: Iterable[Report], image: str, tag: str, *, digests: set[str]) -> Report | None:
    found = [report for report in reports if report.is_of(image, tag, digests=digests)]
    # Of two that are as old, the worse one counts; the rest makes it the same one whatever the order they came in.
    return max(found, key=lambda it: (it.at, _profile(it, frozenset()), sorted(_keys(it))), default=None)


def _unproven(update: Update, before: Report, *, attacked: frozenset[str]) -> Urgency:
    """Judge by what could be fixed, since nobody has looked at the candidate."""
    fixable = [one for one in before.vulnerabilities if one.fixed_version]
    tag = update.candidate.tag
    if not fixable:
        count = len(_keys(before))
        text = f"no package has a fix for any of the {count} vulnerabilities of {update.running}; {tag} has no report"
        return _urgency(update, Pertinence.NOTHING, text)
    ordered = _worst_first(fixable, attacked)
    text = f"packages have fixes for {_named(ordered, attacked)}; {tag} has no report that it has them"
    return _urgency(update, Pertinence.MAY_FIX, text, ordered, attacked=attacked)


def _compared(update: Update, before: Report, after: Report, *, attacked: frozenset[str]) -> Urgency:
    left = _keys(after)
    gone = [one for one in before.vulnerabilities if (one.id, one.package) not in left]
    was, becomes = _profile(before, attacked), _profile(after, attacked)
    tag = update.candidate.tag
    if not gone or becomes >= was:
        text = f"{tag} is no better than {update.running}: {_counted(becomes)} instead of {_counted(was)}"
        return _urgency(update, Pertinence.NOT_BETTER, text)
    ordered = _worst_first(gone, attacked)
    text = f"{tag} fixes {_named(ordered, attacked)}; {_counted(becomes)} left"
    return _urgency(update, Pertinence.FIXES, text, ordered, attacked=attacked)


def _urgency(
    update: Update,
    pertinence: Pertinence,
    message: str,
    ordered: Sequence[Vulnerability] = (),
    *,
    attacked: frozenset[str] = frozenset(),
) -> Urgency:
    worst = ordered[0] if ordered else None
    exploited = worst is not None and worst.id in attacked
    return Urgency(update, pertinence, f"{update.container}: {message}", _ids(ordered)[:FIXED_KEPT], worst, exploited)


def _worst_first(found: Iterable[Vulnerability], attacked: frozenset[str]) -> list[Vulnerability]:
    return sorted(found, key=lambda one: _weight(one, one.id in attacked))


def _ids(ordered: Iterable[Vulnerability]) -> tuple[str, ...]:
    """Give each once: one that is in several packages is one advisory."""
    return tuple(dict.fromkeys(one.id for one in ordered))


def _profile(report: Report, attacked: frozenset[str]) -> Profile:
    """Count the vulnerabilities, worst first: exploited ones, then each severity. The smaller is the better image."""
    found = {(one.id, one.package): one for one in report.vulnerabilities}
    counted = Counter(one.severity for one in found.values())
    return (sum(one.id in attacked for one in found.values()), *(counted[severity] for severity in Severity))


def _keys(report: Report) -> set[tuple[str, str]]:
    return {(one.id, one.package) for one in report.vulnerabilities}


def _named(ordered: Sequence[Vulnerability], attacked: frozenset[str]) -> str:
    worst, more = ordered[0], len(_ids(ordered)) - 1
    words = f"{worst.severity}, exploited" if worst.id in attacked else str(worst.severity)
    return f"{worst.id} ({words})" + (f" and {more} more" if more else "")


def _counted(profile: Profile) -> str:
    words = ("exploited", *(str(severity) for severity in Severity))
    told = [f"{count} {word}" for count, word in zip(profile, words, strict=True) if count]
    return ", ".join(told) or "none"
