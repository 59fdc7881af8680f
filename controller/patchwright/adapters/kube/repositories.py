"""PolicyRepositories and the Secrets they name: the port ``Repositories`` on the Kubernetes API."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from patchwright import errors
from patchwright.adapters.kube.client import JSON_PATCH, MERGE_PATCH, KubeApi
from patchwright.adapters.kube.fleet import utc_now
from patchwright.adapters.kube.versions import Store
from patchwright.api import parse, status
from patchwright.domain.model import Key
from patchwright.domain.repository import PolicyRepository, RepositoryState
from patchwright.domain.sync import GROUP, VERSION
from patchwright.source_ports import RepositoryCase

REPOSITORIES = f"/apis/{GROUP}/{VERSION}/policyrepositories"
Listener = Callable[[Key], None]


@dataclass(frozen=True, slots=True)
class _Facts:
    """One PolicyRepository; ``lost`` says that its status cannot be read."""

    key: Key
    uid: str
    generation: int
    resource_version: str = field(compare=False)
    repository: PolicyRepository | None
    faults: tuple[str, ...]
    state: RepositoryState = field(compare=False)
    conditions: Sequence[Mapping[str, Any]] = field(compare=False, repr=False)
    lost: bool = False


class RepositoryCache:
    """Every PolicyRepository, parsed once per version; listeners get the key of what is new."""

    def __init__(self) -> None:
        self._store: Store[_Facts] = Store()
        self._listeners: list[Listener] = []

    def on_change(self, listener: Listener) -> None:
        """Have ``listener`` called when a spec or an annotation has changed; our own status writes are no news."""
        self._listeners.append(listener)

    def apply(self, raw: Mapping[str, Any]) -> None:
        """Take in a PolicyRepository as it was read, watched or answered."""
        metadata = raw["metadata"]
        key = Key(metadata["namespace"], metadata["name"])
        if not self._store.news(str(key), metadata["uid"], metadata["resourceVersion"]):
            return
        facts = _facts(key, raw)
        if self._store.put(str(key), facts) != facts:
            self._tell(key)

    def remove(self, raw: Mapping[str, Any]) -> None:
        """Take in that a PolicyRepository was deleted."""
        metadata = raw["metadata"]
        key = Key(metadata["namespace"], metadata["name"])
        if self._store.drop(str(key), metadata["uid"]) is not None:
            self._tell(key)

    def keys(self) -> list[Key]:
        """List every repository."""
        return [facts.key for facts in self._store]

    def get(self, key: Key) -> _Facts | None:
        """Give what is known of one."""
        return self._store.get(str(key))

    def _tell(self, key: Key) -> None:
        for listener in self._listeners:
            listener(key)


class KubeRepositories:
    """Implements ``source_ports.Repositories``."""

    def __init__(self, api: KubeApi, cache: RepositoryCache) -> None:
        self._api = api
        self._cache = cache

    def keys(self) -> Sequence[Key]:
        """List every repository."""
        return self._cache.keys()

    def get(self, key: Key) -> RepositoryCase | None:
        """Read one from the cache, own writes included."""
        found = self._cache.get(key)
        if found is None:
            return None
        return RepositoryCase(
            key,
            found.uid,
            found.generation,
            found.resource_version,
            found.state,
            repository=found.repository,
            faults=found.faults,
        )

    async def save(self, case: RepositoryCase, state: RepositoryState) -> None:
        """Write the status; on a conflict the cache is brought up to date before the error leaves."""
        known = self._cache.get(case.key)
        previous = {"conditions": list(known.conditions)} if known else None
        found = status.repository_state_to_status(state, now=utc_now(), previous=previous)
        if known is not None and known.lost:
            # Whoever broke the status can still mend what stands in it, its inventory above all.
            body: Any = {"metadata": {"resourceVersion": case.resource_version}}
            body["status"] = {"conditions": found.get("conditions", [])}
            await self._write(case.key, body, MERGE_PATCH)
            return
        # The whole status: in a merge, an inventory that has become empty would stay as it was.
        version = {"op": "replace", "path": "/metadata/resourceVersion", "value": case.resource_version}
        await self._write(case.key, [version, {"op": "add", "path": "/status", "value": found}], JSON_PATCH)

    async def _write(self, key: Key, body: Any, content_type: str) -> None:
        path, what = _path(key), f"cannot write the status of PolicyRepository {key}"
        try:
            raw = await self._api.call("PATCH", f"{path}/status", what=what, body=body, content_type=content_type)
        except errors.Conflict:
            self._cache.apply(await self._api.call("GET", path, what=what))
            raise
        self._cache.apply(raw)

    async def secret(self, key: Key) -> Mapping[str, bytes]:
        """Read a Secret's data."""
        path = f"/api/v1/namespaces/{key.namespace}/secrets/{key.name}"
        raw = await self._api.call("GET", path, what=f"cannot read Secret {key}")
        try:
            return {name: base64.b64decode(value) for name, value in (raw.get("data") or {}).items()}
        except binascii.Error as error:
            raise errors.Denied(f"Secret {key} holds data that is not base64", reason="InvalidSecret") from error


def _facts(key: Key, raw: Mapping[str, Any]) -> _Facts:
    metadata, faults = raw["metadata"], []
    repository, state, lost = None, RepositoryState(), False
    try:
        repository = parse.parse_repository(raw)
    except errors.InvalidInput as error:
        faults = [str(fault) for fault in error.faults]
    try:
        state = status.status_to_repository_state(raw.get("status"))
    except errors.InvalidInput as error:
        faults += [str(fault) for fault in error.faults]
        # Without its inventory nothing may be pruned, so a garbled status stops the repository until it is mended.
        repository, lost = None, True
    return _Facts(
        key,
        metadata["uid"],
        metadata.get("generation", 0),
        metadata["resourceVersion"],
        repository,
        tuple(faults),
        state,
        (raw.get("status") or {}).get("conditions") or (),
        lost,
    )


def _path(key: Key) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{key.namespace}/policyrepositories/{key.name}"
