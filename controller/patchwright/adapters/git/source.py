"""The Git source: one call, one commit, its files.

An unchanged source costs one ``git ls-remote``. A changed one costs that, one shallow ``git fetch``, and three local
reads. Repositories are shared by (URL, credentials), so 250 tenants on one repository are one clone
(source-controller#964), and nobody reads from the cache what his own credentials could not fetch.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from patchwright.adapters.git import tree
from patchwright.adapters.git.caches import Caches
from patchwright.adapters.git.commits import Commit
from patchwright.adapters.git.refs import Resolved, resolve
from patchwright.adapters.git.repository import Repository
from patchwright.adapters.git.signatures import Verifier
from patchwright.domain.sources import MIB, GitReference, SourceRequest, SourceSnapshot, commit_of, revision_of

REMEMBERED_BYTES = 16 * MIB


@dataclass(frozen=True, slots=True)
class _Read:
    commit: Commit
    snapshot: SourceSnapshot

    @property
    def size(self) -> int:
        files = (*self.snapshot.manifests.values(), *self.snapshot.rego.values())
        return sum(map(len, files)) + 1024


class GitSource:
    """Fetch, verify and read Git repositories. One instance owns its cache folder; it is safe to share in one loop."""

    def __init__(self, cache: Path, *, environment: Mapping[str, str] | None = None, parallel: int = 4) -> None:
        """Take the cache folder (made 0700) and the variables Git may see besides ours (PATH, proxies)."""
        self._caches = Caches(cache, environment=environment, parallel=parallel)
        self._remembered: OrderedDict[object, _Read] = OrderedDict()

    async def fetch(self, request: SourceRequest) -> SourceSnapshot:
        """Give the commit that the reference means now, verified and read.

        Raise SourceError with one of Flux's reasons: URLInvalid, RefInvalid, InvalidPath, AuthenticationFailed,
        RefNotFound, VerificationError, BuildFailed (a file is refused), GitOperationFailed. Nothing is half done:
        on any error the caller keeps what it had.
        """
        async with self._caches.open(request) as repository:
            return await self._fetch(repository)

    async def cached(self, request: SourceRequest, revision: str) -> SourceSnapshot:
        """Give a revision that was fetched before, without the network: for a restart while the server is away.

        Raise SourceError (RefNotFound) when the cache no longer has it. Signatures are verified all the same.
        """
        commit = commit_of(revision)
        label = revision.removesuffix(f"sha1:{commit}").removesuffix("@")
        async with self._caches.open(replace(request, ref=GitReference(commit=commit))) as repository:
            wanted = label if label.startswith("refs/") else f"refs/tags/{label}"
            resolved = Resolved(wanted, label, commit, repository.tag_of(commit))
            return (await self._read(repository, await repository.commit(commit), resolved)).snapshot

    async def _fetch(self, repository: Repository) -> SourceSnapshot:
        request = repository.request
        if request.ref.commit:
            resolved = Resolved(request.ref.commit, request.ref.branch, request.ref.commit)
        else:
            resolved = resolve(request.url, request.ref, await repository.advertised(request.ref))
        read = await self._recall(repository, resolved)
        if not resolved.moving and read.commit.name != request.last_commit:
            return read.snapshot
        return replace(read.snapshot, history=await repository.history(read.commit))

    async def _recall(self, repository: Repository, resolved: Resolved) -> _Read:
        memory = self._memory_key(repository.request, resolved)
        read = self._remembered.get(memory)
        if read is None:
            commit, resolved = await self._obtain(repository, resolved)
            read = await self._read(repository, commit, resolved)
            repository.keep(commit.name, resolved.tag_object)
            await repository.collect()
            self._remember(self._memory_key(repository.request, resolved), read)
        else:
            self._remembered.move_to_end(memory)
        return read

    async def _obtain(self, repository: Repository, resolved: Resolved) -> tuple[Commit, Resolved]:
        """Take the commit from the cache, or fetch it; what arrives may be newer than what was listed."""
        if await repository.has(resolved.tag_object or resolved.commit) and await repository.has(resolved.commit):
            return await repository.commit(resolved.commit), resolved
        commit, tag_object = await repository.fetch(resolved)
        return commit, replace(resolved, commit=commit.name, tag_object=tag_object)

    async def _read(self, repository: Repository, commit: Commit, resolved: Resolved) -> _Read:
        request = repository.request
        signers = await Verifier(repository, request.verify).verify(commit, resolved) if request.verify else ()
        manifests, rego = await _files(repository, commit)
        return _Read(
            commit,
            SourceSnapshot(
                revision=revision_of(resolved.label, commit.name),
                commit=commit.name,
                committed_at=commit.committed_at,
                author=commit.author,
                subject=commit.subject,
                manifests=manifests,
                rego=rego,
                digest=_digest(manifests, rego),
                signers=signers,
            ),
        )

    def _remember(self, key: object, read: _Read) -> None:
        self._remembered[key] = read
        while len(self._remembered) > 1 and sum(r.size for r in self._remembered.values()) > REMEMBERED_BYTES:
            self._remembered.popitem(last=False)

    def _memory_key(self, request: SourceRequest, resolved: Resolved) -> object:
        asked = (request.path, request.rego_path, request.ignore, request.limits, request.verify)
        return self._caches.key(request), resolved, asked


async def _files(repository: Repository, commit: Commit) -> tuple[dict[str, bytes], dict[str, bytes]]:
    request = repository.request
    listing = await repository.listing(commit, tree.listing_paths(request))
    entries = tree.parse_listing(request.url, listing)
    ignores = tree.ignore_files(entries, request)
    texts = await repository.blobs([e.name for e in ignores], total=sum(e.size for e in ignores))
    rules = [(e.path.rpartition("/")[0], texts[e.name].decode("utf-8", errors="replace")) for e in ignores]
    selection = tree.select(entries, request, tree.Ignore(rules, request.ignore))
    chosen = (*selection.manifests, *selection.rego)
    content = await repository.blobs([e.name for e in chosen], total=sum(e.size for e in chosen))
    tree.content_faults(request.url, ((e.path, content[e.name]) for e in chosen))
    manifests = {e.path: content[e.name] for e in selection.manifests}
    return manifests, {e.path: content[e.name] for e in selection.rego}


def _digest(manifests: Mapping[str, bytes], rego: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for kind, files in ((b"manifest", manifests), (b"rego", rego)):
        for path in sorted(files):
            for part in (kind, path.encode(), files[path]):
                digest.update(len(part).to_bytes(8, "big") + part)
    return f"sha256:{digest.hexdigest()}"
