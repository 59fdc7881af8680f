"""Commits of ours, found again by their trailers, and written without a work tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from patchwright.adapters import yamltree
from patchwright.adapters.git import tree
from patchwright.adapters.git.commits import Commit
from patchwright.adapters.git.failures import failure
from patchwright.adapters.git.repository import CLOCK_SKEW, Repository
from patchwright.adapters.git.tree import Entry
from patchwright.domain.sources import Author
from patchwright.domain.writeback.orders import STEP_TRAILER, Step
from patchwright.domain.writeback.tree import File

_NAMES = (".yaml", ".yml", "/Kustomization")
_REGULAR = frozenset({"100644", "100755"})
_LOG = "--format=%H%x1f%(trailers:only,unfold)%x1e"
_MOST = 20


@dataclass(frozen=True, slots=True)
class Files:
    """The YAML files of a commit, and the modes that they have in its tree."""

    files: tuple[File, ...]
    modes: Mapping[str, str]


async def find(repository: Repository, tip: Commit, step: Step) -> str:
    """Give the commit that a step made in the history of ``tip``; empty when there is none.

    What is older than the rollout is not looked at. A server that gives no history leaves the comparison of values.
    """
    after = step.since - CLOCK_SKEW
    if tip.committed_at < after:
        return ""
    await repository.deepen(tip.name, f"--shallow-since={int(after.timestamp())}")
    grep = f"--grep={STEP_TRAILER}: {step.name}"
    out = await repository.git("read the history", "log", _LOG, "-F", grep, f"-n{_MOST}", tip.name)
    for record in out.decode("utf-8", errors="replace").split("\x1e"):
        name, _, text = record.strip().partition("\x1f")
        if name and step.made(_trailers(text)):
            return name
    return ""


def _trailers(text: str) -> dict[str, str]:
    pairs = (line.partition(": ") for line in text.splitlines())
    return {key: value.strip() for key, _, value in pairs}


async def read(repository: Repository, commit: Commit) -> Files:
    """Read the YAML files under the request's path; whatever is no regular file is nothing that is ever edited."""
    request = repository.request
    listing = await repository.listing(commit, (request.path,) if request.path else ())
    entries = [entry for entry in tree.parse_listing(request.url, listing) if _wanted(entry, request.limits.file_bytes)]
    if not entries and request.path:
        raise failure(
            request.url, f"find a YAML file under {request.path!r}", reason="InvalidPath",
            next_action="correct write.git.path",
        )  # fmt: skip
    total = sum(entry.size for entry in entries)
    if total > request.limits.total_bytes:
        raise failure(
            request.url, f"read the files: {total} bytes are more than {request.limits.total_bytes}",
            next_action="name a smaller folder in write.git.path", reason="BuildFailed",
        )  # fmt: skip
    content = await repository.blobs([entry.name for entry in entries], total=total)
    files = tuple(yamltree.read(entry.path, content[entry.name]) for entry in entries)
    return Files(files, {entry.path: entry.mode for entry in entries})


def _wanted(entry: Entry, limit: int) -> bool:
    hidden = entry.path.startswith(".") or "/." in entry.path
    return entry.mode in _REGULAR and f"/{entry.path}".endswith(_NAMES) and not hidden and entry.size <= limit


async def commit(
    repository: Repository,
    parent: Commit,
    changed: Mapping[str, bytes],
    *,
    modes: Mapping[str, str],
    author: Author,
    at: datetime,
    message: str,
) -> str:
    """Make a commit that changes these files and nothing else; the same again is the same commit."""
    index = {"GIT_INDEX_FILE": str(repository.session.folder / "index")}
    await repository.git("read the tree", "read-tree", f"{parent.name}^{{tree}}", env=index)
    lines = [f"{modes[path]} {await _blob(repository, changed[path])}\t{path}\0" for path in sorted(changed)]
    stdin = "".join(lines).encode()
    await repository.git("write the tree", "update-index", "-z", "--index-info", stdin=stdin, env=index)
    made = (await repository.git("write the tree", "write-tree", env=index)).decode().strip()
    await _require_only(repository, parent, made, changed)
    who = {"NAME": author.name, "EMAIL": author.email, "DATE": f"@{int(at.timestamp())} +0000"}
    env = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}
    argv = ("commit-tree", made, "-p", parent.name, "-F", "-")
    out = await repository.git("write the commit", *argv, stdin=message.encode(), env=env)
    return out.decode().strip()


async def _blob(repository: Repository, content: bytes) -> str:
    # Without --path no filter and no line-end conversion of .gitattributes touches a byte.
    argv = ("hash-object", "-w", "--stdin", "--no-filters")
    return (await repository.git("write a file", *argv, stdin=content)).decode().strip()


async def _require_only(repository: Repository, parent: Commit, made: str, changed: Mapping[str, bytes]) -> None:
    """Look at the tree itself before it is signed with a name: nothing but these files may differ."""
    paths = await _differing(repository, parent.name, made)
    if paths != sorted(changed):
        raise failure(
            repository.request.url, f"write the tree: it differs in {len(paths)} files instead of {len(changed)}",
            next_action="report this with the repository's layout", retry_after=None,
        )  # fmt: skip


async def _differing(repository: Repository, before: str, after: str) -> list[str]:
    argv = ("diff-tree", "-r", "-z", "--no-renames", "--name-only", before, after)
    out = await repository.git("compare the trees", *argv, max_stdout=16 * 1024 * 1024)
    return sorted(path for path in out.decode("utf-8", errors="replace").split("\0") if path)


async def with_parent(repository: Repository, name: str) -> tuple[Commit, Commit] | None:
    """Give a commit and its only parent, or nothing when the server does not have them (any more)."""
    if not await repository.has(name) or not await repository.has(f"{name}^1"):
        await repository.deepen(name, "--depth=2")
    if not await repository.has(f"{name}^1^{{tree}}"):
        return None
    return await repository.commit(name), await repository.commit(f"{name}^1")
