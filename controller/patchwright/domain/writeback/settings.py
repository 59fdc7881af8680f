"""How a policy has images written: in the cluster, or into the repository that the cluster is made from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from patchwright.domain.sources import Author
from patchwright.domain.writeback.proposals import Provider

AUTHOR = Author("Patchwright", "patchwright@localhost")
PREFIX = "patchwright/"
FOLDER = "rollouts"


class WriteMode(StrEnum):
    """Where images are written.

    ``Auto`` writes into Git what Flux or Argo CD applies from there, if ``git`` says where; the rest in the cluster.
    """

    CLUSTER = "Cluster"
    GIT = "Git"
    AUTO = "Auto"


@dataclass(frozen=True, slots=True)
class PullRequestSettings:
    """How pull requests are opened; ``secret`` is a Secret's name, empty for the repository's own."""

    provider: Provider
    api: str = ""
    secret: str = ""


@dataclass(frozen=True, slots=True)
class ProposalSettings:
    """How a repository is asked for a rollout; ``folder`` is where it is put, below the path that is followed.

    ``secret`` is a Secret's name, empty for the repository's own.
    """

    provider: Provider
    api: str = ""
    secret: str = ""
    folder: str = FOLDER


@dataclass(frozen=True, slots=True)
class GitTarget:
    """Which folder of which branch is changed, in whose name; ``prefix`` begins the names of branches for proposals."""

    url: str
    branch: str = ""
    path: str = ""
    prefix: str = PREFIX
    secret: str = ""
    author: Author = AUTHOR
    pull_request: PullRequestSettings | None = None


@dataclass(frozen=True, slots=True)
class Write:
    """Where images are written."""

    mode: WriteMode = WriteMode.AUTO
    git: GitTarget | None = None

    def into_git(self, *, owned: bool) -> bool:
        """Tell whether a workload is changed in Git; ``owned`` says that somebody applies it from there."""
        return self.git is not None and (self.mode is WriteMode.GIT or (self.mode is WriteMode.AUTO and owned))
