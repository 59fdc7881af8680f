"""What the watches and our own writes say of nodes, Jobs and their pods; every method is plain and quick."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from patchwright.adapters.kube import jobs, projection
from patchwright.adapters.kube.foreign import SUC
from patchwright.adapters.kube.jobs import JobFacts, PodFacts
from patchwright.adapters.kube.projection import Lens, NodeFacts
from patchwright.adapters.kube.versions import Store
from patchwright.domain import selection
from patchwright.domain.actions import JobStep, NodeRef
from patchwright.domain.nodes import balancers, orphans, result
from patchwright.domain.nodes.view import Claim, JobView, NodeView, Remains, Stuck

_NO_JOBS: Final[Mapping[JobStep, JobView]] = {}
# Views are cheap to make and hold little that the facts do not, but 5,000 of them per rollout add up.
_VIEWS_KEPT = 8


@dataclass(frozen=True, slots=True)
class Changed:
    """What changed: a node, or something of a rollout on one (a Job or its pod)."""

    node: str
    rollout_uid: str = ""


Listener = Callable[[Changed], None]


@dataclass(slots=True)
class _Views:
    """What was seen through one lens: the views of what it selects, and the nodes that have to be looked at again."""

    seen: dict[str, NodeView]
    stale: dict[str, None]
    nodes: tuple[NodeView, ...] | None = None


class FleetCache:
    """Nodes with our Jobs on them.

    ``own_node`` is the name of the node that runs this operator, empty when it runs elsewhere, and ``own_pod`` that of
    its pod; ``namespace`` is where that pod and our Jobs are.
    """

    def __init__(self, *, namespace: str, own_node: str = "", own_pod: str = "") -> None:
        self.namespace = namespace
        self.own_node = own_node
        self.own_pod = own_pod
        self._nodes: Store[NodeFacts] = Store()
        self._jobs: Store[JobFacts] = Store()
        self._pods: Store[PodFacts] = Store()
        self._marked: dict[str, set[str]] = {}
        self._on: dict[tuple[str, str], dict[JobStep, str]] = {}
        self._rollouts_at: dict[str, set[str]] = {}
        self._job_names: dict[str, str] = {}
        self._pods_of: dict[str, set[str]] = {}
        self._job_views: dict[tuple[str, str], Mapping[JobStep, JobView]] = {}
        self._others: Mapping[str, str] = {}
        self._stuck: Mapping[str, tuple[Stuck, ...]] = {}
        self._views: OrderedDict[Lens, _Views] = OrderedDict()
        self._listeners: list[Listener] = []

    def on_change(self, listener: Listener) -> None:
        """Have ``listener`` called with everything that changes; a mere heartbeat is no change."""
        self._listeners.append(listener)

    # --- what the watches say -------------------------------------------------------------------------------------

    def apply_node(self, raw: Mapping[str, Any]) -> None:
        """Take in a Node as it was read, watched or answered."""
        metadata = raw["metadata"]
        name = metadata["name"]
        if not self._nodes.news(name, metadata["uid"], metadata["resourceVersion"]):
            return
        known = self._nodes.get(name)
        facts = projection.node(raw, known if known and known.uid == metadata["uid"] else None)
        facts = self._with_others(facts)
        before = self._nodes.put(name, facts)
        self._touch(name)
        if before is None:
            self._recount()
        if before != facts:
            self._remark(name, before, facts)
            self._tell(Changed(name))

    def remove_node(self, raw: Mapping[str, Any]) -> None:
        """Take in that a Node was deleted."""
        self.forget_node(raw["metadata"]["name"], raw["metadata"]["uid"])

    def forget_node(self, name: str, uid: str) -> None:
        """Drop a node that is gone; one of the same name with another UID stays."""
        gone = self._nodes.drop(name, uid)
        if gone is not None:
            self._recount()
            self._remark(name, gone, None)
            self._tell(Changed(name))

    def apply_job(self, raw: Mapping[str, Any]) -> None:
        """Take in a Job; one that is not ours is passed over."""
        metadata = raw["metadata"]
        key = metadata["name"]
        if not self._mine(metadata) or not self._jobs.news(key, metadata["uid"], metadata["resourceVersion"]):
            return
        facts = jobs.job(raw)
        if facts is None:
            return
        before = self._jobs.put(key, facts)
        if before is not None and before.uid != facts.uid:
            self._unlink(before)
        self._job_names[facts.uid] = key
        self._on.setdefault((facts.rollout_uid, facts.node_name), {})[facts.step] = key
        self._rollouts_at.setdefault(facts.node_name, set()).add(facts.rollout_uid)
        if before != facts:
            self._job_changed(facts)

    def remove_job(self, raw: Mapping[str, Any]) -> None:
        """Take in that a Job was deleted."""
        metadata = raw["metadata"]
        if self._mine(metadata):
            self.forget_job(metadata["name"], metadata["uid"])

    def forget_job(self, name: str, uid: str) -> None:
        """Drop a Job that is gone, and what its pods said."""
        gone = self._jobs.drop(name, uid)
        for pod in self._pods_of.pop(uid, ()):
            facts = self._pods.get(pod)
            if facts is not None:
                self._pods.drop(pod, facts.uid)
        if gone is not None:
            self._unlink(gone)
            self._job_changed(gone)

    def deleting_jobs(self, rollout_uid: str) -> None:
        """Note that all of a rollout's Jobs were told to go; the watch says when they are gone."""
        for key, facts in list(self._jobs.items()):
            if facts.rollout_uid == rollout_uid and not facts.deleting:
                self._jobs.put(key, replace(facts, deleting=True))
                self._job_changed(facts)

    def apply_pod(self, raw: Mapping[str, Any]) -> None:
        """Take in a pod of one of our Jobs; others are passed over."""
        metadata = raw["metadata"]
        key = metadata["name"]
        if not self._mine(metadata) or not self._pods.news(key, metadata["uid"], metadata["resourceVersion"]):
            return
        facts = jobs.pod(raw)
        if facts is not None:
            self._keep_pod(facts)

    def remove_pod(self, raw: Mapping[str, Any]) -> None:
        """Take in that a pod was deleted: its last words are kept as long as its Job is there."""
        metadata = raw["metadata"]
        facts = jobs.pod(raw) if self._mine(metadata) else None
        known = self._pods.get(metadata["name"])
        if facts is not None and facts.termination is None and known is not None and known.uid == facts.uid:
            facts = known
        if facts is None:
            self._pods.drop(metadata["name"], metadata["uid"])
        else:
            self._pod_gone(facts.name, facts)

    def set_others(self, busy: Mapping[str, str]) -> None:
        """Take in which nodes other actors work on without marking them (node name to who)."""
        names = {name for name in {*busy, *self._others} if busy.get(name) != self._others.get(name)}
        self._others = dict(busy)
        for name in names:
            facts = self._nodes.get(name)
            if facts is not None:
                bare = replace(facts, foreign="" if facts.foreign.startswith(SUC) else facts.foreign)
                self._nodes.put(name, self._with_others(bare))
                self._tell(Changed(name))

    def set_stuck(self, stuck: Mapping[str, tuple[Stuck, ...]]) -> None:
        """Take in which pods no eviction would move, by the name of their node."""
        names = {name for name in {*stuck, *self._stuck} if stuck.get(name) != self._stuck.get(name)}
        self._stuck = dict(stuck)
        for name in names:
            facts = self._nodes.get(name)
            if facts is not None:
                self._nodes.put(name, replace(facts, stuck=self._stuck.get(name, ())))
                self._tell(Changed(name))

    # --- what the engine asks -------------------------------------------------------------------------------------

    def nodes(self, lens: Lens) -> tuple[NodeView, ...]:
        """Give the nodes that a policy selects, as it sees them."""
        views = self._through(lens)
        if views.stale:
            for name in views.stale:
                self._look(name, lens, views)
            views.stale.clear()
            views.nodes = None
        if views.nodes is None:
            views.nodes = tuple(views.seen.values())
        return views.nodes

    def marked(self, lens: Lens, rollout_uid: str) -> tuple[NodeView, ...]:
        """Give the nodes that carry a rollout's record, by name, selected or not."""
        self.nodes(lens)
        seen = self._through(lens).seen
        return tuple(
            seen.get(name) or self._view(facts, lens)
            for name in sorted(self._marked.get(rollout_uid, ()))
            if (facts := self._nodes.get(name)) is not None
        )

    def node(self, name: str) -> NodeFacts | None:
        """Give what is known of one node."""
        return self._nodes.get(name)

    def node_names(self) -> Iterable[str]:
        """Give the names of all nodes."""
        return (facts.name for facts in self._nodes)

    def away(self) -> int:
        """Count the nodes that are NotReady."""
        return sum(not facts.ready for facts in self._nodes)

    def away_since(self, name: str) -> datetime | None:
        """Give since when a node is NotReady, ``None`` while it is Ready; one that is gone is away since ever."""
        facts = self._nodes.get(name)
        if facts is None:
            return jobs.EPOCH
        return None if facts.ready else facts.ready_since or jobs.EPOCH

    def architecture(self, name: str) -> str:
        """Give what kubelet says that a node's processor is, ``arm64``; empty where nobody has said."""
        facts = self._nodes.get(name)
        return facts.labels.get("kubernetes.io/arch", "") if facts is not None else ""

    def backends(self) -> frozenset[str]:
        """Give the UIDs of all nodes that load balancers may use."""
        return frozenset(
            facts.uid
            for facts in self._nodes
            if balancers.usable(ready=facts.ready, unschedulable=facts.unschedulable, labels=facts.labels)
        )

    def rollouts_on(self, node: str) -> set[str]:
        """Give the rollouts (by UID) that have a record or a Job on a node, to wake them."""
        facts = self._nodes.get(node)
        mine = {facts.record.rollout_uid} if facts and facts.record else set()
        return mine | self._rollouts_at.get(node, set())

    def orphan_jobs(self, rollout_uid: str) -> int:
        """Count a rollout's Jobs that still exist."""
        return sum(facts.rollout_uid == rollout_uid for facts in self._jobs)

    def claimed(self) -> frozenset[str]:
        """Give the UIDs of all rollouts that a record on a node or a Job names."""
        return frozenset(self._marked) | frozenset(rollout for rollout, _ in self._on)

    def remains(self, rollout_uid: str) -> Remains:
        """Give the nodes and Jobs that name one rollout."""
        found = (self._nodes.get(name) for name in sorted(self._marked.get(rollout_uid, ())))
        nodes = tuple(
            Claim(
                NodeRef(facts.name, facts.uid, facts.resource_version), facts.record, facts.unschedulable, facts.labels
            )
            for facts in found
            if facts is not None and facts.record is not None
        )
        mine = (facts for facts in self._jobs if facts.rollout_uid == rollout_uid)
        return Remains(nodes, tuple(jobs.view(facts, self._pods_on(facts.uid)) for facts in mine))

    def abandoned(self) -> list[str]:
        """Name the nodes that a rollout which is gone has left to a person."""
        found = (self._nodes.get(name) for names in self._marked.values() for name in names)
        return sorted(facts.name for facts in found if facts and facts.record and facts.record.reason == orphans.GONE)

    def reboots_due(self) -> list[str]:
        """Name the nodes that a Job of ours has asked to reboot and that have not done so yet."""
        return sorted(name for names in self._marked.values() for name in names if self._reboot_due(name))

    def _reboot_due(self, name: str) -> bool:
        facts = self._nodes.get(name)
        if facts is None or facts.record is None or facts.record.boot_id != facts.boot_id:
            return False
        return any(result.parse(job.termination).reboot_required for job in self._jobs_of(facts).values())

    def all_ended(self, rollout_uid: str) -> bool:
        """Tell whether nothing of a rollout runs any more, by what its Jobs and their pods say."""
        mine = (facts for facts in self._jobs if facts.rollout_uid == rollout_uid)
        return all(jobs.view(facts, self._pods_on(facts.uid)).outcome is not None for facts in mine)

    def job(self, name: str) -> JobFacts | None:
        """Give what is known of one Job."""
        return self._jobs.get(name)

    # --- complete lists -------------------------------------------------------------------------------------------

    def prune_nodes(self, uids: frozenset[str], at: int) -> None:
        """Drop the nodes that a complete list does not hold any more: a watch that was cut off never said so."""
        for name, facts in self._nodes.prune(lambda _, each: each.uid in uids, at):
            self._recount()
            self._remark(name, facts, None)
            self._tell(Changed(name))

    def prune_jobs(self, uids: frozenset[str], at: int) -> None:
        """Drop the Jobs that a complete list does not hold any more."""
        for key, facts in list(self._jobs.items()):
            if facts.uid not in uids and int(facts.resource_version) <= at:
                self.forget_job(key, facts.uid)

    def prune_pods(self, uids: frozenset[str], at: int) -> None:
        """Take in that the pods that a complete list does not hold any more are gone."""
        for key, facts in list(self._pods.items()):
            if facts.uid not in uids and int(facts.resource_version) <= at and not facts.gone:
                self._pod_gone(key, facts)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _mine(self, metadata: Mapping[str, Any]) -> bool:
        return bool(metadata.get("namespace") == self.namespace)

    def _with_others(self, facts: NodeFacts) -> NodeFacts:
        who, stuck = self._others.get(facts.name), self._stuck.get(facts.name, ())
        if not (who or stuck):
            return facts
        return replace(facts, foreign=facts.foreign or who or "", stuck=stuck)

    def _remark(self, name: str, before: NodeFacts | None, after: NodeFacts | None) -> None:
        old = before.record.rollout_uid if before and before.record else ""
        new = after.record.rollout_uid if after and after.record else ""
        if old and old != new:
            self._marked[old].discard(name)
            if not self._marked[old]:
                del self._marked[old]
        if new:
            self._marked.setdefault(new, set()).add(name)

    def _pod_gone(self, name: str, facts: PodFacts) -> None:
        if facts.job_uid in self._job_names:
            self._keep_pod(replace(facts, gone=True))
        else:
            self._pods.drop(name, facts.uid)

    def _keep_pod(self, facts: PodFacts) -> None:
        if self._jobs.buried(facts.job_uid):
            return
        before = self._pods.put(facts.name, facts)
        self._pods_of.setdefault(facts.job_uid, set()).add(facts.name)
        # The pod may be seen before its Job; the Job's own arrival joins them then.
        owner = self._jobs.get(self._job_names.get(facts.job_uid, ""))
        if owner is not None and before != facts:
            self._job_changed(owner)

    def _unlink(self, facts: JobFacts) -> None:
        self._job_names.pop(facts.uid, None)
        place = (facts.rollout_uid, facts.node_name)
        steps = self._on.get(place, {})
        if steps.get(facts.step) == facts.name:
            del steps[facts.step]
        if steps:
            return
        self._on.pop(place, None)
        others = self._rollouts_at.get(facts.node_name, set())
        others.discard(facts.rollout_uid)
        if not others:
            self._rollouts_at.pop(facts.node_name, None)

    def _job_changed(self, facts: JobFacts) -> None:
        self._job_views.pop((facts.rollout_uid, facts.node_name), None)
        self._tell(Changed(facts.node_name, facts.rollout_uid))

    def _tell(self, changed: Changed) -> None:
        self._touch(changed.node)
        for listener in self._listeners:
            listener(changed)

    def _through(self, lens: Lens) -> _Views:
        views = self._views.get(lens)
        if views is None:
            views = self._views[lens] = _Views({}, dict.fromkeys(facts.name for facts in self._nodes))
        self._views.move_to_end(lens)
        while len(self._views) > _VIEWS_KEPT:
            self._views.popitem(last=False)
        return views

    def _look(self, name: str, lens: Lens, views: _Views) -> None:
        """Look at a node again: what a lens does not select, or is gone, is not kept."""
        facts = self._nodes.get(name)
        if facts is not None and selection.matches(lens.selector, facts.labels):
            views.seen[name] = self._view(facts, lens)
        else:
            views.seen.pop(name, None)

    def _view(self, facts: NodeFacts, lens: Lens) -> NodeView:
        return projection.view(facts, lens, self._jobs_of(facts), alone=len(self._nodes) == 1)

    def _recount(self) -> None:
        """Have everybody looked at again where the first neighbour came or the last one went."""
        if len(self._nodes) <= 2:
            for facts in self._nodes:
                self._touch(facts.name)

    def _touch(self, name: str) -> None:
        for views in self._views.values():
            views.stale[name] = None

    def _jobs_of(self, facts: NodeFacts) -> Mapping[JobStep, JobView]:
        """Give the Jobs of the rollout that has claimed the node."""
        return self._jobs_on(facts.record.rollout_uid, facts.name) if facts.record else _NO_JOBS

    def _jobs_on(self, rollout_uid: str, node: str) -> Mapping[JobStep, JobView]:
        place = (rollout_uid, node)
        steps = self._on.get(place)
        if not steps:
            return _NO_JOBS
        views = self._job_views.get(place)
        if views is None:
            found = {step: self._jobs.get(name) for step, name in steps.items()}
            views = {step: jobs.view(each, self._pods_on(each.uid)) for step, each in found.items() if each}
            self._job_views[place] = views
        return views

    def _pods_on(self, job_uid: str) -> list[PodFacts]:
        found = (self._pods.get(name) for name in self._pods_of.get(job_uid, ()))
        return [each for each in found if each is not None]
