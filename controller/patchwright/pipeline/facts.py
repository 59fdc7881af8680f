"""What is known of a rollout besides its objects, and may be forgotten: a restart learns it again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime

from patchwright.domain.health import CheckState
from patchwright.domain.model import PatchPolicy
from patchwright.domain.nodes.record import Record
from patchwright.domain.nodes.view import EvictionAttempt, NodeView, PodList, VolumeList
from patchwright.domain.state import RolloutState, WavePolicy
from patchwright.domain.targets import Note
from patchwright.domain.workloads import reversible
from patchwright.domain.workloads.record import Mark
from patchwright.domain.workloads.view import Kept, WorkloadPods
from patchwright.errors import PatchwrightError


@dataclass(slots=True)
class NodeFacts:
    """What was seen of one node's pods and volumes since its cordon, and what the eviction API answered, by pod UID.

    ``claims`` are those of every pod seen since then, ``None`` when the cordon was not this process's. ``since`` is the
    beginning of the drain that they were seen in, as its record says it.
    """

    pods: PodList | None = None
    evictions: dict[str, EvictionAttempt] = field(default_factory=dict)
    volumes: VolumeList | None = None
    claims: frozenset[str] | None = None
    since: datetime | None = None

    def seen(self, record: Record | None) -> frozenset[str] | None:
        """Give the claims, ``None`` in another drain than theirs: another operator has begun it, or begun it again."""
        return self.claims if record is not None and record.since == self.since else None

    def onto(self, node: NodeView) -> NodeView:
        """Give the node with what was seen of it."""
        seen = replace(node, pods=self.pods, evictions=self.evictions)
        return seen if self.volumes is None else replace(seen, volumes=self.volumes, claims=self.seen(node.record))


@dataclass(slots=True)
class Facts:
    """The facts of one rollout; ``nodes`` and ``workloads`` (what was seen of their pods) are keyed by UID.

    ``in_flight`` is what the last round found at work, ``None`` before the first: status may say so a second later, and
    a node that vanished in that second would not be missed. ``asked`` are the names of the last question to policy, and
    when it was put: status has no room for thousands. ``kept`` is what registries said of images, one question at a
    time. ``missed`` are the UIDs of what seemed to have lost its record in the last round, which has looked at it.
    ``writes`` are the steps that could not be written into Git, until when they are not tried again, and why.
    """

    observing_since: datetime
    nodes: dict[str, NodeFacts] = field(default_factory=dict)
    workloads: dict[str, WorkloadPods] = field(default_factory=dict)
    checks: dict[str, CheckState] = field(default_factory=dict)
    answer: WavePolicy | None = None
    asked: tuple[datetime, frozenset[str]] | None = None
    last_policy: PatchPolicy | None = None
    told: RolloutState | None = None
    saved_at: datetime | None = None
    trouble: str = ""
    jobs_deleted_at: datetime | None = None
    in_flight: tuple[Note, ...] | None = None
    missed: frozenset[str] = frozenset()
    writes: dict[tuple[str, Mark], tuple[datetime, PatchwrightError]] = field(default_factory=dict)
    kept: dict[str, Kept] = field(default_factory=dict)
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def asked_again(self) -> datetime | None:
        """Give when registries are to be asked again about what holds workloads up; ``None`` when nothing does."""
        return min((reversible.until(each) for each in self.kept.values() if not each.there), default=None)

    def doubt(self) -> None:
        """Take it that another operator acts too, deposed or new: it may have moved pods that nobody saw here."""
        for each in self.nodes.values():
            each.claims = None

    def node(self, uid: str) -> NodeFacts:
        """Give the facts of one node, empty ones at first."""
        return self.nodes.setdefault(uid, NodeFacts())
