"""Processes, ports, names and the state file: what keeps ``down`` from ending anything but its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from patchwright.sandbox import controlplane, errors, named, paths, pki, ports, processes, state


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as child:
        yield child
        child.kill()


def identity(pid: int) -> processes.Process:
    found = processes.identify(pid)
    assert found is not None
    return found


def test_a_recycled_process_id_is_somebody_else(sleeper: subprocess.Popen[bytes]) -> None:
    recycled = processes.Process(sleeper.pid, "12345@another-boot")
    assert not recycled.alive()
    assert recycled.send(signal.SIGKILL) is False
    assert processes.end(recycled, timeout=0.1)
    assert sleeper.poll() is None, "the process that has the id now must live"


def test_a_process_is_known_by_its_start(sleeper: subprocess.Popen[bytes]) -> None:
    assert identity(sleeper.pid).alive()
    assert identity(sleeper.pid) == identity(sleeper.pid)
    assert identity(os.getpid()).started != identity(sleeper.pid).started


def test_a_zombie_does_not_count_as_running(sleeper: subprocess.Popen[bytes]) -> None:
    before = identity(sleeper.pid)
    sleeper.kill()
    assert processes.wait_gone([before], 5)
    assert processes.identify(sleeper.pid) is None


def test_a_process_that_will_not_end_is_killed() -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert processes.end(identity(child.pid), timeout=0.2)


def test_down_ends_no_process_that_it_did_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sleeper: subprocess.Popen[bytes]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    directory = paths.sandbox_directory("old")
    directory.mkdir(parents=True)
    recycled = processes.Process(sleeper.pid, "1@before-the-reboot")
    component = state.ComponentState("etcd", state.Condition.RUNNING, 1, directory / "etcd.log", recycled)
    state.State("old", state.Phase.READY, recycled, directory / "socket", components={"etcd": component}).save(
        directory
    )
    assert named.down("old") is True
    assert sleeper.poll() is None
    assert not directory.exists()
    assert named.down("old") is False


def test_the_state_survives_its_file(tmp_path: Path) -> None:
    me = identity(os.getpid())
    component = state.ComponentState("opa", state.Condition.EXITED, 4, tmp_path / "opa.log", me, exit_code=-9)
    before = state.State(
        "x", state.Phase.FAILED, me, tmp_path / "s", api_url="https://a", message="no", components={"opa": component}
    )
    before.save(tmp_path)
    assert state.load(tmp_path) == before
    assert state.load(tmp_path / "nowhere") is None
    assert before.processes == [me, me]


def test_free_ports_differ_and_can_be_bound() -> None:
    numbers = ports.free(20)
    assert len(set(numbers)) == 20
    assert all(1024 < number < 65536 for number in numbers)


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", "-a", "a-", "x" * 33, "a b"])
def test_a_name_that_is_no_label_never_becomes_a_path(name: str) -> None:
    with pytest.raises(errors.SandboxError, match="is not a DNS label"):
        paths.sandbox_directory(name)


def test_relative_xdg_paths_are_ignored() -> None:
    assert paths.cache_root({"XDG_CACHE_HOME": "here"}) == Path.home() / ".cache" / "patchwright" / "sandbox"
    assert paths.state_root({"XDG_STATE_HOME": "/x"}) == Path("/x/patchwright/sandbox")


def test_attaching_to_nothing_says_how_to_start(tmp_path: Path) -> None:
    with pytest.raises(errors.SandboxError, match=r"No sandbox runs in .*; start one with `patchwright sandbox up`"):
        controlplane.ControlPlane.attach(tmp_path)


def test_keys_are_private_and_made_once(tmp_path: Path) -> None:
    authority = pki.Authority(tmp_path / "pki")
    authority.create()
    before = authority.certificate.read_bytes()
    authority.create()
    assert authority.certificate.read_bytes() == before
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "pki").iterdir()}
    assert set(modes.values()) == {0o600}, modes
    login = authority.kubeconfig(tmp_path / "kubeconfig", url="https://127.0.0.1:1", user="me", groups=["us"])
    assert login.stat().st_mode & 0o777 == 0o600


def test_the_wait_for_a_process_has_an_end(sleeper: subprocess.Popen[bytes]) -> None:
    began = time.monotonic()
    assert not processes.wait_gone([identity(sleeper.pid)], 0.2)
    assert 0.2 <= time.monotonic() - began < 5


# An operator that was started again found its port taken by somebody's connection.
def test_free_ports_are_none_that_outgoing_connections_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    found = ports.free(20)
    assert len(set(found)) == 20
    assert all(port < 32768 for port in found)
    with socket.socket() as taken:
        taken.bind((ports.LOOPBACK, found[0]))
        monkeypatch.setattr(ports, "_RANGE", range(found[0], found[0] + 1))
        with pytest.raises(OSError, match="end what listens there"):
            ports.free()
    assert ports.free() == found[:1]
