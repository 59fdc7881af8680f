"""What the operator serves: health, readiness, metrics, and the webhook that says "pull now"."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass

import prometheus_client
from aiohttp import web

from patchwright.domain.model import Key


@dataclass(frozen=True, slots=True)
class Probes:
    """What the endpoints ask: an empty answer is good, any other says what is wrong."""

    alive: Callable[[], str]
    ready: Callable[[], str]


def application(
    probes: Probes,
    registry: prometheus_client.CollectorRegistry,
    *,
    pulled: Callable[[Key], None],
    hook_token: str = "",
) -> web.Application:
    """Give the application.

    ``POST /hook/<namespace>/<name>`` has a PolicyRepository fetched at once; it carries no payload that is believed,
    and with ``hook_token`` it wants it as a bearer token.
    """

    async def healthz(_: web.Request) -> web.Response:
        return _probe(probes.alive())

    async def readyz(_: web.Request) -> web.Response:
        return _probe(probes.ready())

    async def metrics(_: web.Request) -> web.Response:
        body = prometheus_client.generate_latest(registry)
        return web.Response(body=body, headers={"Content-Type": prometheus_client.CONTENT_TYPE_LATEST})

    async def hook(request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if hook_token and not hmac.compare_digest(given.encode(), hook_token.encode()):
            return web.Response(status=401, text="the webhook wants its bearer token\n")
        pulled(Key(request.match_info["namespace"], request.match_info["name"]))
        return web.Response(status=202, text="will be fetched\n")

    found = web.Application(client_max_size=64 * 1024)
    found.router.add_get("/healthz", healthz)
    found.router.add_get("/readyz", readyz)
    found.router.add_get("/metrics", metrics)
    found.router.add_post("/hook/{namespace}/{name}", hook)
    return found


def _probe(trouble: str) -> web.Response:
    if trouble:
        return web.Response(status=503, text=f"{trouble}\n")
    return web.Response(text="ok\n")
