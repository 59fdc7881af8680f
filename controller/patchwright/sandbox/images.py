"""Images of a few bytes for the sandbox's registry: made here, pushed by plain HTTP, like those of a publisher.

    store = images.Store(plane.registry_url)
    api = store.push("shop/api:1.4.2", platforms=["linux/amd64", "linux/arm64"])
    store.push("shop/api:1.4.2", content="rebuilt")  # the tag moves
    store.remove_tag("shop/api:1.4.2")

Whatever is pushed is the same digest for the same parameters. Nothing in it can be run: kwok's pods need no more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import urllib3

from patchwright.sandbox import errors

OCI: Final = "oci"
DOCKER: Final = "docker"
PLATFORM: Final = "linux/amd64"
CREATED: Final = "2026-01-01T00:00:00Z"
_TYPES: Final[Mapping[str, Mapping[str, str]]] = {
    OCI: {
        "index": "application/vnd.oci.image.index.v1+json",
        "manifest": "application/vnd.oci.image.manifest.v1+json",
        "config": "application/vnd.oci.image.config.v1+json",
        "layer": "application/vnd.oci.image.layer.v1.tar",
    },
    DOCKER: {
        "index": "application/vnd.docker.distribution.manifest.list.v2+json",
        "manifest": "application/vnd.docker.distribution.manifest.v2+json",
        "config": "application/vnd.docker.container.image.v1+json",
        "layer": "application/vnd.docker.image.rootfs.diff.tar",
    },
}


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push came to: the image's digest, the digest of each platform's manifest, and that of each config."""

    name: str
    digest: str
    children: Mapping[str, str]
    configs: Mapping[str, str]


class Store:
    """A registry to push to. ``authorization`` gives the header that lets a repository be written."""

    def __init__(self, url: str, *, authorization: Callable[[str], str] = lambda _: "") -> None:
        self._url = url.rstrip("/")
        self._authorization = authorization
        # Loopback, whatever HTTPS_PROXY says: a PoolManager asks no environment.
        self._http = urllib3.PoolManager()

    @property
    def host(self) -> str:
        """What stands before the first slash of an image in this registry."""
        return self._url.partition("://")[2]

    def push(
        self,
        name: str,
        *,
        platforms: Sequence[str] = (PLATFORM,),
        content: str = "",
        kind: str = OCI,
        index: bool | None = None,
        created: str = CREATED,
    ) -> Pushed:
        """Make an image and push it as ``repository:tag``; ``content`` tells one build from another.

        It is an index when there is more than one platform, or when ``index`` says so.
        """
        repository, tag = _split(name)
        children, configs = {}, {}
        for platform in platforms:
            body = _config(platform, content or name, created=created)
            manifest = self._manifest(repository, body, kind=kind)
            children[platform], configs[platform] = _digest(manifest), _digest(body)
            self._put_manifest(repository, _digest(manifest), body=manifest, media_type=_TYPES[kind]["manifest"])
        whole, media_type = manifest, _TYPES[kind]["manifest"]
        if index if index is not None else len(children) > 1:
            whole, media_type = self._index(repository, children, kind=kind), _TYPES[kind]["index"]
        self._put_manifest(repository, tag, body=whole, media_type=media_type)
        return Pushed(name, _digest(whole), children, configs)

    def tag(self, repository: str, digest: str, *, tag: str) -> None:
        """Point ``tag`` to an image that is there."""
        accept = ", ".join(types[each] for types in _TYPES.values() for each in ("index", "manifest"))
        found = self._do("GET", f"/v2/{repository}/manifests/{digest}", headers={"Accept": accept})
        self._put_manifest(repository, tag, body=found.data, media_type=found.headers["Content-Type"])

    def manifest(self, name: str) -> bytes:
        """Give what a tag points to, as it is."""
        repository, tag = _split(name)
        accept = ", ".join(types[each] for types in _TYPES.values() for each in ("index", "manifest"))
        return self._do("GET", f"/v2/{repository}/manifests/{tag}", headers={"Accept": accept}).data

    def blob(self, repository: str, blob: bytes) -> str:
        """Push a blob that is part of no image; give its digest."""
        self._put_blob(repository, blob)
        return _digest(blob)

    def document(self, repository: str, document: Mapping[str, Any], *, tag: str = "") -> str:
        """Push a manifest or an index as it stands, as a tag or under its digest alone; give its digest."""
        body = _json(document)
        self._put_manifest(repository, tag or _digest(body), body=body, media_type=document["mediaType"])
        return _digest(body)

    def remove_tag(self, name: str) -> None:
        """Take a tag away; what it pointed to stays."""
        repository, tag = _split(name)
        self._do("DELETE", f"/v2/{repository}/manifests/{tag}")

    def remove(self, repository: str, digest: str) -> None:
        """Delete a manifest, and with it every tag that points to it."""
        self._do("DELETE", f"/v2/{repository}/manifests/{digest}")

    def close(self) -> None:
        """Close the connections."""
        self._http.clear()

    def _manifest(self, repository: str, config: bytes, *, kind: str) -> bytes:
        types, layer = _TYPES[kind], _digest(config).encode()
        for blob in (config, layer):
            self._put_blob(repository, blob)
        return _json(
            {
                "schemaVersion": 2,
                "mediaType": types["manifest"],
                "config": _descriptor(types["config"], config),
                "layers": [_descriptor(types["layer"], layer)],
            }
        )

    def _index(self, repository: str, children: Mapping[str, str], *, kind: str) -> bytes:
        types = _TYPES[kind]
        manifests = []
        for platform, digest in children.items():
            path = f"/v2/{repository}/manifests/{digest}"
            size = int(self._do("HEAD", path, headers={"Accept": types["manifest"]}).headers["Content-Length"])
            descriptor = {"mediaType": types["manifest"], "digest": digest, "size": size}
            manifests.append({**descriptor, "platform": _platform(platform)})
        return _json({"schemaVersion": 2, "mediaType": types["index"], "manifests": manifests})

    def _put_blob(self, repository: str, blob: bytes) -> None:
        begun = self._do("POST", f"/v2/{repository}/blobs/uploads/")
        where = begun.headers["Location"]
        separator = "&" if "?" in where else "?"
        self._do("PUT", f"{where}{separator}digest={_digest(blob)}", body=blob)

    def _put_manifest(self, repository: str, reference: str, *, body: bytes, media_type: str) -> None:
        self._do("PUT", f"/v2/{repository}/manifests/{reference}", body=body, headers={"Content-Type": media_type})

    def _do(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> urllib3.BaseHTTPResponse:
        repository = path.removeprefix("/v2/").rpartition("/manifests/")[0] or path[4:].partition("/blobs/")[0]
        login = self._authorization(repository)
        sent = {**(headers or {}), **({"Authorization": login} if login else {})}
        answer = self._http.request(method, f"{self._url}{path}", body=body, headers=sent, retries=False, timeout=30)
        if answer.status >= 400:
            raise errors.SandboxError(
                f"The sandbox's registry answers {method} {path} with {answer.status}: {answer.data[:300]!r}."
            )
        return answer


def _split(name: str) -> tuple[str, str]:
    repository, _, tag = name.partition(":")
    return repository, tag or "latest"


def _config(platform: str, content: str, *, created: str) -> bytes:
    history = [{"created": created, "comment": content}]
    rootfs = {"type": "layers", "diff_ids": list[str]()}
    return _json({"created": created, **_platform(platform), "history": history, "rootfs": rootfs})


def _platform(text: str) -> dict[str, str]:
    return dict(zip(("os", "architecture", "variant"), text.split("/"), strict=False))


def _descriptor(media_type: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(blob), "size": len(blob)}


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"
