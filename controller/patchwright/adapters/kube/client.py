"""One client for the API server: raw JSON in and out, a time limit on every request, errors in our own words."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from patchwright import __version__, errors

USER_AGENT: Final = f"patchwright/{__version__}"
WATCH_AGENT: Final = f"patchwright-watch/{__version__}"
MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
PARTIAL_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

# Seconds. A write that takes longer is given up and looked at again; a long list may take its time.
WRITE_TIMEOUT: Final = 10.0
LIST_TIMEOUT: Final = 30.0
_CONNECT_TIMEOUT = 5.0
# The pool is the only throttle on this side: the server's priority and fairness sees what it gets and says 429, while a
# rate limit here would be what a benchmark measures (client-go's default of 5 a second made patching slow for years).
POOL: Final = 32
_READS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server said: an object, or a ``Status`` when ``code`` is 400 or more."""

    code: int
    body: Mapping[str, Any] = field(default_factory=dict)
    retry_after: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the request was carried out."""
        return self.code < 400

    @property
    def reason(self) -> str:
        """The machine's word for a failure, such as ``AlreadyExists``; empty where there is none."""
        return str(self.body.get("reason") or "")

    @property
    def message(self) -> str:
        """The server's sentence about a failure."""
        return str(self.body.get("message") or f"HTTP {self.code}")

    def causes(self, reason: str) -> tuple[str, ...]:
        """Give the messages of the causes with this reason (``details.causes`` of a Status)."""
        causes = (self.body.get("details") or {}).get("causes") or ()
        return tuple(str(cause.get("message", "")) for cause in causes if cause.get("reason") == reason)


class KubeApi:
    """Requests to one API server."""

    def __init__(self, client: Any, *, may_write: Callable[[], bool] = lambda: True) -> None:
        self._client = client
        self._may_write = may_write

    def fenced(self, may_write: Callable[[], bool]) -> KubeApi:
        """Give the same connections with ``may_write`` asked before every write.

        A replica that has lost its lease must not send one, even when it was frozen in between and has not noticed
        otherwise (L10). The lease's own client is not fenced, of course.
        """
        return KubeApi(self._client, may_write=may_write)

    @property
    def client(self) -> Any:
        """The ``kubernetes.aio`` client underneath, for whoever brings requests of its own."""
        return self._client

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        headers: Mapping[str, str] | None = None,
        limit: float = WRITE_TIMEOUT,
    ) -> Answer:
        """Send a request and give the answer, refusals included.

        Raises:
            ClusterUnavailable: there was no answer within ``limit`` seconds.
            ClusterError: this replica may not write any more (reason ``NotLeading``).
        """
        if method not in _READS and not self._may_write():
            text = f"this replica does not hold the lease any more, so {method} {path} was not sent"
            raise errors.ClusterError(text, reason="NotLeading", retry_after=5.0)
        sent = {"Accept": accept, "Content-Type": content_type, **(headers or {})}
        try:
            method, url, sent, _, _ = await self._client.param_serialize(
                method, path, header_params=sent, query_params=list((query or {}).items()), auth_settings=_AUTH
            )
            timeout = aiohttp.ClientTimeout(total=limit, sock_connect=_CONNECT_TIMEOUT)
            response = await self._client.rest_client.request(
                method, url, headers=sent, body=body, _request_timeout=timeout
            )
            text = await response.read()
        except (aiohttp.ClientError, OSError) as error:
            raise errors.ClusterUnavailable(f"no answer to {method} {path}: {_words(error)}") from error
        return Answer(response.status, _parse(text), _seconds(response.headers.get("Retry-After")))

    async def lines(self, path: str, *, query: Mapping[str, str], silence: float) -> AsyncIterator[bytes]:
        """Give the lines of an answer that does not end soon, as a watch is, as they come.

        Raises:
            Conflict: what was asked for is too old (410 Gone).
            ClusterError: the API server refused, the connection broke, or nothing came for ``silence`` seconds.
        """
        method, url, headers, _, _ = await self._client.param_serialize(
            "GET", path, header_params=_JSON, query_params=list(query.items()), auth_settings=_AUTH
        )
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT, sock_read=silence)
        try:
            answer = await self._client.rest_client.request(method, url, headers=headers, _request_timeout=timeout)
            async with answer.response as stream:
                if stream.status >= 400:
                    raise failure(Answer(stream.status, _parse(await stream.read())), path)
                async for line in _lines(stream.content):
                    yield line
        except (aiohttp.ClientError, OSError) as error:
            raise errors.ClusterUnavailable(f"no answer to GET {path}: {_words(error)}") from error

    async def call(
        self,
        method: str,
        path: str,
        *,
        what: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        headers: Mapping[str, str] | None = None,
        limit: float = WRITE_TIMEOUT,
    ) -> Mapping[str, Any]:
        """Send a request about ``what`` (for the sentence) and give the object it answers with.

        Raises:
            ClusterError: the API server refused, or did not answer.
        """
        answer = await self.send(
            method, path, query=query, body=body, content_type=content_type, accept=accept, headers=headers, limit=limit
        )
        if not answer.ok:
            raise failure(answer, what)
        return answer.body


_AUTH = ["BearerToken"]
_JSON: Final = {"Accept": "application/json"}


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Split a stream into lines of any length: aiohttp's own ``readline`` gives up at 128 KiB; a node may be more."""
    begun: list[bytes] = []
    async for chunk in content.iter_any():
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            yield b"".join((*begun, part))
            begun.clear()
        if rest:
            begun.append(rest)
        # A stream that never runs dry is read without a pause otherwise, and nobody else has a turn.
        await asyncio.sleep(0)


def failure(answer: Answer, what: str) -> errors.ClusterError:
    """Turn a refusal into the error that says how to handle it."""
    message = f"{what}: {answer.message}"
    match answer.code:
        case 404:
            return errors.NotFound(message)
        case 409 | 410 | 412:
            return errors.Conflict(message)
        case 422 if any(c.get("field") == "metadata.uid" for c in _causes(answer)):
            # A patch whose UID is another object's is refused as a change of an immutable field.
            return errors.Conflict(message)
        case code if code == 429 or code >= 500:
            return errors.ClusterUnavailable(message, retry_after=answer.retry_after or 1.0)
        case _:
            return errors.Denied(message, reason=answer.reason or "Denied")


def _causes(answer: Answer) -> tuple[Mapping[str, Any], ...]:
    return tuple((answer.body.get("details") or {}).get("causes") or ())


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _parse(text: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(text)
    except ValueError:
        # A proxy in front of the API server answers with a page.
        return {"message": " ".join(text[:200].decode("utf-8", "replace").split())}
    return body if isinstance(body, dict) else {}


def _seconds(header: str | None) -> float | None:
    """Read Retry-After, which the API server gives in seconds; a date (RFC 9110 allows one) is not understood."""
    try:
        return max(0.0, float(header)) if header else None
    except ValueError:
        return None


async def connect(
    kubeconfig: Path | None = None, *, context: str | None = None, user_agent: str = USER_AGENT, pool: int = POOL
) -> KubeApi:
    """Open a client: the kubeconfig given, else ``KUBECONFIG``, the pod's service account, or ``~/.kube/config``.

    Raises:
        Denied: the configuration cannot be used; the message says why.
    """
    configuration = Configuration()
    try:
        if kubeconfig is None and "KUBECONFIG" not in os.environ and "KUBERNETES_SERVICE_HOST" in os.environ:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # untyped there
        else:
            path = str(kubeconfig) if kubeconfig else os.environ.get("KUBECONFIG")
            await load_kube_config(  # type: ignore[no-untyped-call]  # untyped there
                config_file=path, context=context, client_configuration=configuration, persist_config=False
            )
    except (ConfigException, OSError) as error:
        raise errors.Denied(f"cannot use the cluster configuration: {error}", reason="KubeconfigInvalid") from error
    configuration.connection_pool_maxsize = pool
    client = ApiClient(configuration)
    client.user_agent = user_agent
    return KubeApi(client)
