"""Whether a commit or a tag is signed by a trusted key.

Judged by return codes and ``%G?``, never by text: for a signature by a key that is not trusted, ssh-keygen still prints
"Good git signature". The keyring is a new, empty one that holds only the Secret's keys: with GnuPG any key in the
keyring verifies.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator

from patchwright.adapters.git.commits import Commit
from patchwright.adapters.git.failures import failure, redact
from patchwright.adapters.git.process import run
from patchwright.adapters.git.refs import Resolved
from patchwright.adapters.git.repository import Repository
from patchwright.domain.sources import Signer, Verification, VerifyMode
from patchwright.errors import SourceError

_SSH_KEY = re.compile(r"\A(ssh-[a-z0-9-]+|ecdsa-[a-z0-9-]+|sk-[a-z0-9@.-]+) [A-Za-z0-9+/]+=*( .*)?\Z", re.ASCII)
_TAG = re.compile(rb"object ([0-9a-f]{40})\ntype commit\ntag ([^\n]+)\n")
_GRADES = {
    "N": "it has no signature",
    "E": "its signature is by none of the trusted keys",
    "U": "its signature is by none of the trusted keys",
    "B": "its signature does not match its content",
    "X": "its signature has expired",
    "Y": "its signature is by an expired key",
    "R": "its signature is by a revoked key",
}


class Verifier:
    """The trusted keys, laid out for Git in the session's private folder."""

    def __init__(self, repository: Repository, verification: Verification) -> None:
        self._repository = repository
        self._verification = verification
        self._url = repository.request.url
        self._signers = repository.session.folder / "allowed_signers"
        self._home = repository.session.folder / "gnupg"

    async def verify(self, commit: Commit, resolved: Resolved) -> tuple[Signer, ...]:
        """Give who signed, or raise SourceError (VerificationError)."""
        await self._lay_out_keys()
        found = []
        if self._verification.mode in (VerifyMode.TAG, VerifyMode.TAG_AND_HEAD):
            found.append(await self._tag(commit, resolved))
        if self._verification.mode in (VerifyMode.HEAD, VerifyMode.TAG_AND_HEAD):
            found.append(await self._commit(commit))
        return tuple(found)

    async def _commit(self, commit: Commit) -> Signer:
        what = f"commit {commit.name}"
        judged = await self._ask("verify-commit", commit.name)
        grade, _, fingerprint = (await self._ask("log", "-1", "--format=%G? %GF", commit.name))[1].partition(" ")
        if judged[0] != 0 or grade != "G":
            raise self._untrusted(what, _GRADES.get(grade, "its signature cannot be checked"))
        return Signer(what, fingerprint.strip())

    async def _tag(self, commit: Commit, resolved: Resolved) -> Signer:
        what = f"tag {resolved.label}"
        if not resolved.tag_object:
            raise self._untrusted(what, "it is not an annotated tag (spec.ref must name a tag or a semver range)")
        raw = await self._repository.git("read the tag", "cat-file", "tag", resolved.tag_object)
        match = _TAG.match(raw)
        # A signed v1.0.0 pushed again under the name v9.9.9 still has a good signature: the name inside must agree.
        name = resolved.wanted.removeprefix("refs/tags/").encode()
        if match is None or match.group(1).decode() != commit.name or match.group(2) != name:
            raise self._untrusted(what, "what is signed is another tag than this one")
        if (await self._ask("verify-tag", resolved.tag_object))[0] != 0:
            raise self._untrusted(what, "it has no signature by one of the trusted keys")
        return Signer(what, "")

    async def _ask(self, *argv: str) -> tuple[int, str]:
        config = (("gpg.ssh.allowedSignersFile", str(self._signers)), ("gpg.minTrustLevel", "undefined"))
        done = await self._repository.succeeds(*argv, config=config, env={"GNUPGHOME": str(self._home)})
        return done.returncode, done.stdout.decode(errors="replace").strip()

    async def _lay_out_keys(self) -> None:
        self._signers.write_text("".join(self._allowed_signers()), encoding="ascii")
        self._home.mkdir(mode=0o700)
        if self._verification.ssh_keys:
            self._require("ssh-keygen")
        if self._verification.pgp_keys:
            self._require("gpg")
            await self._import()

    def _require(self, program: str) -> None:
        if shutil.which(program, path=self._repository.session.env["PATH"]) is None:
            raise failure(
                self._url, f"verify signatures: {program} is not installed",
                next_action=f"install {program} beside git", reason="VerificationError",
            )  # fmt: skip

    def _allowed_signers(self) -> Iterator[str]:
        for name, content in self._verification.ssh_keys:
            for line in content.decode("utf-8", errors="replace").splitlines():
                if line.strip() and not line.startswith("#"):
                    yield f'* namespaces="git" {self._ssh_key(name, line.strip())}\n'

    def _ssh_key(self, name: str, line: str) -> str:
        if not _SSH_KEY.match(line):
            raise self._bad_key(name, "it is no SSH public key (ssh-ed25519 AAAA…)")
        return " ".join(line.split(" ")[:2])

    async def _import(self) -> None:
        (self._home / "gpg.conf").write_text("trust-model always\nno-auto-key-locate\n", encoding="ascii")
        for name, content in self._verification.pgp_keys:
            argv = ("gpg", "--batch", "--no-tty", "--no-autostart", "--quiet", "--status-fd=1", "--import")
            env = {**self._repository.session.environment(offline=True), "GNUPGHOME": str(self._home)}
            done = await run(argv, env=env, stdin=content, max_stdout=64 * 1024)
            # Not the return code: in a folder with a long name gpg imports, then fails on its agent's socket path.
            if b"[GNUPG:] IMPORT_OK " not in done.stdout:
                raise self._bad_key(name, "gpg cannot import it as a public key")

    def _bad_key(self, name: str, why: str) -> SourceError:
        return failure(
            self._url, f"verify signatures with {redact(name)}: {why}",
            next_action="correct the verify.secretRef Secret", reason="VerificationError",
        )  # fmt: skip

    def _untrusted(self, what: str, why: str) -> SourceError:
        return failure(
            self._url, f"trust {what}: {why}", reason="VerificationError",
            next_action="the last verified revision stays in force until a commit signed by a trusted key arrives",
        )  # fmt: skip
