"""Health: what was measured, what it is compared with, and what follows from it.

A check counts against the patch only with what was not there before (the baseline), holds new starts as soon as it is
unhealthy, and fails the wave once it has been unhealthy for its ``timeout``. A check that cannot be made is unhealthy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from patchwright.domain.model import Baseline, HealthCheck

# Above this share of unhealthy items a comparison with "before" says nothing any more.
SICK_SHARE = 0.5
FINDINGS_KEPT = 50


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a check found to be bad: ``key`` identifies it across measurements, ``message`` is for people."""

    key: str
    message: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run of a check: everything bad it found, of ``population`` things that it looked at."""

    at: datetime
    findings: tuple[Finding, ...] = ()
    population: int = 1


@dataclass(frozen=True, slots=True)
class CheckState:
    """A check with its last measurement and since when it has been unhealthy (against the baseline) without a break.

    ``measured`` is ``None`` until the check was made once in this process.
    """

    check: HealthCheck
    measured: Measurement | None = None
    unhealthy_since: datetime | None = None
    healthy_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What all checks together say.

    ``healthy_since`` is since when every check has been healthy; ``failed`` says that one has used up its timeout;
    ``next_at`` is when an unhealthy check will have.
    """

    healthy: bool
    message: str = ""
    check: str = ""
    failed: bool = False
    healthy_since: datetime | None = None
    next_at: datetime | None = None
    unmeasured: tuple[str, ...] = ()


Baselines = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Start:
    """Whether the fleet is well enough to begin: the baseline to remember, or why not."""

    baseline: dict[str, tuple[str, ...]] = field(default_factory=dict)
    refusal: str = ""
    unmeasured: tuple[str, ...] = ()


def observe(state: CheckState, measured: Measurement, baseline: Baselines) -> CheckState:
    """Take in a measurement: keep since when the check is healthy or unhealthy."""
    if blamed(measured, baseline.get(state.check.name, ())):
        return CheckState(state.check, measured, state.unhealthy_since or measured.at, None)
    return CheckState(state.check, measured, None, state.healthy_since or measured.at)


def blamed(measured: Measurement, before: Sequence[str]) -> tuple[Finding, ...]:
    """Give the findings that were not there before the patch."""
    known = frozenset(before)
    return tuple(finding for finding in measured.findings if finding.key not in known)


def may_start(states: Sequence[CheckState]) -> Start:
    """Judge the fleet before anything is touched.

    A ``Block`` check must be healthy; an ``Exclude`` check's findings become the baseline, unless so many of its items
    are bad that nothing could be learnt from a comparison.
    """
    unmeasured = tuple(s.check.name for s in states if s.measured is None)
    if unmeasured:
        return Start(unmeasured=unmeasured)
    for state in states:
        if refusal := _sick(state):
            return Start(refusal=refusal)
    kept = {s.check.name: _keys(s) for s in states if s.measured and s.measured.findings}
    return Start(baseline=kept)


def _sick(state: CheckState) -> str:
    measured = state.measured
    if measured is None or not measured.findings:
        return ""
    first = measured.findings[0].message
    if state.check.baseline is Baseline.BLOCK:
        return f"health check {state.check.name} is unhealthy before the patch: {first}"
    bad = len(measured.findings)
    if bad > SICK_SHARE * measured.population:
        return f"health check {state.check.name} finds {bad} of {measured.population} unhealthy already: {first}"
    return ""


def _keys(state: CheckState) -> tuple[str, ...]:
    findings = state.measured.findings if state.measured else ()
    return tuple(finding.key for finding in findings)


def judge(states: Sequence[CheckState], baseline: Baselines, *, now: datetime) -> Verdict:
    """Say whether the rollout may go on, must hold, or has failed."""
    unmeasured = tuple(s.check.name for s in states if s.measured is None)
    if unmeasured:
        return Verdict(
            False, f"health check {unmeasured[0]} was not measured yet", unmeasured[0], unmeasured=unmeasured
        )
    bad = [s for s in states if _found(s, baseline)]
    if not bad:
        known = [s.healthy_since for s in states if s.healthy_since]
        return Verdict(True, healthy_since=max(known, default=None))
    worst = min(bad, key=lambda s: _deadline(s, now))
    findings = _found(worst, baseline)
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return Verdict(
        healthy=False,
        message=f"health check {worst.check.name}: {findings[0].message}{more}",
        check=worst.check.name,
        failed=_deadline(worst, now) <= now,
        next_at=_deadline(worst, now),
    )


def _found(state: CheckState, baseline: Baselines) -> tuple[Finding, ...]:
    return blamed(state.measured, baseline.get(state.check.name, ())) if state.measured else ()


def _deadline(state: CheckState, now: datetime) -> datetime:
    return (state.unhealthy_since or now) + state.check.timeout


def stale(state: CheckState, *, now: datetime) -> bool:
    """Tell whether the check is due again."""
    return state.measured is None or now - state.measured.at >= state.check.interval


def next_measurement(states: Sequence[CheckState], *, now: datetime) -> datetime | None:
    """Give the time at which the next check is due."""
    times = [s.measured.at + s.check.interval if s.measured else now for s in states]
    return min(times, default=None)


NEVER = timedelta.max
