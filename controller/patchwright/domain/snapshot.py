"""The decider's whole world, and its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from patchwright.domain.actions import Action
from patchwright.domain.health import CheckState, Verdict
from patchwright.domain.model import PatchPolicy, PatchRollout
from patchwright.domain.state import RolloutState, WavePolicy
from patchwright.domain.survey import Survey
from patchwright.domain.targets import Brief, Target, TargetKind

Batch = tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that ``decide`` may know.

    ``state`` is the rollout's memory as it is recorded: what is only intended is not in it. ``targets`` are the
    selected set and whatever else carries this rollout's record. ``observing_since`` is when this process began to
    watch: a soak that nobody watched does not count. ``answer`` is the newest policy answer, ``revision`` the policy
    revision that is pinned now, ``asked`` the names that the recorded decision was asked about (``None``: another
    process has asked, and nobody knows). ``remembered`` says why the change failed before (empty: it did not),
    ``remembered_here`` that this rollout's own failure is written down. ``conflict`` says which older rollout has some
    of these targets. ``backends`` are the UIDs of all that load balancers may use in this cluster, selected or not,
    where the policy keeps them away from its targets (else none). ``trouble`` is what the API server refused to do at
    the last attempt.
    """

    now: datetime
    observing_since: datetime
    rollout: PatchRollout
    policy: PatchPolicy
    state: RolloutState
    kind: TargetKind
    targets: Sequence[Target]
    checks: tuple[CheckState, ...] = ()
    answer: WavePolicy | None = None
    asked: frozenset[str] | None = None
    revision: str = ""
    superseded_by: str = ""
    conflict: str = ""
    backends: frozenset[str] = frozenset()
    remembered: str = ""
    remembered_here: bool = False
    jobs_left: int = 0
    finalizer: bool = True
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done and told.

    Each batch is for one target and is done in order, up to the first failure; batches are independent of each other.
    ``wake`` is when to look again though nothing has happened by then; ``again`` means at once. ``begins`` says that
    something new is touched: the state is written first, changed or not, which fails for whoever acts on an old one.
    """

    state: RolloutState
    batches: tuple[Batch, ...] = ()
    wake: datetime | None = None
    again: bool = False
    begins: bool = False


@dataclass(frozen=True, slots=True)
class Context:
    """A snapshot with what follows from it at once; what the rules of the engine read."""

    snapshot: Snapshot
    survey: Survey
    brief: Brief
    verdict: Verdict

    @property
    def now(self) -> datetime:
        """The time."""
        return self.snapshot.now

    @property
    def state(self) -> RolloutState:
        """What is recorded."""
        return self.snapshot.state

    @property
    def policy(self) -> PatchPolicy:
        """The standing intent."""
        return self.snapshot.policy


def earliest(*times: datetime | None) -> datetime | None:
    """Give the earliest of the times that there are."""
    return min((time for time in times if time is not None), default=None)
