"""Volumes attached to nodes by hand, as an external attacher would leave them: the sandbox has no storage driver."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any

from patchwright import errors
from patchwright.sandbox import client

ATTACHMENTS = "/apis/storage.k8s.io/v1/volumeattachments"
VOLUMES = "/api/v1/persistentvolumes"
DRIVER = "csi.example.org"


@dataclass(slots=True)
class Storage:
    """The volumes of one test; ``clear`` removes what is left of them."""

    api: client.Client
    _made: list[str] = field(default_factory=list)

    def claim(self, namespace: str, name: str) -> str:
        """Create a claim with its volume; give the volume's name."""
        volume = f"pv-{namespace}-{name}"
        size = {"storage": "1Gi"}
        spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
        bound = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": name}
        # A volume that no controller attaches by itself, so that these attachments are the only ones.
        body = {**spec, "capacity": size, "hostPath": {"path": "/data"}, "claimRef": bound}
        self._create(
            VOLUMES, {"kind": "PersistentVolume", "apiVersion": "v1", "metadata": {"name": volume}, "spec": body}
        )
        wanted = {**spec, "volumeName": volume, "resources": {"requests": size}}
        self.api.create(
            f"/api/v1/namespaces/{namespace}/persistentvolumeclaims",
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": wanted},
        )
        return volume

    def attach(self, volume: str, node: str) -> str:
        """Attach a volume to a node; give the attachment's name."""
        name = f"csi-{volume}-{node}"
        spec = {"attacher": DRIVER, "nodeName": node, "source": {"persistentVolumeName": volume}}
        self._create(ATTACHMENTS, attachment(name, spec))
        return name

    def detach(self, name: str) -> None:
        """Remove an attachment, as the attacher does once the volume is off."""
        self.api.delete(f"{ATTACHMENTS}/{name}")

    def fails_to_detach(self, name: str, message: str) -> None:
        """Say why a volume does not come off."""
        said = {"detachError": {"message": message, "time": "2026-11-23T12:00:00Z"}, "attached": True}
        self.api.patch(f"{ATTACHMENTS}/{name}/status", {"status": said})

    def _create(self, path: str, body: client.Manifest) -> None:
        self.api.create(path, body)
        self._made.append(f"{path}/{body['metadata']['name']}")

    def clear(self) -> None:
        """Remove every volume and attachment that is left."""
        for path in reversed(self._made):
            with contextlib.suppress(errors.NotFound):
                self.api.delete(path)


def attachment(name: str, spec: dict[str, Any]) -> client.Manifest:
    """Give a VolumeAttachment."""
    return {"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", "metadata": {"name": name}, "spec": spec}


def using(claim: str) -> dict[str, Any]:
    """Give a pod's volume that uses a claim."""
    return {"name": claim, "persistentVolumeClaim": {"claimName": claim}}
