"""A reverse proxy in front of a real server that lets tests break single requests.

The server is real (an API server, an image registry) and everything passes through unchanged, but for requests that an
injected fault matches: they are delayed, answered otherwise, cut short or cut off, before or after the real server has
carried them out. Clients speak plain HTTP to the proxy, which logs in upstream as the kubeconfig says.

    async with FaultProxy(kubeconfig) as proxy:
        proxy.inject(Fault("/eviction$", method="POST", status=429, retry_after=7))
        api = await client.connect(proxy.kubeconfig(tmp_path / "kubeconfig"))
    async with FaultProxy(server=plane.registry_url) as proxy:
        proxy.inject(Fault("/manifests/", truncate=10))
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import yaml
from aiohttp import web

_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host", "content-encoding"})


@dataclass(slots=True)
class Fault:
    """What happens to requests whose path (query included) ``path`` is found in.

    ``status`` answers in the server's stead with a Status object (or ``body``), ``delay`` waits first, ``reset`` cuts
    the connection without an answer, and ``lose_answer`` does so after the server has carried the request out. Of what
    passes through, ``headers`` are set, ``replace`` changes the body, and after ``truncate`` bytes of it the connection
    is cut. With ``times`` the fault is over after so many hits.
    """

    path: str
    method: str = ""
    status: int = 0
    body: Any = None
    reason: str = ""
    retry_after: int | None = None
    delay: float = 0.0
    reset: bool = False
    lose_answer: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    replace: tuple[bytes, bytes] | None = None
    truncate: int | None = None
    times: int | None = None
    hits: int = 0

    def takes(self, method: str, path: str) -> bool:
        """Tell whether this request is hit."""
        spent = self.times is not None and self.hits >= self.times
        return not spent and self.method in ("", method) and re.search(self.path, path) is not None

    def changed(self, body: bytes) -> bytes:
        """Give what is let through of a body."""
        return body.replace(*self.replace or (b"", b""))[: self.truncate]


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that came through."""

    method: str
    path: str
    user_agent: str
    authorization: str = ""


@dataclass(slots=True)
class _Upstream:
    url: str
    headers: dict[str, str]
    tls: ssl.SSLContext | bool = True


@dataclass(slots=True)
class FaultProxy:
    """The proxy of the server of a kubeconfig, or of one at an address; an async context manager.

    ``seen`` lists every request in order, the broken ones included.
    """

    kubeconfig_of_server: Path | None = None
    server: str = ""
    seen: list[Seen] = field(default_factory=list)
    _faults: list[Fault] = field(default_factory=list)
    _session: aiohttp.ClientSession | None = None
    _runner: web.AppRunner | None = None
    _upstream: _Upstream | None = None
    _port: int = 0

    async def __aenter__(self) -> Self:
        """Listen on a free loopback port."""
        kubeconfig = self.kubeconfig_of_server
        self._upstream = _upstream(kubeconfig) if kubeconfig is not None else _Upstream(self.server, {})
        connector = aiohttp.TCPConnector(ssl=self._upstream.tls, limit=0)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        application = web.Application(client_max_size=0)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening."""
        assert self._runner is not None
        assert self._session is not None
        await self._session.close()
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Where the proxy listens."""
        return f"http://127.0.0.1:{self._port}"

    def kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig that goes through the proxy; give its path."""
        body = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "proxy",
            "clusters": [{"name": "proxy", "cluster": {"server": self.url}}],
            "users": [{"name": "proxy", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
        }
        path.write_text(yaml.safe_dump(body), encoding="utf-8")
        return path

    def inject(self, fault: Fault) -> Fault:
        """Add a fault; the first one that takes a request has it. Its ``hits`` count."""
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Take every fault away."""
        self._faults.clear()

    def count(self, method: str, path: str) -> int:
        """Count the requests seen so far whose path ``path`` is found in."""
        return sum(each.method == method and re.search(path, each.path) is not None for each in self.seen)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path_qs
        headers = request.headers
        self.seen.append(Seen(request.method, path, headers.get("User-Agent", ""), headers.get("Authorization", "")))
        fault = next((each for each in self._faults if each.takes(request.method, path)), None)
        if fault is None:
            return await self._pass(request)
        fault.hits += 1
        await asyncio.sleep(fault.delay)
        if fault.reset:
            return _cut_off(request)
        if fault.lose_answer:
            await self._swallow(request)
            return _cut_off(request)
        return _answer(fault) if fault.status else await self._pass(request, fault)

    async def _swallow(self, request: web.Request) -> None:
        async with await self._send(request) as response:
            await response.read()

    async def _pass(self, request: web.Request, fault: Fault | None = None) -> web.StreamResponse:
        async with await self._send(request) as upstream:
            headers = {key: value for key, value in upstream.headers.items() if key.lower() not in _HOP}
            answer = web.StreamResponse(status=upstream.status, headers=headers)
            answer.headers.update(fault.headers if fault else {})
            if "Content-Encoding" in upstream.headers:
                answer.headers["Content-Encoding"] = upstream.headers["Content-Encoding"]
            await answer.prepare(request)
            try:
                if fault is not None and (fault.replace or fault.truncate is not None):
                    await answer.write(fault.changed(await upstream.read()))
                async for chunk in upstream.content.iter_any():
                    await answer.write(chunk)
                if fault is not None and fault.truncate is not None:
                    return _cut_off(request)
                await answer.write_eof()
            except (aiohttp.ClientError, ConnectionError):
                return _cut_off(request)
            return answer

    async def _send(self, request: web.Request) -> aiohttp.ClientResponse:
        assert self._session is not None
        assert self._upstream is not None
        headers = {key: value for key, value in request.headers.items() if key.lower() not in _HOP}
        return await self._session.request(
            request.method,
            f"{self._upstream.url}{request.path_qs}",
            headers={**headers, **self._upstream.headers},
            data=await request.read(),
            timeout=aiohttp.ClientTimeout(total=None),
        )


async def let_tls_end() -> None:
    """Wait for the other side's goodbye on TLS connections that were closed in the middle of an answer.

    asyncio keeps such a connection open until then, and a loop that ends before that never closes it: the warning
    failed whichever test the garbage collector met next (aiohttp, "Graceful Shutdown").
    """
    await asyncio.sleep(0.1)


def _answer(fault: Fault) -> web.Response:
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": "injected",
        "reason": fault.reason,
        "code": fault.status,
    }
    headers = dict(fault.headers)
    if fault.retry_after is not None:
        headers["Retry-After"] = str(fault.retry_after)
    text = fault.body if isinstance(fault.body, str) else json.dumps(fault.body or status)
    return web.Response(status=fault.status, text=text, content_type="application/json", headers=headers)


def _cut_off(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=502)


def _upstream(kubeconfig: Path) -> _Upstream:
    config = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    context = next(each["context"] for each in config["contexts"] if each["name"] == config["current-context"])
    cluster = next(each["cluster"] for each in config["clusters"] if each["name"] == context["cluster"])
    user = next(each["user"] for each in config["users"] if each["name"] == context["user"])
    headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
    return _Upstream(cluster["server"], headers, _tls(cluster, user, kubeconfig.parent))


def _tls(cluster: Any, user: Any, base: Path) -> ssl.SSLContext:
    authority = _pem(cluster, "certificate-authority", base)
    tls = ssl.create_default_context(cadata=authority) if authority else ssl.create_default_context()
    if cluster.get("insecure-skip-tls-verify"):
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    certificate, key = _pem(user, "client-certificate", base), _pem(user, "client-key", base)
    if certificate and key:
        with tempfile.TemporaryDirectory() as folder:
            both = Path(folder) / "pair.pem"
            both.write_text(f"{certificate}\n{key}", encoding="utf-8")
            tls.load_cert_chain(both)
    return tls


def _pem(raw: Any, name: str, base: Path) -> str:
    if f"{name}-data" in raw:
        return base64.b64decode(raw[f"{name}-data"]).decode()
    return (base / raw[name]).read_text(encoding="utf-8") if name in raw else ""
