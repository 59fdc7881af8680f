"""A session for opa_client whose failures say what OPA said.

opa_client 3.0.0 has no exception of its own for queries, throws the error body away (``raise_for_status``), cannot
take a CA, and follows redirects. It keeps its aiohttp session in ``_session``; so it is given one made here.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from patchwright import errors

_MAX_ERROR_BYTES: Final = 64 * 1024


def session(*, headers: Mapping[str, str], timeout: float, tls: ssl.SSLContext | None) -> aiohttp.ClientSession:
    """Open a session; ``timeout`` is for a whole request, in seconds.

    ``trust_env`` is off: a ``.netrc`` would replace the token, and a proxy would see it.
    """
    return aiohttp.ClientSession(
        headers=dict(headers),
        connector=aiohttp.TCPConnector(ssl=tls if tls is not None else True),
        timeout=aiohttp.ClientTimeout(total=timeout),
        trust_env=False,
        middlewares=(_refuse,),
    )


async def _refuse(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Turn every answer but 200 into ours while its body can still be read."""
    response = await handler(request)
    if response.status == 200:
        return response
    try:
        body = await response.content.read(_MAX_ERROR_BYTES)
    finally:
        response.close()
    raise refusal(response.status, body)


def refusal(status: int, body: bytes) -> errors.PolicyError:
    """Say what a status other than 200 means.

    A policy that failed and a server in trouble are both 500; OPA's error codes (``eval_…``) tell them apart.
    """
    found = _error(body)
    first: dict[str, Any] = next(iter(found.get("errors") or []), {})
    if str(first.get("code", "")).startswith("eval_") or status == 400:
        return errors.PolicyEvaluationError(f"the policy failed: {_told(found, first)}; correct it in the repository")
    if status in (401, 403):
        return errors.PolicyUnavailable(
            f"OPA refuses the operator (HTTP {status}); give both the same token", retry_after=30.0
        )
    return errors.PolicyUnavailable(f"OPA answers with HTTP {status}: {_told(found, first)}; asking again")


def _error(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {"message": "the body is not OPA's"}
    return found if isinstance(found, dict) else {"message": "the body is not OPA's"}


def _told(found: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    place = first.get("location") or {}
    where = f" at {place['file']}:{place['row']}" if place.get("file") else ""
    return f"{first.get('message') or found.get('message') or 'no reason given'}{where}"
