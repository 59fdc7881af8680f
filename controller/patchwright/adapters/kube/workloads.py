"""Workloads and their pods: the port ``Workloads`` on the Kubernetes API."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final

from patchwright import errors
from patchwright.adapters.kube import canaries, workloads_pods, workloads_projection
from patchwright.adapters.kube.client import JSON_PATCH, LIST_TIMEOUT, Answer, KubeApi, failure
from patchwright.adapters.kube.evictions import classify
from patchwright.adapters.kube.fleet import utc_now
from patchwright.adapters.kube.standalone import KubeStandalones
from patchwright.adapters.kube.workloads_cache import WorkloadCache
from patchwright.adapters.kube.workloads_pods import Architecture, AwaySince
from patchwright.adapters.kube.workloads_projection import WorkloadFacts
from patchwright.domain.actions import ImageEdit, PodRef, StrategyEdit, WorkloadRef
from patchwright.domain.model import PatchPolicy
from patchwright.domain.nodes.view import Eviction
from patchwright.domain.targets import STATE_ANNOTATION
from patchwright.domain.workloads.beside import LABEL
from patchwright.domain.workloads.record import Record, encode
from patchwright.domain.workloads.standalone import Survey
from patchwright.domain.workloads.view import Canary, WorkloadPods, WorkloadView

_ANNOTATIONS: Final = "/metadata/annotations"
_UPDATES: Final = "/spec/updateStrategy"
_STATE: Final = f"{_ANNOTATIONS}/{STATE_ANNOTATION.replace('~', '~0').replace('/', '~1')}"

Operation = dict[str, Any]


class KubeWorkloads:
    """Implements ``ports.Workloads``; what it is told of nodes is ``workloads_pods.project``'s."""

    def __init__(
        self,
        api: KubeApi,
        cache: WorkloadCache,
        standalones: KubeStandalones,
        *,
        away_since: AwaySince,
        architecture: Architecture = lambda _: "",
    ) -> None:
        self._api = api
        self._cache = cache
        self._standalones = standalones
        self._away_since = away_since
        self._architecture = architecture

    # --- reads ----------------------------------------------------------------------------------------------------

    def selected(self, policy: PatchPolicy) -> tuple[WorkloadView, ...]:
        """Give the workloads that the policy selects and that run an image it covers."""
        return self._cache.selected(policy)

    def one(self, workload: WorkloadRef, policy: PatchPolicy) -> WorkloadView | None:
        """Give one workload as it stands by now, if the policy selects it."""
        return self._cache.one(workload, policy)

    def marked(self, rollout_uid: str, policy: PatchPolicy) -> tuple[WorkloadView, ...]:
        """Give the workloads that carry this rollout's record, selected or not."""
        return self._cache.marked(rollout_uid, policy)

    def absent(self, policy: PatchPolicy) -> str:
        """Say which kind that the policy names cannot be looked at."""
        return self._cache.absent(policy)

    def standalone(self, policy: PatchPolicy) -> Survey:
        """Give what runs the policy's images without a controller."""
        return self._standalones.survey(policy)

    async def refresh(self, workload: WorkloadRef) -> None:
        """Read one workload past the cache."""
        try:
            raw = await self._api.call("GET", _path(workload), what=str(workload))
        except errors.NotFound:
            known = self._known(workload)
            if known is not None:
                self._cache.forget(known.key, known.uid)
            return
        self._cache.apply(workload.kind, raw)

    async def pods(self, workload: WorkloadRef) -> WorkloadPods:
        """List the pods of one workload by its selector, past any cache; pods are never watched for it."""
        known = self._known(workload)
        if known is None:
            raise errors.NotFound(f"{workload} is gone")
        at = utc_now()
        if not known.selector:
            # An empty one would mean every pod of the namespace.
            return WorkloadPods(at, ())
        answer = await self._api.call(
            "GET",
            f"/api/v1/namespaces/{workload.namespace}/pods",
            what=f"the pods of {workload}",
            query={"labelSelector": _own_pods(known)},
            limit=LIST_TIMEOUT,
        )
        mine = (
            raw for raw in answer.get("items") or () if workloads_pods.controlled_by(raw, workload.uid, workload.kind)
        )
        return WorkloadPods(
            at, tuple(workloads_pods.project(raw, self._away_since, self._architecture) for raw in mine)
        )

    # --- writes ---------------------------------------------------------------------------------------------------

    async def set_images(
        self,
        workload: WorkloadRef,
        record: Record,
        edits: Sequence[ImageEdit],
        *,
        strategy: StrategyEdit | None = None,
    ) -> None:
        """Change images and the strategy and write the record in one patch, each compared with what it was."""
        operations = [operation for edit in edits for operation in _swap(edit)]
        operations += _change(strategy) if strategy else []
        await self._patch(workload, operations + self._annotate(workload, record))

    async def mark(self, workload: WorkloadRef, record: Record | None) -> None:
        """Write or remove the record."""
        await self._patch(workload, self._annotate(workload, record))

    def _annotate(self, workload: WorkloadRef, record: Record | None) -> list[Operation]:
        known = self._known(workload)
        if record is None:
            there = known is not None and (known.record is not None or known.record_fault)
            return [{"op": "remove", "path": _STATE}] if there else []
        text = encode(record)
        if known is not None and not known.annotated:
            return [{"op": "add", "path": _ANNOTATIONS, "value": {STATE_ANNOTATION: text}}]
        return [{"op": "add", "path": _STATE, "value": text}]

    async def _patch(self, workload: WorkloadRef, operations: Sequence[Operation]) -> None:
        """Patch a workload exactly as it was seen: with its UID and its resource version (L10).

        A resource version that is replaced by itself is a precondition, which fails as a 409.
        """
        body = [
            {"op": "test", "path": "/metadata/uid", "value": workload.uid},
            *operations,
            {"op": "replace", "path": "/metadata/resourceVersion", "value": workload.resource_version},
        ]
        answer = await self._api.send("PATCH", _path(workload), body=body, content_type=JSON_PATCH)
        if answer.ok:
            self._cache.apply(workload.kind, answer.body)
            return
        raise await self._refusal(workload, answer)

    async def _refusal(self, workload: WorkloadRef, answer: Answer) -> errors.ClusterError:
        """Tell a failed ``test`` from a refusal: both are a 422, and only the object itself says which it is."""
        if answer.code == 422:
            found = await self._api.send("GET", _path(workload))
            if found.ok and found.body["metadata"]["resourceVersion"] != workload.resource_version:
                return errors.Conflict(f"{workload} was changed by somebody else")
        return failure(answer, str(workload))

    async def delete_pod(self, pod: PodRef) -> None:
        """Delete a pod, with its UID as precondition; one that is gone or replaced already is fine."""
        where = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": pod.uid}}
        answer = await self._api.send("DELETE", where, body=body)
        if classify(answer) not in (Eviction.ACCEPTED, Eviction.GONE, Eviction.REPLACED):
            raise failure(answer, f"pod {pod.namespace}/{pod.name}")

    # --- canaries -------------------------------------------------------------------------------------------------

    def canaries(self) -> tuple[Canary, ...]:
        """Give every canary Deployment, whosever rollout has made it."""
        return self._cache.canaries()

    async def create_canary(self, workload: WorkloadRef, record: Record, edits: Sequence[ImageEdit]) -> None:
        """Create a canary from the Deployment as it is now, if that is as it was seen.

        No precondition of a creation names another object, so that one is read first: an operator that was deposed must
        not make a canary of a rollout that another has put back (L10).
        """
        part = record.part
        assert part is not None
        what = f"canary Deployment {workload.namespace}/{part.beside}"
        stable = await self._api.call("GET", _path(workload), what=str(workload))
        metadata = stable["metadata"]
        if (metadata["uid"], metadata["resourceVersion"]) != (workload.uid, workload.resource_version):
            raise errors.Conflict(f"{workload} was changed by somebody else")
        body = canaries.body(stable, record, part, edits)
        where = _path(replace(workload, name=part.beside))
        answer = await self._api.send("POST", where.rpartition("/")[0], body=body)
        if answer.ok:
            self._cache.apply("Deployment", answer.body)
        elif answer.code == HTTPStatus.CONFLICT:
            self._cache.apply("Deployment", await self._api.call("GET", where, what=what))
        else:
            raise failure(answer, what)

    async def delete_canary(self, workload: WorkloadRef, name: str) -> None:
        """Delete a canary, in the foreground, so that it is there as long as its pods are."""
        where, what = _path(replace(workload, name=name)), f"canary Deployment {workload.namespace}/{name}"
        found = await self._api.send("GET", where)
        known = self._cache.get("Deployment", workload.namespace, name)
        if found.code == HTTPStatus.NOT_FOUND:
            if known is not None:
                self._cache.forget(known.key, known.uid)
            return
        if not found.ok:
            raise failure(found, what)
        self._cache.apply("Deployment", found.body)
        metadata = found.body["metadata"]
        if canaries.of(found.body) != (workload.name, workload.uid) or "deletionTimestamp" in metadata:
            return
        options = {"preconditions": {"uid": metadata["uid"]}, "propagationPolicy": "Foreground"}
        answer = await self._api.send("DELETE", where, body={"apiVersion": "v1", "kind": "DeleteOptions", **options})
        if not answer.ok and answer.code not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
            raise failure(answer, what)
        if answer.ok and answer.body.get("kind") == "Deployment":
            self._cache.apply("Deployment", answer.body)

    def _known(self, workload: WorkloadRef) -> WorkloadFacts | None:
        return self._cache.get(workload.kind, workload.namespace, workload.name)


def _path(workload: WorkloadRef) -> str:
    return workloads_projection.path(workload.kind, workload.namespace, workload.name)


def _own_pods(known: WorkloadFacts) -> str:
    """Leave out the pods of its canary, which have all labels of a Deployment's own and one more."""
    return known.selector if known.kind != "Deployment" or known.canary_of[1] else f"{known.selector},!{LABEL}"


def _swap(edit: ImageEdit) -> list[Operation]:
    """Compare and swap: the container at this place must have this name, and its image must be what it was."""
    return [
        {"op": "test", "path": f"{edit.entry}/name", "value": edit.name},
        {"op": "test", "path": edit.place, "value": edit.was},
        {"op": "replace", "path": edit.place, "value": edit.to},
    ]


def _change(edit: StrategyEdit) -> list[Operation]:
    """Compare and swap the update strategy as a whole, so that whatever somebody changed in it makes it fail."""
    return [
        {"op": "test", "path": _UPDATES, "value": json.loads(edit.was)},
        {"op": "replace", "path": _UPDATES, "value": json.loads(edit.to)},
    ]
