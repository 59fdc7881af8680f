"""A real control plane for the tests of tier 3: one per pytest process, and a namespace per test."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final, TypeVar

import pytest
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]  # it has no types

from patchwright.sandbox import client, controlplane, images, progress, settings
from patchwright.sandbox.flux import NAMESPACE, Flux
from support import fault_proxy, operator_stage
from support.image_scene import ImageScene
from support.operator_scene import Scene
from support.workload_scene import WorkloadScene

_NUMBERS = itertools.count(1)
SHARED: Final = "what shares a sandbox"
OF_THEIR_OWN: Final = (
    "test_demo",
    "test_gitea",
    "test_image_trust",
    "test_prime",
    "test_registry",
    "test_sandbox_lifecycle",
)


class Scheduling(LoadFileScheduling):  # type: ignore[misc]  # as above
    """A file is one worker's, and all files with ``sandbox`` are: each such control plane costs, with nothing to do.

    That is 1.6 s of processor a minute, and there are the stages with an operator besides. Which files have an operator
    or something else of their own is told by their names; where that is wrong, tests take longer and no more.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return SHARED if _shares(Path(file)) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    """Say what is one worker's."""
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with few tests first: they have the long ones, and what is long must not be left for the end.

    xdist's own order, most tests first, left one worker with the demo while the others had nothing to do any more. What
    one worker does of many files is long too. Only where nothing but this tier runs: the hook sees every item.
    """
    sizes = Counter(item.path for item in items)
    items.sort(key=lambda item: 0 if _shares(item.path) else sizes[item.path])


def _shares(file: Path) -> bool:
    return not file.name.startswith(("test_operator_", *OF_THEIR_OWN))


@pytest.fixture(autouse=True)
async def goodbyes(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Let what a test with a loop of its own has closed be closed before that loop ends."""
    yield
    if inspect.iscoroutinefunction(request.function):
        await fault_proxy.let_tls_end()


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


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[operator_stage.Stage]:
    """A control plane of its own with an operator in it: one that acts must not meet the objects of other tests."""
    found = operator_stage.open_stage(tmp_path_factory.mktemp("operator"))
    yield found
    found.close()


@pytest.fixture
def scene(stage: operator_stage.Stage) -> Iterator[Scene]:
    """Nodes, policies and rollouts of this test alone; every law is checked over all that happened to them."""
    found = Scene(stage)
    yield from _played(found)


@pytest.fixture
def shop(stage: operator_stage.Stage) -> Iterator[WorkloadScene]:
    """The same with workloads, on nodes that nobody patches."""
    found = WorkloadScene(stage)
    found.add_nodes(4)
    yield from _played(found)


@pytest.fixture(scope="session")
def registry_url() -> Iterator[str]:
    """An image registry that lets everybody in."""
    with controlplane.ControlPlane(parts=[settings.REGISTRY], show=progress.Lines(sys.stderr)) as plane:
        yield plane.registry_url


@pytest.fixture
def gallery(stage: operator_stage.Stage, registry_url: str) -> Iterator[ImageScene]:
    """Workloads, and a registry with a repository of this test alone."""
    store = images.Store(registry_url)
    found = ImageScene(stage, store)
    found.add_nodes(4)
    yield from _played(found)
    store.close()


@pytest.fixture(scope="module")
def flux(stage: operator_stage.Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flux]:
    """Flux, over what Kustomizations there are."""
    stage.plane.add_namespace(NAMESPACE)
    with Flux(stage.plane, tmp_path_factory.mktemp("flux"), progress.Lines(sys.stderr)) as found:
        yield found
    stage.api.delete(f"/api/v1/namespaces/{NAMESPACE}")
    stage.api.wait(f"/api/v1/namespaces/{NAMESPACE}", lambda space: not space)


S = TypeVar("S", bound=Scene)


def _played(found: S) -> Iterator[S]:
    try:
        yield found
    finally:
        found.clear()
        found.strike()
        print(found.story())  # noqa: T201 - pytest shows it with a test that fails
    assert found.faults() == []
