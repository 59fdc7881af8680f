"""Workloads as the API server tells of them: what is kept, who owns them, and how they are written to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from patchwright import errors
from patchwright.adapters.kube import owners, workloads_pods
from patchwright.adapters.kube.client import JSON_PATCH, Answer
from patchwright.adapters.kube.standalone import KubeStandalones
from patchwright.adapters.kube.workloads import KubeWorkloads
from patchwright.adapters.kube.workloads_cache import WorkloadCache
from patchwright.adapters.kube.workloads_projection import project
from patchwright.domain.actions import PodRef
from patchwright.domain.model import Key, NodeTarget, PatchPolicy, Selector, Strategy, WorkloadTarget
from patchwright.domain.targets import STATE_ANNOTATION
from patchwright.domain.workloads.record import Mark, encode
from patchwright.domain.workloads.view import ContainerState
from support.builders import ROLLOUT_UID, labelled
from support.image_builders import OLD, REPOSITORY, TAGGED, WANTED, record

Raw = dict[str, Any]
SYSTEM = "patchwright-system"
STATE = "/metadata/annotations/patchwright.dev~1state"


def raw(name: str = "web", *, namespace: str = "shop", version: int = 10, **metadata: Any) -> Raw:
    template = {
        "spec": {
            "initContainers": [{"name": "migrate", "image": "ghcr.io/acme/job:1", "restartPolicy": "Always"}],
            "containers": [{"name": "web", "image": TAGGED}],
            "volumes": [
                {"name": "tmp", "emptyDir": {}},
                {"name": "model", "image": {"reference": "ghcr.io/acme/model:1"}},
            ],
        }
    }
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{namespace}-{name}",
            "resourceVersion": str(version),
            "generation": 4,
            "labels": {"app": name},
            **metadata,
        },
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": template},
        "status": {"observedGeneration": 4, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1},
    }


def policy(target: WorkloadTarget | NodeTarget, namespace: str = SYSTEM, **changes: Any) -> PatchPolicy:
    return PatchPolicy(Key(namespace, "web"), "uid", 1, target, **changes)


EVERYWHERE = WorkloadTarget((REPOSITORY,), namespaces=Selector())


# --- what is kept ---------------------------------------------------------------------------------------------------


def test_every_place_of_an_image_is_found() -> None:
    facts = project("Deployment", raw())
    assert [(one.key, one.index, one.image) for one in facts.images] == [
        ("initContainers/migrate", 0, "ghcr.io/acme/job:1"),
        ("containers/web", 0, TAGGED),
        ("volumes/model", 1, "ghcr.io/acme/model:1"),
    ]
    assert facts.selector == "app=web"
    assert (facts.counts.replicas, facts.counts.available) == (2, 1)


def test_a_cron_job_has_its_images_deeper_and_is_always_observed() -> None:
    found = raw()
    found["spec"] = {"schedule": "0 0 * * *", "jobTemplate": {"spec": {"template": found["spec"]["template"]}}}
    found["status"] = {}
    facts = project("CronJob", found)
    assert [one.key for one in facts.images][1] == "containers/web"
    assert facts.observed_generation == facts.generation == 4


def test_a_daemon_set_counts_nodes() -> None:
    found = raw()
    found["status"] = {"desiredNumberScheduled": 5, "currentNumberScheduled": 5, "updatedNumberScheduled": 4}
    counts = project("DaemonSet", found).counts
    assert (counts.replicas, counts.present, counts.updated, counts.available) == (5, 5, 4, 0)


def test_strategies_pauses_and_conditions_are_read() -> None:
    found = raw(annotations={"patchwright.dev/paused": "true"}, deletionTimestamp="2026-11-23T12:00:00Z")
    found["spec"] |= {"paused": True, "strategy": {"type": "Recreate"}}
    stuck = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    found["status"]["conditions"] = [stuck, {"type": "Available", "status": "False"}]
    facts = project("Deployment", found)
    assert facts.paused
    assert facts.recreate
    assert facts.hands_off
    assert facts.deleting
    assert facts.stuck == "its own progress deadline has passed"
    assert facts.unavailable == "the Available condition is False"
    found["spec"] = {**found["spec"], "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}}
    found["status"] = {"updateRevision": "web-7", "conditions": [{"type": "Available", "status": "True"}]}
    facts = project("StatefulSet", found)
    assert (facts.partition, facts.on_delete, facts.revision, facts.unavailable) == (2, False, "web-7", "")
    found["spec"] |= {"updateStrategy": {"type": "OnDelete"}}
    assert project("StatefulSet", found).on_delete


def test_a_selector_becomes_a_query() -> None:
    found = raw()
    found["spec"]["selector"] = {
        "matchLabels": {"b": "2", "a": "1"},
        "matchExpressions": [
            {"key": "x", "operator": "In", "values": ["1", "2"]},
            {"key": "y", "operator": "NotIn", "values": ["3"]},
            {"key": "z", "operator": "Exists"},
            {"key": "w", "operator": "DoesNotExist"},
        ],
    }
    assert project("Deployment", found).selector == "a=1,b=2,x in (1,2),y notin (3),z,!w"


def test_a_record_that_cannot_be_read_is_told() -> None:
    facts = project("Deployment", raw(annotations={STATE_ANNOTATION: "{"}))
    assert (facts.record, facts.annotated) == (None, True)
    assert "it is not JSON" in facts.record_fault


# --- who owns them --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metadata", "who"),
    [
        ({}, ""),
        ({"labels": {"app.kubernetes.io/instance": "web"}}, ""),
        ({"labels": {"helm.toolkit.fluxcd.io/name": "web"}}, "Flux HelmRelease web"),
        (
            {"labels": {"kustomize.toolkit.fluxcd.io/name": "a", "kustomize.toolkit.fluxcd.io/namespace": "f"}},
            "Flux Kustomization f/a",
        ),
        (
            {
                "labels": {"kustomize.toolkit.fluxcd.io/name": "a"},
                "annotations": {"kustomize.toolkit.fluxcd.io/reconcile": "disabled"},
            },
            "",
        ),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:a/b"}}, "Argo CD application shop"),
        ({"labels": {"argocd.argoproj.io/instance": "shop"}}, "Argo CD application shop"),
        ({"managedFields": [{"manager": "argocd-controller"}]}, "Argo CD (field manager argocd-controller)"),
        ({"managedFields": [{"manager": "helm-controller", "subresource": "status"}, {"manager": "kubectl"}]}, ""),
    ],
)
def test_whoever_applies_it_from_git_is_named(metadata: Mapping[str, Any], who: str) -> None:
    assert owners.gitops(metadata) == who


def test_a_controller_is_named_and_a_mere_owner_is_not() -> None:
    mere = {"kind": "Application", "name": "x"}
    assert owners.controller({"ownerReferences": [mere]}) == ""
    assert owners.controller({"ownerReferences": [mere, {**mere, "controller": True}]}) == "Application x"


# --- what a policy selects ------------------------------------------------------------------------------------------


def cache(*found: Raw, kind: str = "Deployment", away: int = 0) -> WorkloadCache:
    made = WorkloadCache(operator_namespace=SYSTEM, away=lambda: away)
    for name, labels in (("shop", {"env": "prod"}), ("pay", {}), (SYSTEM, {})):
        made.apply_namespace({"metadata": {"name": name, "uid": name, "resourceVersion": "1", "labels": labels}})
    for one in found:
        made.apply(kind, one)
    return made


def names(made: WorkloadCache, target: WorkloadTarget, namespace: str = SYSTEM) -> list[str]:
    return [view.name for view in made.selected(policy(target, namespace))]


def test_a_policy_of_the_operator_selects_by_namespace_labels_kind_and_image() -> None:
    made = cache(raw(), raw("api", labels={"app": "api", "tier": "a"}), raw(namespace="pay"), raw(namespace=SYSTEM))
    everywhere = ["Deployment shop/web", "Deployment shop/api", "Deployment pay/web", f"Deployment {SYSTEM}/web"]
    assert names(made, EVERYWHERE) == everywhere
    assert names(made, WorkloadTarget((REPOSITORY,))) == [f"Deployment {SYSTEM}/web"]
    prod = WorkloadTarget((REPOSITORY,), namespaces=labelled("env", "prod"))
    assert names(made, prod) == ["Deployment shop/web", "Deployment shop/api"]
    assert names(made, WorkloadTarget((REPOSITORY,), labelled("tier", "a"), namespaces=Selector())) == [
        "Deployment shop/api"
    ]
    assert names(made, WorkloadTarget((REPOSITORY,), namespaces=Selector(), kinds=("CronJob",))) == []
    assert names(made, WorkloadTarget(("ghcr.io/acme/other",), namespaces=Selector())) == []
    assert names(made, WorkloadTarget(("ghcr.io/acme/model",), namespaces=labelled("env", "prod"))) != []
    assert made.selected(policy(NodeTarget())) == ()


def test_one_workload_is_given_by_what_it_is_and_only_where_the_policy_selects_it() -> None:
    made = cache(raw(), raw("api", labels={"app": "api"}))
    everything = policy(EVERYWHERE)
    web, api = made.selected(everything)
    assert made.one(web.ref, everything) is web
    assert made.one(replace(web.ref, uid="another"), everything) is None
    assert made.one(replace(web.ref, name="gone"), everything) is None
    assert (
        made.one(api.ref, policy(WorkloadTarget((REPOSITORY,), labelled("app", "web"), namespaces=Selector()))) is None
    )
    assert made.one(web.ref, policy(WorkloadTarget((REPOSITORY,)))) is None, "it is in another namespace"
    assert made.one(web.ref, policy(NodeTarget())) is None


def test_a_tenant_s_policy_never_reaches_another_namespace() -> None:
    made = cache(raw(), raw(namespace="pay"))
    assert names(made, EVERYWHERE, "pay") == ["Deployment pay/web"]
    made.remove_namespace({"metadata": {"name": "shop", "uid": "shop"}})
    assert names(made, EVERYWHERE) == ["Deployment pay/web"]


def test_a_view_is_made_again_only_when_something_changed() -> None:
    made = cache(raw())
    [first] = made.selected(policy(EVERYWHERE))
    assert made.selected(policy(EVERYWHERE))[0] is first
    made.apply("Deployment", raw(version=9))
    assert made.selected(policy(EVERYWHERE))[0] is first, "older news"
    made.apply("Deployment", raw(version=11))
    [second] = made.selected(policy(EVERYWHERE))
    assert second.resource_version == "11"


def test_views_tell_what_policies_see() -> None:
    made = cache(raw(labels={"plan.patchwright.dev/web": "disabled", "patchwright.dev/risk": "high", "zone": "a"}))
    [view] = made.selected(policy(EVERYWHERE, strategy=Strategy(topology_key="zone")))
    assert view.opted_out == "label plan.patchwright.dev/web=disabled"
    assert (view.order.risk, view.order.domain, view.order.last) == (2, "a", False)
    [view] = cache(raw(namespace=SYSTEM), away=2).selected(policy(EVERYWHERE))
    assert (view.order.domain, view.order.last, view.away) == (SYSTEM, True, 0)
    [view] = cache(raw(), kind="DaemonSet", away=2).selected(policy(EVERYWHERE))
    assert view.away == 2


def test_marked_workloads_are_found_selected_or_not_and_listeners_hear_of_them() -> None:
    made, heard = cache(), list[str]()
    made.on_change(heard.append)
    marked = raw(annotations={STATE_ANNOTATION: encode(record(Mark.APPLYING))})
    made.apply("Deployment", marked)
    other = policy(WorkloadTarget(("nginx",)))
    assert [view.name for view in made.marked(ROLLOUT_UID, other)] == ["Deployment shop/web"]
    assert made.rollouts_at_work() == [ROLLOUT_UID]
    assert ROLLOUT_UID in heard
    made.apply("Deployment", raw(version=11))
    assert made.marked(ROLLOUT_UID, other) == ()
    made.remove("Deployment", raw(version=12))
    assert made.get("Deployment", "shop", "web") is None
    made.apply("Deployment", raw(version=13))
    assert made.get("Deployment", "shop", "web") is None, "a UID never comes back"


def test_what_a_complete_list_does_not_hold_is_gone() -> None:
    made = cache(raw(), raw("api"))
    made.prune("StatefulSet", frozenset(), 99)
    assert len(made.selected(policy(EVERYWHERE))) == 2
    made.prune("Deployment", frozenset({"uid-shop-api"}), 99)
    assert [view.short for view in made.selected(policy(EVERYWHERE))] == ["api"]


# --- pods -----------------------------------------------------------------------------------------------------------


POD: Raw = {
    "metadata": {
        "name": "web-1",
        "namespace": "shop",
        "uid": "p1",
        "creationTimestamp": "2026-11-23T11:00:00Z",
        "labels": {"pod-template-hash": "abc"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "web-abc", "uid": "rs", "controller": True}],
    },
    "spec": {
        "nodeName": "n1",
        "containers": [{"name": "web", "image": TAGGED}, {"name": "mesh", "image": "mesh:1"}],
        # Somebody looks into it, by another image of ours: no drift, and nothing that could be patched.
        "ephemeralContainers": [{"name": "debug", "image": "ghcr.io/acme/web:debug"}],
        "volumes": [{"name": "model", "image": {"reference": "ghcr.io/acme/model:1"}}],
    },
    "status": {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-11-23T11:30:00Z"}],
        "containerStatuses": [
            {
                "name": "web",
                "image": "ghcr.io/acme/web:other",  # by whatever tag the node has pulled it first (kruise#2297)
                "imageID": f"ghcr.io/acme/web@{OLD}",
                "restartCount": 4,
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off  40s\nrestarting"}},
            }
        ],
        "initContainerStatuses": [{"name": "migrate", "imageID": "", "state": {"waiting": {"reason": "ErrImagePull"}}}],
    },
}


def test_a_pod_tells_its_images_digests_and_troubles() -> None:
    away = datetime(2026, 11, 23, 11, 45, tzinfo=UTC)
    pod = workloads_pods.project(POD, lambda node: away if node == "n1" else None)
    assert pod.ref == PodRef("shop", "web-1", "p1")
    assert pod.images == {
        "containers/web": TAGGED,
        "containers/mesh": "mesh:1",
        "volumes/model": "ghcr.io/acme/model:1",
    }
    assert pod.digests == {"containers/web": OLD, "initContainers/migrate": ""}
    assert ContainerState("web", "CrashLoopBackOff", "back-off 40s restarting", 4) in pod.containers
    assert ContainerState("migrate", "ErrImagePull") in pod.containers, "what never starts keeps the others from it"
    assert (pod.ready, pod.ready_since, pod.node_away_since, pod.revision) == (
        False, datetime(2026, 11, 23, 11, 30, tzinfo=UTC), away, "abc",
    )  # fmt: skip
    on_arm = workloads_pods.project(POD, lambda _: None, lambda node: {"n1": "arm64"}[node])
    assert (pod.architecture, on_arm.architecture) == ("", "arm64")
    bare = workloads_pods.project({"metadata": {**POD["metadata"], "labels": {}}, "spec": {}}, lambda _: None)
    assert (bare.revision, bare.ready, bare.ready_since, bare.node_away_since) == ("", False, None, None)


def test_only_pods_that_the_workload_controls_are_its_own() -> None:
    assert workloads_pods.controlled_by(POD, "any", "Deployment")
    assert not workloads_pods.controlled_by(POD, "any", "StatefulSet")
    owned = {"metadata": {"ownerReferences": [{"kind": "StatefulSet", "uid": "u", "controller": True}]}}
    assert workloads_pods.controlled_by(owned, "u", "StatefulSet")
    assert not workloads_pods.controlled_by({"metadata": {}}, "u", "StatefulSet")


# --- writes ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Api:
    """An API server that gives the prepared answers, and keeps what it was asked."""

    answers: list[Answer] = field(default_factory=list)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)

    async def send(self, method: str, path: str, **options: Any) -> Answer:
        if method == "PATCH":
            assert options["content_type"] == JSON_PATCH
        self.asked.append((method, path, options.get("body") or options.get("query")))
        return self.answers.pop(0)

    async def call(self, method: str, path: str, *, what: str, **options: Any) -> Mapping[str, Any]:
        answer = await self.send(method, path, **options)
        if not answer.ok:
            raise errors.NotFound(what)
        return answer.body


def port(made: WorkloadCache, *answers: Answer) -> tuple[KubeWorkloads, Api]:
    api = Api(list(answers))
    standalones = KubeStandalones(api, made, list)  # type: ignore[arg-type]  # as much as is needed
    return KubeWorkloads(api, made, standalones, away_since=lambda _: None), api  # type: ignore[arg-type]  # the same


async def test_images_and_record_are_one_json_patch_that_tests_what_it_replaces() -> None:
    made = cache(raw(annotations={"x": "y"}))
    workloads, api = port(made, Answer(200, raw(version=11)))
    [view] = made.selected(policy(EVERYWHERE))
    mine = record(Mark.APPLYING)
    await workloads.set_images(view.ref, mine, [view.images[1].edit("Deployment", WANTED)])
    container = "/spec/template/spec/containers/0"
    assert api.asked == [
        (
            "PATCH",
            "/apis/apps/v1/namespaces/shop/deployments/web",
            [
                {"op": "test", "path": "/metadata/uid", "value": "uid-shop-web"},
                {"op": "test", "path": f"{container}/name", "value": "web"},
                {"op": "test", "path": f"{container}/image", "value": TAGGED},
                {"op": "replace", "path": f"{container}/image", "value": WANTED},
                {"op": "add", "path": STATE, "value": encode(mine)},
                {"op": "replace", "path": "/metadata/resourceVersion", "value": "10"},
            ],
        )
    ]
    assert made.selected(policy(EVERYWHERE))[0].resource_version == "11", "its own writes are read at once"


async def test_an_object_without_annotations_gets_its_first_one() -> None:
    made = cache(raw())
    workloads, api = port(made, Answer(200, raw(version=11)))
    [view] = made.selected(policy(EVERYWHERE))
    await workloads.mark(view.ref, record(Mark.DONE))
    operation = api.asked[0][2][1]
    assert (operation["op"], operation["path"], list(operation["value"])) == (
        "add", "/metadata/annotations", [STATE_ANNOTATION],
    )  # fmt: skip


@pytest.mark.parametrize("text", [encode(record(Mark.DONE)), "garbled"])
async def test_a_record_is_removed_where_there_is_one(text: str) -> None:
    made = cache(raw(annotations={STATE_ANNOTATION: text}))
    workloads, api = port(made, Answer(200, raw(version=11)), Answer(200, raw(version=12)))
    [view] = made.selected(policy(EVERYWHERE))
    await workloads.mark(view.ref, None)
    assert {"op": "remove", "path": STATE} in api.asked[0][2]
    await workloads.mark(made.selected(policy(EVERYWHERE))[0].ref, None)
    assert [each["op"] for each in api.asked[1][2]] == ["test", "replace"]


async def test_a_failed_test_means_look_again_and_a_refusal_is_one() -> None:
    made = cache(raw())
    [view] = made.selected(policy(EVERYWHERE))
    refused = Answer(422, {"reason": "Invalid", "message": "the server rejected our request"})
    workloads, _ = port(made, refused, Answer(200, raw(version=12)))
    with pytest.raises(errors.Conflict, match="Deployment shop/web was changed by somebody else"):
        await workloads.mark(view.ref, record(Mark.DONE))
    workloads, _ = port(made, refused, Answer(200, raw(version=10)))
    with pytest.raises(errors.Denied, match="the server rejected our request"):
        await workloads.mark(view.ref, record(Mark.DONE))
    workloads, _ = port(made, Answer(409, {"message": "modified"}))
    with pytest.raises(errors.Conflict):
        await workloads.mark(view.ref, record(Mark.DONE))


async def test_pods_are_listed_by_the_selector_and_only_its_own_are_kept() -> None:
    made = cache(raw())
    stranger = {**POD, "metadata": {**POD["metadata"], "ownerReferences": []}}
    workloads, api = port(made, Answer(200, {"items": [POD, stranger]}))
    [view] = made.selected(policy(EVERYWHERE))
    found = await workloads.pods(view.ref)
    assert [pod.ref.name for pod in found.pods] == ["web-1"]
    assert api.asked == [("GET", "/api/v1/namespaces/shop/pods", {"labelSelector": "app=web,!patchwright.dev/canary"})]
    made.remove("Deployment", raw())
    with pytest.raises(errors.NotFound):
        await workloads.pods(view.ref)


async def test_a_workload_is_read_again_and_one_that_is_gone_is_forgotten() -> None:
    made = cache(raw())
    [view] = made.selected(policy(EVERYWHERE))
    workloads, _ = port(made, Answer(200, raw(version=20)), Answer(404), Answer(404))
    await workloads.refresh(view.ref)
    assert made.selected(policy(EVERYWHERE))[0].resource_version == "20"
    await workloads.refresh(view.ref)
    assert made.selected(policy(EVERYWHERE)) == ()
    await workloads.refresh(view.ref)


async def test_a_pod_is_deleted_by_its_uid_and_one_that_is_gone_is_fine() -> None:
    workloads, api = port(cache(), Answer(200), Answer(404), Answer(409), Answer(403, {"message": "no"}))
    pod = PodRef("shop", "db-2", "p2")
    for _ in range(3):
        await workloads.delete_pod(pod)
    assert api.asked[0][2]["preconditions"] == {"uid": "p2"}
    with pytest.raises(errors.Denied, match="pod shop/db-2: no"):
        await workloads.delete_pod(pod)


def test_what_a_complete_list_of_its_kind_does_not_hold_is_gone() -> None:
    made = cache(raw(), raw("api"))
    made.prune("StatefulSet", frozenset(), 50)
    made.prune("Deployment", frozenset({"uid-shop-api"}), 50)
    assert [view.short for view in made.selected(policy(EVERYWHERE))] == ["api"]
    made.prune_namespaces(frozenset(), 50)
    assert made.selected(policy(EVERYWHERE)) == ()
