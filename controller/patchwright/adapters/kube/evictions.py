"""Evicting and deleting pods, and telling the API server's many refusals apart.

What 1.37 answers was provoked on a real one (tests/controlplane/test_evictions.py): a 429 is a budget's only if a cause
says ``DisruptionBudget``, a pod under two budgets is a 500 with a sentence and nothing else, and a pod of the same name
with another UID is a 409, unless its budget speaks first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from patchwright import errors
from patchwright.adapters.kube import selectors
from patchwright.adapters.kube.client import LIST_TIMEOUT, Answer, KubeApi
from patchwright.domain import selection
from patchwright.domain.actions import PodRef
from patchwright.domain.nodes.view import Eviction, EvictionAttempt

_SEVERAL: Final = "more than one PodDisruptionBudget"
_BUDGET: Final = re.compile(r"[Tt]he disruption budget (\S+) ")
_DEFAULT_PAUSE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Evictor:
    """Moves pods through one API server; ``clock`` gives the time in UTC."""

    api: KubeApi
    clock: Callable[[], datetime]

    async def evict(self, pod: PodRef, grace_period: timedelta | None) -> EvictionAttempt:
        """Ask for an eviction.

        Raises:
            ClusterUnavailable: the API server did not answer, or failed.
        """
        at = self.clock()
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod.name, "namespace": pod.namespace},
            "deleteOptions": _options(pod, grace_period),
        }
        answer = await self.api.send("POST", f"{_path(pod)}/eviction", body=body)
        return await self._read(answer, pod, at)

    async def delete(self, pod: PodRef, grace_period: timedelta | None) -> EvictionAttempt:
        """Delete a pod without asking its budget.

        Raises:
            ClusterUnavailable: the API server did not answer, or failed.
        """
        at = self.clock()
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **_options(pod, grace_period)}
        answer = await self.api.send("DELETE", _path(pod), body=body)
        return await self._read(answer, pod, at)

    async def _read(self, answer: Answer, pod: PodRef, at: datetime) -> EvictionAttempt:
        result = classify(answer)
        if result is None:
            raise errors.ClusterUnavailable(
                f"evicting pod {pod.namespace}/{pod.name}: {answer.message}", retry_after=answer.retry_after or 1.0
            )
        if result is Eviction.REPLACED and not await self._replaced(pod):
            # Any other conflict is over at the next try.
            return EvictionAttempt(Eviction.OVERLOADED, at, message=answer.message, retry_after=_DEFAULT_PAUSE)
        budget = await self._budgets(pod) if result is Eviction.MISCONFIGURED else _named(answer)
        message = _sentence(answer, result, budget)
        return EvictionAttempt(result, at, budget=budget, message=message, retry_after=_pause(answer, result))

    async def _replaced(self, pod: PodRef) -> bool:
        answer = await self.api.send("GET", _path(pod))
        if not answer.ok:
            return answer.code == 404
        return bool(answer.body["metadata"]["uid"] != pod.uid)

    async def _budgets(self, pod: PodRef) -> str:
        """Name the budgets that select a pod: the API server's 500 names none of them."""
        found = await self.api.send("GET", _path(pod))
        listed = await self.api.send(
            "GET", f"/apis/policy/v1/namespaces/{pod.namespace}/poddisruptionbudgets", limit=LIST_TIMEOUT
        )
        if not (found.ok and listed.ok):
            return ""
        labels = found.body["metadata"].get("labels") or {}
        names = [each["metadata"]["name"] for each in listed.body.get("items") or () if _selects(each, labels)]
        return ", ".join(sorted(names))


def classify(answer: Answer) -> Eviction | None:
    """Say what an answer to an eviction or a deletion means; ``None`` when it means that the server is in trouble."""
    match answer.code:
        case code if code < 400:
            return Eviction.ACCEPTED
        case 404:
            return Eviction.GONE
        case 409:
            return Eviction.REPLACED
        case 429:
            return Eviction.BLOCKED if answer.causes("DisruptionBudget") else Eviction.OVERLOADED
        case 403 if answer.causes("NamespaceTerminating"):
            return Eviction.NAMESPACE_TERMINATING
        case code if code < 500:
            return Eviction.REFUSED
        case _:
            return Eviction.MISCONFIGURED if _SEVERAL in answer.message else None


def _path(pod: PodRef) -> str:
    return f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"


def _options(pod: PodRef, grace_period: timedelta | None) -> dict[str, Any]:
    options: dict[str, Any] = {"preconditions": {"uid": pod.uid}}
    if grace_period is not None:
        # 0 removes the object before the kubelet has stopped anything, and a StatefulSet's next pod runs beside it.
        options["gracePeriodSeconds"] = max(1, int(grace_period.total_seconds()))
    return options


def _named(answer: Answer) -> str:
    found = (_BUDGET.search(cause) for cause in answer.causes("DisruptionBudget"))
    return next((match.group(1) for match in found if match), "")


def _sentence(answer: Answer, result: Eviction, budget: str) -> str:
    if result is Eviction.ACCEPTED:
        return ""
    if result is Eviction.BLOCKED:
        # The outer message says only that there is a budget; the cause has the numbers.
        return "; ".join(answer.causes("DisruptionBudget"))
    if result is Eviction.MISCONFIGURED and budget:
        return f"several PodDisruptionBudgets select it ({budget}), which evictions do not support; keep one of them"
    return answer.message


def _pause(answer: Answer, result: Eviction) -> timedelta | None:
    if answer.retry_after is not None:
        return timedelta(seconds=answer.retry_after)
    return _DEFAULT_PAUSE if result is Eviction.OVERLOADED else None


def _selects(budget: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    selector = selectors.parse((budget.get("spec") or {}).get("selector"))
    return selector is not None and selection.matches(selector, labels)
