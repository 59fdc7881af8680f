"""From a PolicyRepository and its Secrets to what Git is asked."""

from __future__ import annotations

from collections.abc import Mapping

from patchwright import errors
from patchwright.domain.model import Key
from patchwright.domain.repository import PolicyRepository, RepositoryState
from patchwright.domain.sources import Credentials, SourceRequest, Verification, commit_of
from patchwright.source_ports import SourceWorld

SECRET = "spec.secretRef.name"  # noqa: S105 (a field's path)
KEYS = "spec.verify.secretRef.name"


async def source_request(world: SourceWorld, repository: PolicyRepository, *, last: RepositoryState) -> SourceRequest:
    """Put the request together; Secrets come from the repository's own namespace and are read anew each time.

    Raises:
        SourceError: a Secret that the spec names does not exist.
        InvalidInput: a Secret does not hold what it should.
    """
    return SourceRequest(
        url=repository.url,
        ref=repository.ref,
        path=repository.path,
        rego_path=repository.rego_path,
        timeout=repository.timeout,
        credentials=await _credentials(world, repository),
        ignore=repository.ignore,
        verify=await _verification(world, repository),
        last_commit=commit_of(last.last_applied_revision),
    )


async def _credentials(world: SourceWorld, repository: PolicyRepository) -> Credentials:
    if repository.secret_name is None:
        return Credentials()
    return world.sources.credentials(
        await _secret(world, repository, repository.secret_name, field=SECRET), name=SECRET
    )


async def _verification(world: SourceWorld, repository: PolicyRepository) -> Verification | None:
    wanted = repository.verify
    if wanted is None:
        return None
    data = await _secret(world, repository, wanted.secret_name, field=KEYS)
    return world.sources.verification(data, wanted.mode, name=KEYS)


async def _secret(world: SourceWorld, repository: PolicyRepository, name: str, *, field: str) -> Mapping[str, bytes]:
    key = Key(repository.key.namespace, name)
    try:
        return await world.repositories.secret(key)
    except errors.NotFound:
        message = f"{field}: Secret {key} does not exist; create it or correct the name"
        raise errors.SourceError(message, reason="AuthenticationFailed", retry_after=30.0) from None
