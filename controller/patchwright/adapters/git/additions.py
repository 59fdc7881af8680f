"""One new file on a new branch: what a pull request is made of. What is there already is left as it is."""

from __future__ import annotations

from patchwright.adapters.git import ours, pushes, tree
from patchwright.adapters.git.commits import Commit
from patchwright.adapters.git.failures import redact
from patchwright.adapters.git.refs import resolve
from patchwright.adapters.git.repository import Repository
from patchwright.domain.sources import GitReference
from patchwright.domain.writeback.orders import Addition
from patchwright.errors import WriteBackError

_HEADS = "refs/heads/"
_MODE = "100644"


async def add(repository: Repository, addition: Addition) -> bool:
    """Push a commit that adds the file to the newest commit of the base, unless the branch or the file is there.

    A branch of that name was pushed before a crash, or people have worked on it since; one without the file is none of
    ours. Two that push at once push the same, and the one that comes second is told that it is there.
    """
    base = await _tip(repository, addition.place.branch)
    if await _has(repository, base, addition.path):
        return False
    name = addition.place.push_branch
    if name in await branches(repository, name):
        if await _has(repository, await _tip(repository, name), addition.path):
            return True
        raise _taken(addition)
    commit = await ours.commit(
        repository, base, {addition.path: addition.content}, modes={addition.path: _MODE}, author=addition.author,
        at=addition.at, message=addition.message,
    )  # fmt: skip
    await pushes.push(repository, commit, name)
    return True


async def branches(repository: Repository, prefix: str) -> tuple[str, ...]:
    """List the branches whose names begin so."""
    advertised = await repository.advertised(GitReference(branch=f"{prefix}*"))
    return tuple(sorted(name.removeprefix(_HEADS) for name in advertised.objects))


async def _tip(repository: Repository, branch: str) -> Commit:
    ref = GitReference(branch=branch)
    resolved = resolve(repository.request.url, ref, await repository.advertised(ref))
    if await repository.has(f"{resolved.commit}^{{tree}}"):
        return await repository.commit(resolved.commit)
    return (await repository.fetch(resolved))[0]


async def _has(repository: Repository, commit: Commit, path: str) -> bool:
    # The listing names the folders on the way, too.
    entries = tree.parse_listing(repository.request.url, await repository.listing(commit, (path,)))
    return any(entry.path == path for entry in entries)


def _taken(addition: Addition) -> WriteBackError:
    place = addition.place
    sentence = (
        f"Git repository {redact(place.url)}: branch {place.push_branch} is there and has no {addition.path}; "
        "remove the branch, and it is made anew."
    )
    return WriteBackError(sentence, reason="BranchTaken", retry_after=300.0)
