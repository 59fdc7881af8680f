"""A node while it is being emptied, on the way forward or back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from patchwright.domain import spelling
from patchwright.domain.actions import Action, Cordon, DeletePod, Evict, JobStep, ListPods, ListVolumes
from patchwright.domain.actions import Mark as WriteRecord
from patchwright.domain.model import Drain, OnTimeout
from patchwright.domain.nodes import balancers, drain, jobs, marks, spans, volumes
from patchwright.domain.nodes.record import Record
from patchwright.domain.nodes.view import NodeView, PodList, PodView, VolumeList
from patchwright.domain.targets import Brief, Stage, Standing

# The scheduler may have bound a pod while the cordon was on its way; a list made later than this after the cordon
# shows it (kubevirt/node-maintenance-operator#20). That the taint is there proves that watchers were told of the
# cordon, and then only a binding that was a request already can follow. Where nobody taints, or the control plane is
# slow, the list waits longer.
SETTLE = timedelta(milliseconds=100)
SETTLE_UNTOLD = timedelta(seconds=1)
FORCED_GRACE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class _Way:
    """Where a drain leads: what an empty node goes on to, and how one that does not become empty is given up."""

    stage: Stage
    go_on: Callable[[], tuple[Action, ...]]
    give_up: Callable[[str, str], tuple[Action, ...]]


def forward(node: NodeView, record: Record, brief: Brief) -> Standing:
    """Empty a node that is to be patched, then start its apply Job."""

    def go_on() -> tuple[Action, ...]:
        after = marks.applying(node, record, brief)
        return WriteRecord(node.ref, after), jobs.start(node, brief, JobStep.APPLY)

    def give_up(reason: str, message: str) -> tuple[Action, ...]:
        return (marks.give_back(node, record, brief, reason=reason, message=message, failed=True),)

    return _empty(node, record, brief, _Way(Stage.WORKING, go_on, give_up))


def back(node: NodeView, record: Record, brief: Brief) -> Standing:
    """Empty a node that is to be put back, then start its rollback Job."""

    def go_on() -> tuple[Action, ...]:
        after = marks.reverting(node, record, brief)
        return WriteRecord(node.ref, after), jobs.start(node, brief, JobStep.ROLLBACK)

    def give_up(reason: str, message: str) -> tuple[Action, ...]:
        return (marks.quarantine(node, record, brief, f"Rollback{reason}", f"to be rolled back: {message}"),)

    return _empty(node, record, brief, _Way(Stage.RESTORING, go_on, give_up))


def _empty(node: NodeView, record: Record, brief: Brief, way: _Way) -> Standing:
    options, stage = brief.policy.drain, way.stage
    if not node.unschedulable:
        return _again(node, record, brief, stage)
    if brief.now < (left_at := balancers.left_at(record, options)):
        message = f"is out of load balancers, which have until {_clock(left_at)} to stop sending to it"
        return marks.standing(stage, record, message=message, wake=left_at)
    if why := _undrained(node, options):
        return marks.standing(stage, record, message=f"is not drained ({why})", actions=way.go_on())
    ready_at = record.since + (SETTLE if node.tainted else SETTLE_UNTOLD)
    if node.pods is None or node.pods.at < ready_at:
        return _look(node, record, brief, stage, at=ready_at)
    plan = drain.plan(node.pods, options, attempts=node.evictions, now=brief.now)
    if plan.drained:
        return _emptied(node, record, brief, way, pods=node.pods)
    message = drain.sentence(plan)
    if plan.refused:
        refused = marks.standing(stage, record, message=message, actions=way.give_up("DrainRefused", message))
        return replace(refused, reason="DrainRefused", failing=True)
    if brief.now >= _deadline(record, options):
        return _late(node, record, brief, way, plan=plan)
    actions = _moves(node, plan.evict, options, grace=options.grace_period) + _relist(node, node.pods, brief.now)
    return replace(
        marks.standing(stage, record, message=message, actions=actions, wake=_wake(brief.now, plan)),
        reason=plan.obstacles[0].reason if plan.obstacles else "",
    )


def _undrained(node: NodeView, options: Drain) -> str:
    """Say why the pods stay: on a cluster of one node they could only wait until it is back."""
    if not options.enabled:
        return "drain.enabled is false"
    return "the cluster has no other node that could take its pods" if node.alone else ""


def _deadline(record: Record, options: Drain) -> datetime:
    """Give the end of a drain's time; what load balancers were given does not count."""
    return balancers.left_at(record, options) + options.timeout


def _over(record: Record, options: Drain) -> datetime:
    """Give the moment at which a drain is given up: at the deadline, or when Force has had its time too."""
    return balancers.left_at(record, options) + spans.emptying(options)


def _emptied(node: NodeView, record: Record, brief: Brief, way: _Way, *, pods: PodList) -> Standing:
    """Go on with a node whose pods have gone, once their volumes have too where the policy waits for them.

    The kubelet of an unreachable node unmounts nothing any more, so nothing is waited for there (cluster-api#10662).
    """
    if not brief.policy.drain.wait_for_volume_detach or node.unreachable:
        return marks.standing(way.stage, record, message="is drained", actions=way.go_on())
    seen = _volumes(node, record)
    left = volumes.left(seen, pods, node.claims) if seen else ()
    if seen and not left:
        return marks.standing(way.stage, record, message="is drained, volumes included", actions=way.go_on())
    message = volumes.sentence(left) if left else "waits to see which volumes are attached"
    if brief.now >= _deadline(record, brief.policy.drain):
        return _attached(node, record, brief, way, message=message)
    return replace(_look_at_volumes(node, record, brief, way, message=message), reason="VolumeAttached" if left else "")


def _volumes(node: NodeView, record: Record) -> VolumeList | None:
    """Give the volumes as they were seen in this drain: what was attached in an earlier one says nothing of this."""
    return node.volumes if node.volumes and node.volumes.at >= record.since else None


def _look_at_volumes(node: NodeView, record: Record, brief: Brief, way: _Way, *, message: str) -> Standing:
    """List the volumes; pods too when it is not the first time, since something may have come meanwhile."""
    actions: tuple[Action, ...] = (ListVolumes(node.ref),)
    if seen := _volumes(node, record):
        due = brief.now >= seen.at + volumes.LOOK_AGAIN
        actions = (ListPods(node.ref), *actions) if due else ()
    return marks.standing(way.stage, record, message=message, actions=actions, wake=brief.now + volumes.LOOK_AGAIN)


def _attached(node: NodeView, record: Record, brief: Brief, way: _Way, *, message: str) -> Standing:
    """Decide about volumes whose time is up: as for pods, but what Force does is to go on without them.

    Nothing may delete the attachment of a volume that may still be mounted.
    """
    options = brief.policy.drain
    late = f"not drained within {spelling.duration(options.timeout)}: {message}"
    if options.on_timeout is OnTimeout.ABORT:
        actions = way.give_up("DrainTimeout", late)
        given_up = marks.standing(way.stage, record, message=late, actions=actions)
        return replace(given_up, reason="DrainTimeout", failing=True)
    over = _over(record, options)
    if brief.now >= over:
        return marks.standing(way.stage, record, message=f"{late}; forced", actions=way.go_on())
    late += f"; goes on all the same at {_clock(over)}"
    return replace(_look_at_volumes(node, record, brief, way, message=late), reason="VolumeAttached")


def _clock(time: datetime) -> str:
    return time.strftime("%H:%M:%S UTC")


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


def _late(node: NodeView, record: Record, brief: Brief, way: _Way, *, plan: drain.DrainPlan) -> Standing:
    """Decide about a drain whose time is up."""
    options, stage = brief.policy.drain, way.stage
    message = f"not drained within {spelling.duration(options.timeout)}: {drain.sentence(plan)}"
    if brief.now >= _over(record, options):
        late = marks.standing(stage, record, message=message, actions=way.give_up("DrainTimeout", message))
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
