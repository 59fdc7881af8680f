"""The demo's claims fail when they should: each is shown the fault that it is there for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from patchwright.demo import findings
from patchwright.demo.cluster import Raw

LABEL = "plan.patchwright.dev/security-updates"


def node(name: str, *, unschedulable: bool = False, **metadata: dict[str, str]) -> Raw:
    spec = {"unschedulable": True} if unschedulable else {}
    status = {"nodeInfo": {"kernelVersion": "6.1", "osImage": "Debian"}}
    return {"metadata": {"name": name, "labels": {}, **metadata}, "spec": spec, "status": status}


def rollout(**status: Any) -> Raw:
    return {"metadata": {"name": "openssl"}, "status": status}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (None, "there is no PatchRollout openssl"),
        (rollout(phase="Failed", message="node-1 is gone"), "openssl is Failed instead of RolledBack: node-1 is gone"),
        (
            rollout(phase="RolledBack", cause={"reason": "Aborted"}),
            "openssl is RolledBack for the reason Aborted instead of HealthCheckFailed",
        ),
    ],
    ids=["missing", "phase", "reason"],
)
def test_an_end_that_was_not_expected_is_told(given: Raw | None, told: str) -> None:
    assert list(findings.ended(given, "openssl", phase="RolledBack", reason="HealthCheckFailed")) == [told]


def test_the_expected_end_is_nothing_to_tell() -> None:
    good = rollout(phase="Denied", cause={"reason": "Denied"})
    assert list(findings.ended(good, "openssl", phase="Denied", reason="Denied")) == []


def test_nodes_without_the_new_version_are_named() -> None:
    nodes = [node("a", labels={LABEL: "new"}), node("b", labels={LABEL: "old"}), node("c")]
    assert list(findings.installed(nodes, "security-updates", "new")) == [
        "2 of 3 nodes do not have the new version: b, c"
    ]
    assert list(findings.installed(nodes[:1], "security-updates", "new")) == []


def test_every_kind_of_leftover_is_found() -> None:
    nodes = [node("a", unschedulable=True), node("b", annotations={"patchwright.dev/state": "{}"}), node("c")]
    assert list(findings.leftovers(nodes, [{"metadata": {"name": "job"}}])) == [
        "still cordoned: a",
        "still carry the annotation patchwright.dev/state: b",
        "patch Jobs are left: job",
    ]
    assert list(findings.leftovers([node("c")], [])) == []


@pytest.mark.parametrize(
    ("after", "part"),
    [
        (node("a", labels={LABEL: "new"}), "labels"),
        (node("a", annotations={"patchwright.dev/drain": "x"}), "annotations"),
        (node("a", unschedulable=True), "cordon"),
        (node("a") | {"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}, "taints"),
        (node("a") | {"status": {"nodeInfo": {"kernelVersion": "6.2", "osImage": "Debian"}}}, "system"),
    ],
    ids=["labels", "annotations", "cordon", "taints", "system"],
)
def test_a_node_that_is_not_what_it_was_is_told_with_what_differs(after: Raw, part: str) -> None:
    assert list(findings.unchanged([node("a")], [after])) == [f"node a is not what it was before: {part}"]


def test_annotations_of_others_do_not_count_and_a_vanished_node_does() -> None:
    before = [node("a"), node("b")]
    assert list(findings.unchanged(before, [node("a", annotations={"other.example/x": "1"}), node("b")])) == []
    (told,) = findings.unchanged(before, [node("a")])
    assert told.startswith("node b is not what it was before")


def test_a_bad_version_must_reach_somebody_and_no_more_than_the_canaries() -> None:
    assert list(findings.contained(["a", "b", "c"], 3)) == []
    assert list(findings.contained([], 3)) == ["the bad version was tried on no nodes at all"]
    assert list(findings.contained(["a", "b", "c", "d"], 3)) == [
        "4 nodes were exposed to the bad version, more than the 3 of the canary"
    ]


def test_a_node_that_was_touched_before_the_canary_had_passed_is_counted() -> None:
    exposed = {"a": 10, "b": 11, "c": 90}
    assert list(findings.canary_first(exposed, 2, passed=89)) == []
    assert list(findings.canary_first(exposed, 2, passed=91)) == [
        "3 nodes were touched before the canary of 2 had passed"
    ]
    assert list(findings.canary_first(exposed, 2, passed=None)) == ["the canary was never seen to pass"]
    assert list(findings.untouched(exposed)) == ["3 nodes were touched: a, b, c"]


def test_a_memory_of_another_change_or_version_is_none() -> None:
    policy = {"metadata": {"name": "p"}, "status": {"failedChanges": [{"changeID": "c1", "version": "1.9.0"}]}}
    assert list(findings.remembered(policy, change="c1", version="1.9.0")) == []
    for change, version in (("c2", "1.9.0"), ("c1", "1.8.0")):
        assert list(findings.remembered(policy, change=change, version=version)) == [
            f"PatchPolicy p does not remember version {version} as failed"
        ]


def test_a_refusal_counts_only_if_this_rule_of_this_commit_gave_it() -> None:
    decision = {"violations": [{"rule": "a/deny", "msg": "no"}], "revision": "main@sha1:abcdef0123"}
    assert list(findings.refused(rollout(policy=decision), rule="a/deny", commit="abcdef0123")) == []
    (rule,) = findings.refused(rollout(policy=decision), rule="a/other", commit="abcdef0123")
    assert rule == "the rules that refused are a/deny instead of a/other"
    (revision,) = findings.refused(rollout(policy=decision), rule="a/deny", commit="fedcba9876")
    assert revision == "policy of revision main@sha1:abcdef0123 decided instead of fedcba9"
    assert len(list(findings.refused(None, rule="a/deny", commit="abc"))) == 2


def test_agents_that_do_not_all_run_are_counted_and_none_at_all_is_no_health() -> None:
    agents = {"metadata": {"name": "agent"}, "status": {"desiredNumberScheduled": 60, "numberAvailable": 58}}
    assert list(findings.healthy(agents)) == ["DaemonSet agent has 58 of 60 pods available"]
    assert list(findings.healthy({"metadata": {"name": "agent"}})) == ["DaemonSet agent has 0 of 0 pods available"]


WEB = "127.0.0.1:5000/storefront/web"
GOOD, OTHER = (f"sha256:{letter * 64}" for letter in "ab")
SINCE = datetime(2026, 11, 25, 12, tzinfo=UTC)


def of_image(*, by: str = "storefront", digest: str = GOOD) -> Raw:
    metadata = {"name": "web-1.0.1", "labels": {"patchwright.dev/proposed-by": by}}
    pin = {"image": WEB, "tag": "1.0.1", "digest": digest, "fromAny": ["1.0.0"]}
    return {"metadata": metadata, "spec": {"change": {"images": [pin]}}}


def test_a_rollout_counts_as_proposed_only_if_this_policy_did_and_for_this_very_image() -> None:
    def told(rollout: Raw | None) -> list[str]:
        return list(findings.proposed(rollout, policy="storefront", image=f"{WEB}:1.0.1@{GOOD}"))

    assert told(of_image()) == []
    assert told(of_image(by="kernel")) == ["web-1.0.1 was proposed by kernel instead of storefront"]
    (other,) = told(of_image(digest=OTHER))
    assert other.startswith(f"web-1.0.1 is of {WEB}:1.0.1@{OTHER} instead of ")
    (none,) = told(None)
    assert none.startswith("PatchPolicy storefront has proposed no rollout of ")
    nobody = of_image()
    del nobody["metadata"]["labels"]
    assert told(nobody) == ["web-1.0.1 was proposed by None instead of storefront"]


def deployment(name: str, image: str, **annotations: str) -> Raw:
    template = {"spec": {"containers": [{"name": "app", "image": image}]}}
    return {"metadata": {"name": name, "annotations": annotations}, "spec": {"template": template}}


def test_deployments_that_do_not_name_exactly_the_pinned_image_are_named() -> None:
    image = f"{WEB}:1.0.1@{GOOD}"
    shops = [deployment("a", image), deployment("b", f"{WEB}:1.0.1"), deployment("c", f"{WEB}:1.0.1@{OTHER}")]
    assert list(findings.pinned(shops[:1], image)) == []
    assert list(findings.pinned(shops, image)) == [f"2 of 3 Deployments do not name {image}: b, c"]
    assert list(findings.pinned([], image)) != [], "nobody at all is no success"


def pod(name: str, *, digest: str = GOOD, ready: bool = True) -> Raw:
    containers = [{"ready": ready, "imageID": f"{WEB}@{digest}"}]
    return {"metadata": {"name": name}, "status": {"containerStatuses": containers}}


def test_pods_that_are_not_ready_or_run_something_else_are_named() -> None:
    starting = {"metadata": {"name": "d"}, "status": {}}
    pods = [pod("a"), pod("b", digest=OTHER), pod("c", ready=False), starting]
    assert list(findings.runs(pods[:1], GOOD)) == []
    assert list(findings.runs(pods, GOOD)) == [f"3 of 4 pods do not run {GOOD}: b, c, d"]
    assert list(findings.runs([], GOOD)) == [f"0 of 0 pods do not run {GOOD}: none"]


def test_a_pod_template_that_came_back_as_another_string_is_not_what_it_was() -> None:
    before = [deployment("a", f"{WEB}:1.0.1@{GOOD}"), deployment("b", f"{WEB}:1.0.1@{GOOD}")]
    after = [deployment("a", f"{WEB}@{GOOD}"), deployment("b", f"{WEB}:1.0.1@{GOOD}", other="x")]
    assert list(findings.same_templates(before, before)) == []
    assert list(findings.same_templates(before, after)) == ["1 Deployments have another pod template than before: a"]
    assert list(findings.same_templates(before, after[1:])) != []


def test_a_record_that_was_left_on_a_deployment_is_found() -> None:
    left = deployment("a", WEB, **{"patchwright.dev/state": "{}"})
    assert list(findings.marks([left, deployment("b", WEB)])) == ["still carry the annotation patchwright.dev/state: a"]
    assert list(findings.marks([deployment("b", WEB)])) == []


def written(name: str, **fields: Any) -> Raw:
    """Give a Deployment by who owns which fields of it."""
    managed = [{"manager": who.replace("_", "-"), "fieldsV1": what} for who, what in fields.items()]
    return {"metadata": {"name": name, "managedFields": managed}}


def test_an_image_that_somebody_else_wrote_into_the_cluster_is_found() -> None:
    image: Raw = {"f:spec": {"f:image": {}}}
    other: Raw = {"f:metadata": {"f:annotations": {}, "f:imagePullPolicy": {}}}
    good = written("api", kustomize_controller=image, patchwright=other)
    assert list(findings.written_by([good], "kustomize-controller")) == []
    bad = written("api", kustomize_controller=other, patchwright=image)
    assert list(findings.written_by([good, bad], "kustomize-controller")) == [
        "the image of api was written by patchwright instead of kustomize-controller"
    ]


def test_commits_are_those_that_were_expected_and_no_more() -> None:
    def told(*subjects: str) -> list[str]:
        return list(findings.committed(subjects, ["Set", "Put back"]))

    assert told("Set web to 2", "Put back web to 1") == []
    assert told("Put back web to 1", "Set web to 2") != []
    assert told("Set web to 2", "Put back web to 1", "Set web to 2") == [
        "the commits are Set web to 2, Put back web to 1, Set web to 2 instead of one for each of: Set, Put back"
    ]
    assert told("Set web to 2") == ["the commits are Set web to 2 instead of one for each of: Set, Put back"]


def test_a_commit_that_changes_more_than_the_bytes_of_the_image_is_found() -> None:
    def told(gone: list[str], come: list[str], **more: tuple[list[str], list[str]]) -> list[str]:
        return list(findings.image_alone({"a.yaml": (gone, come), **more}, old="web:1", new="web:2"))

    assert told(['  image: "web:1"  # ours'], ['  image: "web:2"  # ours']) == []
    assert told(['  image: "web:1"  # ours'], ["  image: web:2"]) == [
        "a.yaml was changed in more than web:1 becoming web:2: image: web:2"
    ]
    assert told(["image: web:3"], ["image: web:3"]) != [], "nor is a line that has no image of ours"
    wrong = "4 lines of 2 files differ instead of one that is another: a.yaml, b"
    assert told(["image: web:1"], ["image: web:2"], b=(["image: web:1"], ["image: web:2"])) == [wrong]
    assert told(["image: web:1", "x: 1"], ["image: web:2"]) != []


def following(**image: Any) -> Raw:
    told = {"scannedAt": "2026-11-25T12:00:01Z", "verdict": "Refused", "reason": "FailedBefore", **image}
    return {"metadata": {"name": "storefront"}, "status": {"images": [told]}}


def test_not_tried_again_needs_a_later_look_no_other_rollout_and_the_word_for_why() -> None:
    def told(policy: Raw, *after: Raw) -> list[str]:
        return list(findings.not_tried_again(policy, [of_image()], after, since=SINCE))

    assert told(following(), of_image()) == []
    old = "PatchPolicy storefront has not looked at the registry since 12:00:00"
    assert told(following(scannedAt="2026-11-25T12:00:00Z"), of_image()) == [old]
    again = {"metadata": {"name": "web-1.0.2"}}
    assert told(following(), of_image(), again) == ["PatchPolicy storefront has proposed again: web-1.0.2"]
    (word,) = told(following(verdict="Update", reason="Newer", message="1.0.2"), of_image())
    assert word == "PatchPolicy storefront says Update (Newer) instead of Refused (FailedBefore): 1.0.2"
    assert len(told({"metadata": {"name": "storefront"}}, of_image())) == 2, "nor does silence count"


def test_long_lists_are_cut_with_their_rest_counted() -> None:
    assert findings.listed([f"n{number}" for number in range(8)]) == "n0, n1, n2, n3, n4 and 3 more"
