"""What is left to do before a node is empty: which pods go, which stay, which are in the way.

``plan`` is asked again after every listing, because evicting only sets a deletion timestamp (tuppr rebooted running
pods until #582) and because the scheduler may have bound a pod while the cordon was on its way
(kubevirt/node-maintenance-operator#20).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from patchwright.domain import selection
from patchwright.domain.model import Drain, OnTimeout
from patchwright.domain.nodes.view import ENDED, Eviction, EvictionAttempt, Owner, PodList, PodView, Stuck

RETRY_BLOCKED = timedelta(seconds=5)
RETRY_ERROR = timedelta(seconds=10)
RELIST = timedelta(seconds=1)
RELIST_SLOW = timedelta(seconds=5)
# kubectl's order of magnitude; more at once only moves the wait into the API server's queue.
PASS_LIMIT = 10


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A pod that keeps the node from being empty, and why."""

    pod: PodView
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class DrainPlan:
    """What one listing asks for.

    ``evict`` are to be evicted now, ``waiting`` are on their way out or wait for their turn, ``blocked`` are held by
    something that may pass (a PodDisruptionBudget), ``refused`` will never go under these options. ``retry_at`` is when
    the next attempt is due; ``retried`` says what held those of ``evict`` that are tried again, so that a person who
    looks in that very moment reads the same sentence as before.
    """

    evict: tuple[PodView, ...] = ()
    waiting: tuple[PodView, ...] = ()
    blocked: tuple[Obstacle, ...] = ()
    refused: tuple[Obstacle, ...] = ()
    retry_at: datetime | None = None
    retried: tuple[Obstacle, ...] = ()

    @property
    def obstacles(self) -> tuple[Obstacle, ...]:
        """What is in the way and may pass."""
        return self.blocked + self.retried

    @property
    def drained(self) -> bool:
        """Whether nothing that has to leave is left."""
        return not (self.evict or self.waiting or self.blocked or self.refused)


def plan(pods: PodList, drain: Drain, *, attempts: Mapping[str, EvictionAttempt], now: datetime) -> DrainPlan:
    """Sort the pods of a node into what has to be done with them."""
    evict: list[PodView] = []
    waiting: list[PodView] = []
    blocked: list[Obstacle] = []
    refused: list[Obstacle] = []
    retried: list[Obstacle] = []
    for pod in pods.pods:
        if _stays(pod, drain) or _abandoned(pod, drain, now=now):
            continue
        attempt = attempts.get(pod.ref.uid)
        if pod.deleted_at is not None or pod.wait or _answered(attempt, pods):
            waiting.append(pod)
        elif obstacle := _never(pod, drain):
            refused.append(obstacle)
        elif held := _held(pod, attempt, now=now):
            blocked.append(held)
        else:
            evict.append(pod)
            retried += _last_time(pod, attempt)
    # Those that were not asked for yet come first: a pass has its time, and what is refused again must not use it up.
    evict.sort(key=lambda pod: pod.ref.uid in attempts)
    return DrainPlan(
        evict=tuple(evict[:PASS_LIMIT]),
        waiting=tuple(waiting + evict[PASS_LIMIT:]),
        blocked=tuple(blocked),
        refused=tuple(refused),
        retry_at=min((due(attempts[o.pod.ref.uid]) for o in blocked if o.pod.ref.uid in attempts), default=None),
        retried=tuple(retried),
    )


def _answered(attempt: EvictionAttempt | None, pods: PodList) -> bool:
    """Whether the pod was let go after this listing was made, so that only the next one can show it."""
    if attempt is None or attempt.at < pods.at:
        return False
    return attempt.result in (Eviction.ACCEPTED, Eviction.GONE, Eviction.REPLACED)


def hopeless(stuck: Sequence[Stuck], drain: Drain) -> str:
    """Say which pod would keep a node from ever being empty under these options; empty when none would."""
    if not drain.enabled or drain.disable_eviction or drain.on_timeout is OnTimeout.FORCE:
        return ""
    left = [each for each in stuck if _asks(each.pod, drain)]
    if not left:
        return ""
    more = f" (and {len(left) - 1} more)" if len(left) > 1 else ""
    return f"pod {_name(left[0].pod)} cannot be evicted: {left[0].message}{more}"


def due(attempt: EvictionAttempt) -> datetime:
    """Give the time of the next attempt for a pod that could not be evicted."""
    match attempt.result:
        case Eviction.OVERLOADED:
            # The server says when: its 429 is load, not a budget, and pushing makes it worse.
            return attempt.at + (attempt.retry_after or timedelta(seconds=1))
        case Eviction.BLOCKED:
            # Most budgets allow the next pod once the last one's replacement is Ready, which takes a second or two.
            return attempt.at + min(RETRY_BLOCKED, timedelta(seconds=attempt.attempts))
        case Eviction.MISCONFIGURED | Eviction.REFUSED:
            return attempt.at + RETRY_ERROR * min(attempt.attempts, 6)
        case _:
            return attempt.at + RELIST


def _stays(pod: PodView, drain: Drain) -> bool:
    """Whether the pod may be on the node while it is patched.

    An operator that evicted itself from the only node that it fits on would never come back to uncordon that node.
    """
    if pod.mirror or pod.patch_job or pod.operator or pod.opt_out or pod.phase in ENDED:
        return True
    if pod.owner is Owner.DAEMON_SET and drain.ignore_daemon_sets:
        return True
    return drain.pod_selector is not None and not selection.matches(drain.pod_selector, pod.labels)


def _asks(pod: PodView, drain: Drain) -> bool:
    """Whether the pod's budget is asked at all: of one that ends by itself only its end is waited for."""
    return not (_stays(pod, drain) or pod.wait or pod.do_not_disrupt)


def _abandoned(pod: PodView, drain: Drain, *, now: datetime) -> bool:
    """Whether a terminating pod is overdue for so long that the user told us not to wait for it."""
    patience = drain.skip_wait_for_delete_timeout
    return patience is not None and pod.deleted_at is not None and now - pod.deleted_at > patience


def _never(pod: PodView, drain: Drain) -> Obstacle | None:
    """Say why these options do not allow the pod to be evicted at all."""
    if pod.owner is Owner.DAEMON_SET:
        return Obstacle(pod, "DaemonSetPod", "a DaemonSet controls it and drain.ignoreDaemonSets is false")
    if pod.owner is Owner.NOBODY and not drain.force:
        return Obstacle(pod, "BarePod", "no controller would bring it back; set drain.force to delete it")
    if pod.owner is Owner.ORPHANED_DAEMON_SET and not drain.force:
        return Obstacle(pod, "OrphanedPod", "its DaemonSet is gone; set drain.force to delete it")
    if pod.emptydir and not drain.delete_emptydir_data:
        return Obstacle(pod, "EmptyDir", "it keeps data in an emptyDir; set drain.deleteEmptydirData to lose it")
    return None


def _held(pod: PodView, attempt: EvictionAttempt | None, *, now: datetime) -> Obstacle | None:
    """Say what holds the pod: its own mark, or the last eviction while the next one is not due."""
    if pod.do_not_disrupt:
        # Karpenter waits for such a pod to finish by itself; so does this drain, as long as it has time.
        return Obstacle(pod, "DoNotDisrupt", f"it is marked {pod.do_not_disrupt}")
    if attempt is None or attempt.result in (Eviction.ACCEPTED, Eviction.GONE, Eviction.REPLACED):
        return None
    return None if now >= due(attempt) else Obstacle(pod, _REASONS[attempt.result], attempt.message)


def _last_time(pod: PodView, attempt: EvictionAttempt | None) -> list[Obstacle]:
    """Say what held a pod whose next attempt is due."""
    if attempt is None or attempt.result not in _REASONS:
        return []
    return [Obstacle(pod, _REASONS[attempt.result], attempt.message)]


_REASONS = {
    Eviction.BLOCKED: "DisruptionBudget",
    Eviction.OVERLOADED: "ServerOverloaded",
    Eviction.MISCONFIGURED: "SeveralDisruptionBudgets",
    Eviction.NAMESPACE_TERMINATING: "NamespaceTerminating",
    Eviction.REFUSED: "EvictionRefused",
}


def sentence(result: DrainPlan) -> str:
    """Tell what the drain waits for: the first obstacle by name, and how many others there are."""
    obstacles: Sequence[Obstacle] = result.refused or result.obstacles
    if obstacles:
        first = obstacles[0]
        more = len(obstacles) - 1
        others = f" (and {more} more)" if more else ""
        return f"pod {first.pod.ref.namespace}/{first.pod.ref.name} cannot be evicted: {first.message}{others}"
    left = [*result.evict, *result.waiting]
    if left:
        return f"waits for {len(left)} pod{'s' if len(left) > 1 else ''} to end, first {_name(left[0])}"
    return "no pod is left that has to go"


def _name(pod: PodView) -> str:
    return f"{pod.ref.namespace}/{pod.ref.name}"
