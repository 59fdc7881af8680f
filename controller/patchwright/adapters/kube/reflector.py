"""List, then watch from that very version on, for ever: how controllers know nodes, Jobs and pods.

kopf's watches serve our own kinds. For what is many and busy, its bookkeeping per event was half of the operator's CPU
in a rollout, and at rest among 5,000 nodes more than was allowed (``make bench``); and its list comes after the one
that the caches are primed with: what went in between was told by nobody. The terms are client-go's (bookmarks:
KEP-956). What is taken twice is no news to the caches, so that a version may be watched from again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Callable, Mapping
from typing import Any, Final

from patchwright import errors
from patchwright.adapters.kube.client import LIST_TIMEOUT, KubeApi
from patchwright.adapters.kube.lists import FULL_PAGE, Living

logger = logging.getLogger(__name__)

Raw = Mapping[str, Any]
# The API server ends a watch after this long; spread, so that not all of them begin anew at once (as in client-go).
_SERVER_SECONDS: Final = (300, 600)
# It sends a bookmark about every minute. A connection on which nothing has come for longer is one that nobody has told
# us is dead (a load balancer that forgot it), and is opened anew.
SILENCE: Final = 150.0
_BACKOFF: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
# After so many failures in a row from one version it is listed anew: an etcd that was restored from a backup refuses a
# version of its future for ever.
_IN_VAIN: Final = 3


class Reflector:
    """Keeps a cache in step with one list of the API server.

    ``take`` gets every object as it is or becomes, ``gone`` those that are deleted, and ``complete`` what a whole list
    held: whatever else the cache has is gone. A connection is given up after ``silence`` seconds without a word.
    """

    def __init__(
        self,
        api: KubeApi,
        path: str,
        *,
        take: Callable[[Raw], None],
        gone: Callable[[Raw], None],
        complete: Callable[[Living], None],
        selector: str = "",
        silence: float = SILENCE,
    ) -> None:
        self._api = api
        self._path = path
        self._query = {"labelSelector": selector} if selector else {}
        self._take = take
        self._gone = gone
        self._complete = complete
        self._silence = silence
        self._version = ""

    async def list(self) -> None:
        """Take everything there is, page by page.

        Raises:
            ClusterError: the API server refused, did not answer, or was so slow that the list expired.
        """
        query = {**self._query, "limit": str(FULL_PAGE)}
        living: set[str] = set()
        while True:
            body = await self._api.call(
                "GET", self._path, what=f"cannot list {self._path}", query=query, limit=LIST_TIMEOUT
            )
            for item in body.get("items") or ():
                living.add(item["metadata"]["uid"])
                self._take(item)
            metadata = body["metadata"]
            if not metadata.get("continue"):
                break
            query = {**query, "continue": metadata["continue"]}
        self._version = metadata["resourceVersion"]
        self._complete(Living(frozenset(living), int(self._version)))

    async def run(self) -> None:
        """Follow until cancelled; where that cannot go on, list anew."""
        failures = 0
        while True:
            before = self._version
            try:
                if not before:
                    await self.list()
                await self._follow()
                failures = 0
            except errors.ClusterError as error:
                failures = failures + 1 if self._version == before else 1
                logger.warning("%s; watching again", error)
                if isinstance(error, errors.Conflict) or failures > _IN_VAIN:
                    self._version = ""
                await asyncio.sleep(_pause(failures))

    async def _follow(self) -> None:
        """Take what happens until the API server ends the watch.

        Raises:
            Conflict: the version that is watched from is too old; only a new list says what has happened since.
            ClusterError: it was refused, or its connection broke.
        """
        query = {
            **self._query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(random.randint(*_SERVER_SECONDS)),  # noqa: S311 - to spread load
        }
        async for line in self._api.lines(self._path, query=query, silence=self._silence):
            self._event(json.loads(line))

    def _event(self, event: Mapping[str, Any]) -> None:
        found = event["object"]
        match event["type"]:
            case "ADDED" | "MODIFIED":
                self._take(found)
            case "DELETED":
                self._gone(found)
            case "ERROR":
                raise _failure(found, self._path)
        self._version = found["metadata"]["resourceVersion"]


def _failure(status: Raw, path: str) -> errors.ClusterError:
    message = f"the watch of {path}: {status.get('message') or status.get('reason')}"
    return errors.Conflict(message) if status.get("code") == 410 else errors.ClusterUnavailable(message)


def _pause(failures: int) -> float:
    return _BACKOFF[min(failures, len(_BACKOFF)) - 1] * random.uniform(0.5, 1.0)  # noqa: S311 - to spread load
