"""PatchPolicies and their status: the port ``Policies``, on the cache that rollouts share."""

from __future__ import annotations

from patchwright.adapters.kube.rollout_cache import RolloutCache
from patchwright.adapters.kube.rollouts import KubeRollouts
from patchwright.domain.memory import PolicyState
from patchwright.domain.model import Key
from patchwright.ports import PolicyCase


class KubePolicies:
    """Implements ``ports.Policies``."""

    def __init__(self, rollouts: KubeRollouts, cache: RolloutCache) -> None:
        self._rollouts = rollouts
        self._cache = cache

    def policy(self, key: Key) -> PolicyCase | None:
        """Read a policy from the cache."""
        found = self._cache.policy(key)
        if found is None:
            return None
        return PolicyCase(key, found.resource_version, found.state, found.policy, found.faults)

    async def save_policy(self, case: PolicyCase, state: PolicyState) -> None:
        """Write the status, if the cache still holds the version that the state was made for."""
        found = self._cache.policy(case.key)
        if found is not None and found.resource_version == case.resource_version:
            await self._rollouts.save_policy(found, state)
