"""The port ``Workloads`` in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from patchwright import errors
from patchwright.domain import selection
from patchwright.domain.actions import ImageEdit, PodRef, StrategyEdit, WorkloadRef
from patchwright.domain.model import PatchPolicy, WorkloadTarget
from patchwright.domain.nodes import marks
from patchwright.domain.nodes.labels import ROLLOUT
from patchwright.domain.targets import RISK_LABEL, STATE_ANNOTATION, Order
from patchwright.domain.workloads import beside, images
from patchwright.domain.workloads.record import Record, encode
from patchwright.domain.workloads.standalone import NOTHING, Survey
from patchwright.domain.workloads.view import (
    Canary,
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
    _views: dict[tuple[str, str], tuple[Workload, Workload | None, WorkloadView]] = field(default_factory=dict)

    def selected(self, policy: PatchPolicy) -> tuple[WorkloadView, ...]:
        target = policy.target
        assert isinstance(target, WorkloadTarget)
        own = (each for each in self.cache.all(Workload) if not each.canary_of)
        found = (each for each in own if selection.matches(target.selector, each.labels))
        return tuple(self._view(each, policy) for each in found if images.covers(target.images, each.image))

    def one(self, workload: WorkloadRef, policy: PatchPolicy) -> WorkloadView | None:
        return next((view for view in self.selected(policy) if view.uid == workload.uid), None)

    def marked(self, rollout_uid: str, policy: PatchPolicy) -> tuple[WorkloadView, ...]:
        owners = {each.workload.uid for each in self.canaries() if each.rollout_uid == rollout_uid}
        found = [
            each
            for each in self.cache.all(Workload)
            if each.uid in owners or (each.record and each.record.rollout_uid == rollout_uid)
        ]
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

    async def set_images(
        self,
        workload: WorkloadRef,
        record: Record,
        edits: Sequence[ImageEdit],
        *,
        strategy: StrategyEdit | None = None,
    ) -> None:
        what = "set images" if edits else "set strategy"
        await self._patch(f"{what} {record.mark.value}", workload, record, edits, strategy)

    async def mark(self, workload: WorkloadRef, record: Record | None) -> None:
        await self._patch(f"mark {record.mark.value}" if record else "release", workload, record, ())

    async def _patch(
        self,
        name: str,
        workload: WorkloadRef,
        record: Record | None,
        edits: Sequence[ImageEdit],
        strategy: StrategyEdit | None = None,
    ) -> None:
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
            if strategy is not None and known.strategy != strategy.was:
                raise errors.Conflict(f"{workload}: the strategy is not {strategy.was}")
            # As the API server does for a Deployment: an annotation makes a new generation too.
            return self.server.update(
                OPERATOR,
                known,
                version=int(workload.resource_version),
                annotations=notes,
                images=tuple(swapped.items()),
                strategy=strategy.to if strategy else known.strategy,
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
            node=pod.node,
        )

    async def delete_pod(self, pod: PodRef) -> None:
        await self.wire.call(
            f"delete pod {pod.namespace}/{pod.name}", lambda: self.deployments.delete(pod.name, pod.uid)
        )

    # --- canaries -------------------------------------------------------------------------------------------------

    def canaries(self) -> tuple[Canary, ...]:
        found = (each for each in self.cache.all(Workload) if each.canary_of)
        return tuple(
            Canary(WorkloadRef(each.kind, each.namespace, "", each.canary_of, ""), each.name, each.labels[ROLLOUT])
            for each in found
        )

    async def create_canary(self, workload: WorkloadRef, record: Record, edits: Sequence[ImageEdit]) -> None:
        part, stable = record.part, f"{workload.namespace}/{workload.name}"
        assert part is not None
        key = f"{workload.namespace}/{part.beside}"

        def effect() -> Workload:
            known = self.server.need(Workload, stable)
            if (known.uid, str(known.version)) != (workload.uid, workload.resource_version):
                raise errors.Conflict(f"{workload} was changed by somebody else")
            if (there := self.server.get(Workload, key)) is not None:
                return there
            images = tuple((edit.name, edit.to) for edit in edits)
            return self.server.create(
                OPERATOR,
                Workload(
                    workload.namespace,
                    part.beside,
                    self.server.uid("workload"),
                    images,
                    replicas=part.pods,
                    labels={ROLLOUT: record.rollout_uid},
                    canary_of=workload.uid,
                ),
            )

        self.cache.learn(await self.wire.call(f"create canary {key}", effect))

    async def delete_canary(self, workload: WorkloadRef, name: str) -> None:
        key = f"{workload.namespace}/{name}"

        def effect() -> Workload | None:
            known = self.server.get(Workload, key)
            if known is None or known.canary_of != workload.uid:
                return known
            return self.server.update(OPERATOR, known, deleting=True)

        found = await self.wire.call(f"delete canary {key}", effect)
        if found is not None:
            self.cache.learn(found)
        elif (stale := self.cache.get(Workload, key)) is not None:
            self.cache.forget(Workload, stale)

    def _view(self, each: Workload, policy: PatchPolicy) -> WorkloadView:
        other = self.cache.get(Workload, f"{each.namespace}/{beside.name(each.name, each.uid)}")
        key = (each.uid, policy.key.name)
        known = self._views.get(key)
        if known is None or known[0] is not each or known[1] is not other:
            second = _project(other, policy) if other else None
            known = self._views[key] = (each, other, replace(_project(each, policy), beside=second))
        return known[2]


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
        partition=each.partition,
        strategy=each.strategy,
        paused=each.paused,
        recreate=each.recreate,
        owner=each.owner,
        gitops=each.gitops,
        opted_out=f"label {opt_out}=disabled" if each.labels.get(opt_out) == "disabled" else "",
        record=each.record,
        record_fault=each.fault,
        canary_of=each.canary_of,
        deleting=each.deleting,
    )
