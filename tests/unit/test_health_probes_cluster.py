"""Health checks against an API server that misbehaves; the real one is in tier 3."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from patchwright.adapters.health import Probes
from patchwright.adapters.kube.client import connect
from patchwright.domain.checks import HealthCheck, WorkloadsCheck
from patchwright.domain.health import Measurement
from patchwright.domain.model import Selector
from patchwright.errors import HealthProbeError

NOW = datetime(2026, 11, 23, tzinfo=UTC)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Noon:
    """A clock that stands still."""

    def now(self) -> datetime:
        return NOW


@contextlib.asynccontextmanager
async def probing(handler: Handler, folder: Path) -> AsyncIterator[Probes]:
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    async with TestServer(app) as server:
        cluster = {"name": "c", "cluster": {"server": str(server.make_url("/")).rstrip("/")}}
        context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
        config = {"clusters": [cluster], "contexts": [context], "users": [{"name": "u", "user": {}}]}
        (folder / "kubeconfig").write_text(json.dumps(config | {"current-context": "c"}))
        api = await connect(folder / "kubeconfig")
        try:
            yield Probes(api, Noon(), operator_namespace="ops")
        finally:
            await api.close()


async def measure(handler: Handler, folder: Path, seconds: float = 5.0) -> Measurement:
    probe = WorkloadsCheck(Selector(), Selector(), ("Deployment",))
    check = HealthCheck("check", probe, probe_timeout=timedelta(seconds=seconds))
    async with probing(handler, folder) as probes:
        return await probes.measure(check, namespace="ops")


def deployment(name: str) -> dict[str, object]:
    return {"metadata": {"namespace": "shop", "name": name, "generation": 1}, "status": {"observedGeneration": 1}}


def gone() -> web.Response:
    return web.json_response({"kind": "Status", "code": 410, "message": "continue too old"}, status=410)


async def test_a_list_that_expires_midway_is_read_again_from_its_start(tmp_path: Path) -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(request.query.get("continue", ""))
        if len(asked) == 2:
            return gone()
        token = {} if asked[-1] else {"continue": "next"}
        return web.json_response({"metadata": token, "items": [deployment(f"web-{len(asked)}")]})

    found = await measure(handler, tmp_path)
    assert asked == ["", "next", "", "next"]
    assert [finding.key for finding in found.findings] == ["Deployment/shop/web-3", "Deployment/shop/web-4"]


async def test_a_list_that_expires_again_is_an_error(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return gone()

    with pytest.raises(HealthProbeError, match=r"forgot the list of /apis/apps/v1/deployments midway \(continue too"):
        await measure(handler, tmp_path)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_server_in_trouble_is_an_error(tmp_path: Path, status: int) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text="<html>trouble</html>")

    with pytest.raises(HealthProbeError, match=f"with {status}: <html>trouble</html>; the check is made again"):
        await measure(handler, tmp_path)


async def test_a_page_of_a_proxy_is_no_pass(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>please log in</html>")

    assert (await measure(handler, tmp_path)).findings[0].key == "empty"


async def test_an_api_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        raise web.HTTPNotFound

    with pytest.raises(HealthProbeError, match="the API server has nothing at /apis/apps/v1/deployments"):
        await measure(handler, tmp_path)


async def test_a_slow_server_ends_the_check_at_its_probe_timeout(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    with pytest.raises(HealthProbeError, match=r"^the API server did not answer within 0\.2 s; see why"):
        await measure(handler, tmp_path, 0.2)
