"""Servers for tests without an event loop: each lives in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from patchwright.sandbox.gitserver import GitServer
from support.fault_proxy import FaultProxy

T = TypeVar("T")


class StatusServer:
    """An HTTP server that answers every GET with ``status``, which may be changed at any time."""

    def __init__(self) -> None:
        self.status = 200
        answering = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(answering.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> StatusServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class GitHost:
    """A ``GitServer`` that is started and stopped from outside its loop; ``on_push`` is called in its thread."""

    def __init__(
        self,
        root: Path,
        *,
        credentials: tuple[str, str] | None = None,
        on_push: Callable[[str], None] = lambda _: None,
    ) -> None:
        async def pushed(name: str) -> None:
            await asyncio.to_thread(on_push, name)

        self._server = GitServer(root, credentials=credentials, on_push=pushed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def url(self, repository: str) -> str:
        return self._server.url(repository)

    def start(self) -> None:
        """Listen, on the same port as before."""
        self._do(self._server.start())

    def stop(self) -> None:
        """Stop listening."""
        self._do(self._server.stop())

    def _do(self, what: Awaitable[T]) -> T:
        async def done() -> T:
            return await what

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(timeout=30)

    @contextlib.contextmanager
    def serving(self) -> Iterator[GitHost]:
        """Serve inside a ``with``."""
        self._thread.start()
        self.start()
        try:
            yield self
        finally:
            self.stop()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


@contextlib.contextmanager
def proxied(server: str) -> Iterator[FaultProxy]:
    """Put a proxy that can break requests in front of a server."""
    proxy = FaultProxy(server=server)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def do(what: Awaitable[T]) -> T:
        async def done() -> T:
            return await what

        return asyncio.run_coroutine_threadsafe(done(), loop).result(timeout=30)

    do(proxy.__aenter__())
    try:
        yield proxy
    finally:
        do(proxy.__aexit__(None, None, None))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
