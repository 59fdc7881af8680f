"""The ``prometheus`` check: instant queries, read as an alerting rule reads them.

``unhealthy`` must return no series: each one that it returns is a finding, whatever its value (NaN included; what a
PromQL comparison is false for, it does not return). ``require`` must return at least one series with a number: an
``unhealthy`` query is silent too when nothing is scraped any more, so pair them (argo-rollouts#1466, flagger#689).

A warning in the answer is an error: it says that data may be missing (remote read, Thanos' partial response) or that
the expression does not mean what it says. The ``infos`` are ignored. There is no authentication yet: an address that
asks for one answers 401 and the check says so.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from patchwright.adapters.health.looks import Look, short
from patchwright.adapters.health.session import cause
from patchwright.domain import endpoints
from patchwright.domain.checks import PrometheusCheck
from patchwright.domain.health import Finding
from patchwright.errors import HealthProbeError

MAX_BYTES: Final = 4 * 1024 * 1024
# A baseline keeps the keys in PatchRollout.status.
_LONGEST_KEY: Final = 120


@dataclass(frozen=True, slots=True)
class _Series:
    labels: dict[str, str]
    value: str

    def __str__(self) -> str:
        name = self.labels.get("__name__", "")
        rest = sorted((key, value) for key, value in self.labels.items() if key != "__name__")
        return name + "{" + ",".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in rest) + "}"


async def look(session: aiohttp.ClientSession, check: PrometheusCheck, *, seconds: float) -> Look:
    """Ask both queries.

    Raises:
        HealthProbeError: Prometheus gives no answer, an error, a warning, or something that is no instant vector.
    """
    if check.unhealthy is None and check.require is None:
        raise HealthProbeError(f"the check of Prometheus at {check.address} asks nothing; set unhealthy or require")
    findings: list[Finding] = []
    if check.require is not None:
        findings += _missing(await _ask(session, _Question(check.address, check.require, seconds)), check.require)
    if check.unhealthy is not None:
        found = await _ask(session, _Question(check.address, check.unhealthy, seconds))
        findings += [Finding(_key(series), f"{short(series)} is {short(series.value)}") for series in found]
    return Look(tuple(findings), None)


def _missing(found: list[_Series], query: str) -> list[Finding]:
    if any(not _is_nan(series.value) for series in found):
        return []
    what = "only NaN" if found else "no series"
    message = f'the required query "{short(query)}" returns {what}; see that its target is scraped'
    return [Finding("require", message, inexcusable=True)]


def _is_nan(value: str) -> bool:
    try:
        return math.isnan(float(value))
    except ValueError:
        return False


def _key(series: _Series) -> str:
    text = str(series)
    if len(text) <= _LONGEST_KEY:
        return text
    return f"{text[: _LONGEST_KEY - 17]}~{hashlib.sha256(text.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class _Question:
    address: str
    query: str
    seconds: float

    def failed(self, why: str, then: str) -> HealthProbeError:
        return HealthProbeError(
            f'Prometheus at {self.address} gives no result for "{short(self.query)}": {why}; {then}'
        )


async def _ask(session: aiohttp.ClientSession, question: _Question) -> list[_Series]:
    if fault := endpoints.fault(question.address):
        raise question.failed(f"the address {fault}", "correct it in the health check")
    status, body = await _fetch(session, question)
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        # A megabyte of brackets is short enough to be read, and too deep to be understood.
        answer = None
    if not isinstance(answer, dict) or answer.get("status") not in ("success", "error"):
        what = f"it answers {status} with something that is not Prometheus' JSON"
        raise question.failed(what, "see that the address is that of a Prometheus, with its path prefix")
    return _read(answer, question)


async def _fetch(session: aiohttp.ClientSession, question: _Question) -> tuple[int, bytes]:
    url = f"{question.address.rstrip('/')}/api/v1/query"
    # Prometheus gives up with us, so that a heavy query is not evaluated on and on, a new one every interval.
    parameters = {"query": question.query, "timeout": f"{question.seconds:g}s"}
    try:
        async with session.get(url, params=parameters, allow_redirects=False) as response:
            return response.status, await _body(response, question)
    except (aiohttp.ClientError, OSError) as error:
        raise question.failed(cause(error), "see that it runs and can be reached from the operator") from error


async def _body(response: aiohttp.ClientResponse, question: _Question) -> bytes:
    body = bytearray()
    # Counted after decompression, so that a small answer cannot unfold into a big one.
    async for chunk in response.content.iter_chunked(65536):
        body += chunk
        if len(body) > MAX_BYTES:
            raise question.failed(
                f"the answer is larger than {MAX_BYTES} bytes", "aggregate the query, as with sum by ()"
            )
    return bytes(body)


def _read(answer: dict[str, Any], question: _Question) -> list[_Series]:
    if answer["status"] == "error":
        why = f"{short(answer.get('errorType', 'error'))}: {short(answer.get('error', ''))}"
        raise question.failed(why, "correct the query, or see Prometheus' own log")
    if warnings := answer.get("warnings"):
        first = warnings[0] if isinstance(warnings, list) else warnings
        raise question.failed(f"it warns: {short(first)}", "a result with warnings may lack data and does not count")
    data = answer.get("data")
    kind = data.get("resultType") if isinstance(data, dict) else None
    if kind != "vector" or not isinstance(data, dict):
        raise question.failed(
            f"the result is a {short(kind)}, not an instant vector", "write a query that returns series"
        )
    try:
        return [_series(sample) for sample in data["result"]]
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise question.failed(
            "a sample of the result cannot be read", "see that the address is a Prometheus"
        ) from error


def _series(sample: dict[str, Any]) -> _Series:
    labels = {str(name): str(value) for name, value in sample["metric"].items()}
    return _Series(
        labels, str(sample["value"][1]) if "value" in sample else f"a histogram of {sample['histogram'][1]['count']}"
    )
