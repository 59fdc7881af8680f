"""The Secrets of a PolicyRepository, in Flux's keys, as values."""

from __future__ import annotations

from collections.abc import Mapping

from patchwright.domain.sources import Credentials, Verification, VerifyMode
from patchwright.errors import Fault, InvalidInput

_TEXT_KEYS = ("username", "password", "bearerToken")
_UNSUPPORTED = {
    "tls.crt": "client certificates are not supported; use username and password, bearerToken or identity",
    "githubAppID": "GitHub App keys are not supported; use a deploy key (identity) or a token (bearerToken)",
}


def credentials_from_secret(data: Mapping[str, bytes], *, name: str = "secretRef") -> Credentials:
    """Read the decoded ``data`` of a Secret; raise InvalidInput with one fault for each thing that is wrong.

    Keys: ``username`` and ``password``, or ``bearerToken``, or ``identity`` and ``known_hosts`` (``password`` then
    opens the identity), and ``ca.crt`` (``caFile`` is Flux's older name).
    """
    faults = [Fault(f"{name}.{key}", why) for key, why in _UNSUPPORTED.items() if key in data]
    text = {key: _text(name, key, data=data, faults=faults) for key in _TEXT_KEYS}
    faults += _combination_faults(name, data)
    if faults:
        raise InvalidInput(faults, reason="AuthenticationFailed")
    identity = data.get("identity", b"")
    return Credentials(
        username=text["username"],
        password="" if identity else text["password"],
        bearer_token=text["bearerToken"],
        identity=identity,
        passphrase=text["password"] if identity else "",
        known_hosts=data.get("known_hosts", b""),
        ca_file=data.get("ca.crt") or data.get("caFile", b""),
    )


def verification_from_secret(
    data: Mapping[str, bytes], mode: VerifyMode, *, name: str = "verify.secretRef"
) -> Verification:
    """Read trusted keys: ``*.asc`` (PGP) and ``*.sshpub`` (SSH); no key at all is a fault, not "trust everything"."""
    pgp = tuple(sorted((key, value) for key, value in data.items() if key.endswith(".asc") and value.strip()))
    ssh = tuple(sorted((key, value) for key, value in data.items() if key.endswith(".sshpub") and value.strip()))
    if not pgp and not ssh:
        raise InvalidInput([Fault(name, "the Secret holds no *.asc and no *.sshpub key")], reason="VerificationError")
    return Verification(mode, pgp_keys=pgp, ssh_keys=ssh)


def _text(name: str, key: str, *, data: Mapping[str, bytes], faults: list[Fault]) -> str:
    try:
        text = data.get(key, b"").decode("utf-8")
    except UnicodeDecodeError:
        faults.append(Fault(f"{name}.{key}", "it is not UTF-8 text"))
        return ""
    # `kubectl create secret --from-file` keeps the file's last newline; inside, one would split an HTTP header.
    text = text.rstrip("\r\n")
    if not text.isprintable():
        faults.append(Fault(f"{name}.{key}", "it holds a control character"))
    return text


def _combination_faults(name: str, data: Mapping[str, bytes]) -> list[Fault]:
    faults = []
    if data.get("identity") and not data.get("known_hosts", b"").strip():
        faults.append(Fault(f"{name}.known_hosts", "an SSH identity needs the server's keys (ssh-keyscan prints them)"))
    if data.get("username") and "password" not in data and "identity" not in data:
        faults.append(Fault(f"{name}.password", "username is set without a password"))
    if data.get("bearerToken") and data.get("username"):
        faults.append(Fault(f"{name}.bearerToken", "set either bearerToken or username and password"))
    return faults
