"""PolicyRepository: where intent comes from, as its user asked for it, and what is kept about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from patchwright.domain.model import Key
from patchwright.domain.sources import GitReference, VerifyMode
from patchwright.domain.state import Condition
from patchwright.domain.sync import ObjectKey
from patchwright.domain.writeback.settings import ProposalSettings

HISTORY_KEPT = 5


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """Which signatures must be good, and the Secret with the trusted keys."""

    mode: VerifyMode
    secret_name: str


@dataclass(frozen=True, slots=True)
class PolicyRepository:
    """The validated spec. Secrets are names here, in the repository's own namespace.

    ``requested_at`` and ``confirm_prune`` are what people say by annotation: sync now; this large deletion is meant.
    """

    key: Key
    uid: str
    generation: int
    url: str
    ref: GitReference = field(default_factory=GitReference)
    path: str = ""
    rego_path: str = ""
    interval: timedelta = timedelta(minutes=1)
    timeout: timedelta = timedelta(seconds=60)
    secret_name: str | None = None
    verify: VerifyRequest | None = None
    ignore: str = ""
    prune: bool = True
    suspend: bool = False
    service_account: str | None = None
    pull_request: ProposalSettings | None = None
    deleting: bool = False
    requested_at: str = ""
    confirm_prune: str = ""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One state of the repository's content that was reconciled: the same ``digest`` is one entry, however often."""

    digest: str
    revision: str
    first_reconciled: datetime
    last_reconciled: datetime
    last_status: str
    total: int = 1


@dataclass(frozen=True, slots=True)
class RepositoryState:
    """PolicyRepository.status, in Flux's words."""

    observed_generation: int = 0
    last_attempted_revision: str = ""
    last_applied_revision: str = ""
    last_handled_reconcile_at: str = ""
    inventory: tuple[ObjectKey, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    conditions: tuple[Condition, ...] = ()


def recorded(history: Sequence[HistoryEntry], entry: HistoryEntry) -> tuple[HistoryEntry, ...]:
    """Add an entry, newest first, at most 5; an entry of the same digest is carried on, as Flux does."""
    before = next((one for one in history if one.digest == entry.digest), None)
    if before is not None:
        entry = replace(entry, first_reconciled=before.first_reconciled, total=before.total + 1)
    return (entry, *(one for one in history if one.digest != entry.digest))[:HISTORY_KEPT]
