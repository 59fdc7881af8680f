"""Real Git for tests: repositories made by git itself, served by git-http-backend and by git-upload-pack over SSH."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh

NAME = "A. Author"
EMAIL = "author@example.com"


def isolated_env(**more: str) -> dict[str, str]:
    """Give an environment in which no configuration of the machine is seen."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_AUTHOR_NAME": NAME,
        "GIT_AUTHOR_EMAIL": EMAIL,
        "GIT_COMMITTER_NAME": NAME,
        "GIT_COMMITTER_EMAIL": EMAIL,
        **more,
    }


def git(*argv: str, cwd: Path, **env: str) -> str:
    """Run git to its end and give its output; a failure carries stderr."""
    done = subprocess.run(["git", *argv], cwd=cwd, env=isolated_env(**env), capture_output=True, check=False)
    assert done.returncode == 0, f"git {argv}: {done.stderr.decode(errors='replace')}"
    return done.stdout.decode().strip()


@dataclass
class Upstream:
    """A bare repository ``<root>/<name>`` and a clone from which commits are pushed to it."""

    root: Path
    name: str = "policy.git"
    branch: str = "main"
    options: tuple[str, ...] = ()
    work: Path = field(init=False)

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        git("init", "--quiet", "--bare", f"--initial-branch={self.branch}", self.name, cwd=self.root)
        self.work = self.root / f"{self.name}.work"
        git("init", "--quiet", f"--initial-branch={self.branch}", str(self.work), cwd=self.root)

    @property
    def bare(self) -> Path:
        return self.root / self.name

    def commit(
        self,
        files: Mapping[str, str | bytes | None],
        message: str = "change",
        *,
        options: tuple[str, ...] = (),
        push: bool = True,
        **env: str,
    ) -> str:
        """Write (or with None remove) files, commit, push, and give the commit."""
        for path, content in files.items():
            self.write(path, content)
        git("add", "--all", "--force", cwd=self.work)
        git(*self.options, "commit", "--quiet", "--allow-empty", "-m", message, *options, cwd=self.work, **env)
        if push:
            self.push()
        return self.head()

    def write(self, path: str, content: str | bytes | None) -> None:
        target = self.work / path
        if content is None:
            target.unlink()
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)

    def symlink(self, path: str, target: str) -> None:
        (self.work / path).parent.mkdir(parents=True, exist_ok=True)
        (self.work / path).symlink_to(target)

    def submodule(self, path: str) -> None:
        """Put a submodule's entry into the index; no server is needed for that."""
        git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},{path}", cwd=self.work)
        git(*self.options, "commit", "--quiet", "-m", "submodule", cwd=self.work)
        self.push()

    def tag(self, name: str, *options: str, **env: str) -> None:
        git(*self.options, "tag", *options, name, cwd=self.work, **env)
        git("push", "--quiet", "--force", str(self.bare), f"refs/tags/{name}", cwd=self.work)

    def push(self) -> None:
        git("push", "--quiet", "--force", str(self.bare), f"HEAD:refs/heads/{self.branch}", cwd=self.work)

    def rewind(self, commit: str) -> None:
        """Move the work tree back to a commit; the next push then is a forced one."""
        git("reset", "--quiet", "--hard", commit, cwd=self.work)

    def head(self) -> str:
        return git("rev-parse", "HEAD", cwd=self.work)


@dataclass(frozen=True, slots=True)
class SshKey:
    """A key pair made by ssh-keygen."""

    path: Path

    @property
    def private(self) -> bytes:
        return self.path.read_bytes()

    @property
    def public(self) -> bytes:
        return self.path.with_suffix(".pub").read_bytes()


def ssh_key(path: Path, passphrase: str = "") -> SshKey:
    """Make an Ed25519 key pair."""
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "test", "-f", str(path)]
    subprocess.run(argv, check=True, capture_output=True)
    return SshKey(path)


@dataclass(frozen=True, slots=True)
class SshServer:
    """A running SSH server that offers ``git-upload-pack`` and ``git-receive-pack`` and nothing else."""

    port: int
    host_key: SshKey

    def url(self, repository: str) -> str:
        return f"ssh://git@127.0.0.1:{self.port}/{repository}"

    def known_hosts(self, key: SshKey | None = None) -> bytes:
        kind, public = (key or self.host_key).public.split()[:2]
        return b"[127.0.0.1]:%d %s %s\n" % (self.port, kind, public)


async def _pump(
    source: asyncio.StreamReader | asyncssh.SSHReader[bytes], sink: asyncio.StreamWriter | asyncssh.SSHWriter[bytes]
) -> None:
    """Copy until the source ends or a side goes away; asyncssh's own redirection leaves coroutines unawaited then."""
    with contextlib.suppress(OSError, asyncssh.Error):
        while chunk := await source.read(65536):
            sink.write(chunk)
            await sink.drain()
        if isinstance(sink, asyncio.StreamWriter):
            sink.close()


@contextlib.asynccontextmanager
async def ssh_git_server(root: Path, *, host_key: SshKey, authorized: SshKey) -> AsyncIterator[SshServer]:
    """Serve the repositories under ``root`` to one user key, with real processes of Git."""

    async def serve(process: asyncssh.SSHServerProcess[bytes]) -> None:
        program, _, quoted = (process.command or "").partition(" ")
        if program not in ("git-upload-pack", "git-receive-pack"):
            process.exit(1)
            return
        folder = root / quoted.strip("'").lstrip("/")
        child = await asyncio.create_subprocess_exec(
            "git", program.removeprefix("git-"), str(folder),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=isolated_env(GIT_PROTOCOL=str(process.env.get("GIT_PROTOCOL", ""))),
        )  # fmt: skip
        assert child.stdin
        assert child.stdout
        assert child.stderr
        feeding = asyncio.create_task(_pump(process.stdin, child.stdin))
        try:
            await asyncio.gather(_pump(child.stdout, process.stdout), _pump(child.stderr, process.stderr))
            process.exit(await child.wait())
        finally:
            feeding.cancel()
            if child.returncode is None:
                child.kill()

    authorized_keys = asyncssh.import_authorized_keys(authorized.public.decode())
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[str(host_key.path)], authorized_client_keys=authorized_keys,
        process_factory=serve, encoding=None, password_auth=False, kbdint_auth=False,
    )  # fmt: skip
    try:
        yield SshServer(server.get_port(), host_key)
    finally:
        server.close()
        await server.wait_closed()
