"""A real control plane for the tests of tier 3: one per pytest process, and a namespace per test."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Iterator

import pytest

from patchwright.sandbox import client, controlplane, progress

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def sandbox(request: pytest.FixtureRequest) -> Iterator[controlplane.ControlPlane]:
    """A running control plane without nodes; builds its programs first where they are missing, and shows that."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    uncaptured = capture.global_and_fixture_disabled() if capture else contextlib.nullcontext()
    with uncaptured:
        plane = controlplane.ControlPlane(show=progress.Lines(sys.stderr))
        plane.start()
    try:
        yield plane
    finally:
        plane.stop()


@pytest.fixture
def api(sandbox: controlplane.ControlPlane) -> client.Client:
    """The administrator's client."""
    return sandbox.api


@pytest.fixture
def namespace(sandbox: controlplane.ControlPlane) -> Iterator[str]:
    """A fresh namespace, its default service account in place; deleted (without waiting) after the test."""
    name = sandbox.add_namespace(f"test-{next(_NUMBERS)}")
    yield name
    sandbox.api.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
def fleet(sandbox: controlplane.ControlPlane) -> Iterator[list[str]]:
    """Six Ready nodes over three zones, of this test alone; deleted after it."""
    names = sandbox.add_nodes(6, prefix=f"fleet-{next(_NUMBERS)}")
    yield names
    sandbox.remove_nodes(names)
