"""What a decision costs, without any cluster: one in the middle of a large rollout, and a first plan."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial

from bench.report import Line, Section, within
from patchwright.domain import waves
from patchwright.domain.decide import decide
from patchwright.domain.nodes.record import Mark
from patchwright.domain.snapshot import Snapshot
from patchwright.domain.state import RolloutState
from patchwright.sandbox import progress
from support import builders

DECIDE_MS, DECIDE_AT = 50.0, 5_000
PLAN_S, PLAN_AT = 1.0, 100_000
# Per item, the largest size may cost this much more than the smallest: caches are finite, quadratics are not.
LINEAR = 1.5
ZONES = 9


def bench(show: progress.Progress, *, quick: bool) -> list[Section]:
    """Measure both, each at growing sizes."""
    decisions, plans = [1_000, 2_000, 5_000, 10_000], [10_000, 20_000, 50_000, 100_000]
    kept = 3 if quick else 4
    return [_decide(show, decisions[:kept]), _plan(show, plans[:kept])]


def _decide(show: progress.Progress, sizes: list[int]) -> Section:
    found: dict[int, float] = {}
    for size in sizes:
        show.step(f"decide for {size:,} nodes in the middle of a rollout")
        snapshot = _midway(size)
        found[size] = _best(partial(decide, snapshot), times=15)
    lines = [
        Line(
            (f"{size:,}", f"{1e3 * took:.1f} ms", f"{1e6 * took / size:.2f} µs"),
            f"< {DECIDE_MS:.0f} ms" if size == DECIDE_AT else "",
            within(1e3 * took, DECIDE_MS) if size == DECIDE_AT else None,
        )
        for size, took in found.items()
    ]
    title = "One decision in the middle of a rollout, 10 % of the nodes at work"
    return Section("decide", title, ("nodes", "time", "per node"), (*lines, _growth(found)), {"seconds": found})


def _plan(show: progress.Progress, sizes: list[int]) -> Section:
    found: dict[int, float] = {}
    for size in sizes:
        show.step(f"First plan for {size:,} targets")
        snapshot = builders.snapshot(*_fresh(size), policy=builders.policy(), state=RolloutState())
        found[size] = _best(partial(_planned, snapshot), times=3)
    lines = [
        Line(
            (f"{size:,}", f"{took:.2f} s", f"{1e6 * took / size:.2f} µs"),
            f"< {PLAN_S:.0f} s" if size == PLAN_AT else "",
            within(took, PLAN_S) if size == PLAN_AT else None,
        )
        for size, took in found.items()
    ]
    title = "First decision and plan: every target looked at, waves sized, canaries and fleet put in order"
    return Section("plan", title, ("targets", "time", "per target"), (*lines, _growth(found)), {"seconds": found})


def _planned(snapshot: Snapshot) -> object:
    return decide(snapshot), waves.canary_order(snapshot.targets), waves.fleet_order(snapshot.targets)


def _growth(found: dict[int, float]) -> Line:
    small, large = min(found), max(found)
    ratio = (found[large] / large) / (found[small] / small)
    text = f"per item, {large:,} against {small:,}"
    return Line((text, f"{ratio:.2f}", ""), f"≤ {LINEAR} (linear)", within(ratio, LINEAR))


def _best(call: Callable[[], object], *, times: int) -> float:
    """Give the fastest of several calls, by this thread's CPU time: what others do to the machine is not measured."""
    call()
    gc.collect()
    taken = []
    for _ in range(times):
        began = time.thread_time()
        call()
        taken.append(time.thread_time() - began)
    return statistics.median(sorted(taken)[: max(1, times // 2)])


def _fresh(count: int) -> Iterator[builders.NodeBuilder]:
    for number in range(count):
        yield builders.node(f"node-{number:06d}").zone(f"zone-{number % ZONES}").labels(pool="workers")


def _midway(count: int) -> Snapshot:
    """Half is done; a tenth is at work, in all its stages; the rest waits for its turn."""
    nodes = [_aged(made, number, count) for number, made in enumerate(_fresh(count))]
    return builders.snapshot(*nodes, policy=builders.policy(max_unavailable="15%"), state={"wave": 1})


def _aged(made: builders.NodeBuilder, number: int, count: int) -> builders.NodeBuilder:
    if number < count // 2:
        return made.record(Mark.DONE, wave=int(number > 0), seconds=600).uncordoned()
    if number < count * 6 // 10:
        return made.record(Mark.DRAINING if number % 2 else Mark.APPLYING, wave=1, seconds=5)
    return made
