"""One request of an API, bounded, without redirects, and what its failures mean."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from yarl import URL

import patchwright
from patchwright.domain.sources import Credentials
from patchwright.domain.writeback.proposals import Host
from patchwright.errors import WriteBackError

SECONDS = 30.0
BYTES = 4 * 1024 * 1024
LATER = 60.0
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Call:
    """A request of an API; ``doing`` completes "cannot …", ``fine`` are answers that say something besides success."""

    doing: str
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    fine: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: JSON, already read."""

    status: int
    body: Any


def new_session() -> aiohttp.ClientSession:
    """Open a session that trusts nothing of the environment and keeps no cookie."""
    return aiohttp.ClientSession(
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=SECONDS),
        headers={"User-Agent": f"patchwright/{patchwright.__version__}"},
    )


async def exchange(
    session: aiohttp.ClientSession, host: Host, call: Call, *, root: str, headers: Mapping[str, str]
) -> Answer:
    """Make a request; raise WriteBackError for whatever is neither success nor ``fine``."""
    url = URL(f"{root}{call.path}", encoded=True).with_query(call.query)
    try:
        async with session.request(
            call.method, url, json=call.body, headers=headers, allow_redirects=False, ssl=_tls(host.credentials)
        ) as response:
            content = await _whole(response)
            later = response.headers.get("Retry-After", "")
            status = response.status
    except (aiohttp.ClientError, TimeoutError, OSError):
        raise failed(host, call, "the API does not answer", "it is tried again; check that it can be reached") from None
    if status in call.fine or 200 <= status < 300:
        return Answer(status, _json(host, call, content) if 200 <= status < 300 else None)
    raise _refused(host, call, status, later)


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    """Read an answer, and a little more than may be read of one that is too long."""
    content = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        content += chunk
        if len(content) > BYTES:
            break
    return bytes(content)


def _tls(credentials: Credentials) -> ssl.SSLContext | bool:
    if not credentials.ca_file:
        return True
    return ssl.create_default_context(cadata=credentials.ca_file.decode("ascii", errors="replace"))


def _json(host: Host, call: Call, content: bytes) -> Any:
    try:
        if len(content) <= BYTES:
            return json.loads(content)
    except (ValueError, RecursionError):
        pass
    raise failed(host, call, "what answers is no API", "check pullRequest.address and pullRequest.provider")


def _refused(host: Host, call: Call, status: int, later: str) -> WriteBackError:
    wait = min(float(later), 3600.0) if later.isascii() and later.isdigit() else LATER
    if status == 429 or (status == 403 and later):
        return failed(host, call, "it limits its requests", f"it is asked again in {wait:.0f} s", retry_after=wait)
    why, action = _MEANING.get(status, (f"it answers {status}", "it is tried again"))
    return failed(host, call, why, action, retry_after=wait if status >= 500 else 300.0)


_MEANING = {
    401: ("it refuses the token", "check the Secret of pullRequest.secretRef"),
    403: ("the token may not do that", "give it the right to open pull requests"),
    404: (
        "there is no such repository, or the token may not see it",
        "check the repository's url and the token's rights",
    ),
}


def failed(host: Host, call: Call, why: str, action: str, *, retry_after: float = LATER) -> WriteBackError:
    """Make a sentence of object, cause and next action; what the server said is not in it."""
    sentence = f"{host.provider} project {host.project}: cannot {call.doing}: {why}; {action}."
    return WriteBackError(sentence, reason="PullRequestFailed", retry_after=retry_after)
