"""The kinds of targets: which one a change is for, and what a policy selects of it.

This is the one place of the pipeline that knows how many kinds there are. The change decides, not the policy: a change
is immutable, while a policy may be edited under a rollout that has begun, and what it touched has to be put back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

from patchwright import ports
from patchwright.domain import tenancy
from patchwright.domain.actions import NodeRef, WorkloadRef
from patchwright.domain.model import Change, ImagesChange, PatchPolicy, PatchRollout, ScriptChange, WorkloadTarget
from patchwright.domain.nodes.procedure import NodeKind
from patchwright.domain.nodes.view import NodeView
from patchwright.domain.targets import Target, TargetKind
from patchwright.domain.workloads import images
from patchwright.domain.workloads.procedure import WorkloadKind
from patchwright.domain.workloads.standalone import NOTHING, Survey
from patchwright.domain.workloads.view import WorkloadView
from patchwright.pipeline.facts import Facts

Ref = NodeRef | WorkloadRef
_NODES, _WORKLOADS = NodeKind(), WorkloadKind()


def kind(change: Change) -> TargetKind:
    """Give the kind of target that a change is for."""
    match change:
        case ScriptChange():
            return _NODES
        case ImagesChange():
            return _WORKLOADS
        case _ as never:
            assert_never(never)


def noun(policy: PatchPolicy) -> str:
    """Give what people call a target of a policy."""
    return (_WORKLOADS if isinstance(policy.target, WorkloadTarget) else _NODES).noun


def forbidden(world: ports.World, policy: PatchPolicy) -> str:
    """Say why a policy may not have its target; empty when it may."""
    return tenancy.fault(policy, operator_namespace=world.operator_namespace)


def selected(world: ports.World, policy: PatchPolicy) -> Sequence[Target]:
    """Give what a policy selects, whatever the change."""
    if forbidden(world, policy):
        return ()
    if isinstance(policy.target, WorkloadTarget):
        return world.workloads.selected(policy)
    return world.fleet.nodes(policy)


def absent(world: ports.World, policy: PatchPolicy) -> str:
    """Say why a kind that a policy names cannot be looked at; empty when all can."""
    return world.workloads.absent(policy)


def standalone(world: ports.World, policy: PatchPolicy) -> Survey:
    """Give what runs the images of a policy and cannot be patched."""
    return NOTHING if forbidden(world, policy) else world.workloads.standalone(policy)


def workloads(world: ports.World, policy: PatchPolicy) -> tuple[WorkloadView, ...]:
    """Give the workloads that a policy selects, whatever the change."""
    found = [target for target in selected(world, policy) if isinstance(target, WorkloadView)]
    living = _living(world, found)
    return tuple(_without_the_dead(view, living) for view in found)


def of(world: ports.World, rollout: PatchRollout, policy: PatchPolicy, *, facts: Facts) -> tuple[Target, ...]:
    """Give the targets of a rollout: what its policy selects, and whatever else carries its record."""
    found = selected(world, policy)
    match rollout.change:
        case ScriptChange():
            nodes = [target for target in found if isinstance(target, NodeView)]
            names = {node.name for node in nodes}
            strays = (node for node in world.fleet.marked(rollout.uid, policy) if node.name not in names)
            return tuple(_node(node, facts) for node in (*nodes, *strays))
        case ImagesChange() as change:
            mine = [target for target in found if isinstance(target, WorkloadView)]
            mine = [view for view in mine if images.concerns(change, view.images)]
            uids = {view.uid for view in mine}
            others = (view for view in world.workloads.marked(rollout.uid, policy) if view.uid not in uids)
            living = _living(world, mine, besides=rollout.uid)
            return tuple(_workload(view, facts, living) for view in (*mine, *others))
        case _ as never:
            assert_never(never)


def one(world: ports.World, rollout: PatchRollout, policy: PatchPolicy, *, ref: Ref, facts: Facts) -> Target | None:
    """Give one selected target as it stands by now."""
    match ref:
        case NodeRef():
            found = (target for target in selected(world, policy) if target.uid == ref.uid)
            return next((_node(target, facts) for target in found if isinstance(target, NodeView)), None)
        case WorkloadRef():
            view = None if forbidden(world, policy) else world.workloads.one(ref, policy)
            return None if view is None else _workload(view, facts, _living(world, [view], besides=rollout.uid))
        case _ as never:
            assert_never(never)


async def refresh(world: ports.World, target: Target) -> None:
    """Read one target past the caches."""
    match target:
        case NodeView():
            await world.fleet.refresh(target.ref)
        case WorkloadView():
            await world.workloads.refresh(target.ref)


def _node(node: NodeView, facts: Facts) -> NodeView:
    known = facts.nodes.get(node.uid)
    return node if known is None else known.onto(node)


def _living(world: ports.World, views: Sequence[WorkloadView], *, besides: str = "") -> frozenset[str] | None:
    """Give the UIDs of all rollouts, if any workload carries a record that may be a dead one's.

    That of the rollout ``besides`` is none: after each list of pods one is looked at, and a fleet has many rollouts.
    """
    if not any(view.record and view.record.rollout_uid != besides for view in views):
        return None
    cases = (world.rollouts.get(key) for key in world.rollouts.keys())  # noqa: SIM118 (a port's method)
    return frozenset(case.uid for case in cases if case is not None)


def _workload(view: WorkloadView, facts: Facts, living: frozenset[str] | None) -> WorkloadView:
    """Give a workload with what was seen of its pods and images, without the record of a rollout that is no more."""
    view = _without_the_dead(view, living)
    if facts.kept and view.record is None:
        view = replace(view, kept=facts.kept)
    if view.beside is not None and (seen := facts.workloads.get(view.beside.uid)):
        view = replace(view, beside=replace(view.beside, pods=seen))
    known = facts.workloads.get(view.uid)
    return view if known is None else replace(view, pods=known)


def _without_the_dead(view: WorkloadView, living: frozenset[str] | None) -> WorkloadView:
    """Give a workload without the record of a rollout that is no more.

    It may come back from a ReplicaSet long after its rollout has let go of the workload and was deleted.
    """
    dead = living is not None and view.record is not None and view.record.rollout_uid not in living
    return replace(view, record=None) if dead else view
