"""What every law is: something that looks at each true change, and at the end."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING

from patchwright.domain.model import Key, PatchPolicy
from patchwright.domain.nodes.record import Mark, Record
from patchwright.domain.state import RolloutState
from support.simulator import loop
from support.simulator.server import OPERATOR, Change
from support.simulator.things import Job, Node, Policy, Rollout

if TYPE_CHECKING:
    from support.simulator.cluster import Cluster

# Claimed and in service as before: about to be taken out of it.
CLAIMED = frozenset({Mark.PREPARING, Mark.PREPARED})
OUT = frozenset({Mark.DRAINING, Mark.APPLYING, Mark.FAILED, Mark.UNDRAINING, Mark.REVERTING, Mark.QUARANTINED})


class Law:
    """A law by its name; ``change`` and ``end`` give a sentence for each violation."""

    name = ""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def change(self, change: Change) -> Iterable[str]:
        """Look at one write."""
        if change.actor == OPERATOR and change.kind is Node:
            record = started(change)
            if record is not None:
                yield from self.start(change, record)
            yield from self.node(change)
        elif change.actor == OPERATOR and change.kind is Job and change.before is None:
            yield from self.job(change.after)
        elif change.actor == OPERATOR and change.kind is Rollout:
            yield from self.status(change)
        yield from self.any(change)

    def start(self, change: Change, record: Record) -> Iterable[str]:
        """Look at a node that a rollout begins with: that it claims, to prepare it first, or that it cordons."""
        return ()

    def node(self, change: Change) -> Iterable[str]:
        """Look at a write of the operator to a node."""
        return ()

    def job(self, job: Job) -> Iterable[str]:
        """Look at a Job that the operator creates."""
        return ()

    def status(self, change: Change) -> Iterable[str]:
        """Look at a write of the operator to a rollout."""
        return ()

    def any(self, change: Change) -> Iterable[str]:
        """Look at any write."""
        return ()

    def end(self) -> Iterable[str]:
        """Look at what is left."""
        return ()

    # --- the truth, for all of them ---

    @property
    def grace(self) -> timedelta:
        """How old news may be that an operator could not have had yet."""
        return timedelta(seconds=12 if self.cluster.circumstances.fitful else 1)

    def rollout(self, uid: str) -> Rollout | None:
        """Give a rollout by its UID, and one that a person tore away as long as an operator may not know of it."""
        at, torn = self.cluster.torn.get(uid, (loop.EPOCH, None))
        if torn is not None and loop.now() - at <= self.grace:
            return torn
        return next((each for each in self.cluster.server.all(Rollout) if each.uid == uid), None)

    def state(self, uid: str) -> RolloutState:
        """Give the recorded state of a rollout."""
        found = self.rollout(uid)
        return found.state if found else RolloutState()

    def policy(self, rollout_uid: str) -> PatchPolicy:
        """Give the policy of a rollout, as it is or was."""
        rollout = self.rollout(rollout_uid)
        known = self.cluster.scenario.policy
        if rollout is None:
            return known
        found = self.cluster.server.get(Policy, Key(rollout.key.namespace, rollout.spec.policy_name))
        return found.spec if found else known

    def nodes(self) -> list[Node]:
        """Give every node."""
        return list(self.cluster.server.all(Node))

    def named(self, state: RolloutState) -> set[str]:
        """Give the nodes that a status leaves to a person, and those of which nobody can know."""
        known = {note.name for note in (*state.quarantined, *state.vanished)}
        return known | self.cluster.stripped | self.cluster.unheard


def started(change: Change) -> Record | None:
    """Give the record of a node that a rollout begins with at this change; one that is prepared is begun with twice."""
    before: Node | None = change.before
    after: Node | None = change.after
    if before is None or after is None or after.record is None:
        return None
    known, record = before.record, after.record
    was = known.mark if known is not None and known.rollout_uid == record.rollout_uid else None
    claimed = record.mark is Mark.PREPARING and was is None
    cordoned = record.mark is Mark.DRAINING and (was is None or was in CLAIMED)
    return record if claimed or cordoned else None


def seconds() -> float:
    """Give the virtual time in seconds since the start."""
    return (loop.now() - loop.EPOCH).total_seconds()
