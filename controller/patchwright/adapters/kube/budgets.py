"""PodDisruptionBudgets that never allow an eviction, and the pods that they keep where they are (nodes.md 4.10).

Such a budget wants every replica healthy: minAvailable is their number, or 100%, or maxUnavailable is 0. No patience
helps there, so it is better known before a node is cordoned and half of its pods are moved. Budgets are watched: one
that was changed holds nobody any more. Where their pods are is looked at when their health changes, and now and then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from patchwright.adapters.kube import pods, selectors
from patchwright.adapters.kube.client import LIST_TIMEOUT, KubeApi
from patchwright.adapters.kube.fleet_cache import FleetCache
from patchwright.adapters.kube.lists import PAGE
from patchwright.adapters.kube.pods import Controller
from patchwright.domain.nodes.view import PodView, Stuck

PATH: Final = "/apis/policy/v1/poddisruptionbudgets"
_HASH: Final = "pod-template-hash"


# How many pods a workload (its kind, namespace and name) wants; ``None`` where that is not known.
Replicas = Callable[[str, str, str], int | None]


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget that allows no eviction at the moment.

    ``expected`` are the replicas that it expects, ``None`` where its status counts the pods that are there instead: the
    disruption controller does that for a minAvailable that is a number, and a pod that is started anew would make such
    a budget look hopeless for a moment. ``healthy`` are those there now; ``spares_unready`` says that it lets pods go
    that are not Ready.
    """

    namespace: str
    name: str
    query: str
    wanted: int
    healthy: int
    expected: int | None
    spares_unready: bool


@dataclass(frozen=True, slots=True)
class _Pod:
    """What is kept of a pod under a budget while the others are looked at; ``node`` is empty where none is held."""

    node: str
    view: PodView
    workload: tuple[str, str, str] | None


class Budgets:
    """Budgets that may be hopeless, as their watch tells of them; ``fleet`` is told which pods those hold.

    ``news`` is set when there is one that nobody has looked at yet.
    """

    def __init__(self, fleet: FleetCache, replicas: Replicas) -> None:
        self.news = asyncio.Event()
        self._fleet = fleet
        self._replicas = replicas
        self._known: dict[str, Budget] = {}
        self._new: set[str] = set()
        self._held: dict[str, tuple[tuple[str, Stuck], ...]] = {}

    def apply(self, raw: Mapping[str, Any]) -> None:
        """Take in a budget as it was listed or watched."""
        uid, budget = raw["metadata"]["uid"], project(raw)
        if budget is None:
            self._forget(uid)
        elif self._known.get(uid) != budget:
            self._known[uid] = budget
            self._new.add(uid)
            self.news.set()

    def remove(self, raw: Mapping[str, Any]) -> None:
        """Take in that a budget was deleted."""
        self._forget(raw["metadata"]["uid"])

    def prune(self, uids: frozenset[str], _at: int) -> None:
        """Drop what a complete list does not hold any more."""
        for uid in self._known.keys() - uids:
            self._forget(uid)

    async def look(self, api: KubeApi) -> None:
        """See where the pods of all of these budgets are.

        Raises:
            ClusterError: the API server refused or did not answer.
        """
        await self._look(api, tuple(self._known))

    async def look_at_news(self, api: KubeApi) -> None:
        """See where the pods of those are that became so since the last look.

        Raises:
            ClusterError: the API server refused or did not answer.
        """
        await self._look(api, tuple(self._new))

    async def _look(self, api: KubeApi, uids: Iterable[str]) -> None:
        self.news.clear()
        self._new.clear()
        for uid in uids:
            budget = self._known.get(uid)
            held = await self._pods(api, budget) if budget else ()
            # What the watch has said meanwhile is newer than what was looked at.
            if self._known.get(uid) == budget:
                self._held[uid] = held
        self._tell()

    async def _pods(self, api: KubeApi, budget: Budget) -> tuple[tuple[str, Stuck], ...]:
        found = [self._pod(raw, budget) async for raw in _listed(api, budget)]
        expected = budget.expected if budget.expected is not None else self._expected(found)
        if expected is None or budget.wanted < expected:
            return ()
        why = (
            f"PodDisruptionBudget {budget.namespace}/{budget.name} never allows it: it wants {budget.wanted} healthy "
            f"pods of {expected}; scale up, or let it spare one"
        )
        return tuple((pod.node, Stuck(pod.view, why)) for pod in found if pod.node)

    def _pod(self, raw: Mapping[str, Any], budget: Budget) -> _Pod:
        view = pods.project(raw, namespace=self._fleet.namespace, orphaned=frozenset(), own_pod=self._fleet.own_pod)
        node = raw["spec"].get("nodeName", "") if held(raw, budget) else ""
        return _Pod(node, view, _workload(pods.controller(raw), view.labels.get(_HASH, "")))

    def _expected(self, found: Iterable[_Pod]) -> int | None:
        """Add up what the controllers of the pods want; a pod without one is one that is wanted."""
        workloads = [each.workload for each in found]
        wanted = [self._replicas(*each) for each in set(workloads) if each]
        known = [each for each in wanted if each is not None]
        return workloads.count(None) + sum(known) if len(known) == len(wanted) else None

    def _forget(self, uid: str) -> None:
        self._new.discard(uid)
        if self._known.pop(uid, None) is not None and self._held.pop(uid, ()):
            self._tell()

    def _tell(self) -> None:
        stuck: dict[str, list[Stuck]] = {}
        for node, each in (pair for held in self._held.values() for pair in held):
            stuck.setdefault(node, []).append(each)
        self._fleet.set_stuck(
            {node: tuple(sorted(each, key=lambda one: one.pod.ref.name)) for node, each in stuck.items()}
        )


def project(raw: Mapping[str, Any]) -> Budget | None:
    """Read a budget; ``None`` where it allows an eviction, may in a moment, or was edited and not counted again yet."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    expected, wanted = status.get("expectedPods", 0), status.get("desiredHealthy", 0)
    selector = selectors.parse(spec.get("selector"))
    if selector is None or not expected or status.get("disruptionsAllowed"):
        return None
    if status.get("observedGeneration") != metadata.get("generation"):
        return None
    counts_pods = isinstance(spec.get("minAvailable"), int)
    if wanted < expected and not counts_pods:
        return None
    return Budget(
        namespace=metadata["namespace"],
        name=metadata["name"],
        query=selectors.query(selector),
        wanted=wanted,
        healthy=status.get("currentHealthy", 0),
        expected=None if counts_pods else expected,
        spares_unready=spec.get("unhealthyPodEvictionPolicy") == "AlwaysAllow",
    )


def held(raw: Mapping[str, Any], budget: Budget) -> bool:
    """Tell whether a pod would stay on its node for good: only what runs, and would run for ever, is asked about.

    A pod that ends by itself needs the cordon, so that no more of its kind come: budgets that allow nothing are how
    workflows and builds are kept from being evicted.
    """
    status = raw.get("status") or {}
    if status.get("phase") != "Running" or "deletionTimestamp" in raw["metadata"]:
        return False
    if (raw.get("spec") or {}).get("restartPolicy", "Always") != "Always":
        return False
    return not budget.spares_unready or _ready(status.get("conditions") or ())


def _workload(owner: Controller | None, template: str) -> tuple[str, str, str] | None:
    """Give kind, namespace and name of the workload that a pod is of; a Deployment's ReplicaSets are named after it."""
    if owner is None:
        return None
    if owner.kind == "ReplicaSet":
        return "Deployment", owner.namespace, owner.name.removesuffix(f"-{template}")
    return owner.kind, owner.namespace, owner.name


def _ready(conditions: Iterable[Mapping[str, Any]]) -> bool:
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)


async def _listed(api: KubeApi, budget: Budget) -> AsyncIterator[Mapping[str, Any]]:
    path = f"/api/v1/namespaces/{budget.namespace}/pods"
    query = {"limit": PAGE, **({"labelSelector": budget.query} if budget.query else {})}
    while True:
        body = await api.call("GET", path, what=f"cannot list {path}", query=query, limit=LIST_TIMEOUT)
        for each in body.get("items") or ():
            yield each
        if not (token := body["metadata"].get("continue")):
            return
        query = {**query, "continue": token}
