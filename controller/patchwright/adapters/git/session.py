"""The clean room in which one Git operation runs: its environment, its config and its private files."""

from __future__ import annotations

import base64
import contextlib
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from patchwright.domain.sources import Credentials, SourceRequest

# Prints what ssh asks for from a variable that only this process group has; the secret is in no file and no argument.
_ASKPASS = "#!/bin/sh\nprintf '%s\\n' \"$PATCHWRIGHT_ASKPASS\"\n"

_BASE_ENV = {
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ALLOW_PROTOCOL": "http:https:ssh",
    "GIT_LFS_SKIP_SMUDGE": "1",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_SSH_VARIANT": "ssh",
}

_BASE_CONFIG = (
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.symlinks", "false"),
    ("core.bigFileThreshold", "4m"),  # huge blobs are streamed to disk, not held in memory
    ("credential.helper", ""),
    ("fetch.fsckObjects", "true"),
    ("transfer.fsckObjects", "true"),
    ("fetch.recurseSubmodules", "false"),
    ("fetch.unpackLimit", "1"),  # always one pack: thousands of loose files cost more than the pack's index
    ("submodule.recurse", "false"),
    ("gc.auto", "0"),
    ("gc.packRefs", "false"),  # repository.keep reads and removes references as files
    ("maintenance.auto", "false"),
    ("http.followRedirects", "false"),
    ("http.sslVerify", "true"),
    ("protocol.version", "2"),
    ("log.showSignature", "false"),
)

_SSH_OPTIONS = (
    "StrictHostKeyChecking=yes",
    "GlobalKnownHostsFile=/dev/null",
    "UpdateHostKeys=no",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "PreferredAuthentications=publickey",
    "PasswordAuthentication=no",
    "KbdInteractiveAuthentication=no",
    "NumberOfPasswordPrompts=1",
    "ForwardAgent=no",
    "ClearAllForwardings=yes",
    "ControlMaster=no",
    "ControlPath=none",
    "PermitLocalCommand=no",
    "ProxyCommand=none",
    "LogLevel=ERROR",
)


@dataclass(frozen=True, slots=True)
class Session:
    """What every Git process of one operation gets; ``folder`` is private (0700) and goes away with the session."""

    folder: Path
    env: Mapping[str, str] = field(repr=False)
    config: tuple[tuple[str, str], ...] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)

    def environment(self, *more: tuple[str, str], offline: bool = False) -> dict[str, str]:
        """Give the environment with the config in it; ``offline`` leaves the credentials out and every transport off.

        Config travels in ``GIT_CONFIG_*`` variables: ``-c http.extraHeader=…`` would show a token to ``ps``.
        """
        config = (*(_BASE_CONFIG if offline else self.config), *more)
        env = dict(self.env) if not offline else {key: self.env[key] for key in ("PATH", "HOME", *_BASE_ENV)}
        env["GIT_CONFIG_COUNT"] = str(len(config))
        for index, (key, value) in enumerate(config):
            env[f"GIT_CONFIG_KEY_{index}"] = key
            env[f"GIT_CONFIG_VALUE_{index}"] = value
        if offline:
            env["GIT_ALLOW_PROTOCOL"] = "none"
        return env


@contextlib.contextmanager
def open_session(request: SourceRequest, scratch: Path, *, base: Mapping[str, str]) -> Iterator[Session]:
    """Open a session for one request; ``base`` holds PATH and, where a proxy is needed, the proxy variables."""
    with tempfile.TemporaryDirectory(dir=scratch, prefix="session-") as name:
        folder = Path(name)
        env = {**base, **_BASE_ENV, "HOME": name}
        credentials = request.credentials
        config = list(_BASE_CONFIG)
        if urlsplit(request.url).scheme == "ssh":
            env |= _ssh_environment(folder, credentials)
        else:
            config += _http_config(request.url, credentials, folder=folder)
        yield Session(folder, env, tuple(config), _secrets(credentials))


def _http_config(url: str, credentials: Credentials, *, folder: Path) -> Iterator[tuple[str, str]]:
    if credentials.ca_file:
        yield "http.sslCAInfo", str(_private_file(folder / "ca.crt", credentials.ca_file))
    header = _authorization(credentials)
    if header:
        parts = urlsplit(url)
        # Scoped to the server: git sends a header of `http.extraHeader` itself to whatever host it talks to.
        yield f"http.{parts.scheme}://{parts.netloc}/.extraHeader", f"Authorization: {header}"


def _authorization(credentials: Credentials) -> str:
    if credentials.bearer_token:
        return f"Bearer {credentials.bearer_token}"
    if credentials.username or credentials.password:
        return f"Basic {_basic(credentials)}"
    return ""


def _basic(credentials: Credentials) -> str:
    return base64.b64encode(f"{credentials.username}:{credentials.password}".encode()).decode("ascii")


def _ssh_environment(folder: Path, credentials: Credentials) -> dict[str, str]:
    identity = _private_file(folder / "identity", credentials.identity.rstrip() + b"\n")
    known_hosts = _private_file(folder / "known_hosts", credentials.known_hosts.rstrip() + b"\n")
    options = [*_SSH_OPTIONS, f"UserKnownHostsFile={known_hosts}"]
    env = {}
    if credentials.passphrase:
        askpass = _private_file(folder / "askpass", _ASKPASS.encode())
        askpass.chmod(0o700)
        env = {"SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force"}
        env["PATCHWRIGHT_ASKPASS"] = credentials.passphrase
    else:
        options.append("BatchMode=yes")
    command = ["ssh", "-F", "/dev/null", "-i", str(identity)]
    for option in options:
        command += ["-o", option]
    return {**env, "GIT_SSH_COMMAND": shlex.join(command)}


def _private_file(path: Path, content: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path


def _secrets(credentials: Credentials) -> tuple[str, ...]:
    plain = (credentials.password, credentials.bearer_token, credentials.passphrase)
    basic = (_basic(credentials),) if credentials.password else ()
    return tuple(secret for secret in (*plain, *basic) if secret)
