"""The process beside the sandbox: it serves Git, runs the operator and what stands in for Flux, and ends all of it.

Run as ``python -m patchwright.demo.attendant DIRECTORY``. It is a process of its own so that ``--keep`` can leave it
running, and it looks at the sandbox's supervisor so that nothing runs on after it: that one ends with
``patchwright sandbox down``, and with the demo, however the demo ends (kill -9 included).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import aiohttp

from patchwright.sandbox import ports, processes
from patchwright.sandbox.gitserver import GitServer

REPOSITORY: Final = "fleet-patching.git"
# What the syncer applies: its folder, and the Kustomization that Flux would have for it.
APPLICATION: Final = "checkout.git"
FOLDER: Final = "deploy"
OWNER: Final = "flux-system/checkout"
_STEP = 0.25
_READY_TIMEOUT = 60.0
_STOP_TIMEOUT = 10.0
_ATTEMPTS = 3
_ADDRESS_TAKEN = "address already in use"


@dataclass(frozen=True, slots=True)
class Orders:
    """What the attendant is told, as JSON in ``orders.json`` of its directory."""

    kubeconfig: str
    syncer_kubeconfig: str
    opa: str
    opa_url: str
    supervisor_pid: int
    supervisor_started: str
    hook: str

    @property
    def supervisor(self) -> processes.Process:
        """The process without which there is nothing to attend to."""
        return processes.Process(self.supervisor_pid, self.supervisor_started)

    def save(self, directory: Path) -> None:
        """Write them down."""
        (directory / "orders.json").write_text(json.dumps(asdict(self)), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Ready:
    """What it answers, as one line of JSON, once everything runs; ``trouble`` is why it does not."""

    git_url: str = ""
    application_url: str = ""
    bundle_url: str = ""
    operator_url: str = ""
    operator_pid: int = 0
    trouble: str = ""


class Attendant:
    """Everything that runs beside the sandbox."""

    def __init__(self, directory: Path, orders: Orders) -> None:
        self._directory = directory
        self._orders = orders
        self._ended = asyncio.Event()
        self._operator: asyncio.subprocess.Process | None = None
        self._syncer: asyncio.subprocess.Process | None = None
        self._log = directory / "operator.log"
        self._ports = [0, 0]
        self._hook = ""

    async def run(self) -> int:
        """Start, answer, attend, end."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._ended.set)
        try:
            async with GitServer(self._directory / "git", on_push=self._pushed) as git:
                self._syncer = await self._spawn_syncer()
                ready = await self._start_operator()
                ready = replace(ready, git_url=git.url(REPOSITORY), application_url=git.url(APPLICATION))
                # Nobody may be listening any more.
                with contextlib.suppress(BrokenPipeError):
                    print(json.dumps(asdict(ready)), flush=True)  # noqa: T201 - this is how it answers
                if not ready.trouble:
                    await self._attend()
        finally:
            await _stop(self._operator)
            await _stop(self._syncer)
            shutil.rmtree(self._directory, ignore_errors=True)
        return 0

    async def _start_operator(self) -> Ready:
        log = self._log
        for _ in range(_ATTEMPTS):
            self._ports = bundle, http = ports.free(2)
            url = f"http://{ports.LOOPBACK}:{http}"
            self._operator = await self._spawn(bundle, http)
            if await self._answers(f"{url}/readyz"):
                self._hook = f"{url}{self._orders.hook}"
                bundle_url = f"http://{ports.LOOPBACK}:{bundle}/bundles/patchwright.tar.gz"
                return Ready(bundle_url=bundle_url, operator_url=url, operator_pid=self._operator.pid)
            await _stop(self._operator)
            if _ADDRESS_TAKEN not in log.read_text(errors="replace"):
                break
            log.unlink()
        words = log.read_text(errors="replace")[-2000:]
        return Ready(trouble=f"The operator did not start; the end of its log:\n{words}")

    async def _spawn(self, bundle_port: int, http_port: int) -> asyncio.subprocess.Process:
        orders = self._orders
        with self._log.open("ab") as out:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "patchwright", "operator", "--verbose",
                "--kubeconfig", orders.kubeconfig,
                "--opa-url", orders.opa_url,
                "--opa-binary", orders.opa,
                "--bundle-port", str(bundle_port),
                "--http-host", ports.LOOPBACK,
                "--http-port", str(http_port),
                "--git-cache", str(self._directory / "operator-git"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=_without_ours(),
                # This process has one thread, so the kernel ends the operator with it (see sandbox.processes).
                preexec_fn=processes.die_with_parent,
            )  # fmt: skip

    async def _spawn_syncer(self) -> asyncio.subprocess.Process:
        with (self._directory / "syncer.log").open("ab") as out:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "patchwright.sandbox.syncer",
                self._orders.syncer_kubeconfig, str(self._directory / "git" / APPLICATION), FOLDER, OWNER,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=_without_ours(),
                preexec_fn=processes.die_with_parent,
            )  # fmt: skip

    async def _answers(self, url: str) -> bool:
        assert self._operator is not None
        async with aiohttp.ClientSession(trust_env=False) as session:
            for _ in range(int(_READY_TIMEOUT / _STEP)):
                if self._operator.returncode is not None or self._gone():
                    return False
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(url, timeout=aiohttp.ClientTimeout(total=2)) as answer:
                        if answer.status == 200:
                            return True
                await asyncio.sleep(_STEP)
        return False

    async def _attend(self) -> None:
        """Wait for the end; an operator that ends is started again, as the kubelet would."""
        while not self._gone():
            if self._operator is not None and self._operator.returncode is not None:
                self._operator = await self._spawn(*self._ports)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), _STEP)

    def _gone(self) -> bool:
        return self._ended.is_set() or not self._orders.supervisor.alive()

    async def _pushed(self, repository: str) -> None:
        """Call the operator's webhook, as a forge would; a lost one costs no more than the interval."""
        if repository != REPOSITORY:
            return
        async with aiohttp.ClientSession(trust_env=False) as session:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.post(self._hook, timeout=aiohttp.ClientTimeout(total=2)):
                    pass


async def _stop(child: asyncio.subprocess.Process | None) -> None:
    if child is None or child.returncode is not None:
        return
    child.terminate()
    try:
        await asyncio.wait_for(child.wait(), _STOP_TIMEOUT)
    except TimeoutError:
        child.kill()
        await child.wait()


def _without_ours() -> dict[str, str]:
    """Settings of a real cluster that may be in the user's environment must not reach the demo's operator."""
    named = {"KUBECONFIG", "POD_NAMESPACE", "POD_NAME", "NODE_NAME"}
    return {key: value for key, value in os.environ.items() if key not in named and not key.startswith("PATCHWRIGHT_")}


def main(directory: str) -> int:
    """Attend to the sandbox that the orders in ``directory`` name."""
    home = Path(directory)
    orders = Orders(**json.loads((home / "orders.json").read_text(encoding="utf-8")))
    return asyncio.run(Attendant(home, orders).run())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
