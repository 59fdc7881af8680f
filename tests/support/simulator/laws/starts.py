"""The laws about beginnings: L1 budget, L2 canary first, L3 halt, L7 windows, L8 policy."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from patchwright.domain import selection
from patchwright.domain.model import FailurePolicy, MaintenanceWindow, OnTimeout, PatchPolicy, Quantity
from patchwright.domain.nodes.record import Mark, Record
from support.simulator import loop
from support.simulator.laws.base import CLAIMED, OUT, Law
from support.simulator.server import OPERATOR, Change
from support.simulator.things import Node, Policy

# How long a decision holds, and how long a wave may take to be started once it was asked for.
DECISION_LIFE = timedelta(minutes=5)
# How long a forced drain may go on after its timeout.
FORCED = timedelta(minutes=2)


def _number(quantity: Quantity, total: int) -> int:
    if not quantity.percent or not quantity.value:
        return quantity.value
    return max(1, total * quantity.value // 100)


class Budget(Law):
    """L1: nothing new starts while the unavailable members, whoever made them so, leave no room."""

    name = "L1 Budget"

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]  # the cluster
        self._away: dict[str, datetime] = {}
        self._excluded: dict[str, datetime] = {}
        self._limits: list[tuple[datetime, Quantity]] = []

    def any(self, change: Change) -> Iterable[str]:
        if change.kind is Node:
            if change.after is None or change.after.available:
                self._away.pop(change.thing.uid, None)
            else:
                self._away.setdefault(change.after.uid, change.at)
            self._label(change)
        elif change.kind is Policy and change.before is not None:
            self._limits.append((change.at, change.before.spec.strategy.max_unavailable))
        return ()

    def start(self, change: Change, record: Record) -> Iterable[str]:
        policy = self.policy(record.rollout_uid)
        members = [node for node in self.nodes() if selection.matches(policy.target.selector, node.labels)]
        limit = self._limit(policy, len(members))
        out = [node.name for node in members if node.uid != change.after.uid and self._out(node, record, change.at)]
        if len(out) >= limit:
            yield f"{change.after.name} was started while {len(out)} of {limit} were out ({', '.join(out)})"
        if change.before.excluded is None and change.after.excluded is not None:
            yield from self._last(change.after)

    def _label(self, change: Change) -> None:
        """Note since when a node is out of load balancers; what it writes itself an operator knows at once."""
        after: Node | None = change.after
        if after is None or after.excluded is None:
            self._excluded.pop(change.thing.uid, None)
        elif after.uid not in self._excluded:
            known = change.actor == OPERATOR and self.cluster.circumstances.replicas == 1
            self._excluded[after.uid] = change.at - self.grace if known else change.at

    def _last(self, node: Node) -> Iterable[str]:
        others = [other for other in self.nodes() if other.uid != node.uid]
        if not any(self._serves(other) for other in others):
            yield f"{node.name} was taken out of load balancers, and none is left to them"

    def _serves(self, node: Node) -> bool:
        """Tell whether load balancers may use a node, as far as an operator could know."""
        since = [at for at in (self._away.get(node.uid), self._excluded.get(node.uid)) if at is not None]
        return all(loop.now() - at < self.grace for at in since)

    def _limit(self, policy: PatchPolicy, total: int) -> int:
        recent = [limit for at, limit in self._limits if loop.now() - at <= self.grace]
        return max(_number(limit, total) for limit in (policy.strategy.max_unavailable, *recent))

    def _out(self, node: Node, record: Record, at: datetime) -> bool:
        mine = node.record
        # What is being prepared is about to be cordoned: it counts before another is, and not against its own cordon.
        taken = OUT | CLAIMED if record.mark is Mark.PREPARING else OUT
        if mine is not None and mine.rollout_uid == record.rollout_uid and mine.mark in taken:
            # Every operator reads its own writes; what another one claimed a moment ago it sees by a watch like any
            # other news. No write can fence a count of many nodes: that there is one operator is the lease's doing.
            return self.cluster.circumstances.replicas == 1 or at - mine.since > self.grace
        since = self._away.get(node.uid)
        return since is not None and at - since > self.grace


class CanaryFirst(Law):
    """L2: no other target is touched before every canary is healthy through its whole soak."""

    name = "L2 Canary first"

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]  # the cluster
        self._canaries: dict[str, dict[str, tuple[Mark, str]]] = {}
        self._well_since: dict[str, datetime] = {}
        self._soaked: set[str] = set()
        self._unwell: datetime | None = None

    def any(self, change: Change) -> Iterable[str]:
        unwell = self.cluster.unwell_at
        if unwell is not None and unwell != self._unwell:
            self._broken(set(self._well_since), unwell)
            self._unwell = unwell
        if change.kind is Node:
            self._node(change)
        return ()

    def _node(self, change: Change) -> None:
        before: Node | None = change.before
        after: Node | None = change.after
        if after is None:
            # A canary that is gone cannot be waited for; the others are.
            self._settle(change.at)
            for canaries in self._canaries.values():
                canaries.pop(change.before.uid, None)
            return
        record = after.record
        if record is None:
            # One that was only prepared may be given back, and is a canary no more. Nor is one whose record somebody
            # took before a status told of it: if the operator died then, the next one sees a node that people cordoned.
            for canaries in self._canaries.values():
                mark = canaries.get(after.uid, (None, ""))[0]
                if mark in CLAIMED or (mark is not None and after.name in self.cluster.unheard):
                    del canaries[after.uid]
        if record is not None and record.wave == 0:
            known = self._canaries.setdefault(record.rollout_uid, {})
            if after.uid not in known or known[after.uid][0] is not record.mark:
                self._broken({after.uid}, change.at)
                known[after.uid] = (record.mark, after.name)
        if before is not None and after.ready is not before.ready:
            self._broken({after.uid}, change.at)

    def _broken(self, nodes: set[str], at: datetime) -> None:
        """Begin the soak of these nodes again; for rollouts whose soak was over that comes too late."""
        self._settle(at)
        self._well_since.update(dict.fromkeys(nodes, at))

    def _settle(self, at: datetime) -> None:
        self._soaked.update(rollout for rollout in self._canaries if self._over(rollout, at))

    def _over(self, rollout: str, at: datetime) -> bool:
        canaries = self._canaries[rollout]
        # What a measurement or a watch tells, an operator knows a moment later, and so does its soak begin.
        soak = self.policy(rollout).strategy.canary.soak - self.grace
        return bool(canaries) and all(
            mark is Mark.DONE and at - self._well_since.get(uid, at) >= soak for uid, (mark, _) in canaries.items()
        )

    def start(self, change: Change, record: Record) -> Iterable[str]:
        rollout = record.rollout_uid
        if record.wave == 0 or not self._canaries.get(rollout):
            return
        who = f"{change.after.name} of wave {record.wave} was started"
        for mark, name in self._canaries[rollout].values():
            if mark is not Mark.DONE:
                yield f"{who} while canary {name} was {mark.value}"
        if rollout not in self._soaked and not self._over(rollout, change.at):
            well = max(self._well_since.get(uid, change.at) for uid in self._canaries[rollout])
            yield f"{who} {change.at - well} after all canaries were well"


class Halt(Law):
    """L3: past the failure threshold, and once the rollout is ending, nothing new is touched."""

    name = "L3 Halt"

    def start(self, change: Change, record: Record) -> Iterable[str]:
        policy, state = self.policy(record.rollout_uid), self.state(record.rollout_uid)
        total = sum(selection.matches(policy.target.selector, node.labels) for node in self.nodes())
        limit = max(1, _number(policy.strategy.failure_threshold, total))
        failed = [
            node.name
            for node in self.nodes()
            if (mine := node.record) and mine.rollout_uid == record.rollout_uid and mine.failed
        ]
        lost = [note.name for note in state.vanished]
        who = f"{change.after.name} was started"
        if len(failed) + len(lost) >= limit:
            yield f"{who} after {len(failed) + len(lost)} failures ({', '.join(failed + lost)}), limit {limit}"
        if state.cause is not None or state.outcome is not None:
            yield f"{who} though the rollout was ending: {state.message}"


class Windows(Law):
    """L7: no target starts outside a window; the windows of the simulator are daily ones in UTC."""

    name = "L7 Windows"

    def start(self, change: Change, record: Record) -> Iterable[str]:
        policy = self.policy(record.rollout_uid)
        if not policy.windows:
            return
        ends = [end for window in policy.windows if (end := _end(window, change.at))]
        if not ends:
            yield f"{change.after.name} was started outside every window"
            return
        done = [node for node in self.nodes() if (mine := node.record) and mine.mark is Mark.DONE]
        longest = _longest(policy)
        if len(done) < 5 and change.at + longest > max(ends) + self.grace:
            left = max(ends) - change.at
            yield f"{change.after.name} was started {left} before the window closes, and may take {longest}"


def _longest(policy: PatchPolicy) -> timedelta:
    drain = policy.drain
    forced = FORCED if drain.on_timeout is OnTimeout.FORCE else timedelta(0)
    wait = drain.load_balancer_wait if drain.exclude_from_load_balancers else timedelta(0)
    return policy.strategy.progress_deadline + wait + (drain.timeout + forced if drain.enabled else timedelta(0))


def _end(window: MaintenanceWindow, at: datetime) -> datetime | None:
    minute, hour = (int(part) for part in window.start.split()[:2])
    for day in (0, 1):
        begin = at.replace(hour=hour, minute=minute, second=0, microsecond=0) - timedelta(days=day)
        if begin <= at < begin + window.duration:
            return begin + window.duration
    return None


class Policies(Law):
    """L8: nothing is touched without a recorded, allowed, recent decision of the pinned revision for its wave."""

    name = "L8 Policy"

    def start(self, change: Change, record: Record) -> Iterable[str]:
        policy, state = self.policy(record.rollout_uid), self.state(record.rollout_uid)
        if policy.policy.failure_policy is FailurePolicy.IGNORE:
            return
        who = f"{change.after.name} of wave {record.wave} was started"
        recorded = state.policy
        if recorded is None or recorded.decision is None or not recorded.decision.allowed:
            yield f"{who} without an allowed decision in status"
            return
        rollout = self.rollout(record.rollout_uid)
        name = rollout.key.name if rollout else ""
        answers = [a for a in self.cluster.opa.answers if a.rollout == name and a.wave == record.wave]
        if not answers:
            yield f"{who}, and policy was never asked about that wave"
        elif not answers[-1].allowed and change.at - answers[-1].at > self.grace:
            yield f"{who} though policy last denied that wave at {answers[-1].at:%H:%M:%S}"
        elif change.at - answers[-1].at > DECISION_LIFE + self.grace:
            yield f"{who} {change.at - answers[-1].at} after the last decision"
        elif not any(
            change.after.name in a.targets for a in answers if a.allowed and change.at - a.at <= DECISION_LIFE
        ):
            yield f"{who} though policy was not asked about it"
        elif answers[-1].revision != self.cluster.opa.pinned and change.at - self.cluster.pinned_at > self.grace:
            yield f"{who} on a decision of {answers[-1].revision}, while {self.cluster.opa.pinned} is pinned"
