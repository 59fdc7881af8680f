"""The ports ``PolicyEngine``, ``HealthProber``, ``Journal`` and ``Clock`` in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from patchwright import errors
from patchwright.domain.actions import NodeRef, WorkloadRef
from patchwright.domain.checks import HealthCheck
from patchwright.domain.health import Finding, Measurement, unmade
from patchwright.domain.images import trust
from patchwright.domain.model import ImagePin, Key, PatchPolicy
from patchwright.domain.nodes.view import EvictionAttempt
from patchwright.domain.policy import PolicyDecision, PolicyQuestion, Violation, input_digest
from patchwright.domain.state import RolloutState
from support.simulator import loop
from support.simulator.calls import Wire

Verdict = Callable[[PolicyQuestion], Sequence[Violation]]
Look = Callable[[str], Sequence[Finding]]


def allow(_question: PolicyQuestion) -> Sequence[Violation]:
    """Allow everything."""
    return ()


def well(_check: str) -> Sequence[Finding]:
    """Find nothing."""
    return ()


@dataclass(frozen=True, slots=True)
class Registries:
    """Image registries: ``gone`` has the digests that are not there any more, ``silent`` says when nobody answers."""

    wire: Wire
    gone: frozenset[str]
    silent: Callable[[], bool]

    async def has(self, policy: PatchPolicy, image: str) -> bool:
        there = await self.wire.call(f"ask for {image}", lambda: image.partition("@")[2] not in self.gone, writes=False)
        if self.silent():
            raise errors.RegistryUnavailable("Registry ghcr.io does not answer")
        return there


@dataclass(slots=True)
class Trust:
    """Somebody whom the policy trusts has signed every image; while ``unsaid``, nobody can say so."""

    unsaid: Callable[[], bool] = lambda: False

    async def facts(self, policy: PatchPolicy, pin: ImagePin) -> trust.Trust:
        if self.unsaid():
            raise errors.SignaturesUnknown(f"nobody can say who signed {pin.short}: the registry does not answer")
        return trust.Trust(asked=True, signed=True, key="release.pub")


class Clock:
    """The virtual time."""

    def now(self) -> datetime:
        return loop.now()


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of OPA, for the observer."""

    at: datetime
    rollout: str
    stage: str
    wave: int
    allowed: bool
    revision: str
    targets: frozenset[str]


@dataclass(slots=True)
class Opa:
    """OPA with one revision of a policy; ``trouble`` is raised instead of an answer."""

    verdict: Verdict = allow
    pinned: str = "rev-1"
    trouble: Callable[[], errors.PolicyError | None] = lambda: None
    answers: list[Answer] = field(default_factory=list)

    def revision(self) -> str:
        return self.pinned

    async def evaluate(self, question: PolicyQuestion) -> PolicyDecision:
        await asyncio.sleep(0.005)
        if error := self.trouble():
            raise error
        if question.expected_revision != self.pinned:
            raise errors.PolicyRevisionMismatch(f"OPA holds {self.pinned}, not {question.expected_revision}")
        found = tuple(self.verdict(question))
        body = question.input
        self.answers.append(
            Answer(
                loop.now(), body["rollout"]["name"], body["stage"], body["wave"]["index"], not found, self.pinned,
                frozenset(body["wave"]["targets"]),
            )
        )  # fmt: skip
        return PolicyDecision(
            allowed=not found,
            violations=found,
            warnings=(),
            waived=(),
            revision=question.expected_revision,
            decision_id="",
            input_digest=input_digest(question.input),
            evaluated_at=question.asked_at,
            package=question.package,
        )


@dataclass(slots=True)
class Prober:
    """Health checks as a function of time; ``away`` makes the measurement fail."""

    look: Look = well
    away: Callable[[], bool] = lambda: False
    population: int = 10

    async def measure(self, check: HealthCheck, *, namespace: str) -> Measurement:
        at = loop.now()
        # A Job takes its time, and what it says is of when it began.
        await asyncio.sleep(7.0 if check.slow else 0.02)
        if self.away():
            return unmade(at, "connection refused")
        return Measurement(at, tuple(self.look(check.name)), self.population)


@dataclass(frozen=True, slots=True)
class Event:
    """A Kubernetes Event, as somebody would read it."""

    at: datetime
    about: str
    reason: str
    message: str
    warning: bool


@dataclass(slots=True)
class Journal:
    """Everything that was told."""

    events: list[Event] = field(default_factory=list)
    shown: dict[Key, RolloutState] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)
    told: Callable[[Event], None] = lambda _event: None

    async def event(self, key: Key, *, uid: str, reason: str, message: str, warning: bool = False) -> None:
        self._tell(Event(loop.now(), str(key), reason, message, warning))

    async def node_event(self, node: NodeRef, *, reason: str, message: str, warning: bool = False) -> None:
        self._tell(Event(loop.now(), node.name, reason, message, warning))

    async def workload_event(self, workload: WorkloadRef, *, reason: str, message: str, warning: bool = False) -> None:
        self._tell(Event(loop.now(), str(workload), reason, message, warning))

    def _tell(self, event: Event) -> None:
        self.events.append(event)
        self.told(event)

    def rollout_changed(self, key: Key, state: RolloutState) -> None:
        self.shown[key] = state

    def rollout_gone(self, key: Key) -> None:
        self.shown.pop(key, None)

    def evicted(self, attempt: EvictionAttempt) -> None:
        pass

    def drain_blocked(self, node: str, *, namespace: str, pod: str, reason: str) -> None:
        self.blocked.add(node)

    def drain_ended(self, node: str) -> None:
        self.blocked.discard(node)

    def health_failed(self, check: str) -> None:
        pass

    def step_took(self, step: str, seconds: float) -> None:
        assert timedelta(0) <= timedelta(seconds=seconds)
