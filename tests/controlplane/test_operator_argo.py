"""Rollouts of Argo Rollouts, by its real controller and our real operator: what it says of itself is our health.

kwok runs the pods; the laws are checked over everything that happened when a test ends (``shop`` in conftest.py).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from patchwright.sandbox import argo, progress
from support.operator_scene import pause
from support.operator_stage import Stage
from support.workload_scene import COLLECTIONS, WorkloadScene, image

pytestmark = pytest.mark.controlplane
QUICK = {"canary": {"count": 1, "soak": "1s"}, "maxUnavailable": "50%"}
STEPS: Sequence[Mapping[str, Any]] = ({"setWeight": 50}, {"pause": {}})
# A kind that was not there is looked for twice a minute.
FOUND = 90.0


def new_argo(stage: Stage, folder: Path) -> argo.Argo:
    return argo.Argo(stage.plane, folder, progress.Lines(sys.stderr))


@pytest.fixture(scope="module")
def argo_rollouts(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[argo.Argo]:
    """The controller, for all tests but the one that installs it itself."""
    with new_argo(stage, tmp_path_factory.mktemp("argo")) as found:
        yield found


def rollout(
    shop: WorkloadScene, space: str, name: str, *, steps: Sequence[Mapping[str, Any]] = (), **changes: Any
) -> None:
    """Create a Rollout of four pods and wait until it is Healthy."""
    canary = {"steps": list(steps), "maxSurge": 1, "maxUnavailable": 0}
    template = {"spec": shop.pods_of("1.0")}
    spec = {"replicas": 4, "template": template, "strategy": {"canary": canary}, **changes}
    shop.workload("Rollout", space, name, spec)
    shop.until(lambda: shop.settled("Rollout", space, name), f"Rollout {name} being Healthy")


def phase(shop: WorkloadScene, space: str, name: str) -> str:
    found = shop.get("Rollout", space, name) or {}
    return str(found.get("status", {}).get("phase"))


def say(shop: WorkloadScene, space: str, name: str, **status: Any) -> None:
    """Do what Argo's own commands do: they write the status."""
    version, plural = COLLECTIONS["Rollout"]
    where = f"/apis/{version}/namespaces/{space}/{plural}/{name}/status"
    shop.observer.note_person(shop.api.patch(where, {"status": status}))


def ready(shop: WorkloadScene) -> dict[str, Any]:
    found: list[dict[str, Any]] = shop.policy_status().get("conditions", [])
    return next((one for one in found if one["type"] == "Ready"), {"message": ""})


def selects(shop: WorkloadScene, count: int) -> None:
    shop.until(lambda: shop.policy_status().get("selected") == count, f"{count} being selected", timeout=FOUND)


def test_a_kind_that_is_not_installed_is_named_found_once_it_is_and_named_again_when_it_goes(
    shop: WorkloadScene, stage: Stage, tmp_path: Path
) -> None:
    space = shop.space()
    shop.image_policy(target={"kinds": ["Rollout"]})
    missing = "kind Rollout of argoproj.io is not installed in this cluster; install its CRD, or leave the kind out"

    shop.until(lambda: ready(shop)["message"] == missing, "the kind being missing")
    assert (ready(shop)["status"], ready(shop)["reason"]) == ("False", "KindMissing")

    with new_argo(stage, tmp_path):
        rollout(shop, space, "web")
        selects(shop, 1)
        assert ready(shop)["message"] == "selects 1 workloads"

    shop.until(lambda: ready(shop)["message"] == missing, "the kind being missing again", timeout=FOUND)
    assert shop.policy_status().get("selected", 0) == 0


@pytest.mark.usefixtures("argo_rollouts")
def test_a_rollout_goes_through_its_own_steps_and_is_done_when_argo_calls_it_healthy(shop: WorkloadScene) -> None:
    space = shop.space()
    rollout(shop, space, "web", steps=[{"setWeight": 50}, {"pause": {"duration": "3s"}}])
    rollout(shop, space, "api")
    shop.deployments(space, "cart")
    shop.image_policy(strategy=QUICK)
    selects(shop, 3)
    patch = shop.image_rollout("1.1")

    status = shop.until_phase(patch, "Succeeded")

    assert status["updated"] == "3/3"
    assert set(shop.images().values()) == {image("1.1")}
    assert shop.image_marks() == {}
    assert all(shop.settled("Rollout", space, name) for name in ("web", "api"))
    shop.until(lambda: shop.events("Patched", about="web"), "the event")
    [told] = shop.events("Patched", about="web")
    assert told["note"].endswith(": web:1.1 runs in 4 pods")


@pytest.mark.usefixtures("argo_rollouts")
def test_a_rollout_that_argo_gives_up_on_is_put_back_and_the_image_is_remembered(shop: WorkloadScene) -> None:
    space = shop.space()
    rollout(shop, space, "web", steps=STEPS, progressDeadlineSeconds=8, progressDeadlineAbort=True)
    before = shop.images()
    shop.image_policy(strategy={**QUICK, "progressDeadlineSeconds": 600})
    selects(shop, 1)

    status = shop.until_phase(shop.image_rollout("1.2-missing"), "RolledBack")

    # It says first that its deadline is over, and a moment later that it has aborted for it.
    assert "it is Degraded: " in status["message"]
    assert "put back: 1" in status["message"]
    assert shop.images() == before
    assert shop.settled("Rollout", space, "web"), "on its stable template, without its steps and their pause"
    assert len(shop.exposed("1.2-missing")) <= 2
    assert [one["version"] for one in shop.policy_status()["failedChanges"]] == ["web:1.2-missing"]
    again = shop.image_rollout("1.2-missing", name=f"{shop.name}-again")
    assert shop.until_phase(again, "Denied")["cause"]["reason"] == "FailedBefore"


@pytest.mark.usefixtures("argo_rollouts")
def test_a_rollout_whose_pods_crash_while_it_is_paused_at_a_step_is_put_back(shop: WorkloadScene) -> None:
    space = shop.space()
    # Argo takes a step that asks for no pods as done at once, and pauses while the pods of the next one come.
    rollout(shop, space, "web", steps=[{"setWeight": 50}, {"pause": {}}])
    before = shop.images()
    shop.image_policy(strategy=QUICK)
    selects(shop, 1)

    status = shop.until_phase(shop.image_rollout("1.3-bad"), "RolledBack")

    assert "crashes, 3 times by now" in status["message"]
    assert shop.images() == before
    assert shop.settled("Rollout", space, "web")


@pytest.mark.usefixtures("argo_rollouts")
def test_a_rollout_that_pauses_at_its_step_is_waited_for_without_our_deadline(shop: WorkloadScene) -> None:
    space = shop.space()
    rollout(shop, space, "web", steps=STEPS)
    shop.image_policy(strategy={**QUICK, "progressDeadlineSeconds": 5})
    selects(shop, 1)
    patch = shop.image_rollout("1.4")
    paused = "is paused by its own step 2 of 2 (CanaryPauseStep); its pods follow once that is over, or somebody"

    shop.until(lambda: paused in str(shop.status(patch)), "the pause being told")
    pause(8)
    assert shop.phase(patch) == "Canary"
    say(shop, space, "web", pauseConditions=None)

    assert shop.until_phase(patch, "Succeeded")["updated"] == "1/1"
    assert shop.images() == {f"{space}/web": image("1.4")}


@pytest.mark.usefixtures("argo_rollouts")
def test_a_rollout_that_somebody_aborts_in_the_middle_is_put_back(shop: WorkloadScene) -> None:
    space = shop.space()
    rollout(shop, space, "web", steps=STEPS)
    before = shop.images()
    shop.image_policy(strategy=QUICK)
    selects(shop, 1)
    patch = shop.image_rollout("1.5")
    shop.until(lambda: "is paused by its own step" in str(shop.status(patch)), "the pause being told")

    say(shop, space, "web", abort=True)

    assert "it is Degraded: " in shop.until_phase(patch, "RolledBack")["message"]
    assert shop.images() == before
    assert shop.settled("Rollout", space, "web"), "no longer aborted, since its template is the stable one"


@pytest.mark.usefixtures("argo_rollouts")
def test_a_rollout_whose_template_is_in_a_deployment_is_left_alone_and_so_is_the_deployment(
    shop: WorkloadScene,
) -> None:
    space = shop.space()
    shop.deployments(space, "web", replicas=0)
    shop.deployments(space, "cart")
    ref = {"workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}
    spec = {"replicas": 2, "strategy": {"canary": {}}, **ref}
    version, plural = COLLECTIONS["Rollout"]
    metadata = {"name": "web-rollout", "namespace": space, "labels": shop.selector}
    body = {"apiVersion": version, "kind": "Rollout", "metadata": metadata, "spec": spec}
    shop.api.create(f"/apis/{version}/namespaces/{space}/{plural}", body)
    shop.until(lambda: shop.settled("Rollout", space, "web-rollout"), "the Rollout being Healthy")
    shop.image_policy(strategy=QUICK)
    selects(shop, 3)
    patch = shop.image_rollout("1.6")

    status = shop.until_phase(patch, "Succeeded")

    assert shop.images()[f"{space}/web"] == image("1.0")
    assert shop.images()[f"{space}/cart"] == image("1.6")
    assert {(one["name"], one["reason"]) for one in status["skipped"]} == {
        (f"Deployment {space}/web", "TemplateElsewhere"),
        (f"Rollout {space}/web-rollout", "TemplateElsewhere"),
    }
    told = {one["name"]: one["message"] for one in status["skipped"]}
    assert told[f"Deployment {space}/web"].startswith("Rollout web-rollout makes its pods from it (spec.workloadRef)")
    assert told[f"Rollout {space}/web-rollout"].startswith("its pods are made from Deployment web (spec.workloadRef)")


@pytest.mark.usefixtures("argo_rollouts")
def test_a_health_check_takes_rollouts_for_as_healthy_as_argo_does(shop: WorkloadScene) -> None:
    space = shop.space()
    rollout(shop, space, "web", progressDeadlineSeconds=5)
    shop.deployments(space, "cart")
    rollouts = {"kinds": ["Rollout"], "selector": {"matchLabels": shop.selector}}
    check = {"name": "rollouts", "workloads": rollouts, "baseline": "Block", "interval": "1s"}
    shop.image_policy(target={"kinds": ["Deployment"]}, strategy=QUICK, healthChecks=[check])
    selects(shop, 1)
    shop.change_workload("Rollout", space, "web", {"spec": {"template": {"spec": shop.pods_of("1.2-missing")}}})
    shop.until(lambda: phase(shop, space, "web") == "Degraded", "Argo giving up")
    patch = shop.image_rollout("1.1")

    # Its old pods are all available; that Argo has given up on the new ones is what is wrong with it.
    told = f"Rollout {space}/web does not progress (Degraded: "
    shop.until(lambda: told in str(shop.status(patch)), "the check being unhealthy")
    assert shop.images()[f"{space}/cart"] == image("1.0")
    shop.change_workload("Rollout", space, "web", {"spec": {"template": {"spec": shop.pods_of("1.0")}}})

    assert shop.until_phase(patch, "Succeeded")["updated"] == "1/1"
