"""From the engine's memory of a rollout to PatchRollout.status, and back.

What the engine needs comes back exactly as it went; what only people read is capped, so that the status stays under
256 KiB at any fleet size. A status that was edited by hand is read tolerantly, and what cannot be read is named.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from patchwright.api.rolloutstatus import (
    Cause,
    Counts,
    Note,
    PatchRolloutStatus,
    Plan,
    PlanWave,
    Policy,
    Violation,
    Waiver,
    Wave,
)
from patchwright.api.status import MESSAGE_KEPT, conditions_from, conditions_to_status, cut, read, written
from patchwright.domain import policy, state, targets

LIMIT = 240 * 1024
NOTE_MESSAGE_KEPT = 256


def state_to_status(
    found: state.RolloutState, *, now: datetime, previous: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Give PatchRollout.status, at most 256 KiB of it.

    ``previous`` is the present status, from which unchanged conditions keep their transition time. Where it would be
    too long, first texts for people are left out, then notes for people; last (past some 1,500 targets in flight) notes
    that the engine would like to have, so that a target which vanishes from there is not told as vanished.
    """
    status = written(_wire(found, now=now, previous=previous))
    for kept, told in ((state.NOTES_KEPT, True), (10, True), (10, False)):
        if _size(status) <= LIMIT:
            return status
        status.update(_lists(found, kept=kept, told=told))
    return _squeezed(status)


def status_to_state(status: Mapping[str, Any] | None) -> state.RolloutState:
    """Read PatchRollout.status; ``None`` is a rollout that nobody has looked at yet.

    Raises:
        InvalidInput: somebody wrote into it what cannot be read; the faults name the fields.
    """
    wire = read(PatchRolloutStatus, status)
    wave = wire.wave or Wave()
    return state.RolloutState(
        phase=wire.phase,
        message=wire.message,
        observed_generation=wire.observed_generation,
        started_at=wire.started_at,
        finished_at=wire.finished_at,
        plan=_plan(wire.plan) if wire.plan else None,
        wave=wave.index,
        wave_since=wave.since,
        soak_since=wave.soak_since,
        soak_until=wave.soak_until,
        widened_at=wave.widened_at,
        outcome=wire.outcome,
        cause=_cause(wire.cause) if wire.cause else None,
        policy=_policy(wire.policy) if wire.policy else None,
        baseline=wire.baseline,
        counts=_counts(wire.counts) if wire.counts else targets.Counts(),
        in_flight=_notes(wire.in_flight),
        failed=_notes(wire.failed),
        skipped=_notes(wire.skipped),
        quarantined=_notes(wire.quarantined),
        vanished=_notes(wire.vanished),
        leftover_since=wire.leftover_since,
        next_window=wire.next_maintenance_window,
        conditions=conditions_from(wire.conditions),
    )


def _wire(found: state.RolloutState, *, now: datetime, previous: Mapping[str, Any] | None) -> PatchRolloutStatus:
    generation, cause, plan = found.observed_generation, found.cause, found.plan
    return PatchRolloutStatus(
        phase=found.phase,
        message=cut(found.message, MESSAGE_KEPT),
        observed_generation=generation,
        updated=f"{found.counts.updated}/{found.counts.total}" if plan or found.counts.total else "",
        started_at=found.started_at,
        finished_at=found.finished_at,
        plan=plan and _plan_to_wire(plan),
        wave=_wave_to_wire(found),
        counts=_counts_to_wire(found.counts),
        outcome=found.outcome,
        cause=cause
        and Cause(reason=cause.reason, message=cut(cause.message, MESSAGE_KEPT), target=cause.target, at=cause.at),
        policy=_policy_to_wire(found.policy) if found.policy else None,
        baseline={name: tuple(cut(key, MESSAGE_KEPT) for key in keys) for name, keys in found.baseline.items()},
        leftover_since=found.leftover_since,
        next_maintenance_window=found.next_window,
        conditions=conditions_to_status(found.conditions, generation=generation, now=now, previous=previous),
        in_flight=_notes_to_wire(found.in_flight),
        failed=_notes_to_wire(found.failed[: state.NOTES_KEPT]),
        skipped=_notes_to_wire(found.skipped[: state.NOTES_KEPT]),
        quarantined=_notes_to_wire(found.quarantined[: state.NOTES_KEPT]),
        vanished=_notes_to_wire(found.vanished),
    )


def _lists(found: state.RolloutState, *, kept: int, told: bool) -> dict[str, Any]:
    """Give the lists of targets again, shorter: notes of in-flight and vanished ones all stay, the others ``kept``."""
    bare = PatchRolloutStatus(
        in_flight=_notes_to_wire([_untold(note) for note in found.in_flight]),
        failed=_notes_to_wire([note if told else _untold(note) for note in found.failed[:kept]]),
        skipped=_notes_to_wire([note if told else _untold(note) for note in found.skipped[:kept]]),
        quarantined=_notes_to_wire([note if told else _untold(note) for note in found.quarantined[:kept]]),
        vanished=_notes_to_wire([_untold(note) for note in found.vanished]),
    )
    names = ("inFlight", "failed", "skipped", "quarantined", "vanished")
    return {name: value for name, value in written(bare).items() if name in names}


def _squeezed(status: dict[str, Any]) -> dict[str, Any]:
    """Drop from the end of the longest part until it fits.

    Of the baseline, losing a finding is the safe direction: it is then blamed on the patch, which stops.
    """
    while (excess := _size(status) - LIMIT) > 0:
        sizes = {name: _size(status.get(name, [])) for name in ("inFlight", "vanished", "baseline")}
        longest = max(sizes, key=lambda name: sizes[name])
        part, share = status[longest], max(0.5, 0.98 - excess / sizes[longest])
        if longest == "baseline":
            status[longest] = {name: keys[: int(len(keys) * share)] for name, keys in part.items()}
        else:
            status[longest] = part[: int(len(part) * share)]
    return status


def _size(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=True, separators=(",", ":")))


def _untold(note: targets.Note) -> targets.Note:
    return replace(note, message="", reason="")


def _notes_to_wire(notes: Sequence[targets.Note]) -> tuple[Note, ...]:
    return tuple(
        Note.model_construct(
            name=note.name,
            uid=note.uid,
            step=note.step,
            wave=note.wave,
            reason=note.reason or None,
            message=cut(note.message, NOTE_MESSAGE_KEPT) or None,
            since=note.since,
        )
        for note in notes
    )


def _notes(notes: Sequence[Note]) -> tuple[targets.Note, ...]:
    return tuple(
        targets.Note(note.name, note.uid, note.step, note.wave, note.reason or "", note.message or "", note.since)
        for note in notes
    )


def _plan_to_wire(plan: state.Plan) -> Plan:
    waves = tuple(PlanWave(name=wave.name, size=wave.size, soak_seconds=wave.soak_seconds) for wave in plan.waves)
    return Plan(total=plan.total, waves=waves)


def _plan(plan: Plan) -> state.Plan:
    waves = tuple(state.WavePlan(wave.name, wave.size, wave.soak_seconds) for wave in plan.waves)
    return state.Plan(plan.total, waves)


def _wave_to_wire(found: state.RolloutState) -> Wave | None:
    plan = found.plan
    name = plan.waves[found.wave].name if plan and 0 <= found.wave < len(plan.waves) else ""
    wave = Wave(
        index=found.wave,
        name=name,
        since=found.wave_since,
        soak_since=found.soak_since,
        soak_until=found.soak_until,
        widened_at=found.widened_at,
    )
    return None if wave == Wave() else wave


def _counts_to_wire(counts: targets.Counts) -> Counts | None:
    wire = Counts(**{name: getattr(counts, name) for name in Counts.model_fields})
    return None if wire == Counts() else wire


def _counts(wire: Counts) -> targets.Counts:
    return targets.Counts(**{name: getattr(wire, name) for name in Counts.model_fields})


def _cause(wire: Cause) -> state.Cause:
    return state.Cause(wire.reason, wire.message, at=wire.at, target=wire.target)


def _policy_to_wire(found: state.WavePolicy) -> Policy:
    decision = found.decision
    common: dict[str, Any] = {
        "wave": found.wave, "at": found.at, "trouble": cut(found.trouble, MESSAGE_KEPT), "reason": found.reason,
    }  # fmt: skip
    if decision is None:
        return Policy(**common)
    return Policy(
        **common,
        allowed=decision.allowed,
        package=decision.package,
        revision=decision.revision,
        decision_id=decision.decision_id,
        input_digest=decision.input_digest,
        evaluated_at=decision.evaluated_at,
        violations=tuple(_violation_to_wire(one) for one in _shown(decision)),
        violations_total=decision.total,
        warnings=tuple(_violation_to_wire(one) for one in decision.warnings[: policy.MAX_VIOLATIONS_IN_STATUS]),
        waived=tuple(
            Waiver(
                violation=_violation_to_wire(one.violation),
                reason=cut(one.reason, MESSAGE_KEPT),
                expires_at=one.expires_at,
            )
            for one in decision.waived[: policy.MAX_VIOLATIONS_IN_STATUS]
        ),
    )


def _shown(decision: policy.PolicyDecision) -> tuple[policy.Violation, ...]:
    """Give the worst violations, such that ``wait_until`` stays what it was: a final refusal must not become a wait."""
    shown = decision.shown
    if len(shown) == decision.total:
        return shown
    deciding = next(one for one in decision.violations if one.until == decision.wait_until)
    return shown if deciding in shown else (*shown[:-1], deciding)


def _violation_to_wire(one: policy.Violation) -> Violation:
    details = dict(one.details)
    try:
        short = _size(details) <= MESSAGE_KEPT
    except (TypeError, ValueError, RecursionError):
        short = False
    return Violation(
        msg=cut(one.msg, MESSAGE_KEPT),
        rule=one.rule,
        severity=str(one.severity),
        details=details if short else {},
        remediation=cut(one.remediation, MESSAGE_KEPT),
        until=one.until,
    )


def _policy(wire: Policy) -> state.WavePolicy:
    decision = None
    if wire.allowed is not None:
        decision = policy.PolicyDecision(
            allowed=wire.allowed,
            violations=tuple(_violation(one) for one in wire.violations),
            warnings=tuple(_violation(one) for one in wire.warnings),
            waived=tuple(policy.Waiver(_violation(one.violation), one.reason, one.expires_at) for one in wire.waived),
            revision=wire.revision,
            decision_id=wire.decision_id,
            input_digest=wire.input_digest,
            evaluated_at=wire.evaluated_at or wire.at,
            package=wire.package,
        )
    return state.WavePolicy(wire.wave, wire.at, decision=decision, trouble=wire.trouble, reason=wire.reason)


def _violation(wire: Violation) -> policy.Violation:
    return policy.Violation(
        wire.msg,
        wire.rule,
        severity=policy.Severity.__members__.get(wire.severity.upper(), policy.Severity.MEDIUM),
        details=wire.details,
        remediation=wire.remediation,
        until=wire.until,
    )
