"""A whole fleet patched beside the floor script, in one run on one control plane; and what it asked the API server."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import audit, floor, stage
from bench.process import OperatorProcess, Usage
from bench.report import Line, Section, within
from patchwright.sandbox import progress

FLOOR_RATIO = 1.5
REQUESTS = 8
# Seconds that system-upgrade-controller took for 200 nodes, 20 at a time, on the reference machine (DESIGN, budgets).
SUC_200 = 125.0
SUC_RATIO = 4.0


@dataclass(frozen=True, slots=True)
class Size:
    """How many nodes, how many at a time, and how long it may take before it is given up."""

    nodes: int
    parallel: int

    @property
    def patience(self) -> float:
        return 120.0 + self.nodes

    def __str__(self) -> str:
        return f"{self.nodes:,} nodes, {self.parallel} at a time"


@dataclass(frozen=True, slots=True)
class Run:
    """One rollout: seconds until every node was patched, and until nothing of ours was left (``Succeeded``)."""

    patched: float
    ended: float
    before: Usage
    after: Usage
    requests: audit.Requests


def bench(size: Size, show: progress.Progress, *, profile: Path | None = None) -> list[Section]:
    """Measure one size; the floor goes before and after, and the faster of both counts."""
    with stage.raised(size.nodes, show) as on:
        nodes = [node["metadata"]["name"] for node in on.api.items("/api/v1/nodes")]
        show.step(f"Floor script, {size}")
        floors = [floor.run(on, nodes, parallel=size.parallel, name="floor-before")]
        show.step(f"Operator, {size}")
        with on.operator(profile) as operator:
            run = _rollout(on, operator, size)
        show.step(f"Floor script again, {size}")
        floors.append(floor.run(on, nodes, parallel=size.parallel, name="floor-after"))
    return [_times(size, run, floors), _requests(size, run)]


def _rollout(on: stage.Stage, operator: OperatorProcess, size: Size) -> Run:
    sight = stage.Sight(on.api, f"{stage.OURS}/patchrollouts")
    sight.start(stage.phases)
    on.create("patchpolicies", stage.policy("bench", max_unavailable=size.parallel))
    time.sleep(2)  # Whatever the start still does belongs to no node.
    position, before, began = audit.mark(on.plane.audit_log), operator.usage(), time.monotonic()
    on.create("patchrollouts", stage.rollout("bench-1", policy="bench", version="1.0.1"))
    ended = sight.wait("bench-1 Succeeded", timeout=size.patience)
    after = operator.usage()
    patched = sight.wait(f"bench-1 updated {size.nodes}", timeout=1)
    time.sleep(2)  # The audit log is written in batches, and events after the fact.
    return Run(patched - began, ended - began, before, after, audit.since(on.plane.audit_log, position))


def _times(size: Size, run: Run, floors: list[float]) -> Section:
    best, cpu = min(floors), run.after.cpu - run.before.cpu
    ratio = run.ended / best
    lines = [
        Line(("floor script, s (before, after)", ", ".join(f"{took:.1f}" for took in floors))),
        Line(("operator, s, until every node is patched", f"{run.patched:.1f}")),
        Line(("operator, s, until nothing of ours is left", f"{run.ended:.1f}")),
        Line(("operator / floor", f"{ratio:.2f}"), f"≤ {FLOOR_RATIO}", within(ratio, FLOOR_RATIO)),
        Line(("operator CPU, ms per node", f"{1000 * cpu / size.nodes:.1f}")),
        Line(("operator CPU, share of the time", f"{cpu / run.ended:.0%}")),
        Line(("operator memory, MiB at most", f"{run.after.peak / 2**20:.0f}")),
    ]
    if size.nodes == 200:
        faster = SUC_200 / run.ended
        text = f"times as fast as system-upgrade-controller ({SUC_200:.0f} s on the reference machine)"
        lines.insert(4, Line((text, f"{faster:.1f}"), f"≥ {SUC_RATIO:.0f}", faster >= SUC_RATIO))
    numbers: dict[str, Any] = {
        "nodes": size.nodes,
        "parallel": size.parallel,
        "floor_s": floors,
        "patched_s": run.patched,
        "ended_s": run.ended,
        "ratio": ratio,
        "cpu_s": cpu,
        "peak_bytes": run.after.peak,
    }
    return Section(f"rollout-{size.nodes}", f"Rollout of {size}", ("what", "measured"), tuple(lines), numbers)


def _requests(size: Size, run: Run) -> Section:
    found, nodes = run.requests, size.nodes
    each = found.ours.total() / nodes
    lines = [
        Line((kind, f"{count}", f"{count / nodes:.2f}"))
        for kind, count in found.ours.most_common()
        if count > nodes / 50
    ]
    rest = sum(count for count in found.ours.values() if count <= nodes / 50)
    lines += [
        Line(("all the others", f"{rest}", f"{rest / nodes:.2f}")),
        Line(("the operator's work", f"{found.ours.total()}", f"{each:.2f}"), f"≤ {REQUESTS}", within(each, REQUESTS)),
        Line(("leader election (not in the budget)", f"{found.lease.total()}", f"{found.lease.total() / nodes:.2f}")),
        Line(("watches (not in the budget)", f"{found.watches.total()}", f"{found.watches.total() / nodes:.2f}")),
    ]
    numbers = {"ours": dict(found.ours), "lease": dict(found.lease), "watches": dict(found.watches), "per_node": each}
    title = f"Requests to the API server, {size}, without pods on them"
    columns = ("request (audit log, by user agent)", "count", "per node")
    return Section(f"requests-{size.nodes}", title, columns, tuple(lines), numbers)
