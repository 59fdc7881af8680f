"""Reads of the API server as plain JSON: lists are long, and the client's models cost more than the lists."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from patchwright.adapters.health.looks import short
from patchwright.adapters.kube import selectors
from patchwright.adapters.kube.client import LIST_TIMEOUT, Answer, KubeApi
from patchwright.domain.model import Selector
from patchwright.errors import ClusterError, ClusterUnavailable, HealthProbeError, NotFound

PAGE: Final = 500
_RIGHTS: Final = {"GET": "get and list", "POST": "create, get and delete"}


class Expired(HealthProbeError):
    """A list took longer than its continue token lived."""


class Cluster:
    """The API server, through a client that stays the caller's to close."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        """Read ``path``, which must be made of ``segment``s.

        Raises:
            NotFound: there is no such object, or no such resource.
            HealthProbeError: the API server refuses or gives no answer.
        """
        try:
            # The check's own time limit is shorter than this one.
            answer = await self._api.send("GET", path, query=query, limit=LIST_TIMEOUT)
        except ClusterUnavailable as error:
            raise HealthProbeError(f"the API server is away: {error.message}; the check is made again") from error
        return _checked(answer, path)

    async def create(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Create an object; raises as ``get``."""
        try:
            answer = await self._api.send("POST", path, body=body)
        except ClusterUnavailable as error:
            raise HealthProbeError(f"the API server is away: {error.message}; the check is made again") from error
        return _checked(answer, path, "POST")

    async def delete(self, path: str) -> None:
        """Delete an object and what it owns; nobody is told when that fails, for it goes by itself in the end."""
        with contextlib.suppress(ClusterError):
            await self._api.send("DELETE", path, body={"propagationPolicy": "Background"})

    async def items(self, path: str, selector: Selector) -> list[Mapping[str, Any]]:
        """List every object at ``path`` that ``selector`` matches, page by page; raises as ``get``."""
        try:
            return await self._pages(path, selector)
        except Expired:
            return await self._pages(path, selector)

    async def _pages(self, path: str, selector: Selector) -> list[Mapping[str, Any]]:
        query = {"limit": str(PAGE)}
        if label_selector := selectors.query(selector):
            query["labelSelector"] = label_selector
        found: list[Mapping[str, Any]] = []
        while True:
            page = await self.get(path, query)
            found += page.get("items") or []
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return found
            query["continue"] = token


def segment(text: str) -> str:
    """Give a name as one segment of a path; raises HealthProbeError for what would change the path."""
    if not text or text in (".", "..") or "/" in text:
        raise HealthProbeError(f'"{short(text)}" is not the name of an object; correct it in the health check')
    return quote(text, safe="")


def _checked(answer: Answer, path: str, verb: str = "GET") -> Mapping[str, Any]:
    if answer.ok:
        return answer.body
    said = short(answer.message)
    if answer.code == 404:
        raise NotFound(f"the API server has nothing at {path}")
    if answer.code == 410:
        raise Expired(f"the API server forgot the list of {path} midway ({said}); the check is made again")
    if answer.code in (401, 403):
        raise HealthProbeError(
            f"the API server refuses {verb} {path}: {said}; let the operator's role {_RIGHTS[verb]} this resource"
        )
    raise HealthProbeError(f"the API server answers {verb} {path} with {answer.code}: {said}; the check is made again")
