"""The HTTP session of the ``prometheus`` and ``http`` checks, and what its failures mean."""

from __future__ import annotations

import socket

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

import patchwright
from patchwright.adapters.health.looks import short
from patchwright.domain import endpoints

_AT_ONCE = 32


class ForbiddenAddress(OSError):
    """A host name resolves to an address that no health check may use."""


class GuardedResolver(AbstractResolver):
    """Resolves host names and refuses those of metadata services.

    It is asked for the very address that is connected to, so that a name which changes between two questions (DNS
    rebinding) gains nothing.
    """

    def __init__(self, inner: AbstractResolver | None = None) -> None:
        self._inner = inner or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve ``host``; raises ForbiddenAddress when any of its addresses is forbidden."""
        found = await self._inner.resolve(host, port, family)
        if any(endpoints.forbidden(result["host"]) for result in found):
            raise ForbiddenAddress(f"{host} resolves to an address that serves the node's own metadata")
        return found

    async def close(self) -> None:
        """Release what the resolver holds."""
        await self._inner.close()


def new_session() -> aiohttp.ClientSession:
    """Open a session that trusts nothing of the environment and keeps nothing between two checks.

    Connections are not reused: a kept one would ask the same pod behind a Service for ever.
    """
    connector = aiohttp.TCPConnector(
        resolver=GuardedResolver(),
        force_close=True,
        limit=_AT_ONCE,
        use_dns_cache=False,
        # aiohttp's own context, which it made at import; a second one would hold the loop for 33 ms to read every CA.
        ssl=True,
    )
    return aiohttp.ClientSession(
        connector=connector,
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        # The dispatcher's timeout covers the whole of a check.
        timeout=aiohttp.ClientTimeout(total=None),
        headers={"User-Agent": f"patchwright/{patchwright.__version__}"},
    )


def cause(error: aiohttp.ClientError | OSError) -> str:
    """Say in a phrase why there is no (whole) answer."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return f"its certificate is not trusted ({short(error.certificate_error)})"
        case aiohttp.ClientConnectorError() if isinstance(error.os_error, ForbiddenAddress):
            return str(error.os_error)
        case aiohttp.ClientConnectorDNSError():
            return f"the host name cannot be resolved ({short(error.os_error.strerror)})"
        case aiohttp.ClientConnectorError():
            return f"the connection fails ({short(error.os_error.strerror or error.os_error)})"
        case aiohttp.InvalidURL():
            return "the URL cannot be used"
        case aiohttp.ClientPayloadError():
            return "the answer breaks off"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            return "the connection is closed without an answer"
        case aiohttp.ClientResponseError():
            return "the answer is no HTTP"
        case _:
            return f"the connection fails ({type(error).__name__})"
