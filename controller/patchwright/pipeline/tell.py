"""Tell: events and metrics that agree with the status (L11)."""

from __future__ import annotations

from patchwright import ports
from patchwright.domain.actions import NodeRef
from patchwright.domain.nodes.record import Mark, Record
from patchwright.domain.state import Phase, RolloutState

WARNINGS = frozenset({Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.FAILED, Phase.DENIED})
# One event for a node that went well, and one for each thing that went wrong with it; the stages between are in status.
NODE_EVENTS = {
    Mark.DONE: ("Patched", "patched", False),
    Mark.FAILED: ("PatchFailed", "could not be patched", True),
    Mark.RESTORED: ("RolledBack", "put back", False),
    Mark.QUARANTINED: ("Quarantined", "given up and left cordoned for a person", True),
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


async def cordoned_again(journal: ports.Journal, ref: NodeRef, after: Record) -> None:
    """Tell whoever uncordoned a node in the middle of the work on it why his hand was not left alone."""
    text = f"somebody uncordoned it while rollout {after.rollout} is at work on it; cordoned again until that is done"
    await journal.node_event(ref, reason="CordonedAgain", message=text, warning=True)
