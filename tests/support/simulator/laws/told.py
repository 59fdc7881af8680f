"""The laws about what is left and said: L6 no orphans, L9 memory, L11 told."""

from __future__ import annotations

from collections.abc import Iterable, Set

from patchwright.domain.endings import BLAMED
from patchwright.domain.model import ImagesChange, Key
from patchwright.domain.nodes.orphans import GONE
from patchwright.domain.nodes.record import Mark, Record
from patchwright.domain.state import TERMINAL, Phase, RolloutState
from support.simulator.laws.base import Law
from support.simulator.server import OPERATOR, Change
from support.simulator.things import Job, Node, Policy, Rollout, Workload

STALLED = frozenset({Phase.FAILED, Phase.ROLLED_BACK, Phase.DENIED})


class NoOrphans(Law):
    """L6: what has ended leaves nothing of ours, but for what status leaves to a person."""

    name = "L6 No orphans"

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]  # the cluster
        self._cordons: dict[str, tuple[str, str]] = {}
        self._excluded: dict[str, tuple[str, str]] = {}
        self._given_up: set[str] = set()

    def any(self, change: Change) -> Iterable[str]:
        after: Node | None = change.after if change.kind is Node else None
        if change.kind is Node and after is None:
            self._cordons.pop(change.before.uid, None)
            self._excluded.pop(change.before.uid, None)
        if after is None:
            return ()
        self._label(change, after)
        if not after.unschedulable:
            self._cordons.pop(after.uid, None)
        elif change.actor == OPERATOR and not change.before.unschedulable and after.record is not None:
            self._cordons[after.uid] = (after.record.rollout_uid, after.name)
        if after.record is not None and after.record.mark is Mark.QUARANTINED:
            self._given_up.add(after.name)
        return ()

    def _label(self, change: Change, after: Node) -> None:
        """Note whose label keeps load balancers away; one that a person has written another value into is his."""
        before = change.before.excluded if change.before is not None else None
        if after.excluded == before:
            return
        self._excluded.pop(after.uid, None)
        if change.actor == OPERATOR and after.excluded is not None and after.record is not None:
            self._excluded[after.uid] = (after.record.rollout_uid, after.name)

    def status(self, change: Change) -> Iterable[str]:
        after: Rollout | None = change.after
        if after is None:
            yield from self._left(change.before.uid, self._given_up | self.named(change.before.state), records=True)
        elif after.state.phase in TERMINAL and change.before.state.phase not in TERMINAL:
            yield from self._left(after.uid, self.named(after.state), records=False)

    def end(self) -> Iterable[str]:
        for rollout in self.cluster.server.all(Rollout):
            if rollout.state.phase in TERMINAL:
                yield from self._left(rollout.uid, self.named(rollout.state), records=False)
        for uid, (_, rollout) in self.cluster.torn.items():
            # Nobody is there to name a node but the node itself.
            told = {node.name for node in self.nodes() if node.fault or (node.record and node.record.reason == GONE)}
            # A pod on a machine that is away cannot end, and its Job is let finish.
            away = {node.name for node in self.nodes() if not node.ready}
            yield from self._left(uid, told | self.named(rollout.state), records=False, away=away)

    def _left(self, uid: str, people: set[str], *, records: bool, away: Set[str] = frozenset()) -> Iterable[str]:
        for node in self.nodes():
            mine = node.record
            if mine is not None and mine.rollout_uid == uid and (records or node.name not in people):
                yield f"{node.name} keeps the record {mine.mark.value} of a rollout that has ended"
        for rollout, name in self._cordons.values():
            if rollout == uid and name not in people:
                yield f"{name} stays cordoned by a rollout that has ended"
        for rollout, name in self._excluded.values():
            if rollout == uid and name not in people:
                yield f"{name} stays out of load balancers by a rollout that has ended"
        jobs = [job.name for job in self.cluster.server.all(Job) if job.rollout_uid == uid and job.node not in away]
        if jobs:
            yield f"{len(jobs)} Jobs are left of a rollout that has ended, first {jobs[0]}"


class Memory(Law):
    """L9: what failed is remembered, and not tried again unless somebody asks."""

    name = "L9 Memory"

    def status(self, change: Change) -> Iterable[str]:
        after: Rollout | None = change.after
        if after is None or after.state.phase not in STALLED or change.before.state.phase in TERMINAL:
            return
        cause = after.state.cause
        policy = self.cluster.server.get(Policy, Key(after.key.namespace, after.spec.policy_name))
        if cause is None or cause.reason not in BLAMED or policy is None:
            return
        if all(failed.change_id != after.spec.change_id for failed in policy.failed):
            yield f"{after.key} ended with {cause.reason} before its version was remembered"

    def start(self, change: Change, record: Record) -> Iterable[str]:
        rollout = self.rollout(record.rollout_uid)
        if rollout is None or rollout.spec.retry:
            return
        policy = self.cluster.server.get(Policy, Key(rollout.key.namespace, rollout.spec.policy_name))
        failed = [one for one in policy.failed if one.change_id == record.change_id] if policy else []
        if failed and failed[0].rollout != str(rollout.key):
            yield f"{change.after.name} gets {failed[0].version}, which failed in {failed[0].rollout}"


class Told(Law):
    """L11: every state is one sentence, and conditions and events agree with it."""

    name = "L11 Told"

    def status(self, change: Change) -> Iterable[str]:
        after: Rollout | None = change.after
        if after is None or after.state == change.before.state:
            return
        state = after.state
        if not state.message:
            yield f"{after.key} is {state.phase.value} without a word"
        yield from _conditions(state)

    def end(self) -> Iterable[str]:
        for rollout in self.cluster.server.all(Rollout):
            state = rollout.state
            yield from self._counted(rollout)
            shown = self.cluster.journal.shown.get(rollout.key)
            if shown is not None and shown.phase is not state.phase and not self.cluster.crashes:
                yield f"metrics show {shown.phase.value} for {rollout.key}, which is {state.phase.value}"
            told = [event.reason for event in self.cluster.journal.events if event.about == str(rollout.key)]
            if state.phase.value not in told and not self.cluster.crashes:
                yield f"no event tells that {rollout.key} is {state.phase.value}"

    def _counted(self, rollout: Rollout) -> Iterable[str]:
        if rollout.state.phase is not Phase.SUCCEEDED or self.cluster.people_acted:
            return
        done = sum(rollout.spec.change_id in node.labels.values() for node in self.nodes())
        if isinstance(rollout.spec.change, ImagesChange):
            wanted = {pin.digest for pin in rollout.spec.change.images}
            done = sum(each.image.partition("@")[2] in wanted for each in self.cluster.server.all(Workload))
        if rollout.state.counts.updated != done:
            yield f"{rollout.key} counts {rollout.state.counts.updated} updated, and {done} are"


def _conditions(state: RolloutState) -> Iterable[str]:
    found = {condition.type: condition for condition in state.conditions}
    ready = found.get("Ready")
    if ready is None or (ready.status == "True") != (state.phase is Phase.SUCCEEDED):
        yield f"condition Ready is {ready.status if ready else 'missing'} in phase {state.phase.value}"
    if ready is not None and not ready.message.endswith(state.message):
        yield f"condition Ready says {ready.message!r}, status {state.message!r}"
    if state.phase in STALLED and "Stalled" not in found:
        yield f"condition Stalled is missing in phase {state.phase.value}"
    if state.phase not in TERMINAL and not {"Reconciling", "Stalled"} & found.keys():
        yield f"neither Reconciling nor Stalled in phase {state.phase.value}"
