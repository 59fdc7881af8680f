"""The demo as a user runs it: a process of its own, all six stories, and nothing left running however it ends."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from patchwright.sandbox import controlplane, state

pytestmark = pytest.mark.controlplane

MERGED = "pull request #1 is merged"


class Demo:
    """A running demo; ``home`` is a folder of its own, which every process of it names in its command line."""

    def __init__(self, home: Path, *words: str) -> None:
        self.home = home
        self.output = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "patchwright", "demo", *words],
            env={**os.environ, "TMPDIR": str(home), "XDG_STATE_HOME": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line

    def said(self, words: str, *, within: float = 120.0) -> None:
        deadline = time.monotonic() + within
        while words not in self.output:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.1)

    def ended(self, *, within: float = 60.0) -> int:
        code = self.process.wait(within)
        self._reader.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def processes(self) -> list[str]:
        """Give the command lines of all processes that name the demo's folder."""
        lines = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                lines.append(entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        return [line for line in lines if str(self.home) in line]

    def gone(self, *, within: float = 30.0) -> bool:
        deadline = time.monotonic() + within
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.1)
        return not self.processes()


@pytest.fixture
def home() -> Iterator[Path]:
    """A short path: a Unix socket below it may have 108 characters. What a failed test left running is ended."""
    path = Path(tempfile.mkdtemp(prefix="pw-demo-test-"))
    yield path
    for each in (path / "patchwright" / "sandbox").glob("*/state.json"):
        now = state.load(each.parent)
        assert now is None or controlplane.end(now) == []
    shutil.rmtree(path, ignore_errors=True)


def shell(script: str, cwd: Path) -> str:
    done = subprocess.run(["bash", "-ec", script], cwd=cwd, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_all_six_stories_end_as_they_should_and_what_is_kept_can_be_looked_at_and_stopped(home: Path) -> None:
    demo = Demo(home, "--keep")
    assert demo.ended(within=500) == 0, demo.output
    rows = [line.split("│") for line in demo.output.splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in (row[3], row[6])] for row in rows[1:]] == [
        ["Succeeded, 60/60 nodes", "yes"],
        ["RolledBack, then Denied", "yes"],
        ["Denied", "yes"],
        ["Succeeded, 10/10 workloads", "yes"],
        ["RolledBack, not tried again", "yes"],
        ["RolledBack, in Git too", "yes"],
    ]
    good, bad, refused, everywhere, once, in_git = (int(row[4].split()[0]) for row in rows[1:])
    # On a slow machine the first canary is seen to fail before the third has begun.
    assert good == 60
    assert 1 <= bad <= 3
    assert refused == 0
    assert (everywhere, once, in_git) == (10, 1, 1)
    assert "NOT OK" not in demo.output
    assert "\x1b" not in demo.output, "a log gets no terminal codes"
    phases = dict.fromkeys(re.findall(r"^ *[\d.]+s  (\w+) ", demo.output, re.MULTILINE))
    assert {"Canary", "Soaking", "Progressing", "Succeeded", "RollingBack", "RolledBack", "Denied"} <= set(phases)
    (name,) = set(re.findall(r"demo-[0-9a-f]{6}\b", demo.output))
    look_around(demo, name)
    patchwright = f"{sys.executable} -m patchwright"
    shell(f"XDG_STATE_HOME={home} {patchwright} sandbox down --name {name}", home)
    assert demo.gone(), demo.processes()
    assert [path for path in home.iterdir() if path.name.startswith("patchwright-demo-")] == []


def look_around(demo: Demo, name: str) -> None:
    """Do what the demo says that one can do."""
    (url,) = re.findall(r"git clone (http://127\.0\.0\.1:\d+/fleet-patching\.git)", demo.output)
    env = f'eval "$(XDG_STATE_HOME={demo.home} {sys.executable} -m patchwright sandbox env --name {name})"'
    listed = shell(f"{env}; kubectl get patchrollouts -A", demo.home)
    assert re.search(r"openssl-3\.0\.17-1-deb12u3 +Succeeded +60/60", listed)
    failed = "{.status.failedChanges[0].version}"
    policy = f"kubectl get patchpolicy -n patchwright-system security-updates -o jsonpath='{failed}'"
    assert shell(f"{env}; {policy}", demo.home) == "1.9.0"
    see_both_commits(demo)
    push_a_release(demo, env)
    clone = shell(f"git clone --quiet {url} look && cd look && git log --format=%s", demo.home).splitlines()
    assert clone[-2:] == ["For the demo: seconds instead of hours", "How we patch"]
    assert sum(subject.startswith("Merge pull request #") for subject in clone) == 4


def see_both_commits(demo: Demo) -> None:
    """Clone what belongs to the application: there and back is what was shown, and every byte is what it was."""
    (url,) = re.findall(r"(http://127\.0\.0\.1:\d+/checkout\.git) holds", demo.output)
    assert "stand-in for Flux's kustomize-controller; it is not Flux itself" in demo.output
    first, *more = shell(
        f"git clone --quiet {url} app && cd app && git log --reverse --format='%h %s'", demo.home
    ).splitlines()
    assert [re.sub(r"[\d.]+:\d+/", "", line.partition(" ")[2]) for line in (first, *more)] == [
        "What we run",
        "Set checkout/app to 2.4.1",
        "Put back checkout/app to 2.4.0",
    ]
    assert all(f'{line[:7]} "{line.partition(" ")[2]}", by Patchwright' in demo.output for line in more)
    assert shell("cd app && git diff HEAD~2", demo.home) == ""
    assert shell("cd app && git show --format= --numstat HEAD~1", demo.home).split()[:2] == ["1", "1"]


def push_a_release(demo: Demo, env: str) -> None:
    """Push what comes after the release that crashed; the storefront gets it."""
    (push,) = re.findall(r"^ +(\S+ -c .*storefront/web:1\.0\.3.*)$", demo.output, re.MULTILINE)
    shell(push, demo.home)
    images = "kubectl get deployments -n storefront -o jsonpath='{.items[*].spec.template.spec.containers[0].image}'"
    deadline = time.monotonic() + 120
    while set(re.findall(r":(1\.0\.\d+)@", now := shell(f"{env}; {images}", demo.home))) != {"1.0.3"}:
        assert time.monotonic() < deadline, now
        time.sleep(0.5)


def test_a_story_that_ends_otherwise_is_told_and_makes_the_demo_fail(home: Path) -> None:
    effects = home / "effects.yaml"
    effects.write_text(
        "rules:\n"
        "  - {word: 'patchwright\\.dev/step=rollback', add: [--heal]}\n"
        "  - {word: 'PATCHWRIGHT_VERSION=3\\.0\\.17.*', add: [--break-workloads]}\n"
    )
    demo = Demo(home, "--nodes", "12", "--effects", str(effects))
    assert demo.ended(within=200) == 1, demo.output
    assert "openssl-3.0.17-1-deb12u3 is RolledBack instead of Succeeded" in demo.output
    assert "12 of 12 nodes do not have the new version" in demo.output
    assert "5 of 6 stories were not played after that" in demo.output
    (log,) = re.findall(r"the operator's log is kept in (\S+)", demo.output)
    assert "leads (lease patchwright-system/patchwright-operator)" in Path(log).read_text()
    assert demo.gone(within=5), demo.processes()


def test_two_demos_run_at_once_and_leave_nothing_when_one_is_stopped_and_the_other_killed(
    home: Path,
) -> None:
    for name in ("1", "2"):
        (home / name).mkdir()
    stopped, killed = Demo(home / "1", "--nodes", "12"), Demo(home / "2", "--nodes", "12")
    try:
        for demo in (stopped, killed):
            demo.said(MERGED)
            assert len(demo.processes()) >= 10, (
                "etcd, four of Kubernetes, OPA, kwok's hands, Git, Flux's and the operator"
            )
        stopped.process.send_signal(signal.SIGTERM)
        killed.process.kill()
        assert stopped.ended() == 128 + signal.SIGTERM
        assert "Stopped, as you asked; nothing is left running." in stopped.output
        assert stopped.gone(within=1), stopped.processes()
        assert killed.ended() == -signal.SIGKILL
        assert killed.gone(), killed.processes()
        for demo in (stopped, killed):
            # The Kubernetes client keeps certificates in files of its own until its process ends in order.
            assert [path for path in demo.home.iterdir() if path.is_dir()] == [], "nor what they kept"
    finally:
        for demo in (stopped, killed):
            demo.process.kill()
