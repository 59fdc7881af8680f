"""Canary Deployments on the API: what one is made of, that it is nobody's target, and that only ours is deleted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from patchwright import errors
from patchwright.adapters.kube import canaries
from patchwright.adapters.kube.client import Answer
from patchwright.adapters.kube.standalone import KubeStandalones
from patchwright.adapters.kube.workloads import KubeWorkloads
from patchwright.adapters.kube.workloads_cache import WorkloadCache
from patchwright.domain.actions import ImageEdit, WorkloadRef
from patchwright.domain.model import Key, PatchPolicy, Selector, WorkloadTarget
from patchwright.domain.nodes.labels import ROLLOUT
from patchwright.domain.workloads.beside import LABEL, name
from patchwright.domain.workloads.record import Mark, Part
from patchwright.domain.workloads.view import Canary
from support.builders import ROLLOUT_UID
from support.image_builders import OTHER, REPOSITORY, TAGGED, WANTED, record

Raw = dict[str, Any]
SYSTEM = "patchwright-system"
NAME = name("web", "uid-web")
PART = Part(2, beside=NAME)
MINE = record(Mark.SAMPLING, part=PART)
ENTRY = "/spec/template/spec/containers/0"
EDIT = ImageEdit(ENTRY, "web", place=f"{ENTRY}/image", was=TAGGED, to=WANTED)
POLICY = PatchPolicy(Key(SYSTEM, "web"), "uid", 1, WorkloadTarget((REPOSITORY,), namespaces=Selector()))
STABLE: Raw = {
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "shop", "uid": "uid-web", "resourceVersion": "10", "labels": {"app": "x"}},
    "spec": {
        "replicas": 9,
        "minReadySeconds": 3,
        "paused": False,
        "selector": {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "old", "operator": "DoesNotExist"}]},
        "strategy": {"type": "RollingUpdate"},
        "template": {
            "metadata": {"labels": {"app": "web", "tier": "front"}, "annotations": {"mesh": "on"}, "name": "x"},
            "spec": {
                "containers": [{"name": "web", "image": TAGGED}],
                "volumes": [{"name": "model", "image": {"reference": TAGGED}}],
            },
        },
    },
}
WEB = WorkloadRef("Deployment", "shop", "web", "uid-web", "10")
HERE = "/apis/apps/v1/namespaces/shop/deployments"


def there(**metadata: Any) -> Raw:
    """Give the canary as the API server has it."""
    found = canaries.body(STABLE, MINE, PART, [EDIT])
    found["metadata"] |= {"uid": "uid-canary", "resourceVersion": "20", **metadata}
    return found


class Api:
    def __init__(self, *answers: Answer) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.answers = list(answers)

    async def send(self, method: str, path: str, **options: Any) -> Answer:
        self.asked.append((method, path, options.get("body")))
        return self.answers.pop(0)

    async def call(self, method: str, path: str, *, what: str, **options: Any) -> Any:
        answer = await self.send(method, path, **options)
        assert answer.ok, what
        return answer.body


def cache(*raws: Raw) -> WorkloadCache:
    made = WorkloadCache(operator_namespace=SYSTEM)
    made.apply_namespace({"metadata": {"name": "shop", "uid": "n", "resourceVersion": "1"}})
    for raw in raws:
        made.apply("Deployment", raw)
    return made


def port(made: WorkloadCache, *answers: Answer) -> tuple[KubeWorkloads, Api]:
    api = Api(*answers)
    standalones = KubeStandalones(api, made, list)  # type: ignore[arg-type]  # as much as is needed
    return KubeWorkloads(api, made, standalones, away_since=lambda _: None), api  # type: ignore[arg-type]  # the same


# --- what it is made of ---------------------------------------------------------------------------------------------


def test_it_has_the_whole_template_with_new_images_and_one_label_more() -> None:
    volume = ImageEdit("/spec/template/spec/volumes/0", "model", place="", was=TAGGED, to=WANTED)
    volume = replace(volume, place=f"{volume.entry}/image/reference")
    found = canaries.body(STABLE, MINE, PART, [EDIT, volume])
    assert found["metadata"] == {
        "name": NAME,
        "namespace": "shop",
        "labels": {LABEL: NAME, ROLLOUT: ROLLOUT_UID},
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "uid-web"}],
    }
    spec = found["spec"]
    assert sorted(spec) == ["minReadySeconds", "replicas", "selector", "strategy", "template"]
    assert spec["replicas"] == 2
    assert spec["selector"] == {**STABLE["spec"]["selector"], "matchLabels": {"app": "web", LABEL: NAME}}
    assert spec["template"]["metadata"] == {
        "labels": {"app": "web", "tier": "front", LABEL: NAME},
        "annotations": {"mesh": "on"},
    }
    assert spec["template"]["spec"]["containers"][0]["image"] == WANTED
    assert spec["template"]["spec"]["volumes"][0]["image"]["reference"] == WANTED
    assert STABLE["spec"]["template"]["spec"]["containers"][0]["image"] == TAGGED, "the other one's is left alone"


@pytest.mark.parametrize("edit", [replace(EDIT, name="api"), replace(EDIT, was=f"{REPOSITORY}@{OTHER}")])
def test_an_image_that_is_not_what_it_was_makes_none(edit: ImageEdit) -> None:
    with pytest.raises(errors.Conflict, match="the image of"):
        canaries.body(STABLE, MINE, PART, [edit])


def test_what_only_has_the_label_is_no_canary_of_anything() -> None:
    assert canaries.of(there()) == ("web", "uid-web")
    assert canaries.of(there(ownerReferences=[])) == ("", "")
    assert canaries.of(there(labels={})) == ("", "")


# --- how it is seen -------------------------------------------------------------------------------------------------


def test_it_is_no_target_and_stands_beside_the_one_that_owns_it() -> None:
    made = cache(STABLE, there())
    [view] = made.selected(POLICY)
    assert view.short == "web"
    assert view.beside is not None
    assert (view.beside.short, view.beside.canary_of, view.beside.images[0].image) == (NAME, "uid-web", WANTED)
    made.forget(f"Deployment/shop/{NAME}", "uid-canary")
    assert made.selected(POLICY)[0].beside is None


def test_it_wakes_its_rollout_and_leads_to_the_workload_though_no_record_does() -> None:
    made = cache(STABLE)
    told: list[str] = []
    made.on_change(told.append)
    made.apply("Deployment", there())
    assert ROLLOUT_UID in told
    assert [view.short for view in made.marked(ROLLOUT_UID, POLICY)] == ["web"]
    owner = WorkloadRef("Deployment", "shop", "web", "uid-web", "")
    assert made.canaries() == (Canary(owner, NAME, ROLLOUT_UID),)
    made.remove("Deployment", there())
    assert (made.canaries(), made.marked(ROLLOUT_UID, POLICY)) == ((), ())


async def test_its_pods_are_listed_by_its_own_selector() -> None:
    made = cache(STABLE, there())
    workloads, api = port(made, Answer(200, {"items": []}))
    [view] = made.selected(POLICY)
    assert view.beside is not None
    await workloads.pods(view.beside.ref)
    assert api.asked[0][1] == "/api/v1/namespaces/shop/pods"


# --- how it comes and goes ------------------------------------------------------------------------------------------


async def test_it_is_made_of_the_deployment_as_it_was_seen_and_of_no_other() -> None:
    made = cache(STABLE)
    workloads, api = port(made, Answer(200, STABLE), Answer(201, there()))
    await workloads.create_canary(WEB, MINE, [EDIT])
    assert api.asked[1] == ("POST", HERE, canaries.body(STABLE, MINE, PART, [EDIT]))
    assert made.selected(POLICY)[0].beside is not None, "its own writes are read at once"
    for changed in ({"resourceVersion": "11"}, {"uid": "another"}):
        workloads, api = port(made, Answer(200, {**STABLE, "metadata": {**STABLE["metadata"], **changed}}))
        with pytest.raises(errors.Conflict, match="Deployment shop/web was changed by somebody else"):
            await workloads.create_canary(WEB, MINE, [EDIT])


async def test_one_that_is_there_already_is_taken_as_it_is() -> None:
    made = cache(STABLE)
    foreign = there(labels={}, ownerReferences=[])
    workloads, _ = port(made, Answer(200, STABLE), Answer(409, {}), Answer(200, foreign))
    await workloads.create_canary(WEB, MINE, [EDIT])
    [view] = [each for each in made.selected(POLICY) if each.short == "web"]
    assert view.beside is not None
    assert view.beside.canary_of == ""


async def test_a_refusal_names_it() -> None:
    workloads, _ = port(cache(STABLE), Answer(200, STABLE), Answer(403, {"message": "exceeded quota"}))
    with pytest.raises(errors.Denied, match=f"canary Deployment shop/{NAME}: exceeded quota"):
        await workloads.create_canary(WEB, MINE, [EDIT])


async def test_it_is_deleted_by_its_uid_and_stays_as_long_as_its_pods() -> None:
    made = cache(STABLE, there())
    going = there(deletionTimestamp="2026-11-23T12:00:00Z", resourceVersion="21")
    workloads, api = port(made, Answer(200, there()), Answer(200, going), Answer(200, going), Answer(404))
    await workloads.delete_canary(WEB, NAME)
    options = {"preconditions": {"uid": "uid-canary"}, "propagationPolicy": "Foreground"}
    assert api.asked[1] == ("DELETE", f"{HERE}/{NAME}", {"apiVersion": "v1", "kind": "DeleteOptions", **options})
    view = made.selected(POLICY)[0].beside
    assert view is not None
    assert view.deleting
    await workloads.delete_canary(WEB, NAME)
    assert len(api.asked) == 3, "it is being deleted already"
    await workloads.delete_canary(WEB, NAME)
    assert made.selected(POLICY)[0].beside is None


async def test_what_is_not_ours_is_never_deleted_and_what_is_gone_is_fine() -> None:
    foreign = there(ownerReferences=[{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "other"}])
    workloads, api = port(cache(), Answer(200, foreign), Answer(404), Answer(200, there()), Answer(404))
    for _ in range(3):
        await workloads.delete_canary(WEB, NAME)
    assert [method for method, _, _ in api.asked] == ["GET", "GET", "GET", "DELETE"]


@pytest.mark.parametrize("answers", [(Answer(403, {"message": "no"}),), (Answer(200, there()), Answer(403, {}))])
async def test_a_refused_deletion_is_told(answers: tuple[Answer, ...]) -> None:
    workloads, _ = port(cache(), *answers)
    with pytest.raises(errors.Denied, match=f"canary Deployment shop/{NAME}"):
        await workloads.delete_canary(WEB, NAME)
