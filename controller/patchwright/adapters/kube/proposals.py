"""Rollouts that policies propose: the port ``Proposals`` on the Kubernetes API."""

from __future__ import annotations

from patchwright import errors
from patchwright.adapters.kube.client import KubeApi
from patchwright.adapters.kube.rollout_cache import RolloutCache
from patchwright.adapters.kube.rollouts import GROUP, ROLLOUTS, KubeRollouts
from patchwright.api import proposals
from patchwright.domain.images.proposals import Proposal
from patchwright.domain.model import Key, PatchPolicy


class KubeProposals:
    """Implements ``image_ports.Proposals``."""

    def __init__(self, api: KubeApi, rollouts: KubeRollouts, cache: RolloutCache) -> None:
        self._api = api
        self._rollouts = rollouts
        self._cache = cache

    async def propose(self, policy: PatchPolicy, proposal: Proposal) -> str:
        """Create the rollout; one of that name that is there already is read, and somebody else decides again."""
        key = Key(policy.key.namespace, proposal.name)
        body = proposals.manifest(policy, proposal)
        path = f"{GROUP}/namespaces/{key.namespace}/{ROLLOUTS}"
        try:
            raw = await self._api.call("POST", path, what=f"rollout {key}", body=body)
        except errors.Conflict:
            await self._rollouts.refresh(key)
            raise
        self._cache.apply_rollout(raw)
        return str(raw["metadata"]["uid"])

    async def tidy(self, key: Key, *, uid: str) -> None:
        """Delete a rollout, if it is still that one."""
        path = f"{GROUP}/namespaces/{key.namespace}/{ROLLOUTS}/{key.name}"
        try:
            await self._api.call("DELETE", path, what=f"rollout {key}", body={"preconditions": {"uid": uid}})
        except (errors.NotFound, errors.Conflict):
            return
