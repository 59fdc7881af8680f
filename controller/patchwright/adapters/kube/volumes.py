"""Which volumes are attached to a node: VolumeAttachments, and the claims behind them.

They are asked for only when a policy waits for volumes. The API selects them by nothing but their name, so each list is
one of the whole cluster: nodes that are drained at the same time share it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from patchwright import errors
from patchwright.adapters.kube.client import LIST_TIMEOUT, KubeApi
from patchwright.adapters.kube.lists import PAGE
from patchwright.domain.nodes.view import Attachment, VolumeList

ATTACHMENTS: Final = "/apis/storage.k8s.io/v1/volumeattachments"
VOLUMES: Final = "/api/v1/persistentvolumes"
# A list that is this much older than the question will do: an attachment outlives its pod, and none comes after it.
_SHARED = timedelta(seconds=1)
_LONGEST_ERROR = 200


class Volumes:
    """Looks at the attachments of one cluster; ``clock`` gives the time in UTC."""

    def __init__(self, api: KubeApi, clock: Callable[[], datetime]) -> None:
        self._api = api
        self._clock = clock
        self._turn = asyncio.Lock()
        self._at: datetime | None = None
        self._on: dict[str, list[Attachment]] = {}
        self._claims: dict[str, str] = {}

    async def of(self, node: str) -> VolumeList:
        """List what is attached to a node, with the claims that the volumes are bound to.

        Raises:
            ClusterError: the API server refused (the operator may not list them), or did not answer.
        """
        asked = self._clock()
        async with self._turn:
            at = self._at
            if at is None or asked - at >= _SHARED:
                at = await self._list()
        found = self._on.get(node, ())
        return VolumeList(at, tuple([await self._bound(each) for each in found]))

    async def _list(self) -> datetime:
        at, found = self._clock(), dict[str, list[Attachment]]()
        query: dict[str, str] = {"limit": PAGE}
        while True:
            body = await self._api.call("GET", ATTACHMENTS, what="VolumeAttachments", query=query, limit=LIST_TIMEOUT)
            for raw in body.get("items") or ():
                if attachment := project(raw):
                    found.setdefault(raw["spec"]["nodeName"], []).append(attachment)
            token = body["metadata"].get("continue")
            if not token:
                break
            query = {**query, "continue": token}
        left = {each.volume for attached in found.values() for each in attached}
        self._claims = {volume: claim for volume, claim in self._claims.items() if volume in left}
        self._at, self._on = at, found
        return at

    async def _bound(self, attachment: Attachment) -> Attachment:
        """Add the claim, which the volume names even when the claim itself is gone with its pod.

        A volume is asked for once; its claim does not change while it is attached.
        """
        volume = attachment.volume
        if volume not in self._claims:
            self._claims[volume] = await self._claim(volume)
        claim = self._claims[volume]
        return Attachment(attachment.name, volume, attachment.driver, claim, attachment.error)

    async def _claim(self, volume: str) -> str:
        try:
            raw = await self._api.call("GET", f"{VOLUMES}/{volume}", what=f"PersistentVolume {volume}")
        except errors.NotFound:
            return ""
        bound = (raw.get("spec") or {}).get("claimRef") or {}
        return f"{bound['namespace']}/{bound['name']}" if bound else ""


def project(raw: Mapping[str, Any]) -> Attachment | None:
    """Project a raw VolumeAttachment; one of a volume that stands in the pod itself has no claim, and is passed over.

    Nobody can tell whose it is (Karpenter passes it over too).
    """
    spec = raw["spec"]
    volume = (spec.get("source") or {}).get("persistentVolumeName")
    if not volume:
        return None
    said = ((raw.get("status") or {}).get("detachError") or {}).get("message") or ""
    return Attachment(raw["metadata"]["name"], volume, spec["attacher"], error=" ".join(said.split())[:_LONGEST_ERROR])
