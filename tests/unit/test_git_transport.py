"""What the server does wrong, and what a secret must never do: hang, break off, redirect, refuse, leak."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import os
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from patchwright.adapters.git import GitSource, credentials_from_secret
from patchwright.adapters.git.failures import git_failed
from patchwright.domain.sources import Credentials, GitReference, SourceRequest
from patchwright.errors import InvalidInput, SourceError
from patchwright.sandbox.gitserver import GitServer
from support.git_servers import SshServer, Upstream, ssh_git_server, ssh_key

MAIN = GitReference(branch="main")
SECRET = "correct-horse-battery"


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    upstream = Upstream(tmp_path / "srv")
    upstream.commit({"a.yaml": "a"})
    return upstream


@pytest.fixture
def source(tmp_path: Path) -> GitSource:
    return GitSource(tmp_path / "cache")


async def failure_of(source: GitSource, request: SourceRequest) -> SourceError:
    with pytest.raises(SourceError) as caught:
        await source.fetch(request)
    assert SECRET not in caught.value.message
    assert "\n" not in caught.value.message
    return caught.value


def processes_of_group() -> set[str]:
    """Give the command lines of the git and ssh processes that descend from this test."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent in (os.getpid(), 1) and command.startswith(("git ", "ssh ", "/bin/sh -c ulimit")):
                found.add(command)
    return found


def answer(response: Callable[[], web.StreamResponse]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        return response()

    return handle


@pytest.mark.parametrize(
    ("given", "asked_for"),
    [
        (Credentials(username="robot", password=SECRET + "x"), ("robot", SECRET)),
        (Credentials(bearer_token=SECRET + "x"), ("", SECRET)),
        (Credentials(), ("robot", SECRET)),
    ],
)
async def test_wrong_or_missing_credentials_are_an_authentication_failure(
    upstream: Upstream, source: GitSource, given: Credentials, asked_for: tuple[str, str]
) -> None:
    async with GitServer(upstream.root, credentials=asked_for) as server:
        url = server.url("policy.git")
        error = await failure_of(source, SourceRequest(url=url, ref=MAIN, credentials=given))
    assert (error.reason, error.retry_after) == ("AuthenticationFailed", 60.0)
    assert error.message.startswith(f"Git repository {url}: cannot list references: the server refused the credentials")
    assert "check the Secret that secretRef names" in error.message


async def test_a_server_that_hangs_is_given_up_and_its_processes_are_gone(
    upstream: Upstream, source: GitSource
) -> None:
    async def hang(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise web.HTTPOk

    before = processes_of_group()
    async with GitServer(upstream.root, intercept=hang) as server:
        request = SourceRequest(url=server.url("policy.git"), ref=MAIN, timeout=timedelta(seconds=0.5))
        started = time.monotonic()
        error = await failure_of(source, request)
        assert time.monotonic() - started < 3
        assert processes_of_group() == before
    assert (error.reason, error.retry_after) == ("GitOperationFailed", 15.0)
    assert "cannot finish within 0.5 s; it is tried again" in error.message


async def test_a_cancelled_fetch_ends_its_processes_and_frees_the_source(upstream: Upstream, source: GitSource) -> None:
    reached = asyncio.Event()

    async def hang(request: web.Request) -> web.StreamResponse | None:
        if not reached.is_set():
            reached.set()
            await asyncio.sleep(60)
        return None

    before = processes_of_group()
    async with GitServer(upstream.root, intercept=hang) as server:
        request = SourceRequest(url=server.url("policy.git"), ref=MAIN)
        task = asyncio.create_task(source.fetch(request))
        await reached.wait()
        assert processes_of_group() > before
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert processes_of_group() == before
        assert (await source.fetch(request)).manifests == {"a.yaml": b"a"}


@pytest.mark.parametrize(
    ("status", "reason", "said"),
    [
        (500, "GitOperationFailed", "the server does not answer"),
        (503, "GitOperationFailed", "the server does not answer"),
        (403, "AuthenticationFailed", "the server refused the credentials"),
        (404, "GitOperationFailed", "there is no such repository"),
    ],
)
async def test_a_status_of_the_server_is_told_and_its_text_is_not(
    upstream: Upstream, source: GitSource, status: int, reason: str, said: str
) -> None:
    text = "internal: ami-id=secret-metadata"
    handle = answer(lambda: web.Response(status=status, text=text, content_type="text/plain"))
    async with GitServer(upstream.root, intercept=handle) as server:
        error = await failure_of(source, SourceRequest(url=server.url("policy.git"), ref=MAIN))
    assert error.reason == reason
    assert said in error.message
    assert "secret-metadata" not in error.message


def test_what_the_server_says_is_neither_shown_nor_believed() -> None:
    stderr = "remote: certificate of db.internal\nfatal: unable to access 'x': The requested URL returned error: 500"
    error = git_failed("https://x.example/y", "fetch main", stderr=stderr)
    assert "the server does not answer (fatal: unable to access" in error.message
    only = git_failed("https://x.example/y", "fetch main", stderr="remote: Permission denied, db.internal")
    assert only.message == "Git repository https://x.example/y: cannot fetch main: git failed; it is tried again."


async def test_a_page_that_is_no_git_server_is_told(upstream: Upstream, source: GitSource) -> None:
    handle = answer(lambda: web.Response(text="<html>login</html>", content_type="text/html"))
    async with GitServer(upstream.root, intercept=handle) as server:
        error = await failure_of(source, SourceRequest(url=server.url("policy.git")))
    assert "the repository is empty, or this is no Git repository" in error.message


async def test_a_redirect_to_another_host_is_not_followed_and_gets_no_secret(
    upstream: Upstream, source: GitSource
) -> None:
    stolen: list[str] = []

    async def thief(request: web.Request) -> None:
        stolen.append(request.headers.get("Authorization", ""))

    async with GitServer(upstream.root, intercept=thief) as other:
        target = other.url("policy.git") + "/info/refs?service=git-upload-pack"

        async def redirect(request: web.Request) -> web.StreamResponse:
            return web.Response(status=302, headers={"Location": target})

        async with GitServer(upstream.root, intercept=redirect) as server:
            credentials = Credentials(username="robot", password=SECRET)
            request = SourceRequest(url=server.url("policy.git"), ref=MAIN, credentials=credentials)
            error = await failure_of(source, request)
    assert stolen == []
    assert "redirects are not followed" in error.message
    assert "put the final address in spec.url" in error.message


async def test_a_server_that_dies_midway_leaves_the_source_usable(upstream: Upstream, source: GitSource) -> None:
    broken = True

    async def die(request: web.Request) -> web.StreamResponse | None:
        if broken and request.method == "POST" and b"command=fetch" in await request.read():
            response = web.StreamResponse(headers={"Content-Type": "application/x-git-upload-pack-result"})
            await response.prepare(request)
            await response.write(b"000dpackfile\n")
            assert request.transport is not None
            request.transport.abort()
            return response
        return None

    async with GitServer(upstream.root, intercept=die) as server:
        request = SourceRequest(url=server.url("policy.git"), ref=MAIN)
        error = await failure_of(source, request)
        assert (error.reason, error.retry_after) == ("GitOperationFailed", 15.0)
        assert "the connection broke off" in error.message
        broken = False
        assert (await source.fetch(request)).manifests == {"a.yaml": b"a"}


async def test_a_server_that_is_away_is_told_and_what_was_fetched_stays(upstream: Upstream, source: GitSource) -> None:
    server = GitServer(upstream.root)
    await server.start()
    request = SourceRequest(url=server.url("policy.git"), ref=MAIN)
    found = await source.fetch(request)
    await server.stop()
    error = await failure_of(source, request)
    assert (error.reason, error.retry_after) == ("GitOperationFailed", 15.0)
    assert "the server does not answer" in error.message
    assert (await source.cached(request, found.revision)).manifests == found.manifests


async def test_no_secret_is_in_any_argument_and_none_reaches_a_local_git(
    upstream: Upstream, source: GitSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[tuple[str, ...], dict[str, str]]] = []
    real = asyncio.create_subprocess_exec

    async def spy(*argv: str, **options: object) -> object:
        env = options.get("env")
        assert isinstance(env, dict)
        calls.append((argv, env))
        return await real(*argv, **options)  # type: ignore[arg-type] # the options are those of the real call

    async with GitServer(upstream.root, credentials=("robot", SECRET)) as server:
        monkeypatch.setattr("patchwright.adapters.git.process.asyncio.create_subprocess_exec", spy)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-for-git")
        credentials = Credentials(username="robot", password=SECRET)
        await source.fetch(SourceRequest(url=server.url("policy.git"), ref=MAIN, credentials=credentials))
        monkeypatch.undo()
    ours = [(argv, env) for argv, env in calls if "http-backend" not in argv]
    assert len(ours) >= 6
    for argv, env in ours:
        network = "ls-remote" in argv or "fetch" in argv
        assert not [part for part in argv if SECRET in part or "Authorization" in part or "Basic" in part]
        assert any("Authorization" in value for value in env.values()) is network
        assert "AWS_SECRET_ACCESS_KEY" not in env
        assert {env["GIT_TERMINAL_PROMPT"], env["GIT_CONFIG_NOSYSTEM"]} == {"0", "1"} - {"1"} | {"1"}
        assert env["GIT_ALLOW_PROTOCOL"] == ("http:https:ssh" if network else "none")


async def test_https_is_trusted_by_the_secrets_authority_only(
    upstream: Upstream, source: GitSource, tmp_path: Path
) -> None:
    certificate, context = self_signed(tmp_path)
    async with GitServer(upstream.root, tls=context) as server:
        request = SourceRequest(url=server.url("policy.git"), ref=MAIN)
        error = await failure_of(source, request)
        assert "TLS certificate is not trusted" in error.message
        assert "put the certificate authority in ca.crt" in error.message
        trusted = replace(request, credentials=Credentials(ca_file=certificate))
        assert (await source.fetch(trusted)).manifests == {"a.yaml": b"a"}


def self_signed(folder: Path) -> tuple[bytes, ssl.SSLContext]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "git")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(address, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "tls.pem").write_bytes(private + certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.pem")
    return certificate, context


@pytest.fixture
async def ssh(upstream: Upstream, tmp_path: Path) -> AsyncIterator[SshServer]:
    host, user = ssh_key(tmp_path / "host"), ssh_key(tmp_path / "user", passphrase="")
    async with ssh_git_server(upstream.root, host_key=host, authorized=user) as server:
        yield server


def over_ssh(server: SshServer, credentials: Credentials) -> SourceRequest:
    return SourceRequest(url=server.url("policy.git"), ref=MAIN, credentials=credentials)


async def test_ssh_fetches_with_an_identity_and_known_hosts(
    upstream: Upstream, source: GitSource, ssh: SshServer, tmp_path: Path
) -> None:
    identity = (tmp_path / "user").read_bytes()
    request = over_ssh(ssh, Credentials(identity=identity, known_hosts=ssh.known_hosts()))
    assert (await source.fetch(request)).revision == f"main@sha1:{upstream.head()}"
    commit = upstream.commit({"a.yaml": "b"})
    assert (await source.fetch(request)).commit == commit
    assert not list((tmp_path / "cache/sessions").iterdir())


async def test_ssh_opens_an_identity_with_its_passphrase_and_names_a_wrong_one(
    upstream: Upstream, source: GitSource, tmp_path: Path
) -> None:
    host, user = ssh_key(tmp_path / "h"), ssh_key(tmp_path / "u", passphrase=SECRET)
    async with ssh_git_server(upstream.root, host_key=host, authorized=user) as server:
        right = Credentials(identity=user.private, passphrase=SECRET, known_hosts=server.known_hosts())
        assert (await source.fetch(over_ssh(server, right))).manifests == {"a.yaml": b"a"}
        for wrong in ("not it", ""):
            error = await failure_of(source, over_ssh(server, replace(right, passphrase=wrong)))
            assert error.reason == "AuthenticationFailed"


async def test_ssh_refuses_another_host_key_and_names_known_hosts(
    source: GitSource, ssh: SshServer, tmp_path: Path
) -> None:
    identity = (tmp_path / "user").read_bytes()
    for known in (ssh.known_hosts(ssh_key(tmp_path / "other")), b"example.com ssh-ed25519 AAAA\n"):
        error = await failure_of(source, over_ssh(ssh, Credentials(identity=identity, known_hosts=known)))
        assert error.reason == "AuthenticationFailed"
        assert "the server's host key is not the one in known_hosts" in error.message


async def test_ssh_names_a_key_that_the_server_does_not_take(source: GitSource, ssh: SshServer, tmp_path: Path) -> None:
    stranger = ssh_key(tmp_path / "stranger")
    credentials = Credentials(identity=stranger.private, known_hosts=ssh.known_hosts())
    error = await failure_of(source, over_ssh(ssh, credentials))
    assert error.reason == "AuthenticationFailed"
    assert "the server refused the credentials" in error.message


@pytest.mark.parametrize(
    ("credentials", "missing"),
    [
        (Credentials(), "no identity and no known_hosts"),
        (Credentials(identity=b"x"), "no known_hosts"),
        (Credentials(known_hosts=b"x"), "no identity"),
        (Credentials(identity=b"x", known_hosts=b" \n"), "no known_hosts"),
    ],
)
async def test_ssh_without_identity_or_known_hosts_never_connects(
    source: GitSource, credentials: Credentials, missing: str
) -> None:
    error = await failure_of(source, SourceRequest(url="ssh://git@example.invalid/x", credentials=credentials))
    assert error.reason == "AuthenticationFailed"
    assert f"the Secret has {missing};" in error.message


async def test_ssh_names_a_repository_that_is_not_there(source: GitSource, ssh: SshServer, tmp_path: Path) -> None:
    credentials = Credentials(identity=(tmp_path / "user").read_bytes(), known_hosts=ssh.known_hosts())
    error = await failure_of(source, replace(over_ssh(ssh, credentials), url=ssh.url("gone.git")))
    assert "there is no such repository" in error.message


def test_a_secret_is_read_in_fluxs_keys() -> None:
    read = credentials_from_secret
    assert read({"username": b"u", "password": b"p\n"}) == Credentials(username="u", password="p")
    assert read({"bearerToken": b"t", "ca.crt": b"c"}) == Credentials(bearer_token="t", ca_file=b"c")
    assert read({"identity": b"k", "known_hosts": b"h", "password": b"open"}) == Credentials(
        identity=b"k", known_hosts=b"h", passphrase="open"
    )
    assert read({"caFile": b"c"}).ca_file == b"c"
    assert read({}) == Credentials()


def test_every_fault_of_a_secret_is_named_without_its_value() -> None:
    data = {"username": b"u", "bearerToken": b"to\nken", "identity": b"k", "password": b"\xff", "tls.crt": b"x"}
    with pytest.raises(InvalidInput) as caught:
        credentials_from_secret(data)
    assert caught.value.reason == "AuthenticationFailed"
    assert [fault.path for fault in caught.value.faults] == [
        "secretRef.tls.crt", "secretRef.password", "secretRef.bearerToken", "secretRef.known_hosts",
        "secretRef.bearerToken",
    ]  # fmt: skip
    assert "ken" not in str(caught.value).replace("bearerToken", "")


def test_secrets_are_not_in_the_repr_of_a_request() -> None:
    credentials = Credentials("u", SECRET, SECRET, SECRET.encode(), SECRET, b"h", b"c")
    assert SECRET not in repr(SourceRequest(url="https://x.example/y", credentials=credentials))
