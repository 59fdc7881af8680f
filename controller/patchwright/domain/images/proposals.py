"""What a policy proposes next: one image, pinned, as a PatchRollout; or why it proposes nothing, image by image.

One image is one rollout, and one rollout is open at a time: what failed is known by name then, and a bad image takes no
good one back with it. The most urgent comes first. All of it is a function of what is recorded, so that an operator
that was killed in between proposes the same under the same name, which can be created once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Final

from patchwright.domain import changes, spelling
from patchwright.domain.images import choice, failures, naming, urgency
from patchwright.domain.images.choice import Candidate, Choice, Verdict
from patchwright.domain.images.facts import Running, Scan
from patchwright.domain.images.failures import FailedDigest, Failures
from patchwright.domain.images.urgency import Report
from patchwright.domain.images.uses import Usage, Use
from patchwright.domain.memory import FailedChange, ImageState
from patchwright.domain.model import ImagePin, ImagesChange, Key, PatchPolicy, PatchRollout, Trigger
from patchwright.domain.state import TERMINAL, Phase
from patchwright.domain.targets import Brief, Stage, Standing
from patchwright.domain.workloads import reversible
from patchwright.domain.workloads.procedure import WorkloadKind
from patchwright.domain.workloads.view import WorkloadView

PROPOSED_BY: Final = "patchwright.dev/proposed-by"
"""The label of a rollout that a policy has proposed; its value is the policy's name."""
IN_A_ROW: Final = failures.IN_A_ROW
HISTORY_KEPT: Final = 10
"""So many of the rollouts that a policy has proposed and that went well are kept."""
# As many entries as `fromAny` has room for.
REPLACED_KEPT: Final = 32
# What ended like this may come again; after any other end somebody has to say so.
_MAY_COME_AGAIN: Final = frozenset({Phase.SUCCEEDED, Phase.SUPERSEDED})
_SAY_RETRY: Final = "set the annotation patchwright.dev/retry of the policy to a new value to go on"
_FIRST_TOLD: Final = (Verdict.REFUSED, Verdict.WAIT, Verdict.UP_TO_DATE)
_KIND: Final = WorkloadKind()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the last look at a registry failed, and when it is looked at again."""

    reason: str
    message: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """One repository that is followed: where it runs, and what is known of it.

    ``scan`` is ``None`` before the first look, ``trouble`` is set when the last one failed. ``forgotten`` counts the
    tags that there was no room to remember.
    """

    usage: Usage
    scan: Scan | None = None
    trouble: Trouble | None = None
    forgotten: int = 0


@dataclass(frozen=True, slots=True)
class Past:
    """A rollout of the policy.

    ``ours`` says that the policy proposed it, ``ending`` that its outcome is known, ``held`` that a person has paused
    or aborted it.
    """

    name: str
    change_id: str
    pins: tuple[ImagePin, ...]
    phase: Phase
    uid: str = ""
    ours: bool = False
    ending: bool = False
    held: bool = False
    finished_at: datetime | None = None

    @property
    def open(self) -> bool:
        """Whether it is still to come to an end."""
        return self.phase not in TERMINAL


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a proposal is made from.

    ``past`` are the policy's rollouts that exist, oldest first, ``taken`` the names of all rollouts of its namespace.
    ``failed`` is what the policy remembers, ``retried_at`` when a person last said that it may be tried again.
    ``declined`` are changes that people did not want, by their identity, and what is said of each.
    """

    policy: PatchPolicy
    sights: tuple[Sight, ...]
    now: datetime
    past: tuple[Past, ...] = ()
    taken: frozenset[str] = frozenset()
    failed: tuple[FailedChange, ...] = ()
    retried_at: datetime | None = None
    reports: Sequence[Report] = ()
    declined: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A rollout to create; ``unasked`` are images that must be there first, of which nobody knows (L4)."""

    name: str
    pin: ImagePin
    advisories: tuple[str, ...] = ()
    released_at: datetime | None = None
    unasked: tuple[str, ...] = ()
    change_id: str = ""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is proposed, if anything, and what is said of each image.

    ``wake`` is when time alone may change that; ``troubles`` are those of registries.
    """

    proposal: Proposal | None
    images: tuple[ImageState, ...]
    wake: datetime | None = None
    troubles: tuple[Trouble, ...] = ()


@dataclass(frozen=True, slots=True)
class _Wish:
    """What is chosen for the places of one repository; ``uses`` are those that it is chosen for."""

    sight: Sight
    choice: Choice
    uses: tuple[Use, ...] = ()
    advisories: tuple[str, ...] = ()

    @property
    def candidate(self) -> Candidate:
        """What was chosen."""
        assert self.choice.candidate is not None, "only an update is wished for"
        return self.choice.candidate

    @property
    def pin(self) -> ImagePin:
        """The image to run in place of what it is newer than, and of nothing else: that would be no way back."""
        names = dict.fromkeys(name for use in self.uses for name in _names(use.running))
        image, found = self.sight.usage.image, self.candidate
        return ImagePin(image, found.digest, tag=found.tag, replaces=tuple(names)[:REPLACED_KEPT])

    @property
    def change_id(self) -> str:
        """The identity of the change."""
        return _identity(self.sight.usage.image, self.candidate.digest)


def look_ahead(situation: Situation) -> Outlook:
    """Say what comes next for every image, and what is proposed."""
    wishes = [_wish(sight, situation) for sight in situation.sights]
    told = {wish.sight.usage.image: wish.choice for wish in wishes}
    proposal = None
    for wish in _urgent_first(situation, [wish for wish in wishes if wish.choice.verdict is Verdict.UPDATE]):
        found = _held_up(situation, wish, proposal) or _proposal(situation, wish)
        if isinstance(found, Proposal):
            proposal, found = found, _proposed(wish, found)
        told[wish.sight.usage.image] = found
    wakes = [found.until for found in told.values() if found.until is not None]
    states = tuple(_state(wish.sight, told[wish.sight.usage.image]) for wish in wishes)
    troubles = tuple(sight.trouble for sight in situation.sights if sight.trouble is not None)
    return Outlook(proposal, states, min(wakes, default=None), troubles)


def outlived(past: Sequence[Past]) -> tuple[Past, ...]:
    """Give the rollouts that the policy has proposed, that went well or gave way, and that are history by now.

    What did not go well stays: it keeps the same from being proposed again.
    """
    done = [one for one in past if one.ours and not one.held and one.phase in _MAY_COME_AGAIN]
    return tuple(sorted(done, key=lambda one: (one.finished_at is None, one.finished_at))[:-HISTORY_KEPT])


def not_created(outlook: Outlook, reason: str, why: str) -> Outlook:
    """Say that what was proposed could not be created."""
    return instead(outlook, Verdict.WAIT, reason, f"which could not be created: {why}")


def instead(outlook: Outlook, verdict: Verdict, reason: str, words: str) -> Outlook:
    """Say what became of what was proposed, which is proposed no more."""
    assert outlook.proposal is not None
    mine = outlook.proposal.pin.image
    images = [
        replace(each, verdict=verdict.value, reason=reason, message=f"{each.message}, {words}")
        if each.image == mine
        else each
        for each in outlook.images
    ]
    return replace(outlook, proposal=None, images=tuple(images))


# --- what is chosen ---------------------------------------------------------------------------------------------------


def remembered(usage: Usage, scan: Scan, failed: Iterable[FailedChange]) -> Failures:
    """Give what a policy remembers of the images that the tags of a repository name (L9)."""
    known = {one.change_id: one for one in failed}
    if not known or not usage.uses:
        return failures.NONE
    where, found = usage.uses[0].container, []
    for fact in scan.tags:
        one = known.get(_identity(usage.image, fact.digest))
        if one is not None:
            found.append(FailedDigest(where, fact.digest, fact.tag, one.reason, one.message, one.at, one.rollout))
    return Failures(tuple(found))


@lru_cache(maxsize=16384)
def _identity(image: str, digest: str) -> str:
    # Of an image only the repository and the digest count.
    return changes.change_id(ImagesChange((ImagePin(image, digest),)))


def _wish(sight: Sight, situation: Situation) -> _Wish:
    usage, scan, trouble = sight.usage, sight.scan, sight.trouble
    if not usage.uses:
        text = f"no selected workload runs {usage.image}; see target.workloads, or take the image out"
        return _Wish(sight, Choice(Verdict.UP_TO_DATE, "NotUsed", text))
    if trouble is not None:
        return _Wish(sight, Choice(Verdict.WAIT, trouble.reason, trouble.message, until=trouble.until))
    if scan is None:
        return _Wish(sight, Choice(Verdict.WAIT, "NotScanned", f"the registry of {usage.image} is looked at first"))
    memory, policy = remembered(usage, scan, situation.failed), usage.followed.policy
    found = {
        running: choice.choose(scan, running, policy=policy, memory=memory, now=situation.now)
        for running in usage.running
    }
    return _gathered(sight, found)


def _gathered(sight: Sight, found: Mapping[Running, Choice]) -> _Wish:
    """Make one wish of what was chosen for each version that runs: the candidate that most places wait for.

    The others' turn comes later: a rollout has one image of a repository.
    """
    wanted = [(use, chosen) for use in sight.usage.uses if (chosen := found[use.running].candidate) is not None]
    if not wanted:
        return _Wish(sight, min(found.values(), key=lambda each: (_FIRST_TOLD.index(each.verdict), each.message)))
    candidates = [chosen for _, chosen in wanted]
    most = max(candidates, key=lambda each: (candidates.count(each), each.reference))
    uses = tuple(use for use, chosen in wanted if chosen == most)
    others = len({use.running for use in uses}) - 1
    first = found[uses[0].running]
    more = f" and {others} more of its versions" if others else ""
    return _Wish(sight, replace(first, message=f"{first.message}{more}"), uses)


# --- whether it is proposed -------------------------------------------------------------------------------------------


def _urgent_first(situation: Situation, wishes: Sequence[_Wish]) -> list[_Wish]:
    updates = {urgency.Update(use.container, use.running, wish.candidate): wish for wish in wishes for use in wish.uses}
    order: dict[str, _Wish] = {}
    fixed: dict[str, dict[str, None]] = {}
    for found in urgency.rank(updates, situation.reports):
        wish = updates[found.update]
        image = wish.sight.usage.image
        order.setdefault(image, wish)
        fixed.setdefault(image, {}).update(dict.fromkeys(found.fixed))
    return [replace(wish, advisories=tuple(fixed[image])[: urgency.FIXED_KEPT]) for image, wish in order.items()]


def _held_up(situation: Situation, wish: _Wish, proposal: Proposal | None) -> Choice | None:
    """Say what keeps a wish from being proposed now; people come first, and what failed before what is in the way."""
    return (
        _by_people(situation, wish)
        or _by_its_end(situation, wish)
        or _by_failures(situation, wish)
        or _by_others(situation, wish, proposal)
        or _by_targets(situation, wish)
    )


def _by_people(situation: Situation, wish: _Wish) -> Choice | None:
    policy = situation.policy
    if policy.suspend:
        return _refused(wish, "Suspended", "the policy is suspended")
    if policy.trigger is Trigger.MANUAL:
        text = f"{wish.choice.message}; trigger is Manual: create a PatchRollout of it, or set trigger: Automatic"
        return replace(wish.choice, reason="Manual", message=text)
    if said := situation.declined.get(wish.change_id):
        return _refused(wish, "PullRequestClosed", said)
    return None


def _by_its_end(situation: Situation, wish: _Wish) -> Choice | None:
    """A change runs once: again only after it went well, or gave way, or when a person says so."""
    last = next((one for one in reversed(situation.past) if one.change_id == wish.change_id), None)
    if last is None or last.phase in _MAY_COME_AGAIN:
        return None
    if last.open:
        return replace(wish.choice, message=f"{wish.choice.message}: rollout {last.name} is at work")
    if situation.retried_at and last.finished_at and last.finished_at <= situation.retried_at:
        return None
    return _refused(wish, f"Was{last.phase.value}", f"rollout {last.name} ended as {last.phase.value}; {_SAY_RETRY}")


def _by_failures(situation: Situation, wish: _Wish) -> Choice | None:
    """Stop after three in a row: whatever breaks them, the next one will not mend it (openclaw-operator#75)."""
    ends = [one.finished_at for one in situation.past if one.phase is Phase.SUCCEEDED]
    since = max((at for at in (*ends, situation.retried_at) if at is not None), default=None)
    row = [one for one in situation.failed if since is None or one.at > since]
    if len(row) < IN_A_ROW:
        return None
    last = max(row, key=lambda one: one.at)
    text = f"the last {len(row)} rollouts failed, {last.rollout} at {spelling.instant(last.at)}; {_SAY_RETRY}"
    return _refused(wish, "CircuitOpen", text)


def _by_others(situation: Situation, wish: _Wish, proposal: Proposal | None) -> Choice | None:
    if proposal is not None:
        return _wait(wish, "OtherFirst", f"{proposal.pin.short} comes first")
    busy = next((one for one in situation.past if one.open and not _gives_way(one, wish, situation)), None)
    return _wait(wish, "RolloutOpen", f"rollout {busy.name} is at work") if busy else None


def _gives_way(one: Past, wish: _Wish, situation: Situation) -> bool:
    """Tell whether an open rollout of ours is of the same image, and older: what is newer takes its place."""
    if not one.ours or one.held or one.ending or one.phase is Phase.ROLLING_BACK:
        return False
    scan, usage = wish.sight.scan, wish.sight.usage
    assert scan is not None, "something was chosen from it"
    memory = remembered(usage, scan, situation.failed)
    followers = [
        choice.choose(scan, running, policy=usage.followed.policy, memory=memory, now=situation.now).candidate
        for running in (_would_run(pin) for pin in one.pins if pin.image == usage.image)
    ]
    return followers == [wish.candidate]


def _by_targets(situation: Situation, wish: _Wish) -> Choice | None:
    """Wait until a workload can be started at all: a rollout that can touch none would be in everybody's way."""
    if any(one.open for one in situation.past):
        return None
    stands = _stands(situation, wish)
    if any(stand.stage is Stage.FRESH for _, stand in stands):
        return None
    name, first = min(stands, key=lambda each: (each[1].for_good, each[0]))
    told = _refused if first.for_good else _wait
    return told(wish, first.reason, f"{name}: {first.message}")


def _stands(situation: Situation, wish: _Wish) -> list[tuple[str, Standing]]:
    """Ask of each workload where it would stand in such a rollout."""
    brief = _brief(situation, wish)
    return [(view.name, _KIND.stand(view, brief)) for view in _views(wish)]


def _views(wish: _Wish) -> Iterable[WorkloadView]:
    return {use.view.uid: use.view for use in wish.uses}.values()


def _brief(situation: Situation, wish: _Wish) -> Brief:
    policy, now = situation.policy, situation.now
    change = ImagesChange((wish.pin,))
    key = Key(policy.key.namespace, "")
    rollout = PatchRollout(key, "", 0, now, policy.key.name, change=change, change_id=wish.change_id)
    # Without a canary nobody minds that a workload without pods would be a bad one.
    canary = policy.strategy.canary
    return Brief(now, rollout, policy, watched_from=0 if canary.count.value or canary.selector else 1)


def _proposal(situation: Situation, wish: _Wish) -> Proposal:
    pin, candidate = wish.pin, wish.candidate
    # Who is on the way to the older one is to have the newer one as well.
    on_the_way = [name for one in situation.past if one.open for each in one.pins for name in _names(_would_run(each))]
    replaces = tuple(dict.fromkeys((*on_the_way, *pin.replaces)))[:REPLACED_KEPT]
    brief = _brief(situation, wish)
    unasked = dict.fromkeys(image for view in _views(wish) for image in reversible.unasked(view, brief))
    return Proposal(
        naming.rollout(situation.policy.key.name, candidate.tag, wish.change_id, taken=situation.taken),
        replace(pin, replaces=replaces),
        wish.advisories,
        candidate.released_at,
        tuple(unasked),
        wish.change_id,
    )


# --- what is said -----------------------------------------------------------------------------------------------------


def _proposed(wish: _Wish, proposal: Proposal) -> Choice:
    return replace(wish.choice, message=f"{wish.choice.message}: proposes rollout {proposal.name}")


def _wait(wish: _Wish, reason: str, why: str) -> Choice:
    return replace(wish.choice, verdict=Verdict.WAIT, reason=reason, message=f"{wish.choice.message}, but {why}")


def _refused(wish: _Wish, reason: str, why: str) -> Choice:
    return replace(wish.choice, verdict=Verdict.REFUSED, reason=reason, message=f"{wish.choice.message}, but {why}")


def _state(sight: Sight, found: Choice) -> ImageState:
    scan, candidate = sight.scan, found.candidate
    kept = f"; only the {len(scan.tags)} tags seen last are remembered" if scan and sight.forgotten else ""
    return ImageState(
        sight.usage.image,
        found.verdict.value,
        found.reason,
        f"{found.message}{kept}",
        tag=candidate.tag if candidate else "",
        digest=candidate.digest if candidate else "",
        scanned_at=scan.at if scan else None,
        tags=scan.listed if scan else None,
    )


def _would_run(pin: ImagePin) -> Running:
    return Running(pin.tag or "", pin.digest)


def _names(running: Running) -> tuple[str, ...]:
    return tuple(name for name in (running.tag or running.digest,) if name)
