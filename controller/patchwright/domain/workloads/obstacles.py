"""Why an untouched workload is left alone: never silently, and by whom it is held."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from patchwright.domain.model import WorkloadTarget
from patchwright.domain.targets import Brief
from patchwright.domain.workloads import health, images, marks, parts, reversible, writing
from patchwright.domain.workloads.view import ARGO, WorkloadView

# What was seen of its pods this long ago says nothing any more about which digests they run.
PODS_LIFE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What is in the way; ``for_good`` says that nobody has to wait for it to go."""

    reason: str
    message: str
    for_good: bool = False


def find(view: WorkloadView, brief: Brief) -> Obstacle | None:
    """Say why it cannot be started now; who is at work on it comes before what it looks like."""
    taken = _record(view) or _kept_out(view) or _referred(view) or _owned(view, brief)
    return taken or _strategy(view, brief) or _condition(view, brief)


def _record(view: WorkloadView) -> Obstacle | None:
    if view.record_fault:
        text = (
            f"its annotation patchwright.dev/state cannot be read: {view.record_fault}; "
            "remove the annotation when nothing is at work on it"
        )
        return Obstacle("StateUnreadable", text)
    if view.record is not None:
        return Obstacle("WorkloadConflict", f"rollout {view.record.rollout} is at work on it")
    return None


def _kept_out(view: WorkloadView) -> Obstacle | None:
    if view.opted_out:
        return Obstacle("OptedOut", f"it is kept out by {view.opted_out}", for_good=True)
    if view.hands_off:
        return Obstacle("Paused", "its annotation patchwright.dev/paused is true")
    if view.deleting:
        return Obstacle("Deleting", "it is being deleted")
    return None


def _referred(view: WorkloadView) -> Obstacle | None:
    """Leave a Rollout and the Deployment that it takes its pods from to people: neither can be judged by itself.

    The Deployment has the template and, mostly, no pods of its own, so that a change of it would "succeed" at once,
    while the Rollout rolls it out by steps that nobody watches.
    """
    if not view.template:
        return None
    if view.kind == ARGO:
        text = f"its pods are made from {view.template} (spec.workloadRef), so that it has no images of its own"
    else:
        text = f"{view.template} makes its pods from it (spec.workloadRef) and would roll the change out by its steps"
    return Obstacle("TemplateElsewhere", f"{text}; have the template in the Rollout to have it patched", for_good=True)


def _owned(view: WorkloadView, brief: Brief) -> Obstacle | None:
    if view.owner:
        text = f"{view.owner} controls it and would undo the change; change the image there"
        return Obstacle("Owned", text, for_good=True)
    if view.gitops and not writing.into_git(view, brief.policy):
        text = f"{view.gitops} applies it from Git and would undo the change; change the image in Git"
        return Obstacle("OwnershipConflict", text, for_good=True)
    return None


def _strategy(view: WorkloadView, brief: Brief) -> Obstacle | None:
    target = brief.policy.target
    allowed = isinstance(target, WorkloadTarget) and target.allow_recreate
    if view.recreate and not allowed:
        text = "its strategy is Recreate, so that every change is an outage; set target.workloads.allowRecreate for it"
        return Obstacle("Recreate", text, for_good=True)
    if view.on_delete:
        text = "its update strategy is OnDelete: nothing rolls out until somebody deletes its pods"
        return Obstacle("OnDelete", text, for_good=True)
    if view.partition:
        text = f"its partition is {view.partition}, so somebody rolls it out by steps; set it to 0 to have it patched"
        return Obstacle("Partitioned", text)
    return None


def _condition(view: WorkloadView, brief: Brief) -> Obstacle | None:
    if view.paused:
        why = view.at_step or "spec.paused"
        return Obstacle("TargetPaused", f"its rollouts are paused by {why}; resume it to have it patched")
    if missing := health.unsettled(view):
        return Obstacle("NotReady", f"it is not settled: it {missing}")
    if not view.runs and brief.watched_from == 0:
        text = "it runs no pods, so that it proves nothing as a canary; its turn comes after the canary"
        return Obstacle("NoEvidence", text)
    if brief.watched_from == 0 and (found := parts.obstacle(view, brief)):
        return Obstacle(*found)
    return _irreversible(view, brief)


def _irreversible(view: WorkloadView, brief: Brief) -> Obstacle | None:
    """Say which image could not be put back: what runs must be known and there before anything is changed (L4)."""
    found = _unknown(view, brief) if brief.policy.rollback.enabled else None
    if found is None and (fault := reversible.fault(view, brief)) is not None:
        return Obstacle(*fault)
    return found


def _unknown(view: WorkloadView, brief: Brief) -> Obstacle | None:
    pods = view.pods
    if not view.runs or pods is None or brief.now - pods.at > PODS_LIFE:
        return None
    for field, _ in images.outdated(brief.rollout.images, view.images):
        if not marks.running(view, field):
            text = f"nobody can tell which digest of {field.image} runs in {field.name}; pin it by digest first"
            return Obstacle("DigestUnknown", text)
    return None
