"""What the operator needs in a large cluster: at rest, and while it patches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bench import stage
from bench.process import MIB, OperatorProcess, Usage
from bench.report import Line, Section, within
from patchwright.sandbox import progress

MEMORY_MIB, MEMORY_AT = 200.0, 5_000
IDLE = 0.02
PARALLEL = 100
# kubelet's nodeStatusMaxImages.
IMAGES = 50


@dataclass(frozen=True, slots=True)
class Size:
    """How large the cluster is, how many nodes are patched in it, and how many seconds of rest are measured."""

    nodes: int
    pods: int = 20_000
    patched: int = 300
    # All nodes report their status once in this time, and not evenly: a shorter look sees a burst, or none at all.
    rest: float = 330.0


@dataclass(frozen=True, slots=True)
class Found:
    """The operator's account at each moment; ``start`` is in seconds, to readiness."""

    start: float
    settled: Usage
    rested: Usage
    patched: Usage


def bench(size: Size, show: progress.Progress) -> list[Section]:
    """Measure one size."""
    with stage.raised(size.nodes, show) as on:
        names = [node["metadata"]["name"] for node in on.api.items("/api/v1/nodes")]
        _report_images(on, names, show)
        on.plane.add_pods(size.pods, names)
        began = time.monotonic()
        with on.operator() as operator:
            found = _watch(on, operator, size, show=show, start=time.monotonic() - began)
    return [_section(size, found)]


def _report_images(on: stage.Stage, names: Sequence[str], show: progress.Progress) -> None:
    """Have every node tell its images, as kubelet does: they are most of a real node, and kwok has none."""
    show.step(f"{len(names):,} nodes tell their images", total=len(names))
    body = {"status": {"images": [_image(number) for number in range(IMAGES)]}}

    def tell(name: str) -> None:
        on.api.patch(f"/api/v1/nodes/{name}/status", body)
        show.advance()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(tell, names))


def _image(number: int) -> dict[str, object]:
    name = f"registry.example.com/platform/team-{number}/application"
    return {"names": [f"{name}@sha256:{number:064x}", f"{name}:1.{number}.0"], "sizeBytes": 100_000_000 + number}


def _watch(on: stage.Stage, operator: OperatorProcess, size: Size, *, show: progress.Progress, start: float) -> Found:
    show.step(f"The operator at rest in {size.nodes:,} nodes and {size.pods:,} pods")
    time.sleep(min(30.0, size.rest))
    settled = operator.usage()
    time.sleep(size.rest)
    rested = operator.usage()
    show.step(f"The operator patches {size.patched} of {size.nodes:,} nodes, {PARALLEL} at a time")
    sight = stage.Sight(on.api, f"{stage.OURS}/patchrollouts")
    sight.start(lambda seen: ["enough"] if _updated(seen) >= size.patched else [])
    # The pods have no controller, so a drain needs to be told that they may go.
    on.create("patchpolicies", stage.policy("bench", max_unavailable=PARALLEL, drain={"force": True}))
    on.create("patchrollouts", stage.rollout("bench-1", policy="bench", version="1.0.1"))
    sight.wait("enough", timeout=600)
    return Found(start, settled, rested, operator.usage())


def _updated(seen: stage.Manifest) -> int:
    return int(((seen.get("status") or {}).get("counts") or {}).get("updated", 0))


def _section(size: Size, found: Found) -> Section:
    idle = (found.rested.cpu - found.settled.cpu) / (found.rested.at - found.settled.at)
    each = 1000 * (found.patched.cpu - found.rested.cpu) / size.patched
    peak = found.patched.peak / MIB
    large = size.nodes >= MEMORY_AT
    lines = (
        Line(("start to readiness, s", f"{found.start:.1f}")),
        Line(("memory at rest, MiB", f"{found.rested.rss / MIB:.0f}")),
        Line(("memory at most, start included, MiB", f"{found.rested.peak / MIB:.0f}")),
        Line(
            (f"memory at most after {size.patched} nodes were patched, MiB", f"{peak:.0f}"),
            f"< {MEMORY_MIB:.0f}" if large else "",
            within(peak, MEMORY_MIB) if large else None,
        ),
        Line(("CPU at rest, % of a core", f"{100 * idle:.2f}"), f"< {100 * IDLE:.0f}", within(idle, IDLE)),
        Line(("CPU per patched node with its pods, ms", f"{each:.0f}")),
    )
    numbers = {
        "nodes": size.nodes,
        "pods": size.pods,
        "start_s": found.start,
        "rest_bytes": found.rested.rss,
        "start_peak_bytes": found.rested.peak,
        "peak_bytes": found.patched.peak,
        "idle_cpu": idle,
        "cpu_ms_per_node": each,
    }
    title = f"The operator in {size.nodes:,} nodes and {size.pods:,} pods"
    note = f"Nodes report {IMAGES} images and, every five minutes, their status, as kubelet does; leases go on."
    return Section(f"scale-{size.nodes}", title, ("what", "measured"), lines, numbers, note)
