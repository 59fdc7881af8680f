"""Processes by identity: a process id alone may have been given to somebody else since."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class Process:
    """A process that can be told from a later one with the same id: ``started`` is opaque, compared only."""

    pid: int
    started: str

    def alive(self) -> bool:
        """Say whether this very process still runs (a zombie does not)."""
        return _started(self.pid) == self.started

    def send(self, number: signal.Signals) -> bool:
        """Send a signal to this very process; False when it is gone."""
        if not self.alive():
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True


def identify(pid: int) -> Process | None:
    """Give the identity of the running process ``pid``, or None."""
    started = _started(pid)
    return Process(pid, started) if started else None


def end(process: Process, *, timeout: float) -> bool:
    """Ask a process to end, and kill it after ``timeout`` seconds; True when it is gone."""
    process.send(signal.SIGTERM)
    if wait_gone([process], timeout):
        return True
    process.send(signal.SIGKILL)
    return wait_gone([process], timeout=5)


def end_child(child: subprocess.Popen[bytes], *, timeout: float = 10.0) -> None:
    """End a child of this process: SIGTERM, then SIGKILL after ``timeout`` seconds; it is reaped in any case."""
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout)
    child.kill()
    child.wait()


def wait_gone(them: Iterable[Process], timeout: float) -> bool:
    """Wait up to ``timeout`` seconds until none of the processes runs any more."""
    deadline = time.monotonic() + timeout
    waiting = [process for process in them if process.alive()]
    while waiting and time.monotonic() < deadline:
        time.sleep(0.02)
        waiting = [process for process in waiting if process.alive()]
    return not waiting


def die_with_parent() -> None:
    """Run in a child between fork and exec: the kernel kills it when its parent's thread ends.

    prctl(2), PR_SET_PDEATHSIG. It is the thread that counts, so the parent must fork from its only thread: the
    supervisor has just one. Elsewhere than on Linux the supervisor's own shutdown has to do.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _started(pid: int) -> str:
    return _started_proc(pid) if sys.platform == "linux" else _started_ps(pid)


def _started_proc(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The command name may hold spaces and brackets; what follows its last bracket is plain (proc_pid_stat(5)).
    fields = stat.rpartition(")")[2].split()
    if fields[0] in {"Z", "X"}:
        return ""
    return f"{fields[19]}@{_boot_id()}"


def _boot_id() -> str:
    # The start time counts from boot, so the same pair could come back after one.
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _started_ps(pid: int) -> str:
    done = subprocess.run(  # noqa: S603 - fixed words and a number
        ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, started = done.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else started.strip()
