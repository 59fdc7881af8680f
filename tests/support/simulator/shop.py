"""The port ``Workloads`` in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from patchwright import errors
from patchwright.domain import selection
from patchwright.domain.actions import ImageEdit, PodRef, WorkloadRef
from patchwright.domain.model import PatchPolicy, WorkloadTarget
from patchwright.domain.nodes import marks
from patchwright.domain.targets import RISK_LABEL, STATE_ANNOTATION, Order
from patchwright.domain.workloads import images
from patchwright.domain.workloads.record import Record, encode
from patchwright.domain.workloads.standalone import NOTHING, Survey
from patchwright.domain.workloads.view import (
    ContainerState,
    ImageField,
    WorkloadPod,
    WorkloadPods,
    WorkloadView,
)
from support.simulator import loop
from support.simulator.cache import Cache
from support.simulator.calls import Wire
from support.simulator.deployments import Deployments, Replica
from support.simulator.server import OPERATOR, Server
from support.simulator.things import Workload


@dataclass(slots=True)
class Shop:
    """Workloads through one operator's cache, and its writes to them."""

    server: Server
    cache: Cache
    wire: Wire
    deployments: Deployments
    _views: dict[tuple[str, str], tuple[Workload, WorkloadView]] = field(default_factory=dict)

    def selected(self, policy: PatchPolicy) -> tuple[WorkloadView, ...]:
        target = policy.target
        assert isinstance(target, WorkloadTarget)
        found = (each for each in self.cache.all(Workload) if selection.matches(target.selector, each.labels))
        return tuple(self._view(each, policy) for each in found if images.covers(target.images, each.image))

    def one(self, workload: WorkloadRef, policy: PatchPolicy) -> WorkloadView | None:
        return next((view for view in self.selected(policy) if view.uid == workload.uid), None)

    def marked(self, rollout_uid: str, policy: PatchPolicy) -> tuple[WorkloadView, ...]:
        found = (each for each in self.cache.all(Workload) if each.record and each.record.rollout_uid == rollout_uid)
        return tuple(self._view(each, policy) for each in found)

    def absent(self, policy: PatchPolicy) -> str:
        return ""

    def standalone(self, policy: PatchPolicy) -> Survey:
        return NOTHING

    async def refresh(self, workload: WorkloadRef) -> None:
        key = f"{workload.namespace}/{workload.name}"
        known = await self.wire.call(f"read {key}", lambda: self.server.get(Workload, key), writes=False)
        if known is not None:
            self.cache.learn(known)
        elif (stale := self.cache.get(Workload, key)) is not None:
            self.cache.forget(Workload, stale)

    async def set_images(self, workload: WorkloadRef, record: Record, edits: Sequence[ImageEdit]) -> None:
        await self._patch(f"set images {record.mark.value}", workload, record, edits)

    async def mark(self, workload: WorkloadRef, record: Record | None) -> None:
        await self._patch(f"mark {record.mark.value}" if record else "release", workload, record, ())

    async def _patch(self, name: str, workload: WorkloadRef, record: Record | None, edits: Sequence[ImageEdit]) -> None:
        key = f"{workload.namespace}/{workload.name}"

        def effect() -> Workload:
            known = self.server.need(Workload, key)
            if known.uid != workload.uid:
                raise errors.Conflict(f"{workload} is another one now")
            notes = {key: text for key, text in known.annotations.items() if key != STATE_ANNOTATION}
            if record is not None:
                notes[STATE_ANNOTATION] = encode(record)
            swapped = dict(known.images)
            for edit in edits:
                if swapped.get(edit.name) != edit.was:
                    raise errors.Conflict(f"{workload}: the image of {edit.name} is not {edit.was}")
                swapped[edit.name] = edit.to
            # As the API server does for a Deployment: an annotation makes a new generation too.
            return self.server.update(
                OPERATOR,
                known,
                version=int(workload.resource_version),
                annotations=notes,
                images=tuple(swapped.items()),
                generation=known.generation + 1,
            )

        self.cache.learn(await self.wire.call(f"{name} {key}", effect))

    async def pods(self, workload: WorkloadRef) -> WorkloadPods:
        at = loop.now()
        found = await self.wire.call(
            f"list pods {workload.namespace}/{workload.name}", lambda: self._pods(workload), writes=False
        )
        return WorkloadPods(at, found)

    def _pods(self, workload: WorkloadRef) -> tuple[WorkloadPod, ...]:
        pods = self.deployments.pods.get(workload.uid, ())
        return tuple(self._pod(pod, workload.namespace) for pod in pods)

    def _pod(self, pod: Replica, namespace: str) -> WorkloadPod:
        running = {
            f"containers/{name}": images.digest(image) or self.deployments.running.get(image, "")
            for name, image in pod.images
        }
        return WorkloadPod(
            PodRef(namespace, pod.name, pod.uid),
            pod.created,
            revision=pod.revision,
            images={f"containers/{name}": image for name, image in pod.images},
            digests=running,
            containers=(ContainerState("app", pod.waiting, restarts=pod.restarts),),
            ready=pod.ready,
            ready_since=pod.since,
        )

    async def delete_pod(self, pod: PodRef) -> None:
        await self.wire.call(
            f"delete pod {pod.namespace}/{pod.name}", lambda: self.deployments.delete(pod.name, pod.uid)
        )

    def _view(self, each: Workload, policy: PatchPolicy) -> WorkloadView:
        key = (each.uid, policy.key.name)
        known = self._views.get(key)
        if known is None or known[0] is not each:
            known = self._views[key] = (each, _project(each, policy))
        return known[1]


def _project(each: Workload, policy: PatchPolicy) -> WorkloadView:
    opt_out = marks.label(policy.key.name)
    return WorkloadView(
        kind=each.kind,
        namespace=each.namespace,
        short=each.name,
        uid=each.uid,
        resource_version=str(each.version),
        order=Order(False, False, int(each.labels.get(RISK_LABEL, "0")), each.namespace, each.key),
        labels=dict(each.labels),
        images=tuple(ImageField("containers", index, name, image) for index, (name, image) in enumerate(each.images)),
        replicas=each.replicas,
        present=each.present,
        updated=each.updated,
        available_pods=each.ready,
        generation=each.generation,
        observed_generation=each.observed,
        revision=each.revision,
        paused=each.paused,
        recreate=each.recreate,
        owner=each.owner,
        gitops=each.gitops,
        opted_out=f"label {opt_out}=disabled" if each.labels.get(opt_out) == "disabled" else "",
        record=each.record,
        record_fault=each.fault,
    )
