"""What writing into Git needs from the outside; the same rules hold as for ``patchwright.ports``."""

from __future__ import annotations

from typing import Protocol

from patchwright.domain.model import Key
from patchwright.domain.sources import Credentials
from patchwright.domain.writeback.orders import Addition, Destination, WriteOrder, Written
from patchwright.domain.writeback.proposals import Host, Proposal, PullRequest


class Commits(Protocol):
    """Git, with the credentials that an order brings; raises ``SourceError`` and ``WriteBackError``."""

    async def write(self, order: WriteOrder) -> Written:
        """Bring about what the order says."""


class Additions(Protocol):
    """The same, for files that are new; raises ``SourceError`` and ``WriteBackError``."""

    async def add(self, addition: Addition) -> bool:
        """Have a branch that adds a file; tell whether it is one, for the base may have the file already."""

    async def branches(self, place: Destination, *, prefix: str) -> tuple[str, ...]:
        """List the branches whose names begin so."""


class GitSecrets(Protocol):
    """The Secrets that let write."""

    async def credentials(self, key: Key, *, name: str) -> Credentials:
        """Read a Secret (``name`` is the field that names it); raises ``InvalidInput`` and ``ClusterError``."""


class PullRequests(Protocol):
    """The hosts of repositories: GitHub, GitLab, Gitea. Every method raises ``WriteBackError`` only."""

    async def find(self, host: Host, proposal: Proposal) -> PullRequest | None:
        """Give the newest pull request of the branch, open, merged or closed."""

    async def ensure(self, host: Host, proposal: Proposal) -> PullRequest:
        """Give the pull request of the branch, opened if there never was one.

        One that a person has closed stays closed, and is given as it is.
        """

    async def close(self, host: Host, number: int) -> PullRequest:
        """Close a pull request; one that is merged or closed already stays as it is."""
