"""``patchwright operator`` as a process of its own, which a test may kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import patchwright

_RUN: Final = "from patchwright.cli.main import main; main()"
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(slots=True)
class OperatorProcess:
    """One replica; ``options`` are those of the command, without their dashes."""

    directory: Path
    kubeconfig: Path
    http_port: int
    options: dict[str, str]
    flags: tuple[str, ...] = ()
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def log(self) -> str:
        """What it has said so far, in all its lives."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def _log(self) -> Path:
        return self.directory / f"operator-{self.http_port}.log"

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it; harmless when it runs."""
        if self.alive:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        options = {"http-host": "127.0.0.1", "http-port": str(self.http_port), **self.options}
        words = [f"--{name}={value}" for name, value in options.items()]
        # Nothing of the user's environment: a proxy would catch what is meant for loopback. But the code must be that
        # which the tests import: an installed package may be another checkout's.
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.directory), "KUBECONFIG": str(self.kubeconfig)}
        environment["PYTHONPATH"] = str(Path(patchwright.__file__).parents[1])
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _RUN, "operator", *words, *self.flags], stdout=log, stderr=log, env=environment
            )

    def kill(self) -> None:
        """End it with SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self, *, timeout: float = 30.0) -> int:
        """End it in an orderly way; give its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout)

    def freeze(self) -> None:
        """Hold it where it is, as a machine that stalls does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def wait(self, *, timeout: float = 30.0) -> int:
        """Wait for its end; give its exit code."""
        assert self._process is not None
        return self._process.wait(timeout)

    def get(self, path: str) -> tuple[int, str]:
        """Get from its own server; status 0 when it does not answer."""
        return self.request("GET", path)

    def request(self, method: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
        """Ask its own server; status 0 when it does not answer."""
        url = f"http://127.0.0.1:{self.http_port}{path}"
        asked = urllib.request.Request(url, method=method, headers=headers or {})
        try:
            with _OPENER.open(asked, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read().decode()
        except OSError:
            return 0, ""

    def await_ready(self, *, timeout: float = 90.0, again: bool = False) -> None:
        """Wait until ``/readyz`` says yes; with ``again`` it is started anew whenever it ends before that."""
        deadline = time.monotonic() + timeout
        while self.get("/readyz")[0] != 200:
            if again:
                self.start()
            assert self.alive, f"the operator ended: {self.log[-2000:]}"
            assert time.monotonic() < deadline, f"the operator is not ready: {self.get('/readyz')}; {self.log[-2000:]}"
            time.sleep(0.05)
