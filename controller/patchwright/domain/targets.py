"""What the engine knows of a target, whatever its kind.

A kind of target (nodes, workloads) brings how one is observed, changed, judged and restored, as a ``TargetKind``; the
engine reads nothing but the ``Standing`` that it returns. The durable part is the ``Record``, which lives in one
annotation on the target itself, so that it scales with the fleet and is written in the same request as what it records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from patchwright.domain.actions import Action
from patchwright.domain.model import PatchPolicy, PatchRollout

STATE_ANNOTATION = "patchwright.dev/state"
RISK_LABEL = "patchwright.dev/risk"
PAUSED_ANNOTATION = "patchwright.dev/paused"


class Stage(StrEnum):
    """Where a target stands.

    ``FRESH``, ``CURRENT`` and ``SKIPPED`` targets carry no mark of this rollout; the others carry its record. One that
    is ``PREPARING`` or ``PREPARED`` is claimed and serves as before: it is the engine that says when it is taken out of
    service. The step of such a target is named as its stage is, for nothing is to be undone on it. But one that is
    ``PARTLY`` changed, which holds there and is watched as one that is ``DONE`` is, becomes ``PREPARED`` once the
    engine has seen the canary pass, so that its rest goes through every gate; its step has a name of its own.
    """

    FRESH = "Pending"
    CURRENT = "Current"
    SKIPPED = "Skipped"
    PREPARING = "Preparing"
    PREPARED = "Prepared"
    WORKING = "Working"
    PARTLY = "Partly"
    DONE = "Done"
    FAILED = "Failed"
    RESTORING = "RollingBack"
    RESTORED = "RolledBack"
    QUARANTINED = "Quarantined"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one target stands, why, and what goes on with it.

    ``actions`` continue what was begun, in whatever direction it goes; the engine decides only about beginnings and
    endings. ``settled`` says that a target can be turned round now: a ``WORKING`` one without breaking something
    half-way, a ``PREPARING`` one without missing what is on its way to it. ``failing`` says that the actions write down
    that it failed, which counts from the next look on. ``failed`` stays true for a target that failed and was put back,
    ``unchanged`` says that the change was never begun on it: what went wrong there says nothing about the version, and
    giving it back is all there is to undo. ``for_good`` says of a ``SKIPPED`` target that nobody has to wait for it.
    """

    stage: Stage
    step: str
    message: str = ""
    reason: str = ""
    wave: int | None = None
    since: datetime | None = None
    actions: tuple[Action, ...] = ()
    wake: datetime | None = None
    settled: bool = True
    failing: bool = False
    failed: bool = False
    unchanged: bool = False
    seconds: float | None = None
    for_good: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """What decides when a target's turn comes: low risk first, and who must be last is last."""

    last: bool
    one_at_a_time: bool
    risk: int
    domain: str
    name: str


class Target(Protocol):
    """What the engine reads of a target of any kind."""

    @property
    def name(self) -> str:
        """The name people know it by."""

    @property
    def uid(self) -> str:
        """The identity that a new object of the same name does not share."""

    @property
    def order(self) -> Order:
        """When its turn comes."""

    @property
    def labels(self) -> dict[str, str]:
        """Its labels, for the canary selector."""

    @property
    def available(self) -> bool:
        """Whether it serves right now, whoever is to blame if not."""


@dataclass(frozen=True, slots=True)
class Brief:
    """What a kind needs to know besides the target.

    ``watched_from`` is the first wave whose finished targets are still under watch: theirs is the soak. ``widened``
    says that the canary has passed, so that targets which are changed in two parts may have their second one.
    ``turning_back`` says that the rollout is being undone, so that nothing goes further forward than it must.
    ``ended`` is when it was over, with every mark removed: one that is older than that has come back from somewhere.
    ``backends`` are the UIDs of all that load balancers may use, where the policy keeps them away from its targets.
    """

    now: datetime
    rollout: PatchRollout
    policy: PatchPolicy
    watched_from: int = 0
    widened: bool = False
    turning_back: bool = False
    ended: datetime | None = None
    backends: frozenset[str] = frozenset()


class TargetKind(Protocol):
    """How one kind of target is patched. Every method is pure.

    ``noun`` is what people call one; ``hint`` is what to look at when there is none, and ``remedy`` what a person does
    about one whose record was lost.
    """

    noun: str
    hint: str
    remedy: str

    def stand(self, target: Any, brief: Brief) -> Standing:
        """Say where the target stands and what goes on with it."""

    def begin(self, target: Any, brief: Brief, *, wave: int) -> Sequence[Action]:
        """Claim an untouched target, or go on with a prepared one; the record is written ahead."""

    def put_back(self, target: Any, brief: Brief, *, why: str) -> Sequence[Action]:
        """Begin to restore a touched target."""

    def release(self, target: Any, brief: Brief, *, forget: bool) -> Sequence[Action]:
        """Remove every mark of ours; quarantined targets keep theirs unless ``forget``."""

    def longest(self, brief: Brief) -> timedelta:
        """Give the longest that one target may take, from its beginning to its end, as the policy bounds it (L7)."""

    def refusal(self, brief: Brief) -> tuple[str, str] | None:
        """Give a reason and a sentence when this change cannot be carried out or undone as the policy demands."""


@dataclass(frozen=True, slots=True)
class Note:
    """One target in a rollout's status."""

    name: str
    uid: str
    step: str
    wave: int | None = None
    reason: str = ""
    message: str = ""
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many targets stand where; ``total`` is the selected set."""

    total: int = 0
    updated: int = 0
    in_flight: int = 0
    failed: int = 0
    restored: int = 0
    skipped: int = 0
    quarantined: int = 0
    unavailable: int = 0
    by_step: dict[str, int] = field(default_factory=dict)
