"""Signatures by SSH and PGP keys: trusted, unknown, missing, expired, tampered, replayed under another name."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from patchwright.adapters.git import GitSource, verification_from_secret
from patchwright.domain.sources import GitReference, SourceRequest, Verification, VerifyMode
from patchwright.errors import InvalidInput, SourceError
from patchwright.sandbox.gitserver import GitServer
from support.git_servers import SshKey, Upstream, git, ssh_key

SIGN = ("-S",)


@pytest.fixture
def trusted(tmp_path: Path) -> SshKey:
    return ssh_key(tmp_path / "trusted")


@pytest.fixture
def upstream(tmp_path: Path, trusted: SshKey) -> Upstream:
    return Upstream(tmp_path / "srv", options=signing_with(trusted))


@pytest.fixture
def source(tmp_path: Path) -> GitSource:
    return GitSource(tmp_path / "cache")


@pytest.fixture
async def asked(upstream: Upstream, trusted: SshKey) -> AsyncIterator[SourceRequest]:
    async with GitServer(upstream.root) as server:
        yield SourceRequest(url=server.url("policy.git"), verify=ssh_verification(trusted))


def signing_with(key: SshKey) -> tuple[str, ...]:
    return ("-c", "gpg.format=ssh", "-c", f"user.signingKey={key.path}")


def ssh_verification(key: SshKey, mode: VerifyMode = VerifyMode.HEAD) -> Verification:
    return verification_from_secret({"robot.sshpub": key.public}, mode)


async def refusal_of(source: GitSource, request: SourceRequest) -> str:
    with pytest.raises(SourceError) as caught:
        await source.fetch(request)
    assert caught.value.reason == "VerificationError"
    return caught.value.message


def fingerprint(key: SshKey) -> str:
    argv = ["ssh-keygen", "-lf", str(key.path)]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()[1]


async def test_a_commit_signed_by_a_trusted_ssh_key_is_taken_and_names_the_key(
    upstream: Upstream, source: GitSource, asked: SourceRequest, trusted: SshKey
) -> None:
    commit = upstream.commit({"a.yaml": "a"}, options=SIGN)
    (signer,) = (await source.fetch(asked)).signers
    assert (signer.signed, signer.fingerprint) == (f"commit {commit}", fingerprint(trusted))


async def test_an_unsigned_commit_is_refused_and_the_signed_one_before_it_can_still_be_read(
    upstream: Upstream, source: GitSource, asked: SourceRequest
) -> None:
    signed = upstream.commit({"a.yaml": "a"}, options=SIGN)
    await source.fetch(asked)
    unsigned = upstream.commit({"a.yaml": "b"})
    for _ in range(2):
        message = await refusal_of(source, asked)
        assert f"cannot trust commit {unsigned}: it has no signature" in message
        assert "the last verified revision stays in force" in message
    assert (await source.cached(asked, f"main@sha1:{signed}")).manifests == {"a.yaml": b"a"}
    with pytest.raises(SourceError):
        await source.cached(asked, f"main@sha1:{unsigned}")


async def test_a_signature_by_another_ssh_key_is_refused_although_git_calls_it_good(
    upstream: Upstream, source: GitSource, asked: SourceRequest, tmp_path: Path
) -> None:
    upstream.options = signing_with(ssh_key(tmp_path / "stranger"))
    upstream.commit({"a.yaml": "a"}, options=SIGN)
    assert "its signature is by none of the trusted keys" in await refusal_of(source, asked)


async def test_changed_keys_count_at_once_for_a_commit_that_is_in_the_cache(
    upstream: Upstream, source: GitSource, asked: SourceRequest, tmp_path: Path
) -> None:
    upstream.commit({"a.yaml": "a"}, options=SIGN)
    await source.fetch(asked)
    await refusal_of(source, replace(asked, verify=ssh_verification(ssh_key(tmp_path / "next"))))
    assert (await source.fetch(replace(asked, verify=None))).signers == ()


async def test_a_commit_changed_after_signing_is_refused(
    upstream: Upstream, source: GitSource, asked: SourceRequest
) -> None:
    upstream.commit({"a.yaml": "a"}, options=SIGN)
    raw = git("cat-file", "commit", "HEAD", cwd=upstream.work)
    forged = upstream.work / ".git/forged"
    forged.write_text(raw.replace("A. Author", "M. Allory") + "\n")
    commit = git("hash-object", "-t", "commit", "-w", str(forged), cwd=upstream.work)
    git("update-ref", "refs/heads/main", commit, cwd=upstream.work)
    upstream.push()
    assert f"cannot trust commit {commit}" in await refusal_of(source, asked)


async def test_a_signed_tag_is_taken_in_tag_mode_and_the_commit_needs_its_own_in_tag_and_head(
    upstream: Upstream, source: GitSource, asked: SourceRequest, trusted: SshKey
) -> None:
    upstream.commit({"a.yaml": "a"})
    upstream.tag("v1.0.0", "-s", "-m", "one")
    tagged = replace(asked, ref=GitReference(semver="1.x"), verify=ssh_verification(trusted, VerifyMode.TAG))
    found = await source.fetch(tagged)
    assert [s.signed for s in found.signers] == ["tag v1.0.0"]
    assert await source.cached(tagged, found.revision) == found
    both = replace(tagged, verify=ssh_verification(trusted, VerifyMode.TAG_AND_HEAD))
    assert "it has no signature" in await refusal_of(source, both)
    commit = upstream.commit({"a.yaml": "b"}, options=SIGN)
    upstream.tag("v1.1.0", "-s", "-m", "two")
    assert [s.signed for s in (await source.fetch(both)).signers] == ["tag v1.1.0", f"commit {commit}"]


async def test_tags_that_are_light_unsigned_or_by_a_stranger_are_refused(
    upstream: Upstream, source: GitSource, asked: SourceRequest, trusted: SshKey, tmp_path: Path
) -> None:
    upstream.commit({"a.yaml": "a"}, options=SIGN)
    upstream.tag("light")
    upstream.tag("unsigned", "-a", "-m", "x")
    upstream.options = signing_with(ssh_key(tmp_path / "stranger"))
    upstream.tag("strange", "-s", "-m", "x")
    tagged = replace(asked, verify=ssh_verification(trusted, VerifyMode.TAG))
    assert "not an annotated tag" in await refusal_of(source, replace(tagged, ref=GitReference(tag="light")))
    assert "not an annotated tag" in await refusal_of(source, replace(tagged, ref=GitReference(branch="main")))
    for name in ("unsigned", "strange"):
        message = await refusal_of(source, replace(tagged, ref=GitReference(tag=name)))
        assert f"cannot trust tag {name}: it has no signature by one of the trusted keys" in message


async def test_a_signed_tag_pushed_again_under_another_name_is_refused(
    upstream: Upstream, source: GitSource, asked: SourceRequest, trusted: SshKey
) -> None:
    upstream.commit({"a.yaml": "a"}, options=SIGN)
    upstream.tag("v1.0.0", "-s", "-m", "old and vulnerable")
    git("push", "--quiet", str(upstream.bare), "refs/tags/v1.0.0:refs/tags/v9.0.0", cwd=upstream.work)
    tagged = replace(asked, ref=GitReference(semver="*"), verify=ssh_verification(trusted, VerifyMode.TAG))
    assert "what is signed is another tag than this one" in await refusal_of(source, tagged)


@dataclass(frozen=True, slots=True)
class Pgp:
    home: Path
    user: str

    @property
    def public(self) -> bytes:
        return self.run("--armor", "--export", self.user)

    def run(self, *argv: str) -> bytes:
        base = ["gpg", "--batch", "--quiet", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", ""]
        env = {"PATH": os.environ["PATH"], "GNUPGHOME": str(self.home), "LC_ALL": "C"}
        return subprocess.run([*base, *argv], env=env, check=True, capture_output=True).stdout


@pytest.fixture
def pgp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pgp]:
    home = tmp_path_factory.mktemp("pgp")
    home.chmod(0o700)
    key = Pgp(home, "robot@example.com")
    key.run("--quick-generate-key", key.user, "ed25519", "sign", "never")
    yield key
    env = {"PATH": os.environ["PATH"], "GNUPGHOME": str(home)}
    subprocess.run(["gpgconf", "--kill", "all"], env=env, check=True)  # the agent of this home only


async def test_a_pgp_signature_is_taken_from_a_key_of_the_secret_only(
    upstream: Upstream, source: GitSource, asked: SourceRequest, pgp: Pgp, tmp_path: Path
) -> None:
    upstream.options = ("-c", f"user.signingKey={pgp.user}")
    commit = upstream.commit({"a.yaml": "a"}, options=SIGN, GNUPGHOME=str(pgp.home))
    request = replace(asked, verify=verification_from_secret({"robot.asc": pgp.public}, VerifyMode.HEAD))
    (signer,) = (await source.fetch(request)).signers
    assert signer.signed == f"commit {commit}"
    assert len(signer.fingerprint) == 40
    assert "by none of the trusted keys" in await refusal_of(source, asked)
    upstream.tag("v1", "-s", "-m", "x", GNUPGHOME=str(pgp.home))
    tagged = replace(
        request, ref=GitReference(tag="v1"), verify=replace(request.verify or Verification(), mode=VerifyMode.TAG)
    )
    assert [s.signed for s in (await source.fetch(tagged)).signers] == ["tag v1"]
    assert not list((tmp_path / "cache/sessions").iterdir())


async def test_a_signature_by_an_expired_or_revoked_pgp_key_is_refused(
    upstream: Upstream, source: GitSource, asked: SourceRequest, pgp: Pgp
) -> None:
    old = Pgp(pgp.home, "old@example.com")
    pgp.run("--faked-system-time", "20260101T000000", "--quick-generate-key", old.user, "ed25519", "sign", "1d")
    wrapper = pgp.home / "gpg-then"
    wrapper.write_text('#!/bin/sh\nexec gpg --faked-system-time 20260101T010000 "$@"\n')
    wrapper.chmod(0o700)
    upstream.options = ("-c", f"user.signingKey={old.user}", "-c", f"gpg.program={wrapper}")
    upstream.commit({"a.yaml": "a"}, options=SIGN, GNUPGHOME=str(pgp.home))
    request = replace(asked, verify=verification_from_secret({"old.asc": old.public}, VerifyMode.HEAD))
    assert "expired" in await refusal_of(source, request)


async def test_keys_that_are_no_keys_are_named(source: GitSource, asked: SourceRequest, upstream: Upstream) -> None:
    upstream.commit({"a.yaml": "a"}, options=SIGN)
    for name, content in {"x.sshpub": b"not a key", "y.asc": b"-----BEGIN nonsense"}.items():
        verify = verification_from_secret({name: content}, VerifyMode.HEAD)
        assert f"cannot verify signatures with {name}" in await refusal_of(source, replace(asked, verify=verify))


async def test_an_ssh_key_line_cannot_smuggle_in_another_principal_or_option(
    source: GitSource, asked: SourceRequest, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.commit({"a.yaml": "a"}, options=SIGN)
    other = ssh_key(tmp_path / "ca")
    verify = verification_from_secret({"x.sshpub": b"cert-authority " + other.public}, VerifyMode.HEAD)
    assert "it is no SSH public key" in await refusal_of(source, replace(asked, verify=verify))


async def test_a_missing_gpg_is_said(upstream: Upstream, asked: SourceRequest, tmp_path: Path) -> None:
    upstream.commit({"a.yaml": "a"}, options=SIGN)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("git", "sh"):
        (tools / name).symlink_to(next(p for p in map(Path, ("/usr/bin", "/bin")) if (p / name).exists()) / name)
    source = GitSource(tmp_path / "cache2", environment={"PATH": str(tools)})
    for name, program in {"x.asc": "gpg", "y.sshpub": "ssh-keygen"}.items():
        verify = verification_from_secret({name: b"ssh-ed25519 AAAA"}, VerifyMode.HEAD)
        message = await refusal_of(source, replace(asked, verify=verify))
        assert f"cannot verify signatures: {program} is not installed; install {program} beside git" in message


def test_a_secret_without_any_key_is_refused_rather_than_trusting_all() -> None:
    for data in ({}, {"key.pub": b"x"}, {"a.asc": b" "}):
        with pytest.raises(InvalidInput) as caught:
            verification_from_secret(data, VerifyMode.HEAD)
        assert caught.value.reason == "VerificationError"
