"""Serves the bundle to OPA over HTTP, with an ETag and long polling, so that a new revision is active at once.

OPA asks with ``Prefer: …;wait=<seconds>`` and its last ETag; the answer is held back until there is another bundle or
the time is up. See https://www.openpolicyagent.org/docs/management-bundles#http-long-polling.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from typing import Final, Self

from aiohttp import web

from patchwright.adapters.opa.bundle import Bundle
from patchwright.adapters.opa.config import BUNDLE_RESOURCE

MAX_WAIT_SECONDS: Final = 60.0

# OPA keeps long polling only while the answer has exactly this type.
_CONTENT_TYPE: Final = "application/vnd.openpolicyagent.bundles"
_WAIT: Final = re.compile(r"\bwait=(\d+)")


class BundleServer:
    """An HTTP server on ``host``; ``port`` 0 takes a free one. Belongs to the event loop that starts it.

    ``token``, if given, is the bearer token that OPA must send. Until the first ``publish`` OPA is kept waiting and is
    not ready.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, token: str | None = None) -> None:
        self._host = host
        self._port = port
        self._token = token
        self._bundle: Bundle | None = None
        self._changed = asyncio.Event()
        self._closing = False
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        """Start serving."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop serving."""
        await self.stop()

    @property
    def url(self) -> str:
        """The service's URL for ``opa_config``; known once started."""
        return f"http://{self._host}:{self._port}"

    @property
    def bundle_url(self) -> str:
        """The URL of the bundle itself; known once started."""
        return f"{self.url}/{BUNDLE_RESOURCE}"

    @property
    def revision(self) -> str | None:
        """The revision that is published, if any."""
        return self._bundle.revision if self._bundle else None

    async def start(self) -> None:
        """Listen. ``OSError`` if the port is taken."""
        application = web.Application()
        application.router.add_get(f"/{BUNDLE_RESOURCE}", self._serve)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Answer whoever waits, and stop listening."""
        self._closing = True
        self._changed.set()
        if self._runner is not None:
            await self._runner.cleanup()

    def publish(self, bundle: Bundle) -> None:
        """Serve ``bundle`` from now on, and wake the waiting requests."""
        self._bundle = bundle
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _serve(self, request: web.Request) -> web.Response:
        if not self._known(request):
            return web.Response(status=401)
        held = request.headers.get("If-None-Match", "").split(",")[0].strip()
        if self._bundle is None or self._bundle.etag == held:
            await self._wait(request)
        if self._bundle is None:
            return web.Response(status=503)
        if self._bundle.etag == held:
            return web.Response(status=304, headers={"ETag": held, "Content-Type": _CONTENT_TYPE})
        headers = {"ETag": self._bundle.etag, "Content-Type": _CONTENT_TYPE}
        return web.Response(body=self._bundle.content, headers=headers)

    def _known(self, request: web.Request) -> bool:
        if self._token is None:
            return True
        given = request.headers.get("Authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode())

    async def _wait(self, request: web.Request) -> None:
        wanted = _WAIT.search(request.headers.get("Prefer", ""))
        seconds = min(float(wanted[1]), MAX_WAIT_SECONDS) if wanted else 0.0
        if seconds and not self._closing:
            try:
                await asyncio.wait_for(self._changed.wait(), seconds)
            except TimeoutError:
                return
