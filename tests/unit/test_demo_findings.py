"""The demo's claims fail when they should: each is shown the fault that it is there for."""

from __future__ import annotations

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


def test_long_lists_are_cut_with_their_rest_counted() -> None:
    assert findings.listed([f"n{number}" for number in range(8)]) == "n0, n1, n2, n3, n4 and 3 more"
