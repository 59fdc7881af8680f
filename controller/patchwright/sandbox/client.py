"""Requests to the sandbox's API server, with plain dictionaries: for the sandbox itself, its tests and benchmarks.

Synchronous and safe to use from several threads; thousands of objects are made by a pool of them. The operator has
its own, asynchronous client in ``adapters.kube``.
"""

from __future__ import annotations

import concurrent.futures
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import urllib3
import urllib3.exceptions
from kubernetes import config as kubernetes_config
from kubernetes.client import api_client, configuration, exceptions

from patchwright import errors

Manifest = dict[str, Any]
_PARALLEL = 16


class Client:
    """One login at the API server; a context manager."""

    def __init__(self, kubeconfig: Path, *, user_agent: str = "patchwright-sandbox") -> None:
        settings = configuration.Configuration()
        kubernetes_config.load_kube_config(  # type: ignore[no-untyped-call] # the library has no types there
            str(kubeconfig), client_configuration=settings
        )
        # Loopback, whatever HTTPS_PROXY says.
        settings.proxy, settings.connection_pool_maxsize = None, _PARALLEL
        self._api = api_client.ApiClient(settings)
        self._host = settings.host
        self._user_agent = user_agent

    def __enter__(self) -> Self:
        """Give the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._api.rest_client.pool_manager.clear()

    def get(self, path: str, **query: str) -> Manifest:
        """Give the object or list at ``path``."""
        return self.request("GET", path, query=query)

    def items(self, path: str, **query: str) -> list[Manifest]:
        """Give the items of the list at ``path``."""
        items: list[Manifest] = self.get(path, **query)["items"]
        return items

    def create(self, path: str, body: Manifest) -> Manifest:
        """Create an object in the collection at ``path``."""
        return self.request("POST", path, body)

    def patch(self, path: str, body: object, *, kind: str = "merge-patch") -> Manifest:
        """Patch the object at ``path``; ``kind`` is merge-patch, strategic-merge-patch or json-patch."""
        return self.request("PATCH", path, body, content=f"application/{kind}+json")

    def apply(
        self, path: str, body: Manifest, *, manager: str = "patchwright-sandbox", dry_run: bool = False
    ) -> Manifest:
        """Create or change the object at ``path`` by server-side apply; a dry run only gives what it would be."""
        query = {"fieldManager": manager, "force": "true", **({"dryRun": "All"} if dry_run else {})}
        return self.request("PATCH", path, body, query=query, content="application/apply-patch+yaml")

    def delete(self, path: str, body: Manifest | None = None) -> Manifest:
        """Delete the object at ``path``."""
        return self.request("DELETE", path, body)

    def create_all(self, path: str, bodies: Iterable[Manifest], done: Callable[[], None] = lambda: None) -> None:
        """Create many objects in one collection, several at a time; ``done`` is called after each."""
        with concurrent.futures.ThreadPoolExecutor(_PARALLEL) as pool:
            for future in concurrent.futures.as_completed([pool.submit(self.create, path, body) for body in bodies]):
                future.result()
                done()

    def wait(
        self, path: str, until: Callable[[Manifest], object], *, timeout: float = 30.0, every: float = 0.05
    ) -> Manifest:
        """Poll the object or list at ``path`` until ``until`` holds; raise ClusterUnavailable after ``timeout`` s.

        An object that is not there is an empty dictionary.
        """
        deadline = time.monotonic() + timeout
        while not until(seen := self._found(path)):
            if time.monotonic() > deadline:
                raise errors.ClusterUnavailable(f"{path} is not as awaited after {timeout:.0f} s: {str(seen)[:600]}")
            time.sleep(every)
        return seen

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
        content: str = "application/json",
    ) -> Manifest:
        """Make one request; give its JSON, raise a ClusterError for any answer but success."""
        headers = {"Content-Type": content, "Accept": "application/json", "User-Agent": self._user_agent}
        url = f"{self._host}{path}{'?' + urlencode(query) if query else ''}"
        try:
            answer = self._api.call_api(method, url, headers, body)
            data = answer.response.data
        except (urllib3.exceptions.HTTPError, exceptions.ApiException) as fault:
            raise errors.ClusterUnavailable(f"{method} {path}: the API server does not answer: {fault}") from fault
        decoded = _decoded(data)
        if answer.status >= 400:
            raise _refused(f"{method} {path}", answer.status, decoded)
        return decoded

    def watch(self, path: str, resource_version: str) -> Iterator[Manifest]:
        """Give the objects at ``path`` as they change after ``resource_version``, until the watch ends."""
        return (event["object"] for event in self.events(path, resource_version))

    def events(self, path: str, resource_version: str) -> Iterator[Manifest]:
        """Give the changes at ``path`` after ``resource_version`` as ``{"type": …, "object": …}``."""
        url = f"{self._host}{path}?watch=true&allowWatchBookmarks=false&resourceVersion={resource_version}"
        headers = {"Accept": "application/json", "User-Agent": self._user_agent}
        try:
            for line in _lines(self._api.call_api("GET", url, headers).response):
                event = _decoded(line)
                # A watch that is refused is answered with a bare Status, or in plain text where nothing is served.
                if event.get("type", "ERROR") == "ERROR":
                    raise errors.ClusterUnavailable(f"watch {path}: {event.get('object', event).get('message')}")
                yield event
        except (urllib3.exceptions.HTTPError, exceptions.ApiException) as fault:
            raise errors.ClusterUnavailable(f"watch {path}: the API server does not answer: {fault}") from fault

    def _found(self, path: str) -> Manifest:
        try:
            return self.get(path)
        except errors.NotFound:
            return {}


def _decoded(data: bytes) -> Manifest:
    """Read an answer's body; a path that the API server does not know (yet) is answered in plain text."""
    try:
        found = json.loads(data or b"{}")
    except ValueError:
        return {"message": data.decode(errors="replace").strip()}
    return found if isinstance(found, dict) else {}


def _refused(request: str, status: int, answer: Manifest) -> errors.ClusterError:
    sentence = f"{request}: {status} {answer.get('reason', '')}: {answer.get('message', '')}"
    match status:
        case 404:
            return errors.NotFound(sentence)
        case 409:
            return errors.Conflict(sentence)
        case 429:
            return errors.ClusterUnavailable(sentence)
        case _ if status >= 500:
            return errors.ClusterUnavailable(sentence)
        case _:
            return errors.Denied(sentence, reason=str(answer.get("reason", "Denied")))


def _lines(stream: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    held = b""
    while chunk := stream.read1():
        *whole, held = (held + chunk).split(b"\n")
        yield from whole


def names(items: Iterable[Manifest]) -> Iterator[str]:
    """Give the names of objects."""
    return (str(item["metadata"]["name"]) for item in items)
