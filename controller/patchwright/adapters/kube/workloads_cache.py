"""What the watches and our own writes say of workloads and of namespaces; every method is plain and quick."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from patchwright.adapters.kube import workloads_projection as projection
from patchwright.adapters.kube.versions import Store
from patchwright.adapters.kube.workloads_projection import WorkloadFacts
from patchwright.domain import selection
from patchwright.domain.actions import WorkloadRef
from patchwright.domain.model import WORKLOAD_KINDS, PatchPolicy, WorkloadTarget
from patchwright.domain.nodes.labels import ROLLOUT
from patchwright.domain.workloads import beside, images
from patchwright.domain.workloads.view import Canary, ImageField, WorkloadView

# Views hold little that the facts do not, but 1,000 of them for each policy add up.
_VIEWS_KEPT = 8


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace's labels, for the selectors of policies."""

    uid: str
    resource_version: str = field(compare=False)
    labels: Mapping[str, str] = field(hash=False)


@dataclass(slots=True)
class _Seen:
    """What was made of a workload for one policy, and of what."""

    facts: WorkloadFacts
    away: int
    partner: WorkloadFacts | None
    beside: WorkloadFacts | None
    view: WorkloadView

    def of(
        self, facts: WorkloadFacts, away: int, *, partner: WorkloadFacts | None, beside: WorkloadFacts | None
    ) -> bool:
        """Tell whether it was made of these very facts; to compare them field by field would cost more than to make."""
        same = self.facts is facts and self.partner is partner and self.beside is beside
        return same and self.away == away


Listener = Callable[[str], None]
_Views = OrderedDict[PatchPolicy, dict[str, _Seen]]


class WorkloadCache:
    """Workloads of every kind, and the labels of namespaces.

    ``operator_namespace`` is where policies may select other namespaces than their own; ``away`` counts the nodes that
    are NotReady.
    """

    def __init__(self, *, operator_namespace: str, away: Callable[[], int] = lambda: 0) -> None:
        self.operator_namespace = operator_namespace
        self._away = away
        self._workloads: Store[WorkloadFacts] = Store()
        self._namespaces: Store[Namespace] = Store()
        self._canaries: dict[str, WorkloadFacts] = {}
        self._marked: dict[str, set[str]] = {}
        # The Rollouts that take their pods from another workload, by that one's key.
        self._takers: dict[str, str] = {}
        self._absent: dict[str, str] = {}
        self._views: _Views = OrderedDict()
        self._listeners: list[Listener] = []

    def on_change(self, listener: Listener) -> None:
        """Have ``listener`` called with the UID of the rollout at work on what changed, empty when none is."""
        self._listeners.append(listener)

    # --- what the watches say -------------------------------------------------------------------------------------

    def apply(self, kind: str, raw: Mapping[str, Any]) -> None:
        """Take in a workload as it was read, watched or answered."""
        metadata = raw["metadata"]
        key = _key(kind, metadata)
        if not self._workloads.news(key, metadata["uid"], metadata["resourceVersion"]):
            return
        facts = projection.project(kind, raw)
        before = self._workloads.put(key, facts)
        if before != facts:
            self._remark(key, before, facts)

    def remove(self, kind: str, raw: Mapping[str, Any]) -> None:
        """Take in that a workload was deleted."""
        metadata = raw["metadata"]
        self.forget(_key(kind, metadata), metadata["uid"])

    def forget(self, key: str, uid: str) -> None:
        """Drop a workload that is gone; one of the same name with another UID stays."""
        gone = self._workloads.drop(key, uid)
        if gone is not None:
            self._remark(key, gone, None)

    def apply_namespace(self, raw: Mapping[str, Any]) -> None:
        """Take in a namespace."""
        metadata = raw["metadata"]
        name = metadata["name"]
        if self._namespaces.news(name, metadata["uid"], metadata["resourceVersion"]):
            labels = metadata.get("labels") or {}
            before = self._namespaces.put(name, Namespace(metadata["uid"], metadata["resourceVersion"], labels))
            if before is None or before.labels != labels:
                self._tell("")

    def remove_namespace(self, raw: Mapping[str, Any]) -> None:
        """Take in that a namespace was deleted."""
        self._namespaces.drop(raw["metadata"]["name"], raw["metadata"]["uid"])

    def prune(self, kind: str, uids: frozenset[str], at: int) -> None:
        """Drop the workloads of a kind that a complete list does not hold any more."""
        for key, facts in self._workloads.prune(lambda _, each: each.kind != kind or each.uid in uids, at):
            self._remark(key, facts, None)

    def prune_namespaces(self, uids: frozenset[str], at: int) -> None:
        """Drop the namespaces that a complete list does not hold any more."""
        self._namespaces.prune(lambda _, each: each.uid in uids, at)

    def missing(self, kind: str, why: str) -> None:
        """Take in why a kind cannot be looked at; empty once it can."""
        if self._absent.get(kind, "") != why:
            self._absent[kind] = why
            self._tell("")

    # --- what the engine asks -------------------------------------------------------------------------------------

    def selected(self, policy: PatchPolicy) -> tuple[WorkloadView, ...]:
        """Give the workloads that a policy selects and that run an image it covers."""
        target = policy.target
        if not isinstance(target, WorkloadTarget):
            return ()
        there = self.spaces(policy, target)
        near = (facts for facts in self._workloads if facts.namespace in there)
        return self._through(policy, (facts for facts in near if _wanted(facts, target, self._places(facts))))

    def one(self, workload: WorkloadRef, policy: PatchPolicy) -> WorkloadView | None:
        """Give one workload, if the policy selects it; to walk through all for each of a thousand took half our CPU."""
        target, facts = policy.target, self.get(workload.kind, workload.namespace, workload.name)
        if facts is None or facts.uid != workload.uid or not isinstance(target, WorkloadTarget):
            return None
        if facts.namespace not in self.spaces(policy, target) or not _wanted(facts, target, self._places(facts)):
            return None
        return self._through(policy, (facts,))[0]

    def marked(self, rollout_uid: str, policy: PatchPolicy) -> tuple[WorkloadView, ...]:
        """Give the workloads that carry a rollout's record, in order of names, selected or not."""
        owners = {f"{each.kind}/{each.namespace}/{each.canary_of[0]}" for each in self._canaries_of(rollout_uid)}
        keys = sorted(self._marked.get(rollout_uid, set()) | owners)
        found = (self._workloads.get(key) for key in keys)
        return self._through(policy, (facts for facts in found if facts is not None))

    def absent(self, policy: PatchPolicy) -> str:
        """Say why a kind that the policy names cannot be looked at; who names none has those that there are."""
        target = policy.target
        if not isinstance(target, WorkloadTarget) or target.kinds == WORKLOAD_KINDS:
            return ""
        return next((why for kind in target.kinds if (why := self._absent.get(kind))), "")

    def get(self, kind: str, namespace: str, name: str) -> WorkloadFacts | None:
        """Give what is known of one workload."""
        return self._workloads.get(f"{kind}/{namespace}/{name}")

    def replicas(self, kind: str, namespace: str, name: str) -> int | None:
        """Give how many pods a Deployment or StatefulSet wants; ``None`` for whatever else, or when it is not known."""
        facts = self.get(kind, namespace, name)
        return facts.counts.replicas if facts is not None and kind in ("Deployment", "StatefulSet") else None

    def rollouts_at_work(self) -> list[str]:
        """Give the UIDs of the rollouts whose records are on workloads."""
        return sorted(self._marked)

    def canaries(self) -> tuple[Canary, ...]:
        """Give every canary Deployment, with the workload that owns it as it was named there."""
        return tuple(
            Canary(WorkloadRef(each.kind, each.namespace, *each.canary_of, ""), each.name, each.labels.get(ROLLOUT, ""))
            for each in self._canaries.values()
        )

    def spaces(self, policy: PatchPolicy, target: WorkloadTarget) -> frozenset[str]:
        """Give the namespaces that a policy reaches: its own, or the operator's policies those that they select."""
        if target.namespaces is None or policy.key.namespace != self.operator_namespace:
            return frozenset({policy.key.namespace})
        selector = target.namespaces
        return frozenset(name for name, space in self._namespaces.items() if selection.matches(selector, space.labels))

    # --- inside ---------------------------------------------------------------------------------------------------

    def _through(self, policy: PatchPolicy, found: Iterable[WorkloadFacts]) -> tuple[WorkloadView, ...]:
        """Look at workloads through a policy; a view is made again only when its workload has changed."""
        views = self._views.setdefault(policy, {})
        self._views.move_to_end(policy)
        while len(self._views) > _VIEWS_KEPT:
            self._views.popitem(last=False)
        away = self._away()
        return tuple(self._view(facts, policy, views, away=away) for facts in found)

    def _view(self, facts: WorkloadFacts, policy: PatchPolicy, views: dict[str, _Seen], *, away: int) -> WorkloadView:
        seen, partner, other = views.get(facts.key), self._partner(facts), self._beside(facts)
        if seen is None or not seen.of(facts, away, partner=partner, beside=other):
            made = self._made(facts, policy, away=away, partner=partner)
            second = self._made(other, policy, away=away, partner=None) if other is not None else None
            seen = views[facts.key] = _Seen(facts, away, partner, other, replace(made, beside=second))
        return seen.view

    def _made(
        self, facts: WorkloadFacts, policy: PatchPolicy, *, away: int, partner: WorkloadFacts | None
    ) -> WorkloadView:
        template = facts.argo.template or (f"{partner.kind} {partner.name}" if partner is not None else "")
        made = projection.view(facts, policy, operator_namespace=self.operator_namespace, away=away, template=template)
        return replace(made, images=self._places(facts))

    def _partner(self, facts: WorkloadFacts) -> WorkloadFacts | None:
        """Give the workload that a Rollout takes its pods from, and the other way round."""
        other = facts.refers_to or self._takers.get(facts.key)
        return self._workloads.get(other) if other else None

    def _places(self, facts: WorkloadFacts) -> tuple[ImageField, ...]:
        """Give the images of a workload; a Rollout without a template has those of the one that it refers to."""
        found = self._workloads.get(facts.refers_to) if facts.refers_to else None
        return found.images if found is not None else facts.images

    def _canaries_of(self, rollout_uid: str) -> list[WorkloadFacts]:
        return [each for each in self._canaries.values() if each.labels.get(ROLLOUT) == rollout_uid]

    def _beside(self, facts: WorkloadFacts) -> WorkloadFacts | None:
        """Give what there is under the name that a Deployment's canary has."""
        if facts.kind != "Deployment" or facts.canary_of[1]:
            return None
        return self.get(facts.kind, facts.namespace, _canary_name(facts.name, facts.uid))

    def _remark(self, key: str, before: WorkloadFacts | None, after: WorkloadFacts | None) -> None:
        self._relate(key, before, after)
        old = before.record.rollout_uid if before and before.record else ""
        new = after.record.rollout_uid if after and after.record else ""
        if old and old != new:
            self._marked[old].discard(key)
            if not self._marked[old]:
                del self._marked[old]
        if new:
            self._marked.setdefault(new, set()).add(key)
        if after is None:
            for views in self._views.values():
                views.pop(key, None)
        for uid in {old, new}:
            self._tell(uid)

    def _relate(self, key: str, before: WorkloadFacts | None, after: WorkloadFacts | None) -> None:
        """Note which workload stands in for another: a Rollout for its template, a canary for its owner."""
        if before is not None and before.refers_to:
            self._takers.pop(before.refers_to, None)
        if after is not None and after.refers_to:
            self._takers[after.refers_to] = key
        for facts in (before, after):
            if facts is not None and facts.canary_of[1]:
                self._canaries[key] = facts
                self._tell(facts.labels.get(ROLLOUT, ""))
        if after is None:
            self._canaries.pop(key, None)

    def _tell(self, rollout_uid: str) -> None:
        for listener in self._listeners:
            listener(rollout_uid)


def _key(kind: str, metadata: Mapping[str, Any]) -> str:
    return f"{kind}/{metadata['namespace']}/{metadata['name']}"


def _wanted(facts: WorkloadFacts, target: WorkloadTarget, places: tuple[ImageField, ...]) -> bool:
    if facts.kind not in target.kinds or beside.LABEL in facts.labels:
        return False
    if not selection.matches(target.selector, facts.labels):
        return False
    return any(covers(target.images, field.image) for field in places)


_canary_name = lru_cache(maxsize=8192)(beside.name)


@lru_cache(maxsize=8192)
def covers(names: tuple[str, ...], image: str) -> bool:
    """Tell whether names that a policy covers mean an image."""
    return images.covers(names, image)
