"""Complete lists of what exists, slim: to find what is gone without a word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from patchwright.adapters.kube.client import LIST_TIMEOUT, PARTIAL_LIST, KubeApi

# A page of metadata is about a megabyte; 5,000 nodes at once would be ten times that in memory.
PAGE: Final = "500"
# Whole nodes have 20 KiB each, most of it the names of images; as Python's dictionaries five times that.
FULL_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Living:
    """The UIDs of everything at a path when its list was made, at version ``at``."""

    uids: frozenset[str]
    at: int


async def uids(api: KubeApi, path: str, *, selector: str = "") -> Living:
    """List the UIDs at a path, page by page and metadata only.

    Raises:
        ClusterError: the API server refused, did not answer, or the list took so long that it expired.
    """
    query = {"limit": PAGE, **({"labelSelector": selector} if selector else {})}
    found: set[str] = set()
    while True:
        body = await api.call("GET", path, what=path, query=query, accept=PARTIAL_LIST, limit=LIST_TIMEOUT)
        found.update(each["metadata"]["uid"] for each in body.get("items") or ())
        metadata = body["metadata"]
        if not metadata.get("continue"):
            return Living(frozenset(found), int(metadata["resourceVersion"]))
        query = {**query, "continue": metadata["continue"]}
