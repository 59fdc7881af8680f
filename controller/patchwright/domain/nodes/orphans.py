"""What becomes of a node whose rollout does not exist any more: somebody removed the rollout's finalizer by hand.

What the change was, and how it is undone, went with the rollout. So a node that nothing was done to yet is given back,
one that was finished stays as it is, and one that was left half-way is left to a person: it keeps its cordon, and says
what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from patchwright.domain.actions import Mark as WriteRecord
from patchwright.domain.actions import Uncordon
from patchwright.domain.nodes import balancers, marks
from patchwright.domain.nodes.record import Mark, Record
from patchwright.domain.nodes.view import Claim, JobView

GONE = "RolloutGone"
WAY_OUT = (
    "check what is on it, then uncordon it: its annotation patchwright.dev/state goes too "
    "(removing that alone leaves it cordoned)"
)


@dataclass(frozen=True, slots=True)
class Settlement:
    """The one patch that settles a node, and what is said about it; a ``warning`` wants a person."""

    action: WriteRecord | Uncordon
    message: str
    warning: bool = False


def settle(claim: Claim, jobs: Sequence[JobView], *, now: datetime) -> Settlement | None:
    """Settle a node that carries the record of a rollout that is gone; ``None`` while nothing is to be done.

    ``jobs`` are what is left of that rollout's Jobs. One that still runs is let finish: a package manager that is
    stopped half-way helps nobody, and its own deadline ends it.
    """
    record = claim.record
    works = any(job.outcome is None and job.node_name == claim.ref.name for job in jobs)
    if not record.applied:
        return _given_back(claim)
    if record.mark in (Mark.DONE, Mark.RESTORED):
        said = f"the node keeps the change {record.change_id}" if record.mark is Mark.DONE else "the node was put back"
        return Settlement(Uncordon(claim.ref, None, keep_cordon=True), f"{_gone(record)}; {said}")
    if not (works or claim.unschedulable):
        return _in_service(claim)
    return None if record.reason == GONE else _left(claim, now)


def ended(jobs: Sequence[JobView]) -> list[JobView]:
    """Give the Jobs that can go: those that run no more."""
    return [job for job in jobs if job.outcome is not None and not job.deleting]


def _given_back(claim: Claim) -> Settlement:
    """Undo our cordon, and the label that came with it: the apply Job may only exist once the record says so."""
    record = claim.record
    back = ", and it is uncordoned" if record.cordoned and claim.unschedulable else ""
    text = f"{_gone(record)}; nothing was changed on the node{back}"
    keep = not record.cordoned
    include = not keep and balancers.ours(claim, record)
    return Settlement(Uncordon(claim.ref, None, keep_cordon=keep, include=include), text)


def _in_service(claim: Claim) -> Settlement:
    """Forget a node that takes pods: whoever uncordoned it has looked, and there is no cordon to keep.

    Nobody would look for a label that had come with the cordon.
    """
    record = claim.record
    action = Uncordon(claim.ref, None, keep_cordon=True, include=balancers.ours(claim, record))
    if record.reason == GONE:
        return Settlement(action, f"somebody has uncordoned it, so the record of rollout {record.rollout} is removed")
    text = f"{_gone(record)} and left it {_where(record)}, but in service; its record is removed; check what is on it"
    return Settlement(action, text, warning=True)


def _left(claim: Claim, now: datetime) -> Settlement:
    record = claim.record
    why = f" ({record.message})" if record.message else ""
    text = f"{_gone(record)} and left it {_where(record)}; {WAY_OUT}"
    kept = replace(
        record, mark=Mark.QUARANTINED, since=now, reason=GONE, message=(text + why)[: marks.MESSAGE_KEPT], failed=True
    )
    return Settlement(WriteRecord(claim.ref, kept), kept.message, warning=True)


def _gone(record: Record) -> str:
    return f"rollout {record.rollout} does not exist any more"


def _where(record: Record) -> str:
    return f"half-way ({record.mark.value})"
