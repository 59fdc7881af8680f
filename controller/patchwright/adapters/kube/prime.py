"""Fill the caches once before anything is decided: a decision on half a list would start what is already running.

kopf's watches tell the same again moments later; what is known already is no news then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from patchwright.adapters.kube.client import LIST_TIMEOUT, KubeApi
from patchwright.adapters.kube.lists import FULL_PAGE
from patchwright.domain.nodes import labels
from patchwright.domain.sync import GROUP, VERSION

Take = Callable[[Mapping[str, Any]], None]
_OURS: Final = f"/apis/{GROUP}/{VERSION}"


async def prime(
    api: KubeApi, *, node: Take, job: Take, pod: Take, policy: Take, rollout: Take, repository: Take
) -> None:
    """List everything that is watched, page by page.

    Raises:
        ClusterError: the API server refused or did not answer.
    """
    await _each(api, "/api/v1/nodes", node)
    await _each(api, "/apis/batch/v1/jobs", job, selector=labels.ROLLOUT)
    await _each(api, "/api/v1/pods", pod, selector=labels.ROLLOUT)
    await _each(api, f"{_OURS}/patchpolicies", policy)
    await _each(api, f"{_OURS}/patchrollouts", rollout)
    await _each(api, f"{_OURS}/policyrepositories", repository)


async def _each(api: KubeApi, path: str, take: Take, *, selector: str = "") -> None:
    query = {"limit": str(FULL_PAGE), **({"labelSelector": selector} if selector else {})}
    while True:
        body = await api.call("GET", path, what=f"cannot list {path}", query=query, limit=LIST_TIMEOUT)
        for item in body.get("items") or ():
            take(item)
        token = body["metadata"].get("continue")
        if not token:
            return
        query = {**query, "continue": token}
