"""The operator as a process of its own, and what it costs by the kernel's account."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from patchwright.sandbox import ports

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used: CPU seconds so far, and memory in bytes now and at most."""

    at: float
    cpu: float
    rss: int
    peak: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where an operator finds things, and where it leaves them."""

    directory: Path
    kubeconfig: Path
    opa_url: str
    opa_binary: Path
    bundle_port: int


class OperatorProcess:
    """One replica of the operator; a context manager that begins when it is ready.

    With ``profile`` it runs under cProfile and leaves its findings there: its times are worth nothing then.
    """

    def __init__(self, place: Place, *, profile: Path | None = None) -> None:
        self._place = place
        self._profile = profile
        self._child: subprocess.Popen[bytes] | None = None
        self.port = ports.free()[0]

    def __enter__(self) -> Self:
        profiler = ["-m", "cProfile", "-o", str(self._profile)] if self._profile else []
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                [sys.executable, *profiler, "-m", "patchwright", "operator", *self._options()], stdout=log, stderr=log
            )
        self._until_ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        child = self._running()
        child.terminate()
        try:
            child.wait(timeout=60)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if value is not None:
            value.add_note(f"the operator's log ends with:\n{self._last_words()}")

    @property
    def log(self) -> Path:
        """Where it writes its log."""
        return self._place.directory / "operator.log"

    @property
    def url(self) -> str:
        """Where it serves its probes and its webhook."""
        return f"http://127.0.0.1:{self.port}"

    def usage(self) -> Usage:
        """Read what it has used so far; proc_pid_stat(5), proc_pid_status(5)."""
        process = Path(f"/proc/{self._running().pid}")
        fields = (process / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        status = dict(line.split(":", 1) for line in (process / "status").read_text(encoding="utf-8").splitlines())
        peak = int(status["VmHWM"].split()[0]) * 1024
        return Usage(time.monotonic(), (int(fields[11]) + int(fields[12])) / _TICK, int(fields[21]) * _PAGE, peak)

    def _options(self) -> list[str]:
        place = self._place
        return [
            f"--kubeconfig={place.kubeconfig}",
            f"--opa-url={place.opa_url}",
            f"--opa-binary={place.opa_binary}",
            f"--bundle-port={place.bundle_port}",
            "--http-host=127.0.0.1",
            f"--http-port={self.port}",
            f"--git-cache={place.directory / 'git'}",
        ]

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._child is not None
        return self._child

    def _until_ready(self) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self._running().poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise RuntimeError(f"the operator is not ready; its log ends with:\n{self._last_words()}")

    def _last_words(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-4000:]
