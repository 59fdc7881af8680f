"""From what Git holds to what is applied and what is deleted, with a guard before the deleting.

Flux users lost clusters to a prune that followed an emptied folder (flux2#3949, flux2#2421), and Argo CD has
``allowEmpty`` for that reason. So an empty or a very large deletion needs a person's word, given for one revision.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from patchwright.domain.sources import commit_of

GROUP = "patchwright.dev"
VERSION = "v1alpha1"
CONFIRM_ANNOTATION = f"{GROUP}/confirm-prune"
PRUNE_ANNOTATION = f"{GROUP}/prune"
PRUNE_DISABLED = "disabled"
# A rollout names its policy, so policies are applied first and deleted last.
SYNCED_KINDS = ("PatchPolicy", "PatchRollout")
_SHOWN = 10


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """One object of ours, as an entry of the inventory."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """Give ``PatchPolicy prod/openssl``."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    @property
    def entry_id(self) -> str:
        """Give Flux's inventory id, ``<namespace>_<name>_<group>_<kind>``; no Kubernetes name holds an underscore."""
        return f"{self.namespace}_{self.name}_{GROUP}_{self.kind}"

    @classmethod
    def from_entry_id(cls, entry_id: str) -> ObjectKey | None:
        """Read an inventory id back; None for what is not ours."""
        parts = entry_id.split("_")
        if len(parts) != 4 or parts[2] != GROUP or parts[3] not in SYNCED_KINDS:
            return None
        return cls(parts[3], parts[0], parts[1])


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object as Git holds it; ``source`` is ``file:line``, ``document`` the whole object for server-side apply."""

    key: ObjectKey
    document: Mapping[str, object]
    source: str


@dataclass(frozen=True, slots=True)
class GuardRules:
    """How much may be deleted without a word: the larger of ``minimum`` objects and ``percent`` of the inventory."""

    percent: int = 50
    minimum: int = 2

    def allowance(self, inventory: int) -> int:
        """Give the number of objects that may go at once."""
        return max(self.minimum, inventory * self.percent // 100)


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """What to do, in order: apply all of ``apply``, then delete all of ``prune``, then record ``inventory``.

    ``orphaned`` left Git but stays in the cluster, because pruning is off for it; it is ours no longer.
    """

    apply: tuple[Manifest, ...]
    prune: tuple[ObjectKey, ...]
    orphaned: tuple[ObjectKey, ...]
    inventory: tuple[ObjectKey, ...]


@dataclass(frozen=True, slots=True)
class SyncRefused:
    """Nothing is applied and nothing deleted; ``message`` says why and how a person lets it through."""

    message: str
    deleted: tuple[ObjectKey, ...]
    reason: str = "PruneRefused"


def plan_sync(
    inventory: Collection[ObjectKey],
    manifests: Sequence[Manifest],
    *,
    revision: str,
    prune: bool,
    keep: Collection[ObjectKey] = (),
    confirmed: str = "",
    rules: GuardRules = GuardRules(),
) -> SyncPlan | SyncRefused:
    """Compare the last inventory with a commit's manifests.

    ``keep`` are the live objects annotated ``patchwright.dev/prune: disabled``. ``confirmed`` is the value of the
    annotation ``patchwright.dev/confirm-prune`` on the PolicyRepository: a revision, or its commit.
    """
    wanted = {manifest.key for manifest in manifests}
    gone = sorted(set(inventory) - wanted)
    deleted = [key for key in gone if prune and key not in keep]
    if not _confirms(confirmed, revision):
        refusal = _guard(inventory, wanted, deleted=deleted, revision=revision, rules=rules)
        if refusal is not None:
            return refusal
    return SyncPlan(
        apply=tuple(sorted(manifests, key=lambda manifest: _rank(manifest.key))),
        prune=tuple(sorted(deleted, key=_rank, reverse=True)),
        orphaned=tuple(key for key in gone if key not in deleted),
        inventory=tuple(sorted(wanted)),
    )


def _guard(
    inventory: Collection[ObjectKey],
    wanted: Collection[ObjectKey],
    *,
    deleted: Sequence[ObjectKey],
    revision: str,
    rules: GuardRules,
) -> SyncRefused | None:
    total = len(set(inventory))
    if wanted and len(deleted) <= rules.allowance(total):
        return None
    what = f"would delete {len(deleted)} of {total} objects ({_listed(deleted)})"
    if not wanted:
        what = f"holds no {' and no '.join(SYNCED_KINDS)}" + (f" and {what}" if deleted else "")
    message = (
        f"Revision {revision} {what}, so nothing was applied; "
        f"if that is meant, annotate the PolicyRepository with {CONFIRM_ANNOTATION}={revision}."
    )
    return SyncRefused(message, tuple(deleted))


def _confirms(confirmed: str, revision: str) -> bool:
    """A word counts for one revision only: kept on, it would wave the next accident through."""
    return bool(confirmed) and confirmed in (revision, commit_of(revision))


def _listed(keys: Sequence[ObjectKey]) -> str:
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(str(key) for key in keys[:_SHOWN]) + more


def _rank(key: ObjectKey) -> tuple[int, ObjectKey]:
    return SYNCED_KINDS.index(key.kind) if key.kind in SYNCED_KINDS else len(SYNCED_KINDS), key
