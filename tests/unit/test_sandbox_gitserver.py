"""The sandbox's Git server takes real pushes and tells of them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from patchwright.sandbox.gitserver import GitServer
from support.git_servers import Upstream, git, isolated_env


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
