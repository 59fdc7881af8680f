"""A scene over workloads: Deployments and their like in namespaces of one test, and what is seen of their images."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from patchwright.sandbox import fleet
from support import workload_world
from support.observer import SYSTEM, Change, Raw
from support.operator_scene import SCENE, Scene

REPOSITORY: Final = "registry.example/shop/web"
COLLECTIONS: Final = {
    "Deployment": ("apps/v1", "deployments"),
    "StatefulSet": ("apps/v1", "statefulsets"),
    "DaemonSet": ("apps/v1", "daemonsets"),
    "CronJob": ("batch/v1", "cronjobs"),
    "Rollout": ("argoproj.io/v1alpha1", "rollouts"),
}
_NUMBERS = itertools.count(1)


def digest(tag: str) -> str:
    """Give the digest that an image of this tag has in these tests."""
    return f"sha256:{hashlib.sha256(tag.encode()).hexdigest()}"


def image(tag: str) -> str:
    """Give an image, pinned; kwok tells by the tag how its pods fare."""
    return f"{REPOSITORY}:{tag}@{digest(tag)}"


class WorkloadScene(Scene):
    """One test's workloads, policies and rollouts, and what people do to them."""

    # --- what there is --------------------------------------------------------------------------------------------

    def space(self, **labels: str) -> str:
        """Create a namespace of this scene; give its name."""
        name = self.stage.plane.add_namespace(f"{self.name}-{next(_NUMBERS)}")
        self._namespaces.append(name)
        self.api.patch(f"/api/v1/namespaces/{name}", {"metadata": {"labels": {SCENE: self.name, **labels}}})
        return name

    def deployments(self, space: str, *names: str, tag: str = "1.0", replicas: int = 2, **changes: Any) -> None:
        """Create Deployments that run an image, and wait until they are available."""
        for name in names:
            found = fleet.Workloads(1, replicas=replicas, namespace=space, image=image(tag))
            [body] = found.deployments()
            self.workload("Deployment", space, name, body["spec"], labels=changes.pop("labels", {}), **changes)
        self.until(lambda: all(self.settled("Deployment", space, name) for name in names), "the Deployments")

    def workload(
        self,
        kind: str,
        space: str,
        name: str,
        spec: Mapping[str, Any],
        *,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        **changes: Any,
    ) -> None:
        """Create a workload whose pods run on this scene's nodes."""
        version, plural = COLLECTIONS[kind]
        metadata = {
            "name": name,
            "namespace": space,
            "labels": {SCENE: self.name, **(labels or {})},
            "annotations": dict(annotations or {}),
        }
        spec = {**spec, **changes}
        if kind != "CronJob":
            pods = {**spec["template"]["spec"], "nodeSelector": {SCENE: self.name}, "topologySpreadConstraints": []}
            spec["template"] = {"metadata": {"labels": {"app": name}}, "spec": pods}
            spec["selector"] = {"matchLabels": {"app": name}}
        body = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
        self.api.create(f"/apis/{version}/namespaces/{space}/{plural}", body)

    def pods_of(self, tag: str) -> dict[str, Any]:
        """Give the spec of a pod with one container."""
        return {"containers": [{"name": "app", "image": image(tag)}], "terminationGracePeriodSeconds": 1}

    def image_policy(
        self,
        name: str = "",
        /,
        *,
        namespace: str = SYSTEM,
        target: Mapping[str, Any] | None = None,
        strategy: Mapping[str, Any] | None = None,
        **spec: Any,
    ) -> str:
        """Create a PatchPolicy over this scene's workloads; give its name."""
        name = name or self.name
        workloads = {
            "namespaceSelector": {"matchLabels": {SCENE: self.name}},
            "selector": {"matchLabels": {SCENE: self.name}},
            "images": [{"image": REPOSITORY}],
            **(target or {}),
        }
        found = {
            "canary": {"count": 1, "soak": "1s"},
            "maxUnavailable": "50%",
            "progressDeadlineSeconds": 60,
            **(strategy or {}),
        }
        body = self.manifest("PatchPolicy", name, {"target": {"workloads": workloads}, "strategy": found, **spec})
        body["metadata"]["namespace"] = namespace
        self.create(body)
        return name

    def image_rollout(
        self,
        tag: str,
        *,
        policy: str = "",
        name: str = "",
        annotations: Mapping[str, str] | None = None,
        **spec: Any,
    ) -> str:
        """Create a PatchRollout to an image; give its name."""
        policy = policy or self.name
        change = {"images": [{"image": REPOSITORY, "tag": tag, "digest": digest(tag)}]}
        body = self.manifest(
            "PatchRollout", name or f"{policy}-{tag}", {"policyRef": {"name": policy}, "change": change, **spec}
        )
        if annotations:
            body["metadata"]["annotations"] = dict(annotations)
        self.create(body)
        return str(body["metadata"]["name"])

    # --- what people do -------------------------------------------------------------------------------------------

    def change_workload(self, kind: str, space: str, name: str, body: Mapping[str, Any]) -> None:
        """Merge something into a workload."""
        version, plural = COLLECTIONS[kind]
        where = f"/apis/{version}/namespaces/{space}/{plural}/{name}"
        self.observer.note_person(self.api.patch(where, dict(body)))

    def undo(self, space: str, name: str, *, back_to: str) -> None:
        """Run kubectl rollout undo; the observer is told that this was a person."""
        self.kubectl("rollout", "undo", f"deployment/{name}", "-n", space)

        def undone() -> Raw | None:
            found = (change for change in self.observer.since(self.mark) if change.kind == "Deployment")
            mine = [change for change in found if change.thing["metadata"]["namespace"] == space]
            last = [change for change in mine if _images(change.before) != _images(change.after) == [image(back_to)]]
            # The first time was the rollout that brought it.
            return last[-1].after if len(last) > 1 else None

        self.observer.note_person(self.until(undone, "the undo"))

    # --- what is seen ---------------------------------------------------------------------------------------------

    def workloads(self) -> Iterator[Raw]:
        """Give this scene's workloads."""
        for kind in COLLECTIONS:
            for one in self.observer.all(kind):
                if one["metadata"].get("labels", {}).get(SCENE) == self.name:
                    yield {**one, "kind": kind}

    def get(self, kind: str, space: str, name: str) -> Raw | None:
        """Give a workload as it is."""
        found = (one for one in self.observer.all(kind))
        mine = (one for one in found if (one["metadata"]["namespace"], one["metadata"]["name"]) == (space, name))
        return next(mine, None)

    def images(self) -> dict[str, str]:
        """Give the image of the first container of each workload."""
        return {
            f"{one['metadata']['namespace']}/{one['metadata']['name']}": next(
                iter(workload_world.images(one["kind"], one).values()), ""
            )
            for one in self.workloads()
        }

    def image_marks(self) -> dict[str, str]:
        """Give the mark of each workload that has a record of ours."""
        found = ((one, workload_world.record(one)) for one in self.workloads())
        return {one["metadata"]["name"]: str(mine["mark"]) for one, mine in found if mine}

    def begun(self, rollout: str) -> list[str]:
        """Give the workloads whose images a rollout has changed, in that order."""
        found = []
        for change in self.observer.since(self.mark):
            mine = workload_world.begun(change)
            if mine and mine["rollout"] == f"{SYSTEM}/{rollout}":
                found.append(str(change.thing["metadata"]["name"]))
        return found

    def exposed(self, tag: str) -> set[str]:
        """Give the pods of this scene that ever had an image."""
        wanted, found = image(tag), set()
        for change in self.observer.since(self.mark):
            spec = change.thing.get("spec", {}) if change.kind == "Pod" else {}
            if any(each["image"] == wanted for each in spec.get("containers", ())):
                found.add(change.thing["metadata"]["name"])
        return found

    def settled(self, kind: str, space: str, name: str) -> bool:
        """Tell whether all pods of a workload are of its template and available."""
        one = self.get(kind, space, name)
        return one is not None and workload_world.settled(kind, one)

    def story(self) -> str:
        """Tell what happened, the workloads' changes too."""
        return "\n".join([super().story(), *workload_world.tell(self.observer.since(self.mark), self.name)])

    def broken(self, changes: Sequence[Change]) -> list[str]:
        """Give a sentence for each broken law, those about workloads too."""
        return super().broken(changes) + workload_world.broken(self.before, changes)


def _images(deployment: Raw | None) -> list[str]:
    return list(workload_world.images("Deployment", deployment).values())
