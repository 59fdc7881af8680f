"""The fleet at a glance: every target's standing, sorted, counted and noted for status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from patchwright.domain.state import NOTE_MESSAGE_KEPT, NOTES_KEPT, RolloutState
from patchwright.domain.targets import Brief, Counts, Note, Order, Stage, Standing, Target, TargetKind

# A tuple, because what follows from it has an order, and a set's differs from one process to the next.
CLAIMED = (Stage.PREPARING, Stage.PREPARED)
TOUCHED = (
    *CLAIMED,
    Stage.WORKING,
    Stage.PARTLY,
    Stage.DONE,
    Stage.FAILED,
    Stage.RESTORING,
    Stage.RESTORED,
    Stage.QUARANTINED,
)
OUT = frozenset({Stage.WORKING, Stage.FAILED, Stage.RESTORING, Stage.QUARANTINED})
IN_FLIGHT = (*CLAIMED, Stage.WORKING, Stage.PARTLY, Stage.RESTORING)
# What has to come to some end before a wave or a rollout is over.
ACTIVE = (*CLAIMED, Stage.WORKING, Stage.RESTORING, Stage.FAILED)
# What has come as far as its wave takes it, and is watched.
SOAKING = (Stage.DONE, Stage.PARTLY)
# The reason of a target that does not exist any more: nobody can look at it.
VANISHED = "Vanished"
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Stand:
    """A target with its standing."""

    target: Target
    standing: Standing


@dataclass(slots=True)
class Survey:
    """What ``take`` found.

    ``lost`` are targets that were in flight and are gone, or whose record is; nothing is lost with one that was only
    claimed. ``reserved`` are those that are claimed and available: they are about to take up room. ``lone_away`` says
    that a target that goes one at a time is unavailable: with a control-plane node down, etcd's quorum may not survive
    another.
    """

    total: int = 0
    unavailable: int = 0
    reserved: int = 0
    lone_away: bool = False
    by_stage: dict[Stage, list[Stand]] = field(default_factory=dict)
    lost: tuple[Note, ...] = ()

    def at(self, *stages: Stage) -> list[Stand]:
        """Give the targets at any of these stages."""
        return [stand for stage in stages for stand in self.by_stage.get(stage, ())]

    @property
    def touched(self) -> list[Stand]:
        """Give every target that carries this rollout's record."""
        return self.at(*TOUCHED)

    @property
    def failures(self) -> int:
        """Count what failed, put back or not, gone targets included."""
        return sum(stand.standing.failed for stand in self.touched) + len(self.lost)

    @property
    def first_failure(self) -> Note | None:
        """Give the earliest failure, for the sentence that says why a rollout was halted."""
        notes = [note(stand) for stand in self.touched if stand.standing.failed]
        return min((*notes, *self.lost), key=lambda n: (n.since or _NEVER, n.name), default=None)

    @property
    def busy(self) -> list[Order]:
        """Give the orders of what is being worked on, for the rules about domains and control planes."""
        return [stand.target.order for stand in self.at(Stage.WORKING, Stage.FAILED, Stage.RESTORING)]

    @property
    def claimed(self) -> list[Target]:
        """Give what is to be taken out of service next, prepared or not yet."""
        return [stand.target for stand in self.at(*CLAIMED)]

    def in_wave(self, wave: int, *stages: Stage) -> list[Stand]:
        """Give the targets of one wave at these stages."""
        return [stand for stand in self.at(*stages) if stand.standing.wave == wave]


def take(targets: Iterable[Target], kind: TargetKind, brief: Brief, state: RolloutState) -> Survey:
    """Ask every target where it stands."""
    survey = Survey()
    by_stage = survey.by_stage
    stand_of = kind.stand
    in_flight = {note.uid: note for note in state.in_flight if note.step not in CLAIMED}
    lost = {note.uid: note for note in state.vanished}
    for target in targets:
        standing = stand_of(target, brief)
        stage = standing.stage
        uid = target.uid
        if uid in in_flight and stage not in TOUCHED and state.outcome is None:
            lost[uid] = _stripped(in_flight[uid], kind.remedy)
        in_flight.pop(uid, None)
        if uid in lost and stage not in TOUCHED:
            # Its record was taken away by hand: nobody knows what is on it, so it is not started again.
            standing = Standing(Stage.SKIPPED, Stage.SKIPPED.value, lost[uid].message, reason=lost[uid].reason)
            stage = Stage.SKIPPED
        survey.total += 1
        if not target.available or stage in OUT:
            survey.unavailable += 1
            survey.lone_away = survey.lone_away or target.order.one_at_a_time
        elif stage in CLAIMED:
            survey.reserved += 1
        by_stage.setdefault(stage, []).append(Stand(target, standing))
    if state.outcome is None:
        lost.update({uid: _vanished(gone) for uid, gone in in_flight.items()})
    survey.lost = tuple(lost.values())
    return survey


def _vanished(gone: Note) -> Note:
    message = f"{gone.name} vanished while {gone.step}"
    return Note(gone.name, gone.uid, "Vanished", gone.wave, VANISHED, message[:NOTE_MESSAGE_KEPT], gone.since)


def _stripped(gone: Note, remedy: str) -> Note:
    message = (
        f"the annotation patchwright.dev/state of {gone.name} was removed or changed by hand while {gone.step}; "
        f"{remedy}"
    )
    return Note(gone.name, gone.uid, "StateLost", gone.wave, "StateLost", message[:NOTE_MESSAGE_KEPT], gone.since)


def note(stand: Stand) -> Note:
    """Give a target's line for status."""
    standing = stand.standing
    return Note(
        stand.target.name,
        stand.target.uid,
        standing.step,
        standing.wave,
        standing.reason,
        standing.message[:NOTE_MESSAGE_KEPT],
        standing.since,
    )


def notes(stands: Sequence[Stand], *, cap: int = NOTES_KEPT) -> tuple[Note, ...]:
    """Give the lines of several targets in a stable order, at most ``cap``."""
    return tuple(note(stand) for stand in sorted(stands, key=lambda stand: stand.target.name)[:cap])


def count(survey: Survey) -> Counts:
    """Count for status."""
    size = {stage: len(stands) for stage, stands in survey.by_stage.items()}
    steps = Counter(stand.standing.step for stand in survey.at(*IN_FLIGHT))
    return Counts(
        total=survey.total,
        updated=size.get(Stage.DONE, 0) + size.get(Stage.CURRENT, 0),
        in_flight=sum(size.get(stage, 0) for stage in IN_FLIGHT),
        failed=survey.failures,
        restored=size.get(Stage.RESTORED, 0),
        skipped=size.get(Stage.SKIPPED, 0),
        quarantined=size.get(Stage.QUARANTINED, 0),
        unavailable=survey.unavailable,
        by_step=dict(sorted(steps.items())),
    )
