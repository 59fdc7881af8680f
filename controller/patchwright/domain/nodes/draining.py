"""A node while it is being emptied, on the way forward or back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from patchwright.domain import spelling
from patchwright.domain.actions import Action, Cordon, DeletePod, Evict, JobStep, ListPods
from patchwright.domain.actions import Mark as WriteRecord
from patchwright.domain.model import Drain
from patchwright.domain.nodes import drain, jobs, marks, spans
from patchwright.domain.nodes.record import Record
from patchwright.domain.nodes.view import NodeView, PodList, PodView
from patchwright.domain.targets import Brief, Stage, Standing

# The scheduler may have bound a pod while the cordon was on its way; a list made later than this after the cordon
# shows it (kubevirt/node-maintenance-operator#20). That the taint is there proves that watchers were told of the
# cordon, and then only a binding that was a request already can follow. Where nobody taints, or the control plane is
# slow, the list waits longer.
SETTLE = timedelta(milliseconds=100)
SETTLE_UNTOLD = timedelta(seconds=1)
FORCED_GRACE = timedelta(seconds=1)


def forward(node: NodeView, record: Record, brief: Brief) -> Standing:
    """Empty a node that is to be patched, then start its apply Job."""

    def go_on() -> tuple[Action, ...]:
        after = marks.applying(node, record, brief)
        return WriteRecord(node.ref, after), jobs.start(node, brief, JobStep.APPLY)

    def give_up(reason: str, message: str) -> tuple[Action, ...]:
        return (marks.give_back(node, record, brief, reason=reason, message=message, failed=True),)

    return _empty(node, record, brief, stage=Stage.WORKING, go_on=go_on, give_up=give_up)


def back(node: NodeView, record: Record, brief: Brief) -> Standing:
    """Empty a node that is to be put back, then start its rollback Job."""

    def go_on() -> tuple[Action, ...]:
        after = marks.reverting(node, record, brief)
        return WriteRecord(node.ref, after), jobs.start(node, brief, JobStep.ROLLBACK)

    def give_up(reason: str, message: str) -> tuple[Action, ...]:
        return (marks.quarantine(node, record, brief, f"Rollback{reason}", f"to be rolled back: {message}"),)

    return _empty(node, record, brief, stage=Stage.RESTORING, go_on=go_on, give_up=give_up)


def _empty(
    node: NodeView,
    record: Record,
    brief: Brief,
    *,
    stage: Stage,
    go_on: Callable[[], tuple[Action, ...]],
    give_up: Callable[[str, str], tuple[Action, ...]],
) -> Standing:
    options = brief.policy.drain
    if not node.unschedulable:
        return _again(node, record, brief, stage)
    if not options.enabled:
        return marks.standing(stage, record, message="is not drained (drain.enabled is false)", actions=go_on())
    ready_at = record.since + (SETTLE if node.tainted else SETTLE_UNTOLD)
    if node.pods is None or node.pods.at < ready_at:
        return _look(node, record, brief, stage, at=ready_at)
    plan = drain.plan(node.pods, options, attempts=node.evictions, now=brief.now)
    if plan.drained:
        return marks.standing(stage, record, message="is drained", actions=go_on())
    message = drain.sentence(plan)
    if plan.refused:
        refused = marks.standing(stage, record, message=message, actions=give_up("DrainRefused", message))
        return replace(refused, reason="DrainRefused", failing=True)
    if brief.now >= record.started_at + options.timeout:
        return _late(node, record, brief, stage, plan=plan, give_up=give_up)
    actions = _moves(node, plan.evict, options, grace=options.grace_period) + _relist(node, node.pods, brief.now)
    return replace(
        marks.standing(stage, record, message=message, actions=actions, wake=_wake(brief.now, plan)),
        reason=plan.obstacles[0].reason if plan.obstacles else "",
    )


def _again(node: NodeView, record: Record, brief: Brief, stage: Stage) -> Standing:
    """Cordon again a node that somebody uncordoned in the middle: it must never count as drained while schedulable.

    The new cordon is ours, also where the one that went was somebody else's: he has taken it back.
    """
    message = "somebody uncordoned it while it was being drained; cordoned again"
    again = Cordon(node.ref, replace(record, since=brief.now, cordoned=True))
    return marks.standing(stage, record, message=message, actions=(again,))


def _look(node: NodeView, record: Record, brief: Brief, stage: Stage, *, at: datetime) -> Standing:
    if brief.now < at:
        return marks.standing(stage, record, message="is cordoned", wake=at)
    return marks.standing(stage, record, message="looks at its pods", actions=(ListPods(node.ref),))


def _late(
    node: NodeView,
    record: Record,
    brief: Brief,
    stage: Stage,
    *,
    plan: drain.DrainPlan,
    give_up: Callable[[str, str], tuple[Action, ...]],
) -> Standing:
    """Decide about a drain whose time is up."""
    options = brief.policy.drain
    message = f"not drained within {spelling.duration(options.timeout)}: {drain.sentence(plan)}"
    if brief.now >= record.started_at + spans.drain(options):
        late = marks.standing(stage, record, message=message, actions=give_up("DrainTimeout", message))
        return replace(late, reason="DrainTimeout", failing=True)
    left = [*plan.evict, *(obstacle.pod for obstacle in plan.blocked), *plan.waiting]
    fresh = [pod for pod in left if pod.deleted_at is None]
    forced = replace(options, disable_eviction=True)
    # A grace period of 0 would break "at most one" for StatefulSets; Karpenter floors it at a second too.
    actions = _moves(node, fresh[: drain.PASS_LIMIT], forced, grace=FORCED_GRACE)
    pods = _relist(node, node.pods, brief.now) if node.pods else ()
    wake = brief.now + drain.RELIST
    return marks.standing(stage, record, message=f"{message}; forcing", actions=actions + pods, wake=wake)


def _moves(
    node: NodeView, pods: tuple[PodView, ...] | list[PodView], options: Drain, *, grace: timedelta | None
) -> tuple[Action, ...]:
    if options.disable_eviction:
        return tuple(DeletePod(node.ref, pod.ref, grace) for pod in pods)
    return tuple(Evict(node.ref, pod.ref, grace) for pod in pods)


def _relist(node: NodeView, pods: PodList, now: datetime) -> tuple[Action, ...]:
    return (ListPods(node.ref),) if now >= pods.at + drain.RELIST else ()


def _wake(now: datetime, plan: drain.DrainPlan) -> datetime:
    """Look again soon while pods are leaving, at the retry while all are held."""
    if plan.evict or plan.waiting or plan.retry_at is None:
        return now + drain.RELIST
    return max(plan.retry_at, now + drain.RELIST)
