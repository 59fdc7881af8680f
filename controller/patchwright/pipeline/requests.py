"""From a PolicyRepository and its Secrets to what Git is asked."""

from __future__ import annotations

from collections.abc import Mapping

from patchwright import errors
from patchwright.domain.model import Key
from patchwright.domain.repository import PolicyRepository, RepositoryState
from patchwright.domain.sources import Credentials, SourceRequest, Verification, commit_of
from patchwright.source_ports import Repositories


async def source_request(
    repositories: Repositories, repository: PolicyRepository, *, last: RepositoryState
) -> SourceRequest:
    """Put the request together; Secrets come from the repository's own namespace and are read anew each time.

    Raises:
        SourceError: a Secret that the spec names does not exist.
    """
    return SourceRequest(
        url=repository.url,
        ref=repository.ref,
        path=repository.path,
        rego_path=repository.rego_path,
        timeout=repository.timeout,
        credentials=await _credentials(repositories, repository),
        ignore=repository.ignore,
        verify=await _verification(repositories, repository),
        last_commit=commit_of(last.last_applied_revision),
    )


async def _credentials(repositories: Repositories, repository: PolicyRepository) -> Credentials:
    if repository.secret_name is None:
        return Credentials()
    data = await _secret(repositories, repository, repository.secret_name, "spec.secretRef.name")
    return Credentials(
        username=_text(data, "username"),
        password="" if "identity" in data else _text(data, "password"),
        bearer_token=_text(data, "bearerToken"),
        identity=data.get("identity", b""),
        passphrase=_text(data, "password") if "identity" in data else "",
        known_hosts=data.get("known_hosts", b""),
        ca_file=data.get("ca.crt", data.get("caFile", b"")),
    )


async def _verification(repositories: Repositories, repository: PolicyRepository) -> Verification | None:
    wanted = repository.verify
    if wanted is None:
        return None
    data = await _secret(repositories, repository, wanted.secret_name, "spec.verify.secretRef.name")
    keys = sorted(data.items())
    return Verification(
        wanted.mode,
        pgp_keys=tuple((name, value) for name, value in keys if name.endswith(".asc")),
        ssh_keys=tuple((name, value) for name, value in keys if name.endswith(".sshpub")),
    )


async def _secret(
    repositories: Repositories, repository: PolicyRepository, name: str, field: str
) -> Mapping[str, bytes]:
    key = Key(repository.key.namespace, name)
    try:
        return await repositories.secret(key)
    except errors.NotFound:
        message = f"{field}: Secret {key} does not exist; create it or correct the name"
        raise errors.SourceError(message, reason="AuthenticationFailed", retry_after=30.0) from None


def _text(data: Mapping[str, bytes], name: str) -> str:
    return data.get(name, b"").decode(errors="replace").rstrip("\n")
