"""PatchRollout.status as it is spelled; ``rolloutstate`` fills and reads it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, JsonValue

from patchwright.api.base import StatusModel
from patchwright.api.scalars import Bool, Generation, Instant, Int
from patchwright.api.status import Conditions
from patchwright.domain import state

_ANY: dict[str, JsonValue] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
Index = Annotated[Int, Field(ge=-1)]


class PlanWave(StatusModel):
    """One planned wave."""

    name: str
    """`canary`, `wave 1`… or `rest`."""
    size: Int | None = None
    """How many targets; absent for the last wave, which takes all that are left."""
    soak_seconds: Annotated[float, Field(ge=0)] = 0.0
    """How long its targets are watched before the next wave, in seconds."""


class Plan(StatusModel):
    """The waves, sized once."""

    total: Int
    """How many targets were selected when the plan was made."""
    waves: tuple[PlanWave, ...]
    """The waves, the canary first."""


class Wave(StatusModel):
    """The wave at hand."""

    index: Index = 0
    """Its place in the plan; 0 is the canary."""
    name: str = ""
    """Its name in the plan."""
    since: Instant | None = None
    """When it began."""
    soak_since: Instant | None = None
    """When its soak began."""
    soak_until: Instant | None = None
    """When its soak ends, if all stays healthy."""
    widened_at: Instant | None = None
    """When the canary had passed with some pods of each workload (`strategy.canary.pods`), so that the rest of these
    workloads follows."""


class Counts(StatusModel):
    """How many targets stand where."""

    total: Int = 0
    """The selected set."""
    updated: Int = 0
    """Patched and healthy, by this rollout or before."""
    in_flight: Int = 0
    """Being patched or put back."""
    failed: Int = 0
    """Failed, put back or not."""
    restored: Int = 0
    """Put back."""
    skipped: Int = 0
    """Not started, for a reason of their own (cordoned by somebody else, opted out, not ready…)."""
    quarantined: Int = 0
    """Neither patched nor put back; a person has to look."""
    unavailable: Int = 0
    """Not available right now, whoever is to blame; they count against the budget."""
    by_step: dict[str, Int] = Field(default_factory=dict)
    """How many of those in flight are at which step."""


class Note(StatusModel):
    """One target."""

    name: str
    """Its name."""
    uid: str
    """Its UID."""
    step: str
    """Where it stands."""
    wave: Int | None = None
    """The wave it belongs to."""
    reason: str | None = None
    """Why, as one word."""
    message: str | None = None
    """Why, as a sentence."""
    since: Instant | None = None
    """Since when."""


class Cause(StatusModel):
    """Why a rollout was halted, refused or ended."""

    reason: str
    """As one word."""
    message: str = ""
    """As a sentence."""
    target: str = ""
    """The target that gave the cause, if one did."""
    at: Instant
    """When."""


class Violation(StatusModel):
    """One reason why policy refuses, or warns."""

    msg: str
    """The sentence that the policy gave."""
    rule: str = ""
    """The rule, as `<package>/<name>`."""
    severity: str = "medium"
    """`critical`, `high`, `medium`, `low` or `info`."""
    details: dict[str, Any] = Field(default_factory=dict, json_schema_extra=_ANY)
    """What else the policy said; left out when it is long."""
    remediation: str = ""
    """What to do about it."""
    until: Instant | None = None
    """When the refusal passes by itself."""


class Waiver(StatusModel):
    """A refusal that an exception of the policy passed over."""

    violation: Violation
    """The refusal."""
    reason: str = ""
    """Why it was passed over."""
    expires_at: Instant
    """Until when the exception holds."""


class Policy(StatusModel):
    """The recorded policy decision."""

    wave: Index
    """The wave that was asked about; -1 is the start of the rollout."""
    at: Instant
    """When it was asked."""
    allowed: Bool | None = None
    """Whether it may start; absent when there was no decision."""
    package: str = ""
    """The Rego package that decided."""
    revision: str = ""
    """The revision of the policy that decided."""
    decision_id: Annotated[str, Field(alias="decisionID")] = ""
    """OPA's ID of the decision, as in its decision log."""
    input_digest: str = ""
    """The digest of the input document, with which a decision can be replayed."""
    evaluated_at: Instant | None = None
    """The time that the decision is about."""
    violations: tuple[Violation, ...] = ()
    """Why not, worst first, at most 20."""
    violations_total: Int = 0
    """How many there are in all."""
    warnings: tuple[Violation, ...] = ()
    """What the policy warns of, at most 20."""
    waived: tuple[Waiver, ...] = ()
    """What an exception of the policy passed over, at most 20."""
    trouble: str = ""
    """Why there was no decision."""
    reason: str = ""
    """The same as one word."""


class PatchRolloutStatus(StatusModel):
    """What Patchwright knows about the rollout, and its memory of it; written by Patchwright only."""

    phase: state.Phase = state.Phase.PENDING
    """Where the rollout is."""
    message: str = ""
    """What is going on, or what ended it, and what to do, in a sentence."""
    observed_generation: Generation = 0
    """The generation of the spec that this status is about."""
    updated: str = ""
    """How many of the selected targets are patched, such as `37/200`."""
    started_at: Instant | None = None
    """When the first target was started."""
    finished_at: Instant | None = None
    """When the rollout ended."""
    plan: Plan | None = None
    """The waves, sized once; absent until the rollout starts."""
    wave: Wave | None = None
    """The wave at hand."""
    counts: Counts | None = None
    """How many targets stand where."""
    outcome: state.Phase | None = None
    """The phase in which the rollout will end, while marks on targets are still being removed."""
    cause: Cause | None = None
    """Why it was halted, refused or ended."""
    policy: Policy | None = None
    """The latest policy decision."""
    baseline: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """What each health check found to be bad before the patch, and does not blame on it."""
    in_flight: tuple[Note, ...] = ()
    """The targets that are being patched or put back."""
    failed: tuple[Note, ...] = ()
    """Failed targets, at most 50; `counts.failed` has the total."""
    skipped: tuple[Note, ...] = ()
    """Targets that were not started, at most 50; `counts.skipped` has the total."""
    quarantined: tuple[Note, ...] = ()
    """Targets that a person has to look at, at most 50; `counts.quarantined` has the total."""
    vanished: tuple[Note, ...] = ()
    """Targets that were in flight and are gone, or whose state was removed by hand."""
    leftover_since: Instant | None = None
    """Since when marks of an ended rollout wait to be removed."""
    next_maintenance_window: Instant | None = None
    """When the next maintenance window opens; absent when there are no windows."""
    conditions: Conditions = ()
    """`Ready`; `Reconciling` and `Stalled` while true; `PolicyEvaluated`, `Healthy`."""
