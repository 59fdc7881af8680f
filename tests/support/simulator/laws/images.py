"""The laws about workloads: what is done to their images, seen from the server's true history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from patchwright.domain import budget
from patchwright.domain.model import Key
from patchwright.domain.nodes.labels import ROLLOUT
from patchwright.domain.state import TERMINAL
from patchwright.domain.workloads.record import Mark, Record
from support.simulator.laws.base import Law
from support.simulator.server import OPERATOR, Change
from support.simulator.things import Policy, Rollout, Workload

BEGINNINGS = frozenset({Mark.APPLYING, Mark.SAMPLING})
PARTIAL = frozenset({Mark.SAMPLING, Mark.SAMPLED})
OUT = frozenset({Mark.SAMPLING, Mark.APPLYING, Mark.FAILED, Mark.REVERTING, Mark.QUARANTINED})


class ImageLaw(Law):
    """A law about workloads; ``begin`` looks at one that a rollout begins with, ``write`` at any write of ours."""

    def change(self, change: Change) -> Iterable[str]:
        if change.kind is Workload and change.thing.canary_of:
            return  # what is made of it is told by the law of pods
        if change.actor == OPERATOR and change.kind is Workload and change.after is not None:
            record = begun(change)
            if record is not None:
                yield from self.begin(change, record)
            yield from self.write(change)
        elif change.actor == OPERATOR and change.kind is Rollout:
            yield from self.status(change)
        yield from self.any(change)

    def begin(self, change: Change, record: Record) -> Iterable[str]:
        """Look at a workload that a rollout begins with."""
        return ()

    def write(self, change: Change) -> Iterable[str]:
        """Look at a write of the operator to a workload."""
        return ()

    def workloads(self) -> list[Workload]:
        """Give every workload, but for canaries beside others."""
        return [each for each in self.cluster.server.all(Workload) if not each.canary_of]

    def of(self, rollout_uid: str) -> list[tuple[Workload, Record]]:
        """Give the workloads with a record of a rollout."""
        found = ((each, each.record) for each in self.workloads())
        return [(each, record) for each, record in found if record is not None and record.rollout_uid == rollout_uid]


def begun(change: Change) -> Record | None:
    """Give the record of a workload that a rollout begins with at this change."""
    before, after = change.before.record, change.after.record
    if after is None or after.mark not in BEGINNINGS:
        return None
    known = before is not None and before.rollout_uid == after.rollout_uid
    return None if known else after


class Budget(ImageLaw):
    """L1: nothing new starts while the unavailable members leave no room."""

    name = "L1 Budget"

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]  # the cluster
        self._away: dict[str, datetime] = {}

    def any(self, change: Change) -> Iterable[str]:
        if change.kind is Workload and change.after is not None:
            if change.after.settled:
                self._away.pop(change.after.uid, None)
            else:
                self._away.setdefault(change.after.uid, change.at)
        return ()

    def begin(self, change: Change, record: Record) -> Iterable[str]:
        limit = self.policy(record.rollout_uid).strategy.max_unavailable.value
        others = [each for each in self.workloads() if each.uid != change.after.uid]
        out = [each.key for each in others if self._out(each, record, change.at)]
        if len(out) >= limit:
            yield f"{change.after.key} was started while {len(out)} of {limit} were out ({', '.join(out)})"

    def _out(self, each: Workload, record: Record, at: datetime) -> bool:
        mine = each.record
        if mine is not None and mine.rollout_uid == record.rollout_uid and mine.mark in OUT:
            return self.cluster.circumstances.replicas == 1 or at - mine.since > self.grace
        since = self._away.get(each.uid)
        # Not every workload that is at work on itself serves less: one that surges is away for nobody.
        return since is not None and each.ready < each.replicas and at - since > self.grace


class CanaryFirst(ImageLaw):
    """L2: no other workload is touched before every canary is healthy through its whole soak."""

    name = "L2 Canary first"

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]  # the cluster
        self._sampled: set[tuple[str, str]] = set()

    def write(self, change: Change) -> Iterable[str]:
        """Look at the rest of a canary of which some pods were one."""
        before, after = change.before.record, change.after.record
        if before is None or after is None or before.part is None or after.mark is not Mark.APPLYING:
            return
        self._sampled.add((change.after.uid, after.rollout_uid))
        soak = self.policy(after.rollout_uid).strategy.canary.soak - self.grace
        who = f"the rest of {change.after.key} was started"
        others = [mine for each, mine in self.of(after.rollout_uid) if mine.wave == 0 and each.uid != change.after.uid]
        for mine in (before, *others):
            if mine.mark is Mark.SAMPLING or mine.failed:
                yield f"{who} while a canary was {mine.mark.value}"
            elif mine.mark is Mark.SAMPLED and change.at - mine.since < soak:
                yield f"{who} {change.at - mine.since} after the canary's pods were well"

    def begin(self, change: Change, record: Record) -> Iterable[str]:
        soak = self.policy(record.rollout_uid).strategy.canary.soak - self.grace
        canaries = [(each, mine) for each, mine in self.of(record.rollout_uid) if mine.wave == 0]
        for each, mine in canaries if record.wave > 0 else ():
            who = f"{change.after.key} of wave {record.wave} was started"
            if mine.mark is not Mark.DONE:
                yield f"{who} while canary {each.key} was {mine.mark.value}"
            elif change.at - mine.since < soak and (each.uid, record.rollout_uid) not in self._sampled:
                yield f"{who} {change.at - mine.since} after canary {each.key} was done"


class Halt(ImageLaw):
    """L3: past the failure threshold, and once the rollout is ending, nothing new is touched."""

    name = "L3 Halt"

    def begin(self, change: Change, record: Record) -> Iterable[str]:
        state = self.state(record.rollout_uid)
        failed = [each.key for each, mine in self.of(record.rollout_uid) if mine.failed]
        if len(failed) >= max(1, self.policy(record.rollout_uid).strategy.failure_threshold.value):
            yield f"{change.after.key} was started after {len(failed)} failures ({', '.join(failed)})"
        if state.cause is not None or state.outcome is not None:
            yield f"{change.after.key} was started though the rollout was ending: {state.message}"


class Restore(ImageLaw):
    """L4: images change together with their record, and go back to exactly what it says, which has to be there.

    What was put back must be what ran before: the old string pinned, whatever its tag means by now.
    """

    name = "L4 Restore"

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]  # the cluster
        self._before: dict[tuple[str, str], tuple[tuple[str, str], ...]] = {}
        # Nobody can tell which digest would run where nothing does.
        self._unrun: set[str] = set()

    def begin(self, change: Change, record: Record) -> Iterable[str]:
        self._before[change.after.uid, record.rollout_uid] = change.before.images
        if not self.cluster.deployments.pods.get(change.after.uid):
            self._unrun.add(change.after.uid)
        yield from self._there(change, record)

    def _there(self, change: Change, record: Record) -> Iterable[str]:
        policy = self.policy(record.rollout_uid)
        if not policy.rollback.enabled or not policy.followed:
            return
        for image in record.images:
            if image.digest in self.cluster.scenario.gone:
                yield f"{change.after.key} was changed, and what it ran ({image.digest}) is in no registry any more"

    def write(self, change: Change) -> Iterable[str]:
        before, after = change.before, change.after
        record = after.record
        if before.images != after.images:
            if record is None or record.mark not in (*BEGINNINGS, Mark.REVERTING):
                yield f"{after.key} got {after.images} without a record of it"
            elif record.mark is Mark.REVERTING:
                yield from self._exactly(after, record)
                yield from self._ours(before, record)
        untouched = ("replicas", "paused", "labels", "owner", "gitops", "recreate")
        changed = [name for name in untouched if getattr(before, name) != getattr(after, name)]
        if changed:
            yield f"{after.key} was changed in more than its images: {', '.join(changed)}"

    def _ours(self, before: Workload, record: Record) -> Iterable[str]:
        """L5, of images: what somebody else has set is never overwritten."""
        wanted = {image.name: image.to for image in record.images}
        for name, image in before.images:
            if image != wanted.get(name, image):
                yield f"{before.key} was put back over {image}, which somebody else had set"

    def _exactly(self, after: Workload, record: Record) -> Iterable[str]:
        for name, was in self._before.get((after.uid, record.rollout_uid), ()):
            running = "" if after.uid in self._unrun else self.cluster.deployments.running.get(was, "")
            wanted = was if "@" in was or not running else f"{was}@{running}"
            if dict(after.images)[name] != wanted:
                yield f"{after.key} was put back to {dict(after.images)[name]}, not {wanted}"

    def end(self) -> Iterable[str]:
        for rollout in self.cluster.server.all(Rollout):
            if rollout.state.phase.value == "RolledBack":
                gone = {note.name for note in rollout.state.vanished}
                for (uid, owner), images in self._before.items():
                    each = next((one for one in self.workloads() if one.uid == uid), None)
                    if owner == rollout.uid and each is not None and each.told not in gone:
                        yield from self._left(each, images)

    def _left(self, each: Workload, images: tuple[tuple[str, str], ...]) -> Iterable[str]:
        if self.cluster.people_acted:
            return
        if not each.image.startswith(images[0][1]) or self.cluster.deployments.served(each) - {each.image}:
            yield f"{each.key} runs {sorted(self.cluster.deployments.served(each))}, and {images[0][1]} ran before"


class Sampled(ImageLaw):
    """L2, of pods: no more of them than the canary's ever had the new images before its soak had passed."""

    name = "L2 Canary first"

    def begin(self, change: Change, record: Record) -> Iterable[str]:
        wanted = self.policy(record.rollout_uid).strategy.canary.pods
        if record.wave > 0 or wanted is None or record.part is not None:
            return
        if budget.resolve(wanted, change.after.replicas) < change.after.replicas:
            yield f"{change.after.key} was started as a whole, not with {wanted} pods"

    def any(self, change: Change) -> Iterable[str]:
        each: Workload | None = change.after if change.kind is Workload else None
        record = each.record if each else None
        if each is None or record is None or record.part is None or self.cluster.people_acted:
            return
        names = self.cluster.deployments.exposed.get(record.images[0].to, set())
        exposed = sorted(name for name in names if name.startswith(f"{each.key}-"))
        if record.mark in PARTIAL and len(exposed) > record.part.pods:
            yield f"{', '.join(exposed)} had the new images, and {record.part.pods} pods were to have them"


class Strategies(ImageLaw):
    """L4, of strategies: what is written there is in the record, and what was there comes back."""

    name = "L4 Restore"

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]  # the cluster
        self._before: dict[str, str] = {}

    def begin(self, change: Change, record: Record) -> Iterable[str]:
        self._before.setdefault(change.after.uid, change.before.strategy)
        return ()

    def write(self, change: Change) -> Iterable[str]:
        after, record = change.after, change.after.record
        if change.before.strategy == after.strategy:
            return
        if record is None:
            yield f"{after.key} got the strategy {after.strategy} without a record of it"
        elif record.part is None and after.strategy != self._before.get(after.uid):
            yield f"{after.key} got back the strategy {after.strategy}, not {self._before.get(after.uid)}"
        elif record.part is not None and after.strategy != record.part.to:
            yield f"{after.key} got the strategy {after.strategy}, and its record says {record.part.to}"

    def end(self) -> Iterable[str]:
        people = {name for rollout in self.cluster.server.all(Rollout) for name in self.named(rollout.state)}
        for each in self.workloads():
            if each.strategy != self._before.get(each.uid, each.strategy) and each.told not in people:
                yield f"{each.key} is left with the strategy {each.strategy}"


class NoOrphans(ImageLaw):
    """L6: what has ended leaves no record, but on what status leaves to a person."""

    name = "L6 No orphans"

    def status(self, change: Change) -> Iterable[str]:
        after: Rollout | None = change.after
        if after is not None and after.state.phase in TERMINAL and change.before.state.phase not in TERMINAL:
            yield from self._left(after)
        elif after is None:
            yield from (
                f"{each.key} keeps a record of a rollout that is gone" for each, _ in self.of(change.before.uid)
            )

    def end(self) -> Iterable[str]:
        # The time after the end is long enough for all pods of a canary to end.
        yield from (f"the canary {each.key} is left" for each in self.cluster.server.all(Workload) if each.canary_of)
        for rollout in self.cluster.server.all(Rollout):
            if rollout.state.phase in TERMINAL:
                yield from self._left(rollout)

    def _left(self, rollout: Rollout) -> Iterable[str]:
        people = self.named(rollout.state)
        for each, mine in self.of(rollout.uid):
            if each.told not in people and each.key not in people:
                yield f"{each.key} keeps the record {mine.mark.value} of a rollout that has ended"
        for canary in self.cluster.server.all(Workload):
            if canary.labels.get(ROLLOUT) == rollout.uid and not canary.deleting:
                yield f"the canary {canary.key} is left of a rollout that has ended"


class Policies(ImageLaw):
    """L8: nothing is touched without a recorded, allowed decision for its wave."""

    name = "L8 Policy"

    def begin(self, change: Change, record: Record) -> Iterable[str]:
        recorded = self.state(record.rollout_uid).policy
        if recorded is None or recorded.decision is None or not recorded.decision.allowed:
            yield f"{change.after.key} was started without an allowed decision in status"
        elif recorded.wave != record.wave:
            yield f"{change.after.key} of wave {record.wave} was started on a decision about wave {recorded.wave}"


class Memory(ImageLaw):
    """L9: what failed is not tried again unless somebody asks."""

    name = "L9 Memory"

    def begin(self, change: Change, record: Record) -> Iterable[str]:
        rollout = self.rollout(record.rollout_uid)
        if rollout is None or rollout.spec.retry:
            return
        policy = self.cluster.server.get(Policy, Key(rollout.key.namespace, rollout.spec.policy_name))
        for one in policy.failed if policy else ():
            if one.change_id == record.change_id and one.rollout != str(rollout.key):
                yield f"{change.after.key} gets {one.version}, which failed in {one.rollout}"


class OneWriter(ImageLaw):
    """L10: one rollout per workload at a time."""

    name = "L10 One writer"

    def write(self, change: Change) -> Iterable[str]:
        before, after = change.before.record, change.after.record
        taken = before is not None and after is not None and before.rollout_uid != after.rollout_uid
        if taken and self.rollout(before.rollout_uid) is not None:
            yield f"{change.after.key} was taken from rollout {before.rollout} by {after.rollout}"


class Again(ImageLaw):
    """L12: a step that is repeated has no second effect: images are changed once, and put back once."""

    name = "L12 Again"

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]  # the cluster
        self._times: Counter[tuple[str, str, str]] = Counter()

    def write(self, change: Change) -> Iterable[str]:
        record = change.after.record
        if change.before.images == change.after.images or record is None:
            return
        key = (change.after.key, record.rollout, record.mark.value)
        self._times[key] += 1
        if self._times[key] > 1 and not self.cluster.people_acted:
            yield f"the images of {change.after.key} were set {self._times[key]} times ({record.mark.value})"


LAWS: tuple[type[ImageLaw], ...] = (
    Budget,
    CanaryFirst,
    Halt,
    Restore,
    Sampled,
    Strategies,
    NoOrphans,
    Policies,
    Memory,
    OneWriter,
    Again,
)
