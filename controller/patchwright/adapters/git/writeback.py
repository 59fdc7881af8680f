"""Writing images back into Git: one order, one commit at most, however often it is repeated.

Each try begins at the branch's newest commit: is a commit of this step there already (its trailers say so), is the
value still the one that was, and only then edit, commit and push without force. A branch that somebody else has pushed
to meanwhile is looked at anew, and so is the value; after a few tries somebody else has the word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from patchwright.adapters.git import additions, ours, pushes
from patchwright.adapters.git.caches import Caches
from patchwright.adapters.git.commits import Commit
from patchwright.adapters.git.failures import failure, redact
from patchwright.adapters.git.refs import Resolved, resolve
from patchwright.adapters.git.repository import Repository
from patchwright.adapters.git.validation import validate_request
from patchwright.domain.sources import GitReference, SourceRequest
from patchwright.domain.writeback import edits
from patchwright.domain.writeback.edits import Edit
from patchwright.domain.writeback.orders import Addition, Destination, WriteOrder, Written, message
from patchwright.domain.writeback.tree import File
from patchwright.errors import WriteBackError

TRIES = 5
PAUSE = 0.2  # seconds after the first push that lost a race, twice as long after each further one


@dataclass(frozen=True, slots=True)
class _Tip:
    """The newest commit of a branch; ``None`` of a branch that does not exist yet."""

    branch: str
    commit: Commit


class GitWriteBack:
    """Writes with the credentials that an order brings. One instance owns its cache folder."""

    def __init__(self, cache: Path, *, environment: Mapping[str, str] | None = None) -> None:
        """Take the cache folder (made 0700), which is no other's, and the variables Git may see besides ours."""
        self._caches = Caches(cache, environment=environment)

    async def write(self, order: WriteOrder) -> Written:
        """Bring about what the order says, or say why not.

        Raises:
            SourceError: the repository cannot be read or reached; the order is to be repeated.
            WriteBackError: nothing may be written, or the server does not take it.
        """
        async with self._caches.open(_request(order)) as repository:
            for attempt in range(TRIES):
                if (written := await self._try(repository, order)) is not None:
                    await repository.collect()
                    return written
                await asyncio.sleep(PAUSE * 2**attempt)
        raise _stopped(
            order, "BranchMoves", f"somebody else pushed {TRIES} times in between",
            next_action="it is tried again", retry_after=30.0,
        )  # fmt: skip

    async def add(self, addition: Addition) -> bool:
        """Have a branch that adds a file; tell whether it is one, for the base may have the file already.

        Raises:
            SourceError: the repository cannot be read or reached.
            WriteBackError: the branch is somebody else's, or the server does not take it.
        """
        async with self._caches.open(_place(addition.place)) as repository:
            found = await additions.add(repository, addition)
            await repository.collect()
            return found

    async def branches(self, place: Destination, *, prefix: str) -> tuple[str, ...]:
        """List the branches whose names begin so; raises SourceError."""
        async with self._caches.open(_place(place)) as repository:
            return await additions.branches(repository, prefix)

    async def _try(self, repository: Repository, order: WriteOrder) -> Written | None:
        base = await _tip(repository, GitReference(branch=order.place.branch))
        assert base is not None  # only a branch that may be missing is
        if (known := await _done(repository, order, base)) is not None:
            return known
        found = await ours.read(repository, base.commit)
        wanted = () if await _never_made(repository, order, base) else await _edits(repository, order, found.files)
        if not wanted:
            return Written(base.commit.name, base.branch, ours=False, fresh=False)
        name = await ours.commit(
            repository, base.commit, edits.apply(found.files, wanted), modes=found.modes, author=order.author,
            at=order.step.at, message=message(order, wanted),
        )  # fmt: skip
        branch = order.place.push_branch or base.branch
        if await pushes.push(repository, name, branch) is pushes.Pushed.MOVED:
            return None
        return Written(name, branch, files=_files(wanted))


def _request(order: WriteOrder) -> SourceRequest:
    return _place(order.place)


def _place(place: Destination) -> SourceRequest:
    request = SourceRequest(
        url=place.url,
        ref=GitReference(branch=place.branch),
        path=place.path,
        timeout=place.timeout,
        credentials=place.credentials,
    )
    if place.push_branch:
        validate_request(
            SourceRequest(place.url, GitReference(branch=place.push_branch), credentials=place.credentials)
        )
    return request


def _files(wanted: Sequence[Edit]) -> tuple[str, ...]:
    return tuple(sorted({edit.path for edit in wanted}))


async def _tip(repository: Repository, ref: GitReference, *, may_miss: bool = False) -> _Tip | None:
    advertised = await repository.advertised(ref)
    if may_miss and f"refs/heads/{ref.branch}" not in advertised.objects:
        return None
    resolved = resolve(repository.request.url, ref, advertised)
    if not await repository.has(f"{resolved.commit}^{{tree}}"):
        commit, _ = await repository.fetch(resolved)
        return _Tip(_branch(repository, resolved), commit)
    return _Tip(_branch(repository, resolved), await repository.commit(resolved.commit))


def _branch(repository: Repository, resolved: Resolved) -> str:
    if resolved.wanted.startswith("refs/heads/"):
        return resolved.wanted.removeprefix("refs/heads/")
    raise failure(
        repository.request.url, "write to what HEAD names: it is no branch", next_action="set write.git.ref.branch",
        reason="RefInvalid", retry_after=None,
    )  # fmt: skip


async def _done(repository: Repository, order: WriteOrder, base: _Tip) -> Written | None:
    """Give what an earlier try has pushed; what somebody has changed since is theirs, and is not written over."""
    if name := await ours.find(repository, base.commit, order.step):
        await _require_standing(repository, order, base.commit, name)
        return Written(name, base.branch, fresh=False)
    if not order.place.push_branch:
        return None
    tip = await _tip(repository, GitReference(branch=order.place.push_branch), may_miss=True)
    if tip is None:
        return None
    if name := await ours.find(repository, tip.commit, order.step):
        return Written(name, tip.branch, fresh=False)
    raise _stopped(
        order, "BranchTaken", f"branch {tip.branch} is there and is not of this rollout",
        next_action="remove it, or choose another write.git.branch",
    )  # fmt: skip


async def _require_standing(repository: Repository, order: WriteOrder, tip: Commit, name: str) -> None:
    found = await ours.read(repository, tip)
    if await _edits(repository, order, found.files):
        raise _stopped(
            order, "RollbackConflict" if order.back_of else "WriteBackConflict",
            f"somebody else has taken back commit {name}", next_action="it is not written again; see who did and why",
        )  # fmt: skip


async def _never_made(repository: Repository, order: WriteOrder, base: _Tip) -> bool:
    """Tell whether the step that is to be taken back has made no commit."""
    if not order.unsure:
        return False
    return not await ours.find(repository, base.commit, replace(order.step, name=order.back_of))


async def _edits(repository: Repository, order: WriteOrder, files: Sequence[File]) -> tuple[Edit, ...]:
    """Give what is to be edited; raise WriteBackError when nothing may be."""
    made = await _made(repository, order) if order.undoes else None
    if made is not None:
        joint = edits.undo_all(files, made, order.swaps)
    else:
        joint = edits.plan_all(files, [swap.back for swap in order.swaps] if order.back_of else order.swaps)
    if joint.fault is not None:
        reason, why = joint.fault
        raise _stopped(order, reason, why, next_action=_ACTIONS[reason])
    return joint.edits


async def _made(repository: Repository, order: WriteOrder) -> tuple[Edit, ...] | None:
    """Give the edits of the commit that is to be undone; nothing when it is not to be had, or is not what we made."""
    pair = await ours.with_parent(repository, order.undoes)
    if pair is None:
        return None
    commit, parent = pair
    before, after = await ours.read(repository, parent), await ours.read(repository, commit)
    made = edits.plan_all(before.files, order.swaps).edits
    contents = {file.path: file.content for file in after.files}
    same = all(contents.get(path) == content for path, content in edits.apply(before.files, made).items())
    return made if made and same else None


_ACTIONS = {
    "WriteBackConflict": "it is left as it is; a new rollout begins at what is there now",
    "RollbackConflict": "it is left as it is; check it and put it back by hand",
    "WriteBackRefused": "change it by hand, or write it so that it stands alone",
    "ImageNotFound": "check write.git.path, or set the version in one of its files",
}


def _stopped(
    order: WriteOrder, reason: str, why: str, *, next_action: str, retry_after: float | None = None
) -> WriteBackError:
    what = ", ".join(swap.scope.repository for swap in order.swaps)
    sentence = f"Git repository {redact(order.place.url)}: image {what} is not written: {why}; {next_action}."
    return WriteBackError(sentence, reason=reason, retry_after=retry_after)
