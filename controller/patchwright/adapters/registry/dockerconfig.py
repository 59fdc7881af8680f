"""Pull secrets as a keyring: ``.dockerconfigjson`` and the older ``.dockercfg``, read as kubelet reads them."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from patchwright.domain.images import keyring
from patchwright.domain.images.keyring import Entry, Keyring, Login
from patchwright.errors import Fault, InvalidInput

CONFIG_JSON: Final = ".dockerconfigjson"
CONFIG: Final = ".dockercfg"
_SHOWN: Final = 80


def read(secrets: Mapping[str, Mapping[str, bytes]]) -> Keyring:
    """Read the data of pull secrets, by name, in the order in which they are tried.

    Credential helpers (``credHelpers``, ``credsStore``) and identity tokens are passed over, as kubelet does.

    Raises:
        InvalidInput: with a fault for each thing that is wrong.
    """
    entries: list[Entry] = []
    faults: list[Fault] = []
    for name, data in secrets.items():
        try:
            entries += _entries(data)
        except ValueError as error:
            faults.append(Fault(f"imagePullSecrets[{name}]", str(error)))
    if faults:
        raise InvalidInput(faults, reason="AuthenticationFailed")
    return keyring.keyring(entries)


def _entries(data: Mapping[str, bytes]) -> Iterator[Entry]:
    key = CONFIG_JSON if CONFIG_JSON in data else CONFIG
    if key not in data:
        raise ValueError(f"the Secret has neither {CONFIG_JSON} nor {CONFIG}; make it with kubectl create secret")
    try:
        document: Any = json.loads(data[key])
    except (ValueError, RecursionError):
        raise ValueError(f"{key} is no JSON; make the Secret anew") from None
    auths = document.get("auths", {}) if key == CONFIG_JSON and isinstance(document, dict) else document
    if not isinstance(auths, dict):
        raise ValueError(f"{key} has no object of logins; make the Secret anew")
    for where, raw in auths.items():
        login = _login(where[:_SHOWN], raw)
        # An entry without a word in it is what `docker logout` leaves: nobody.
        if (login.username or login.password) and (found := keyring.entry(where, login)) is not None:
            yield found


def _login(where: str, raw: Any) -> Login:
    if not isinstance(raw, dict):
        raise ValueError(f"the login for {where!r} is no object; make the Secret anew")
    auth = raw.get("auth")
    if not auth:
        return Login(str(raw.get("username") or ""), str(raw.get("password") or ""))
    try:
        text = str(auth).strip()
        username, colon, password = (
            base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode().partition(":")
        )
    except (binascii.Error, UnicodeDecodeError):
        username, colon, password = "", "", ""
    if not colon:
        raise ValueError(f"auth of the login for {where!r} is no base64 of user:password; make the Secret anew")
    # `docker login` may leave NULs behind the password (containerd trims them, too).
    return Login(username, password.rstrip("\0"))
