"""A rollout as a story that a person can read: what it said when, what it did, and how everything stood at the end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from patchwright.domain.state import RolloutState
from support.simulator import loop
from support.simulator.calls import Wire
from support.simulator.cluster import PEOPLE, Circumstances, Cluster, Result, Scenario
from support.simulator.hardware import KUBELET
from support.simulator.outside import Event
from support.simulator.server import Change
from support.simulator.things import Node, Policy, Rollout, Workload

TOLD = 16
# Requests that say nothing to a reader: reads, and the status writes that are lines of their own.
QUIET = ("read", "list pods", "list volumes", "save", "hold")


@dataclass(slots=True)
class Transcript:
    """Collects the lines while the cluster runs."""

    cluster: Cluster
    lines: list[str] = field(default_factory=list)
    _did: dict[str, list[str]] = field(default_factory=dict)
    _said: dict[str, tuple[str, str]] = field(default_factory=dict)

    def listen(self) -> None:
        """Begin."""
        self.cluster.server.listen(self._changed)
        self.cluster.journal.told = self._event
        self.cluster.wired = self._wired

    def _wired(self, wire: Wire) -> None:
        wire.told = self._call

    def _call(self, name: str) -> None:
        if name.startswith(QUIET):
            return
        what, _, who = name.rpartition(" ")
        if name in ("delete jobs", "remember", "let go"):
            what, who = name, ""
        self._did.setdefault(what, []).append(who)

    def _changed(self, change: Change) -> None:
        if change.kind is Rollout and change.after is not None:
            self._rollout(change)
        elif change.kind is Rollout and change.actor == PEOPLE:
            self._line(f"a person removes the finalizer of the rollout {change.before.key.name} and deletes it")
        elif change.kind is Node:
            self._node(change)
        elif change.kind is Workload and change.actor == PEOPLE:
            self._line(f"a person edits {change.after.told}: {_deed(change)}")
        elif change.kind is Policy and change.actor == PEOPLE and change.before is not None:
            self._line("a person edits the policy" if change.after else "a person deletes the policy")

    def _rollout(self, change: Change) -> None:
        rollout: Rollout = change.after
        if change.before is None:
            self._line(f"a person creates the rollout {rollout.key.name} of version {rollout.spec.change.version}")
            return
        if change.actor == PEOPLE:
            self._line(f"a person edits the rollout: {_edited(change)}")
            return
        state: RolloutState = rollout.state
        if state == change.before.state:
            return
        said = (state.phase.value, state.message)
        if said != self._said.get(rollout.key.name):
            self._said[rollout.key.name] = said
            name = "" if rollout.key.name == "kernel-1" else f"[{rollout.key.name}] "
            self._flush()
            self.lines.append(f"{_clock(change.at)}  {name}{state.phase.value:<{TOLD}} {state.message}".rstrip())

    def _node(self, change: Change) -> None:
        if change.after is None:
            self._line(f"{change.before.name} is deleted")
        elif change.before is None:
            self._line(f"{change.after.name} joins")
        elif change.actor == PEOPLE:
            self._line(f"a person edits {change.after.name}: {_difference(change.before, change.after)}")
        elif change.actor == KUBELET and change.before.ready is not change.after.ready:
            self._line(f"{change.after.name} is {'Ready' if change.after.ready else 'NotReady'}")

    def _event(self, event: Event) -> None:
        if event.about.startswith(("node", "Deployment", "StatefulSet", "DaemonSet", "CronJob")):
            kind = "Warning" if event.warning else "Normal"
            self._line(f"event on {event.about}: {kind} {event.reason}: {event.message}")

    def _line(self, text: str) -> None:
        self._flush()
        self.lines.append(f"{_clock(loop.now())}    · {text}")

    def _flush(self) -> None:
        for what, names in self._did.items():
            self.lines.append(f"           > {what} {_counted(names)}".rstrip())
        self._did.clear()

    def text(self, title: str, result: Result) -> str:
        """Give the whole story."""
        self._flush()
        return "\n".join([f"# {title}", "", *self.lines, "", *_ending(result), ""])


def _counted(names: list[str]) -> str:
    count = Counter(name for name in names if name)
    return ", ".join(name if count[name] == 1 else f"{name} ({count[name]} times)" for name in sorted(count))


def _edited(change: Change) -> str:
    before, after = change.before.spec, change.after.spec
    fields = ("paused", "abort", "deleting", "retry")
    names = (name for name in fields if getattr(before, name) != getattr(after, name))
    return ", ".join(f"{name}: {getattr(after, name)}".lower() for name in names)


def _difference(before: Node, after: Node) -> str:
    if before.unschedulable is not after.unschedulable:
        return "cordoned" if after.unschedulable else "uncordoned"
    if before.ready is not after.ready:
        return "Ready" if after.ready else "NotReady"
    return "labels" if before.labels != after.labels else "annotations"


def _clock(at: datetime) -> str:
    seconds = (at - loop.EPOCH).total_seconds()
    return f"{int(seconds // 60):>4}:{seconds % 60:04.1f}"


def _ending(result: Result) -> list[str]:
    lines = ["In the end:"]
    for name, state in result.states.items():
        lines.extend(f"  {line}" for line in _state(name, state))
    lines.extend(f"  remembered: version {f.version} failed in {f.rollout}: {f.message}" for f in result.remembered)
    for image in sorted(set(result.images.values())):
        names = sorted(name for name, on in result.images.items() if on == image)
        lines.append(f"  {_short(image)} is on {', '.join(names)}")
    if result.images:
        return lines
    for version in sorted(set(result.disks.values())):
        nodes = sorted(name for name, on in result.disks.items() if on == version)
        lines.append(f"  {version} is on {', '.join(nodes)}")
    lines.append(f"  cordoned: {', '.join(sorted(result.cordoned)) or 'none'}; Jobs left: {result.jobs}")
    return lines


def _short(image: str) -> str:
    """Cut a digest, as people do when they talk of one."""
    name, at, digest = image.partition("@")
    return f"{name}{at}{digest[:14]}"


def _deed(change: Change) -> str:
    before: Workload = change.before
    after: Workload = change.after
    if before.images != after.images:
        return f"image {_short(after.image)}"
    if before.paused is not after.paused:
        return "paused" if after.paused else "resumed"
    return "labels" if before.labels != after.labels else "annotations"


def _state(name: str, state: RolloutState) -> list[str]:
    counts = state.counts
    told = [
        f"{name}: {state.phase.value}: {state.message}",
        f"  total {counts.total}, updated {counts.updated}, failed {counts.failed}, restored {counts.restored}",
        f"  skipped {counts.skipped}, quarantined {counts.quarantined}, unavailable {counts.unavailable}",
    ]
    told.extend(f"  {each.type}={each.status} {each.reason}: {each.message}" for each in state.conditions)
    for kind in ("failed", "skipped", "quarantined", "vanished"):
        told.extend(f"  {kind}: {note.name}: {note.reason}: {note.message}" for note in getattr(state, kind))
    return told


def tell(title: str, scenario: Scenario) -> tuple[str, Result]:
    """Run a scenario without faults and tell its story."""

    async def main() -> tuple[str, Result]:
        cluster = Cluster(scenario, Circumstances())
        story = Transcript(cluster)
        cluster.built = story.listen
        result = await cluster.play()
        return story.text(title, result), result

    return loop.run(main())
