"""Builders: a workload, its pods, a policy or a rollout of images in one line, with only what the test is about.

stand(web().record(Mark.APPLYING).pods(pod(ready=False)))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from patchwright.domain.actions import Action, PodRef
from patchwright.domain.model import (
    ImagePin,
    ImagesChange,
    Key,
    PatchPolicy,
    PatchRollout,
    Selector,
    WorkloadTarget,
)
from patchwright.domain.snapshot import Snapshot
from patchwright.domain.state import RolloutState
from patchwright.domain.targets import Brief, Order, Standing
from patchwright.domain.workloads.procedure import WorkloadKind
from patchwright.domain.workloads.record import ImageRecord, Mark, Part, Record
from patchwright.domain.workloads.view import (
    ContainerState,
    ImageField,
    WorkloadPod,
    WorkloadPods,
    WorkloadView,
)
from support import builders
from support.builders import CHANGE, LONG_AGO, NOW, REVISION, ROLLOUT_UID, ago, planned, strategy

REPOSITORY = "ghcr.io/acme/web"
OLD, NEW, OTHER = (f"sha256:{digit * 64}" for digit in "012")
TAGGED = f"{REPOSITORY}:1.0"
PINNED = f"{TAGGED}@{OLD}"
PIN = ImagePin(REPOSITORY, NEW, tag="1.1")
WANTED = PIN.wanted


def record(mark: Mark, *, seconds: float = 1, **changes: Any) -> Record:
    """Give a record of our rollout that was written ``seconds`` ago."""
    since = ago(seconds)
    fields: dict[str, Any] = {
        "rollout": "ops/web",
        "rollout_uid": ROLLOUT_UID,
        "change_id": CHANGE,
        "wave": 0,
        "started_at": since,
        "since": since,
        "images": (ImageRecord("containers", "web", was=TAGGED, to=WANTED, digest=OLD),),
        "failed": mark in (Mark.FAILED, Mark.QUARANTINED),
        "part": Part(1) if mark in (Mark.SAMPLING, Mark.SAMPLED) else None,
    }
    return Record(mark=mark, **(fields | changes))


@dataclass(frozen=True, slots=True)
class WorkloadBuilder:
    """A workload in the making; ``view`` is the workload."""

    view: WorkloadView

    def but(self, **changes: Any) -> WorkloadBuilder:
        return WorkloadBuilder(replace(self.view, **changes))

    def image(self, image: str) -> WorkloadBuilder:
        return self.but(images=(ImageField("containers", 0, "web", image),))

    def record(self, mark: Mark, *, seconds: float = 1, **changes: Any) -> WorkloadBuilder:
        """Give it our record, and the image that goes with it."""
        image = PINNED if mark in (Mark.REVERTING, Mark.RESTORED) else WANTED
        return self.image(image).but(record=record(mark, seconds=seconds, **changes))

    def pods(self, *pods: WorkloadPod, seconds: float = 0.5) -> WorkloadBuilder:
        """Say which pods were listed, ``seconds`` ago."""
        return self.but(pods=WorkloadPods(ago(seconds), pods))

    def rolling(self, updated: int = 1) -> WorkloadBuilder:
        """Have it in the middle of a rollout."""
        return self.but(updated=updated, present=self.view.replicas + 1)

    def scaled(self, replicas: int) -> WorkloadBuilder:
        return self.but(replicas=replicas, present=replicas, updated=replicas, available_pods=replicas)


def workload(
    name: str = "web", *, kind: str = "Deployment", namespace: str = "shop", **changes: Any
) -> WorkloadBuilder:
    """Give a settled workload of two pods that runs the old image by its tag."""
    order = Order(last=False, one_at_a_time=False, risk=1, domain=namespace, name=f"{namespace}/{name}/{kind}")
    view = WorkloadView(kind, namespace, name, f"uid-{namespace}-{name}", "1", order)
    return WorkloadBuilder(view).scaled(2).image(TAGGED).but(**changes)


def stateful(name: str = "web", **changes: Any) -> WorkloadBuilder:
    """Give a StatefulSet at its new revision."""
    return workload(name, kind="StatefulSet", revision="new", **changes)


def pod(name: str = "web-0", image: str = WANTED, *, seconds: float = 60, **changes: Any) -> WorkloadPod:
    """Give a Ready pod that was made ``seconds`` ago."""
    given: dict[str, Any] = {
        "created_at": ago(seconds),
        "images": {"containers/web": image},
        "digests": {"containers/web": image.partition("@")[2] or OLD},
        "containers": (ContainerState("web"),),
        "ready": True,
        "ready_since": ago(seconds),
        "node": "n1",
    }
    return WorkloadPod(PodRef("shop", name, f"uid-{name}"), **(given | changes))


def waiting(reason: str, *, message: str = "", restarts: int = 0, seconds: float = 1, **changes: Any) -> WorkloadPod:
    """Give a pod whose container waits for a reason."""
    states = (ContainerState("web", reason, message, restarts),)
    return pod(seconds=seconds, containers=states, ready=False, **changes)


def policy(*, target: WorkloadTarget | None = None, **changes: Any) -> PatchPolicy:
    """Give a policy over workloads; words of the strategy may be said directly."""
    plan = {key: changes.pop(key) for key in tuple(changes) if key in builders._STRATEGY}
    wanted = target or WorkloadTarget((REPOSITORY,), namespaces=Selector())
    found = PatchPolicy(Key("ops", "web"), "policy-uid", 1, wanted, strategy=strategy(**plan))
    return replace(found, **changes)


def rollout(*pins: ImagePin, **changes: Any) -> PatchRollout:
    """Give a rollout of images."""
    change = ImagesChange(pins or (PIN,))
    found = PatchRollout(Key("ops", "web"), ROLLOUT_UID, 1, LONG_AGO, "web", change=change, change_id=CHANGE)
    return replace(found, **changes)


def brief(
    *, policy: PatchPolicy | None = None, rollout: PatchRollout | None = None, now: datetime = NOW, **changes: Any
) -> Brief:
    return Brief(now, rollout or _ROLLOUT, policy or _POLICY, **changes)


def stand(made: WorkloadBuilder, **changes: Any) -> Standing:
    """Say where a workload stands."""
    return WorkloadKind().stand(made.view, brief(**changes))


def begin(made: WorkloadBuilder, *, wave: int = 0, **changes: Any) -> Sequence[Action]:
    return WorkloadKind().begin(made.view, brief(**changes), wave=wave)


def put_back(made: WorkloadBuilder, *, why: str = "CanaryFailed", **changes: Any) -> Sequence[Action]:
    return WorkloadKind().put_back(made.view, brief(**changes), why=why)


def snapshot(*made: WorkloadBuilder, state: RolloutState | None = None, **changes: Any) -> Snapshot:
    """Give a snapshot of a rollout that is planned and allowed to begin its canary."""
    spec = changes.pop("policy", None) or _POLICY
    found = Snapshot(
        now=NOW,
        observing_since=LONG_AGO,
        rollout=_ROLLOUT,
        policy=spec,
        state=state or planned(spec, len(made)),
        kind=WorkloadKind(),
        targets=tuple(each.view for each in made),
        revision=REVISION,
        asked=frozenset(each.view.name for each in made),
    )
    return replace(found, **changes)


_POLICY = policy()
_ROLLOUT = rollout()
