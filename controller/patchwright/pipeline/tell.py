"""Tell: events and metrics that agree with the status (L11)."""

from __future__ import annotations

from patchwright import ports
from patchwright.domain.actions import NodeRef, PodRef, WorkloadRef
from patchwright.domain.nodes import orphans
from patchwright.domain.nodes.orphans import Settlement
from patchwright.domain.nodes.record import Mark, Record
from patchwright.domain.state import Phase, RolloutState
from patchwright.domain.workloads import record as workloads

WARNINGS = frozenset({Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.FAILED, Phase.DENIED})
# One event for a node that went well, and one for each thing that went wrong with it; the stages between are in status.
NODE_EVENTS = {
    Mark.DONE: ("Patched", "patched", False),
    Mark.FAILED: ("PatchFailed", "could not be patched", True),
    Mark.RESTORED: ("RolledBack", "put back", False),
    Mark.QUARANTINED: ("Quarantined", "given up and left cordoned for a person", True),
}
# The same for a workload, by its own stages.
WORKLOAD_EVENTS = {
    workloads.Mark.SAMPLED: ("CanaryPatched", "its canary pods patched", False),
    workloads.Mark.DONE: ("Patched", "patched", False),
    workloads.Mark.FAILED: ("PatchFailed", "could not be patched", True),
    workloads.Mark.RESTORED: ("RolledBack", "put back", False),
    workloads.Mark.QUARANTINED: ("Quarantined", "given up and left as it is for a person", True),
}


async def rollout(journal: ports.Journal, case: ports.Case, before: RolloutState | None, after: RolloutState) -> None:
    """Write an event when the phase has changed, and take the state into the metrics."""
    journal.rollout_changed(case.key, after)
    if before is not None and before.phase is after.phase:
        return
    warning = after.phase in WARNINGS
    await journal.event(
        case.key, uid=case.uid, reason=after.phase.value, message=after.message or after.phase.value, warning=warning
    )


async def node(journal: ports.Journal, ref: NodeRef, after: Record) -> None:
    """Write an event for a node that is done, failed, put back or given up."""
    found = NODE_EVENTS.get(after.mark)
    if found is None:
        return
    reason, words, warning = found
    said = f": {after.message}" if after.message else ""
    text = f"{words} by rollout {after.rollout}{said}"
    await journal.node_event(ref, reason=reason, message=text, warning=warning or after.failed)


async def orphan(journal: ports.Journal, settled: Settlement) -> None:
    """Write an event for a node whose rollout is gone: a status to say it in there is none."""
    await journal.node_event(settled.action.node, reason=orphans.GONE, message=settled.message, warning=settled.warning)


async def cordoned_again(journal: ports.Journal, ref: NodeRef, after: Record) -> None:
    """Tell whoever uncordoned a node in the middle of the work on it why his hand was not left alone."""
    text = f"somebody uncordoned it while rollout {after.rollout} is at work on it; cordoned again until that is done"
    await journal.node_event(ref, reason="CordonedAgain", message=text, warning=True)


async def workload(journal: ports.Journal, ref: WorkloadRef, after: workloads.Record) -> None:
    """Write an event for a workload that is done, failed, put back or given up."""
    found = WORKLOAD_EVENTS.get(after.mark)
    if found is None:
        return
    reason, words, warning = found
    said = f": {after.message}" if after.message else ""
    text = f"{words} by rollout {after.rollout}{said}"
    await journal.workload_event(ref, reason=reason, message=text, warning=warning or after.failed)


async def bad_pod(journal: ports.Journal, ref: WorkloadRef, pod: PodRef) -> None:
    """Tell of a pod that was deleted to let its workload be put back."""
    text = f"deleted pod {pod.namespace}/{pod.name}, which was not Ready on the images that are put back"
    await journal.workload_event(ref, reason="BrokenPodDeleted", message=text, warning=True)
