"""Where intent comes from: what to fetch from Git, and what was found there.

The vocabulary is Flux's (source-controller v1 GitRepository), so that a user of Flux reads our YAML without a manual.
Secrets are values here, never text: they are kept out of ``repr``, so that no log line can carry one by accident.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class GitReference:
    """Which commit is meant; the precedence is branch < tag < semver < name < commit, as in Flux.

    All empty means the branch that the server's ``HEAD`` names. ``commit`` is 40 hexadecimal digits, ``name`` a full
    reference (``refs/heads/main``), ``semver`` a range over tags (``>=1.2.0 <2.0.0``, ``1.x``, ``^1.2``).
    """

    branch: str = ""
    tag: str = ""
    semver: str = ""
    name: str = ""
    commit: str = ""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the server asks for; at most one of password, token and identity is used, by the URL's scheme.

    ``identity`` is an SSH private key, ``passphrase`` opens it, ``known_hosts`` are the server's keys (there is no
    trust on first use), ``ca_file`` is a PEM bundle for HTTPS.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    bearer_token: str = field(default="", repr=False)
    identity: bytes = field(default=b"", repr=False)
    passphrase: str = field(default="", repr=False)
    known_hosts: bytes = field(default=b"", repr=False)
    ca_file: bytes = field(default=b"", repr=False)


class VerifyMode(StrEnum):
    """Which signatures must be good."""

    HEAD = "HEAD"
    TAG = "Tag"
    TAG_AND_HEAD = "TagAndHEAD"


@dataclass(frozen=True, slots=True)
class Verification:
    """Whose signatures are trusted: ASCII-armoured PGP public keys and SSH public keys, by the Secret's key."""

    mode: VerifyMode = VerifyMode.HEAD
    pgp_keys: tuple[tuple[str, bytes], ...] = ()
    ssh_keys: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """How much is read from one source; sizes are bytes. Past any of them nothing is read at all."""

    file_bytes: int = MIB
    files: int = 5_000
    total_bytes: int = 32 * MIB
    tree_depth: int = 24
    transfer_bytes: int = 256 * MIB


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """What to fetch.

    ``path`` is the folder of the manifests and ``rego_path`` the folder of the policy, both relative to the
    repository's root; an empty ``rego_path`` means no policy. ``last_commit`` is the commit that was applied last:
    with it the fetch can tell whether the branch was moved to a history that does not contain it.
    """

    url: str
    ref: GitReference = GitReference()
    path: str = ""
    rego_path: str = ""
    timeout: timedelta = timedelta(seconds=60)
    credentials: Credentials = Credentials()
    ignore: str = ""
    verify: Verification | None = None
    limits: SourceLimits = SourceLimits()
    last_commit: str = ""


class History(StrEnum):
    """How a commit relates to the one that was applied last."""

    FIRST = "First"
    UNCHANGED = "Unchanged"
    FAST_FORWARD = "FastForward"
    FORCED = "Forced"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Author:
    """Who wrote a commit, as the commit says; a claim unless the commit is verified."""

    name: str
    email: str


@dataclass(frozen=True, slots=True)
class Signer:
    """Whose key made a good signature: what was signed, the key's fingerprint, and the key's name in the Secret."""

    signed: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class SourceSnapshot:
    """What one commit holds under the paths that were asked for.

    ``revision`` has Flux's form, ``main@sha1:<40 hex>``. ``manifests`` and ``rego`` map a path from the repository's
    root to the bytes there. ``digest`` (``sha256:…``) covers both, so two commits with equal content compare equal.
    """

    revision: str
    commit: str
    committed_at: datetime
    author: Author
    subject: str
    manifests: Mapping[str, bytes]
    rego: Mapping[str, bytes]
    digest: str
    history: History = History.FIRST
    signers: tuple[Signer, ...] = ()


def revision_of(label: str, commit: str) -> str:
    """Give Flux's revision string; ``label`` is the branch, tag or reference, empty for a bare commit."""
    return f"{label}@sha1:{commit}" if label else f"sha1:{commit}"


def commit_of(revision: str) -> str:
    """Give the commit of a revision string, or an empty string when it has none."""
    return revision.rpartition("sha1:")[2] if "sha1:" in revision else ""
