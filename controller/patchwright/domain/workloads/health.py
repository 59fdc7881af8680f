"""Whether a workload has rolled out what its template says, and what its new pods suffer from.

Only what is certain fails at once: a registry may hiccup, and a pod that crashes once may have come before its
database. Everything else has until the deadline, which is ours and absolute: Kubernetes' own begins anew with each new
pod, and flapping pods kept rollouts "progressing" for a day (argo-rollouts#3765).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from patchwright.domain.workloads.record import Record
from patchwright.domain.workloads.view import ARGO, ContainerState, WorkloadPod, WorkloadPods, WorkloadView

# What no waiting mends.
HOPELESS = frozenset({"InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"})
PULLING = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "CreateContainerError", "RunContainerError"}
)
PULL_PATIENCE = timedelta(seconds=30)
CRASHING = "CrashLoopBackOff"
CRASHES = 2
RESTARTS = 3
# A pod that was Ready when its workload was called done may miss a probe; for this long nothing is said.
UNREADY_PATIENCE = timedelta(seconds=30)


def unsettled(view: WorkloadView) -> str:
    """Say what is missing until every pod is of the present template and available, by what the object itself says.

    Its status means nothing before its controller has seen the template (krane#325 called a rollout good after 1.9 s),
    and ``NewReplicaSetAvailable`` may be left from the rollout before (kubernetes#40496): the counts are what counts.
    """
    if view.observed_generation < view.generation:
        return f"waits for its controller to see generation {view.generation}"
    if view.unfinished:
        return f"is {view.unfinished}"
    if not view.runs:
        return ""
    expected = view.expected
    if view.updated < expected:
        return f"has {view.updated} of {expected} pods updated"
    if view.kind == "Deployment" and view.present > view.updated:
        return f"waits for {view.present - view.updated} old pods to end"
    if view.available_pods < expected:
        return f"has {view.available_pods} of {expected} pods available"
    return ""


def missing(view: WorkloadView, pods: WorkloadPods) -> str:
    """Say what is missing, by the object and by its pods.

    A StatefulSet's status lies: its currentRevision may never advance (kubernetes#73492), so its pods are counted by
    the revision that they carry.
    """
    if found := unsettled(view):
        return found
    if view.kind != "StatefulSet":
        return ""
    mine = [pod for pod in pods.pods if pod.counts]
    fresh = sum(pod.ready and pod.revision == view.revision for pod in mine)
    return "" if fresh >= view.replicas else f"has {fresh} of {view.replicas} pods on its new revision"


def ours(record: Record, pods: WorkloadPods) -> list[WorkloadPod]:
    """Give the pods that run what we put there, but for those that are on their way out."""
    return [pod for pod in pods.pods if pod.counts and _runs(record, pod)]


def _runs(record: Record, pod: WorkloadPod) -> bool:
    if record.revision and pod.revision:
        return pod.revision == record.revision
    return all(pod.images.get(image.key) == image.to for image in record.images)


def trouble(record: Record, pods: WorkloadPods, *, now: datetime) -> tuple[str, str] | None:
    """Give the reason and a sentence when a new pod cannot work; the first one in order of names."""
    for pod in sorted(ours(record, pods), key=lambda pod: pod.ref.name):
        if pod.node_away_since is not None and pod.node_away_since > pod.created_at:
            # A bad agent may be the cause of it (kubernetes#117658).
            return "NodeNotReady", f"node {pod.node} became NotReady after pod {_name(pod)} was updated"
        for container in pod.containers:
            if found := _fails(pod, container, now):
                return found
    return None


def _fails(pod: WorkloadPod, container: ContainerState, now: datetime) -> tuple[str, str] | None:
    why = container.waiting
    said = f": {container.message}" if container.message else ""
    where = f"container {container.name} of pod {_name(pod)}"
    if why in HOPELESS or (why in PULLING and now >= pod.created_at + PULL_PATIENCE):
        return "PodCannotStart", f"{where} cannot start: {why}{said}"
    if why == CRASHING and container.restarts >= CRASHES:
        return "PodCrashes", f"{where} crashes, {container.restarts} times by now{said}"
    if container.restarts >= RESTARTS:
        return "PodCrashes", f"{where} was restarted {container.restarts} times{said}"
    return None


def given_up(view: WorkloadView, missing: str) -> tuple[str, str]:
    """Give the reason and a sentence when its own controller has given up on it, or somebody has aborted it."""
    if view.kind == ARGO:
        return "Degraded", f"it is {view.stuck}"
    return "ProgressDeadlineExceeded", f"it {missing}: {view.stuck}"


def unwell(view: WorkloadView, record: Record, *, now: datetime, deadline: timedelta) -> tuple[str, str] | None:
    """Give the reason and a sentence when a workload that was done is not well any more.

    Replicas that an autoscaler adds, and pods that a drain has moved, are new since then and have as long as any.
    """
    if view.kind == ARGO and view.stuck:
        return given_up(view, "")
    if _short_of_pods(view, record, now):
        return "Unavailable", f"too few of its pods are available: {view.unavailable}"
    if view.pods is None or view.pods.at < record.since:
        return None
    if found := trouble(record, view.pods, now=now):
        return found
    for pod in sorted(ours(record, view.pods), key=lambda pod: pod.ref.name):
        known = pod.created_at <= record.since
        since = max(pod.created_at, pod.ready_since or pod.created_at)
        if not pod.ready and pod.node_away_since is None and now >= since + (UNREADY_PATIENCE if known else deadline):
            return "PodNotReady", f"pod {_name(pod)} is not Ready since {since.strftime('%H:%M:%S UTC')}"
    return None


def _short_of_pods(view: WorkloadView, record: Record, now: datetime) -> bool:
    """Tell whether it is short of pods for longer than a drain takes to move the only pod of a small one."""
    since = view.unavailable_since
    if not view.unavailable or since is None or view.observed_generation < view.generation:
        return False
    return now >= max(since, record.since) + UNREADY_PATIENCE


def in_the_way(view: WorkloadView, record: Record, pods: WorkloadPods) -> WorkloadPod | None:
    """Give the next pod of the bad revision that has to be deleted, or nothing.

    Under OrderedReady a StatefulSet waits for ever for a broken pod to become Ready before it replaces it
    (kubernetes#67250), and Parallel was no safe way round it (kubernetes#137409); so no policy is asked. Only after the
    old template was seen, else the pod would come back on the bad one; only what is not Ready; and one at a time.
    """
    if view.kind != "StatefulSet" or view.observed_generation < view.generation:
        return None
    if any(pod.deleted_at is not None for pod in pods.pods):
        return None
    broken = [pod for pod in ours(record, pods) if not pod.ready and pod.revision != view.revision]
    return max(broken, key=lambda pod: _ordinal(pod.ref.name), default=None)


def _ordinal(name: str) -> int:
    last = name.rpartition("-")[2]
    return int(last) if last.isdecimal() else -1


def _name(pod: WorkloadPod) -> str:
    return f"{pod.ref.namespace}/{pod.ref.name}"
