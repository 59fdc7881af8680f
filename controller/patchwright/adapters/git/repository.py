"""The bare repository that caches one source: fetched shallow, read object by object, never checked out."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType

from patchwright.adapters.git.commits import Commit, parse_commit
from patchwright.adapters.git.failures import failure, git_failed
from patchwright.adapters.git.process import Completed, run
from patchwright.adapters.git.refs import Advertised, Resolved, listing_arguments, parse_listing
from patchwright.adapters.git.session import Session
from patchwright.domain.sources import GitReference, History, SourceRequest

LISTING_BYTES = 16 * 1024 * 1024
MAX_PACKS = 24
CLOCK_SKEW = timedelta(days=1)
# Git has no limit for what it downloads (receive.maxInputSize is the server's), so the size of its files is limited.
_LIMITED = ("/bin/sh", "-c", 'ulimit -f "$1" && shift && exec "$@"', "sh")
_FETCH = (
    "fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--no-auto-maintenance",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Repository:
    """One bare repository, in one session. The caller holds its lock."""

    folder: Path
    session: Session
    request: SourceRequest

    @property
    def _kept(self) -> Path:
        return self.folder / "refs/patchwright/keep"

    async def prepare(self) -> None:
        """Create the repository if it is new, and sweep up what a killed Git left in it."""
        if not (self.folder / "HEAD").exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            await self.git("create the cache", "init", "--bare", "--quiet", "--template=", str(self.folder))
            return
        # A lock left by kill -9 would fail every later fetch; nobody else runs here, so each of them is stale.
        for pattern in ("*.lock", "refs/**/*.lock", "objects/pack/tmp_*", "objects/tmp_*"):
            for stale in self.folder.glob(pattern):
                stale.unlink(missing_ok=True)

    async def advertised(self, ref: GitReference) -> Advertised:
        """Ask the server what it has."""
        options, patterns = listing_arguments(ref)
        argv = ("ls-remote", *options, "--end-of-options", self.request.url, *patterns)
        return parse_listing(await self.git("list references", *argv, network=True, max_stdout=LISTING_BYTES))

    async def fetch(self, resolved: Resolved) -> tuple[Commit, str]:
        """Fetch one commit without its history; give what really arrived, and the tag object if it is an annotated tag.

        The branch may have moved since the server listed it, so everything is read from our own reference from here on.
        """
        target = self._reference(resolved.wanted)
        argv = (*_FETCH, "--depth=1", "--end-of-options", self.request.url, f"+{resolved.wanted}:{target}")
        await self.git(f"fetch {resolved.wanted}", *argv, network=True)
        tip = (
            (await self.git("read the reference", "rev-parse", "--verify", "--end-of-options", target)).decode().strip()
        )
        commit = await self.commit(tip)
        return commit, "" if tip == commit.name else tip

    async def commit(self, name: str) -> Commit:
        """Read a commit by any name Git knows."""
        stdin = f"{name}^{{commit}}\n".encode()
        out = await self.git("read a commit", "cat-file", "--batch", stdin=stdin, max_stdout=4 * 1024 * 1024)
        head, _, rest = out.partition(b"\n")
        fields = head.decode("ascii", errors="replace").split(" ")
        if len(fields) != 3 or fields[1] != "commit":
            raise failure(
                self.request.url, "read a commit: it is not in the cache, or is no commit",
                next_action="check spec.ref; it is fetched again", reason="RefNotFound",
            )  # fmt: skip
        return parse_commit(fields[0], rest[: int(fields[2])])

    async def has(self, name: str) -> bool:
        """Say whether an object is here."""
        return (await self._run("cat-file", "-e", name)).returncode == 0

    async def history(self, commit: Commit) -> History:
        """Say how a branch's commit relates to the one that was applied last; one more fetch unless it is a child.

        A shallow commit has no history, so the commits since the last one's date (less a day for clocks) are fetched.
        """
        last = self.request.last_commit
        if not last:
            return History.FIRST
        if last == commit.name:
            return History.UNCHANGED
        if last in commit.parents:
            return History.FAST_FORWARD
        return await self._distant(last, commit)

    def keep(self, commit: str, tag_object: str) -> None:
        """Hold on to a commit that is here, and to the tag it came by, when the cache is cleaned.

        A loose reference is one small file; writing it ourselves saves a process on the way from push to apply.
        """
        self._kept.mkdir(parents=True, exist_ok=True)
        (self._kept / commit).write_text(f"{tag_object or commit}\n", encoding="ascii")

    def tag_of(self, commit: str) -> str:
        """Give the tag object a kept commit came by, or an empty string."""
        kept = self._kept / commit
        tip = kept.read_text(encoding="ascii").strip() if kept.exists() else commit
        return "" if tip == commit else tip

    async def listing(self, commit: Commit, paths: Sequence[str]) -> bytes:
        """List the files of a commit, with modes and sizes, before anything is read."""
        argv = ("ls-tree", "-r", "-t", "-l", "-z", "--full-tree", commit.name, "--", *paths)
        return await self.git("list the files", *argv, max_stdout=LISTING_BYTES)

    async def blobs(self, names: Collection[str], *, total: int) -> dict[str, bytes]:
        """Read objects by name; ``total`` is the sum of their sizes as the listing gave them."""
        unique = sorted(set(names))
        if not unique:
            return {}
        stdin = "".join(f"{name}\n" for name in unique).encode("ascii")
        out = await self.git("read the files", "cat-file", "--batch", stdin=stdin, max_stdout=total + 100 * len(unique))
        return dict(_batch(out))

    async def succeeds(
        self,
        *argv: str,
        config: Sequence[tuple[str, str]] = (),
        env: Mapping[str, str] = MappingProxyType({}),
        network: bool = False,
    ) -> Completed:
        """Run a Git command whose return code is its answer."""
        return await self._run(*argv, config=config, more_env=env, network=network)

    async def deepen(self, name: str, option: str) -> bool:
        """Fetch a commit once more with as much of its history as ``option`` says; tell whether the server gave it."""
        return await self._try_fetch(name, option)

    async def collect(self) -> None:
        """Clean the cache: each fetch adds a pack, and a shallow fetch leaves the old commit unreachable."""
        if sum(1 for _ in (self.folder / "objects/pack").glob("*.pack")) > MAX_PACKS:
            for kept in self._kept.glob("*"):
                if kept.name != self.request.last_commit:
                    kept.unlink(missing_ok=True)
            await self._run("gc", "--quiet", "--prune=now")

    async def _distant(self, last: str, commit: Commit) -> History:
        if not await self.has(last) and not await self._try_fetch(last, "--depth=1"):
            return History.UNKNOWN
        before = (await self.commit(last)).committed_at - CLOCK_SKEW
        if commit.committed_at < before:
            return History.FORCED
        if not await self._try_fetch(commit.name, f"--shallow-since={int(before.timestamp())}"):
            return History.UNKNOWN
        found = await self._run("merge-base", "--is-ancestor", last, commit.name)
        return {0: History.FAST_FORWARD, 1: History.FORCED}.get(found.returncode, History.UNKNOWN)

    async def _try_fetch(self, name: str, option: str) -> bool:
        argv = (*_FETCH, option, "--end-of-options", self.request.url, f"+{name}:{self._reference(name)}")
        return (await self._run(*argv, network=True)).returncode == 0

    async def git(
        self,
        doing: str,
        *argv: str,
        network: bool = False,
        stdin: bytes = b"",
        max_stdout: int = 1024 * 1024,
        env: Mapping[str, str] = MappingProxyType({}),
    ) -> bytes:
        """Run Git and give its output, or raise SourceError; ``doing`` completes "cannot …"."""
        done = await self._run(*argv, network=network, stdin=stdin, max_stdout=max_stdout, more_env=env)
        if done.truncated:
            raise failure(
                self.request.url, f"{doing}: the answer is larger than {max_stdout} bytes",
                next_action="name a folder in spec.path, or use spec.ignore and a smaller repository",
            )  # fmt: skip
        if done.returncode != 0:
            self._require_within_limit(doing)
            raise git_failed(self.request.url, doing, stderr=done.stderr, secrets=self.session.secrets)
        return done.stdout

    def _require_within_limit(self, doing: str) -> None:
        """Tell a download that hit its limit from others: git only says "invalid index-pack output"."""
        limit = self.request.limits.transfer_bytes // 512 * 512
        if any(pack.stat().st_size >= limit for pack in (self.folder / "objects/pack").glob("tmp_*")):
            raise failure(
                self.request.url, f"{doing}: the repository is larger than {limit} bytes",
                next_action="keep policy in a repository of its own, without large files",
            )  # fmt: skip

    async def _run(
        self,
        *argv: str,
        network: bool = False,
        stdin: bytes = b"",
        max_stdout: int = 1024 * 1024,
        config: Sequence[tuple[str, str]] = (),
        more_env: Mapping[str, str] = MappingProxyType({}),
    ) -> Completed:
        command = ("git", f"--git-dir={self.folder}", *argv) if argv[0] != "init" else ("git", *argv)
        if network:
            command = (*_LIMITED, str(self.request.limits.transfer_bytes // 512), *command)
        env = {**self.session.environment(*config, offline=not network), **more_env}
        try:
            return await run(command, env=env, stdin=stdin, max_stdout=max_stdout)
        except FileNotFoundError:
            raise failure(
                self.request.url, "run git: it is not installed", next_action="install git", retry_after=None
            ) from None

    def _reference(self, wanted: str) -> str:
        return f"refs/patchwright/fetched/{hashlib.sha256(wanted.encode()).hexdigest()[:32]}"


def _batch(output: bytes) -> Iterator[tuple[str, bytes]]:
    """Parse the answers of ``git cat-file --batch``: ``<name> <type> <size>`` on a line, then the content."""
    position = 0
    while position < len(output):
        end = output.index(b"\n", position)
        name, _, size = output[position:end].decode("ascii").split(" ")
        start = end + 1
        yield name, output[start : start + int(size)]
        position = start + int(size) + 1
