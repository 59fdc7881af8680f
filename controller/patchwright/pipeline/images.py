"""One round for the images of one PatchPolicy: look at registries that are due, choose, propose.

What was seen is written down before anything is decided by it, and what is proposed has a name that follows from it: a
crash anywhere in between proposes the same once. No error of a registry concludes anything; it is told.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from patchwright import errors, ports
from patchwright.domain.images import knowledge, proposals, pullrequests, uses
from patchwright.domain.images.imagepolicy import Followed
from patchwright.domain.images.knowledge import Knowledge
from patchwright.domain.images.proposals import Outlook, Past, Proposal, Sight, Situation, Trouble
from patchwright.domain.images.pullrequests import Answer
from patchwright.domain.images.urgency import Report
from patchwright.domain.images.uses import Usage
from patchwright.domain.memory import PolicyState
from patchwright.domain.model import ImagesChange, Key, PatchPolicy, PatchRollout, Trigger
from patchwright.domain.spelling import instant
from patchwright.domain.state import RolloutState
from patchwright.domain.workloads import reversible
from patchwright.domain.workloads.view import Kept, WorkloadPods, WorkloadView
from patchwright.image_ports import ImageWorld
from patchwright.pipeline import kept as registries
from patchwright.pipeline import targets
from patchwright.pipeline.looks import Looker

# What runs changes with every deployment; nobody is told of all of them.
EVERY: Final = timedelta(seconds=30)
IDLE: Final = timedelta(minutes=5)
_PARALLEL: Final = 8
_AGAIN: Final = timedelta(minutes=1)
# A thousand workloads that are not pinned are a thousand lists of pods.
_PODS_AGAIN: Final = timedelta(minutes=10)
_UNKNOWN_AGAIN: Final = timedelta(minutes=1)
# Whoever reopens a pull request is in no hurry.
_DECLINED: Final = timedelta(minutes=10)


@dataclass(slots=True)
class _Kept:
    """What this process knows of one repository of one policy; ``known`` is written down as well."""

    known: Knowledge | None = None
    version: str = ""
    due: datetime | None = None
    followed: Followed | None = None
    trouble: Trouble | None = None


@dataclass(slots=True)
class _Pods:
    generation: int
    pods: WorkloadPods

    def fresh(self, view: WorkloadView, now: datetime) -> bool:
        """Tell whether they still say what runs; those that told nothing are asked again sooner."""
        told = any(digest for pod in self.pods.pods for digest in pod.digests.values())
        return self.generation == view.generation and now - self.pods.at < (_PODS_AGAIN if told else _UNKNOWN_AGAIN)


@dataclass(slots=True)
class _Mine:
    """What this process knows of one policy; ``heeded`` is the last wish to have registries looked at now."""

    images: dict[str, _Kept] = field(default_factory=dict)
    pods: dict[str, _Pods] = field(default_factory=dict)
    kept: dict[str, Kept] = field(default_factory=dict)
    outlook: Outlook | None = None
    heeded: str = ""
    asked: dict[str, _Asked] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What people said of a proposal, or why they could not be asked; they are asked again at ``until``."""

    until: datetime
    answer: Answer | errors.PatchwrightError

    @property
    def declined(self) -> str:
        """What is said of what they did not want; empty when they have not said so."""
        return pullrequests.declined(self.answer) if isinstance(self.answer, Answer) else ""


class ImageReconciler:
    """Follows the images of policies, one round at a time; ``dice`` gives numbers from 0 to 1."""

    def __init__(
        self,
        world: ports.World,
        policies: ports.Policies,
        image_world: ImageWorld,
        *,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._world = world
        self._policies = policies
        self._images = image_world
        self._looker = Looker(image_world)
        self._dice = dice
        self._mine: dict[str, _Mine] = {}
        self._keys: dict[Key, str] = {}

    def outlook(self, key: Key) -> Outlook | None:
        """Give what came out of the last round of a policy; ``None`` before the first, and where none is followed."""
        mine = self._mine.get(self._keys.get(key, ""))
        return mine.outlook if mine is not None else None

    def heeded(self, key: Key) -> str:
        """Give the last wish to have a policy's registries looked at now that was heeded; empty when none was."""
        mine = self._mine.get(self._keys.get(key, ""))
        return mine.heeded if mine is not None else ""

    async def reconcile(self, key: Key) -> timedelta | None:
        """Do one round; ``None`` when the policy is gone."""
        case = self._policies.policy(key)
        if case is None:
            self._mine.pop(self._keys.pop(key, ""), None)
            return None
        policy = case.policy
        if policy is None or policy.deleting or not policy.followed or targets.forbidden(self._world, policy):
            self._mine.pop(self._keys.pop(key, ""), None)
            return IDLE
        self._keys[key] = policy.uid
        mine = self._mine.setdefault(policy.uid, _Mine(heeded=case.state.last_handled_reconcile_at))
        return await self._round(policy, mine, case)

    async def _round(self, policy: PatchPolicy, mine: _Mine, case: ports.PolicyCase) -> timedelta:
        usages = await self._followed(policy, mine)
        if policy.trigger is not Trigger.PULL_REQUEST:
            mine.asked.clear()
        if policy.requested_at != mine.heeded:
            for each in mine.images.values():
                each.due = self._world.clock.now()
            mine.asked.clear()
            mine.heeded = policy.requested_at
        await self._look(policy, mine, usages, case)
        mine.outlook = await self._ahead(policy, mine)
        if self._changed(policy):
            return timedelta(0)
        if mine.outlook.proposal is not None and policy.trigger is Trigger.AUTOMATIC:
            await self._propose(policy, mine, mine.outlook)
        if policy.trigger is Trigger.PULL_REQUEST:
            mine.outlook = await self._by_pull_request(policy, mine, mine.outlook)
        await self._tidy(policy)
        now = self._world.clock.now()
        times = [each.due for each in mine.images.values() if each.due is not None]
        times += [mine.outlook.wake] if mine.outlook.wake is not None else []
        return max(timedelta(0), min([EVERY, *(at - now for at in times)]))

    def _changed(self, policy: PatchPolicy) -> bool:
        """Tell whether people have changed the policy while registries were looked at: suspended it, perhaps."""
        case = self._policies.policy(policy.key)
        return case is None or case.policy != policy

    # --- what runs ------------------------------------------------------------------------------------------------

    async def _followed(self, policy: PatchPolicy, mine: _Mine) -> tuple[Usage, ...]:
        """Give where the images run; asks the pods of what is not pinned, and keeps in mind what is followed only."""
        now = self._world.clock.now()
        unknown = uses.unknown(uses.of(targets.workloads(self._world, policy), policy.followed))
        await asyncio.gather(*(self._pods(view, mine, now) for view in unknown.values()))
        mine.pods = {uid: pods for uid, pods in mine.pods.items() if uid in unknown}
        mine.kept = {image: each for image, each in mine.kept.items() if reversible.fresh(each, now)}
        usages = self._usages(policy, mine)
        mine.images = {usage.image: mine.images.get(usage.image, _Kept()) for usage in usages}
        return usages

    def _usages(self, policy: PatchPolicy, mine: _Mine) -> tuple[Usage, ...]:
        """Give where the images run now, with what the pods have told of those that are not pinned."""
        found = targets.workloads(self._world, policy)
        return uses.of([_told_by_pods(view, mine) for view in found], policy.followed)

    async def _pods(self, view: WorkloadView, mine: _Mine, now: datetime) -> None:
        known = mine.pods.get(view.uid)
        if known is not None and known.fresh(view, now):
            return
        try:
            mine.pods[view.uid] = _Pods(view.generation, await self._world.workloads.pods(view.ref))
        except errors.NotFound:
            mine.pods.pop(view.uid, None)

    # --- what there is --------------------------------------------------------------------------------------------

    async def _look(self, policy: PatchPolicy, mine: _Mine, usages: Sequence[Usage], case: ports.PolicyCase) -> None:
        limit = asyncio.Semaphore(_PARALLEL)

        async def one(usage: Usage) -> None:
            async with limit:
                await self._look_at(policy, usage, mine.images[usage.image], case)

        await asyncio.gather(*(one(usage) for usage in usages if usage.uses))

    async def _look_at(self, policy: PatchPolicy, usage: Usage, kept: _Kept, case: ports.PolicyCase) -> None:
        """Look at one registry if it is due; whatever goes wrong is told, and nothing is concluded from it."""
        interval = usage.followed.interval
        try:
            if kept.known is None:
                found = await self._images.memories.recall(policy, usage.image)
                kept.known, kept.version = found.known, found.version
                if kept.due is None and found.known.at is not None:
                    kept.due = found.known.at + interval
            now = self._world.clock.now()
            changed = kept.followed is not None and kept.followed != usage.followed
            kept.followed = usage.followed
            if kept.due is not None and now < kept.due and not changed:
                return
            known = await self._looker.look(policy, usage, kept.known, failed=case.state.failed_changes, now=now)
            kept.version = await self._images.memories.keep(policy, usage.image, known=known, version=kept.version)
        except errors.PatchwrightError as error:
            self._images.meter.image_scanned(error.reason)
            self._failed(kept, error, interval)
            return
        self._images.meter.image_scanned("Succeeded")
        kept.known, kept.trouble = known, None
        kept.due = now + interval * (0.9 + self._dice() / 5)

    def _failed(self, kept: _Kept, error: errors.PatchwrightError, interval: timedelta) -> None:
        now = self._world.clock.now()
        asked = timedelta(seconds=error.retry_after if error.retry_after is not None else 0.0)
        kept.due = now + max(asked, min(interval, _AGAIN))
        kept.trouble = Trouble(error.reason, f"{error.message}; looked at again at {instant(kept.due)}", kept.due)
        if isinstance(error, errors.Conflict):
            # Somebody else has written what is known: theirs is read, and learnt from.
            kept.known = None

    # --- what comes of it -----------------------------------------------------------------------------------------

    async def _ahead(self, policy: PatchPolicy, mine: _Mine) -> Outlook:
        """Look ahead; what a proposal depends on is asked only once there is one, for some of it is dear."""
        situation = self._situation(policy, mine)
        outlook = proposals.look_ahead(situation)
        if outlook.proposal is None:
            return outlook
        usages = [sight.usage for sight in situation.sights]
        spaces = {use.view.namespace for usage in usages for use in usage.uses}
        found = await self._images.reports.reports(spaces, {usage.image for usage in usages})
        outlook = proposals.look_ahead(self._situation(policy, mine, found))
        # What could not come back is not proposed, and then another image may be.
        for _ in usages:
            if outlook.proposal is None or not outlook.proposal.unasked:
                break
            for image in outlook.proposal.unasked:
                mine.kept[image] = await registries.ask(self._world, policy, image)
            outlook = proposals.look_ahead(self._situation(policy, mine, found))
        return outlook

    def _situation(self, policy: PatchPolicy, mine: _Mine, reports: Sequence[Report] = ()) -> Situation:
        """Take all in at one moment.

        With what ran before a slow look at a registry, beside a rollout that has ended in the meantime, the same change
        was proposed again to workloads that had it.
        """
        case = self._policies.policy(policy.key)
        state = case.state if case is not None else PolicyState()
        past, taken = self._past(policy)
        usages = [uses.with_kept(usage, mine.kept) for usage in self._usages(policy, mine)]
        return Situation(
            policy,
            tuple(_sight(usage, mine.images.get(usage.image, _Kept())) for usage in usages),
            self._world.clock.now(),
            past=past,
            taken=taken,
            failed=state.failed_changes,
            retried_at=state.retried_at,
            reports=reports,
            declined={change: asked.declined for change, asked in mine.asked.items() if asked.declined},
        )

    def _past(self, policy: PatchPolicy) -> tuple[tuple[Past, ...], frozenset[str]]:
        rollouts = self._world.rollouts
        keys = [key for key in rollouts.keys() if key.namespace == policy.key.namespace]  # noqa: SIM118 (a port's method)
        cases = [case for key in keys if (case := rollouts.get(key)) is not None]
        found = [(case.rollout, case) for case in cases if case.rollout is not None]
        mine = [(rollout, case) for rollout, case in found if rollout.policy_name == policy.key.name]
        mine.sort(key=lambda each: (each[0].created_at, each[0].key))
        return tuple(_past(rollout, case.state) for rollout, case in mine), frozenset(key.name for key in keys)

    async def _propose(self, policy: PatchPolicy, mine: _Mine, outlook: Outlook) -> None:
        """Create the rollout, and say so; what was not created is not said to be."""
        proposal = outlook.proposal
        assert proposal is not None
        try:
            uid = await self._images.proposals.propose(policy, proposal)
        except errors.ClusterError as error:
            mine.outlook = proposals.not_created(outlook, error.reason, error.message)
            raise
        told = next(each.message for each in outlook.images if each.digest == proposal.pin.digest)
        key = Key(policy.key.namespace, proposal.name)
        await self._world.journal.event(key, uid=uid, reason="Proposed", message=told)

    async def _by_pull_request(self, policy: PatchPolicy, mine: _Mine, outlook: Outlook) -> Outlook:
        """Ask people about what is proposed; what they did not want gives way to what comes next."""
        for _ in outlook.images:
            if (proposal := outlook.proposal) is None:
                break
            asked = await self._asked(policy, mine, proposal)
            if isinstance(asked.answer, errors.PatchwrightError):
                return proposals.not_created(outlook, asked.answer.reason, asked.answer.message)
            if not asked.declined:
                return pullrequests.told(outlook, asked.answer)
            outlook = await self._ahead(policy, mine)
        return outlook

    async def _asked(self, policy: PatchPolicy, mine: _Mine, proposal: Proposal) -> _Asked:
        """Ask about a proposal, unless that was done a moment ago: hosts limit their requests."""
        now = self._world.clock.now()
        known = mine.asked.get(proposal.change_id)
        if known is not None and now < known.until:
            return known
        try:
            answer = await self._images.pull_requests.ask(policy, proposal)
            found = _Asked(now + (_DECLINED if pullrequests.declined(answer) else _AGAIN), answer)
        except errors.PatchwrightError as error:
            wait = timedelta(seconds=error.retry_after) if error.retry_after is not None else _AGAIN
            found = _Asked(now + wait, error)
        mine.asked[proposal.change_id] = found
        return found

    async def _tidy(self, policy: PatchPolicy) -> None:
        """Delete what the policy has proposed long ago, as a CronJob does with its Jobs."""
        past, _ = self._past(policy)
        for one in proposals.outlived(past):
            await self._images.proposals.tidy(Key(policy.key.namespace, one.name), uid=one.uid)


def _told_by_pods(view: WorkloadView, mine: _Mine) -> WorkloadView:
    known = mine.pods.get(view.uid)
    return replace(view, pods=known.pods) if known is not None and known.generation == view.generation else view


def _sight(usage: Usage, kept: _Kept) -> Sight:
    known = kept.known or knowledge.NOTHING
    return Sight(usage, knowledge.facts(known, usage.image), kept.trouble, known.forgotten)


def _past(rollout: PatchRollout, state: RolloutState) -> Past:
    change = rollout.change
    return Past(
        rollout.key.name,
        rollout.change_id,
        change.images if isinstance(change, ImagesChange) else (),
        state.phase,
        rollout.uid,
        ours=dict(rollout.labels).get(proposals.PROPOSED_BY) == rollout.policy_name,
        ending=state.outcome is not None,
        held=rollout.paused or rollout.abort or rollout.deleting,
        finished_at=state.finished_at,
    )
