"""Act on workloads: each action as the one call that it is, and the event that tells of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from patchwright import ports
from patchwright.domain import actions
from patchwright.domain.model import PatchPolicy
from patchwright.domain.workloads import reversible
from patchwright.domain.workloads.record import Record
from patchwright.domain.workloads.view import WorkloadView
from patchwright.pipeline import kept, tell
from patchwright.pipeline.facts import Facts

WorkloadAction = (
    actions.SetImages
    | actions.RestoreImages
    | actions.MarkWorkload
    | actions.ReleaseWorkload
    | actions.ListWorkloadPods
    | actions.CheckImages
    | actions.DeleteBadPod
    | actions.ReplacePod
    | actions.CreateCanary
    | actions.DeleteCanary
)


@dataclass(frozen=True, slots=True)
class WorkloadHands:
    """Carries out actions on workloads for one rollout; ``views`` are they as the round found them, by UID."""

    world: ports.World
    facts: Facts
    views: Mapping[str, WorkloadView]
    policy: PatchPolicy

    async def perform(self, action: WorkloadAction) -> None:
        """Do one action."""
        workloads = self.world.workloads
        match action:
            case actions.SetImages() | actions.RestoreImages():
                await workloads.set_images(action.workload, action.record, action.edits, strategy=action.strategy)
                await self._moved(action.workload, action.record)
            case actions.MarkWorkload():
                await workloads.mark(action.workload, action.record)
                await self._moved(action.workload, action.record)
            case actions.ReleaseWorkload():
                await workloads.mark(action.workload, None)
                self.facts.workloads.pop(action.workload.uid, None)
            case actions.ListWorkloadPods():
                self.facts.workloads[action.workload.uid] = await workloads.pods(action.workload)
            case actions.CheckImages():
                await self._check(action.images)
            case actions.DeleteBadPod():
                await workloads.delete_pod(action.pod)
                await tell.bad_pod(self.world.journal, action.workload, action.pod)
            case actions.CreateCanary():
                await workloads.create_canary(action.workload, action.record, action.edits)
            case actions.DeleteCanary():
                await workloads.delete_canary(action.workload, action.name)
            case actions.ReplacePod():
                await workloads.delete_pod(action.pod)
            case _ as never:
                assert_never(never)

    async def _check(self, images: Sequence[str]) -> None:
        """Ask registries what is not known by now: hundreds of workloads run the same image, and it is asked once."""
        async with self.facts.asking:
            for image in images:
                if not reversible.fresh(self.facts.kept.get(image), self.world.clock.now()):
                    self.facts.kept[image] = await kept.ask(self.world, self.policy, image)

    async def _moved(self, workload: actions.WorkloadRef, after: Record) -> None:
        """Tell of a workload's new stage, and drop what was seen of its pods in the one it left."""
        self.facts.workloads.pop(workload.uid, None)
        view = self.views.get(workload.uid)
        before = view.record if view else None
        if before is not None and before.mark is after.mark:
            return
        if before is not None:
            self.world.journal.step_took(before.mark.value, (after.since - before.since).total_seconds())
        await tell.workload(self.world.journal, workload, after)
