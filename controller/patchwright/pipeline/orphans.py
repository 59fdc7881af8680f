"""One look for what rollouts left behind that do not exist any more: nobody else would ever tidy that up (L6).

It happens when somebody removes a rollout's finalizer by hand, and when a cluster is restored from a backup: objects
come back with other UIDs. A UID itself never comes back, so a rollout that a record names and that a list made after
does not hold is gone for good, whatever a cache says.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, assert_never

from patchwright import errors, ports
from patchwright.domain.actions import Mark, Uncordon
from patchwright.domain.nodes import orphans
from patchwright.domain.nodes.orphans import Settlement
from patchwright.domain.nodes.view import JobView, Remains
from patchwright.pipeline import tell


class Orphans:
    """Looks for what rollouts that are gone have left, and settles it; every look may be the last (L12).

    What is found to be gone is settled at the next look: by then a round of that rollout that was under way is over,
    and does not start a Job on a node that was just called abandoned.
    """

    def __init__(self, world: ports.World) -> None:
        self._world = world
        self._gone: frozenset[str] = frozenset()

    async def sweep(self) -> None:
        """Look once.

        Raises:
            ClusterError: there was no complete list of rollouts, or something could not be settled; the rest is.
        """
        # What is claimed comes first: a rollout that is created between the two would seem to be gone.
        canaries = self._world.workloads.canaries()
        claimed = self._world.fleet.claimed() | {each.rollout_uid for each in canaries}
        settled = self._gone & claimed
        unknown = claimed - settled - self._known()
        self._gone = settled | (unknown - await self._world.rollouts.living() if unknown else frozenset())
        trouble: list[errors.ClusterError] = []
        for uid in sorted(settled):
            remains = self._world.fleet.remains(uid)
            await self._nodes(remains, trouble)
            await self._jobs(uid, remains.jobs, trouble)
        for canary in canaries:
            if canary.rollout_uid in settled:
                await _tried(self._world.workloads.delete_canary(canary.workload, canary.name), trouble)
        if trouble:
            raise trouble[0]

    async def _nodes(self, remains: Remains, trouble: list[errors.ClusterError]) -> None:
        now = self._world.clock.now()
        for claim in remains.nodes:
            found = orphans.settle(claim, remains.jobs, now=now)
            if found is not None:
                await _tried(self._node(found), trouble)

    async def _node(self, found: Settlement) -> None:
        fleet, action = self._world.fleet, found.action
        try:
            match action:
                case Mark():
                    await fleet.mark(action.node, action.record)
                case Uncordon():
                    await fleet.uncordon(
                        action.node, None, keep_cordon=action.keep_cordon, label=None, include=action.include
                    )
                case _ as never:
                    assert_never(never)
        except (errors.Conflict, errors.NotFound):
            # Somebody else wrote first; the next round looks again.
            await fleet.refresh(action.node)
        else:
            await tell.orphan(self._world.journal, found)

    async def _jobs(self, uid: str, jobs: Sequence[JobView], trouble: list[errors.ClusterError]) -> None:
        """Delete the Jobs that run no more, all at once where none does."""
        fleet, ended = self._world.fleet, orphans.ended(jobs)
        if not any(job.outcome is None for job in jobs):
            if ended:
                await _tried(fleet.delete_jobs(uid), trouble)
            return
        for job in ended:
            await _tried(fleet.delete_job(job.name, uid=job.uid), trouble)

    def _known(self) -> frozenset[str]:
        rollouts = self._world.rollouts
        found = (rollouts.get(key) for key in rollouts.keys())  # noqa: SIM118 (a port's method, not a dict's)
        return frozenset(case.uid for case in found if case is not None)


async def _tried(work: Coroutine[Any, Any, None], trouble: list[errors.ClusterError]) -> None:
    """Do one thing; what cannot be done must not keep the others from being done."""
    try:
        await work
    except errors.ClusterError as error:
        trouble.append(error)
