"""Act on workloads through Git: what belongs to one step is one commit, and each workload's record says which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from patchwright import errors, ports
from patchwright.domain import actions
from patchwright.domain.snapshot import Batch, Snapshot
from patchwright.domain.workloads import writing
from patchwright.domain.workloads.record import Record
from patchwright.pipeline import tell
from patchwright.pipeline.facts import Facts

# For what only a person can mend, such as a Secret; in seconds.
RETRY = 60.0


def parted(batches: Sequence[Batch]) -> tuple[list[Batch], list[actions.CommitImages]]:
    """Part what is done on each target from what is done in Git for many at once."""
    commits = [action for batch in batches for action in batch if isinstance(action, actions.CommitImages)]
    others = [batch for batch in batches if not any(isinstance(action, actions.CommitImages) for action in batch)]
    return others, commits


@dataclass(frozen=True, slots=True)
class GitHands:
    """Commits for one rollout."""

    world: ports.World
    facts: Facts
    snapshot: Snapshot

    async def commit(
        self, group: Sequence[actions.CommitImages]
    ) -> tuple[actions.CommitImages, errors.PatchwrightError] | None:
        """Commit for workloads of one step and record it on each.

        What did not work is not tried again before its time, whatever else wakes the rollout meanwhile.

        Returns:
            The workload whose record could not be written, and why; ``None`` when all is written.

        Raises:
            PatchwrightError: nothing was written, and it is worth another try.
        """
        key, now = (group[0].record.step, group[0].record.mark), self.world.clock.now()
        before = self.facts.writes.get(key)
        if before is not None and now < before[0]:
            raise before[1].with_traceback(None)
        try:
            after = await self._written(group)
        except errors.PatchwrightError as error:
            self.facts.writes[key] = now + timedelta(seconds=error.retry_after or RETRY), error
            raise
        self.facts.writes.pop(key, None)
        for action, record in after:
            try:
                await self._record(action, record)
            except errors.ClusterError as error:
                return action, error
        return None

    async def _written(self, group: Sequence[actions.CommitImages]) -> list[tuple[actions.CommitImages, Record]]:
        policy, rollout = self.snapshot.policy, self.snapshot.rollout
        git = policy.write.git
        if git is None:
            text = f"policy {policy.key.name} has no write.git any more; set it again to have this carried on"
            raise errors.WriteBackError(text, reason="WriteBackRefused", retry_after=60.0)
        order = writing.order(git, rollout, group)
        try:
            done = await self.world.writes.write(order, git, namespace=policy.key.namespace)
        except errors.WriteBackError as error:
            if error.retry_after is not None:
                raise
            now = self.world.clock.now()
            return [(each, writing.refused(each.record, error.reason, error.message, now=now)) for each in group]
        now = self.world.clock.now()
        return [(each, writing.written(each.record, done, now)) for each in group]

    async def _record(self, action: actions.CommitImages, after: Record) -> None:
        await self.world.workloads.mark(action.workload, after)
        self.facts.workloads.pop(action.workload.uid, None)
        if after.mark is not action.record.mark:
            await tell.workload(self.world.journal, action.workload, after)
