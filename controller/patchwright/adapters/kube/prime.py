"""Fill the caches once before anything is decided: a decision on half a list would start what is already running.

kopf's watches tell the same again moments later; what is known already is no news then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from patchwright import errors
from patchwright.adapters.kube.client import LIST_TIMEOUT, KubeApi
from patchwright.adapters.kube.lists import FULL_PAGE
from patchwright.domain.sync import GROUP, VERSION

Take = Callable[[Mapping[str, Any]], None]
_OURS: Final = f"/apis/{GROUP}/{VERSION}"
KINDS: Final = frozenset({"patchpolicies", "patchrollouts", "policyrepositories"})


async def prime(api: KubeApi, *, policy: Take, rollout: Take, repository: Take) -> None:
    """List our own kinds, page by page; nodes, Jobs and pods are listed by what watches them (``reflector``).

    Raises:
        ClusterError: the API server refused or did not answer.
    """
    await _each(api, f"{_OURS}/patchpolicies", policy)
    await _each(api, f"{_OURS}/patchrollouts", rollout)
    await _each(api, f"{_OURS}/policyrepositories", repository)


async def discovered(api: KubeApi) -> None:
    """Make sure that the API server tells everybody that our kinds exist.

    It serves a kind a moment before its discovery names it. kopf looks there once, at its start, and watches nothing of
    what it does not find: the operator was ready and deaf.

    Raises:
        ClusterError: the API server refused or did not answer.
        ClusterUnavailable: a kind of ours is not there yet; install the CRDs, or wait for them to be told of.
    """
    groups = await api.call("GET", "/apis", what="the API groups")
    told: set[str] = set()
    if any(group.get("name") == GROUP for group in groups.get("groups") or ()):
        found = await api.call("GET", _OURS, what=f"the kinds of {GROUP}/{VERSION}")
        told = {resource["name"] for resource in found.get("resources") or ()}
    if missing := sorted(KINDS - told):
        kinds = ", ".join(missing)
        raise errors.ClusterUnavailable(
            f"the API server does not list {kinds} of {GROUP} yet; install the CRDs if they are missing",
            retry_after=0.5,
        )


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
