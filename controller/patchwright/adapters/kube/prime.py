"""Fill the caches once before anything is decided: a decision on half a list would start what is already running.

kopf's watches tell the same again moments later; what is known already is no news then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from patchwright.adapters.kube.client import LIST_TIMEOUT, KubeApi
from patchwright.adapters.kube.lists import FULL_PAGE
from patchwright.domain.sync import GROUP, VERSION

Take = Callable[[Mapping[str, Any]], None]
_OURS: Final = f"/apis/{GROUP}/{VERSION}"


async def prime(api: KubeApi, *, policy: Take, rollout: Take, repository: Take) -> None:
    """List our own kinds, page by page; nodes, Jobs and pods are listed by what watches them (``reflector``).

    Raises:
        ClusterError: the API server refused or did not answer.
    """
    await _each(api, f"{_OURS}/patchpolicies", policy)
    await _each(api, f"{_OURS}/patchrollouts", rollout)
    await _each(api, f"{_OURS}/policyrepositories", repository)


async def _each(api: KubeApi, path: str, take: Take) -> None:
    query = {"limit": str(FULL_PAGE)}
    while True:
        body = await api.call("GET", path, what=f"cannot list {path}", query=query, limit=LIST_TIMEOUT)
        for item in body.get("items") or ():
            take(item)
        token = body["metadata"].get("continue")
        if not token:
            return
        query = {**query, "continue": token}
