"""A canary within a workload: some of its pods run the new images, soak, and only then the rest of them follows.

What keeps the others as they are is the workload's own update strategy: the partition of a StatefulSet, OnDelete of a
DaemonSet. It is written in the same patch as the images and the record that says what it was (L4, L6), and goes back to
that with them. A Deployment has nothing of the kind, and gets a small one beside it (``beside``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from patchwright.domain import budget
from patchwright.domain.actions import (
    Action,
    ListWorkloadPods,
    MarkWorkload,
    ReplacePod,
    RestoreImages,
    SetImages,
    StrategyEdit,
)
from patchwright.domain.model import ImagePin
from patchwright.domain.targets import Brief, Stage, Standing
from patchwright.domain.workloads import beside, health, marks, rolling, writing
from patchwright.domain.workloads.record import Mark, Part, Record
from patchwright.domain.workloads.view import ImageField, WorkloadPod, WorkloadPods, WorkloadView

WHOLE = "all of its pods were the canary, since strategy.canary.pods allows as many"
BESIDE = "Deployment"
BY_HAND = "DaemonSet"
_KINDS = frozenset({"StatefulSet", BY_HAND, BESIDE})


def count(view: WorkloadView, brief: Brief) -> int:
    """Give how many pods of a workload are to be a canary; 0 where all of them are no more than that."""
    wanted = brief.policy.strategy.canary.pods
    if wanted is None:
        return 0
    found = budget.resolve(wanted, view.replicas)
    return found if found < view.replicas else 0


def obstacle(view: WorkloadView, brief: Brief) -> tuple[str, str] | None:
    """Give a reason and a sentence when no part of a workload can be a canary, and one is asked for."""
    if not count(view, brief):
        return None
    if writing.into_git(view, brief.policy):
        why = "it is changed in Git, where its strategy is never written"
    elif view.recreate:
        why = "its strategy is Recreate, which runs no two versions at once"
    elif view.kind not in _KINDS:
        why = f"no part of a {view.kind} can be changed"
    elif view.beside is not None:
        there = f"there is a Deployment {view.beside.short}, which is what its canary would be called"
        return "CanaryNameTaken", f"{there}; rename or delete that one"
    else:
        return None
    return "NoPartialCanary", f"strategy.canary.pods cannot be kept: {why}; its turn comes after the canary"


def begin(
    view: WorkloadView, record: Record, changes: Sequence[tuple[ImageField, ImagePin]], *, pods: int
) -> tuple[Action, ...]:
    """Change the images for so many of the pods, and write what the strategy was, in one patch.

    Of a Deployment it is only written which one there will be beside it.
    """
    if view.kind == BESIDE:
        part = Part(pods, beside=beside.name(view.short, view.uid))
        return (MarkWorkload(view.ref, replace(record, mark=Mark.SAMPLING, part=part)),)
    part = Part(pods, was=view.strategy, to=_kept(view, view.strategy, pods))
    record = replace(record, mark=Mark.SAMPLING, part=part)
    return (replace(marks.apply(view, record, changes), strategy=StrategyEdit(part.was, part.to)),)


def _kept(view: WorkloadView, was: str, pods: int) -> str:
    """Give the strategy by which all but so many pods stay as they are; a partition is never lowered."""
    if view.kind == BY_HAND:
        return _text({"type": "OnDelete"})
    body: dict[str, Any] = json.loads(was or "{}")
    rolling_update = dict(body.get("rollingUpdate") or {})
    theirs = int(rolling_update.get("partition") or 0)
    rolling_update["partition"] = max(theirs, view.replicas - pods)
    return _text({**body, "rollingUpdate": rolling_update})


def _text(body: dict[str, Any]) -> str:
    return json.dumps(body, separators=(",", ":"), sort_keys=True)


def returned(view: WorkloadView, record: Record) -> StrategyEdit | None:
    """Give the way back of the strategy, where it is still ours; whoever has changed it since keeps his."""
    part = record.part
    if part is None or part.beside or view.strategy != part.to:
        return None
    return StrategyEdit(part.to, part.was)


def rest(view: WorkloadView, record: Record, brief: Brief) -> tuple[Action, ...]:
    """Let the rest of the pods follow."""
    part = _of(record)
    after = replace(record, mark=Mark.APPLYING, started_at=brief.now, since=brief.now, message="")
    if part.beside:
        return (SetImages(view.ref, replace(after, part=replace(part, rest=True)), marks.edits(view, record)),)
    return (SetImages(view.ref, replace(after, part=None), (), returned(view, record)),)


def put_back(view: WorkloadView, record: Record, brief: Brief, *, why: str) -> MarkWorkload | None:
    """Begin the way back of what has nothing of ours but a Deployment beside it; that one goes in any case (L6)."""
    if record.part is None or not record.part.beside or record.part.rest:
        return None
    return MarkWorkload(
        view.ref, replace(record, mark=Mark.REVERTING, since=brief.now, held=False, reason=record.reason or why)
    )


def given_up(view: WorkloadView, record: Record, brief: Brief, *, reason: str, message: str) -> Action:
    """Leave a workload to a person, and give its strategy back: what others have put there rolls out as they wanted."""
    last = marks.quarantine(view, replace(record, part=None), brief, reason=reason, message=message)
    back = returned(view, record)
    return last if back is None else RestoreImages(view.ref, last.record, (), back)


def stopped(view: WorkloadView, record: Record, brief: Brief, *, reason: str, message: str) -> Action:
    """Leave a workload to a person as it is: the pods that have the old images keep them."""
    kept = replace(record, part=None) if record.part is not None and record.part.beside else record
    return marks.quarantine(view, kept, brief, reason=reason, message=message)


def sampling(view: WorkloadView, record: Record, brief: Brief) -> Standing:
    """Wait until the canary's pods run the new images and all pods are available, or something says they never will."""
    part = _of(record)
    if lost := _lost(view, record, part, brief):
        return rolling.over(Stage.WORKING, record, lost)
    if moved := _scaled(view, record, part, brief):
        return moved
    judged = _judged(view, part)
    if judged is None:
        return _creates(view, record, part, brief)
    if judged.observed_generation < judged.generation:
        late = _fails(view, record, brief)
        return rolling.waits(Stage.WORKING, judged, record, brief, missing=health.unsettled(judged), late=late)
    pods = rolling.seen(judged, record)
    if pods is None:
        return rolling.looks(Stage.WORKING, judged, record, brief)
    return _follow(view, judged, record, brief, pods=pods)


def _follow(view: WorkloadView, judged: WorkloadView, record: Record, brief: Brief, *, pods: WorkloadPods) -> Standing:
    part, fails = _of(record), _fails(view, record, brief)
    if found := health.trouble(record, pods, now=brief.now):
        return rolling.over(Stage.WORKING, record, fails(*found))
    if view.kind == BY_HAND and (old := _next(view, record, part, pods)):
        text = f"replaces pod {old.ref.namespace}/{old.ref.name} on node {old.node}"
        steps = (ReplacePod(view.ref, old.ref), ListWorkloadPods(view.ref))
        return marks.standing(Stage.WORKING, record, message=text, actions=steps, wake=marks.deadline(record, brief))
    if missing := _missing(judged, record, part, pods):
        if judged.stuck:
            text = f"it {missing}: {judged.stuck}"
            return rolling.over(Stage.WORKING, record, fails("ProgressDeadlineExceeded", text))
        return rolling.waits(Stage.WORKING, judged, record, brief, missing=missing, late=fails)
    text = f"{rolling.tags(record)} runs in {part.pods} of {view.replicas} pods, the others wait for the soak"
    if part.beside:
        text = f"{rolling.tags(record)} runs in {part.pods} pods beside it, its own wait for the soak"
    return rolling.over(Stage.WORKING, record, marks.mark(view, record, brief, Mark.SAMPLED, message=text))


def _fails(view: WorkloadView, record: Record, brief: Brief) -> Callable[[str, str], MarkWorkload]:
    return lambda reason, message: marks.fail(view, record, brief, reason=reason, message=message)


def sampled(view: WorkloadView, record: Record, brief: Brief) -> Standing:
    """Watch the canary's pods; once the canary has passed, the rest waits for its turn."""
    part = _of(record)
    well = marks.standing(Stage.PREPARED if brief.widened else Stage.PARTLY, record)
    if brief.turning_back:
        return well
    lost, judged = _lost(view, record, part, brief), _judged(view, part) or view
    if lost is None and (moved := _scaled(view, record, part, brief) or _gone(view, record, part, brief)):
        return moved
    if lost is None and (found := health.unwell(judged, record, now=brief.now, deadline=marks.limit(brief))):
        lost = marks.fail(view, record, brief, reason=found[0], message=found[1])
    if lost is not None:
        return marks.standing(Stage.FAILED, lost.record, actions=(lost,))
    due = rolling.next_look(judged, rolling.LOOK_IN_SOAK, never=record.since)
    look: tuple[Action, ...] = (ListWorkloadPods(judged.ref),) if brief.now >= due else ()
    return replace(well, actions=look, wake=due)


def _of(record: Record) -> Part:
    assert record.part is not None, "a record of these marks is not read without it"
    return record.part


def _judged(view: WorkloadView, part: Part) -> WorkloadView | None:
    """Give what has the canary's pods; nothing while it does not exist yet."""
    return view.beside if part.beside else view


def _creates(view: WorkloadView, record: Record, part: Part, brief: Brief) -> Standing:
    if marks.expired(record, brief):
        text = f"its canary Deployment {part.beside} could not be created in {marks.span(brief)}"
        return rolling.over(Stage.WORKING, record, _fails(view, record, brief)("DeadlineExceeded", text))
    text = f"gets the canary Deployment {part.beside} beside it"
    return marks.standing(
        Stage.WORKING, record, message=text, actions=beside.missing(view, record), wake=marks.deadline(record, brief)
    )


def _lost(view: WorkloadView, record: Record, part: Part, brief: Brief) -> MarkWorkload | None:
    """Give the end of a canary that somebody else's hand was in; the images are not to blame for it."""
    differs = rolling.untaken if part.beside else rolling.taken_by_others
    reason, text = "ImageChanged", differs(view, record)
    if not text and part.beside:
        reason, text = beside.lost(view, record)
    elif not text and view.strategy != part.to:
        reason, text = "StrategyChanged", "somebody changed its update strategy"
    if not text and not view.runs:
        reason, text = "NoEvidence", "somebody scaled it to zero"
    if not text:
        return None
    taken = replace(record, taken=True)
    return marks.fail(view, taken, brief, reason=reason, message=f"{text} while some of its pods were the canary")


def _scaled(view: WorkloadView, record: Record, part: Part, brief: Brief) -> Standing | None:
    """Keep the canary at its size when somebody scales the workload; what is new to it is waited for, and soaks."""
    to = "" if part.beside else _kept(view, part.was, part.pods)
    if to == part.to:
        return None
    after = replace(record, mark=Mark.SAMPLING, since=brief.now, part=replace(part, to=to), message="")
    text = f"was scaled to {view.replicas} pods; {part.pods} of them stay the canary"
    action = SetImages(view.ref, after, (), StrategyEdit(part.to, to))
    return marks.standing(Stage.WORKING, record, message=text, actions=(action,))


def _next(view: WorkloadView, record: Record, part: Part, pods: WorkloadPods) -> WorkloadPod | None:
    """Give the next pod of a DaemonSet to be replaced, by the names of their nodes, one at a time.

    Whatever has not come back yet is waited for, whoever has deleted it: it comes back on the new images.
    """
    there, new = [pod for pod in pods.pods if pod.counts], health.ours(record, pods)
    settled = len(there) == len(pods.pods) >= view.expected and all(pod.ready for pod in new)
    if not settled or len(new) >= part.pods:
        return None
    uids = {pod.ref.uid for pod in new}
    able = [pod for pod in there if pod.ref.uid not in uids and pod.ready and pod.node_away_since is None]
    return min(able, key=lambda pod: (pod.node, pod.ref.name), default=None)


def _gone(view: WorkloadView, record: Record, part: Part, brief: Brief) -> Standing | None:
    """Begin again where a canary's pods have gone with their nodes; those of a StatefulSet come back by themselves."""
    pods = rolling.seen(view, record)
    if view.kind != BY_HAND or pods is None or len(health.ours(record, pods)) >= min(part.pods, view.replicas):
        return None
    text = "has lost a pod of its canary, and gets another one"
    again = marks.mark(view, record, brief, Mark.SAMPLING, message="")
    return marks.standing(Stage.WORKING, record, message=text, actions=(again,))


def _missing(view: WorkloadView, record: Record, part: Part, pods: WorkloadPods) -> str:
    """Say what is missing; the pods are counted by what they carry, since the status lies."""
    if part.beside:
        found = health.missing(view, pods)
        return f"has a canary Deployment that {found}" if found else ""
    wanted = min(part.pods, view.replicas)
    mine = [pod for pod in pods.pods if pod.counts and pod.revision == view.revision]
    fresh = sum(pod.ready for pod in (health.ours(record, pods) if view.kind == BY_HAND else mine))
    if fresh < wanted:
        return f"has {fresh} of the canary's {wanted} pods on its new revision"
    if view.available_pods < view.expected:
        return f"has {view.available_pods} of {view.expected} pods available"
    return ""
