"""A server that is not what OPA should be: every fault has its own error, and none is an allow."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from patchwright import errors
from patchwright.adapters import opa
from support import opa_server

RESULT: dict[str, Any] = {"revision": "r1", "deny": {"deny": []}, "warn": {}, "exception": {}}
GOOD: dict[str, Any] = {
    "decision_id": "d1",
    "provenance": {"bundles": {"patchwright": {"revision": "r1"}}},
    "result": RESULT,
}


class FaultServer:
    """Answers every request with the same raw bytes, after ``delay`` seconds; no bytes means a reset."""

    def __init__(self, raw: bytes, *, delay: float = 0.0) -> None:
        self.raw = raw
        self.delay = delay
        self.requests: list[bytes] = []
        self.over = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(head)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.over.wait(), self.delay)
            writer.write(self.raw)
            await writer.drain()
            if not self.raw:
                writer.transport.abort()


def http(status: int, body: str, *, kind: str = "application/json", headers: str = "") -> bytes:
    text = body.encode()
    head = (
        f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(text)}\r\nConnection: close\r\n{headers}"
    )
    return f"{head}\r\n".encode() + text


def but(**changes: Any) -> bytes:
    return http(200, json.dumps({**GOOD, **changes}))


@contextlib.asynccontextmanager
async def faulty(raw: bytes, *, delay: float = 0.0) -> AsyncIterator[tuple[FaultServer, opa.OpaPolicyEngine]]:
    fault = FaultServer(raw, delay=delay)
    listener = await asyncio.start_server(fault.answer, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener, opa.OpaPolicyEngine(f"http://127.0.0.1:{port}", token="s3cret", timeout=0.5) as engine:
        yield fault, engine
        fault.over.set()
        await asyncio.sleep(0.05)


async def test_the_good_answer_is_understood() -> None:
    async with faulty(but()) as (fault, engine):
        assert (await engine.evaluate(opa_server.question())).allowed
    line = fault.requests[0].split(b"\r\n")[0]
    assert line.startswith(b"POST /v1/data/patchwright/meta/decision/patchwright.rollout?")
    assert b"provenance=true" in line
    assert b"strict-builtin-errors=true" in line


EVALUATION = json.dumps(
    {"code": "internal_error", "errors": [{"code": "eval_conflict_error", "message": "two values"}]}
)


@pytest.mark.parametrize(
    ("raw", "error", "says"),
    [
        (http(500, '{"code": "internal_error", "message": "boom"}'), errors.PolicyUnavailable, "HTTP 500: boom"),
        (http(500, "<html>"), errors.PolicyUnavailable, "HTTP 500: the body is not OPA's"),
        (http(500, EVALUATION), errors.PolicyEvaluationError, "the policy failed: two values"),
        (http(502, ""), errors.PolicyUnavailable, "HTTP 502"),
        (http(503, "[]"), errors.PolicyUnavailable, "HTTP 503"),
        (http(400, '{"message": "bad input"}'), errors.PolicyEvaluationError, "bad input"),
        (http(404, ""), errors.PolicyUnavailable, "HTTP 404"),
        (http(401, ""), errors.PolicyUnavailable, "same token"),
        (http(307, "", headers="Location: http://127.0.0.1:1/\r\n"), errors.PolicyUnavailable, "HTTP 307"),
        (http(204, ""), errors.PolicyUnavailable, "HTTP 204"),
        (http(200, "<html>hello</html>", kind="text/html"), errors.PolicyUnavailable, "not OPA's"),
        (http(200, "{"), errors.PolicyUnavailable, "not OPA's"),
        (http(200, ""), errors.PolicyUnavailable, "not OPA's"),
        (http(200, "[]"), errors.PolicyUnavailable, "not OPA's"),
        (b"", errors.PolicyUnavailable, "nothing new starts"),
        (b"garbage\r\n\r\n", errors.PolicyUnavailable, "not OPA's"),
        (http(200, "{}")[:-2], errors.PolicyUnavailable, "not OPA's"),
        (
            but(provenance={"bundles": {"patchwright": {"revision": "r0"}}}),
            errors.PolicyRevisionMismatch,
            "revision r0",
        ),
        (but(provenance={"bundles": {"other": {"revision": "r1"}}}), errors.PolicyRevisionMismatch, "no policy yet"),
        (but(provenance=[]), errors.PolicyRevisionMismatch, "no policy yet"),
        (http(200, "{}"), errors.PolicyRevisionMismatch, "no policy yet"),
        (http(200, json.dumps({"provenance": GOOD["provenance"]})), errors.PolicyUndefined, "decides nothing"),
        (but(result=None), errors.PolicyBadResult, "no decision"),
        (but(result=True), errors.PolicyBadResult, "no decision"),
        (but(result=[]), errors.PolicyBadResult, "no decision"),
        (but(result={}), errors.PolicyBadResult, "no decision"),
        (but(result={**RESULT, "deny": {}}), errors.PolicyBadResult, "no deny"),
        (but(result={**RESULT, "revision": "r0"}), errors.PolicyRevisionMismatch, "r0"),
        (but(result={**RESULT, "deny": {"deny": {}}}), errors.PolicyBadResult, "must be a set"),
        (but(result={**RESULT, "exception": {"exception": 1}}), errors.PolicyBadResult, "must be a set"),
    ],
)
async def test_each_fault_has_its_error(raw: bytes, error: type[errors.PolicyError], says: str) -> None:
    async with faulty(raw) as (fault, engine):
        with pytest.raises(errors.PolicyError, match=says) as raised:
            await engine.evaluate(opa_server.question())
    assert type(raised.value) is error
    assert "s3cret" not in str(raised.value)
    # The client's own retries would evaluate a failing policy three times.
    assert len(fault.requests) == 1


async def test_a_slow_opa_is_given_up_in_time() -> None:
    async with faulty(but(), delay=5) as (_, engine):
        begun = time.monotonic()
        with pytest.raises(errors.PolicyUnavailable, match=r"does not answer within 0\.5 s"):
            await engine.evaluate(opa_server.question())
        assert time.monotonic() - begun < 2


async def test_a_connection_that_is_refused_is_unavailable() -> None:
    async with opa.OpaPolicyEngine("http://127.0.0.1:1") as engine:
        with pytest.raises(errors.PolicyUnavailable, match="does not accept connections") as raised:
            await engine.evaluate(opa_server.question())
    assert raised.value.retry_after == 5.0


async def test_waiting_for_a_revision_ends_with_what_the_last_answer_meant() -> None:
    async with faulty(but()) as (_, engine):
        with pytest.raises(errors.PolicyRevisionMismatch):
            await engine.wait_for_revision("r2", within=0.2)
    async with opa.OpaPolicyEngine("http://127.0.0.1:1") as engine:
        with pytest.raises(errors.PolicyUnavailable):
            await engine.wait_for_revision("r2", within=0.2)
