"""What the watches and our own writes say of PatchRollouts and PatchPolicies, parsed once per version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from patchwright import errors
from patchwright.adapters.kube.projection import instant
from patchwright.adapters.kube.versions import Store
from patchwright.domain import memory
from patchwright.domain.model import Key, PatchPolicy, PatchRollout
from patchwright.domain.nodes import labels as own
from patchwright.domain.state import Phase, RolloutState
from patchwright.ports import Case

EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00Z")
# A rollout that was turned away, or gave way itself, has taken nobody's place.
_NEVER_BEGAN: Final = frozenset({Phase.DENIED, Phase.SUPERSEDED})


class Wire(Protocol):
    """How our kinds are spelled (``patchwright.api``); all of it raises ``InvalidInput`` and nothing else."""

    def parse_policy(self, raw: Mapping[str, Any], /) -> PatchPolicy:
        """Read a PatchPolicy."""

    def parse_rollout(self, raw: Mapping[str, Any], /) -> PatchRollout:
        """Read a PatchRollout."""

    def status_to_state(self, status: Mapping[str, Any] | None, /) -> RolloutState:
        """Read PatchRollout.status."""

    def state_to_status(
        self, state: RolloutState, /, *, now: datetime, previous: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """Give PatchRollout.status; ``previous`` is the present one, for its conditions' transition times."""

    def status_to_policy_state(self, status: Mapping[str, Any] | None, /) -> memory.PolicyState:
        """Read PatchPolicy.status."""

    def policy_state_to_status(
        self, state: memory.PolicyState, /, *, now: datetime, previous: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """Give PatchPolicy.status."""


@dataclass(frozen=True, slots=True)
class RolloutFacts:
    """One PatchRollout. ``lost`` says why its status cannot be read; of the status itself only the conditions are kept
    as they are, for their transition times.
    """

    key: Key
    uid: str
    resource_version: str = field(compare=False)
    generation: int
    created_at: datetime
    policy_name: str
    rollout: PatchRollout | None
    faults: tuple[str, ...]
    state: RolloutState
    lost: str
    finalizers: tuple[str, ...]
    deleting: bool
    conditions: tuple[Mapping[str, Any], ...] = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """One PatchPolicy, ``None`` in ``policy`` when it is faulty."""

    key: Key
    uid: str
    resource_version: str = field(compare=False)
    policy: PatchPolicy | None
    faults: tuple[str, ...]
    state: memory.PolicyState
    conditions: tuple[Mapping[str, Any], ...] = field(compare=False, repr=False)


Listener = Callable[[Key], None]


class RolloutCache:
    """Every rollout and policy; listeners get the key of each rollout that has something new, its policy included."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._rollouts: Store[RolloutFacts] = Store()
        self._policies: Store[PolicyFacts] = Store()
        self._of: dict[str, set[str]] = {}
        self._listeners: list[Listener] = []

    def on_change(self, listener: Listener) -> None:
        """Have ``listener`` called with the key of every rollout that somebody else changed."""
        self._listeners.append(listener)

    def apply_rollout(self, raw: Mapping[str, Any], *, ours: bool = False) -> None:
        """Take in a PatchRollout; ``ours`` is the answer to a write of our own, which is no news to anybody."""
        key, metadata = _key(raw), raw["metadata"]
        if not self._rollouts.news(str(key), metadata["uid"], metadata["resourceVersion"]):
            return
        facts = self._rollout(raw, key)
        before = self._rollouts.put(str(key), facts)
        if before is not None and before.policy_name != facts.policy_name:
            self._unlink(before)
        self._of.setdefault(_policy_key(facts), set()).add(str(key))
        if before != facts and not ours:
            self._tell_siblings(facts)

    def remove_rollout(self, raw: Mapping[str, Any]) -> None:
        """Take in that a PatchRollout was deleted."""
        gone = self._rollouts.drop(str(_key(raw)), raw["metadata"]["uid"])
        if gone is not None:
            self._unlink(gone)
            self._tell(gone.key)
            self._tell_siblings(gone)

    def apply_policy(self, raw: Mapping[str, Any], *, ours: bool = False) -> None:
        """Take in a PatchPolicy."""
        key, metadata = _key(raw), raw["metadata"]
        if not self._policies.news(str(key), metadata["uid"], metadata["resourceVersion"]):
            return
        facts = self._policy(raw, key)
        before = self._policies.put(str(key), facts)
        if before != facts and not ours:
            self._tell_rollouts_of(str(key))

    def remove_policy(self, raw: Mapping[str, Any]) -> None:
        """Take in that a PatchPolicy was deleted."""
        key = str(_key(raw))
        if self._policies.drop(key, raw["metadata"]["uid"]) is not None:
            self._tell_rollouts_of(key)

    def prune(self, uids: frozenset[str], at: int) -> None:
        """Drop the rollouts and policies that complete lists do not hold any more (``uids`` of both)."""
        for _, rollout in self._rollouts.prune(lambda _, each: each.uid in uids, at):
            self._unlink(rollout)
            self._tell(rollout.key)
        for key, _ in self._policies.prune(lambda _, each: each.uid in uids, at):
            self._tell_rollouts_of(key)

    # --- what is asked --------------------------------------------------------------------------------------------

    def keys(self) -> list[Key]:
        """List every rollout."""
        return [facts.key for facts in self._rollouts]

    def policies(self) -> list[PolicyFacts]:
        """List every policy."""
        return list(self._policies)

    def readable(self) -> list[PatchPolicy]:
        """Give every policy that can be read."""
        return [facts.policy for facts in self.policies() if facts.policy is not None]

    def rollout(self, key: Key) -> RolloutFacts | None:
        """Give what is known of a rollout."""
        return self._rollouts.get(str(key))

    def policy(self, key: Key) -> PolicyFacts | None:
        """Give what is known of a policy."""
        return self._policies.get(str(key))

    def case(self, key: Key) -> Case | None:
        """Give a rollout with everything that its own objects say."""
        facts = self.rollout(key)
        if facts is None:
            return None
        policy = self.policy(Key(key.namespace, facts.policy_name))
        # What is being deleted is undone from the records of its targets, whatever its status has become.
        readable = facts.rollout if facts.deleting or not facts.lost else None
        return Case(
            rollout=readable,
            policy=policy.policy if policy else None,
            state=facts.state,
            resource_version=facts.resource_version,
            key=key,
            uid=facts.uid,
            generation=facts.generation,
            faults=(*facts.faults, *([facts.lost] if facts.lost else []), *(policy.faults if policy else ())),
            remembered=_remembered(facts, policy),
            superseded_by=self._superseded_by(facts),
            finalizer=own.FINALIZER in facts.finalizers,
            deleting=facts.deleting,
        )

    def _superseded_by(self, facts: RolloutFacts) -> str:
        """Name the newest rollout of the same policy, if it is newer than this one and has not been turned away.

        Creation times have whole seconds, so names decide between two of one commit. But what was over within that
        second was not created after this one.
        """
        mine, second = (facts.created_at, facts.key), facts.created_at + timedelta(seconds=1)
        found = (self._rollouts.get(key) for key in self._of.get(_policy_key(facts), ()))
        newer = [each for each in found if each and (each.created_at, each.key) > mine and _takes_over(each)]
        newer = [each for each in newer if each.state.finished_at is None or each.state.finished_at >= second]
        return max(newer, key=lambda each: (each.created_at, each.key)).key.name if newer else ""

    # --- inside ---------------------------------------------------------------------------------------------------

    def _rollout(self, raw: Mapping[str, Any], key: Key) -> RolloutFacts:
        metadata, status = raw["metadata"], raw.get("status")
        rollout, faults = _try(self.wire.parse_rollout, raw)
        state, lost = _try(self.wire.status_to_state, status)
        return RolloutFacts(
            key=key,
            uid=metadata["uid"],
            resource_version=metadata["resourceVersion"],
            generation=metadata.get("generation", 0),
            created_at=instant(metadata.get("creationTimestamp")) or EPOCH,
            policy_name=_policy_name(raw),
            rollout=rollout,
            faults=faults,
            state=state or RolloutState(),
            lost="; ".join(lost),
            finalizers=tuple(metadata.get("finalizers") or ()),
            deleting="deletionTimestamp" in metadata,
            conditions=_conditions(status),
        )

    def _policy(self, raw: Mapping[str, Any], key: Key) -> PolicyFacts:
        metadata, status = raw["metadata"], raw.get("status")
        policy, faults = _try(self.wire.parse_policy, raw)
        # A memory that cannot be read is said, not taken for empty: what failed would be tried again (L9).
        state, lost = _try(self.wire.status_to_policy_state, status)
        return PolicyFacts(
            key=key,
            uid=metadata["uid"],
            resource_version=metadata["resourceVersion"],
            policy=policy if not lost else None,
            faults=(*faults, *lost),
            state=state or memory.PolicyState(),
            conditions=_conditions(status),
        )

    def _unlink(self, facts: RolloutFacts) -> None:
        names = self._of.get(_policy_key(facts), set())
        names.discard(str(facts.key))
        if not names:
            self._of.pop(_policy_key(facts), None)

    def _tell(self, key: Key) -> None:
        for listener in self._listeners:
            listener(key)

    def _tell_siblings(self, facts: RolloutFacts) -> None:
        """Tell of a rollout, and of the others of its policy: it may have superseded them."""
        self._tell_rollouts_of(_policy_key(facts))

    def _tell_rollouts_of(self, policy: str) -> None:
        for key in sorted(self._of.get(policy, ())):
            facts = self._rollouts.get(key)
            if facts is not None:
                self._tell(facts.key)


def _try(read: Callable[[Any], Any], raw: object) -> tuple[Any, tuple[str, ...]]:
    try:
        return read(raw), ()
    except errors.InvalidInput as error:
        return None, tuple(str(fault) for fault in error.faults)


def _takes_over(facts: RolloutFacts) -> bool:
    """Tell whether a newer rollout may push an older one aside: only policy's "yes" gives it that right."""
    if facts.deleting or facts.rollout is None or facts.state.phase in _NEVER_BEGAN:
        return False
    decided = facts.state.policy.decision if facts.state.policy else None
    return facts.state.started_at is not None or (decided is not None and decided.allowed)


def _remembered(facts: RolloutFacts, policy: PolicyFacts | None) -> memory.FailedChange | None:
    if facts.rollout is None or policy is None:
        return None
    return memory.recall(policy.state.failed_changes, facts.rollout.change_id)


def _key(raw: Mapping[str, Any]) -> Key:
    return Key(raw["metadata"].get("namespace", ""), raw["metadata"]["name"])


def _policy_name(raw: Mapping[str, Any]) -> str:
    """Read which policy a rollout belongs to, even of one that is faulty otherwise."""
    spec = raw.get("spec")
    ref = spec.get("policyRef") if isinstance(spec, Mapping) else None
    name = ref.get("name") if isinstance(ref, Mapping) else None
    return name if isinstance(name, str) else ""


def _policy_key(facts: RolloutFacts) -> str:
    return str(Key(facts.key.namespace, facts.policy_name))


def _conditions(status: object) -> tuple[Mapping[str, Any], ...]:
    found = status.get("conditions") if isinstance(status, Mapping) else None
    return tuple(each for each in found if isinstance(each, Mapping)) if isinstance(found, list) else ()
