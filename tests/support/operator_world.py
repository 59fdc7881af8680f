"""What the observer's laws look at: the objects at one moment of the history, read without the operator's own code."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from support.observer import Change, Raw

STATE: Final = "patchwright.dev/state"
ROLLOUT: Final = "patchwright.dev/rollout"
STEP: Final = "patchwright.dev/step"
NODE: Final = "patchwright.dev/node"
EXCLUDE: Final = "node.kubernetes.io/exclude-from-external-load-balancers"
# The marks of a node that is prepared before its cordon.
CLAIMED: Final = frozenset({"Preparing", "Prepared"})
# Seconds until the operator must have noticed what somebody else did; under load a watch takes its time.
GRACE: Final = 5.0
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


# --- reading ------------------------------------------------------------------------------------------------------


def record(node: Raw | None) -> dict[str, Any]:
    """Give our record on a node; empty when there is none or somebody has garbled it."""
    text = ((node or {}).get("metadata", {}).get("annotations") or {}).get(STATE)
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) and "mark" in found else {}


def cordoned(node: Raw | None) -> bool:
    """Tell whether a node is cordoned."""
    return bool((node or {}).get("spec", {}).get("unschedulable"))


def excluded(node: Raw | None) -> str | None:
    """Give the value of the label that keeps load balancers away from a node."""
    found: str | None = ((node or {}).get("metadata", {}).get("labels") or {}).get(EXCLUDE)
    return found


def ready(node: Raw | None) -> bool:
    """Tell whether a node is Ready."""
    conditions = (node or {}).get("status", {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def available(node: Raw | None) -> bool:
    """Tell whether a node takes pods."""
    return ready(node) and not cordoned(node)


def seconds(duration: str) -> float:
    """Read a Go duration."""
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ms|s|m|h)", duration))


def resolve(quantity: int | str, total: int) -> int:
    """Read an IntOrString: percentages are rounded down, and at least 1."""
    if isinstance(quantity, int):
        return quantity
    percent = int(quantity.removesuffix("%"))
    return max(1, total * percent // 100) if percent else 0


def matches(selector: Mapping[str, Any], node: Raw) -> bool:
    """Tell whether a label selector (of ``matchLabels`` only) selects a node."""
    assert set(selector) <= {"matchLabels"}, "teach the observer this selector"
    labels = node["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


# --- the world, as far as one moment ------------------------------------------------------------------------------


@dataclass(slots=True)
class World:
    """Every object at one moment, by kind and UID, and what a moment does not show."""

    objects: dict[str, dict[str, Raw]]
    # Since when nodes have been away, and whether it was the operator who did that.
    away: dict[str, tuple[float, bool]] = field(default_factory=dict)
    # When each node got its present mark, and when a node was last seen to be NotReady.
    marked: dict[str, float] = field(default_factory=dict)
    sick: dict[str, float] = field(default_factory=dict)
    theirs: set[str] = field(default_factory=set)
    ours: dict[str, tuple[str, str]] = field(default_factory=dict)
    their_labels: set[str] = field(default_factory=set)
    our_labels: dict[str, tuple[str, str]] = field(default_factory=dict)
    given_up: set[str] = field(default_factory=set)
    succeeded: set[tuple[str, str, str]] = field(default_factory=set)
    old_policies: dict[str, tuple[float, Raw]] = field(default_factory=dict)
    # When a person last wrote a node, or it was deleted: what the operator does at that moment it did not know of.
    disturbed: dict[str, float] = field(default_factory=dict)
    # Rollouts that went without the operator's leave.
    torn: frozenset[str] = frozenset()

    def all(self, kind: str) -> list[Raw]:
        """Give every object of a kind."""
        return list(self.objects.get(kind, {}).values())

    def rollout(self, uid: str) -> Raw | None:
        """Give a rollout."""
        return self.objects["PatchRollout"].get(uid)

    def policies(self, uid: str, at: float) -> list[Raw]:
        """Give the specs of a rollout's policy that the operator may go by: as it is, and as it was a moment ago."""
        rollout = self.rollout(uid)
        name = rollout["spec"]["policyRef"]["name"] if rollout else ""
        found = [one for one in self.all("PatchPolicy") if one["metadata"]["name"] == name]
        before = self.old_policies.get(name)
        recent = [before[1]] if before is not None and (not found or at - before[0] < GRACE) else []
        return [one["spec"] for one in (*found, *recent)]

    def of(self, uid: str) -> list[tuple[Raw, dict[str, Any]]]:
        """Give the nodes with a record of a rollout."""
        found = [(node, record(node)) for node in self.all("Node")]
        return [(node, mine) for node, mine in found if mine.get("rolloutUid") == uid]

    def take(self, change: Change) -> None:
        """Go on by one change."""
        {"Node": self._node, "Pod": self._pod, "PatchPolicy": self._policy}.get(change.kind, lambda _: None)(change)
        uid = change.thing["metadata"]["uid"]
        if change.after is None:
            self.objects[change.kind].pop(uid, None)
        else:
            self.objects[change.kind][uid] = change.after

    def _node(self, change: Change) -> None:
        uid, after = change.thing["metadata"]["uid"], change.after
        if after is None or available(after):
            self.away.pop(uid, None)
        elif uid not in self.away or (cordoned(after) and not cordoned(change.before)):
            since = self.away.get(uid, (change.at, False))[0]
            self.away[uid] = (since, cordoned(after) and not cordoned(change.before) and not change.people)
        if record(after).get("mark") != record(change.before).get("mark"):
            self.marked[uid] = change.at
        if after is not None and not ready(after):
            self.sick[uid] = change.at
        if record(after).get("mark") == "Quarantined":
            self.given_up.add(change.thing["metadata"]["name"])
        if change.people or after is None:
            self.disturbed[uid] = change.at
        self._cordon(uid, change)
        self._label(uid, change)

    def _cordon(self, uid: str, change: Change) -> None:
        before, after = change.before, change.after
        if not cordoned(after):
            self.theirs.discard(uid)
            self.ours.pop(uid, None)
        elif not cordoned(before) and change.people:
            self.theirs.add(uid)
        elif not cordoned(before) and after is not None and record(after):
            self.ours[uid] = (record(after)["rolloutUid"], after["metadata"]["name"])

    def _label(self, uid: str, change: Change) -> None:
        value = excluded(change.after)
        if value == excluded(change.before):
            return
        self.their_labels.discard(uid)
        self.our_labels.pop(uid, None)
        if value is not None and change.people:
            self.their_labels.add(uid)
        elif value is not None and record(change.after):
            self.our_labels[uid] = (record(change.after)["rolloutUid"], change.thing["metadata"]["name"])

    def _pod(self, change: Change) -> None:
        pod = change.after
        labels = (pod or {"metadata": {}})["metadata"].get("labels") or {}
        if pod is not None and ROLLOUT in labels and pod.get("status", {}).get("phase") == "Succeeded":
            self.succeeded.add((labels[ROLLOUT], labels[STEP], pod["spec"].get("nodeName", "")))

    def _policy(self, change: Change) -> None:
        if change.before is not None and (change.after is None or change.after["spec"] != change.before["spec"]):
            self.old_policies[change.before["metadata"]["name"]] = (change.at, change.before)


def begun(change: Change) -> dict[str, Any]:
    """Give the record with which a rollout begins on a node at this change; empty when none does.

    It claims a node to prepare it, or it cordons one: both are beginnings.
    """
    if change.kind != "Node" or change.before is None or change.after is None or change.gap:
        return {}
    before, after = record(change.before), record(change.after)
    was = before.get("mark") if before.get("rolloutUid") == after.get("rolloutUid") else None
    claims = after.get("mark") == "Preparing" and was is None
    cordons = after.get("mark") == "Draining" and (was is None or was in CLAIMED)
    return after if claims or cordons else {}
