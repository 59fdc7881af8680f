"""Whatever the engine remembers comes back from the status exactly as it went, and no input is a crash."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwright import errors
from patchwright.api import parse, rolloutstate, scalars
from patchwright.domain import policy
from patchwright.domain.state import Cause, Condition, Phase, Plan, RolloutState, WavePlan, WavePolicy
from patchwright.domain.targets import Counts, Note
from support.api_manifests import FULL, changed

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
texts = st.text(st.characters(codec="utf-8"), max_size=40)
instants = st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 (Hypothesis adds the zone)
maybe = st.none() | instants
counts = st.integers(0, 10**6)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
notes = st.lists(
    st.builds(Note, words, words, words, wave=st.none() | st.integers(0, 30), reason=texts, message=texts, since=maybe),
    max_size=5,
).map(tuple)
violations = st.lists(
    st.builds(
        policy.Violation,
        texts,
        texts,
        severity=st.sampled_from(policy.Severity),
        # Larger details are left out of status by design; decisions are in OPA's log whole.
        details=st.dictionaries(texts, json_values, max_size=3).filter(lambda found: len(json.dumps(found)) < 1000),
        remediation=texts,
        until=maybe,
    ),
    max_size=3,
).map(tuple)
decisions = st.builds(
    policy.PolicyDecision,
    allowed=st.booleans(),
    violations=violations,
    warnings=violations,
    waived=st.lists(st.builds(policy.Waiver, violations.filter(bool).map(lambda it: it[0]), texts, instants)).map(
        lambda found: tuple(found[:5])
    ),
    revision=texts,
    decision_id=texts,
    input_digest=texts,
    evaluated_at=instants,
    package=texts,
)
states = st.builds(
    RolloutState,
    phase=st.sampled_from(Phase),
    message=texts,
    observed_generation=counts,
    started_at=maybe,
    finished_at=maybe,
    plan=st.none()
    | st.builds(
        Plan,
        counts,
        st.lists(st.builds(WavePlan, words, st.none() | counts, st.floats(0, 1e6)), max_size=5).map(tuple),
    ),
    wave=st.integers(-1, 30),
    wave_since=maybe,
    soak_since=maybe,
    soak_until=maybe,
    outcome=st.none() | st.sampled_from(Phase),
    cause=st.none() | st.builds(Cause, words, texts, instants, texts),
    policy=st.none()
    | st.builds(WavePolicy, st.integers(-1, 30), instants, st.none() | decisions, trouble=texts, reason=texts),
    baseline=st.dictionaries(texts, st.lists(texts, max_size=3).map(tuple), max_size=3),
    counts=st.builds(
        Counts, counts, counts, counts, counts, counts, counts, counts, counts,
        by_step=st.dictionaries(texts, counts, max_size=3),
    ),
    in_flight=notes,
    failed=notes,
    skipped=notes,
    quarantined=notes,
    vanished=notes,
    leftover_since=maybe,
    next_window=maybe,
    conditions=st.lists(
        st.builds(Condition, words, st.sampled_from(["True", "False", "Unknown"]), words, texts), max_size=3
    ).map(tuple),
)  # fmt: skip


@given(states)
def test_the_engines_memory_survives_the_api_server(state: RolloutState) -> None:
    status = json.loads(json.dumps(rolloutstate.state_to_status(state, now=NOW)))
    assert rolloutstate.status_to_state(status) == state


@given(json_values)
def test_no_status_is_a_crash(status: Any) -> None:
    with contextlib.suppress(errors.InvalidInput):
        rolloutstate.status_to_state(status)


_PATHS = sorted(
    {
        "spec.target.nodes.selector.matchLabels",
        "spec.strategy.canary.count",
        "spec.strategy.canary",
        "spec.strategy.waves",
        "spec.maintenanceWindows[0].start",
        "spec.maintenanceWindows[0].timeZone",
        "spec.maintenanceWindows[0]",
        "spec.drain.timeout",
        "spec.drain.gracePeriod",
        "spec.healthChecks",
        "spec.healthChecks[1].prometheus.address",
        "spec.healthChecks[3].object.for",
        "spec.policy.package",
        "metadata.labels",
        "metadata",
        "spec",
    }
)


@pytest.mark.parametrize("path", _PATHS)
@given(value=json_values)
def test_no_value_anywhere_is_a_crash(path: str, value: Any) -> None:
    for fault in parse.validate(changed(FULL["PatchPolicy"], path, value)):
        assert fault.message
        assert fault.path.startswith(("spec", "metadata")), fault


@given(st.timedeltas(min_value=timedelta(0), max_value=scalars.LONGEST_DURATION))
def test_a_duration_is_read_as_it_was_written(duration: Any) -> None:
    millisecond = timedelta(milliseconds=1)
    rounded = round(duration / millisecond) * millisecond
    assert scalars.parse_duration(scalars.format_duration(duration)) == rounded
