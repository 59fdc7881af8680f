"""Options and fixtures that every tier shares."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("patchwright")
    group.addoption("--seeds", type=int, default=100, help="how many random schedules the simulator plays")
    group.addoption("--seed", type=int, default=None, help="play this one random schedule only")
    group.addoption("--exhaustive", action="store_true", help="break every call in every way, not only by crashes")
    group.addoption("--update-golden", action="store_true", help="write the golden transcripts anew")
