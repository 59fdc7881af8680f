"""Act: carry out a decision's batches, each in order and all at once, up to a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import assert_never

from patchwright import errors, ports
from patchwright.domain import actions
from patchwright.domain import decide as engine
from patchwright.domain.memory import FailedChange
from patchwright.domain.nodes import volumes
from patchwright.domain.nodes.record import Mark, Record
from patchwright.domain.nodes.view import Attachment, Eviction, EvictionAttempt, NodeView, VolumeList
from patchwright.domain.snapshot import Batch, Snapshot
from patchwright.domain.workloads import writing
from patchwright.domain.workloads.view import WorkloadView
from patchwright.pipeline import ask, git_hands, targets, tell
from patchwright.pipeline.facts import Facts, NodeFacts
from patchwright.pipeline.workload_hands import WorkloadHands

# As many requests under way at once; the API server's fairness queues do the rest.
PARALLEL = 32
DELETE_AGAIN = timedelta(seconds=30)
DRAINS = frozenset({Mark.DRAINING, Mark.UNDRAINING})
# Cluster API gives a machine's evictions as long in one pass.
PASS_TIME = timedelta(seconds=10)
BLOCKING = frozenset({Eviction.BLOCKED, Eviction.MISCONFIGURED, Eviction.REFUSED})


@dataclass(slots=True)
class Report:
    """What became of the batches: whether anything was done, what the API server refused, when it is worth a retry."""

    acted: bool = False
    refused: str = ""
    retry_after: float | None = None


@dataclass(slots=True)
class Executor:
    """Carries out actions for one rollout."""

    world: ports.World
    case: ports.Case
    snapshot: Snapshot
    facts: Facts
    report: Report = field(default_factory=Report)
    _views: dict[str, NodeView] = field(init=False)
    _workloads: WorkloadHands = field(init=False)

    def __post_init__(self) -> None:
        """Index the targets of each kind."""
        found = self.snapshot.targets
        self._views = {target.uid: target for target in found if isinstance(target, NodeView)}
        views = {target.uid: target for target in found if isinstance(target, WorkloadView)}
        self._workloads = WorkloadHands(self.world, self.facts, views, self.snapshot.policy)

    async def run(self, batches: Sequence[Batch]) -> Report:
        """Carry out every batch; a batch stops at its first failure, the others go on."""
        limit = asyncio.Semaphore(PARALLEL)
        others, commits = git_hands.parted(batches)
        async with asyncio.TaskGroup() as group:
            for batch in others:
                group.create_task(self._batch(batch, limit))
        # One after the other: they push to one branch, and would only be in each other's way.
        for step in writing.together(commits):
            await self._commit(step)
        return self.report

    async def _commit(self, step: Sequence[actions.CommitImages]) -> None:
        try:
            unwritten = await git_hands.GitHands(self.world, self.facts, self.snapshot).commit(step)
        except errors.PatchwrightError as error:
            self._later(error.retry_after or git_hands.RETRY)
            self.report.refused = error.message
            return
        self.report.acted = True
        if unwritten is not None:
            await self._look_again(unwritten[0])

    async def _batch(self, batch: Batch, limit: asyncio.Semaphore) -> None:
        async with limit:
            since = self.world.clock.now()
            done = await self._in_order(batch, since)
            if done and isinstance(batch[-1], (actions.ListPods, actions.ListWorkloadPods)):
                # Most nodes turn out to be empty: whoever is, need not wait for the listing of all the others.
                batch = self._following(_object(batch[-1]))
                done = await self._in_order(batch, since)
            if done and isinstance(batch[-1], actions.ListVolumes):
                await self._in_order(self._following(batch[-1].node), since)

    async def _in_order(self, batch: Batch, since: datetime) -> bool:
        """Carry out a batch of a pass that began at ``since``; tell whether it was, and was one at all."""
        for action in batch:
            if self._overdue(action, since):
                continue
            if not await self._one(action):
                return False
        return bool(batch)

    def _overdue(self, action: actions.Action, since: datetime) -> bool:
        """Tell whether a pass over a node's pods has taken its time: the next round goes on with the others.

        Every node of the rollout waits for that round, and a server that is slow for one namespace must not hold them.
        The time is each node's own: were it the round's, nodes beyond the first ``PARALLEL`` would never have a turn.
        """
        if not isinstance(action, actions.Evict | actions.DeletePod):
            return False
        return self.world.clock.now() - since > PASS_TIME

    def _following(self, listed: targets.Ref | None) -> Batch:
        # Looked at anew: the taint of the cordon has changed the node since the round began, and a write that names
        # an older version is refused.
        snapshot = self.snapshot
        if listed is None:
            return ()
        seen = targets.one(self.world, snapshot.rollout, snapshot.policy, ref=listed, facts=self.facts)
        if seen is None:
            return ()
        found = engine.carry_on(replace(snapshot, now=self.world.clock.now()), seen)
        _, commits = git_hands.parted([found])
        # A commit is for all that begin together: it waits for the next round, which comes at once.
        return () if commits else found

    async def _one(self, action: actions.Action) -> bool:
        if isinstance(action, actions.DeleteJobs) and not self._due(self.facts.jobs_deleted_at):
            return False
        try:
            await self._perform(action)
        except (errors.Conflict, errors.NotFound):
            # Somebody else wrote first, or the object is gone: look again before anything more is done to it.
            await self._look_again(action)
            return False
        except errors.ClusterError as error:
            self._failed(error)
            return False
        self.report.acted = True
        return True

    def _due(self, last: datetime | None) -> bool:
        """Jobs go when their pods have gone, which takes a moment; being told again makes none go faster."""
        return last is None or self.snapshot.now - last >= DELETE_AGAIN

    def _failed(self, error: errors.ClusterError) -> None:
        self._later(error.retry_after or 1.0)
        if isinstance(error, errors.Denied):
            self.report.refused = error.message

    def _later(self, wait: float) -> None:
        known = self.report.retry_after
        self.report.retry_after = wait if known is None else min(known, wait)

    async def _look_again(self, action: actions.Action) -> None:
        self.report.acted = True
        try:
            match _object(action):
                case actions.NodeRef() as node:
                    await self.world.fleet.refresh(node)
                case actions.WorkloadRef() as workload:
                    await self.world.workloads.refresh(workload)
        except errors.ClusterError as error:
            self._failed(error)

    async def _perform(self, action: actions.Action) -> None:
        match action:
            case actions.Cordon() | actions.Mark() | actions.Uncordon():
                await self._write(action)
            case actions.ListPods() | actions.ListVolumes():
                await self._look(action)
            case actions.Evict() | actions.DeletePod():
                await self._move(action)
            case actions.StartJob() | actions.DeleteJob() | actions.DeleteJobs():
                await self._jobs(action)
            case (
                actions.SetImages()
                | actions.RestoreImages()
                | actions.MarkWorkload()
                | actions.ReleaseWorkload()
                | actions.ListWorkloadPods()
                | actions.CheckImages()
                | actions.DeleteBadPod()
                | actions.ReplacePod()
                | actions.CreateCanary()
                | actions.DeleteCanary()
            ):
                await self._workloads.perform(action)
            case actions.CommitImages():
                raise AssertionError("commits are made for many workloads at once, in run")
            case actions.AskPolicy():
                self.facts.answer = await ask.ask(
                    self.world.policy_engine, self.world.trust, self.snapshot, action=action
                )
                self.facts.asked = self.facts.answer.at, frozenset(action.targets)
            case actions.Remember():
                await self._remember(action)
            case actions.DropFinalizer():
                await self.world.rollouts.let_go(self.case)
            case _ as never:
                assert_never(never)

    async def _write(self, action: actions.Cordon | actions.Mark | actions.Uncordon) -> None:
        fleet = self.world.fleet
        match action:
            case actions.Cordon():
                await fleet.cordon(action.node, action.record, exclude=action.exclude)
            case actions.Mark():
                await fleet.mark(action.node, action.record)
            case actions.Uncordon():
                await fleet.uncordon(
                    action.node,
                    action.record,
                    keep_cordon=action.keep_cordon,
                    label=action.label,
                    include=action.include,
                )
        await self._moved(action.node, action.record, again=isinstance(action, actions.Cordon))

    async def _moved(self, node: actions.NodeRef, after: Record | None, *, again: bool) -> None:
        """Tell of a node's new stage, and drop the facts of the one it left."""
        known = self.facts.nodes.pop(node.uid, None)
        before = self._record(node)
        if after is not None and after.mark in DRAINS and self.snapshot.policy.drain.wait_for_volume_detach:
            self.facts.nodes[node.uid] = NodeFacts(claims=_claims(before, after, known), since=after.since)
        if before is None or after is None:
            return
        if before.mark is after.mark:
            if again:
                await tell.cordoned_again(self.world.journal, node, after)
            return
        journal = self.world.journal
        journal.drain_ended(node.name)
        journal.step_took(before.mark.value, (after.since - before.since).total_seconds())
        await tell.node(journal, node, after)

    def _record(self, node: actions.NodeRef) -> Record | None:
        found = self._views.get(node.uid)
        return found.record if found else None

    async def _look(self, action: actions.ListPods | actions.ListVolumes) -> None:
        facts, fleet = self.facts.node(action.node.uid), self.world.fleet
        match action:
            case actions.ListPods():
                facts.pods = await fleet.pods(action.node)
                facts.claims = volumes.remember(facts.claims, facts.pods)
                left = {pod.ref.uid for pod in facts.pods.pods}
                facts.evictions = {uid: seen for uid, seen in facts.evictions.items() if uid in left}
            case actions.ListVolumes():
                before, facts.volumes = facts.volumes, await fleet.volumes(action.node)
                if facts.pods is not None:
                    attached = volumes.left(facts.volumes, facts.pods, facts.claims)
                    await self._stuck(action.node, attached, before)

    async def _stuck(self, node: actions.NodeRef, left: Sequence[Attachment], before: VolumeList | None) -> None:
        """Tell of each volume that its driver fails to detach, once: drivers say something else at every attempt."""
        told = {each.name for each in before.attachments if each.error} if before else set()
        for each in left:
            if each.error and each.name not in told:
                text = volumes.sentence([each])
                await self.world.journal.node_event(node, reason="DrainBlocked", message=text, warning=True)

    async def _move(self, action: actions.Evict | actions.DeletePod) -> None:
        fleet = self.world.fleet
        match action:
            case actions.Evict():
                attempt = await fleet.evict(action.pod, grace_period=action.grace_period)
            case actions.DeletePod():
                attempt = await fleet.delete_pod(action.pod, grace_period=action.grace_period)
        await self._answered(action, attempt)

    async def _answered(self, action: actions.Evict | actions.DeletePod, attempt: EvictionAttempt) -> None:
        facts, pod, journal = self.facts.node(action.node.uid), action.pod, self.world.journal
        before = facts.evictions.get(pod.uid)
        again = before is not None and before.result is attempt.result
        count = before.attempts + 1 if before is not None and again else 1
        facts.evictions[pod.uid] = replace(attempt, attempts=count)
        journal.evicted(attempt)
        if attempt.result not in BLOCKING:
            return
        journal.drain_blocked(action.node.name, namespace=pod.namespace, pod=pod.name, reason=attempt.result.value)
        if not again:
            text = f"pod {pod.namespace}/{pod.name} cannot be evicted: {attempt.message}"
            await journal.node_event(action.node, reason="DrainBlocked", message=text, warning=True)

    async def _jobs(self, action: actions.StartJob | actions.DeleteJob | actions.DeleteJobs) -> None:
        fleet = self.world.fleet
        match action:
            case actions.StartJob():
                if action.step is actions.JobStep.VERIFY:
                    await self._confirm(action.node)
                await fleet.start_job(self.case, action.node, step=action.step, name=action.name)
            case actions.DeleteJob():
                await fleet.delete_job(action.name, uid=action.uid)
            case actions.DeleteJobs():
                await fleet.delete_jobs(action.rollout_uid)
                self.facts.jobs_deleted_at = self.snapshot.now

    async def _confirm(self, node: actions.NodeRef) -> None:
        """Look at a node once more before a Job that no write to the node comes before.

        An operator that was deposed, or whose watch of nodes lags behind that of Jobs, would verify again what another
        has called failed and puts back (L10).

        Raises:
            Conflict: its record is not as it was seen.
        """
        await self.world.fleet.refresh(node)
        snapshot, seen = self.snapshot, self._views.get(node.uid)
        fresh = targets.one(self.world, snapshot.rollout, snapshot.policy, ref=node, facts=self.facts)
        if seen is None or not isinstance(fresh, NodeView) or fresh.record != seen.record:
            raise errors.Conflict(f"node {node.name}: its record has changed")

    async def _remember(self, action: actions.Remember) -> None:
        failed = FailedChange(
            action.change_id, action.version, str(self.case.key), action.reason, action.message, self.snapshot.now
        )
        await self.world.rollouts.remember(self.case, failed)


def _object(action: actions.Action) -> targets.Ref | None:
    """Give the node or the workload that an action is about."""
    found = getattr(action, "node", None) or getattr(action, "workload", None)
    return found if isinstance(found, (actions.NodeRef, actions.WorkloadRef)) else None


def _claims(before: Record | None, after: Record, known: NodeFacts | None) -> frozenset[str] | None:
    """Begin to note whose volumes there were: whoever cordons a node sees all its pods go.

    A cordon that is renewed midway forgets nothing, and does not make up for what was not seen.
    """
    if before is None or before.mark is not after.mark:
        return frozenset()
    return known.seen(before) if known else None
