"""A small real Git server over HTTP for the sandbox and the tests: Git's own ``git http-backend`` behind aiohttp.

It is for loopback only: whoever may connect may push, unless credentials are set. Repositories are the bare folders
under ``root``; ``on_push`` is told the repository's name after each push, which is how a webhook is tried out.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self

from aiohttp import web

MAX_BODY = 256 * 1024 * 1024
_ACCEPTING = 0.02

Intercept = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


class GitServer:
    """Serve the bare repositories under ``root``; use it as ``async with GitServer(root) as server``.

    ``credentials`` is ``(user, password)`` for basic authentication or ``("", token)`` for a bearer token.
    ``intercept`` sees each request first and may answer it itself.
    """

    def __init__(
        self,
        root: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        credentials: tuple[str, str] | None = None,
        on_push: Callable[[str], Awaitable[None]] | None = None,
        intercept: Intercept | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._root = root
        self._host = host
        self._port = port
        self._credentials = credentials
        self._on_push = on_push
        self._intercept = intercept
        self._tls = tls
        self._runner: web.AppRunner | None = None
        self._socket: socket.socket | None = None

    @property
    def port(self) -> int:
        """Give the port that is listened on."""
        return self._port

    def url(self, repository: str) -> str:
        """Give the URL of a repository, ``policy.git``."""
        return f"{'https' if self._tls else 'http'}://{self._host}:{self._port}/{repository}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; port 0 picks a free one."""
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        self._socket = socket.create_server((self._host, self._port))
        # Port 0 becomes the real one; a later start() of the same server then listens where clients expect it.
        self._port = int(self._socket.getsockname()[1])
        await web.SockSite(self._runner, self._socket, ssl_context=self._tls).start()

    async def stop(self) -> None:
        """Stop listening and end open requests."""
        if self._runner is None or self._socket is None:
            return
        # asyncio closes a server with an accepted connection on its way into it, and leaves that one open for good
        # (CPython 3.11: an AssertionError in Server._attach that nobody sees). So accepting ends a moment before.
        asyncio.get_running_loop().remove_reader(self._socket)
        await asyncio.sleep(_ACCEPTING)
        await self._runner.cleanup()
        self._runner = self._socket = None

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if self._intercept is not None:
            answer = await self._intercept(request)
            if answer is not None:
                return answer
        if not self._authorized(request):
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="git"'})
        response = await self._backend(request)
        if response.status == 200 and await _is_push(request) and self._on_push is not None:
            await self._on_push(request.path.strip("/").rpartition("/")[0])
        return response

    def _authorized(self, request: web.Request) -> bool:
        if self._credentials is None:
            return True
        user, secret = self._credentials
        basic = base64.b64encode(f"{user}:{secret}".encode()).decode()
        expected = f"Basic {basic}" if user else f"Bearer {secret}"
        return hmac.compare_digest(request.headers.get("Authorization", "").encode(), expected.encode())

    async def _backend(self, request: web.Request) -> web.Response:
        body = await request.read()  # aiohttp has undone gzip, so the backend must not be told of it
        process = await asyncio.create_subprocess_exec(
            "git", "http-backend", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL, env=self._cgi(request, len(body)),
        )  # fmt: skip
        try:
            out, _ = await process.communicate(body)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return _response(out)

    def _cgi(self, request: web.Request, length: int) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": "/nonexistent",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_PROJECT_ROOT": str(self._root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query_string,
            "REQUEST_METHOD": request.method,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(length),
            "REMOTE_ADDR": request.remote or "",
            # Loopback and, where credentials are set, authorised: a remote user is what lets http-backend take a push.
            "REMOTE_USER": "sandbox",
        }


async def _is_push(request: web.Request) -> bool:
    """Tell a push from the empty request that git sends before a large one, to try the credentials."""
    return request.path.endswith("/git-receive-pack") and await request.read() not in (b"", b"0000")


def _response(output: bytes) -> web.Response:
    head, _, body = output.partition(b"\r\n\r\n")
    if not head:
        return web.Response(status=500)
    headers = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n"))
    status = int(headers.pop("Status", "200").split(" ")[0])
    return web.Response(status=status, headers=headers, body=body)
