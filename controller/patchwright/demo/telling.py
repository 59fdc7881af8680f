"""From a PatchRollout and the nodes to what is shown; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from patchwright.demo.cluster import Raw, name_of, uid_of
from patchwright.domain.nodes import record
from patchwright.domain.workloads import record as workload_record

_ZONE: Final = "topology.kubernetes.io/zone"
STATE: Final = "patchwright.dev/state"


@dataclass(frozen=True, slots=True)
class Step:
    """One wave: how many nodes it has, and how many of them are patched."""

    name: str
    size: int
    done: int


@dataclass(frozen=True, slots=True)
class Glance:
    """A rollout at one moment; ``steps`` is empty until there is a plan."""

    phase: str
    message: str
    wave: str
    steps: tuple[Step, ...]
    counts: dict[str, int]

    @property
    def numbers(self) -> str:
        """Give the counts that are not zero, the total first."""
        told = [f"{self.counts[name]} {word}" for name, word in _WORDS if self.counts.get(name)]
        return ", ".join([f"{self.counts.get('updated', 0)}/{self.counts.get('total', 0)} patched", *told])


_WORDS: Final = (
    ("inFlight", "in flight"),
    ("failed", "failed"),
    ("restored", "put back"),
    ("skipped", "skipped"),
    ("quarantined", "quarantined"),
)


def glance(rollout: Raw) -> Glance:
    """Read a rollout's status."""
    status = rollout.get("status") or {}
    counts = {name: value for name, value in (status.get("counts") or {}).items() if isinstance(value, int)}
    wave = status.get("wave") or {}
    steps = _steps(status.get("plan") or {}, index=wave.get("index", 0), updated=counts.get("updated", 0))
    return Glance(
        status.get("phase", "Pending"), status.get("message", ""), wave.get("name", ""), steps=steps, counts=counts
    )


def _steps(plan: Raw, *, index: int, updated: int) -> tuple[Step, ...]:
    found: list[Step] = []
    left, unclaimed = updated, plan.get("total", 0)
    for number, wave in enumerate(plan.get("waves") or ()):
        size = min(wave.get("size", unclaimed), unclaimed)
        # Waves follow each other, so what is patched belongs to the first ones; a wave to come has nothing yet.
        done = min(left, size) if number <= index else 0
        found.append(Step(wave["name"], size, done))
        left, unclaimed = left - done, unclaimed - size
    return tuple(found)


class Cell(StrEnum):
    """What is shown of one node."""

    WAITING = "waiting"
    DRAINING = "draining"
    PATCHING = "patching"
    PATCHED = "patched"
    FAILED = "failed"
    RESTORING = "putting back"
    CORDONED = "cordoned"


_CELLS: Final = {
    record.Mark.PREPARING: Cell.WAITING,
    record.Mark.PREPARED: Cell.WAITING,
    record.Mark.DRAINING: Cell.DRAINING,
    record.Mark.APPLYING: Cell.PATCHING,
    record.Mark.DONE: Cell.PATCHED,
    record.Mark.FAILED: Cell.FAILED,
    record.Mark.UNDRAINING: Cell.RESTORING,
    record.Mark.REVERTING: Cell.RESTORING,
    record.Mark.RESTORED: Cell.WAITING,
    record.Mark.QUARANTINED: Cell.FAILED,
}


def cells(nodes: Iterable[Raw], *, label: str, change: str) -> dict[str, list[Cell]]:
    """Give the nodes by zone, in the order of their names."""
    found: dict[str, list[Cell]] = {}
    for node in sorted(nodes, key=name_of):
        zone = node["metadata"]["labels"].get(_ZONE, "")
        found.setdefault(zone, []).append(_cell(node, label, change))
    return dict(sorted(found.items()))


def _cell(node: Raw, label: str, change: str) -> Cell:
    text = (node["metadata"].get("annotations") or {}).get(STATE)
    if text is not None:
        return _CELLS[record.decode(text).mark]
    if node["metadata"]["labels"].get(label) == change:
        return Cell.PATCHED
    return Cell.CORDONED if node["spec"].get("unschedulable") else Cell.WAITING


def shop_cells(deployments: Iterable[Raw], *, digest: str) -> dict[str, list[Cell]]:
    """Give the Deployments by namespace, in the order of their names."""
    found: dict[str, list[Cell]] = {}
    for each in sorted(deployments, key=name_of):
        found.setdefault(each["metadata"]["namespace"], []).append(_shop_cell(each, digest))
    return found


def _shop_cell(deployment: Raw, digest: str) -> Cell:
    text = (deployment["metadata"].get("annotations") or {}).get(STATE)
    if text is not None:
        return _SHOP_CELLS[workload_record.decode(text).mark]
    images = [each["image"] for each in deployment["spec"]["template"]["spec"]["containers"]]
    return Cell.PATCHED if any(image.endswith(f"@{digest}") for image in images) else Cell.WAITING


_SHOP_CELLS: Final = {
    workload_record.Mark.SAMPLING: Cell.PATCHING,
    workload_record.Mark.SAMPLED: Cell.PATCHING,
    workload_record.Mark.APPLYING: Cell.PATCHING,
    workload_record.Mark.DONE: Cell.PATCHED,
    workload_record.Mark.FAILED: Cell.FAILED,
    workload_record.Mark.REVERTING: Cell.RESTORING,
    workload_record.Mark.RESTORED: Cell.WAITING,
    workload_record.Mark.QUARANTINED: Cell.FAILED,
}


def news(events: Iterable[Raw], rollout: Raw, known: set[str]) -> list[str]:
    """Give what went wrong with nodes or workloads and what was put back, once each, oldest first; ``known`` grows."""
    key = f"{rollout['metadata']['namespace']}/{name_of(rollout)}"
    fresh = [event for event in events if uid_of(event) not in known and _notable(event, key)]
    known.update(uid_of(event) for event in fresh)
    return [_told(event) for event in sorted(fresh, key=lambda event: str(event.get("eventTime")))]


_NOTABLE: Final = frozenset({"PatchFailed", "RolledBack", "Quarantined"})
_TARGETS: Final = frozenset({"Node", "Deployment"})


def _notable(event: Raw, rollout: str) -> bool:
    about_target = event["regarding"].get("kind") in _TARGETS
    # Whole words: the name of one rollout may be the beginning of another's.
    by_this = f"by rollout {rollout}:" in f"{event.get('note', '')}:"
    return about_target and event["reason"] in _NOTABLE and by_this


def _told(event: Raw) -> str:
    return f"{event['regarding']['name']}: {event['note']}"


def steps_line(steps: Sequence[Step]) -> str:
    """Give the waves in one line: ``canary 3/3, wave 1 2/6, rest 0/51``."""
    return ", ".join(f"{step.name} {step.done}/{step.size}" for step in steps)
