"""One HTTP exchange with a stranger: bounded, uncompressed, without cookies, proxies or redirects of its own accord."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

import patchwright
from patchwright.adapters.health.session import GuardedResolver, cause
from patchwright.domain import endpoints

# An error's body is read so that the connection can be used again, and thrown away: it is its author's text.
_ERROR_BYTES: Final = 16 * 1024
_CHUNK: Final = 64 * 1024
_PLAIN = re.compile(r"[\x21-\x7e]*")
_OVERLOADED: Final = frozenset({408, 425, 429})


class Trouble(Exception):
    """There is no whole answer, or one that says "later": to be tried again. ``str()`` is a phrase."""

    def __init__(self, phrase: str, *, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(phrase)
        self.status = status
        self.retry_after = retry_after


class Unusable(Exception):
    """There is an answer, and nothing can be done with it; ``str()`` is a phrase."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status; ``url`` is what was asked, after redirects."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes
    url: URL

    def header(self, name: str) -> str:
        """Give a header, empty when it is not there."""
        return self.headers.get(name, "")


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask; ``limit`` is how many bytes of an answer are read, and ``headers`` are never shown."""

    url: URL
    limit: int
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def new_session(*, seconds: float, tls: ssl.SSLContext | None, at_once: int) -> aiohttp.ClientSession:
    """Open a session; each request takes ``seconds`` at most, from the first byte to the last."""
    # True: aiohttp's own context, which it made at import; a second one would hold the loop for 33 ms to read every CA.
    connector = aiohttp.TCPConnector(resolver=GuardedResolver(), use_dns_cache=False, limit=at_once, ssl=tls or True)
    return aiohttp.ClientSession(
        connector=connector,
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        # A digest is over the bytes as they are, and a small body must not unfold into a big one.
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=seconds),
        headers={"User-Agent": f"patchwright/{patchwright.__version__}", "Accept-Encoding": "identity"},
    )


def target(answer: Answer, text: str) -> URL | None:
    """Give where an answer points to; ``None`` where that is no address, or one with a login in it."""
    # What is no plain text would go into a request as it is.
    if not _PLAIN.fullmatch(text):
        return None
    try:
        url = answer.url.join(URL(text, encoded=True)).with_fragment(None)
    except ValueError:
        return None
    return url if url.host and url.user is None and url.password is None else None


def same_server(one: URL, other: URL) -> bool:
    """Tell whether two addresses are of one server, however its port is written."""
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


async def exchange(session: aiohttp.ClientSession, request: Request) -> Answer:
    """Ask once.

    Raises:
        Trouble: no whole answer came in time, or the server is in trouble.
        Unusable: the answer is too large or compressed, or the address is none that may be asked.
    """
    if request.url.host is None or endpoints.forbidden(request.url.host):
        raise Unusable("its address serves the node's own metadata")
    try:
        async with session.request(
            request.method, request.url, headers=request.headers, allow_redirects=False
        ) as response:
            body = await _body(response, request)
            answer = Answer(response.status, response.headers, body, request.url)
    except TimeoutError as error:
        raise Trouble("the whole answer did not come in time") from error
    except (aiohttp.ClientError, OSError) as error:
        raise Trouble(cause(error)) from error
    except ValueError as error:
        # A label of more than 63 letters is a host name to everybody but the one who encodes it.
        raise Unusable("its address is none that can be asked") from error
    if answer.status in _OVERLOADED or answer.status >= 500:
        raise Trouble(f"it answers {answer.status}", status=answer.status, retry_after=retry_after(answer.headers))
    return answer


async def _body(response: aiohttp.ClientResponse, request: Request) -> bytes:
    wanted = response.status == 200
    if wanted and response.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        raise Unusable("it compresses what was asked for as it is")
    limit = request.limit if wanted else _ERROR_BYTES
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > limit:
            # Closing leaves the rest unread; it may be endless.
            response.close()
            if wanted:
                raise Unusable(f"the answer is larger than {limit} bytes")
            break
    return bytes(body) if wanted else b""


def retry_after(headers: CIMultiDictProxy[str]) -> float | None:
    """Read ``Retry-After`` (RFC 9110, 10.2.3): seconds, or a date, which is compared with the server's own clock."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        until, now = parsedate_to_datetime(text), parsedate_to_datetime(headers.get("Date", ""))
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):
        return None
