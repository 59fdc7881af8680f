"""The engine's own memory of a rollout: what PatchRollout.status keeps.

It stays small at any fleet size (under 256 KiB): counts, what is in flight, what failed, each capped with its total.
Nothing starts on a plan, a wave or a policy decision that is not recorded here already, so that acting and reporting
may fail in any order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from patchwright.domain.images import trust
from patchwright.domain.model import FailurePolicy
from patchwright.domain.policy import PolicyDecision
from patchwright.domain.targets import Counts, Note

NOTES_KEPT = 50
# What status holds of one target's message. It is cut here already: a state that is never equal to what was read back
# of it would be written again every second.
NOTE_MESSAGE_KEPT = 256


class Phase(StrEnum):
    """Where a rollout is."""

    PENDING = "Pending"
    AWAITING_APPROVAL = "AwaitingApproval"
    WAITING_FOR_WINDOW = "WaitingForWindow"
    CANARY = "Canary"
    SOAKING = "Soaking"
    PROGRESSING = "Progressing"
    PAUSED = "Paused"
    ROLLING_BACK = "RollingBack"
    SUCCEEDED = "Succeeded"
    ROLLED_BACK = "RolledBack"
    FAILED = "Failed"
    DENIED = "Denied"
    SUPERSEDED = "Superseded"


TERMINAL = frozenset({Phase.SUCCEEDED, Phase.ROLLED_BACK, Phase.FAILED, Phase.DENIED, Phase.SUPERSEDED})


@dataclass(frozen=True, slots=True)
class WavePlan:
    """One wave: ``size`` targets (``None``: all that are left), then a soak in seconds."""

    name: str
    size: int | None
    soak_seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """The waves, sized once: wave 0 is the canary. ``total`` is the selected set when it was made."""

    total: int
    waves: tuple[WavePlan, ...]


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a rollout was halted, refused or ended."""

    reason: str
    message: str
    at: datetime
    target: str = ""


@dataclass(frozen=True, slots=True)
class WavePolicy:
    """The recorded policy answer for one wave; ``trouble`` is set when there was none, with its reason."""

    wave: int
    at: datetime
    decision: PolicyDecision | None = None
    trouble: str = ""
    reason: str = ""

    def passed_over(self, failure_policy: FailurePolicy) -> bool:
        """Tell whether to go on though there is no decision.

        Never while nobody can say who signed an image: whoever keeps the registry away would choose what runs.
        """
        return failure_policy is FailurePolicy.IGNORE and self.reason != trust.UNKNOWN


@dataclass(frozen=True, slots=True)
class Condition:
    """A kstatus condition; abnormal ones (``Reconciling``, ``Stalled``) are present only while true."""

    type: str
    status: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class RolloutState:
    """What a rollout remembers; its default is a rollout that nobody has looked at yet.

    ``outcome`` is the terminal phase that was decided while marks are still being removed: a terminal ``phase`` is only
    ever seen when nothing of ours is left (L6). ``widened_at`` is when the canary had passed with a part of each
    target: since then what is left of these follows.
    """

    phase: Phase = Phase.PENDING
    message: str = ""
    observed_generation: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    plan: Plan | None = None
    wave: int = 0
    wave_since: datetime | None = None
    widened_at: datetime | None = None
    soak_since: datetime | None = None
    soak_until: datetime | None = None
    outcome: Phase | None = None
    cause: Cause | None = None
    policy: WavePolicy | None = None
    baseline: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    in_flight: tuple[Note, ...] = ()
    failed: tuple[Note, ...] = ()
    skipped: tuple[Note, ...] = ()
    quarantined: tuple[Note, ...] = ()
    vanished: tuple[Note, ...] = ()
    leftover_since: datetime | None = None
    next_window: datetime | None = None
    conditions: tuple[Condition, ...] = ()
