"""The sandbox's Git server takes real pushes and tells of them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from patchwright.sandbox.gitserver import GitServer
from support.git_servers import Upstream, git, isolated_env
from support.threaded_servers import GitHost


async def push(upstream: Upstream, url: str) -> int:
    """Push as a user does; in a process of its own, because the server runs in this loop."""
    process = await asyncio.create_subprocess_exec(
        "git", "push", "--quiet", url, "HEAD:refs/heads/main",
        cwd=upstream.work, env=isolated_env(GIT_TERMINAL_PROMPT="0"), stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    return await process.wait()


async def test_a_push_arrives_and_is_told_by_the_repositorys_name(tmp_path: Path) -> None:
    upstream, told = Upstream(tmp_path), list[str]()

    async def on_push(name: str) -> None:
        told.append(name)

    # A push of more than 1 MiB comes in chunks, which is another path through git's client.
    commit = upstream.commit({"a.bin": os.urandom(1_500_000)}, push=False)
    async with GitServer(tmp_path, on_push=on_push) as server:
        assert await push(upstream, server.url("policy.git")) == 0
    assert told == ["policy.git"]
    assert git("rev-parse", "main", cwd=upstream.bare) == commit


async def test_a_push_without_the_credentials_is_refused(tmp_path: Path) -> None:
    upstream, told = Upstream(tmp_path), list[str]()

    async def on_push(name: str) -> None:
        told.append(name)

    upstream.commit({"a": "b"}, push=False)
    async with GitServer(tmp_path, credentials=("robot", "secret"), on_push=on_push) as server:
        assert await push(upstream, server.url("policy.git")) != 0
    assert told == []


async def test_a_stopped_server_starts_again_on_its_port(tmp_path: Path) -> None:
    server = GitServer(tmp_path)
    await server.start()
    url = server.url("x.git")
    await server.stop()
    await server.start()
    assert server.url("x.git") == url
    await server.stop()


@contextlib.contextmanager
def knocking(port: int, *, threads: int = 4) -> Iterator[None]:
    """Connect again and again, as clients do that know nothing of the server's end."""
    over = threading.Event()

    def knock() -> None:
        while not over.wait(0.0005):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                continue

    knockers = [threading.Thread(target=knock) for _ in range(threads)]
    for each in knockers:
        each.start()
    try:
        yield
    finally:
        over.set()
        for each in knockers:
            each.join()


def test_a_server_that_stops_while_clients_connect_leaves_no_connection_open(tmp_path: Path) -> None:
    for _ in range(20):
        host = GitHost(tmp_path)
        with host.serving(), knocking(int(host.url("").split(":")[2].strip("/"))):
            host.stop()
        # What was left open is warned of when it is collected, and warnings are errors.
        del host
        gc.collect()
