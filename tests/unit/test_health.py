"""Verdicts over measurements: baselines, deadlines, what is too old, and when to look again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from patchwright.domain import health
from patchwright.domain.checks import Baseline, HealthCheck, HttpCheck, JobCheck
from patchwright.domain.health import CheckState, Finding, Measurement

T0 = datetime(2026, 11, 23, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def check(
    name: str = "web", *, timeout: float = 0, baseline: Baseline = Baseline.BLOCK, interval: float = 10
) -> HealthCheck:
    return HealthCheck(
        name,
        HttpCheck("http://web/"),
        interval=timedelta(seconds=interval),
        timeout=timedelta(seconds=timeout),
        baseline=baseline,
    )


def measured(seconds: float, *keys: str, population: int | None = 10) -> Measurement:
    return Measurement(at(seconds), tuple(Finding(key, f"{key} is bad") for key in keys), population)


def watched(of: HealthCheck, *measurements: Measurement, baseline: health.Baselines | None = None) -> CheckState:
    state = CheckState(of)
    for each in measurements:
        state = health.observe(state, each, baseline or {})
    return state


def test_no_checks_are_healthy_and_let_a_rollout_start() -> None:
    assert health.judge([], {}, now=T0) == health.Verdict(True)
    assert health.may_start([], now=T0) == health.Start()
    assert health.next_measurement([], now=T0) is None


def test_a_check_that_was_not_measured_holds_and_is_due_at_once() -> None:
    state = CheckState(check())
    verdict = health.judge([state], {}, now=T0)
    assert (verdict.healthy, verdict.failed, verdict.unmeasured) == (False, False, ("web",))
    assert verdict.message == "health check web has no measurement young enough to act on"
    assert health.may_start([state], now=T0).unmeasured == ("web",)
    assert health.stale(state, now=T0)
    assert health.next_measurement([state], now=T0) == T0


def test_a_block_check_must_be_healthy_before_the_patch() -> None:
    sick = watched(check(), measured(0, "pod-a", "pod-b"))
    start = health.may_start([sick], now=at(1))
    assert start.refusal == "health check web is unhealthy before the patch: pod-a is bad (and 1 more)"


def test_an_exclude_check_remembers_what_was_bad_sorted_and_once() -> None:
    state = watched(check(baseline=Baseline.EXCLUDE), measured(0, "b", "a", "b"))
    assert health.may_start([state], now=at(1)) == health.Start(baseline={"web": ("a", "b")})


def test_an_exclude_check_with_more_than_half_bad_does_not_start() -> None:
    state = watched(check(baseline=Baseline.EXCLUDE), measured(0, "a", "b", "c", population=5))
    refusal = health.may_start([state], now=at(1)).refusal
    assert refusal == "health check web finds 3 of 5 unhealthy already: a is bad (and 2 more)"


def test_exactly_half_bad_may_start() -> None:
    state = watched(check(baseline=Baseline.EXCLUDE), measured(0, "a", population=2))
    assert not health.may_start([state], now=at(1)).refusal


def test_series_have_no_population_and_only_their_number_limits_a_baseline() -> None:
    keys = [f"series-{n:03}" for n in range(health.FINDINGS_KEPT + 1)]
    of = check(baseline=Baseline.EXCLUDE)
    fits = watched(of, measured(0, *keys[1:], population=None))
    assert len(health.may_start([fits], now=at(1)).baseline["web"]) == health.FINDINGS_KEPT
    spills = watched(of, measured(0, *keys, population=None))
    assert "finds 51 things unhealthy already, and a baseline holds 50" in health.may_start([spills], now=at(1)).refusal


def test_a_check_that_could_not_be_made_is_excused_by_no_baseline() -> None:
    state = watched(check(baseline=Baseline.EXCLUDE), health.unmade(T0, "Prometheus is away"))
    refusal = health.may_start([state], now=at(1)).refusal
    assert refusal == "health check web is unhealthy before the patch: Prometheus is away"
    verdict = health.judge([state], {"web": ("error",)}, now=at(1))
    assert (verdict.healthy, verdict.failed) == (False, True)


def test_what_was_bad_before_is_not_blamed_on_the_patch_and_what_is_new_is() -> None:
    before = {"web": ("old",)}
    state = watched(check(), measured(0, "old"), baseline=before)
    assert health.judge([state], before, now=at(1)) == health.Verdict(True, healthy_since=T0, as_of=T0)
    state = health.observe(state, measured(10, "old", "new"), before)
    verdict = health.judge([state], before, now=at(11))
    assert (verdict.failed, verdict.message) == (True, "health check web: new is bad")


def test_an_hour_of_sickness_before_the_start_uses_up_no_timeout_after_it() -> None:
    of = check(timeout=60, baseline=Baseline.EXCLUDE)
    state = watched(of, measured(0, "old"), measured(3600, "old"))
    assert state.unhealthy_since == T0
    before = health.may_start([state], now=at(3601)).baseline
    state = health.observe(state, measured(3610, "old", "new"), before)
    assert state.unhealthy_since == at(3610)
    assert not health.judge([state], before, now=at(3611)).failed


def test_a_baseline_that_is_recorded_between_two_measurements_makes_healthy_from_the_last_one() -> None:
    state = watched(check(baseline=Baseline.EXCLUDE), measured(0, "old"))
    assert health.judge([state], {"web": ("old",)}, now=at(1)).healthy_since == T0
    assert health.observe(state, measured(10, "old"), {"web": ("old",)}).healthy_since == at(10)


def test_without_a_timeout_the_first_unhealthy_measurement_fails() -> None:
    verdict = health.judge([watched(check(), measured(0, "a"))], {}, now=T0)
    assert (verdict.healthy, verdict.failed, verdict.next_at, verdict.check) == (False, True, None, "web")


def test_within_its_timeout_a_check_holds_and_names_its_deadline() -> None:
    verdict = health.judge([watched(check(timeout=30), measured(0, "a"), measured(10, "a"))], {}, now=at(11))
    assert (verdict.healthy, verdict.failed, verdict.next_at) == (False, False, at(30))


def test_recovery_within_the_timeout_starts_the_clock_anew() -> None:
    of = check(timeout=30)
    state = watched(of, measured(0, "a"), measured(10), measured(20, "a"), measured(30, "a"))
    assert state.unhealthy_since == at(20)
    assert not health.judge([state], {}, now=at(31)).failed


def test_a_blip_does_not_fail_by_the_clock_when_the_interval_is_longer_than_the_timeout() -> None:
    of = check(timeout=30, interval=300)
    state = watched(of, measured(0, "a"))
    late = health.judge([state], {}, now=at(31))
    assert (late.failed, late.next_at) == (False, None)
    assert health.due(state) == at(30)
    assert health.stale(state, now=at(30))
    assert health.judge([health.observe(state, measured(30, "a"), {})], {}, now=at(31)).failed
    assert health.judge([health.observe(state, measured(30), {})], {}, now=at(31)).healthy


def test_a_failed_check_is_measured_at_its_interval_again() -> None:
    assert health.due(watched(check(), measured(0, "a"))) == at(10)


def test_the_measurement_at_the_deadline_is_news_though_it_finds_the_same() -> None:
    state = watched(check(timeout=20), measured(0, "a"))
    later = health.observe(state, measured(10, "a"), {})
    assert not health.news(state, later)
    assert health.news(later, health.observe(later, measured(20, "a"), {}))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param((), measured(0), True, id="the first measurement"),
        pytest.param((measured(0),), measured(10), False, id="healthy as before"),
        pytest.param((measured(0),), measured(10, "a"), True, id="it fell ill"),
        pytest.param((measured(0, "a"),), measured(10), True, id="it recovered"),
        pytest.param((measured(0),), measured(16), True, id="it was late"),
    ],
)
def test_news_is_what_may_change_a_verdict(
    before: tuple[Measurement, ...], after: Measurement, *, expected: bool
) -> None:
    state = watched(check(), *before)
    assert health.news(state, health.observe(state, after, {})) is expected


def test_a_measurement_that_is_long_overdue_holds_whatever_it_said() -> None:
    state = watched(check(), measured(0))
    assert health.judge([state], {}, now=at(29.9)).healthy
    assert health.judge([state], {}, now=at(30)).unmeasured == ("web",)
    assert health.may_start([state], now=at(30)).unmeasured == ("web",)


def test_known_sickness_speaks_before_what_is_not_measured_yet() -> None:
    verdict = health.judge([CheckState(check("late")), watched(check(), measured(0, "a"))], {}, now=at(1))
    assert (verdict.failed, verdict.check) == (True, "web")


def test_of_several_unhealthy_checks_a_failed_one_speaks_and_the_others_are_counted() -> None:
    patient = watched(check("patient", timeout=600), measured(0, "a"))
    failed = watched(check("strict", timeout=5), measured(600, "b"), measured(605, "b"))
    verdict = health.judge([patient, failed], {}, now=at(599))
    assert (verdict.failed, verdict.check) == (True, "strict")
    assert verdict.message == "health check strict: b is bad; 1 more checks are unhealthy"


def test_nothing_is_excused_by_a_job_that_takes_minutes() -> None:
    job = HealthCheck("smoke", JobCheck("smoke:1"), probe_timeout=timedelta(minutes=2))
    quick, slow = watched(check(), measured(0)), watched(job, measured(0))
    assert health.judge([quick, slow], {}, now=at(30)).unmeasured == ("web",)
    assert health.judge([slow], {}, now=at(200)).healthy


def test_health_is_as_old_as_its_oldest_evidence_and_as_young_as_its_last_recovery() -> None:
    first = watched(check("first"), measured(0), measured(10))
    second = watched(check("second"), measured(0, "a"), measured(9))
    verdict = health.judge([first, second], {}, now=at(11))
    assert (verdict.healthy_since, verdict.as_of) == (at(9), at(9))


def test_the_next_measurement_is_the_earliest_due_one() -> None:
    states = [watched(check("a"), measured(5)), watched(check("b", timeout=3), measured(1, "x"))]
    assert health.next_measurement(states, now=at(5)) == at(4)
    assert not health.stale(states[0], now=at(14.9))
    assert health.stale(states[0], now=at(15))
