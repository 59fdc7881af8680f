"""The port ``Rollouts`` in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from patchwright.domain import memory
from patchwright.domain.memory import FailedChange
from patchwright.domain.model import FailurePolicy, Key
from patchwright.domain.state import TERMINAL, RolloutState
from patchwright.ports import Case
from support.simulator.cache import Cache
from support.simulator.calls import Wire
from support.simulator.server import OPERATOR, Server
from support.simulator.things import Policy, Rollout


@dataclass(slots=True)
class Rollouts:
    """Rollouts and policies through one operator's cache, and its writes to them."""

    server: Server
    cache: Cache
    wire: Wire

    def keys(self) -> Sequence[Key]:
        return [rollout.key for rollout in self.cache.all(Rollout)]

    def get(self, key: Key) -> Case | None:
        found = self.cache.get(Rollout, key)
        if found is None:
            return None
        policy = self.cache.get(Policy, Key(key.namespace, found.spec.policy_name))
        known = _recall(policy, found.spec.change_id) if policy else None
        # A flag that cannot be read is passed over once the rollout is being deleted.
        read = replace(found.spec, ignored=found.faults if found.spec.deleting else ())
        faults = () if found.spec.deleting else found.faults
        return Case(
            rollout=None if faults else read,
            policy=policy.spec if policy and not policy.faults else None,
            state=found.state,
            resource_version=str(found.version),
            key=found.key,
            uid=found.uid,
            generation=found.spec.generation,
            faults=(*faults, *(policy.faults if policy else ())),
            remembered=known,
            superseded_by=self._newer(found),
            finalizer=found.finalizer,
            deleting=found.spec.deleting,
        )

    def _newer(self, mine: Rollout) -> str:
        """Name the newest rollout of the same policy that policy has allowed: one it refuses supersedes nothing."""
        later = [
            other
            for other in self.cache.all(Rollout)
            if other.spec.policy_name == mine.spec.policy_name
            and (other.spec.created_at, other.key) > (mine.spec.created_at, mine.key)
            and other.state.phase not in TERMINAL
            and self._may(other)
        ]
        newest = max(later, key=lambda other: (other.spec.created_at, other.key), default=None)
        return newest.key.name if newest else ""

    def _may(self, rollout: Rollout) -> bool:
        recorded = rollout.state.policy
        if recorded is None:
            return False
        if recorded.decision is not None:
            return recorded.decision.allowed
        policy = self.cache.get(Policy, Key(rollout.key.namespace, rollout.spec.policy_name))
        return policy is not None and policy.spec.policy.failure_policy is FailurePolicy.IGNORE

    async def living(self) -> frozenset[str]:
        def effect() -> frozenset[str]:
            return frozenset(rollout.uid for rollout in self.server.all(Rollout))

        return await self.wire.call("list rollouts", effect, writes=False)

    async def save(self, case: Case, state: RolloutState) -> None:
        await self._write(f"save {state.phase.value}", case, lambda known: replace(known, state=state))

    async def hold(self, case: Case) -> None:
        await self._write("hold", case, lambda known: replace(known, finalizer=True))

    async def let_go(self, case: Case) -> None:
        def effect() -> Rollout | None:
            known = self.server.get(Rollout, case.key)
            if known is None or known.uid != case.uid:
                return None
            if known.spec.deleting:
                self.server.delete(OPERATOR, known)
                return None
            return self.server.update(OPERATOR, known, finalizer=False)

        left = await self.wire.call("let go", effect)
        stale = self.cache.get(Rollout, case.key)
        if left is not None:
            self.cache.learn(left)
        elif stale is not None:
            self.cache.forget(Rollout, stale)

    async def remember(self, case: Case, failed: FailedChange) -> None:
        assert case.rollout is not None
        key = Key(case.key.namespace, case.rollout.policy_name)

        def effect() -> Policy:
            known = self.server.need(Policy, key)
            kept = (failed, *(old for old in known.failed if old.change_id != failed.change_id))
            return self.server.update(OPERATOR, known, failed=kept[: memory.FAILED_KEPT])

        self.cache.learn(await self.wire.call("remember", effect))

    async def _write(self, name: str, case: Case, change: Callable[[Rollout], Rollout]) -> None:
        def effect() -> Rollout:
            known = self.server.need(Rollout, case.key)
            after = change(known)
            version = int(case.resource_version)
            return self.server.update(OPERATOR, known, version=version, state=after.state, finalizer=after.finalizer)

        self.cache.learn(await self.wire.call(name, effect))


def _recall(policy: Policy, change_id: str) -> FailedChange | None:
    return next((failed for failed in policy.failed if failed.change_id == change_id), None)
