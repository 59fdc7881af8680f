"""What policies know of image repositories, one ConfigMap each: the port ``ScanMemories`` on the Kubernetes API.

Not in the policy's status: that is read by people, and by every watch. Each belongs to its policy and goes with it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Mapping
from typing import Any, Final

from patchwright import errors
from patchwright.adapters.kube.client import KubeApi
from patchwright.domain.images import knowledge, recall
from patchwright.domain.images.knowledge import Knowledge
from patchwright.domain.model import PatchPolicy
from patchwright.domain.sync import GROUP, VERSION
from patchwright.image_ports import Remembered

OF_POLICY: Final = "patchwright.dev/policy"
_DATA: Final = "knowledge"
_IMAGE: Final = "image"
# Unpacked. What an operator writes is a tenth of it; what somebody else wrote must not fill the memory.
_LARGEST: Final = 8 * 1024 * 1024


class KubeScanMemories:
    """Implements ``image_ports.ScanMemories``."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    async def recall(self, policy: PatchPolicy, image: str) -> Remembered:
        """Read what a policy knows of a repository."""
        try:
            raw = await self._api.call("GET", _path(policy, image), what=_what(policy, image))
        except errors.NotFound:
            return Remembered(knowledge.NOTHING)
        return Remembered(_read(raw, policy, image), raw["metadata"]["resourceVersion"])

    async def keep(self, policy: PatchPolicy, image: str, *, known: Knowledge, version: str) -> str:
        """Write what a policy knows, over the version that it was learnt from."""
        body = _config_map(policy, image, known)
        if version:
            body["metadata"]["resourceVersion"] = version
            raw = await self._api.call("PUT", _path(policy, image), what=_what(policy, image), body=body)
        else:
            raw = await self._api.call("POST", _collection(policy), what=_what(policy, image), body=body)
        return str(raw["metadata"]["resourceVersion"])


def _read(raw: Mapping[str, Any], policy: PatchPolicy, image: str) -> Knowledge:
    try:
        packed = base64.b64decode((raw.get("binaryData") or {})[_DATA], validate=True)
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(packed, _LARGEST)
        if unpacker.unconsumed_tail:
            raise recall.Unreadable(f"it is larger than {_LARGEST} bytes")
        return recall.decode(text.decode())
    except (KeyError, binascii.Error, zlib.error, ValueError) as error:
        why = str(error) if isinstance(error, recall.Unreadable) else "it is not what an operator wrote"
        message = (
            f"ConfigMap {policy.key.namespace}/{name(policy, image)} cannot be read: {why}; delete it to begin anew"
        )
        raise errors.InvalidInput([errors.Fault("", message)], reason="MemoryUnreadable") from error


def _config_map(policy: PatchPolicy, image: str, known: Knowledge) -> dict[str, Any]:
    owner = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "PatchPolicy", "name": policy.key.name, "uid": policy.uid}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name(policy, image),
            "namespace": policy.key.namespace,
            "labels": {OF_POLICY: policy.key.name},
            "ownerReferences": [owner],
        },
        # In clear, for whoever finds it.
        "data": {_IMAGE: image},
        "binaryData": {_DATA: base64.b64encode(zlib.compress(recall.encode(known).encode(), 9)).decode()},
    }


def name(policy: PatchPolicy, image: str) -> str:
    """Give the ConfigMap's name; that of another policy of the same name, which is gone, is not taken over."""
    digest = hashlib.sha256(f"{policy.uid} {image}".encode()).hexdigest()[:16]
    return f"patchwright-images-{digest}"


def _collection(policy: PatchPolicy) -> str:
    return f"/api/v1/namespaces/{policy.key.namespace}/configmaps"


def _path(policy: PatchPolicy, image: str) -> str:
    return f"{_collection(policy)}/{name(policy, image)}"


def _what(policy: PatchPolicy, image: str) -> str:
    return f"what policy {policy.key} knows of {image} (ConfigMap {name(policy, image)})"
