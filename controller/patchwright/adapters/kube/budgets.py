"""PodDisruptionBudgets that never allow an eviction, and the pods that they keep where they are (nodes.md 4.10).

Such a budget wants every pod that it expects to be healthy: minAvailable is the number of replicas, or maxUnavailable
is 0. No patience helps there, so it is better known before a node is cordoned and half of its pods are moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from patchwright.adapters.kube import pods, selectors
from patchwright.adapters.kube.client import LIST_TIMEOUT, KubeApi
from patchwright.adapters.kube.lists import PAGE
from patchwright.domain.nodes.view import Stuck

_BUDGETS: Final = "/apis/policy/v1/poddisruptionbudgets"


async def stuck(api: KubeApi) -> dict[str, tuple[Stuck, ...]]:
    """Give, by node, the pods that no eviction would move.

    Raises:
        ClusterError: the API server refused or did not answer.
    """
    found: dict[str, list[Stuck]] = {}
    for budget in [each async for each in _each(api, _BUDGETS) if hopeless(each)]:
        namespace, why = budget["metadata"]["namespace"], hopeless(budget)
        selector = selectors.parse(budget["spec"].get("selector"))
        if selector is None:
            continue
        async for pod in _each(api, f"/api/v1/namespaces/{namespace}/pods", selector=selectors.query(selector)):
            view = pods.project(pod, namespace="", orphaned=frozenset())
            if (node := pod["spec"].get("nodeName")) and view.deleted_at is None:
                found.setdefault(node, []).append(Stuck(view, why))
    return {node: tuple(sorted(each, key=lambda one: one.pod.ref.name)) for node, each in found.items()}


def hopeless(budget: Mapping[str, Any]) -> str:
    """Say why a budget will never allow an eviction as things are; empty where it does, or may in a moment."""
    status, metadata = budget.get("status") or {}, budget["metadata"]
    expected, wanted = status.get("expectedPods", 0), status.get("desiredHealthy", 0)
    counted = status.get("observedGeneration") == metadata.get("generation")
    if not (counted and expected and wanted >= expected) or status.get("disruptionsAllowed"):
        return ""
    name = f"PodDisruptionBudget {metadata['namespace']}/{metadata['name']}"
    return f"{name} never allows it: it wants {wanted} healthy pods of {expected}; scale up, or let it spare one"


async def _each(api: KubeApi, path: str, *, selector: str = "") -> Any:
    query = {"limit": PAGE, **({"labelSelector": selector} if selector else {})}
    while True:
        body = await api.call("GET", path, what=f"cannot list {path}", query=query, limit=LIST_TIMEOUT)
        for each in body.get("items") or ():
            yield each
        if not (token := body["metadata"].get("continue")):
            return
        query = {**query, "continue": token}
