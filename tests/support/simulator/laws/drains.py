"""What a drain promises besides the numbered laws: its order, as the policy asks for it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from patchwright.domain.actions import JobStep
from patchwright.domain.model import OnTimeout
from patchwright.domain.nodes.record import Mark, Record
from support.simulator.laws.base import Law
from support.simulator.server import Change
from support.simulator.things import Attachment, Job, Node, Pod

DRAINS = frozenset({Mark.DRAINING, Mark.UNDRAINING})


class Emptied(Law):
    """Load balancers have their time before the first pod goes, and volumes are off before the Job comes."""

    name = "Drain"

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]  # the cluster
        # When a volume lost its pod, and when a node was last seen to be away.
        self._bereft: dict[str, datetime] = {}
        self._away: dict[str, datetime] = {}

    def any(self, change: Change) -> Iterable[str]:
        if change.kind is Node:
            if not all(each.ready for each in (change.before, change.after) if each is not None):
                self._away[change.thing.uid] = change.at
        elif change.kind is Pod and change.after is None:
            self._bereft[change.before.volume] = change.at
        elif change.kind is Pod and change.before is not None and change.before.deleted_at != change.after.deleted_at:
            yield from self._evicted(change.after, change.at)

    def _evicted(self, pod: Pod, at: datetime) -> Iterable[str]:
        node = self.cluster.server.get(Node, pod.node)
        record = node.record if node is not None else None
        if record is None or record.mark not in DRAINS or not record.excluded:
            return
        left = record.started_at + self.policy(record.rollout_uid).drain.load_balancer_wait - at
        if left > timedelta(0):
            yield f"{pod.name} was evicted from {pod.node} {left} before load balancers had had their time"

    def job(self, job: Job) -> Iterable[str]:
        node = self.cluster.server.get(Node, job.node)
        record = node.record if node is not None else None
        if node is None or record is None or job.step is JobStep.VERIFY or not self._waits(node, record):
            return
        there = {pod.volume for pod in self.cluster.server.all(Pod) if pod.node == job.node}
        left = [
            each.volume
            for each in self.cluster.server.all(Attachment)
            if each.node == job.node and each.volume not in there and self._bereft[each.volume] >= record.started_at
        ]
        if left:
            yield f"the {job.step} Job of {job.node} was created while {', '.join(left)} was attached there"

    def _waits(self, node: Node, record: Record) -> bool:
        """Tell whether volumes are waited for: not by force, nor for a node that was away when it was decided."""
        options = self.policy(record.rollout_uid).drain
        away = self._away.get(node.uid)
        if away is not None and (not node.ready or away + self.grace >= record.since):
            return False
        return options.enabled and options.wait_for_volume_detach and options.on_timeout is OnTimeout.ABORT
