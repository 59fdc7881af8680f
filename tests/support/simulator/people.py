"""What people and other machines do to the fleet, in the middle of everything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any

from patchwright.domain import survey
from patchwright.domain.model import Change, ImagesChange, Key, PatchPolicy, PatchRollout, Quantity, ScriptChange
from patchwright.domain.nodes import labels as own
from patchwright.domain.nodes import marks
from patchwright.domain.state import TERMINAL, RolloutState
from patchwright.domain.targets import STATE_ANNOTATION
from support.simulator import loop
from support.simulator.things import Job, Node, Policy, Rollout, Workload

if TYPE_CHECKING:
    from support.simulator.cluster import Cluster

ACTOR = "people"
MISSPELT = """metadata.annotations[patchwright.dev/abort]: must be "true" or "false"; got 'yes'"""
Act = Callable[[], None]


@dataclass(slots=True)
class People:
    """Acts on one cluster; what does not exist any more is left alone, as a person would."""

    cluster: Cluster

    def node(self, name: str, **fields: Any) -> None:
        """Change a node."""
        found = self.cluster.server.get(Node, name)
        if found is not None:
            self.cluster.server.update(ACTOR, found, **fields)

    def workload(self, key: str, **fields: Any) -> None:
        """Change a workload, as kubectl would: a new template or a pause is a new generation."""
        found = self.cluster.server.get(Workload, key)
        if found is not None:
            self.cluster.server.update(ACTOR, found, generation=found.generation + 1, **fields)

    def annotate_workload(self, key: str, text: str | None) -> None:
        """Write or remove our annotation on a workload by hand."""
        found = self.cluster.server.get(Workload, key)
        if found is None:
            return
        notes = {name: value for name, value in found.annotations.items() if name != STATE_ANNOTATION}
        if text is not None:
            notes[STATE_ANNOTATION] = text
        if found.record is not None:
            self.cluster.stripped.add(found.told)
        self.workload(key, annotations=notes)

    def remove_workload(self, key: str) -> None:
        """Delete a workload."""
        found = self.cluster.server.get(Workload, key)
        if found is not None:
            self.cluster.server.delete(ACTOR, found)

    def set_image(self, key: str, image: str) -> None:
        """Run kubectl set image."""
        self.workload(key, images=(("app", image),))

    def cordon(self, name: str) -> None:
        """Run kubectl cordon."""
        self.node(name, unschedulable=True)

    def uncordon(self, name: str) -> None:
        """Run kubectl uncordon."""
        self.node(name, unschedulable=False)

    def annotate(self, name: str, text: str | None) -> None:
        """Write or remove our annotation by hand."""
        found = self.cluster.server.get(Node, name)
        if found is None:
            return
        notes = {key: value for key, value in found.annotations.items() if key != STATE_ANNOTATION}
        if text is not None:
            notes[STATE_ANNOTATION] = text
        elif found.record is not None:
            self.cluster.stripped.add(name)
        if found.record is not None and not self._told_to_be_at_work(found, found.record.rollout_uid):
            self.cluster.unheard.add(name)
        self.cluster.server.update(ACTOR, found, annotations=notes)

    def _told_to_be_at_work(self, node: Node, rollout_uid: str) -> bool:
        """Tell whether a status says that something is under way there, as the next operator will read it."""
        state = next((one.state for one in self.cluster.server.all(Rollout) if one.uid == rollout_uid), RolloutState())
        return any(note.uid == node.uid and note.step not in survey.CLAIMED for note in state.in_flight)

    def garble(self, name: str) -> None:
        """Break the annotation by hand, where there is one."""
        found = self.cluster.server.get(Node, name)
        if found is not None and found.record is not None:
            self.cluster.stripped.add(name)
            self.annotate(name, found.annotations[STATE_ANNOTATION][:-7])

    def label(self, name: str, key: str, value: str | None) -> None:
        """Set or remove a label."""
        found = self.cluster.server.get(Node, name)
        if found is not None:
            labels = {known: text for known, text in found.labels.items() if known != key}
            self.cluster.server.update(
                ACTOR, found, labels=labels if value is None else {**labels, key: value}
            )  # fmt: skip

    def opt_out(self, name: str) -> None:
        """Keep a node out."""
        found = self.cluster.server.get(Node, name)
        key = marks.label(self.cluster.scenario.policy.key.name)
        if found is not None and found.record is None and key not in found.labels:
            self.label(name, key, "disabled")

    def exclude(self, name: str, value: str | None = "true") -> None:
        """Take a node out of load balancers by hand, or let them use it whoever took it out (``None``)."""
        self.label(name, own.EXCLUDE, value)

    def remove(self, name: str) -> None:
        """Delete a node."""
        found = self.cluster.server.get(Node, name)
        if found is not None:
            self.cluster.server.delete(ACTOR, found)

    def delete_job(self, random: Random) -> None:
        """Delete some Job of ours by hand."""
        jobs = sorted((job.name for job in self.cluster.server.all(Job) if not job.deleting), key=str)
        if not jobs:
            return
        job = self.cluster.server.need(Job, random.choice(jobs))
        self.cluster.deleted_jobs.add((job.node, job.step))
        self.cluster.hardware.stop(job)
        self.cluster.server.update(ACTOR, job, deleting=True)

    def rollout(self, name: str = "kernel-1", **fields: Any) -> None:
        """Edit a rollout."""
        key = Key(self.cluster.scenario.policy.key.namespace, name)
        found = self.cluster.server.get(Rollout, key)
        if found is not None:
            spec: PatchRollout = replace(found.spec, generation=found.spec.generation + 1, **fields)
            self.cluster.server.update(ACTOR, found, spec=spec)
            if fields.get("deleting") and not found.finalizer:
                self.cluster.server.delete(ACTOR, self.cluster.server.need(Rollout, key))

    def misspell(self, name: str = "kernel-1", *, corrected: bool = False) -> None:
        """Write something into a flag of a rollout that is neither yes nor no, or correct that."""
        found = self.cluster.server.get(Rollout, Key(self.cluster.scenario.policy.key.namespace, name))
        if found is not None:
            faults = () if corrected else (MISSPELT,)
            self.cluster.server.update(ACTOR, found, faults=faults)

    def tear(self, name: str = "kernel-1") -> None:
        """Remove a rollout's finalizer by hand and delete it: nothing of it is undone."""
        found = self.cluster.server.get(Rollout, Key(self.cluster.scenario.policy.key.namespace, name))
        if found is not None:
            self.cluster.torn[found.uid] = (loop.now(), found)
            self.cluster.server.delete(ACTOR, found)

    def policy(self, change: Callable[[PatchPolicy], PatchPolicy]) -> None:
        """Edit the policy."""
        found = self.cluster.server.get(Policy, self.cluster.scenario.policy.key)
        if found is not None:
            spec = change(found.spec)
            self.cluster.server.update(ACTOR, found, spec=replace(spec, generation=found.spec.generation + 1))

    def break_policy(self) -> None:
        """Edit the policy so that it cannot be read any more."""
        found = self.cluster.server.get(Policy, self.cluster.scenario.policy.key)
        if found is not None:
            self.cluster.server.update(ACTOR, found, faults=("spec.maintenanceWindows[0].timeZone: is none",))

    def budget(self, number: int) -> None:
        """Edit ``maxUnavailable``."""
        self.policy(
            lambda spec: replace(spec, strategy=replace(spec.strategy, max_unavailable=Quantity(number)))
        )  # fmt: skip

    def suspend(self, suspended: bool) -> None:
        """Suspend or resume the policy."""
        self.policy(lambda spec: replace(spec, suspend=suspended))

    def pin(self, revision: str) -> None:
        """Merge another commit."""
        self.cluster.opa.pinned = revision
        self.cluster.pinned_at = loop.now()

    def join(self, number: int) -> None:
        """Let a node join, unless one of its name is there."""
        if self.cluster.server.get(Node, f"node-{number:02d}") is None:
            self.cluster.add_node(number)

    def supersede(self, name: str) -> None:
        """Ask for a newer change, once."""
        key = Key(self.cluster.scenario.policy.key.namespace, name)
        if self.cluster.server.get(Rollout, key) is None:
            self.cluster.ask_for(name, _newer(self.cluster.scenario.change))

    def another_policy(self, name: str) -> None:
        """Create a second policy for the same nodes."""
        spec = self.cluster.scenario.policy
        self.cluster.server.create(ACTOR, Policy(replace(spec, key=Key(spec.key.namespace, name), uid=f"{name}-uid")))

    def delete_policy(self) -> None:
        """Delete the policy."""
        found = self.cluster.server.get(Policy, self.cluster.scenario.policy.key)
        if found is not None:
            self.cluster.server.delete(ACTOR, found)

    def abort_all(self) -> None:
        """Abort whatever still goes on, as the last resort; a rollout without a policy can only be deleted."""
        for rollout in list(self.cluster.server.all(Rollout)):
            if rollout.state.phase not in TERMINAL:
                self.cluster.given_up.append(
                    f"{rollout.key.name}: {rollout.state.phase.value}: {rollout.state.message}"
                )
                orphan = self.cluster.server.get(Policy, Key(rollout.key.namespace, rollout.spec.policy_name)) is None
                self.rollout(rollout.key.name, abort=True, deleting=orphan)

    def tidy(self) -> None:
        """Undo what was done by hand: uncordon, remove broken annotations, power on, let in, resume, correct flags."""
        for rollout in list(self.cluster.server.all(Rollout)):
            self.misspell(rollout.key.name, corrected=True)
        for each in list(self.cluster.server.all(Workload)):
            whole = {key: value for key, value in each.annotations.items() if key != STATE_ANNOTATION or not each.fault}
            self.workload(each.key, annotations=whole, paused=False)
        for node in list(self.cluster.server.all(Node)):
            key = marks.label(self.cluster.scenario.policy.key.name)
            labels = {name: value for name, value in node.labels.items() if (name, value) != (key, "disabled")}
            if node.record is None or node.excluded != own.EXCLUDED_BY_US:
                labels.pop(own.EXCLUDE, None)
            notes = {key: value for key, value in node.annotations.items() if key != STATE_ANNOTATION or not node.fault}
            ours = node.record is not None and node.record.cordoned
            self.cluster.server.update(
                ACTOR, node, labels=labels, annotations=notes, unschedulable=node.unschedulable and ours, foreign=""
            )


def _newer(change: Change) -> Change:
    if isinstance(change, ScriptChange):
        return replace(change, version="1.2", image="registry.example/patch:1.2")
    return ImagesChange(tuple(replace(pin, tag="1.2", digest=f"sha256:{'2' * 64}") for pin in change.images))
