"""Where a policy's images are written; the words are Flux's (ImageUpdateAutomation) where they mean the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from patchwright.api.base import Rule, WireModel
from patchwright.api.policyrepository import SecretRef
from patchwright.api.scalars import GitRef, GitUrl, RepoPath, WebUrl, given, matching
from patchwright.domain.sources import Author
from patchwright.domain.writeback import proposals, settings

_PLAIN = r"^[^<>\r\n]*[^<>\s][^<>\r\n]*$"


class CommitAuthor(WireModel):
    """In whose name commits are made."""

    name: Annotated[
        str, Field(min_length=1, max_length=128), matching(_PLAIN, "must be a name without <, > and line breaks")
    ]
    """The author's and committer's name."""
    email: Annotated[
        str, Field(min_length=3, max_length=254), matching(r"^[^<>\s@]+@[^<>\s@]+$", "must be an e-mail address")
    ]
    """Its e-mail address."""

    def domain(self) -> Author:
        """Convert to the domain."""
        return Author(self.name, self.email)


class WriteRef(WireModel):
    """Which branch is changed."""

    hints: ClassVar[Mapping[str, str]] = {
        "tag": "commits are made on a branch",
        "semver": "commits are made on a branch",
        "commit": "commits are made on a branch",
    }
    branch: GitRef
    """A branch, such as `main`."""


class WritePullRequest(WireModel):
    """How a pull request (GitLab: a merge request) is opened."""

    provider: Literal["GitHub", "GitLab", "Gitea"]
    """Whose API it is; `Gitea` is Forgejo's, too."""
    address: WebUrl | None = None
    """Where the API is; left out, where it usually is: `api.github.com`, `/api/v3`, `/api/v4` or `/api/v1` of the
    repository's host."""
    secret_ref: SecretRef | None = None
    """A Secret with the token, as `bearerToken` or `password`; left out, the repository's own."""

    def domain(self) -> settings.PullRequestSettings:
        """Convert to the domain."""
        return settings.PullRequestSettings(
            proposals.Provider(self.provider),
            api=self.address or "",
            secret=self.secret_ref.name if self.secret_ref else "",
        )


class WriteGit(WireModel):
    """The repository that workloads are made from."""

    rules = (
        Rule(
            "!self.url.startsWith('ssh://') || has(self.secretRef)",
            "an ssh:// URL needs a secretRef with identity and known_hosts (there is no trust on first use)",
            lambda git: not git.url.startswith("ssh://") or git.secret_ref is not None,
            field=".secretRef",
        ),
        Rule(
            "!has(self.branch) || has(self.pullRequest)",
            "branch names the branches of pull requests and may only be set with pullRequest; ref.branch is the branch "
            "that is changed",
            lambda git: git.branch is None or git.pull_request is not None,
            field=".branch",
        ),
        Rule(
            "!has(self.pullRequest) || has(self.ref)",
            "pullRequest needs ref.branch, which it is to be merged into",
            lambda git: git.pull_request is None or git.ref is not None,
            field=".ref",
        ),
    )
    hints: ClassVar[Mapping[str, str]] = {
        "push": "branches for pull requests are named by branch, and opened by pullRequest",
        "commit": "the author is given as author: {name: …, email: …}",
    }
    url: GitUrl
    """Where the repository is: https, http or ssh."""
    ref: WriteRef | None = None
    """Which branch is changed; left out, the one that the server's HEAD names."""
    branch: GitRef | None = None
    """What the names of branches for pull requests begin with; left out, `patchwright`. The rollout and its step
    follow."""
    path: RepoPath | None = None
    """The folder in which images are looked for; left out, the whole repository."""
    secret_ref: SecretRef | None = None
    """A Secret that lets push: `username` and `password`, `bearerToken`, or `identity` and `known_hosts`."""
    author: CommitAuthor | None = None
    """In whose name commits are made; left out, `Patchwright <patchwright@localhost>`."""
    pull_request: WritePullRequest | None = None
    """Opens a pull request for each step, and waits until somebody merges it; left out, commits are pushed to the
    branch itself."""

    def domain(self) -> settings.GitTarget:
        """Convert to the domain."""
        return settings.GitTarget(
            self.url,
            branch=self.ref.branch if self.ref else "",
            path=self.path or "",
            prefix=f"{self.branch}/" if self.branch else settings.PREFIX,
            secret=self.secret_ref.name if self.secret_ref else "",
            author=self.author.domain() if self.author else settings.AUTHOR,
            pull_request=self.pull_request.domain() if self.pull_request else None,
        )


class Write(WireModel):
    """Where images are written."""

    rules = (
        Rule(
            "!has(self.mode) || (self.mode == 'Git' ? has(self.git) : self.mode != 'Cluster' || !has(self.git))",
            "mode Git needs git, and mode Cluster has none",
            lambda write: (
                write.mode is None or {"Git": write.git is not None, "Cluster": write.git is None}.get(write.mode, True)
            ),
            field=".git",
        ),
    )
    mode: Literal["Cluster", "Git", "Auto"] | None = None
    """`Auto` (the default) writes into Git what Flux or Argo CD applies from there, if `git` is set, and the rest in
    the cluster; `Git` writes everything into Git, `Cluster` nothing. What Flux or Argo CD applies and is not to be
    written into Git is left alone."""
    git: WriteGit | None = None
    """The repository."""

    def domain(self) -> settings.Write:
        """Convert to the domain."""
        return settings.Write(settings.WriteMode(given(self.mode, "Auto")), self.git.domain() if self.git else None)
