"""How sandboxes begin and end: each test has one of its own, because it ends it badly."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from patchwright.cli.sandbox import sandbox as command
from patchwright.sandbox import controlplane, errors, named, paths, processes, state

pytestmark = pytest.mark.controlplane


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory of this test's own; whatever runs there is ended."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    yield tmp_path
    for each in (tmp_path / "patchwright" / "sandbox").glob("*/state.json"):
        now = state.load(each.parent)
        assert now is None or controlplane.end(now) == []


def call(*words: str) -> Result:
    return CliRunner().invoke(command, list(words))


def cmdlines(directory: Path) -> list[str]:
    """The command lines of all processes that name a directory."""
    lines = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [line for line in lines if str(directory) in line]


def await_gone(directory: Path) -> None:
    deadline = time.monotonic() + 30
    while cmdlines(directory):
        assert time.monotonic() < deadline, cmdlines(directory)
        time.sleep(0.1)


def test_up_is_idempotent_and_down_leaves_no_process(homes: Path) -> None:
    first = call("up", "--name", "one", "--nodes", "4", "--zones", "2", "--workloads", "1")
    assert first.exit_code == 0, first.output
    assert "Sandbox one is up" in first.output
    directory = paths.sandbox_directory("one")
    again = call("up", "--name", "one")
    assert again.exit_code == 0
    assert "already runs, nothing was changed" in again.output
    plane = controlplane.ControlPlane.attach(directory)
    zones = [node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in plane.api.items("/api/v1/nodes")]
    assert zones == ["zone-a", "zone-b", "zone-a", "zone-b"]
    plane.api.close()
    assert call("status", "--name", "one").exit_code == 0
    assert cmdlines(directory)
    down = call("down", "--name", "one")
    assert (down.exit_code, "is down" in down.output) == (0, True)
    assert cmdlines(directory) == []
    assert not directory.exists()
    assert call("status", "--name", "one").exit_code == 3
    assert "nothing to do" in call("down", "--name", "one").output


def test_a_dead_component_is_told_and_not_passed_over(homes: Path) -> None:
    assert call("up", "--name", "hurt").exit_code == 0
    now = named.status("hurt")
    assert now is not None
    victim = now.components["kwok"].process
    assert victim is not None
    os.kill(victim.pid, signal.SIGKILL)
    assert processes.wait_gone([victim], 5)
    told = call("status", "--name", "hurt")
    assert told.exit_code == 1
    assert "kwok is down" in told.output
    refused = call("up", "--name", "hurt")
    assert refused.exit_code == 1
    assert "kwok is down" in refused.output
    assert call("down", "--name", "hurt").exit_code == 0


def test_what_a_killed_supervisor_left_is_cleared_by_the_next_up(homes: Path) -> None:
    assert call("up", "--name", "lost").exit_code == 0
    now = named.status("lost")
    assert now is not None
    os.kill(now.supervisor.pid, signal.SIGKILL)
    assert processes.wait_gone(now.processes, 10), "the kernel ends the components with their supervisor"
    assert "its supervisor is gone" in call("status", "--name", "lost").output
    assert call("kubeconfig", "--name", "lost").exit_code == 3
    assert "is up" in call("up", "--name", "lost").output
    assert call("down", "--name", "lost").exit_code == 0


def test_a_sandbox_ends_with_a_parent_that_is_killed() -> None:
    script = (
        "from patchwright.sandbox.controlplane import ControlPlane\n"
        "plane = ControlPlane()\nplane.start()\nprint(plane.directory, flush=True)\ninput()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        directory = Path(parent.stdout.readline().strip())
        assert len(cmdlines(directory)) >= 6
        parent.kill()
    await_gone(directory)
    assert not directory.exists()


def test_a_component_that_cannot_start_is_reported_with_its_last_words(tmp_path: Path) -> None:
    plane = controlplane.ControlPlane(tmp_path / "broken", api_server_flags=["--no-such-flag"])
    with pytest.raises(errors.SandboxError, match=r"(?s)kube-apiserver ended by itself.*unknown flag: --no-such-flag"):
        plane.start()
    await_gone(plane.directory)
    assert plane.status is not None
    assert plane.status.phase is state.Phase.FAILED


def test_components_stop_start_and_restart_on_the_same_port() -> None:
    with controlplane.ControlPlane() as plane:
        opa = plane.opa_url
        plane.stop_component("opa")
        assert plane.status is not None
        assert plane.status.components["opa"].condition is state.Condition.STOPPED
        assert not _answers(opa)
        plane.start_component("opa")
        assert plane.opa_url == opa
        assert _answers(opa)
        plane.kill_component("kube-apiserver")
        assert plane.status.components["kube-apiserver"].condition is state.Condition.EXITED
        plane.restart("kube-apiserver")
        assert plane.api.get("/version")["gitVersion"] == "v1.37.2"
        with pytest.raises(errors.SandboxError, match="There is no component 'opal'; there are etcd"):
            plane.restart("opal")


def test_opa_polls_the_bundle_that_it_is_told() -> None:
    with socket.socket() as listener, controlplane.ControlPlane() as plane:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(20)
        plane.use_bundle(f"http://127.0.0.1:{listener.getsockname()[1]}/bundles/policy.tar.gz")
        connection, _ = listener.accept()
        with connection:
            request = connection.recv(4096).decode()
    assert request.startswith("GET /bundles/policy.tar.gz HTTP/1.1")
    assert "prefer: modes=snapshot,delta;wait=" in request.lower()


def test_the_audit_log_tells_who_asked_for_what() -> None:
    with controlplane.ControlPlane() as plane:
        login = plane.kubeconfig_for("patchwright-operator", ["patchwright"])
        done = subprocess.run(
            [plane.binary("kubectl"), "--kubeconfig", login, "get", "nodes"],
            capture_output=True,
            text=True,
            check=False,
        )
        seen = [each for each in plane.audit() if each["user"]["username"] == "patchwright-operator"]  # type: ignore[index] # JSON
    assert 'User "patchwright-operator" cannot list resource "nodes"' in done.stderr
    [refused] = [each for each in seen if "nodes" in json.dumps(each["requestURI"])]
    assert str(refused["userAgent"]).startswith("kubectl/v1.37.2")
    assert refused["level"] == "Metadata"


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
