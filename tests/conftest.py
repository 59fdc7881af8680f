"""Options and fixtures that every tier shares."""

from __future__ import annotations

import hypothesis
import pytest

# A machine that builds a control plane at the same time is slow; that is no fault of the code under test.
hypothesis.settings.register_profile(
    "patchwright", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patchwright")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("patchwright")
    group.addoption("--seeds", type=int, default=60, help="how many random schedules the simulator plays")
    group.addoption("--seed", type=int, default=None, help="play this one random schedule only")
    group.addoption("--exhaustive", action="store_true", help="break every call in every way, not only by crashes")
    group.addoption("--update-golden", action="store_true", help="write the golden transcripts anew")
