"""PolicyRepository: the fields are those of Flux's GitRepository and Kustomization where they have the same meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from patchwright.api.base import Rule, WireModel
from patchwright.api.scalars import (
    PERIOD,
    Bool,
    Commit,
    Duration,
    GitRef,
    GitUrl,
    Name,
    RepoPath,
    WebUrl,
    given,
    matching,
    ruled,
)
from patchwright.domain.model import Key
from patchwright.domain.repository import PolicyRepository as _Domain
from patchwright.domain.repository import VerifyRequest
from patchwright.domain.sources import GitReference, VerifyMode
from patchwright.domain.writeback.proposals import Provider
from patchwright.domain.writeback.settings import FOLDER, ProposalSettings

_DEFAULT = _Domain(Key("", ""), "", 0, url="")


def _is_full(name: str) -> bool:
    return name.startswith("refs/")


class SecretRef(WireModel):
    """A Secret by name."""

    name: Name
    """The name of a Secret in the same namespace."""


class Ref(WireModel):
    """Which commit is followed; of several the first of these counts: commit, name, semver, tag, branch."""

    branch: GitRef | None = None
    """A branch, such as `main`."""
    tag: GitRef | None = None
    """A tag, such as `v1.2.0`."""
    semver: (
        Annotated[
            str,
            Field(min_length=1, max_length=200),
            matching(r"^[0-9A-Za-z.*^~<>=!|, +-]+$", "must be a range of versions such as 1.x or >=1.2.0 <2.0.0"),
        ]
        | None
    ) = None
    """A range over tags, such as `>=1.2.0 <2.0.0`; the highest tag in it is followed."""
    name: (
        Annotated[
            GitRef, ruled("self.startsWith('refs/')", "must be a full reference such as refs/heads/main", _is_full)
        ]
        | None
    ) = None
    """A full reference, such as `refs/heads/main` or `refs/pull/42/head`."""
    commit: Commit | None = None
    """One exact commit: 40 hexadecimal digits."""

    def domain(self) -> GitReference:
        """Convert to the domain."""
        return GitReference(
            self.branch or "",
            self.tag or "",
            semver=self.semver or "",
            name=self.name or "",
            commit=self.commit or "",
        )


class Verify(WireModel):
    """Which signatures a commit must carry; without them nothing of it is used."""

    mode: Literal["HEAD", "Tag", "TagAndHEAD"] | None = None
    """What must be signed: the commit (`HEAD`, the default), the tag that led to it (`Tag`), or both (`TagAndHEAD`)."""
    secret_ref: SecretRef
    """A Secret with the trusted public keys, under keys that end in `.asc` (PGP) or `.sshpub` (SSH)."""

    def domain(self) -> VerifyRequest:
        """Convert to the domain."""
        return VerifyRequest(VerifyMode(given(self.mode, "HEAD")), self.secret_ref.name)


class Rego(WireModel):
    """The policy that comes with the manifests, from the same commit."""

    path: RepoPath
    """The folder of the Rego files, from the repository's root."""


class PullRequest(WireModel):
    """How rollouts are proposed that policies of this repository have found (`trigger: PullRequest`)."""

    provider: Literal["GitHub", "GitLab", "Gitea"]
    """Whose API it is; `Gitea` is Forgejo's, too."""
    address: WebUrl | None = None
    """Where the API is; left out, where it usually is: `api.github.com`, `/api/v3`, `/api/v4` or `/api/v1` of the
    repository's host."""
    secret_ref: SecretRef | None = None
    """A Secret that lets push branches, with the token for the API as `bearerToken` or `password`; left out, the
    repository's own."""
    folder: RepoPath | None = None
    """Where rollouts are put, below `path`; left out, `rollouts`."""

    def domain(self) -> ProposalSettings:
        """Convert to the domain."""
        return ProposalSettings(
            Provider(self.provider),
            api=self.address or "",
            secret=self.secret_ref.name if self.secret_ref else "",
            folder=self.folder or FOLDER,
        )


class PolicyRepositorySpec(WireModel):
    """Which repository is followed, how often, whose commits are trusted, and in whose name it is applied."""

    rules = (
        Rule(
            "!self.url.startsWith('ssh://') || has(self.secretRef)",
            "an ssh:// URL needs a secretRef with identity and known_hosts (there is no trust on first use)",
            lambda spec: not spec.url.startswith("ssh://") or spec.secret_ref is not None,
            field=".secretRef",
        ),
        Rule(
            "!has(self.pullRequest) || (has(self.ref) && has(self.ref.branch))",
            "pullRequest needs ref.branch, which it is to be merged into",
            lambda spec: spec.pull_request is None or (spec.ref is not None and spec.ref.branch is not None),
            field=".ref",
        ),
    )
    hints: ClassVar[Mapping[str, str]] = {
        "sourceRef": "a Flux source is not read yet; give url and ref",
        "recurseSubmodules": "submodules are refused",
        "branch": "the branch is given as ref: {branch: …}",
        "targetNamespace": "objects are applied to the repository's own namespace only",
        "kubeConfig": "other clusters are not written to",
    }
    url: GitUrl
    """The repository: `https://`, `http://` or `ssh://`, without a password."""
    ref: Ref | None = None
    """Which commit is followed; left out, the server's default branch."""
    path: RepoPath | None = None
    """The folder of the manifests, from the repository's root; left out, all of it."""
    interval: Annotated[Duration, PERIOD] | None = None
    """How often the repository is fetched; left out, `1m`. A webhook or the annotation `patchwright.dev/requestedAt`
    does not wait for it."""
    timeout: Annotated[Duration, PERIOD] | None = None
    """How long one fetch may take; left out, `60s`."""
    secret_ref: SecretRef | None = None
    """A Secret with the credentials: `username` and `password`, or `bearerToken`, or `identity` and `known_hosts`;
    `ca.crt` for the server's certificate authority."""
    verify: Verify | None = None
    """Which signatures a commit must carry; left out, none."""
    ignore: Annotated[str, Field(max_length=16384)] | None = None
    """Files that are not read, in the form of .gitignore; it replaces the repository's `.sourceignore`."""
    prune: Bool | None = None
    """Whether objects are deleted that are no longer in the repository; left out, true. An empty or very large deletion
    waits for a person's word in any case."""
    suspend: Bool | None = None
    """Whether the repository is left alone; what was applied stays. Left out, false."""
    service_account_name: Name | None = None
    """The service account that is impersonated for every write, in the same namespace; left out, the operator writes
    in its own name."""
    rego: Rego | None = None
    """The policy of the same commit; left out, the operator's own policy stays in force."""
    pull_request: PullRequest | None = None
    """How rollouts are proposed here; left out, policies with `trigger: PullRequest` propose none."""

    def domain(
        self, key: Key, uid: str, *, generation: int, deleting: bool, requested_at: str, confirm_prune: str
    ) -> _Domain:
        """Convert to the domain."""
        return _Domain(
            key,
            uid,
            generation,
            url=self.url,
            ref=self.ref.domain() if self.ref else GitReference(),
            path=self.path or "",
            rego_path=self.rego.path if self.rego else "",
            interval=given(self.interval, _DEFAULT.interval),
            timeout=given(self.timeout, _DEFAULT.timeout),
            secret_name=self.secret_ref.name if self.secret_ref else None,
            verify=self.verify.domain() if self.verify else None,
            ignore=self.ignore or "",
            prune=given(self.prune, _DEFAULT.prune),
            suspend=bool(self.suspend),
            service_account=self.service_account_name,
            pull_request=self.pull_request.domain() if self.pull_request else None,
            deleting=deleting,
            requested_at=requested_at,
            confirm_prune=confirm_prune,
        )
