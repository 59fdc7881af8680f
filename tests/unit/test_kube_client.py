"""The client's promises: errors in our own words, a time limit always, our name on every request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from patchwright import __version__, errors
from patchwright.adapters.kube import client
from patchwright.adapters.kube.client import Answer, KubeApi

Serve = Callable[[Callable[[web.Request], Any]], Any]


def kubeconfig(path: Path, url: str, **user: str) -> Path:
    body = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": url}}],
        "users": [{"name": "x", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    }
    path.write_text(yaml.safe_dump(body), encoding="utf-8")
    return path


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Start an HTTP server that answers as told, and give a client of it."""
    runners: list[web.AppRunner] = []
    clients: list[KubeApi] = []

    async def start(handler: Callable[[web.Request], Any]) -> KubeApi:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        runners.append(runner)
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        clients.append(await client.connect(kubeconfig(tmp_path / "kubeconfig", url, token="s3cret")))
        return clients[-1]

    yield start
    for api in clients:
        await api.close()
    for runner in runners:
        await runner.cleanup()


def status(code: int, reason: str = "", message: str = "why", **details: Any) -> Answer:
    return Answer(code, {"kind": "Status", "reason": reason, "message": message, "details": details}, None)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (status(400, "BadRequest"), errors.Denied),
        (status(401, "Unauthorized"), errors.Denied),
        (status(403, "Forbidden"), errors.Denied),
        (status(404, "NotFound"), errors.NotFound),
        (status(409, "Conflict"), errors.Conflict),
        (status(410, "Expired"), errors.Conflict),
        (status(422, "Invalid"), errors.Denied),
        (status(422, "Invalid", causes=[{"field": "metadata.uid"}]), errors.Conflict),
        (status(429, "TooManyRequests"), errors.ClusterUnavailable),
        (status(500, "InternalError"), errors.ClusterUnavailable),
        (status(503), errors.ClusterUnavailable),
        (status(504, "Timeout"), errors.ClusterUnavailable),
    ],
    ids=str,
)
def test_each_refusal_says_how_to_handle_it(answer: Answer, kind: type[errors.ClusterError]) -> None:
    error = client.failure(answer, "node worker-1")
    assert type(error) is kind
    assert error.message == "node worker-1: why"


def test_the_server_s_own_time_to_wait_is_kept() -> None:
    assert client.failure(Answer(429, {}, 17.0), "x").retry_after == 17.0


async def test_our_name_version_and_login_are_on_every_request(serve: Serve) -> None:
    seen: dict[str, str] = {}

    async def handler(request: web.Request) -> web.Response:
        seen.update(request.headers)
        return web.json_response({"kind": "Node"})

    api = await serve(handler)
    assert await api.call("GET", "/api/v1/nodes/n1", what="node n1") == {"kind": "Node"}
    assert seen["User-Agent"] == f"patchwright/{__version__}"
    assert seen["Authorization"] == "Bearer s3cret"


async def test_a_server_that_does_not_answer_in_time_is_unavailable(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    api = await serve(handler)
    with pytest.raises(errors.ClusterUnavailable, match="PATCH /x"):
        await api.send("PATCH", "/x", limit=0.2)


async def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    api = await client.connect(kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:9"))
    with pytest.raises(errors.ClusterUnavailable):
        await api.send("GET", "/x")
    await api.close()


async def test_an_answer_that_is_no_json_is_told_shortly(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(
            status=502, text="<html>\n<h1>Bad Gateway</h1>" + "x" * 10_000, headers={"Retry-After": "3"}
        )

    api = await serve(handler)
    with pytest.raises(errors.ClusterUnavailable, match="Bad Gateway") as caught:
        await api.call("GET", "/x", what="node n1")
    assert len(caught.value.message) < 300
    assert caught.value.retry_after == 3.0


@pytest.mark.parametrize("header", ["soon", "Wed, 21 Oct 2026 07:28:00 GMT"])
async def test_a_retry_after_that_is_no_number_is_passed_over(serve: Serve, header: str) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response({}, status=503, headers={"Retry-After": header})

    assert (await (await serve(handler)).send("GET", "/x")).retry_after is None


async def test_a_query_is_encoded(serve: Serve) -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.query["fieldSelector"])
        return web.json_response({})

    await (await serve(handler)).send("GET", "/x", query={"fieldSelector": "spec.nodeName=a&b c"})
    assert seen == ["spec.nodeName=a&b c"]


async def test_a_configuration_that_cannot_be_used_is_refused_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(errors.Denied, match="cluster configuration"):
        await client.connect(tmp_path / "missing")
    (tmp_path / "broken").write_text("current-context: x", encoding="utf-8")
    with pytest.raises(errors.Denied, match="cluster configuration"):
        await client.connect(tmp_path / "broken")
