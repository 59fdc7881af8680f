"""PatchRollouts and their policies: the port ``Rollouts`` on the Kubernetes API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from patchwright import errors
from patchwright.adapters.kube.client import JSON_PATCH, MERGE_PATCH, KubeApi
from patchwright.adapters.kube.fleet import utc_now
from patchwright.adapters.kube.lists import uids
from patchwright.adapters.kube.rollout_cache import PolicyFacts, RolloutCache
from patchwright.domain import memory
from patchwright.domain.model import Key
from patchwright.domain.nodes import labels as own
from patchwright.domain.state import RolloutState
from patchwright.ports import Case

GROUP: Final = "/apis/patchwright.dev/v1alpha1"
ROLLOUTS: Final = "patchrollouts"
POLICIES: Final = "patchpolicies"
# The policy's status has other writers; each attempt starts from what is there now.
_ATTEMPTS = 4


class KubeRollouts:
    """Implements ``ports.Rollouts``."""

    def __init__(self, api: KubeApi, cache: RolloutCache) -> None:
        self._api = api
        self._cache = cache

    def keys(self) -> Sequence[Key]:
        """List every rollout."""
        return self._cache.keys()

    def get(self, key: Key) -> Case | None:
        """Read a rollout; ``None`` when it is gone. Reads its own writes."""
        return self._cache.case(key)

    async def living(self) -> frozenset[str]:
        """List the UIDs of all rollouts of all namespaces, past any cache."""
        return (await uids(self._api, f"{GROUP}/{ROLLOUTS}")).uids

    async def save(self, case: Case, state: RolloutState) -> None:
        """Write the status as a whole, for the version that was read.

        Raises:
            Conflict: somebody else wrote first; what they wrote has been read.
        """
        known = self._cache.rollout(case.key)
        conditions = known.conditions if known else ()
        status = self._cache.wire.state_to_status(state, now=utc_now(), previous={"conditions": list(conditions)})
        if known is not None and known.lost and not known.deleting:
            await self._say(case, status)
            return
        # Setting resourceVersion makes it a precondition (409), where a failed JSON Patch "test" would be a 422; "add"
        # replaces the whole status, where a merge would keep what is not there any more.
        body = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": case.resource_version},
            {"op": "add", "path": "/status", "value": status},
        ]
        await self._write(case, f"{_path(ROLLOUTS, case.key)}/status", body, JSON_PATCH)

    async def _say(self, case: Case, status: Mapping[str, Any]) -> None:
        """Write no more than what is wrong: whoever broke the status can still mend what stands in it.

        Of one that is being deleted nobody will, and how it is undone has to be recorded.
        """
        said = {name: status[name] for name in ("message", "conditions") if name in status}
        body = {"metadata": {"resourceVersion": case.resource_version}, "status": said}
        await self._write(case, f"{_path(ROLLOUTS, case.key)}/status", body, MERGE_PATCH)

    async def hold(self, case: Case) -> None:
        """Put our finalizer on a rollout."""
        await self._finalizers(case, held=True)

    async def let_go(self, case: Case) -> None:
        """Take our finalizer off; a rollout that is gone already is fine."""
        try:
            await self._finalizers(case, held=False)
        except errors.NotFound:
            return

    async def _finalizers(self, case: Case, *, held: bool) -> None:
        known = self._cache.rollout(case.key)
        present = known.finalizers if known else ()
        if (own.FINALIZER in present) is held:
            return
        others = [each for each in present if each != own.FINALIZER]
        wanted = [*others, own.FINALIZER] if held else others
        # The whole list is written, for the version that it was read from: others keep theirs.
        body = {"metadata": {"uid": case.uid, "resourceVersion": case.resource_version, "finalizers": wanted}}
        await self._write(case, _path(ROLLOUTS, case.key), body, MERGE_PATCH)

    async def _write(self, case: Case, path: str, body: Any, content_type: str) -> None:
        try:
            raw = await self._api.call("PATCH", path, what=f"rollout {case.key}", body=body, content_type=content_type)
        except errors.Conflict:
            await self.refresh(case.key)
            raise
        self._cache.apply_rollout(raw, ours=True)
        if "deletionTimestamp" in raw["metadata"] and not raw["metadata"].get("finalizers"):
            # That was the last finalizer, and the object is gone with it.
            self._cache.remove_rollout(raw)

    async def refresh(self, key: Key) -> None:
        """Read a rollout past the cache, after a conflict."""
        known = self._cache.rollout(key)
        try:
            raw = await self._api.call("GET", _path(ROLLOUTS, key), what=f"rollout {key}")
        except errors.NotFound:
            if known is not None:
                self._cache.remove_rollout(_stub(key, known.uid))
            return
        self._cache.apply_rollout(raw)

    async def remember(self, case: Case, failed: memory.FailedChange) -> None:
        """Write a failed change into the policy's status; without a policy there is nobody to remember it.

        Raises:
            Conflict: the status changed under every one of several attempts.
        """
        facts = self._cache.rollout(case.key)
        key = Key(case.key.namespace, facts.policy_name if facts else "")
        policy = self._cache.policy(key)
        for attempt in range(_ATTEMPTS):
            if policy is None:
                return
            try:
                await self._remember(policy, failed)
            except errors.Conflict:
                if attempt == _ATTEMPTS - 1:
                    raise
                policy = await self._policy_again(key)
            except errors.NotFound:
                return
            else:
                return

    async def _remember(self, policy: PolicyFacts, failed: memory.FailedChange) -> None:
        state = replace(policy.state, failed_changes=memory.remember(policy.state.failed_changes, failed))
        await self.save_policy(policy, state)

    async def save_policy(self, policy: PolicyFacts, state: memory.PolicyState) -> None:
        """Write a policy's status as a whole, for the version that was read.

        Raises:
            Conflict: somebody else wrote first.
        """
        previous = {"conditions": list(policy.conditions)}
        status = self._cache.wire.policy_state_to_status(state, now=utc_now(), previous=previous)
        body = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": policy.resource_version},
            {"op": "add", "path": "/status", "value": status},
        ]
        raw = await self._api.call(
            "PATCH",
            f"{_path(POLICIES, policy.key)}/status",
            what=f"policy {policy.key}",
            body=body,
            content_type=JSON_PATCH,
        )
        self._cache.apply_policy(raw, ours=True)

    async def _policy_again(self, key: Key) -> PolicyFacts | None:
        self._cache.apply_policy(await self._api.call("GET", _path(POLICIES, key), what=f"policy {key}"))
        return self._cache.policy(key)

    async def resync(self) -> None:
        """Drop what is gone without a word: a watch that starts over never tells of deletions it missed."""
        rollouts = await uids(self._api, f"{GROUP}/{ROLLOUTS}")
        policies = await uids(self._api, f"{GROUP}/{POLICIES}")
        self._cache.prune(rollouts.uids | policies.uids, min(rollouts.at, policies.at))


def _path(kind: str, key: Key) -> str:
    return f"{GROUP}/namespaces/{key.namespace}/{kind}/{key.name}"


def _stub(key: Key, uid: str) -> dict[str, Any]:
    return {"metadata": {"namespace": key.namespace, "name": key.name, "uid": uid}}
