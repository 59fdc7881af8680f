"""The port ``Fleet`` in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from patchwright import errors, ports
from patchwright.domain import selection
from patchwright.domain.actions import JobStep, NodeRef, PodRef
from patchwright.domain.model import PatchPolicy
from patchwright.domain.nodes import balancers, marks, view
from patchwright.domain.nodes import labels as own
from patchwright.domain.nodes.record import Record, encode
from patchwright.domain.nodes.view import (
    Claim,
    Eviction,
    EvictionAttempt,
    JobView,
    NodeView,
    PodList,
    PodView,
    Remains,
    VolumeList,
)
from patchwright.domain.targets import RISK_LABEL, STATE_ANNOTATION, Order
from support.simulator import loop
from support.simulator.cache import Cache
from support.simulator.calls import Wire
from support.simulator.hardware import Hardware
from support.simulator.server import OPERATOR, Server
from support.simulator.things import ZONE, Attachment, Job, Node, Pod
from support.simulator.workloads import Workloads


@dataclass(slots=True)
class Fleet:
    """Nodes through one operator's cache, and its writes to them."""

    server: Server
    cache: Cache
    wire: Wire
    hardware: Hardware
    workloads: Workloads
    own_node: str = ""
    _views: dict[tuple[str, str, str], tuple[Node, tuple[Job, ...], NodeView]] = field(default_factory=dict)

    def nodes(self, policy: PatchPolicy) -> tuple[NodeView, ...]:
        jobs = self._jobs()
        wanted = policy.target.selector
        found = (node for node in self.cache.all(Node) if selection.matches(wanted, node.labels))
        return tuple(self._view(node, policy, jobs) for node in found)

    def marked(self, rollout_uid: str, policy: PatchPolicy) -> tuple[NodeView, ...]:
        jobs = self._jobs()
        views = (
            self._view(node, policy, jobs) for node in self.cache.all(Node) if STATE_ANNOTATION in node.annotations
        )
        return tuple(each for each in views if each.record and each.record.rollout_uid == rollout_uid)

    def orphan_jobs(self, rollout_uid: str) -> int:
        return sum(job.rollout_uid == rollout_uid for job in self.cache.all(Job))

    def claimed(self) -> frozenset[str]:
        records = (node.record for node in self.cache.all(Node))
        return frozenset(r.rollout_uid for r in records if r) | {job.rollout_uid for job in self.cache.all(Job)}

    def remains(self, rollout_uid: str) -> Remains:
        nodes = tuple(
            Claim(NodeRef(node.name, node.uid, str(node.version)), node.record, node.unschedulable, dict(node.labels))
            for node in sorted(self.cache.all(Node), key=lambda node: node.name)
            if node.record is not None and node.record.rollout_uid == rollout_uid
        )
        return Remains(nodes, tuple(_job(job) for job in self.cache.all(Job) if job.rollout_uid == rollout_uid))

    async def refresh(self, node: NodeRef) -> None:
        known = await self.wire.call(f"read {node.name}", lambda: self.server.get(Node, node.name), writes=False)
        if known is not None:
            self.cache.learn(known)
        elif (stale := self.cache.get(Node, node.name)) is not None:
            self.cache.forget(Node, stale)

    def backends(self) -> frozenset[str]:
        return frozenset(
            node.uid
            for node in self.cache.all(Node)
            if balancers.usable(ready=node.ready, unschedulable=node.unschedulable, labels=node.labels)
        )

    async def cordon(self, node: NodeRef, record: Record, *, exclude: bool = False) -> None:
        labels = {own.EXCLUDE: own.EXCLUDED_BY_US} if exclude else {}
        await self._patch("cordon, exclude" if exclude else "cordon", node, record, labels=labels, unschedulable=True)

    async def mark(self, node: NodeRef, record: Record) -> None:
        await self._patch(f"mark {record.mark.value}", node, record)

    async def uncordon(
        self,
        node: NodeRef,
        record: Record | None,
        *,
        keep_cordon: bool,
        label: tuple[str, str | None] | None,
        include: bool = False,
    ) -> None:
        fields: dict[str, Any] = {} if keep_cordon else {"unschedulable": False}
        name = f"{'uncordon' if record else 'release'}{', include' if include else ''}"
        name += f" {record.mark.value}" if record else ""
        labels = {**dict([label] if label else []), **({own.EXCLUDE: None} if include else {})}
        await self._patch(name, node, record, labels=labels, **fields)

    async def _patch(
        self,
        name: str,
        node: NodeRef,
        record: Record | None,
        labels: Mapping[str, str | None] | None = None,
        **fields: Any,
    ) -> None:
        def effect() -> Node:
            known = self.server.need(Node, node.name)
            if known.uid != node.uid:
                raise errors.Conflict(f"node {node.name} is another one now")
            notes = {key: text for key, text in known.annotations.items() if key != STATE_ANNOTATION}
            if record is not None:
                notes[STATE_ANNOTATION] = encode(record)
            merged = {**known.labels, **(labels or {})}
            after = {key: text for key, text in merged.items() if text is not None}
            version = int(node.resource_version)
            return self.server.update(OPERATOR, known, version=version, annotations=notes, labels=after, **fields)

        self.cache.learn(await self.wire.call(f"{name} {node.name}", effect))

    async def pods(self, node: NodeRef) -> PodList:
        at = loop.now()
        found = await self.wire.call(f"list pods {node.name}", lambda: self._pods(node.name), writes=False)
        return PodList(at, found)

    def _pods(self, node: str) -> tuple[PodView, ...]:
        apps = tuple(
            PodView(
                PodRef("default", pod.name, pod.uid),
                owner=pod.owner,
                deleted_at=pod.deleted_at,
                emptydir=pod.emptydir,
                labels={"app": pod.app},
                claims=pod.claims,
            )
            for pod in self.server.all(Pod)
            if pod.node == node
        )
        ours = tuple(
            PodView(PodRef("patchwright", f"{job.name}-pod", f"{job.uid}-pod"), patch_job=True)
            for job in self.server.all(Job)
            if job.node == node and job.running
        )
        return apps + ours

    async def volumes(self, node: NodeRef) -> VolumeList:
        at = loop.now()
        found = await self.wire.call(f"list volumes {node.name}", lambda: self._attached(node.name), writes=False)
        return VolumeList(at, found)

    def _attached(self, node: str) -> tuple[view.Attachment, ...]:
        return tuple(
            view.Attachment(each.name, f"pv-{each.volume}", "csi.example", each.claim)
            for each in self.server.all(Attachment)
            if each.node == node
        )

    async def evict(self, pod: PodRef, *, grace_period: timedelta | None) -> EvictionAttempt:
        at = loop.now()
        result, message = await self._moved(f"evict {pod.name}", lambda: self.workloads.evict(pod.name, pod.uid))
        pause = timedelta(seconds=1) if result is Eviction.OVERLOADED else None
        return EvictionAttempt(result, at, message=message, retry_after=pause)

    async def delete_pod(self, pod: PodRef, *, grace_period: timedelta | None) -> EvictionAttempt:
        at = loop.now()
        result, _ = await self._moved(f"delete {pod.name}", lambda: (self.workloads.delete(pod.name, pod.uid), ""))
        return EvictionAttempt(result, at)

    async def _moved(self, name: str, effect: Any) -> tuple[Eviction, str]:
        try:
            result: tuple[Eviction, str] = await self.wire.call(name, effect)
        except (errors.Conflict, errors.Denied) as error:
            return Eviction.REFUSED, error.message
        return result

    async def start_job(self, case: ports.Case, node: NodeRef, *, step: JobStep, name: str) -> None:
        def effect() -> Job:
            known = self.server.get(Job, name)
            if known is not None:
                if known.deleting:
                    raise errors.Conflict(f"Job {name} is still being deleted")
                return known
            uid = self.server.uid("job")
            job = Job(name, uid, case.uid, node.name, node.uid, step, created_at=loop.now())
            made = self.server.create(OPERATOR, job)
            self.hardware.start(made)
            return made

        self.cache.learn(await self.wire.call(f"start {step} {node.name}", effect))

    async def delete_job(self, name: str, *, uid: str) -> None:
        def effect() -> Job | None:
            known = self.server.get(Job, name)
            return self._delete(known) if known is not None and known.uid == uid else None

        left = await self.wire.call(f"delete job {name}", effect)
        stale = self.cache.get(Job, name)
        if left is not None:
            self.cache.learn(left)
        elif stale is not None and stale.uid == uid:
            self.cache.forget(Job, stale)

    async def delete_jobs(self, rollout_uid: str) -> None:
        def effect() -> list[Job]:
            return [self._delete(job) for job in list(self.server.all(Job)) if job.rollout_uid == rollout_uid]

        for job in await self.wire.call("delete jobs", effect):
            self.cache.learn(job)

    def _delete(self, job: Job) -> Job:
        if job.deleting:
            return job
        self.hardware.stop(job)
        return self.server.update(OPERATOR, job, deleting=True)

    def _jobs(self) -> dict[tuple[str, str], list[Job]]:
        found: dict[tuple[str, str], list[Job]] = {}
        for job in self.cache.all(Job):
            found.setdefault((job.rollout_uid, job.node_uid), []).append(job)
        return found

    def _view(self, node: Node, policy: PatchPolicy, jobs: dict[tuple[str, str], list[Job]]) -> NodeView:
        record = node.record
        mine = tuple(jobs.get((record.rollout_uid, node.uid), ())) if record else ()
        key = (node.uid, policy.key.name, policy.strategy.topology_key or ZONE)
        known = self._views.get(key)
        if known is not None and known[0] is node and known[1] == mine:
            return known[2]
        seen = _project(node, record, policy, self.own_node)
        seen = replace(seen, jobs={job.step: _job(job) for job in mine}) if mine else seen
        self._views[key] = (node, mine, seen)
        return seen


def _project(node: Node, record: Record | None, policy: PatchPolicy, own_node: str) -> NodeView:
    installed = node.labels.get(marks.label(policy.key.name))
    domain = node.labels.get(policy.strategy.topology_key or ZONE, "")
    risk = int(node.labels.get(RISK_LABEL, "0"))
    hosts = node.name == own_node
    return NodeView(
        name=node.name,
        uid=node.uid,
        resource_version=str(node.version),
        order=Order(hosts, node.control_plane, risk, domain, node.name),
        labels=dict(node.labels),
        unschedulable=node.unschedulable,
        tainted=node.tainted,
        ready=node.ready,
        not_ready_why="" if node.ready else "Kubelet stopped posting node status.",
        unreachable=not node.ready,
        boot_id=node.boot_id,
        control_plane=node.control_plane,
        hosts_operator=hosts,
        opted_out=f"label {marks.label(policy.key.name)}=disabled" if installed == "disabled" else "",
        foreign=node.foreign,
        installed=installed,
        record=record,
        record_fault=node.fault,
    )


def _job(job: Job) -> JobView:
    return JobView(
        name=job.name,
        uid=job.uid,
        rollout_uid=job.rollout_uid,
        node_name=job.node,
        node_uid=job.node_uid,
        step=job.step,
        created_at=job.created_at,
        outcome=job.outcome,
        finished_at=job.finished_at,
        exit_code=job.exit_code,
        termination=job.termination,
        waiting=job.waiting,
        deleting=job.deleting,
    )
