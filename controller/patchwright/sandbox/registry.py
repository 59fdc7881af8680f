"""The image registry: ``distribution``, on loopback, its images in the sandbox's folder."""

from __future__ import annotations

import secrets
from pathlib import Path

from patchwright.sandbox.settings import Registry


def config(wanted: Registry, folder: Path, *, address: str) -> dict[str, object]:
    """Give the registry's configuration; writes the files that it names."""
    found: dict[str, object] = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}, "delete": {"enabled": True}},
        # Relative addresses in its answers: whoever came through a proxy stays there.
        "http": {"addr": address, "secret": secrets.token_hex(16), "relativeurls": True},
    }
    return found | ({"auth": auth} if (auth := _auth(wanted, folder)) else {})


def _auth(wanted: Registry, folder: Path) -> dict[str, object]:
    if wanted.token is not None:
        jwks = _write(folder / "registry.jwks", wanted.token.jwks)
        names = {"realm": wanted.token.realm, "service": wanted.token.service, "issuer": wanted.token.issuer}
        return {"token": {**names, "jwks": str(jwks)}}
    if wanted.htpasswd:
        path = _write(folder / "registry.htpasswd", wanted.htpasswd)
        return {"htpasswd": {"realm": "patchwright-sandbox", "path": str(path)}}
    return {}


def _write(path: Path, text: str) -> Path:
    # Private before there is anything in it.
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    return path
