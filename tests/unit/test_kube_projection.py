"""What a raw node says, through the eyes of a policy."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from patchwright.adapters.kube import projection
from patchwright.adapters.kube.projection import Lens
from patchwright.domain.model import Selector
from patchwright.domain.nodes.record import encode
from patchwright.domain.nodes.view import NodeView
from support import raw_objects, rollouts

LENS = Lens("workers", Selector())


def seen(lens: Lens = LENS, **given: Any) -> NodeView:
    return projection.view(projection.node(raw_objects.node(**given)), lens, {})


@pytest.mark.parametrize(
    ("status", "ready", "why"), [("True", True, ""), ("False", False, "kubelet"), ("Unknown", False, "kubelet")]
)
def test_only_a_true_ready_condition_is_ready(status: str, ready: bool, why: str) -> None:
    node = seen(ready=status)
    assert (node.ready, node.not_ready_why) == (ready, why)
    assert node.ready_since == datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(("status", "unreachable"), [("True", False), ("False", False), ("Unknown", True)])
def test_a_node_of_which_nobody_knows_whether_it_is_ready_is_unreachable(status: str, unreachable: bool) -> None:
    assert seen(ready=status).unreachable is unreachable


def test_a_node_that_has_no_condition_yet_is_not_ready() -> None:
    raw = raw_objects.node()
    del raw["status"]
    node = projection.view(projection.node(raw), LENS, {})
    assert (node.ready, node.boot_id) == (False, "")
    assert "no Ready condition" in node.not_ready_why


@pytest.mark.parametrize("role", ["control-plane", "master"])
def test_control_plane_nodes_go_one_at_a_time(role: str) -> None:
    node = seen(labels={f"node-role.kubernetes.io/{role}": ""})
    assert (node.control_plane, node.order.one_at_a_time) == (True, True)


def test_the_operator_s_own_node_is_last() -> None:
    assert seen(Lens("workers", Selector(), own_node="n1")).order.last
    assert not seen(Lens("workers", Selector(), own_node="n2")).order.last


@pytest.mark.parametrize(("risk", "rank"), [("low", 0), ("normal", 1), ("high", 2), ("extreme", 1), (None, 1)])
def test_the_risk_label_orders_and_an_unknown_one_is_normal(risk: str | None, rank: int) -> None:
    assert seen(labels={"patchwright.dev/risk": risk} if risk else {}).order.risk == rank


def test_the_domain_is_the_zone_or_what_the_policy_s_topology_key_says() -> None:
    labels = {"topology.kubernetes.io/zone": "a", "example.org/rack": "r7"}
    assert seen(labels=labels).order.domain == "a"
    assert seen(Lens("workers", Selector(), topology_key="example.org/rack"), labels=labels).order.domain == "r7"


def test_the_policy_s_label_says_what_is_installed_or_opts_out() -> None:
    assert seen(labels={"plan.patchwright.dev/workers": "c0ffee"}).installed == "c0ffee"
    out = seen(labels={"plan.patchwright.dev/workers": "disabled"})
    assert (out.installed, out.opted_out) == (None, "label plan.patchwright.dev/workers=disabled")
    assert seen(labels={"plan.patchwright.dev/others": "disabled"}).opted_out == ""


def test_the_paused_annotation_must_be_true() -> None:
    assert seen(annotations={"patchwright.dev/paused": "true"}).paused
    assert not seen(annotations={"patchwright.dev/paused": "false"}).paused


@pytest.mark.parametrize(
    ("given", "who"),
    [
        ({"annotations": {"weave.works/kured-reboot-in-progress": "2026"}}, "kured"),
        ({"annotations": {"machineconfiguration.openshift.io/state": "Working"}}, "the OpenShift Machine"),
        ({"annotations": {"flatcar-linux-update.v1.flatcar-linux.net/reboot-in-progress": "true"}}, "the Flatcar"),
        ({"labels": {"tuppr.home-operations.com/upgrading": "x"}}, "tuppr"),
        ({"taints": [{"key": "karpenter.sh/disrupted"}]}, "Karpenter"),
        ({"taints": [{"key": "ToBeDeletedByClusterAutoscaler"}]}, "the cluster autoscaler"),
        ({"taints": [{"key": "DeletionCandidateOfClusterAutoscaler"}]}, "the cluster autoscaler"),
    ],
    ids=str,
)  # fmt: skip
def test_another_actor_s_mark_makes_a_node_busy_and_names_the_actor(given: dict[str, Any], who: str) -> None:
    assert seen(**given).foreign.startswith(who)


@pytest.mark.parametrize(
    "given",
    [
        {"annotations": {"weave.works/kured-most-recent-reboot-needed": "2026"}},
        {"annotations": {"machineconfiguration.openshift.io/state": "Done"}},
        {"labels": {"plan.upgrade.cattle.io/agents": "hash"}},
        {"taints": [{"key": "node-role.kubernetes.io/control-plane"}]},
    ],
    ids=str,
)
def test_marks_of_the_past_are_no_work(given: dict[str, Any]) -> None:
    assert seen(**given).foreign == ""


def test_the_record_is_read_whoever_s_it_is_and_a_broken_one_is_told() -> None:
    record = rollouts.record("uid-of-another")
    assert seen(annotations={"patchwright.dev/state": encode(record)}).record == record
    broken = seen(annotations={"patchwright.dev/state": "{by hand"})
    assert (broken.record, "JSON" in broken.record_fault) == (None, True)


def test_a_heartbeat_is_no_news_and_shares_everything_with_what_was_known() -> None:
    before = projection.node(raw_objects.node(version=1, labels={"a": "b"}))
    after = projection.node(raw_objects.node(version=2, labels={"a": "b"}), before)
    assert after == before
    assert after.resource_version == "2"
    assert after.labels is before.labels


def test_another_boot_id_is_news() -> None:
    assert projection.node(raw_objects.node()) != projection.node(raw_objects.node(boot_id="boot-2"))
