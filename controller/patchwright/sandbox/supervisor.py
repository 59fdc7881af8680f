"""The one process that starts, watches and ends the components: ``python -m patchwright.sandbox.supervisor DIRECTORY``.

It has one thread. That is what makes ``die_with_parent`` true (the kernel watches the thread that forked) and what
makes code between fork and exec safe. When it ends, for whatever reason, its components end. It ends with whoever
started it: the parent holds the other end of its standard input, and the kernel closes that even after kill -9. A
parent that means its sandbox to outlive it writes ``release`` first.

Orders come over a unix socket, one JSON line each: ``{"do": "restart", "component": "opa"}``.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from patchwright.sandbox import components, errors, ports, processes, settings, state

READY_TIMEOUT = 60.0
STOP_TIMEOUT = 10.0
RELEASE = b"release\n"
_STEP = 0.02
# The API server waits for its watchers to leave, who do not; kill -9 of it loses nothing, it keeps nothing.
_STOP_TIMEOUTS = {"kube-apiserver": 2.0}
_TAIL_BYTES = 1500
_BIND_ATTEMPTS = 5
_ADDRESS_TAKEN = b"address already in use"
# The API server goes before etcd, or it waits for it while it shuts down.
_STOP_ORDER = tuple(reversed(components.NAMES))


class Supervisor:
    """The components of one sandbox, and what became of them."""

    def __init__(self, wanted: settings.Settings, socket: Path) -> None:
        me = processes.identify(os.getpid())
        assert me is not None
        self._settings = wanted
        self._ports = dict(zip(components.NAMES, ports.free(len(components.NAMES)), strict=True))
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._busy = asyncio.Lock()
        self._ended = asyncio.Event()
        self._state = state.State(wanted.name, state.Phase.STARTING, me, socket)

    async def run(self) -> int:
        """Boot, serve orders until told to end, shut down; give the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._ended.set)
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        loop.add_reader(sys.stdin.fileno(), self._parent_spoke)
        server = await asyncio.start_unix_server(self._serve, self._state.socket)
        try:
            return await self._live()
        finally:
            server.close()
            await self._shut_down()

    async def _live(self) -> int:
        boot, ended = asyncio.ensure_future(self._boot()), asyncio.ensure_future(self._ended.wait())
        await asyncio.wait({boot, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not boot.done():
            boot.cancel()
            return 1
        if (fault := boot.exception()) is not None:
            ended.cancel()
            message = str(fault) if isinstance(fault, errors.SandboxError) else repr(fault)
            self._publish(replace(self._state, phase=state.Phase.FAILED, message=message))
            return 1
        self._publish(replace(self._state, phase=state.Phase.READY))
        await ended
        return 0

    async def _boot(self) -> None:
        self._prepare()
        for stage in components.stages(self._settings):
            await asyncio.gather(*(self._start_fresh(name) for name in stage))

    def _prepare(self) -> None:
        plan = self._plan()
        components.prepare(plan)
        self._publish(replace(self._state, api_url=plan.api_url, opa_url=plan.opa_url, registry_url=plan.registry_url))

    async def _start_fresh(self, name: str) -> None:
        """Start a component for the first time: when its port was taken meanwhile, try another."""
        for _ in range(_BIND_ATTEMPTS - 1):
            try:
                await self._start(name)
            except errors.ComponentError:
                if not self._port_was_taken(name):
                    raise
            else:
                return
            self._log(name).unlink()
            [self._ports[name]] = ports.free()
            # The new address of the API server goes into every kubeconfig.
            self._prepare()
        await self._start(name)

    async def _start(self, name: str) -> None:
        child = self._children.get(name)
        if child is not None and child.poll() is None:
            return
        component = components.component(self._plan(), name)
        self._children[name] = self._spawn(component)
        self._note(name, state.Condition.RUNNING)
        if component.ready_url:
            await self._until_ready(component)

    def _spawn(self, component: components.Component) -> subprocess.Popen[bytes]:
        with self._log(component.name).open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own binaries
                component.command,
                cwd=self._settings.directory,
                env=dict(component.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=processes.die_with_parent,  # noqa: PLW1509 - one thread: see the module's docstring
            )

    async def _until_ready(self, component: components.Component) -> None:
        child, name = self._children[component.name], component.name
        began = time.monotonic()

        def ended_or_ready() -> bool:
            # Impatient at first, because etcd accepts connections before it can answer and the loop stands still
            # meanwhile; patient later, because a busy machine answers late.
            patience = min(2.0, 0.3 + (time.monotonic() - began) / 4)
            return child.poll() is not None or answers(component.ready_url, patience)

        if await _comes_true(ended_or_ready, READY_TIMEOUT):
            if child.returncode is None:
                return
            raise errors.ComponentError(
                f"{name} ended by itself with exit code {child.returncode}; {self._last_words(name)}"
            )
        raise errors.ComponentError(f"{name} is not ready after {READY_TIMEOUT:.0f} s; {self._last_words(name)}")

    async def _stop(self, name: str) -> None:
        child = self._children.get(name)
        if child is None:
            return
        if child.poll() is None:
            child.terminate()
            await _comes_true(lambda: child.poll() is not None, _STOP_TIMEOUTS.get(name, STOP_TIMEOUT))
            child.kill()
            child.wait()
        self._note(name, state.Condition.STOPPED)

    def _kill(self, name: str) -> None:
        if name in self._children:
            self._children[name].kill()
            self._children[name].wait()
            self._note(name, state.Condition.EXITED)

    async def _shut_down(self) -> None:
        for name in _STOP_ORDER:
            await self._stop(name)
        if self._state.phase is state.Phase.FAILED:
            # Its logs are what somebody has to read now.
            return
        self._publish(replace(self._state, phase=state.Phase.STOPPED))
        if self._settings.ephemeral:
            shutil.rmtree(self._settings.directory, ignore_errors=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            answer = await self._answer(await reader.readline())
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, str]:
        try:
            order = json.loads(line)
            # One order at a time: a stop in the middle of a start would be undone by it.
            async with self._busy:
                await self._obey(order["do"], order["component"], url=order.get("url"))
        except errors.SandboxError as fault:
            return {"error": fault.message}
        except (ValueError, KeyError, TypeError) as fault:
            return {"error": f"The supervisor does not understand this order: {fault!r}."}
        return {"error": ""}

    async def _obey(self, do: str, name: str, *, url: str | None) -> None:
        if name not in self._settings.parts:
            there = ", ".join(each for each in components.NAMES if each in self._settings.parts)
            raise errors.SandboxError(f"There is no component {name!r}; there are {there}.")
        if do == "kill":
            self._kill(name)
        if do == "bundle":
            self._settings = replace(self._settings, opa_bundle_url=url)
            self._settings.save()
        if do in {"stop", "restart", "bundle"}:
            await self._stop(name)
        if do in {"start", "restart", "bundle"}:
            await self._start(name)

    def _reap(self) -> None:
        """Note who ended by itself; it stays down, so that a test sees it and a person is told."""
        for name, child in self._children.items():
            if self._state.components[name].condition is state.Condition.RUNNING and child.poll() is not None:
                self._note(name, state.Condition.EXITED)

    def _parent_spoke(self) -> None:
        said = os.read(sys.stdin.fileno(), 4096)
        # The end of the file means that the parent closed the pipe, or died.
        if not said:
            self._ended.set()
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())

    def _note(self, name: str, condition: state.Condition) -> None:
        child = self._children[name]
        running = condition is state.Condition.RUNNING
        process = processes.identify(child.pid) if running else self._state.components[name].process
        noted = state.ComponentState(name, condition, self._ports[name], self._log(name), process, child.returncode)
        self._publish(replace(self._state, components={**self._state.components, name: noted}))

    def _publish(self, now: state.State) -> None:
        self._state = now
        now.save(self._settings.directory)

    def _plan(self) -> components.Plan:
        return components.Plan(self._settings, self._ports)

    def _log(self, name: str) -> Path:
        return self._settings.logs / f"{name}.log"

    def _last_words(self, name: str) -> str:
        return f"the end of {self._log(name)}:\n{tail(self._log(name)).decode(errors='replace')}"

    def _port_was_taken(self, name: str) -> bool:
        return _ADDRESS_TAKEN in tail(self._log(name))


async def _comes_true(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not (true := condition()) and time.monotonic() < deadline:  # noqa: ASYNC110 - other processes set no Event
        await asyncio.sleep(_STEP)
    return true


def tail(log: Path) -> bytes:
    """Give the end of a log file, from the beginning of a line; nothing when there is none."""
    data = log.read_bytes()[-_TAIL_BYTES:] if log.exists() else b""
    return data.partition(b"\n")[2] if len(data) == _TAIL_BYTES else data


@functools.cache
def _opener() -> urllib.request.OpenerDirector:
    # Any certificate will do for "are you there": it is asked on loopback only, and nothing is sent. So no CAs either.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    # No proxies: an HTTP_PROXY in the user's environment must not catch loopback.
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))


def answers(url: str, patience: float) -> bool:
    """Tell whether something on loopback answers 200 within ``patience`` seconds, whatever its certificate."""
    try:
        with _opener().open(url, timeout=patience) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def main(directory: str) -> int:
    """Supervise the sandbox in ``directory`` until told to end."""
    # A socket's path may have 108 bytes at most, and a sandbox may live deeper than that.
    with tempfile.TemporaryDirectory(prefix="pw-", ignore_cleanup_errors=True) as short:
        return asyncio.run(_supervise(Path(directory), Path(short) / "control"))


async def _supervise(directory: Path, socket: Path) -> int:
    return await Supervisor(settings.load(directory), socket).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
