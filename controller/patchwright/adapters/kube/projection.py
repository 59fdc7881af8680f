"""A raw Node becomes the few facts that a rollout asks for; a policy's view of them becomes a ``NodeView``.

The facts are kept for every node of the cluster, so they are small: strings that many nodes share are interned, and of
the raw object nothing is kept. Projecting is cheap, because every heartbeat of every node comes through here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from sys import intern
from typing import Any, Final

from patchwright.adapters.kube import foreign
from patchwright.domain.actions import JobStep
from patchwright.domain.annotation import RecordError
from patchwright.domain.model import Selector
from patchwright.domain.nodes import labels as own
from patchwright.domain.nodes import marks
from patchwright.domain.nodes.record import Record, decode
from patchwright.domain.nodes.view import JobView, NodeView, Stuck
from patchwright.domain.targets import PAUSED_ANNOTATION, RISK_LABEL, STATE_ANNOTATION, Order

ZONE: Final = "topology.kubernetes.io/zone"
_CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
_CORDON_TAINT: Final = "node.kubernetes.io/unschedulable"
_RISKS: Final = {"low": 0, "normal": 1, "high": 2}
_NORMAL = 1
_NO_LABELS: Final[dict[str, str]] = {}


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What one node says of itself, whoever asks. Two that differ in ``resource_version`` only are equal: a heartbeat
    is no news.
    """

    name: str
    uid: str
    resource_version: str = field(compare=False)
    labels: dict[str, str]
    unschedulable: bool
    tainted: bool
    ready: bool
    ready_since: datetime | None
    not_ready_why: str
    unreachable: bool
    boot_id: str
    deleting: bool
    paused: bool
    foreign: str
    record: Record | None
    record_fault: str
    stuck: tuple[Stuck, ...] = ()


@dataclass(frozen=True, slots=True)
class Lens:
    """Through which policy a node is looked at.

    ``policy`` is the policy's name (its label says what is installed), ``topology_key`` decides the domain, and
    ``own_node`` is the node that runs this operator.
    """

    policy: str
    selector: Selector
    topology_key: str = ZONE
    own_node: str = ""


def node(raw: Mapping[str, Any], known: NodeFacts | None = None) -> NodeFacts:
    """Project a raw Node; ``known`` is its former self, whose parts are shared where they did not change."""
    metadata = raw["metadata"]
    spec = raw.get("spec") or {}
    annotations, taints = metadata.get("annotations") or {}, spec.get("taints") or ()
    labels = _labels(metadata.get("labels") or _NO_LABELS, known)
    conditions = (raw.get("status") or {}).get("conditions") or ()
    ready, since, why = _ready(conditions, known)
    record, fault = _record(annotations.get(STATE_ANNOTATION))
    return NodeFacts(
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        labels=labels,
        unschedulable=bool(spec.get("unschedulable")),
        tainted=any(taint.get("key") == _CORDON_TAINT for taint in taints),
        ready=ready,
        ready_since=since,
        not_ready_why=why,
        unreachable=not ready and _unknown(conditions),
        boot_id=((raw.get("status") or {}).get("nodeInfo") or {}).get("bootID", ""),
        deleting="deletionTimestamp" in metadata,
        paused=annotations.get(PAUSED_ANNOTATION) == "true",
        foreign=foreign.at_work(annotations, labels, taints),
        record=record,
        record_fault=fault,
    )


def _labels(raw: Mapping[str, str], known: NodeFacts | None) -> dict[str, str]:
    if known is not None and known.labels == raw:
        return known.labels
    return {intern(key): intern(value) for key, value in raw.items()}


def _ready(conditions: Any, known: NodeFacts | None) -> tuple[bool, datetime | None, str]:
    """Read the Ready condition.

    A node whose kubelet went silent keeps saying True until the node controller makes it Unknown, after about 40 s;
    that is why a reboot is proven by the boot ID and not by this (nodes.md 4.14).
    """
    for condition in conditions:
        if condition.get("type") == "Ready":
            ready = condition.get("status") == "True"
            since = instant(condition.get("lastTransitionTime"))
            why = "" if ready else condition.get("message") or condition.get("reason") or "the Ready condition is False"
            if known is not None and known.ready_since == since:
                since = known.ready_since
            return ready, since, why
    return False, None, "it has no Ready condition yet"


def _unknown(conditions: Any) -> bool:
    """Tell whether nobody knows if the node is Ready: its kubelet does not report any more."""
    return any(each.get("type") == "Ready" and each.get("status") == "Unknown" for each in conditions)


def _record(text: str | None) -> tuple[Record | None, str]:
    if text is None:
        return None, ""
    try:
        return decode(text), ""
    except RecordError as error:
        return None, str(error)


def instant(text: str | None) -> datetime | None:
    """Read a timestamp of the API server (RFC 3339)."""
    return datetime.fromisoformat(text) if text else None


def view(facts: NodeFacts, lens: Lens, jobs: Mapping[JobStep, JobView], *, alone: bool = False) -> NodeView:
    """Look at a node through a policy; ``alone`` says that there is no other."""
    labels = facts.labels
    key = marks.label(lens.policy)
    installed = labels.get(key)
    out = installed == own.DISABLED
    own_node = facts.name == lens.own_node
    control_plane = any(role in labels for role in _CONTROL_PLANE)
    return NodeView(
        name=facts.name,
        uid=facts.uid,
        resource_version=facts.resource_version,
        order=Order(
            last=own_node,
            one_at_a_time=control_plane,
            risk=_RISKS.get(labels.get(RISK_LABEL, ""), _NORMAL),
            domain=labels.get(lens.topology_key, ""),
            name=facts.name,
        ),
        labels=labels,
        unschedulable=facts.unschedulable,
        tainted=facts.tainted,
        ready=facts.ready,
        ready_since=facts.ready_since,
        not_ready_why=facts.not_ready_why,
        unreachable=facts.unreachable,
        boot_id=facts.boot_id,
        deleting=facts.deleting,
        control_plane=control_plane,
        hosts_operator=own_node,
        alone=alone,
        paused=facts.paused,
        opted_out=f"label {key}={own.DISABLED}" if out else "",
        foreign=facts.foreign,
        installed=None if out else installed,
        record=facts.record,
        record_fault=facts.record_fault,
        stuck=facts.stuck,
        jobs=jobs,
    )
