"""Nodes, their pods and our Jobs: the port ``Fleet`` on the Kubernetes API."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from patchwright import errors
from patchwright.adapters.kube import foreign, projection
from patchwright.adapters.kube.client import LIST_TIMEOUT, MERGE_PATCH, KubeApi, failure
from patchwright.adapters.kube.evictions import Evictor
from patchwright.adapters.kube.fleet_cache import FleetCache
from patchwright.adapters.kube.lists import PAGE
from patchwright.adapters.kube.pods import Controller, controller, project
from patchwright.adapters.kube.projection import Lens
from patchwright.adapters.kube.volumes import Volumes
from patchwright.domain.actions import JobStep, NodeRef, PodRef
from patchwright.domain.model import NodeTarget, PatchPolicy, PatchRollout
from patchwright.domain.nodes import labels as own
from patchwright.domain.nodes.record import Record, encode
from patchwright.domain.nodes.view import EvictionAttempt, NodeView, PodList, Remains, VolumeList
from patchwright.domain.targets import STATE_ANNOTATION
from patchwright.ports import Case

NODES: Final = "/api/v1/nodes"
_ORPHAN_MEMORY = timedelta(seconds=60)


class Render(Protocol):
    """A driver: gives the manifest of the Job of one step."""

    def __call__(
        self,
        rollout: PatchRollout,
        policy: PatchPolicy,
        *,
        node: NodeRef,
        step: JobStep,
        name: str,
        namespace: str,
        previous: str | None,
    ) -> dict[str, Any]:
        """Render the manifest; pure."""


def utc_now() -> datetime:
    """Give the time."""
    return datetime.now(UTC)


class KubeFleet:
    """Implements ``ports.Fleet``; ``drivers`` maps the name of a driver to its renderer."""

    def __init__(self, api: KubeApi, cache: FleetCache, *, drivers: Mapping[str, Render]) -> None:
        self._api = api
        self._cache = cache
        self._drivers = drivers
        self._evictor = Evictor(api, utc_now)
        self._volumes = Volumes(api, utc_now)
        self._daemon_sets: dict[str, tuple[datetime, bool]] = {}

    # --- reads ----------------------------------------------------------------------------------------------------

    def nodes(self, policy: PatchPolicy) -> tuple[NodeView, ...]:
        """Give the nodes that the policy selects, as they look to it, with the Jobs of whoever has claimed them."""
        if not isinstance(policy.target, NodeTarget):
            return ()
        return self._cache.nodes(self._lens(policy))

    def marked(self, rollout_uid: str, policy: PatchPolicy) -> tuple[NodeView, ...]:
        """Give the nodes that carry this rollout's record, selected or not."""
        return self._cache.marked(self._lens(policy), rollout_uid)

    def orphan_jobs(self, rollout_uid: str) -> int:
        """Count the rollout's Jobs that still exist."""
        return self._cache.orphan_jobs(rollout_uid)

    def claimed(self) -> frozenset[str]:
        """Give the UIDs of all rollouts that a record on a node or a Job names."""
        return self._cache.claimed()

    def remains(self, rollout_uid: str) -> Remains:
        """Give everything that names one rollout."""
        return self._cache.remains(rollout_uid)

    def _lens(self, policy: PatchPolicy) -> Lens:
        topology = policy.strategy.topology_key or projection.ZONE
        return Lens(policy.key.name, policy.nodes.selector, topology, self._cache.own_node)

    def backends(self) -> frozenset[str]:
        """Give the UIDs of all nodes of the cluster that load balancers may use."""
        return self._cache.backends()

    async def refresh(self, node: NodeRef) -> None:
        """Read one node past the cache."""
        try:
            self._cache.apply_node(await self._api.call("GET", f"{NODES}/{node.name}", what=f"node {node.name}"))
        except errors.NotFound:
            known = self._cache.node(node.name)
            if known is not None:
                self._cache.forget_node(node.name, known.uid)

    async def pods(self, node: NodeRef) -> PodList:
        """List the pods of one node, past any cache.

        No ``resourceVersion`` is sent: that is the one kind of list that is never older than the request (since 1.31
        the API server answers it from its own cache all the same, KEP-2340).
        """
        at = utc_now()
        answer = await self._api.call(
            "GET",
            "/api/v1/pods",
            what=f"the pods of node {node.name}",
            query={"fieldSelector": f"spec.nodeName={node.name}"},
            limit=LIST_TIMEOUT,
        )
        found = answer.get("items") or ()
        orphaned = await self._orphaned(found)
        namespace, own_pod = self._cache.namespace, self._cache.own_pod
        seen = (project(raw, namespace=namespace, orphaned=orphaned, own_pod=own_pod) for raw in found)
        return PodList(at, tuple(seen))

    async def volumes(self, node: NodeRef) -> VolumeList:
        """List the volumes that are attached to one node, past any cache."""
        return await self._volumes.of(node.name)

    async def _orphaned(self, found: Any) -> frozenset[str]:
        """Find the DaemonSets that do not exist any more; each is asked for once a minute at most."""
        orphaned = set()
        for who in {who for raw in found if (who := controller(raw)) and who.daemon_set}:
            known = self._daemon_sets.get(who.uid)
            if known is None or utc_now() - known[0] > _ORPHAN_MEMORY:
                known = (utc_now(), await self._exists(who))
                self._daemon_sets[who.uid] = known
            if not known[1]:
                orphaned.add(who.uid)
        return frozenset(orphaned)

    async def _exists(self, who: Controller) -> bool:
        path = f"/apis/apps/v1/namespaces/{who.namespace}/daemonsets/{who.name}"
        answer = await self._api.send("GET", path)
        if answer.code == 404:
            return False
        # Anything but a clear "no" leaves the pod alone.
        return not answer.ok or bool(answer.body["metadata"]["uid"] == who.uid)

    # --- writes to nodes ------------------------------------------------------------------------------------------

    async def cordon(self, node: NodeRef, record: Record, *, exclude: bool = False) -> None:
        """Set ``spec.unschedulable``, the record, and our label against load balancers in one patch (L5)."""
        metadata = _annotate(record)
        if exclude:
            metadata["labels"] = {own.EXCLUDE: own.EXCLUDED_BY_US}
        await self._patch(node, metadata, spec={"unschedulable": True})

    async def mark(self, node: NodeRef, record: Record) -> None:
        """Write the record."""
        await self._patch(node, _annotate(record))

    async def uncordon(
        self,
        node: NodeRef,
        record: Record | None,
        *,
        keep_cordon: bool,
        label: tuple[str, str | None] | None,
        include: bool = False,
    ) -> None:
        """Remove ``spec.unschedulable`` (unless ``keep_cordon``), write or remove the record, set the label.

        ``include`` removes the label against load balancers. Whether it is ours was seen on the node as it was, and as
        anything else it must still be, or the patch fails.
        """
        metadata = _annotate(record)
        labels = {**({label[0]: label[1]} if label is not None else {}), **({own.EXCLUDE: None} if include else {})}
        if labels:
            metadata["labels"] = labels
        await self._patch(node, metadata, spec=None if keep_cordon else {"unschedulable": None})

    async def _patch(self, node: NodeRef, metadata: dict[str, Any], spec: dict[str, Any] | None = None) -> None:
        """Patch a node exactly as it was seen: with its UID and its resource version (L10)."""
        body: dict[str, Any] = {"metadata": {**metadata, "uid": node.uid, "resourceVersion": node.resource_version}}
        if spec is not None:
            body["spec"] = spec
        raw = await self._api.call(
            "PATCH", f"{NODES}/{node.name}", what=f"node {node.name}", body=body, content_type=MERGE_PATCH
        )
        self._cache.apply_node(raw)

    # --- writes to pods -------------------------------------------------------------------------------------------

    async def evict(self, pod: PodRef, *, grace_period: timedelta | None) -> EvictionAttempt:
        """Ask for an eviction and say what the API server answered."""
        return await self._evictor.evict(pod, grace_period)

    async def delete_pod(self, pod: PodRef, *, grace_period: timedelta | None) -> EvictionAttempt:
        """Delete a pod without asking its budget."""
        return await self._evictor.delete(pod, grace_period)

    # --- Jobs -----------------------------------------------------------------------------------------------------

    @property
    def _jobs(self) -> str:
        return f"/apis/batch/v1/namespaces/{self._cache.namespace}/jobs"

    async def start_job(self, case: Case, node: NodeRef, *, step: JobStep, name: str) -> None:
        """Create a Job; one of that name that is this rollout's already is fine (L12).

        Raises:
            Denied: the name belongs to a Job of somebody else, or there is no such driver.
            ClusterUnavailable: a Job of that name is still being deleted, or the API server is in trouble.
        """
        manifest = self._manifest(case, node, step, name)
        what = f"Job {name}"
        answer = await self._api.send("POST", self._jobs, body=manifest)
        if answer.code == 409 and answer.reason == "AlreadyExists":
            existing = await self._api.call("GET", f"{self._jobs}/{name}", what=what)
            _ours(existing, manifest)
            self._cache.apply_job(existing)
        elif answer.ok:
            self._cache.apply_job(answer.body)
        else:
            raise failure(answer, what)

    def _manifest(self, case: Case, node: NodeRef, step: JobStep, name: str) -> dict[str, Any]:
        if case.rollout is None or case.policy is None:
            raise errors.Conflict(
                f"Job {name}: the rollout or its policy is gone or faulty, so there is nothing to run"
            )
        render = self._drivers.get(case.policy.nodes.driver)
        if render is None:
            raise errors.Denied(f"Job {name}: there is no driver {case.policy.nodes.driver}", reason="UnknownDriver")
        known = self._cache.node(node.name)
        previous = known.record.previous if known and known.record else None
        namespace = self._cache.namespace
        return render(
            case.rollout, case.policy, node=node, step=step, name=name, namespace=namespace, previous=previous
        )

    async def delete_job(self, name: str, *, uid: str) -> None:
        """Delete a Job and its pods; one that is gone already is fine.

        Foreground, so that the Job is there as long as its pods are: in the background it is gone at once while its
        pod still runs, and the rollback would start beside it.
        """
        body = {**_DELETE, "propagationPolicy": "Foreground", "preconditions": {"uid": uid}}
        answer = await self._api.send("DELETE", f"{self._jobs}/{name}", body=body)
        if answer.code in (404, 409):
            # 409: another Job has that name now, so the one that was meant is gone.
            self._cache.forget_job(name, uid)
        elif not answer.ok:
            raise failure(answer, f"Job {name}")
        elif answer.body.get("kind") == "Job":
            self._cache.apply_job(answer.body)

    async def delete_jobs(self, rollout_uid: str) -> None:
        """Delete every Job of a rollout and their pods, in one request.

        Where all of them have ended, the garbage collector takes the pods later: in the foreground each Job waits for
        its pod, which took ten seconds for 200 Jobs that had nothing left to do.
        """
        policy = "Background" if self._cache.all_ended(rollout_uid) else "Foreground"
        await self._api.call(
            "DELETE",
            self._jobs,
            what=f"the Jobs of rollout {rollout_uid}",
            query={"labelSelector": f"{own.ROLLOUT}={rollout_uid}"},
            body={**_DELETE, "propagationPolicy": policy},
            limit=LIST_TIMEOUT,
        )
        self._cache.deleting_jobs(rollout_uid)

    # --- what no watch says ---------------------------------------------------------------------------------------

    async def look_for_others(self) -> None:
        """See on which nodes system-upgrade-controller has a Job that is not done: it leaves no mark on a node."""
        body = await self._api.call(
            "GET",
            "/apis/batch/v1/jobs",
            what="the Jobs of system-upgrade-controller",
            query={"labelSelector": foreign.SUC_NODE, "limit": PAGE},
            limit=LIST_TIMEOUT,
        )
        self._cache.set_others(foreign.suc_nodes(body.get("items") or ()))


_DELETE: Final = {"apiVersion": "v1", "kind": "DeleteOptions"}


def _annotate(record: Record | None) -> dict[str, Any]:
    return {"annotations": {STATE_ANNOTATION: encode(record) if record else None}}


def _ours(existing: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Make sure that the Job under our name is the one we wanted, and there to stay."""
    metadata, meant = existing["metadata"], wanted["metadata"]
    labels = metadata.get("labels") or {}
    if any(labels.get(key) != value for key, value in meant["labels"].items()):
        raise errors.Denied(f"Job {meant['name']} exists and is not this rollout's; delete it", reason="NameTaken")
    if "deletionTimestamp" in metadata:
        raise errors.ClusterUnavailable(f"Job {meant['name']} is still being deleted; it is created again after that")
