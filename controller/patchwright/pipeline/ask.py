"""Ask policy: from a rollout to the question OPA is asked, and from its answer to a fact."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import assert_never

from patchwright import errors, ports
from patchwright.domain import budget, gates, policy, selection, waves
from patchwright.domain.actions import AskPolicy
from patchwright.domain.images import reference
from patchwright.domain.images import trust as trusting
from patchwright.domain.images.trust import Trust
from patchwright.domain.model import ImagePin, ImagesChange, PatchPolicy, PatchRollout, Quantity, ScriptChange
from patchwright.domain.nodes.view import NodeView
from patchwright.domain.snapshot import Snapshot
from patchwright.domain.state import Plan, WavePolicy
from patchwright.domain.targets import Target
from patchwright.domain.workloads import images
from patchwright.domain.workloads.view import WorkloadView
from patchwright.pipeline.trust import whom

PROTECTED_LABEL = "patchwright.dev/protected"
ZONE_LABEL = "topology.kubernetes.io/zone"


async def ask(
    engine: ports.PolicyEngine, images: ports.ImageTrust, snapshot: Snapshot, *, action: AskPolicy
) -> WavePolicy:
    """Have one wave decided; trouble is an answer too, one that allows nothing."""
    try:
        trust = await _trust(images, snapshot)
        decision = await engine.evaluate(question(snapshot, action, revision=engine.revision(), trust=trust))
    except errors.PolicyError as error:
        return WavePolicy(action.wave, snapshot.now, trouble=error.message, reason=error.reason)
    return WavePolicy(action.wave, snapshot.now, decision=decision)


async def _trust(images: ports.ImageTrust, snapshot: Snapshot) -> Mapping[str, Trust]:
    """Give who vouches for each image of the change, by its wanted text."""
    change = snapshot.rollout.change
    if whom(snapshot.policy) is None or not isinstance(change, ImagesChange):
        return {}
    found = await asyncio.gather(*(images.facts(snapshot.policy, pin) for pin in change.images))
    return {pin.wanted: each for pin, each in zip(change.images, found, strict=True)}


def question(
    snapshot: Snapshot, action: AskPolicy, *, revision: str, trust: Mapping[str, Trust]
) -> policy.PolicyQuestion:
    """Put the question for one wave, pinned to one revision."""
    plan = snapshot.state.plan or _plan(snapshot)
    document = policy.policy_input(
        now=snapshot.now,
        stage=_stage(action.wave),
        rollout=_rollout(snapshot.rollout, trust),
        policy=_policy(snapshot.policy),
        fleet=_fleet(snapshot),
        plan=[policy.StageFacts(wave.name, wave.size or 0) for wave in plan.waves],
        source_revision=revision,
        wave=_wave(snapshot, action, plan) if action.wave >= 0 else policy.NO_WAVE,
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


def _wave(snapshot: Snapshot, action: AskPolicy, plan: Plan) -> policy.WaveFacts:
    names = frozenset(action.targets)
    mine = [target for target in snapshot.targets if target.name in names]
    guarded = [target.name for target in mine if _protected(target)]
    views = [target for target in mine if isinstance(target, WorkloadView)]
    # Sorted and cut before anything is put together: the last wave of a large fleet has thousands.
    first = sorted(views, key=lambda view: view.name)[: policy.MAX_WORKLOADS]
    facts = [_workload(view, snapshot.rollout.images) for view in first]
    return policy.WaveFacts(action.wave, plan.waves[action.wave].name, action.targets, guarded, workloads=facts)


def _workload(view: WorkloadView, change: ImagesChange) -> policy.WorkloadFacts:
    outdated = images.outdated(change, view.images)
    return policy.WorkloadFacts(
        name=view.name,
        kind=view.kind,
        namespace=view.namespace,
        strategy="Recreate" if view.recreate else "OnDelete" if view.on_delete else "RollingUpdate",
        replicas=view.replicas,
        paused=view.paused,
        owner=view.owner or view.gitops,
        images=[policy.ImageFacts(field.name, field.image, pin.wanted) for field, pin in outdated],
        labels=view.labels,
    )


def _protected(target: Target) -> bool:
    return target.labels.get(PROTECTED_LABEL) == "true"


def _rollout(rollout: PatchRollout, trust: Mapping[str, Trust]) -> policy.RolloutFacts:
    return policy.RolloutFacts(
        name=rollout.key.name,
        namespace=rollout.key.namespace,
        created_at=rollout.created_at,
        change=_change(rollout, trust),
        labels=dict(rollout.labels),
        annotations=dict(rollout.annotations),
        advisories=rollout.advisories,
    )


def _change(rollout: PatchRollout, trust: Mapping[str, Trust]) -> policy.ChangeFacts:
    match rollout.change:
        case ScriptChange() as change:
            digest = change.image.partition("@")[2] or None
            return policy.ChangeFacts(
                "script",
                change.version,
                change.image,
                digest,
                reboot=change.reboot.value,
                privileged=change.privileged,
                prepare=change.prepare is not None,
            )
        case ImagesChange() as change:
            # Of one image the fields that a script has too, so that a rule about images holds for both.
            only = change.images[0] if len(change.images) == 1 else None
            pins = [_pin(pin, trust.get(pin.wanted, trusting.NOT_ASKED), rollout) for pin in change.images]
            image, digest = (only.wanted, only.digest) if only else (None, None)
            return policy.ChangeFacts("images", change.version, image, digest, images=pins)
        case _ as never:
            assert_never(never)


def _pin(pin: ImagePin, found: Trust, rollout: PatchRollout) -> policy.PinFacts:
    since, source = trusting.since(found, rollout.created_at)
    registry = reference.parse(pin.image).registry
    return policy.PinFacts(pin.image, pin.tag or "", pin.digest, registry, found, since, source)


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
        canary_pods=None if strategy.canary.pods is None else _quantity(strategy.canary.pods),
    )


def _quantity(quantity: Quantity) -> int | str:
    return str(quantity) if quantity.percent else quantity.value


def _fleet(snapshot: Snapshot) -> policy.FleetFacts:
    counts, found = snapshot.state.counts, snapshot.targets
    views = [target for target in found if isinstance(target, WorkloadView)]
    return policy.FleetFacts(
        selected=len(found),
        max_unavailable=budget.resolve(snapshot.policy.strategy.max_unavailable, len(found)),
        updated=counts.updated,
        unavailable=sum(not target.available for target in found),
        skipped=counts.skipped,
        protected=[target.name for target in found if _protected(target)],
        zones=Counter(target.labels[ZONE_LABEL] for target in found if ZONE_LABEL in target.labels),
        control_plane=sum(isinstance(target, NodeView) and target.control_plane for target in found),
        target=snapshot.kind.noun,
        kinds=Counter(view.kind for view in views),
        namespaces=Counter(view.namespace for view in views),
    )
