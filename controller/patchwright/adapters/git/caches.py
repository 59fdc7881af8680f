"""The folder of bare repositories: one for each (URL, credentials), worked in by one operation at a time."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import shutil
import weakref
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from patchwright.adapters.git.failures import TRANSIENT, failure
from patchwright.adapters.git.repository import Repository
from patchwright.adapters.git.session import open_session
from patchwright.adapters.git.validation import validate_request
from patchwright.domain.sources import SourceRequest


class Caches:
    """Owns a folder (made 0700); ``environment`` is what Git may see besides ours (PATH, proxies)."""

    def __init__(self, folder: Path, *, environment: Mapping[str, str] | None = None, parallel: int = 4) -> None:
        self._folder = folder
        self._scratch = folder / "sessions"
        shutil.rmtree(self._scratch, ignore_errors=True)  # what a killed operator left: private keys
        for each in (folder, self._scratch):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._salt = _salt(folder / "salt")
        self._base = {"PATH": os.environ.get("PATH", os.defpath), **(environment or {})}
        self._slots = asyncio.Semaphore(parallel)
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def open(self, request: SourceRequest) -> AsyncIterator[Repository]:
        """Open the repository of a request for one operation; raises SourceError when it is late or wrong."""
        request = validate_request(request)
        key = self.key(request)
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock, self._slots:
            with open_session(request, self._scratch, base=self._base) as session:
                try:
                    async with asyncio.timeout(request.timeout.total_seconds()):
                        repository = Repository(self._folder / f"{key}.git", session, request)
                        await repository.prepare()
                        yield repository
                except TimeoutError:
                    raise failure(
                        request.url, f"finish within {request.timeout.total_seconds():g} s", retry_after=TRANSIENT,
                        next_action="it is tried again; check the server, or raise spec.timeout",
                    ) from None  # fmt: skip

    def key(self, request: SourceRequest) -> str:
        """Name the cache folder; salted, so that a folder's name is no way to guess a password."""
        c = request.credentials
        parts = (request.url, c.username, c.password, c.bearer_token, c.passphrase)
        keyed = hashlib.blake2b(key=self._salt, digest_size=16)
        for part in (*(p.encode() for p in parts), c.identity, c.known_hosts, c.ca_file):
            keyed.update(len(part).to_bytes(8, "big") + part)
        return keyed.hexdigest()


def _salt(path: Path) -> bytes:
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(secrets.token_bytes(32))
    return path.read_bytes()
