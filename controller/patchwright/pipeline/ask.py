"""Ask policy: from a rollout to the question OPA is asked, and from its answer to a fact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from patchwright import errors, ports
from patchwright.domain import budget, gates, policy, selection, waves
from patchwright.domain.actions import AskPolicy
from patchwright.domain.model import PatchPolicy, Quantity
from patchwright.domain.nodes.view import NodeView
from patchwright.domain.snapshot import Snapshot
from patchwright.domain.state import Plan, WavePolicy

PROTECTED_LABEL = "patchwright.dev/protected"
ZONE_LABEL = "topology.kubernetes.io/zone"


async def ask(engine: ports.PolicyEngine, snapshot: Snapshot, action: AskPolicy) -> WavePolicy:
    """Have one wave decided; trouble is an answer too, one that allows nothing."""
    try:
        decision = await engine.evaluate(question(snapshot, action, revision=engine.revision()))
    except errors.PolicyError as error:
        return WavePolicy(action.wave, snapshot.now, trouble=error.message, reason=error.reason)
    return WavePolicy(action.wave, snapshot.now, decision=decision)


def question(snapshot: Snapshot, action: AskPolicy, *, revision: str) -> policy.PolicyQuestion:
    """Put the question for one wave, pinned to one revision."""
    nodes: Sequence[NodeView] = snapshot.targets  # type: ignore[assignment]  # nodes are the only kind yet
    plan = snapshot.state.plan or _plan(snapshot)
    document = policy.policy_input(
        now=snapshot.now,
        stage=_stage(action.wave),
        rollout=_rollout(snapshot),
        policy=_policy(snapshot.policy),
        fleet=_fleet(snapshot, nodes),
        plan=[policy.StageFacts(wave.name, wave.size or 0) for wave in plan.waves],
        source_revision=revision,
        wave=_wave(action, plan, nodes) if action.wave >= 0 else policy.NO_WAVE,
        published_at=snapshot.rollout.released_at,
    )
    return policy.PolicyQuestion(snapshot.policy.policy.package, document, revision)


def _plan(snapshot: Snapshot) -> Plan:
    selector = snapshot.policy.strategy.canary.selector
    canaries = sum(selection.matches(selector, t.labels) for t in snapshot.targets) if selector else 0
    return waves.plan(snapshot.policy.strategy, total=len(snapshot.targets), canaries=canaries)


def _stage(wave: int) -> policy.Stage:
    if wave == gates.START:
        return policy.Stage.START
    return policy.Stage.CANARY if wave == 0 else policy.Stage.WAVE


def _wave(action: AskPolicy, plan: Plan, nodes: Sequence[NodeView]) -> policy.WaveFacts:
    names = frozenset(action.targets)
    guarded = [node.name for node in nodes if node.name in names and _protected(node)]
    return policy.WaveFacts(action.wave, plan.waves[action.wave].name, action.targets, guarded)


def _protected(node: NodeView) -> bool:
    return node.labels.get(PROTECTED_LABEL) == "true"


def _rollout(snapshot: Snapshot) -> policy.RolloutFacts:
    rollout = snapshot.rollout
    change = rollout.change
    digest = change.image.partition("@")[2] or None
    return policy.RolloutFacts(
        name=rollout.key.name,
        namespace=rollout.key.namespace,
        created_at=rollout.created_at,
        change=policy.ChangeFacts(
            "script", change.version, change.image, digest, reboot=change.reboot.value, privileged=change.privileged
        ),
        labels=dict(rollout.labels),
        annotations=dict(rollout.annotations),
        advisories=rollout.advisories,
    )


def _policy(spec: PatchPolicy) -> policy.PolicyFacts:
    strategy = spec.strategy
    return policy.PolicyFacts(
        name=spec.key.name,
        namespace=spec.key.namespace,
        canary_count=_quantity(strategy.canary.count),
        canary_soak=strategy.canary.soak,
        max_unavailable=_quantity(strategy.max_unavailable),
        failure_threshold=_quantity(strategy.failure_threshold),
        waves=[(_quantity(wave.size), wave.soak) for wave in strategy.waves],
        windows=[(window.start, window.duration, window.time_zone) for window in spec.windows],
        rollback_enabled=spec.rollback.enabled,
        rollback_scope=spec.rollback.scope.value,
        labels=dict(spec.labels),
    )


def _quantity(quantity: Quantity) -> int | str:
    return str(quantity) if quantity.percent else quantity.value


def _fleet(snapshot: Snapshot, nodes: Sequence[NodeView]) -> policy.FleetFacts:
    counts = snapshot.state.counts
    return policy.FleetFacts(
        selected=len(nodes),
        max_unavailable=budget.resolve(snapshot.policy.strategy.max_unavailable, len(nodes)),
        updated=counts.updated,
        unavailable=sum(not node.available for node in nodes),
        skipped=counts.skipped,
        protected=[node.name for node in nodes if _protected(node)],
        zones=Counter(node.labels[ZONE_LABEL] for node in nodes if ZONE_LABEL in node.labels),
        control_plane=sum(node.control_plane for node in nodes),
    )
