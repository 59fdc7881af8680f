"""Pull requests (GitLab: merge requests) by which a branch of ours is proposed to people."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import assert_never
from urllib.parse import urlsplit

from patchwright.domain.sources import Credentials


class Provider(StrEnum):
    """Whose API it is; Forgejo speaks Gitea's."""

    GITHUB = "GitHub"
    GITLAB = "GitLab"
    GITEA = "Gitea"


class ProposalState(StrEnum):
    """What became of a pull request."""

    OPEN = "Open"
    MERGED = "Merged"
    CLOSED = "Closed"


@dataclass(frozen=True, slots=True)
class Host:
    """Where the pull requests of a repository are: ``api`` is the address of the API, empty for the usual one."""

    provider: Provider
    url: str
    api: str = ""
    credentials: Credentials = field(default=Credentials(), repr=False)

    @property
    def project(self) -> str:
        """The repository's path on its host, ``acme/shop``."""
        return urlsplit(self.url).path.strip("/").removesuffix(".git")

    @property
    def token(self) -> str:
        """What the API is asked with; a password is an access token wherever an API takes one."""
        return self.credentials.bearer_token or self.credentials.password


@dataclass(frozen=True, slots=True)
class Proposal:
    """A pull request that is wanted: branch ``head`` into branch ``base``."""

    head: str
    base: str
    title: str
    body: str = ""


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request as its host tells of it; ``commit`` is the one that it was merged by, empty before."""

    number: int
    url: str
    state: ProposalState
    commit: str = ""


def api_root(host: Host) -> str:
    """Give the address of the API of a repository's host."""
    if host.api:
        return host.api.rstrip("/")
    parts = urlsplit(host.url)
    name = parts.hostname or ""
    # The port of ssh is sshd's; whoever has another for HTTP than the usual one says so in address.
    where = f"https://{name}" if parts.scheme == "ssh" else f"{parts.scheme}://{parts.netloc}"
    match host.provider:
        case Provider.GITHUB:
            return "https://api.github.com" if name == "github.com" else f"{where}/api/v3"
        case Provider.GITLAB:
            return f"{where}/api/v4"
        case Provider.GITEA:
            return f"{where}/api/v1"
        case _ as never:
            assert_never(never)
