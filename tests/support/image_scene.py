"""A scene with an image registry: what a publisher pushes, what policies follow, and what they say of it."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping
from typing import Any, Final

from patchwright import errors
from patchwright.sandbox import images
from patchwright.sandbox.images import Pushed
from support.observer import Raw
from support.operator_scene import SCENE
from support.operator_stage import Stage
from support.workload_scene import WorkloadScene

PROPOSED_BY: Final = "patchwright.dev/proposed-by"
_NUMBERS: Final = itertools.count(1)


class ImageScene(WorkloadScene):
    """Workloads that run images of a real registry. ``host`` is the registry as images name it."""

    def __init__(self, stage: Stage, store: images.Store, host: str = "") -> None:
        super().__init__(stage)
        self.store = store
        self.repository = f"shop/web-{next(_NUMBERS)}"
        self.image = f"{host or store.host}/{self.repository}"
        self.pushed: dict[str, Pushed] = {}

    # --- what there is --------------------------------------------------------------------------------------------

    def push(self, *tags: str, **options: Any) -> None:
        """Push images of this scene's repository."""
        for tag in tags:
            self.pushed[tag] = self.store.push(f"{self.repository}:{tag}", **options)

    def at(self, tag: str) -> str:
        """Give an image, pinned to what its tag was pushed as last."""
        return f"{self.image}:{tag}@{self.pushed[tag].digest}"

    def running(self, space: str, *names: str, image: str, replicas: int = 2, **changes: Any) -> None:
        """Create Deployments that run an image, and wait until they are available."""
        pods = {"containers": [{"name": "app", "image": image}], "terminationGracePeriodSeconds": 1}
        for name in names:
            spec = {"replicas": replicas, "template": {"spec": pods}}
            self.workload("Deployment", space, name, spec, **changes)
        self.until(lambda: all(self.settled("Deployment", space, name) for name in names), "the Deployments")

    def following(self, image: Mapping[str, Any] | None = None, **spec: Any) -> str:
        """Create a policy that follows this scene's repository; give its name."""
        entry = {
            "image": self.image,
            "policy": {"semver": {"range": "1.x"}},
            "interval": "1h",
            **(image or {}),
        }
        entry = {name: value for name, value in entry.items() if value is not None}
        return self.image_policy(target={"images": [entry]}, **{"trigger": "Automatic", **spec})

    # --- what is seen ---------------------------------------------------------------------------------------------

    def told(self) -> dict[str, Any]:
        """Give what the policy says of this scene's image; empty when it says nothing."""
        return next(iter(self.policy_status().get("images", ())), {})

    def until_told(self, reason: str, words: str = "", *, timeout: float = 120.0) -> str:
        """Wait until the policy says something of its image; give the sentence."""
        self.until(
            lambda: self.told().get("reason") == reason and words in self.told()["message"],
            lambda: f"the policy saying {reason} {words!r}; it says {self.told()}",
            timeout=timeout,
        )
        return str(self.told()["message"])

    def look(self, times: int = 1) -> None:
        """Have the registry looked at now, and wait until it was."""
        for _ in range(times):
            wanted = f"look {next(_NUMBERS)}"
            self.annotate("PatchPolicy", self.name, "patchwright.dev/requestedAt", wanted)
            self._until_handled(wanted)

    def _until_handled(self, wanted: str) -> None:
        handled = lambda: self.policy_status().get("lastHandledReconcileAt") == wanted  # noqa: E731
        self.until(handled, "the registry being looked at")

    def proposed(self) -> list[str]:
        """Give the rollouts that the policy has ever proposed, in that order."""
        made = (change for change in self.observer.since(self.mark) if change.kind == "PatchRollout")
        found = (change.thing["metadata"] for change in made if change.before is None)
        return [meta["name"] for meta in found if meta.get("labels", {}).get(PROPOSED_BY) == self.name]

    def until_proposed(self, tag: str) -> str:
        """Wait for a rollout to a tag; give its name."""

        def found() -> list[str]:
            return [name for name in self.proposed() if name.startswith(f"{self.name}-{tag}-")]

        self.until(found, lambda: f"a rollout to {tag}; the policy says {self.told()}")
        return found()[-1]

    def spec(self, rollout: str) -> Raw:
        """Give the spec of a rollout."""
        found = self.observer.get("PatchRollout", rollout)
        assert found is not None
        spec: Raw = found["spec"]
        return spec

    # --- the end --------------------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Delete what this scene has made; policies propose nothing any more while their rollouts go."""
        for policy in self._mine("PatchPolicy"):
            # One that the test deleted may still be on its way out: until then the watch tells of it.
            with contextlib.suppress(errors.NotFound):
                self.change("PatchPolicy", policy, {"spec": {"suspend": True}})
        super().clear()

    def _mine(self, kind: str) -> list[str]:
        found = (one["metadata"] for one in self.observer.all(kind))
        labels = ((meta["name"], meta.get("labels", {})) for meta in found)
        return [name for name, mine in labels if self.name in (mine.get(SCENE), mine.get(PROPOSED_BY))]
