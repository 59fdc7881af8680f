"""Argo's Rollouts as the API server tells of them, and a kind of somebody else's that may not be there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from patchwright import errors
from patchwright.adapters.kube import argo, workloads_pods
from patchwright.adapters.kube.lists import Living
from patchwright.adapters.kube.optional import OptionalReflector
from patchwright.adapters.kube.workloads_cache import WorkloadCache
from patchwright.adapters.kube.workloads_projection import WorkloadFacts, project
from patchwright.domain.model import WORKLOAD_KINDS, Key, PatchPolicy, Selector, WorkloadTarget
from patchwright.domain.workloads.view import WorkloadView
from support.image_builders import REPOSITORY, TAGGED

Raw = dict[str, Any]
STEPS = {"canary": {"steps": [{"setWeight": 20}, {"pause": {}}]}}
HEALTHY = {"phase": "Healthy", "stableRS": "a", "currentPodHash": "a", "observedGeneration": "4"}


def raw(name: str = "web", *, status: Raw | None = None, version: int = 10, **spec: Any) -> Raw:
    template = {"spec": {"containers": [{"name": "web", "image": TAGGED}]}}
    labels = {"matchLabels": {"app": name}}
    found = {"template": template, "selector": labels, "strategy": STEPS, **spec}
    metadata = {
        "name": name, "namespace": "shop", "uid": f"uid-{name}", "resourceVersion": str(version), "generation": 4,
    }  # fmt: skip
    return {"metadata": metadata, "spec": found, "status": HEALTHY if status is None else status}


def facts(**changes: Any) -> WorkloadFacts:
    return project("Rollout", raw(**changes))


# --- what a Rollout says --------------------------------------------------------------------------------------------


def test_a_healthy_rollout_is_settled_and_its_generation_is_a_string() -> None:
    found = facts()
    assert (found.observed_generation, found.generation, found.revision) == (4, 4, "a")
    assert found.argo == argo.NONE
    assert [one.image for one in found.images] == [TAGGED]
    assert facts(status={**HEALTHY, "observedGeneration": "7c9f"}).observed_generation == 0
    assert facts(status={}).observed_generation == 0


@pytest.mark.parametrize(
    ("status", "unfinished"),
    [
        ({}, "Unknown: its controller has not looked at it"),
        ({"phase": "Progressing"}, "Progressing"),
        ({"phase": "Progressing", "message": "more replicas"}, "Progressing: more replicas"),
    ],
)
def test_what_is_not_healthy_is_unfinished(status: Raw, unfinished: str) -> None:
    found = facts(status=status).argo
    assert (found.unfinished, found.stuck, found.paused) == (unfinished, "", False)


def test_what_has_given_up_or_was_aborted_is_stuck_and_no_longer_paused() -> None:
    paused = {"pauseConditions": [{"reason": "CanaryPauseStep"}]}
    found = facts(status={"phase": "Degraded", "message": "RolloutAborted: x", **paused}, paused=True).argo
    assert (found.stuck, found.paused, found.at_step) == ("Degraded: RolloutAborted: x", False, "")
    assert facts(status={"phase": "Paused", "abort": True}).argo.stuck == "Degraded: it was aborted"


def test_a_pause_of_its_own_says_at_which_step_and_one_of_people_does_not() -> None:
    paused = {**HEALTHY, "phase": "Paused", "pauseConditions": [{"reason": "CanaryPauseStep"}], "currentStepIndex": 1}
    found = facts(status={**paused, "stableRS": "b"})
    assert found.paused
    assert found.argo.at_step == "its own step 2 of 2 (CanaryPauseStep)"
    assert not found.argo.stable
    blue = {**HEALTHY, "phase": "Paused", "pauseConditions": [{"reason": "BlueGreenPause"}]}
    assert facts(status=blue, strategy={"blueGreen": {}}).argo.at_step == "its own strategy (BlueGreenPause)"
    people = facts(status={**HEALTHY, "phase": "Paused", "message": "manually paused"}, paused=True)
    assert (people.paused, people.argo.at_step) == (True, "")


def test_its_pods_are_those_that_its_replica_sets_mark() -> None:
    owner = {"kind": "ReplicaSet", "name": "web-abc", "uid": "rs", "controller": True}
    metadata = {
        "namespace": "shop", "name": "web-1", "uid": "p1", "ownerReferences": [owner],
        "labels": {"rollouts-pod-template-hash": "abc"},
    }  # fmt: skip
    mine = {"metadata": metadata, "spec": {}}
    assert workloads_pods.project(mine, lambda _: None).revision == "abc"
    assert workloads_pods.controlled_by(mine, "any", "Rollout")
    assert not workloads_pods.controlled_by(mine, "any", "Deployment"), "the one that has its template"
    other = {"metadata": {**metadata, "labels": {"pod-template-hash": "abc"}}, "spec": {}}
    assert not workloads_pods.controlled_by(other, "any", "Rollout")


# --- one whose template is in a Deployment --------------------------------------------------------------------------


def selected(made: WorkloadCache, *kinds: str) -> dict[str, WorkloadView]:
    target = WorkloadTarget((REPOSITORY,), namespaces=Selector(), kinds=kinds or WORKLOAD_KINDS)
    return {view.name: view for view in made.selected(PatchPolicy(Key("ops", "web"), "uid", 1, target))}


def cache() -> WorkloadCache:
    made = WorkloadCache(operator_namespace="ops")
    made.apply_namespace({"metadata": {"name": "shop", "uid": "shop", "resourceVersion": "1"}})
    return made


def test_a_rollout_and_the_deployment_that_has_its_template_name_each_other() -> None:
    made, ref = cache(), {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    made.apply("Deployment", raw("web"))
    assert selected(made)["Deployment shop/web"].template == ""
    referring: Raw = {"workloadRef": ref, "template": {}, "selector": None}
    made.apply("Rollout", raw("front", **referring, status={**HEALTHY, "selector": "app=web"}))

    found = selected(made)
    assert {name: view.template for name, view in found.items()} == {
        "Deployment shop/web": "Rollout front",
        "Rollout shop/front": "Deployment web",
    }
    assert [one.image for one in found["Rollout shop/front"].images] == [TAGGED], "of which it is told that it is not"
    assert list(selected(made, "Rollout")) == ["Rollout shop/front"]
    facts = made.get("Rollout", "shop", "front")
    assert facts is not None
    assert facts.selector == "app=web"

    made.remove("Rollout", raw("front", version=11, **referring))
    assert {name: view.template for name, view in selected(made).items()} == {"Deployment shop/web": ""}


def test_a_rollout_that_refers_to_what_is_not_there_has_no_images() -> None:
    made = cache()
    made.apply("Rollout", raw("front", workloadRef={"kind": "Deployment", "name": "web"}, template={}))
    assert selected(made) == {}


# --- a kind that may not be there -----------------------------------------------------------------------------------


def test_only_who_names_a_kind_is_told_that_it_is_not_there() -> None:
    made, heard = cache(), list[str]()
    made.on_change(heard.append)

    def absent(*kinds: str) -> str:
        target = WorkloadTarget((REPOSITORY,), kinds=kinds) if kinds else WorkloadTarget((REPOSITORY,))
        return made.absent(PatchPolicy(Key("ops", "web"), "uid", 1, target))

    made.missing("Rollout", "it is not installed")
    made.missing("Rollout", "it is not installed")
    assert heard == [""], "once, to all"
    assert absent() == ""
    assert absent("Deployment") == ""
    assert absent("Deployment", "Rollout") == "it is not installed"
    made.missing("Rollout", "")
    assert absent("Rollout") == ""


@dataclass(slots=True)
class Api:
    """An API server that gives the prepared answers to lists."""

    answers: list[Raw | errors.ClusterError] = field(default_factory=list)

    async def call(self, *_: str, **__: Any) -> Raw:
        found = self.answers.pop(0)
        if isinstance(found, errors.ClusterError):
            raise found
        return found


async def test_what_was_known_of_a_kind_stays_until_it_is_missing_twice_in_a_row() -> None:
    api, taken, told, complete = Api(), list[str](), list[str](), list[Living]()
    one = {"metadata": {"uid": "u", "name": "web"}}
    there: Raw = {"items": [one], "metadata": {"resourceVersion": "7"}}
    missing, denied = errors.NotFound("404"), errors.Denied("rollouts is forbidden")
    api.answers = [there, missing, there, denied, missing, missing]
    reflector = OptionalReflector(
        api,  # type: ignore[arg-type]  # as much of it as is needed
        "/apis/argoproj.io/v1alpha1/rollouts",
        kind="Rollout of argoproj.io",
        take=lambda raw: taken.append(raw["metadata"]["name"]),
        gone=lambda _: None,
        complete=complete.append,
        missing=told.append,
        again=0.0,
    )

    for _ in range(5):
        await reflector.list()
    assert [living.uids for living in complete] == [frozenset({"u"}), frozenset({"u"})]
    await reflector.list()
    assert complete[-1].uids == frozenset(), "and everything is gone, whatever its version was"
    assert taken == ["web", "web"]
    installed = "is not installed in this cluster; install its CRD, or leave the kind out"
    assert told == [
        "",
        f"kind Rollout of argoproj.io {installed}",
        "",
        "kind Rollout of argoproj.io may not be read: rollouts is forbidden; allow it, or leave the kind out",
        f"kind Rollout of argoproj.io {installed}",
        f"kind Rollout of argoproj.io {installed}",
    ]
    await reflector._follow()  # there is nothing to follow
