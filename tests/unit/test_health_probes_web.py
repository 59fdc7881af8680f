"""The ``prometheus`` and ``http`` checks against real HTTP servers, well-behaved and not."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from patchwright.adapters.health import Probes
from patchwright.adapters.kube.client import KubeApi
from patchwright.domain.checks import HealthCheck, HttpCheck, Probe, PrometheusCheck
from patchwright.domain.health import Finding, Measurement
from patchwright.errors import HealthProbeError
from patchwright.sandbox import pki

NOW = datetime(2026, 11, 23, tzinfo=UTC)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Noon:
    """A clock that stands still."""

    def now(self) -> datetime:
        return NOW


@contextlib.asynccontextmanager
async def probing() -> AsyncIterator[Probes]:
    probes = Probes(KubeApi(None), Noon(), operator_namespace="patchwright-system")
    try:
        yield probes
    finally:
        await probes.close()


async def measure(probe: Probe, seconds: float = 5.0) -> Measurement:
    async with probing() as probes:
        check = HealthCheck("check", probe, probe_timeout=timedelta(seconds=seconds))
        return await probes.measure(check, namespace="patchwright-system")


async def refusal(probe: Probe, seconds: float = 5.0) -> str:
    with pytest.raises(HealthProbeError) as caught:
        await measure(probe, seconds)
    return caught.value.message


@contextlib.asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(app) as server:
        yield str(server.make_url("/")).rstrip("/")


@contextlib.asynccontextmanager
async def talking(raw: bytes) -> AsyncIterator[str]:
    """Serve the same bytes to everybody and hang up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


def vector(*samples: object, **more: object) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": samples}} | more)

    return handler


def sample(value: str = "1", **labels: str) -> dict[str, object]:
    return {"metric": labels, "value": [1, value]}


async def test_an_expected_status_is_healthy() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(status=204)

    async with serving(handler) as url:
        assert await measure(HttpCheck(f"{url}/healthz", (200, 204))) == Measurement(NOW)


@pytest.mark.parametrize(
    ("status", "words"), [(500, "500 Internal Server Error"), (503, "503 Service Unavailable"), (599, "599")]
)
async def test_an_unexpected_status_is_a_finding(status: int, words: str) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, reason="My secret", text="more secrets")

    async with serving(handler) as url:
        found = await measure(HttpCheck(f"{url}/"))
        assert found.findings == (Finding("status", f"GET {url}/ answers {words}, expected 200"),)
        assert found.population == 1


async def test_a_redirect_is_not_followed() -> None:
    asked = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        raise web.HTTPFound("/elsewhere")

    async with serving(handler) as url:
        (finding,) = (await measure(HttpCheck(f"{url}/"))).findings
        assert finding.message.endswith("302 Found, expected 200; redirects are not followed, so give the final URL")
        assert asked == ["/"]
        assert not (await measure(HttpCheck(f"{url}/", (302,)))).findings


async def test_an_endless_body_is_not_read() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b"x" * 65536)
        return response

    async with serving(handler) as url:
        assert not (await measure(HttpCheck(url))).findings


async def test_every_measurement_makes_a_connection_of_its_own() -> None:
    peers = set()

    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return web.Response(headers={"Set-Cookie": "a=b"}, text=request.headers.get("Cookie", ""))

    async with serving(handler) as url, probing() as probes:
        for _ in range(3):
            await probes.measure(HealthCheck("web", HttpCheck(url)), namespace="any")
        assert len(peers) == 3


async def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response()

    async with serving(handler) as url:
        assert not (await measure(HttpCheck(url))).findings


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "the connection is closed without an answer"),
        (b"SSH-2.0-OpenSSH_9.7\r\n", "the answer is no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "the connection is closed without an answer"),
    ],
)
async def test_what_is_no_answer_is_an_error(raw: bytes, words: str) -> None:
    async with talking(raw) as url:
        message = await refusal(HttpCheck(url))
        assert message.startswith(f"GET {url} has no answer: {words}")
        assert message.endswith("; see that it runs and can be reached from the operator")


async def test_nobody_at_home_is_an_error() -> None:
    assert "the connection fails (Connect call failed" in await refusal(HttpCheck("http://127.0.0.1:1/"))


async def test_an_unknown_host_is_an_error() -> None:
    assert "the host name cannot be resolved" in await refusal(HttpCheck("http://no-such-host.invalid/"))


async def test_an_untrusted_certificate_is_an_error(tmp_path: Path) -> None:
    authority = pki.Authority(tmp_path)
    authority.create()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.server)
    server = TestServer(web.Application(), scheme="https")
    await server.start_server(ssl=context)
    try:
        assert "its certificate is not trusted (" in await refusal(HttpCheck(f"https://127.0.0.1:{server.port}/"))
    finally:
        await server.close()


@pytest.mark.parametrize("url", ["ftp://host/", "http://user:pass@host/", "http://169.254.169.254/latest"])
async def test_a_url_that_no_check_may_use_is_not_asked(url: str) -> None:
    assert "is not made: the URL" in await refusal(HttpCheck(url))
    assert "the address" in await refusal(PrometheusCheck(url, unhealthy="up == 0"))


async def test_a_name_that_resolves_to_a_metadata_service_is_not_connected_to() -> None:
    # The C library reads this name as 169.254.169.254, which no look at the URL alone would tell.
    assert "0xa9fea9fe resolves to an address that serves" in await refusal(HttpCheck("http://0xa9fea9fe/latest"))


async def test_a_host_that_is_no_host_is_an_error() -> None:
    assert "the URL cannot be used" in await refusal(HttpCheck("http://2852039166/latest"))


async def test_slowness_ends_at_the_probe_timeout_and_names_whom_it_waited_for() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    async with serving(handler) as url:
        began = time.monotonic()
        said = await refusal(HttpCheck(url), 0.2), await refusal(PrometheusCheck(url, unhealthy="up"), 0.2)
        assert time.monotonic() - began < 5
        tail = " did not answer within 0.2 s; see why it is slow, or raise probeTimeout"
        assert said == (f"GET {url}{tail}", f"Prometheus at {url}{tail}")


async def test_a_body_that_trickles_ends_at_the_probe_timeout_too() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _ in range(300):
                await response.write(b" ")
                await asyncio.sleep(0.05)
        return response

    async with serving(handler) as url:
        assert "did not answer within 0.3 s" in await refusal(PrometheusCheck(url, unhealthy="up"), 0.3)


async def test_each_series_of_an_unhealthy_query_is_a_finding_keyed_by_its_sorted_labels() -> None:
    answer = vector(sample("0.93", job="web", __name__="errors", instance='a"b'), sample("NaN"))
    async with serving(answer) as url:
        found = await measure(PrometheusCheck(url, unhealthy="errors > 0.5"))
        assert found.population is None
        assert found.findings == (
            Finding('errors{instance="a\\"b",job="web"}', 'errors{instance="a\\"b",job="web"} is 0.93'),
            Finding("{}", "{} is NaN"),
        )


async def test_long_label_sets_have_short_keys_that_still_differ() -> None:
    async with serving(vector(sample(a="x" * 500 + "1"), sample(a="x" * 500 + "2"))) as url:
        first, second = (await measure(PrometheusCheck(url, unhealthy="up"))).findings
        assert first.key != second.key
        assert max(len(first.key), len(second.key)) <= 120
        assert len(first.message) < 200


async def test_native_histograms_are_series_too() -> None:
    histogram = {"metric": {"job": "web"}, "histogram": [1, {"count": "7", "sum": "3"}]}
    async with serving(vector(histogram)) as url:
        check = PrometheusCheck(url, unhealthy="h", require="h")
        (finding,) = (await measure(check)).findings
        assert finding.message == '{job="web"} is a histogram of 7'


@pytest.mark.parametrize(("answer", "what"), [(vector(), "no series"), (vector(sample("NaN")), "only NaN")])
async def test_a_required_query_without_a_number_is_unhealthy_and_inexcusable(answer: Handler, what: str) -> None:
    async with serving(answer) as url:
        (finding,) = (await measure(PrometheusCheck(url, require='up{job="web"}'))).findings
        assert finding == Finding(
            "require",
            f'the required query "up{{job="web"}}" returns {what}; see that its target is scraped',
            inexcusable=True,
        )


async def test_a_required_query_with_a_number_is_healthy() -> None:
    async with serving(vector(sample("NaN"), sample("0"))) as url:
        assert (await measure(PrometheusCheck(url, require="up"))).findings == ()


async def test_the_query_and_the_timeout_reach_prometheus_under_a_path_prefix() -> None:
    asked = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append((request.method, request.path, dict(request.query)))
        return await vector()(request)

    async with serving(handler) as url:
        await measure(PrometheusCheck(f"{url}/prom/", unhealthy='a{b="c+d&e"} > 1'), 2.5)
    assert asked == [("GET", "/prom/api/v1/query", {"query": 'a{b="c+d&e"} > 1', "timeout": "2.5s"})]


def answering(body: str | bytes, status: int = 200) -> Handler:
    raw = body if isinstance(body, bytes) else body.encode()

    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=raw, status=status)

    return handler


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(
            answering('{"status":"error","errorType":"bad_data","error":"1:3: parse error"}', 400),
            "bad_data: 1:3: parse error; correct the query",
            id="a query error",
        ),
        pytest.param(answering('{"status":"error"}', 503), "error: ; correct the query", id="a bare error"),
        pytest.param(
            answering("<html>Bad Gateway</html>", 502), "it answers 502 with something that is not", id="HTML"
        ),
        pytest.param(answering("<html>Login</html>"), "it answers 200 with something that is not", id="a login page"),
        pytest.param(answering("", 401), "it answers 401 with something that is not", id="authentication asked for"),
        pytest.param(answering("[]"), "it answers 200 with something that is not", id="a list"),
        pytest.param(answering('{"status":"ok"}'), "it answers 200 with something that is not", id="another JSON"),
        pytest.param(answering(b"\xff\xfe\xfa"), "it answers 200 with something that is not", id="no text"),
        pytest.param(answering("[" * 100000), "it answers 200 with something that is not", id="deep nesting"),
        pytest.param(answering('{"status":"success"}'), "the result is a None, not an instant vector", id="no data"),
        pytest.param(
            answering('{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}'),
            "the result is a scalar, not an instant vector",
            id="a scalar",
        ),
        pytest.param(
            answering('{"status":"success","data":{"resultType":"vector"}}'), "cannot be read", id="no result"
        ),
        pytest.param(vector({"metric": {}}), "cannot be read", id="no value"),
        pytest.param(vector({"metric": None, "value": []}), "cannot be read", id="a broken sample"),
        pytest.param(
            vector(sample(), warnings=["remote read: partial response", "b"]),
            "it warns: remote read: partial response; a result with warnings may lack data",
            id="a warning",
        ),
        pytest.param(vector(warnings="odd"), "it warns: odd", id="an odd warning"),
        pytest.param(answering(" " * (5 * 1024 * 1024)), "the answer is larger than 4194304 bytes", id="a huge body"),
    ],
)
async def test_an_answer_that_proves_nothing_is_an_error(answer: Handler, words: str) -> None:
    async with serving(answer) as url:
        message = await refusal(PrometheusCheck(url, unhealthy="up == 0"))
        assert message.startswith(f'Prometheus at {url} gives no result for "up == 0": ')
        assert words in message
        assert "Gateway" not in message


async def test_prometheus_behind_a_redirect_is_an_error() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/elsewhere":
            return await vector()(request)
        raise web.HTTPFound("/elsewhere")

    async with serving(handler) as url:
        assert "it answers 302 with something that is not" in await refusal(PrometheusCheck(url, unhealthy="up"))


async def test_infos_are_ignored() -> None:
    async with serving(vector(infos=["PromQL info: metric might not be a counter"])) as url:
        assert not (await measure(PrometheusCheck(url, unhealthy="rate(a[1m]) > 1"))).findings


async def test_an_answer_that_breaks_off_is_an_error() -> None:
    async with talking(b'HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"status":"success"') as url:
        assert "the answer breaks off" in await refusal(PrometheusCheck(url, unhealthy="up"))


async def test_a_small_answer_that_unfolds_is_cut_short() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.Response(body=b" " * (64 * 1024 * 1024))
        response.enable_compression(web.ContentCoding.gzip)
        return response

    async with serving(handler) as url:
        assert "the answer is larger than" in await refusal(PrometheusCheck(url, unhealthy="up"))


async def test_a_check_that_asks_nothing_is_an_error() -> None:
    assert "asks nothing; set unhealthy or require" in await refusal(PrometheusCheck("http://127.0.0.1:1"))


async def test_long_queries_are_cut_in_messages() -> None:
    message = await refusal(PrometheusCheck("http://127.0.0.1:1", unhealthy="x" * 5000))
    assert len(message) < 500
    assert re.search('x…"', message)


async def test_probes_can_be_closed_twice_and_used_again() -> None:
    async with serving(vector()) as url, probing() as probes:
        check = HealthCheck("web", HttpCheck(url))
        await probes.measure(check, namespace="any")
        await probes.close()
        await probes.close()
        assert (await probes.measure(check, namespace="any")).findings == ()
