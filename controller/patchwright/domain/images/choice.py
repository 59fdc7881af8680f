"""Which image comes next, or why none does.

Only what is newer than what runs is ever looked at, newest first. What has an impediment that is its own (it failed
here, is too young, lacks a platform) is passed over for the next; what the registry shows unsteadily is waited for, and
nothing is chosen below it. So no fault of a registry is an update, let alone a way back: a tag that vanishes does not
make an older one the newest (image-automation-controller#231 went back two months so).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from patchwright.domain import spelling
from patchwright.domain.images import failures, ordering, platforms
from patchwright.domain.images.facts import Container, Running, Scan, TagFacts
from patchwright.domain.images.failures import Failures
from patchwright.domain.images.imagepolicy import AgeBehaviour, Digest, DigestReflection, ImagePolicy
from patchwright.domain.images.ordering import Order, Place

LOST_KEPT: Final = 50


class Verdict(StrEnum):
    """What a choice came to. ``WAIT`` passes by itself, ``REFUSED`` needs somebody to act."""

    UPDATE = "Update"
    UP_TO_DATE = "UpToDate"
    WAIT = "Wait"
    REFUSED = "Refused"


@dataclass(frozen=True, slots=True)
class Candidate:
    """The image to run next. ``digest`` is that of the index; ``pinned`` says whether it is written.

    ``released_at`` is when the registry says it was pushed, or else when we saw it first; ``None`` if it was there
    before we looked.
    """

    image: str
    tag: str
    digest: str
    pinned: bool = True
    released_at: datetime | None = None
    manifests: frozenset[str] = frozenset()

    @property
    def reference(self) -> str:
        """Give what is written into the workload."""
        return f"{self.image}:{self.tag}@{self.digest}" if self.pinned else f"{self.image}:{self.tag}"


@dataclass(frozen=True, slots=True)
class Lost:
    """A tag that was not chosen, and a phrase that says why: ``1.4.3`` + ``lacks linux/arm64``."""

    tag: str
    why: str


@dataclass(frozen=True, slots=True)
class Choice:
    """The outcome, with one sentence. ``until`` is when a wait is over, ``None`` where only another scan can tell.

    ``lost`` are the tags that were not chosen, the newest first; ``unlisted`` is how many more there were.
    """

    verdict: Verdict
    reason: str
    message: str
    candidate: Candidate | None = None
    until: datetime | None = None
    lost: tuple[Lost, ...] = ()
    unlisted: int = 0


@dataclass(frozen=True, slots=True)
class _Obstacle:
    """Why a tag cannot be chosen. One that ``holds`` is waited for; any other is passed over for the next tag."""

    reason: str
    why: str
    verdict: Verdict = Verdict.WAIT
    until: datetime | None = None
    holds: bool = False


@dataclass(frozen=True, slots=True)
class _Case:
    """All that a choice is made from."""

    scan: Scan
    running: Running
    policy: ImagePolicy
    memory: Failures
    now: datetime


@dataclass(frozen=True, slots=True)
class _Race:
    """How the newer tags did: the one chosen or waited for, and what stood in the way of those before it."""

    winner: TagFacts | None
    held: _Obstacle | None
    passed: Mapping[str, _Obstacle]


def choose(
    scan: Scan,
    running: Running,
    *,
    policy: ImagePolicy,
    memory: Failures = failures.NONE,
    containers: Collection[Container] = (),
    now: datetime,
) -> Choice:
    """Choose what the containers that run this image run next.

    ``memory`` is the policy's; it counts as a whole, whichever container an image failed in. ``containers`` are those
    that the choice is for: their rollbacks in a row open the circuit breaker.
    """
    case = _Case(scan, running, policy, memory, now)
    if (early := _early(case)) is not None:
        return early
    try:
        order = ordering.arrange(scan.tags, running, policy)
    except ValueError as error:
        return _refused("PolicyInvalid", f"the policy for {scan.image} cannot be read: {error}; correct it")
    if isinstance(policy.order, Digest) and (absent := _absent(case, order)) is not None:
        return absent
    race = _run(case, order)
    return _told(case, order, race=race, found=_outcome(case, order, race=race, containers=containers))


# --- before any tag is looked at --------------------------------------------------------------------------------------


def _early(case: _Case) -> Choice | None:
    scan, running = case.scan, case.running
    if not scan.complete:
        at = spelling.instant(scan.at)
        return _wait("ScanIncomplete", f"the scan of {scan.image} at {at} saw only a part; waits for a complete one")
    if not isinstance(case.policy.order, Digest):
        return None
    if not running.tag:
        return _refused(
            "NoTag", f"{scan.image} runs by digest alone, so there is no tag to follow; name one in the workload"
        )
    if not running.digest:
        return _wait(
            "NothingRuns",
            f"no pod of {scan.image}:{running.tag} tells its digest, so that none can be newer; start one",
        )
    return None


def _absent(case: _Case, order: Order) -> Choice | None:
    tag = case.running.tag
    if tag in order.places:
        return None
    return _wait("TagMissing", f"{case.scan.image} has no tag {tag} to follow; push it, or name another one")


# --- tag by tag -------------------------------------------------------------------------------------------------------


def _run(case: _Case, order: Order) -> _Race:
    """Take the newer tags, newest first, until one can be chosen or has to be waited for."""
    passed: dict[str, _Obstacle] = {}
    for fact in _newer(case, order):
        obstacle = _obstacle(fact, case)
        if obstacle is None or obstacle.holds:
            return _Race(fact, obstacle, passed)
        passed[fact.tag] = obstacle
    return _Race(None, None, passed)


def _newer(case: _Case, order: Order) -> list[TagFacts]:
    found = [fact for fact in case.scan.tags if fact.tag in order.places and _is_newer(fact, case, order=order)]
    return sorted(found, key=lambda fact: (order.places[fact.tag], fact.tag), reverse=True)


def _is_newer(fact: TagFacts, case: _Case, *, order: Order) -> bool:
    place, current = order.places[fact.tag], order.current
    if fact.holds(case.running.digest) and not fact.flapping:
        return False
    if case.policy.allow_downgrade and not order.admitted:
        # Not a way back from what the policy admits: then a tag that vanished would be a reason to go back.
        return True
    if current is None:
        return False
    return place > current or (place == current and _pushed_again(fact, case))


def _pushed_again(fact: TagFacts, case: _Case) -> bool:
    return case.policy.follows_digest and fact.tag == case.running.tag and bool(case.running.digest)


def _obstacle(fact: TagFacts, case: _Case) -> _Obstacle | None:
    return _unsteady(fact) or _failed(fact, case) or _uncovered(fact, case) or _young(fact, case)


def _unsteady(fact: TagFacts) -> _Obstacle | None:
    if fact.missing:
        return _Obstacle("TagMissing", "was missing from the latest scan; waits for another one", holds=True)
    if fact.flapping:
        why = "names now one image, now another; waits until two scans agree, or leave it out with filterTags"
        return _Obstacle("DigestFlapping", why, holds=True)
    if not fact.digest:
        return _Obstacle("DigestUnknown", "has no known digest yet; waits for the next scan", holds=True)
    return None


def _failed(fact: TagFacts, case: _Case) -> _Obstacle | None:
    known = next((one for one in case.memory.digests if fact.holds(one.digest)), None)
    if known is None:
        return None
    why = f"failed in {known.where} at {spelling.instant(known.at)} ({known.reason})"
    return _Obstacle("FailedBefore", why, verdict=Verdict.REFUSED)


def _uncovered(fact: TagFacts, case: _Case) -> _Obstacle | None:
    wanted = case.policy.platforms
    if not wanted:
        return None
    if fact.platforms is None:
        return _Obstacle("PlatformsUnknown", "has no known platforms yet; waits for the next scan", holds=True)
    lacking = platforms.lacking(wanted, fact.platforms)
    return _Obstacle("PlatformMissing", f"lacks {', '.join(lacking)}") if lacking else None


def _young(fact: TagFacts, case: _Case) -> _Obstacle | None:
    age = case.policy.minimum_release_age
    since = fact.pushed_at or fact.first_seen
    if not age or (_ageless(fact, case) and case.policy.age_behaviour is AgeBehaviour.OPTIONAL):
        return None
    if since is None:
        return _Obstacle("AgeUnknown", "has no known age, and minimumReleaseAgeBehaviour asks for one")
    if case.now >= since + age:
        return None
    seen = "pushed" if fact.pushed_at else "first seen"
    why = f"was {seen} at {spelling.instant(since)}, and minimumReleaseAge is {spelling.duration(age)}"
    return _Obstacle("TooYoung", why, until=since + age)


def _ageless(fact: TagFacts, case: _Case) -> bool:
    """Tell whether nobody knows how old it is: the registry does not say, and it was there when we looked first."""
    if fact.pushed_at is not None:
        return False
    return fact.first_seen is None or (case.scan.since is not None and fact.first_seen <= case.scan.since)


# --- what it comes to -------------------------------------------------------------------------------------------------


def _outcome(case: _Case, order: Order, *, race: _Race, containers: Iterable[Container]) -> Choice:
    if race.winner is not None and race.held is not None:
        return _wait(race.held.reason, f"{case.scan.image}:{race.winner.tag} {race.held.why}")
    if race.winner is not None:
        return _update(race.winner, case, containers=containers)
    if race.passed:
        return _impeded(case, race.passed)
    return _settled(case, order)


def _update(fact: TagFacts, case: _Case, *, containers: Iterable[Container]) -> Choice:
    image, rollbacks = case.scan.image, failures.rollbacks(case.memory, containers)
    if rollbacks >= failures.IN_A_ROW:
        text = f"{image}:{fact.tag} is not tried, because the last {rollbacks} updates were all rolled back"
        return _refused("CircuitOpen", f"{text}; set the annotation patchwright.dev/retry to try again")
    found = Candidate(
        image,
        fact.tag,
        fact.digest,
        pinned=case.policy.digest_reflection is not DigestReflection.NEVER,
        released_at=None if _ageless(fact, case) else fact.pushed_at or fact.first_seen,
        manifests=fact.manifests,
    )
    again = "was pushed again and " if fact.tag == case.running.tag else ""
    text = f"{image}:{fact.tag} {again}replaces {case.running}"
    return Choice(Verdict.UPDATE, "Newer", text, found)


def _impeded(case: _Case, passed: Mapping[str, _Obstacle]) -> Choice:
    """Tell the impediment that passes first, or else that of the newest tag."""
    timed = [(obstacle.until, tag) for tag, obstacle in passed.items() if obstacle.until]
    tag = min(timed)[1] if timed else next((tag for tag, it in passed.items() if it.verdict is Verdict.WAIT), None)
    if tag is not None:
        until = passed[tag].until
        when = f"; waits until {spelling.instant(until)}" if until else "; waits for another scan"
        return _wait(passed[tag].reason, f"{case.scan.image}:{tag} {passed[tag].why}{when}", until=until)
    tag, obstacle = next(iter(passed.items()))
    text = f"{case.scan.image}:{tag} {obstacle.why}; push another image, or set the annotation patchwright.dev/retry"
    return _refused(obstacle.reason, text)


def _settled(case: _Case, order: Order) -> Choice:
    """Say why there is nothing newer."""
    image, running = case.scan.image, case.running
    if order.admitted:
        return Choice(Verdict.UP_TO_DATE, "UpToDate", f"{image}{running.suffix} is the newest{_repushed(case)}")
    if not order.places:
        return _refused(
            "NothingMatches",
            f"none of the {case.scan.listed or len(case.scan.tags)} tags of {image} matches the policy; correct it",
        )
    newest = max((place, tag) for tag, place in order.places.items())[1]
    if order.current is None:
        text = f"nobody can tell whether {newest} is newer than {running}, which runs"
        return _refused("RunningUnordered", f"{image}: {text}; deploy it once, or set allowDowngrade")
    text = f"{newest} is the newest that the policy admits, and older than {running}, which runs"
    return _refused("WouldDowngrade", f"{image}: {text}; widen the policy, or set allowDowngrade")


def _repushed(case: _Case) -> str:
    """Tell that the tag which runs names another image by now, where that is not followed."""
    running = case.running
    if not running.digest or case.policy.follows_digest:
        return ""
    own = next((fact for fact in case.scan.tags if fact.tag == running.tag), None)
    if own is None or not own.digest or own.flapping or own.holds(running.digest):
        return ""
    reflection = case.policy.digest_reflection.value
    return f"; it was pushed again since, which digestReflectionPolicy {reflection} does not follow"


def _wait(reason: str, message: str, *, until: datetime | None = None) -> Choice:
    return Choice(Verdict.WAIT, reason, message, until=until)


def _refused(reason: str, message: str) -> Choice:
    return Choice(Verdict.REFUSED, reason, message)


# --- and why not the others -------------------------------------------------------------------------------------------


def _told(case: _Case, order: Order, *, race: _Race, found: Choice) -> Choice:
    losers = [fact for fact in case.scan.tags if found.candidate is None or fact.tag != found.candidate.tag]
    ranked = sorted(losers, key=lambda fact: _closeness(fact, order))
    lost = tuple(Lost(fact.tag, _why(fact, case, order=order, race=race)) for fact in ranked[:LOST_KEPT])
    return replace(found, lost=lost, unlisted=len(losers) - len(lost))


def _closeness(fact: TagFacts, order: Order) -> tuple[bool, int, int, str]:
    place: Place | None = order.places.get(fact.tag)
    return (True, 0, 0, fact.tag) if place is None else (False, -place[0], -place[1], fact.tag)


def _why(fact: TagFacts, case: _Case, *, order: Order, race: _Race) -> str:
    if fact.tag in order.out:
        return order.out[fact.tag]
    if fact.tag in race.passed:
        return race.passed[fact.tag].why
    if race.winner is not None and fact.tag == race.winner.tag:
        return race.held.why if race.held else "is not tried, because updates were rolled back one after another"
    if fact.holds(case.running.digest) or fact.tag == case.running.tag:
        return "is what runs"
    if _is_newer(fact, case, order=order):
        assert race.winner is not None, "a newer tag that was not passed over comes after the one that was taken"
        return f"is not newer than {race.winner.tag}"
    if order.current is None:
        return f"cannot be compared with {case.running}, which runs"
    return f"is not newer than {case.running}, which runs"
