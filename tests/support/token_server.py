"""A token server as registries name one: Basic in, a bearer token out, signed so that ``distribution`` believes it.

https://distribution.github.io/distribution/spec/auth/jwt/. It lives in a thread, so that a registry can be told of it
before there is a loop.
"""

from __future__ import annotations

import base64
import http.server
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from patchwright.sandbox import settings

SERVICE, ISSUER, KEY_ID = "registry.example.com", "tokens.example.com", "one"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for a token: the scopes, and the Authorization header it came with."""

    scopes: tuple[str, ...]
    authorization: str


@dataclass(slots=True)
class TokenServer:
    """A context manager. ``users`` are let in by their password; ``anonymous`` says whether nobody is, too.

    ``status`` and ``body`` answer in its stead; ``lifetime`` is what a token is said to live, in seconds, and ``valid``
    what the registry will see.
    """

    users: Mapping[str, str] = field(default_factory=dict)
    anonymous: bool = False
    lifetime: int = 300
    valid: int = 300
    status: int = 200
    body: bytes | None = None
    field_name: str = "token"
    asked: list[Asked] = field(default_factory=list)
    _key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    _server: http.server.ThreadingHTTPServer | None = None
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        answering = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = answering.answer(self.path, self.headers.get("Authorization", ""))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        assert self._thread is not None
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where tokens are asked for."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_port}/token"

    @property
    def auth(self) -> settings.TokenAuth:
        """What a registry must be told to believe these tokens."""
        numbers = self._key.public_key().public_numbers()
        x, y = (_b64(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
        key = {"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": KEY_ID, "x": x, "y": y}
        return settings.TokenAuth(self.url, SERVICE, ISSUER, json.dumps({"keys": [key]}))

    def answer(self, path: str, authorization: str) -> tuple[int, bytes]:
        """Answer a request for a token."""
        query = parse_qs(urlsplit(path).query)
        scopes = tuple(query.get("scope", ()))
        self.asked.append(Asked(scopes, authorization))
        if self.status != 200 or self.body is not None:
            return self.status, self.body or b""
        if not self._lets_in(authorization) or query.get("service") != [SERVICE]:
            return 401, b""
        token = self.token(scopes)
        return 200, json.dumps({self.field_name: token, "expires_in": self.lifetime}).encode()

    def token(self, scopes: Sequence[str]) -> str:
        """Sign a token for scopes such as ``repository:shop/api:pull``."""
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = int(time.time())
        # The registry grants a minute of grace (its Leeway) at both ends.
        expires = now + self.valid if self.valid > 0 else now - 61
        claims = {"iss": ISSUER, "sub": "robot", "aud": [SERVICE], "exp": expires, "nbf": now - 100, "iat": now}
        return self._signed({**claims, "jti": str(time.monotonic_ns()), "access": access})

    def _signed(self, claims: Mapping[str, Any]) -> str:
        head = {"typ": "JWT", "alg": "ES256", "kid": KEY_ID}
        text = f"{_b64(json.dumps(head).encode())}.{_b64(json.dumps(claims).encode())}"
        r, s = utils.decode_dss_signature(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def _lets_in(self, authorization: str) -> bool:
        if not authorization:
            return self.anonymous
        user, _, password = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        return self.users.get(user) == password


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
