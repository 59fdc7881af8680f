"""The transitions of a node's record, each as the one patch that writes it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from patchwright.domain.actions import Action, Cordon, Uncordon
from patchwright.domain.actions import Mark as WriteRecord
from patchwright.domain.nodes import balancers
from patchwright.domain.nodes.record import Mark, Record
from patchwright.domain.nodes.view import NodeView
from patchwright.domain.targets import Brief, Stage, Standing

LABEL_PREFIX = "plan.patchwright.dev/"
MESSAGE_KEPT = 400


def label(policy_name: str) -> str:
    """Give the label that says which change of a policy is on a node; ``disabled`` as its value opts the node out."""
    return LABEL_PREFIX + policy_name


def standing(
    stage: Stage, record: Record, *, message: str = "", actions: tuple[Action, ...] = (), wake: datetime | None = None
) -> Standing:
    """Say where a touched node stands, from its record."""
    return Standing(
        stage,
        record.mark.value,
        message or record.message,
        reason=record.reason,
        wave=record.wave,
        since=record.since,
        actions=actions,
        wake=wake,
        failed=record.failed,
        unchanged=not record.applied,
    )


def fail(node: NodeView, record: Record, brief: Brief, reason: str, message: str) -> WriteRecord:
    """Record that the way forward failed; the cordon stays until the node is put back."""
    cut = message[:MESSAGE_KEPT]
    return WriteRecord(
        node.ref, replace(record, mark=Mark.FAILED, since=brief.now, reason=reason, message=cut, failed=True)
    )


def give_back(
    node: NodeView, record: Record, brief: Brief, *, reason: str, message: str | None = None, failed: bool | None = None
) -> Uncordon:
    """Undo the cordon at once: nothing was applied (kured#1129 kept such a node for the whole release delay)."""
    after = replace(
        record,
        mark=Mark.RESTORED,
        since=brief.now,
        reason=reason,
        message=(record.message if message is None else message)[:MESSAGE_KEPT],
        failed=record.failed if failed is None else failed,
    )
    return _uncordon(node, record, after)


def quarantine(node: NodeView, record: Record, brief: Brief, reason: str, message: str) -> WriteRecord:
    """Give up on the node: it stays cordoned as it is, and status names it until a person has looked."""
    text = f"{record.message}; {message}" if record.message else message
    cut = text[:MESSAGE_KEPT]
    return WriteRecord(
        node.ref, replace(record, mark=Mark.QUARANTINED, since=brief.now, reason=reason, message=cut, failed=True)
    )


def draining(node: NodeView, record: Record, brief: Brief) -> Cordon:
    """Cordon a prepared node and write it down, in one patch; load balancers and its drain have their full time."""
    after = replace(
        record, mark=Mark.DRAINING, started_at=brief.now, since=brief.now, cordoned=True, boot_id=node.boot_id
    )
    return balancers.cordon(node, after, brief)


def applying(node: NodeView, record: Record, brief: Brief) -> Record:
    """Give the record that must be written before the apply Job may exist."""
    return replace(record, mark=Mark.APPLYING, since=brief.now, boot_id=node.boot_id, applied=True)


def reverting(node: NodeView, record: Record, brief: Brief) -> Record:
    """Give the record that must be written before the rollback Job may exist."""
    return replace(record, mark=Mark.REVERTING, since=brief.now, boot_id=node.boot_id)


def done(node: NodeView, record: Record, brief: Brief, *, message: str) -> Uncordon:
    """Uncordon a patched node and label it with what is on it now, in one patch."""
    after = replace(record, mark=Mark.DONE, since=brief.now, message=message[:MESSAGE_KEPT])
    return _uncordon(node, record, after, label=(label(brief.policy.key.name), record.change_id))


def restored(node: NodeView, record: Record, brief: Brief) -> Uncordon:
    """Uncordon a node that was put back, and label it with what was on it before."""
    # Why it failed stays; what a healthy node said about the new version is true no longer.
    message = record.message if record.failed else ""
    after = replace(record, mark=Mark.RESTORED, since=brief.now, message=message)
    return _uncordon(node, record, after, label=(label(brief.policy.key.name), record.previous))


def _uncordon(
    node: NodeView, before: Record, after: Record, *, label: tuple[str, str | None] | None = None
) -> Uncordon:
    """Give up, in one patch, what the record claims: the cordon, and the label that keeps load balancers away."""
    given_up = replace(after, cordoned=False, excluded=False)
    return Uncordon(
        node.ref, given_up, keep_cordon=not before.cordoned, label=label, include=balancers.ours(node, before)
    )
