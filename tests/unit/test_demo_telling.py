"""What the demo reads out of a rollout, the nodes and the events."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

from rich import console as rich_console

from patchwright.demo import telling
from patchwright.demo.cluster import Raw
from patchwright.demo.findings import Claim
from patchwright.demo.screen import Mark, Screen
from patchwright.demo.telling import Cell, Step
from patchwright.domain.nodes import record
from patchwright.domain.workloads import record as workload_record

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PLAN = {
    "total": 10,
    "waves": [{"name": "canary", "size": 2}, {"name": "wave 1", "size": 3}, {"name": "rest"}],
}
LABEL = "plan.patchwright.dev/p"


def rollout(**status: Any) -> Raw:
    return {"metadata": {"name": "openssl", "namespace": "ns"}, "status": status}


def test_patched_nodes_fill_the_waves_in_their_order() -> None:
    counts = {"updated": 4, "total": 10, "inFlight": 1, "byStep": {"Draining": 1}}
    now = telling.glance(rollout(phase="Progressing", message="m", plan=PLAN, wave={"index": 1}, counts=counts))
    assert now.steps == (Step("canary", 2, 2), Step("wave 1", 3, 2), Step("rest", 5, 0))
    assert now.numbers == "4/10 patched, 1 in flight"
    assert telling.steps_line(now.steps) == "canary 2/2, wave 1 2/3, rest 0/5"


def test_a_rollout_that_nobody_has_looked_at_yet_is_pending_without_a_plan() -> None:
    now = telling.glance({"metadata": {"name": "x", "namespace": "ns"}})
    assert (now.phase, now.message, now.steps, now.numbers) == ("Pending", "", (), "0/0 patched")


def test_a_plan_larger_than_a_shrunken_fleet_promises_no_more_nodes_than_there_are() -> None:
    small = {**PLAN, "total": 4}
    assert telling.glance(rollout(plan=small)).steps == (Step("canary", 2, 0), Step("wave 1", 2, 0), Step("rest", 0, 0))


def node(name: str, *, mark: record.Mark | None = None, zone: str = "a", change: str = "") -> Raw:
    written = record.encode(record.Record("ns/x", "uid", "c1", mark, 0, NOW, NOW, True)) if mark else ""
    annotations = {"patchwright.dev/state": written} if written else {}
    found = {"topology.kubernetes.io/zone": zone, **({LABEL: change} if change else {})}
    return {"metadata": {"name": name, "labels": found, "annotations": annotations}, "spec": {}}


def test_nodes_are_shown_by_zone_with_what_goes_on_with_each() -> None:
    marks = [record.Mark.DRAINING, record.Mark.APPLYING, record.Mark.DONE, record.Mark.REVERTING]
    nodes = [node(f"n{number}", mark=mark, zone="b") for number, mark in enumerate(marks)]
    other = node("a0", change="c1")
    cordoned = node("a1") | {"spec": {"unschedulable": True}}
    found = telling.cells([*nodes, node("a2"), cordoned, other], label=LABEL, change="c1")
    assert found == {
        "a": [Cell.PATCHED, Cell.CORDONED, Cell.WAITING],
        "b": [Cell.DRAINING, Cell.PATCHING, Cell.PATCHED, Cell.RESTORING],
    }


def test_every_mark_a_node_can_have_has_a_picture() -> None:
    for mark in record.Mark:
        assert telling.cells([node("n", mark=mark)], label=LABEL, change="c1")


def shop(name: str, *, mark: workload_record.Mark | None = None, image: str = "web@sha256:0") -> Raw:
    images = (workload_record.ImageRecord("containers", "app", was="web:1.0.0", to="web@sha256:1"),)
    part = workload_record.Part(1)
    written = workload_record.Record("ns/x", "uid", "c1", mark, 0, NOW, NOW, images=images, part=part) if mark else None
    annotations = {"patchwright.dev/state": workload_record.encode(written)} if written else {}
    template = {"spec": {"containers": [{"image": image}]}}
    metadata = {"name": name, "namespace": "storefront", "annotations": annotations}
    return {"metadata": metadata, "spec": {"template": template}}


def test_deployments_are_shown_in_the_order_of_their_names_by_their_records_and_then_by_their_images() -> None:
    marks = [workload_record.Mark.APPLYING, workload_record.Mark.REVERTING, workload_record.Mark.FAILED]
    shops = [shop(f"web-{number}", mark=mark) for number, mark in enumerate(marks)]
    done = shop("web-3", image="web:1.0.1@sha256:1")
    found = telling.shop_cells([done, shop("web-4"), *shops], digest="sha256:1")
    assert found == {"storefront": [Cell.PATCHING, Cell.RESTORING, Cell.FAILED, Cell.PATCHED, Cell.WAITING]}


def test_every_mark_a_deployment_can_have_has_a_picture() -> None:
    for mark in workload_record.Mark:
        assert telling.shop_cells([shop("web", mark=mark)], digest="sha256:1")


def event(uid: str, reason: str, note: str, *, at: int = 0, kind: str = "Node") -> Raw:
    return {
        "metadata": {"uid": uid},
        "eventTime": f"2026-11-23T12:00:{at:02d}Z",
        "regarding": {"kind": kind, "name": "node-1"},
        "reason": reason,
        "note": note,
    }


def test_what_went_wrong_is_told_once_oldest_first_and_only_of_this_rollout() -> None:
    events = [
        event("2", "RolledBack", "RolledBack by rollout ns/openssl", at=9),
        event("1", "PatchFailed", "PatchFailed by rollout ns/openssl: exit code 1", at=3),
        event("6", "PatchFailed", "could not be patched by rollout ns/openssl", at=10, kind="Deployment"),
        event("3", "Patched", "Patched by rollout ns/openssl"),
        event("4", "RolledBack", "RolledBack by rollout ns/openssl-2"),
        event("5", "RolledBack", "by rollout ns/openssl", kind="PatchRollout"),
    ]
    known: set[str] = set()
    assert telling.news(events, rollout(), known) == [
        "node-1: PatchFailed by rollout ns/openssl: exit code 1",
        "node-1: RolledBack by rollout ns/openssl",
        "node-1: could not be patched by rollout ns/openssl",
    ]
    assert telling.news(events, rollout(), known) == []


def test_without_a_terminal_there_are_plain_lines_however_long() -> None:
    out = io.StringIO()
    screen = Screen(rich_console.Console(file=out, force_terminal=False))
    screen.phase(telling.glance(rollout(phase="Canary", message="starts [node-0] " + "x" * 300)))
    screen.claims([Claim("all is well", ()), Claim("all is well", ("it is not",))])
    screen.line(Mark.GIT, "done")
    with screen.picture():
        screen.paint(telling.glance(rollout()), {}, since=0.0)
    lines = out.getvalue().splitlines()
    assert [line.split("s  ", 1)[1].split()[:2] for line in lines] == [
        ["Canary", "starts"],
        ["ok", "all"],
        ["NOT", "OK"],
        ["git", "done"],
    ]
    assert "[node-0] " + "x" * 300 in lines[0]


def test_on_a_terminal_the_fleet_is_a_picture_that_goes_away() -> None:
    out = io.StringIO()
    screen = Screen(rich_console.Console(file=out, force_terminal=True, width=80))
    zones = telling.cells([node("n0", mark=record.Mark.DRAINING), node("n1")], label=LABEL, change="c1")
    with screen.picture():
        screen.paint(telling.glance(rollout(phase="Canary", message="starts", plan=PLAN)), zones, since=0.0)
    shown = out.getvalue()
    for word in ("Canary", "draining", "waiting", "canary 0/2"):
        assert word in shown
