"""Jobs and pods without a controller: found by lists of metadata, read once, and told of as far as there is room."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from patchwright import errors
from patchwright.adapters.kube import standalone
from patchwright.adapters.kube.client import PARTIAL_LIST
from patchwright.adapters.kube.standalone import KubeStandalones
from patchwright.adapters.kube.workloads_cache import WorkloadCache
from patchwright.domain.model import Key, NodeTarget, PatchPolicy, Selector, WorkloadTarget
from patchwright.domain.workloads.standalone import NOTHING, Standalone, Survey
from support.builders import labelled
from support.image_builders import REPOSITORY, TAGGED

Raw = dict[str, Any]
SYSTEM = "patchwright-system"
CONTROLLED = [{"kind": "ReplicaSet", "name": "rs", "uid": "rs", "controller": True}]


@dataclass(slots=True)
class Api:
    """An API server with Jobs and pods, that gives pages of metadata and whole objects, and counts what it is asked."""

    jobs: list[Raw] = field(default_factory=list)
    pods: list[Raw] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    away: bool = False
    denies: bool = False
    gone: set[str] = field(default_factory=set)

    async def call(self, method: str, path: str, *, query: Mapping[str, str] | None = None, **options: Any) -> Raw:
        assert method == "GET"
        if self.away:
            raise errors.ClusterUnavailable("no answer")
        things = self.jobs if "/jobs" in path else self.pods
        if self.denies:
            raise errors.Denied("jobs is forbidden")
        if query is None:
            self.asked["read"] += 1
            for one in [one for one in things if one["metadata"]["name"] not in self.gone]:
                if path.endswith(f"/{one['metadata']['namespace']}/{path.split('/')[-2]}/{one['metadata']['name']}"):
                    return one
            raise errors.NotFound(path)
        self.asked["list"] += 1
        assert options["accept"] == PARTIAL_LIST
        begin, size = int(query.get("continue", "0")), int(query["limit"])
        page = [{"metadata": one["metadata"]} for one in things[begin : begin + size]]
        more = {"continue": str(begin + size)} if begin + size < len(things) else {}
        # As it comes over the wire: nothing of a page that was thrown away is left.
        found: Raw = json.loads(json.dumps({"items": page, "metadata": {"resourceVersion": "1", **more}}))
        return found


def pod(name: str, *, image: str = TAGGED, namespace: str = "shop", phase: str = "Running", **metadata: Any) -> Raw:
    about = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "resourceVersion": "1", **metadata}
    return {
        "metadata": about,
        "spec": {"containers": [{"name": "mesh", "image": "mesh:1"}, {"name": "web", "image": image}]},
        "status": {"phase": phase},
    }


def job(name: str, *, condition: str = "", **metadata: Any) -> Raw:
    one = pod(name, **metadata)
    conditions = [{"type": condition, "status": "True"}] if condition else []
    return {**one, "spec": {"template": {"spec": one["spec"]}}, "status": {"conditions": conditions}}


def policy(namespace: str = SYSTEM, selector: Selector | None = None) -> PatchPolicy:
    spaces = Selector() if namespace == SYSTEM else None
    target = WorkloadTarget((REPOSITORY,), selector or Selector(), namespaces=spaces)
    return PatchPolicy(Key(namespace, "web"), "uid", 1, target)


@dataclass(slots=True)
class Clock:
    """Seconds that pass when a test says so."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def standalones(api: Api, *policies: PatchPolicy, clock: Clock | None = None) -> KubeStandalones:
    cache = WorkloadCache(operator_namespace=SYSTEM)
    for name in ("shop", "pay", "kube-system"):
        cache.apply_namespace({"metadata": {"name": name, "uid": name, "resourceVersion": "1"}})
    return KubeStandalones(api, cache, lambda: policies, clock=clock or Clock())  # type: ignore[arg-type]  # as much as is needed


async def test_jobs_bare_pods_and_static_pods_are_found_and_what_has_a_controller_is_not() -> None:
    static: Raw = {
        "annotations": {"kubernetes.io/config.mirror": "x"},
        "ownerReferences": [{"kind": "Node", "name": "n1", "uid": "n1", "controller": True}],
    }
    api = Api(
        jobs=[
            job("import"),
            job("nightly-1", ownerReferences=[{"kind": "CronJob", "name": "n", "uid": "c", "controller": True}]),
            job("ours", labels={"patchwright.dev/rollout": "uid"}),
            job("over", condition="Complete"),
            job("failed", condition="Failed"),
        ],
        pods=[
            pod("debug"),
            pod("proxy-n1", namespace="kube-system", **static),
            pod("web-1", ownerReferences=CONTROLLED),
            pod("merely-owned", ownerReferences=[{"kind": "Application", "name": "a", "uid": "a"}]),
            pod("other", image="nginx:1"),
            pod("ended", phase="Succeeded"),
            pod("leaving", deletionTimestamp="2026-11-23T12:00:00Z"),
        ],
    )
    found = standalones(api, policy())

    await found.look()

    assert found.survey(policy()) == Survey(
        (
            Standalone("Job", "shop", "import", TAGGED),
            Standalone("Pod", "kube-system", "proxy-n1", TAGGED, static=True),
            Standalone("Pod", "shop", "debug", TAGGED),
            Standalone("Pod", "shop", "merely-owned", TAGGED),
        ),
        4,
    )
    assert found.survey(policy()).sentence.startswith("4 Jobs and pods without a controller run its images")
    assert found.survey(PatchPolicy(Key(SYSTEM, "n"), "uid", 1, NodeTarget())) == NOTHING


async def test_a_policy_is_told_only_of_what_it_may_read_and_selects() -> None:
    mine = policy("pay", labelled("app", "web"))
    api = Api(pods=[pod("a"), pod("b", namespace="pay"), pod("c", namespace="pay", labels={"app": "web"})])
    found = standalones(api, mine)
    await found.look()
    assert found.survey(mine).named == (Standalone("Pod", "pay", "c", TAGGED),)
    assert api.asked["read"] == 1, "nothing else is even read"


async def test_what_is_known_is_read_again_only_when_it_has_changed() -> None:
    clock, api = Clock(), Api(pods=[pod("a"), pod("b")])
    found = standalones(api, policy(), clock=clock)
    await found.look()
    clock.now += standalone.EVERY - 1
    await found.look()
    assert (api.asked["list"], api.asked["read"]) == (2, 2), "one list of each kind"
    clock.now += 1
    api.pods = [pod("a", image="nginx:1", resourceVersion="2"), pod("b")]
    await found.look()
    assert (api.asked["list"], api.asked["read"]) == (4, 3)
    assert [one.name for one in found.survey(policy()).named] == ["b"]


async def test_nobody_is_told_of_half_of_what_is_being_read() -> None:
    api = Api(pods=[pod("a"), pod("b")])
    found = standalones(api, policy())
    told: list[Survey] = []
    answers = api.call

    class Watching(Api):
        async def call(self, method: str, path: str, **options: Any) -> Raw:
            told.append(found.survey(policy()))
            return await answers(method, path, **options)

    found._api = Watching()  # type: ignore[assignment]  # as much as is needed
    await found.look()
    assert told == [NOTHING] * 4
    assert found.survey(policy()).total == 2


async def test_one_that_is_gone_by_the_time_it_is_read_is_not_told_of() -> None:
    api = Api(pods=[pod("a"), pod("b")], gone={"b"})
    found = standalones(api, policy())
    await found.look()
    assert [one.name for one in found.survey(policy()).named] == ["a"]
    assert found.survey(policy()).unknown == 0


async def test_what_was_known_stays_while_the_api_server_is_away_and_goes_with_the_last_policy() -> None:
    clock, api = Clock(), Api(pods=[pod("a")])
    there = [policy()]
    cache = WorkloadCache(operator_namespace=SYSTEM)
    cache.apply_namespace({"metadata": {"name": "shop", "uid": "shop", "resourceVersion": "1"}})
    found = KubeStandalones(api, cache, lambda: there, clock=clock)  # type: ignore[arg-type]  # as much as is needed
    await found.look()
    api.away = True
    clock.now += standalone.EVERY
    with pytest.raises(errors.ClusterUnavailable):
        await found.look()
    assert found.survey(policy()).total == 1
    there.clear()
    await found.look()
    assert found.survey(policy()) == NOTHING, "and nobody is asked where nobody wants to know"


async def test_who_may_not_list_them_says_so_and_asks_again_when_they_would_be_listed_again() -> None:
    clock, api = Clock(), Api(pods=[pod("a")], denies=True)
    found = standalones(api, policy(), clock=clock)
    await found.look()
    said = "Jobs and pods without a controller may not be looked at: jobs is forbidden"
    assert found.survey(policy()).sentence == said
    api.denies = False
    await found.look()
    assert found.survey(policy()).sentence == said
    clock.now += standalone.EVERY
    await found.look()
    assert found.survey(policy()).fault == ""
    assert found.survey(policy()).total == 1


async def test_of_very_many_the_first_are_named_and_the_rest_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standalone, "KNOWN_KEPT", 30)
    api = Api(pods=[pod(f"p{number:02}") for number in range(33)])
    found = standalones(api, policy())
    await found.look()
    seen = found.survey(policy())
    assert (len(seen.named), seen.total, seen.unknown) == (20, 30, 3)
    assert seen.sentence == (
        "30 Jobs and pods without a controller run its images and cannot be patched, see status.standalone; "
        "what 3 other Jobs and pods without a controller run was not looked at"
    )
    assert Survey((), 1).sentence.startswith("1 Job or pod without a controller runs its images")
    assert Survey().sentence == ""


async def test_twenty_thousand_pods_are_forty_pages_of_which_next_to_nothing_is_kept() -> None:
    managed = [{"manager": "kubelet", "fieldsV1": {f"f:field-{n}": {} for n in range(40)}}]
    common: Raw = {"ownerReferences": CONTROLLED, "labels": {"app": "web", "tier": "shop"}, "managedFields": managed}
    api = Api(pods=[pod(f"web-{number}", **common) for number in range(20_000)])
    api.pods[7:7] = [pod("debug")]
    found = standalones(api, policy())
    tracemalloc.start()
    begun = time.process_time()

    await found.look()

    took, (kept, peak) = time.process_time() - begun, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"{took:.1f} s of CPU (the server's part and tracing in it), {kept} bytes kept, {peak} at most")  # noqa: T201 - shown with -s
    assert api.asked == {"list": 42, "read": 1}
    assert [one.name for one in found.survey(policy()).named] == ["debug"]
    assert kept < 1_000_000
    assert peak < 40_000_000, "a page or two, never all of them"
