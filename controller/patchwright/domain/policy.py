"""What is asked of policy, and what it decided: pure values and the building of the input document.

The input is documented field by field in ``docs/policy-input.md`` and typed by ``policies/schemas/input.json``; a test
holds the three together. Policies never read a clock: ``now`` is in the input, so that a decision can be replayed from
its input digest and its revision alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Any, Final

from patchwright.domain.images.trust import AgeSource, Trust

API_VERSION: Final = "patchwright.dev/v1alpha1"
KIND: Final = "PolicyInput"
ANNOTATION_PREFIX: Final = "patchwright.dev/"
DEFAULT_PACKAGE: Final = "patchwright.rollout"

MAX_NAMES: Final = 200
"""Lists of target names are cut here, with the total beside them: 5,000 nodes cost 600 ms in JSON and HTTP alone."""

MAX_WORKLOADS: Final = 50
"""Facts about single workloads are cut here; ``wave.targetsTotal`` tells how many there are."""

MAX_VIOLATIONS_IN_STATUS: Final = 20
"""As Gatekeeper's constraint status; the total is told, and the order is stable (gatekeeper#437, gatekeeper#3261)."""

IntOrString = int | str


class Stage(StrEnum):
    """When policy is asked: before anything, before the canaries, and before each further wave."""

    START = "start"
    CANARY = "canary"
    WAVE = "wave"


class Severity(IntEnum):
    """How bad a violation is, worst first; the words are OpenReports'."""

    CRITICAL = 0
    HIGH = 1
    MEDIUM = 2
    LOW = 3
    INFO = 4

    def __str__(self) -> str:
        """Give the word as policies write it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Violation:
    """One reason why not (or, as a warning, why to think twice).

    ``rule`` is ``<package>/<rule name>`` (conftest#649: a bare ``deny`` helps nobody). ``until`` marks a refusal that
    passes by itself at that instant, such as a freeze window: the engine waits instead of ending as Denied.
    """

    msg: str
    rule: str
    severity: Severity = Severity.MEDIUM
    details: Mapping[str, Any] = field(default_factory=dict, hash=False)
    remediation: str = ""
    until: datetime | None = None

    @property
    def order(self) -> tuple[int, str, str, str]:
        """Worst first, then by rule and text, so that two evaluations give the same list."""
        return (self.severity, self.rule, self.msg, canonical_json(self.details))


@dataclass(frozen=True, slots=True)
class Waiver:
    """A violation that an ``exception`` rule of the same package passed over; told, never hidden."""

    violation: Violation
    reason: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class PolicyQuestion:
    """One question to one revision of the policy.

    ``expected_revision`` is the pinned commit's bundle revision: an answer from another one is no answer.
    """

    package: str
    input: Mapping[str, Any] = field(hash=False)
    expected_revision: str

    @property
    def asked_at(self) -> datetime:
        """The input's ``now``: the instant that the decision is about."""
        return datetime.fromisoformat(str(self.input["now"]))


@dataclass(frozen=True, slots=True)
class PolicyDecision:
    """The answer. ``allowed`` is true exactly if ``violations`` is empty; the lists are sorted, worst first.

    ``decision_id`` is OPA's (empty where decision logging is off), ``input_digest`` is ``sha256:<hex>`` over the
    canonical JSON of the input, ``evaluated_at`` the input's ``now``.
    """

    allowed: bool
    violations: tuple[Violation, ...]
    warnings: tuple[Violation, ...]
    waived: tuple[Waiver, ...]
    revision: str
    decision_id: str
    input_digest: str
    evaluated_at: datetime
    package: str

    @property
    def wait_until(self) -> datetime | None:
        """When it is worth asking again, if every refusal is temporary; ``None`` if allowed or refused for good."""
        ends = [violation.until for violation in self.violations]
        known = [end for end in ends if end is not None]
        return max(known) if known and len(known) == len(ends) else None

    @property
    def first(self) -> Violation:
        """The worst violation; a status that somebody edited by hand may deny without one."""
        return self.violations[0] if self.violations else Violation("denied without a reason", self.package)

    @property
    def shown(self) -> tuple[Violation, ...]:
        """The violations for status: the worst, at most ``MAX_VIOLATIONS_IN_STATUS``."""
        return self.violations[:MAX_VIOLATIONS_IN_STATUS]

    @property
    def total(self) -> int:
        """How many violations there are in all."""
        return len(self.violations)


@dataclass(frozen=True, slots=True)
class StageFacts:
    """One step as planned: ``canary``, ``wave-1``… ; ``size`` in targets."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """One image of a workload: the container that runs it, what it runs now, and what it would run."""

    container: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class WorkloadFacts:
    """A workload that is about to be patched. ``owner`` is who controls it or applies it from Git, empty for nobody."""

    name: str
    kind: str
    namespace: str
    strategy: str
    replicas: int
    paused: bool
    owner: str
    images: Sequence[ImageFacts]
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class WaveFacts:
    """The step that is about to start. ``protected`` are those of ``targets`` that are labelled protected."""

    index: int
    name: str
    targets: Sequence[str]
    protected: Sequence[str] = ()
    workloads: Sequence[WorkloadFacts] = ()


NO_WAVE: Final = WaveFacts(-1, "", ())


@dataclass(frozen=True, slots=True)
class PinFacts:
    """One image of a change, who vouches for it, and since when it is known to be there."""

    image: str
    tag: str
    digest: str
    registry: str
    trust: Trust
    since: datetime
    age_source: AgeSource


@dataclass(frozen=True, slots=True)
class ChangeFacts:
    """The change, without commands, arguments or environment: those may hold secrets, and decisions are logged."""

    kind: str
    version: str
    image: str | None = None
    digest: str | None = None
    reboot: str = "Never"
    privileged: bool = False
    images: Sequence[PinFacts] = ()
    prepare: bool = False


@dataclass(frozen=True, slots=True)
class RolloutFacts:
    """The PatchRollout. Of ``annotations`` only our own are sent on."""

    name: str
    namespace: str
    created_at: datetime
    change: ChangeFacts
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    advisories: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """The PatchPolicy, with defaults filled in. ``waves`` are (size, soak); sizes are as written: ``3`` or ``10%``."""

    name: str
    namespace: str
    canary_count: IntOrString
    canary_soak: timedelta
    max_unavailable: IntOrString
    failure_threshold: IntOrString
    waves: Sequence[tuple[IntOrString, timedelta]] = ()
    windows: Sequence[tuple[str, timedelta, str]] = ()
    rollback_enabled: bool = True
    rollback_scope: str = "All"
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    canary_pods: IntOrString | None = None


@dataclass(frozen=True, slots=True)
class FleetFacts:
    """Counts over the selected set. ``max_unavailable`` is the budget as a number of targets."""

    selected: int
    max_unavailable: int
    updated: int = 0
    unavailable: int = 0
    skipped: int = 0
    protected: Sequence[str] = ()
    zones: Mapping[str, int] = field(default_factory=dict, hash=False)
    control_plane: int = 0
    target: str = "node"
    kinds: Mapping[str, int] = field(default_factory=dict, hash=False)
    namespaces: Mapping[str, int] = field(default_factory=dict, hash=False)


def policy_input(
    *,
    now: datetime,
    stage: Stage,
    rollout: RolloutFacts,
    policy: PolicyFacts,
    fleet: FleetFacts,
    plan: Sequence[StageFacts],
    source_revision: str,
    wave: WaveFacts = NO_WAVE,
    published_at: datetime | None = None,
) -> dict[str, Any]:
    """Give the input document. Every field is always there: a field that is missing makes a rule silently not fire.

    At stage ``start`` there is no ``wave``, and the document holds an empty one: with ``null`` there, OPA's type
    checker would let a misspelt field of it pass. ``published_at`` is ``None`` when nobody knows it.
    """
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "now": rfc3339(now),
        "stage": str(stage),
        "wave": _wave(wave),
        "plan": [{"name": step.name, "size": step.size} for step in plan],
        "rollout": _rollout(rollout, now),
        "policy": _policy(policy),
        "fleet": _fleet(fleet),
        "source": {"revision": source_revision},
        "release": _release(published_at, now),
    }


def input_digest(document: Mapping[str, Any]) -> str:
    """Give ``sha256:<hex>`` over the canonical JSON of an input document."""
    return "sha256:" + hashlib.sha256(canonical_json(document).encode()).hexdigest()


def canonical_json(value: object) -> str:
    """Give JSON with sorted keys and no spaces; the same value gives the same text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def rfc3339(instant: datetime) -> str:
    """Give a timezone-aware instant as RFC 3339 in UTC, to the second."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _names(names: Sequence[str]) -> list[str]:
    return sorted(names)[:MAX_NAMES]


def _wave(wave: WaveFacts) -> dict[str, Any]:
    return {
        "index": wave.index,
        "name": wave.name,
        "size": len(wave.targets),
        "targets": _names(wave.targets),
        "targetsTotal": len(wave.targets),
        "protected": _names(wave.protected),
        "protectedTotal": len(wave.protected),
        "workloads": [_workload(one) for one in sorted(wave.workloads, key=lambda one: one.name)[:MAX_WORKLOADS]],
    }


def _workload(one: WorkloadFacts) -> dict[str, Any]:
    return {
        "name": one.name,
        "kind": one.kind,
        "namespace": one.namespace,
        "labels": dict(one.labels),
        "strategy": one.strategy,
        "replicas": one.replicas,
        "paused": one.paused,
        "owner": one.owner,
        "images": [{"container": image.container, "old": image.old, "new": image.new} for image in one.images],
    }


def _rollout(rollout: RolloutFacts, now: datetime) -> dict[str, Any]:
    own = {key: value for key, value in rollout.annotations.items() if key.startswith(ANNOTATION_PREFIX)}
    return {
        "name": rollout.name,
        "namespace": rollout.namespace,
        "labels": dict(rollout.labels),
        "annotations": own,
        "createdAt": rfc3339(rollout.created_at),
        "change": _change(rollout.change, now),
        "advisories": sorted(rollout.advisories),
    }


def _change(change: ChangeFacts, now: datetime) -> dict[str, Any]:
    return {
        "kind": change.kind,
        "version": change.version,
        "image": change.image,
        "digest": change.digest,
        "reboot": change.reboot,
        "privileged": change.privileged,
        "images": [_pin(pin, now) for pin in change.images],
        "prepare": change.prepare,
    }


def _pin(pin: PinFacts, now: datetime) -> dict[str, Any]:
    found = pin.trust
    return {
        "image": pin.image,
        "tag": pin.tag,
        "digest": pin.digest,
        "registry": pin.registry,
        "verify": found.asked,
        "signed": found.signed,
        "key": found.key,
        "issuer": found.issuer,
        "subject": found.subject,
        "attestations": list(found.attestations),
        "error": found.error,
        "since": rfc3339(pin.since),
        "ageDays": (now - pin.since).days,
        "ageSource": str(pin.age_source),
    }


def _policy(policy: PolicyFacts) -> dict[str, Any]:
    pods = {} if policy.canary_pods is None else {"pods": policy.canary_pods}
    return {
        "name": policy.name,
        "namespace": policy.namespace,
        "labels": dict(policy.labels),
        "strategy": {
            "canary": {"count": policy.canary_count, "soakSeconds": _seconds(policy.canary_soak), **pods},
            "waves": [{"size": size, "soakSeconds": _seconds(soak)} for size, soak in policy.waves],
            "maxUnavailable": policy.max_unavailable,
            "failureThreshold": policy.failure_threshold,
        },
        "maintenanceWindows": [
            {"start": start, "durationSeconds": _seconds(duration), "timeZone": zone}
            for start, duration, zone in policy.windows
        ],
        "rollback": {"enabled": policy.rollback_enabled, "scope": policy.rollback_scope},
    }


def _fleet(fleet: FleetFacts) -> dict[str, Any]:
    return {
        "selected": fleet.selected,
        "updated": fleet.updated,
        "unavailable": fleet.unavailable,
        "skipped": fleet.skipped,
        "maxUnavailable": fleet.max_unavailable,
        "protected": _names(fleet.protected),
        "protectedTotal": len(fleet.protected),
        "zones": dict(fleet.zones),
        "controlPlane": fleet.control_plane,
        "target": fleet.target,
        "kinds": dict(fleet.kinds),
        "namespaces": _most(fleet.namespaces),
    }


def _most(counts: Mapping[str, int]) -> dict[str, int]:
    """Give the largest counts, at most ``MAX_NAMES`` of them."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MAX_NAMES])


def _release(published_at: datetime | None, now: datetime) -> dict[str, Any]:
    if published_at is None:
        return {"publishedAt": None, "ageDays": None}
    return {"publishedAt": rfc3339(published_at), "ageDays": (now - published_at).days}


def _seconds(duration: timedelta) -> int:
    return int(duration.total_seconds())
