"""Builders: a node, a policy, a rollout or a snapshot in one line, with only what the test is about.

snapshot(node("n1").record(Mark.DRAINING), node("n2").cordoned(), policy=policy(max_unavailable=2))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from patchwright.domain import waves
from patchwright.domain.actions import Action, JobStep, PodRef
from patchwright.domain.decide import decide
from patchwright.domain.model import (
    Canary,
    Drain,
    Key,
    NodeTarget,
    Operator,
    PatchPolicy,
    PatchRollout,
    Quantity,
    Reboot,
    Requirement,
    ScriptChange,
    Selector,
    Step,
    Strategy,
    Wave,
)
from patchwright.domain.nodes.procedure import NodeKind
from patchwright.domain.nodes.record import Mark, Record
from patchwright.domain.nodes.view import (
    Eviction,
    EvictionAttempt,
    JobView,
    NodeView,
    Outcome,
    Owner,
    PodList,
    PodView,
)
from patchwright.domain.policy import PolicyDecision, Violation
from patchwright.domain.snapshot import Decision, Snapshot
from patchwright.domain.state import Cause, Phase, RolloutState, WavePolicy
from patchwright.domain.targets import Brief, Note, Order, Standing

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=1)
ROLLOUT_UID = "0f0e0d0c-rollout"
CHANGE = "c0ffee0123456789"
VERSION = "3.0.17"
REVISION = "main@sha1:abc"
OURS = frozenset({Mark.DRAINING, Mark.APPLYING, Mark.FAILED, Mark.UNDRAINING, Mark.REVERTING, Mark.QUARANTINED})
CLAIMED = frozenset({Mark.PREPARING, Mark.PREPARED})
APPLIED = frozenset(Mark) - CLAIMED - {Mark.DRAINING}


def ago(seconds: float) -> datetime:
    """Give the instant so many seconds before ``NOW``."""
    return NOW - timedelta(seconds=seconds)


def record(mark: Mark, *, seconds: float = 1, **changes: Any) -> Record:
    """Give a record of our rollout that was written ``seconds`` ago, as the procedure would have written it."""
    since = ago(seconds)
    fields: dict[str, Any] = {
        "rollout": "ops/openssl",
        "rollout_uid": ROLLOUT_UID,
        "change_id": CHANGE,
        "wave": 0,
        "started_at": since,
        "since": since,
        "cordoned": mark in OURS,
        "boot_id": "boot-1",
        "applied": mark in APPLIED,
        "failed": mark in (Mark.FAILED, Mark.QUARANTINED),
    }
    return Record(mark=mark, **(fields | changes))


@dataclass(frozen=True, slots=True)
class NodeBuilder:
    """A node in the making; ``view`` is the node."""

    view: NodeView

    def but(self, **changes: Any) -> NodeBuilder:
        return NodeBuilder(replace(self.view, **changes))

    def cordoned(self) -> NodeBuilder:
        return self.but(unschedulable=True, tainted=True)

    def uncordoned(self) -> NodeBuilder:
        return self.but(unschedulable=False, tainted=False)

    def not_ready(self, why: str = "kubelet stopped posting node status") -> NodeBuilder:
        return self.but(ready=False, not_ready_why=why)

    def record(self, mark: Mark, *, seconds: float = 1, **changes: Any) -> NodeBuilder:
        """Give it our record; where the record says that the cordon is ours, it is cordoned, and tainted for it."""
        made = record(mark, seconds=seconds, **changes)
        cordoned = self.view.unschedulable or made.cordoned
        return self.but(record=made, unschedulable=cordoned, tainted=cordoned)

    def foreign_record(self) -> NodeBuilder:
        return self.record(Mark.DRAINING, rollout="ops/other", rollout_uid="another")

    def order(self, **changes: Any) -> NodeBuilder:
        return self.but(order=replace(self.view.order, **changes))

    def zone(self, name: str) -> NodeBuilder:
        return self.order(domain=name)

    def control_plane(self) -> NodeBuilder:
        return self.order(one_at_a_time=True).but(control_plane=True)

    def labels(self, **labels: str) -> NodeBuilder:
        return self.but(labels={**self.view.labels, **labels})

    def job(self, step: JobStep, outcome: Outcome | None = None, *, seconds: float = 1, **changes: Any) -> NodeBuilder:
        """Give it one of our Jobs, created ``seconds`` ago and, with an outcome, finished just now."""
        made = job(self.view, step, outcome, seconds=seconds, **changes)
        return self.but(jobs={**self.view.jobs, step: made})

    def succeeded(self, step: JobStep, said: str = "{}") -> NodeBuilder:
        return self.job(step, Outcome.SUCCEEDED, termination=said, finished_at=NOW)

    def failed(self, step: JobStep, said: str = "{}", *, code: int | None = 1) -> NodeBuilder:
        return self.job(step, Outcome.FAILED, termination=said, finished_at=NOW, exit_code=code)

    def pods(self, *pods: PodView, seconds: float = 0.5) -> NodeBuilder:
        """Say which pods were listed on it, ``seconds`` ago."""
        return self.but(pods=PodList(ago(seconds), pods))

    def answered(self, found: PodView, result: Eviction, *, seconds: float = 0, **changes: Any) -> NodeBuilder:
        """Say what the eviction API answered for a pod."""
        attempt = EvictionAttempt(result, ago(seconds), **changes)
        return self.but(evictions={**self.view.evictions, found.ref.uid: attempt})


def node(name: str = "n1", *, zone: str = "a", risk: int = 1) -> NodeBuilder:
    """Give a healthy, untouched node."""
    order = Order(last=False, one_at_a_time=False, risk=risk, domain=zone, name=name)
    return NodeBuilder(NodeView(name, f"uid-{name}", "1", order, boot_id="boot-1"))


def nodes(count: int, *, zone: str = "a") -> tuple[NodeBuilder, ...]:
    """Give so many untouched nodes, n01, n02…"""
    return tuple(node(f"n{number:02}", zone=zone) for number in range(1, count + 1))


def job(
    view: NodeView, step: JobStep, outcome: Outcome | None = None, *, seconds: float = 1, **changes: Any
) -> JobView:
    return JobView(
        name=f"job-{view.name}-{step}",
        uid=f"job-uid-{view.name}-{step}",
        rollout_uid=ROLLOUT_UID,
        node_name=view.name,
        node_uid=view.uid,
        step=step,
        created_at=ago(seconds),
        outcome=outcome,
        **changes,
    )


def pod(name: str = "web-0", *, namespace: str = "shop", **changes: Any) -> PodView:
    """Give a running pod that a controller would bring back elsewhere."""
    return PodView(PodRef(namespace, name, f"uid-{namespace}-{name}"), **({"owner": Owner.OTHER} | changes))


def quantity(text: int | str) -> Quantity:
    """Read ``3`` or ``"10%"``."""
    return Quantity(text) if isinstance(text, int) else Quantity(int(text.rstrip("%")), percent=True)


def labelled(key: str, value: str) -> Selector:
    """Select by one label."""
    return Selector((Requirement(key, Operator.IN, frozenset({value})),))


def strategy(
    *,
    canary: int | str | Selector = 1,
    soak: float = 300,
    waves: Sequence[int | str | Wave] = (),
    max_unavailable: int | str = 1,
    failure_threshold: int | str = 1,
    **changes: Any,
) -> Strategy:
    """Give a strategy in plain words; ``soak`` is the canary's, in seconds."""
    length = timedelta(seconds=soak)
    first = (
        Canary(selector=canary, soak=length) if isinstance(canary, Selector) else Canary(quantity(canary), soak=length)
    )
    return Strategy(
        canary=first,
        waves=tuple(wave if isinstance(wave, Wave) else Wave(quantity(wave)) for wave in waves),
        max_unavailable=quantity(max_unavailable),
        failure_threshold=quantity(failure_threshold),
        **changes,
    )


_STRATEGY = frozenset(
    {"canary", "soak", "waves", "max_unavailable", "failure_threshold", "topology_key", "progress_deadline"}
)


def policy(**changes: Any) -> PatchPolicy:
    """Give a policy; words of the strategy may be said directly: ``policy(canary=2, max_unavailable="10%")``."""
    plan = {key: changes.pop(key) for key in tuple(changes) if key in _STRATEGY}
    found = PatchPolicy(Key("ops", "openssl"), "policy-uid", 1, NodeTarget(), strategy=strategy(**plan))
    return replace(found, **changes)


def change(**changes: Any) -> ScriptChange:
    """Give a change that can be put back."""
    step = Step(command=("/bin/sh",))
    return replace(ScriptChange(VERSION, "registry.example/patch@sha256:1", step, rollback=step), **changes)


_OF_CHANGE = ("prepare", "verify", "rollback", "reboot", "apply")


def rollout(**changes: Any) -> PatchRollout:
    """Give a rollout; words of the change may be said directly: ``rollout(reboot=Reboot.ALWAYS)``."""
    of_change = {key: changes.pop(key) for key in _OF_CHANGE if key in changes}
    found = PatchRollout(
        Key("ops", "openssl"), ROLLOUT_UID, 1, LONG_AGO, "openssl", change=change(**of_change), change_id=CHANGE
    )
    return replace(found, **changes)


PREPARED = Step(command=("/bin/prepare",))
VERIFIED = Step(command=("/bin/verify",))
REBOOTS = {"reboot": Reboot.ALWAYS}


def brief(
    *, policy: PatchPolicy | None = None, rollout: PatchRollout | None = None, now: datetime = NOW, **changes: Any
) -> Brief:
    return Brief(now, rollout or _ROLLOUT, policy or _POLICY, **changes)


def stand(made: NodeBuilder, **changes: Any) -> Standing:
    """Say where a node stands."""
    return NodeKind().stand(made.view, brief(**changes))


def allowed(wave: int, *, seconds: float = 0, **changes: Any) -> WavePolicy:
    """Give a recorded policy answer that allows a wave."""
    at = ago(seconds)
    decision = PolicyDecision(True, (), (), (), REVISION, "id", "sha256:0", at, "patchwright.rollout")
    return WavePolicy(wave, at, replace(decision, **changes))


def denied(wave: int, *messages: str, seconds: float = 0, until: datetime | None = None) -> WavePolicy:
    """Give a recorded policy answer that refuses a wave."""
    violations = tuple(Violation(text, "patchwright.rollout/deny", until=until) for text in messages)
    return allowed(wave, seconds=seconds, allowed=False, violations=violations)


def no_answer(wave: int, *, seconds: float = 0) -> WavePolicy:
    """Give the record of a question that nobody answered."""
    return WavePolicy(wave, ago(seconds), trouble="OPA does not answer", reason="PolicyUnavailable")


def planned(spec: PatchPolicy, total: int, *, canaries: int = 0, **changes: Any) -> RolloutState:
    """Give the memory of a rollout that is planned for ``total`` targets and allowed to start its wave."""
    plan = waves.plan(spec.strategy, total=total, canaries=canaries)
    wave = changes.get("wave", 0)
    started = ago(3600) if wave else None
    found = RolloutState(phase=Phase.PENDING, plan=plan, policy=allowed(wave), started_at=started)
    return replace(found, **changes)


def snapshot(
    *made: NodeBuilder,
    policy: PatchPolicy | None = None,
    rollout: PatchRollout | None = None,
    state: RolloutState | Mapping[str, Any] | None = None,
    **changes: Any,
) -> Snapshot:
    """Give a snapshot; the default memory is that of a rollout that is planned and allowed to begin its canary, with
    policy having been asked about every node.

    ``state`` may be words for ``planned``: ``state={"wave": 1}``.
    """
    policy = policy or _POLICY
    if not isinstance(state, RolloutState):
        state = planned(policy, len(made), **(state or {}))
    found = Snapshot(
        now=NOW,
        observing_since=LONG_AGO,
        rollout=rollout or _ROLLOUT,
        policy=policy,
        state=state,
        kind=NodeKind(),
        targets=tuple(each.view for each in made),
        revision=REVISION,
        asked=frozenset(each.view.name for each in made),
    )
    return replace(found, **changes)


def deciding(*made: NodeBuilder, **changes: Any) -> Decision:
    """Decide about a snapshot."""
    return decide(snapshot(*made, **changes))


def actions(decision: Decision) -> tuple[Action, ...]:
    """Give everything that a decision does, in order."""
    return tuple(action for batch in decision.batches for action in batch)


def noted(made: NodeBuilder, step: str = "Draining", *, seconds: float = 60, wave: int = 0) -> Note:
    """Give the line in status of a node that was in flight when status was last written."""
    return Note(made.view.name, made.view.uid, step, wave, since=ago(seconds))


def cause(reason: str = "CanaryFailed", message: str = "canary n01 failed: exit code 1") -> Cause:
    return Cause(reason, message, ago(1))


_POLICY = policy()
_ROLLOUT = rollout()
NO_DRAIN = Drain(enabled=False)
