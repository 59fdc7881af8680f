"""Health verdicts, whatever is measured in whatever order."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from patchwright.domain import health
from patchwright.domain.checks import Baseline, HealthCheck, HttpCheck
from patchwright.domain.health import CheckState, Finding, Measurement

T0 = datetime(2026, 11, 23, tzinfo=UTC)
KEYS = st.sampled_from(["a", "b", "c", "d"])
FINDINGS = st.lists(st.builds(Finding, KEYS, st.just("is bad"), st.booleans()), max_size=4).map(tuple)
SECONDS = st.integers(1, 600).map(lambda seconds: timedelta(seconds=seconds))
CHECKS = st.builds(
    HealthCheck,
    st.just("web"),
    st.just(HttpCheck("http://web/")),
    interval=SECONDS,
    timeout=st.integers(0, 600).map(lambda seconds: timedelta(seconds=seconds)),
    baseline=st.sampled_from(Baseline),
)
KNOWN = st.lists(KEYS, unique=True).map(lambda keys: {"web": tuple(keys)})


@st.composite
def histories(draw: st.DrawFn) -> list[Measurement]:
    now, made = T0, []
    for _ in range(draw(st.integers(1, 12))):
        made.append(Measurement(now, draw(FINDINGS), draw(st.none() | st.integers(0, 8))))
        now += draw(SECONDS)
    return made


def replay(check: HealthCheck, history: list[Measurement], known: health.Baselines) -> list[CheckState]:
    states = [CheckState(check)]
    for measured in history:
        states.append(health.observe(states[-1], measured, known))
    return states[1:]


@given(CHECKS, histories(), KNOWN)
def test_since_when_is_the_start_of_the_last_unbroken_run(
    check: HealthCheck, history: list[Measurement], known: health.Baselines
) -> None:
    """The oracle walks back over the history; the code under test only ever sees the last state."""
    state = replay(check, history, known)[-1]
    bad = [bool(health.blamed(measured, known["web"])) for measured in history]
    run = len(bad) - 1
    while run > 0 and bad[run - 1] == bad[-1]:
        run -= 1
    since = history[run].at
    assert (state.unhealthy_since, state.healthy_since) == ((since, None) if bad[-1] else (None, since))


@given(CHECKS, histories(), KNOWN)
def test_a_failed_verdict_has_evidence_from_the_deadline_or_later(
    check: HealthCheck, history: list[Measurement], known: health.Baselines
) -> None:
    state = replay(check, history, known)[-1]
    verdict = health.judge([state], known, now=history[-1].at)
    if verdict.failed:
        assert state.unhealthy_since is not None
        assert state.measured is not None
        assert state.measured.at - state.unhealthy_since >= check.timeout
    assert not (verdict.healthy and (verdict.failed or verdict.unmeasured))


@given(CHECKS, histories(), KNOWN)
def test_a_check_is_never_due_later_than_its_interval_nor_than_its_deadline(
    check: HealthCheck, history: list[Measurement], known: health.Baselines
) -> None:
    state = replay(check, history, known)[-1]
    due = health.due(state)
    assert due is not None
    assert history[-1].at <= due <= history[-1].at + check.interval
    verdict = health.judge([state], known, now=history[-1].at)
    if verdict.next_at is not None:
        assert due <= verdict.next_at


@given(CHECKS, histories())
def test_a_fleet_that_may_start_is_healthy_by_the_baseline_it_starts_with(
    check: HealthCheck, history: list[Measurement]
) -> None:
    state = replay(check, history, {})[-1]
    now = history[-1].at
    start = health.may_start([state], now=now)
    if not start.refusal:
        assert health.judge([state], start.baseline, now=now).healthy
        assert check.baseline is Baseline.EXCLUDE or not start.baseline
    else:
        assert history[-1].findings


@given(CHECKS, histories(), KNOWN, st.integers(0, 5000))
def test_health_is_only_ever_told_of_young_measurements(
    check: HealthCheck, history: list[Measurement], known: health.Baselines, later: int
) -> None:
    state = replay(check, history, known)[-1]
    now = history[-1].at + timedelta(seconds=later)
    verdict = health.judge([state], known, now=now)
    if verdict.healthy:
        assert verdict.as_of is not None
        assert now - verdict.as_of < 2 * (check.interval + check.probe_timeout)
    assert verdict.healthy or verdict.message


@given(CHECKS, histories(), KNOWN)
def test_what_is_no_news_changes_no_verdict_but_its_age(
    check: HealthCheck, history: list[Measurement], known: health.Baselines
) -> None:
    states = replay(check, history, known)
    for before, after in itertools.pairwise(states):
        assert after.measured is not None
        was = health.judge([before], known, now=after.measured.at)
        now = health.judge([after], known, now=after.measured.at)
        if not health.news(before, after):
            assert (was.healthy, was.failed, was.message) == (now.healthy, now.failed, now.message)
