"""Server-side apply of what Git holds, as the service account that the PolicyRepository names.

Only our own kinds get here; even so, an impersonated service account must be allowed to write them: whoever may merge
must not be able to do more than that account (CVE-2022-24817 shows where a wider path leads).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Final

from patchwright import errors
from patchwright.adapters.kube.client import KubeApi
from patchwright.domain.sync import GROUP, PRUNE_ANNOTATION, PRUNE_DISABLED, VERSION, Manifest, ObjectKey

FIELD_MANAGER: Final = "patchwright"
APPLY_PATCH: Final = "application/apply-patch+yaml"
PLURALS: Final = {"PatchPolicy": "patchpolicies", "PatchRollout": "patchrollouts"}


class KubeApplier:
    """Applies and deletes PatchPolicy and PatchRollout objects; implements ``source_ports.Applier``."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    async def kept(self, keys: Collection[ObjectKey]) -> frozenset[ObjectKey]:
        """Read the objects that are about to be deleted, and give those whose owner said no."""
        found = set()
        for key in keys:
            try:
                live = await self._api.call("GET", _path(key), what=f"cannot read {key}")
            except errors.NotFound:
                continue
            if (live["metadata"].get("annotations") or {}).get(PRUNE_ANNOTATION) == PRUNE_DISABLED:
                found.add(key)
        return frozenset(found)

    async def apply(self, manifest: Manifest, *, service_account: str | None, dry_run: bool) -> None:
        """Apply one object; fields that somebody else owns are taken over, as Git is where intent comes from."""
        query = {"fieldManager": FIELD_MANAGER, "force": "true", "fieldValidation": "Strict"}
        if dry_run:
            query["dryRun"] = "All"
        await self._api.call(
            "PATCH",
            _path(manifest.key),
            what=f"cannot apply {manifest.key}",
            query=query,
            # A body that is text is sent as it is; JSON is YAML.
            body=json.loads(json.dumps(manifest.document)),
            content_type=APPLY_PATCH,
            headers=_impersonate(manifest.key.namespace, service_account),
        )

    async def delete(self, key: ObjectKey, *, service_account: str | None) -> None:
        """Delete one object; a rollout among them is undone by its finalizer before it goes."""
        try:
            await self._api.call(
                "DELETE", _path(key), what=f"cannot delete {key}", headers=_impersonate(key.namespace, service_account)
            )
        except errors.NotFound:
            return


def _path(key: ObjectKey) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{key.namespace}/{PLURALS[key.kind]}/{key.name}"


def _impersonate(namespace: str, service_account: str | None) -> Mapping[str, str]:
    if service_account is None:
        return {}
    return {"Impersonate-User": f"system:serviceaccount:{namespace}:{service_account}"}
