"""Health: what was measured, what it is compared with, and what follows from it.

A check counts against the patch only with what was not there before (the baseline), holds new starts as soon as it is
unhealthy, and fails the wave once a measurement finds it unhealthy for its ``timeout``. A check that cannot be made is
unhealthy, and so is one that has nothing to look at: neither is excused by any baseline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from patchwright.domain.checks import Baseline, HealthCheck

# Above this share of unhealthy items a comparison with "before" says nothing any more.
SICK_SHARE = 0.5
# A baseline lives in PatchRollout.status, which stays under 256 KiB; one that were cut short would blame the patch.
FINDINGS_KEPT = 50


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a check found to be bad: ``key`` identifies it across measurements, ``message`` is for people.

    ``inexcusable`` findings say that the check itself has nothing to say (it could not be made, it selects nothing):
    that it was so before the patch is no comfort.
    """

    key: str
    message: str
    inexcusable: bool = False


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run of a check: everything bad it found, of ``population`` things that it looked at.

    ``at`` is when it began, so that it is never newer than what it saw. ``population`` is ``None`` where only what is
    bad can be counted (the series of a PromQL query).
    """

    at: datetime
    findings: tuple[Finding, ...] = ()
    population: int | None = 1


def unmade(at: datetime, why: str) -> Measurement:
    """Give the measurement of a check that could not be made, with the sentence that says why."""
    return Measurement(at, (Finding("error", why, inexcusable=True),), None)


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

    ``healthy_since`` is since when every check has been healthy, as far as the oldest of the last measurements
    (``as_of``) tells: whoever waits for the end of a soak needs one from after it. ``failed`` says that one has used up
    its timeout;
    ``next_at`` is when an unhealthy check will have, ``None`` when that time has come.
    """

    healthy: bool
    message: str = ""
    check: str = ""
    failed: bool = False
    healthy_since: datetime | None = None
    next_at: datetime | None = None
    unmeasured: tuple[str, ...] = ()
    as_of: datetime | None = None


Baselines = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Start:
    """Whether the fleet is well enough to begin: the baseline to remember, or why not."""

    baseline: dict[str, tuple[str, ...]] = field(default_factory=dict)
    refusal: str = ""
    unmeasured: tuple[str, ...] = ()


def observe(state: CheckState, measured: Measurement, baseline: Baselines) -> CheckState:
    """Take in a measurement: keep since when the check is healthy or unhealthy.

    What came before is judged by the same baseline: a check that was sick for an hour before the rollout started has
    not used up its timeout, nor has it been healthy all along.
    """
    now_bad = bool(blamed(measured, _before(state, baseline)))
    same = state.measured is not None and now_bad == bool(_found(state, baseline))
    if now_bad:
        return CheckState(state.check, measured, (state.unhealthy_since if same else None) or measured.at, None)
    return CheckState(state.check, measured, None, (state.healthy_since if same else None) or measured.at)


def news(before: CheckState, after: CheckState) -> bool:
    """Tell whether a measurement may have changed the verdict, or ended a time without one."""
    assert after.measured is not None, "it was just measured"
    if before.measured is None:
        return True
    late = after.measured.at - before.measured.at > before.check.interval + before.check.probe_timeout
    return late or _gist(before) != _gist(after)


def _gist(state: CheckState) -> tuple[bool, bool, tuple[Finding, ...]]:
    findings = state.measured.findings if state.measured else ()
    bad = state.unhealthy_since is not None
    return bad, bad and _failed(state), findings


def blamed(measured: Measurement, before: Sequence[str]) -> tuple[Finding, ...]:
    """Give the findings that were not there before the patch, and those that no baseline excuses."""
    known = frozenset(before)
    return tuple(finding for finding in measured.findings if finding.inexcusable or finding.key not in known)


def may_start(states: Sequence[CheckState], *, now: datetime) -> Start:
    """Judge the fleet before anything is touched.

    A ``Block`` check must be healthy; an ``Exclude`` check's findings become the baseline, unless so many of its items
    are bad that nothing could be learnt from a comparison.
    """
    unmeasured = _unmeasured(states, now)
    if unmeasured:
        return Start(unmeasured=unmeasured)
    for state in states:
        if refusal := _sick(state):
            return Start(refusal=refusal)
    kept = {s.check.name: _keys(s) for s in states if s.measured and s.measured.findings}
    return Start(baseline=kept)


def _unmeasured(states: Sequence[CheckState], now: datetime) -> tuple[str, ...]:
    """Name the checks whose last measurement is missing or too old to act on: its successor is long overdue.

    Checks are measured together, the slow ones and the others, so one waits for the slowest of its kind, once for its
    turn and once for its result.
    """
    patience = dict.fromkeys((True, False), timedelta(0))
    for s in states:
        patience[s.check.slow] = max(patience[s.check.slow], s.check.probe_timeout)
    return tuple(
        s.check.name
        for s in states
        if s.measured is None or now >= s.measured.at + 2 * (s.check.interval + patience[s.check.slow])
    )


def _sick(state: CheckState) -> str:
    measured = state.measured
    if measured is None or not measured.findings:
        return ""
    check, bad, text = state.check, len(measured.findings), _told(measured.findings)
    if check.baseline is Baseline.BLOCK or any(finding.inexcusable for finding in measured.findings):
        return f"health check {check.name} is unhealthy before the patch: {text}"
    if measured.population is not None and bad > SICK_SHARE * measured.population:
        return f"health check {check.name} finds {bad} of {measured.population} unhealthy already: {text}"
    if bad > FINDINGS_KEPT:
        return (
            f"health check {check.name} finds {bad} things unhealthy already, and a baseline holds {FINDINGS_KEPT}; "
            f"narrow the check: {text}"
        )
    return ""


def _told(findings: Sequence[Finding]) -> str:
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return f"{findings[0].message}{more}"


def _keys(state: CheckState) -> tuple[str, ...]:
    findings = state.measured.findings if state.measured else ()
    # Sorted, so that the same findings in another order are the same baseline and cost no write.
    return tuple(sorted({finding.key for finding in findings}))


def judge(states: Sequence[CheckState], baseline: Baselines, *, now: datetime) -> Verdict:
    """Say whether the rollout may go on, must hold, or has failed.

    A check that is known to be unhealthy speaks before one that was not measured yet.
    """
    bad = [s for s in states if _found(s, baseline)]
    if bad:
        return _unhealthy(bad, baseline, now)
    if unmeasured := _unmeasured(states, now):
        text = f"health check {unmeasured[0]} has no measurement young enough to act on"
        return Verdict(False, text, unmeasured[0], unmeasured=unmeasured)
    known = [s.healthy_since or s.measured.at for s in states if s.measured]
    as_of = min((s.measured.at for s in states if s.measured), default=None)
    return Verdict(True, healthy_since=max(known, default=None), as_of=as_of)


def _unhealthy(bad: Sequence[CheckState], baseline: Baselines, now: datetime) -> Verdict:
    worst = min(bad, key=lambda s: (not _failed(s), _deadline(s)))
    others = f"; {len(bad) - 1} more checks are unhealthy" if len(bad) > 1 else ""
    return Verdict(
        healthy=False,
        message=f"health check {worst.check.name}: {_told(_found(worst, baseline))}{others}",
        check=worst.check.name,
        failed=_failed(worst),
        # Once the deadline has passed it is the measurement that is awaited, and no time.
        next_at=_deadline(worst) if _deadline(worst) > now else None,
    )


def _before(state: CheckState, baseline: Baselines) -> Sequence[str]:
    return baseline.get(state.check.name, ())


def _found(state: CheckState, baseline: Baselines) -> tuple[Finding, ...]:
    return blamed(state.measured, _before(state, baseline)) if state.measured else ()


def _failed(state: CheckState) -> bool:
    """Tell whether a measurement at or after the deadline found the check unhealthy still.

    Time alone proves nothing: with an interval longer than the timeout one blip would fail the wave unseen.
    """
    return state.measured is not None and state.measured.at >= _deadline(state)


def _deadline(state: CheckState) -> datetime:
    since = state.unhealthy_since or (state.measured.at if state.measured else None)
    assert since is not None, "only a measured check is unhealthy"
    return since + state.check.timeout


def due(state: CheckState) -> datetime | None:
    """Give the time of a check's next measurement, ``None`` for at once: after its interval, or at its deadline."""
    if state.measured is None:
        return None
    regular = state.measured.at + state.check.interval
    if state.unhealthy_since is None or _failed(state):
        return regular
    return min(regular, _deadline(state))


def stale(state: CheckState, *, now: datetime) -> bool:
    """Tell whether the check is due again."""
    return (due(state) or now) <= now


def next_measurement(states: Sequence[CheckState], *, now: datetime) -> datetime | None:
    """Give the time at which the next check is due."""
    return min((due(state) or now for state in states), default=None)
