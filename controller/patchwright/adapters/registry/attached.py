"""What is attached to an image: cosign's signatures and attestations, found in every way that cosign has kept them.

- OCI 1.1 referrers, and the index under the tag ``sha256-<hex>`` where a registry does not know the API: cosign 3 keeps
  Sigstore bundles there.
- The tags ``sha256-<hex>.sig`` and ``.att`` of cosign 1 and 2, which many still write.

All of it is a stranger's: bounded in number and size, each digest computed, and what is wrong with one document is a
phrase beside the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from patchwright import errors
from patchwright.adapters.registry import documents
from patchwright.adapters.registry.addresses import Addresses
from patchwright.adapters.registry.documents import Unreadable
from patchwright.adapters.registry.transport import Question, Transport
from patchwright.adapters.registry.wire import Answer
from patchwright.domain.images import reference
from patchwright.domain.images.keyring import Login
from patchwright.domain.images.reference import Reference
from patchwright.domain.images.trust import Attached, Document, Form

# A provenance has 20 KB, an SBOM of a large image some megabytes.
_BLOB_BYTES: Final = 4 * 1024 * 1024
_TOTAL_BYTES: Final = 16 * 1024 * 1024
_INDEX_BYTES: Final = 1024 * 1024
_MANIFESTS: Final = 32
_BLOBS: Final = 32
_DOCUMENTS: Final = 64
_ACCEPT: Final = ", ".join(("application/vnd.oci.image.manifest.v1+json", documents.INDEXES[0]))
# What a registry answers that does not know the API: go-containerregistry falls back for the same three.
_UNKNOWN_API: Final = frozenset({400, 404, 406})
_SIGNATURE: Final = "dev.cosignproject.cosign/signature"
_CERTIFICATE: Final = "dev.sigstore.cosign/certificate"
# Of a manifest whose author named no type, registries say its config's.
_UNTYPED: Final = frozenset({"", "application/vnd.oci.empty.v1+json", "application/vnd.oci.image.config.v1+json"})
_TYPES: Final = ("application/vnd.dev.sigstore.bundle", "application/vnd.dev.cosign.artifact.")


@dataclass(slots=True)
class _Found:
    """What was found so far, and what it has cost."""

    documents: list[Document] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    blobs: dict[str, bytes | None] = field(default_factory=dict)
    manifests: int = 0
    size: int = 0

    @property
    def full(self) -> bool:
        """Whether there is enough of it."""
        return len(self.documents) >= _DOCUMENTS or len(self.blobs) >= _BLOBS or self.size >= _TOTAL_BYTES


@dataclass(frozen=True, slots=True)
class Attachments:
    """Asks for what is attached."""

    transport: Transport
    addresses: Addresses

    async def of(self, image: Reference, login: Login | None) -> Attached:
        """Give what is attached to an image's digest.

        Raises:
            RegistryError: the registry did not say, or does not have the image for this login.
        """
        assert image.digest is not None, "signatures are of a digest"
        found = _Found()
        for descriptor in await self._referrers(image, login):
            await self._manifest(image, descriptor, login=login, found=found)
        for suffix in ("sig", "att"):
            answer = await self._get(image, f"manifests/{_tag(image.digest)}.{suffix}", login=login)
            if answer is not None:
                await self._layers(image, answer.body, login=login, found=found)
        if not (found.documents or found.faults):
            # Some registries hide from a login what they would refuse it: then nothing was signed for all it can see.
            await self._seen(image, login)
        return Attached(tuple(found.documents), tuple(found.faults))

    async def _seen(self, image: Reference, login: Login | None) -> None:
        home, url = self.addresses.home(image), self.addresses.at(image, f"manifests/{image.digest}")
        question = Question(image, "manifest", home, url, method="HEAD", accept=documents.ACCEPT, limit=_INDEX_BYTES)
        await self.transport.ask(question, login)

    async def _referrers(self, image: Reference, login: Login | None) -> Sequence[Mapping[str, Any]]:
        assert image.digest is not None
        answer = await self._get(image, f"referrers/{image.digest}", login=login, absent=_UNKNOWN_API)
        if answer is None:
            answer = await self._get(image, f"manifests/{_tag(image.digest)}", login=login)
        if answer is None:
            return ()
        try:
            listed = _list(documents.as_object(answer.body), "manifests")
        except Unreadable as fault:
            raise errors.RegistryUnusable(
                f"Registry {image.registry} cannot be used for {image}: what it lists as attached cannot be read "
                f"({fault}); see what was pushed as {_tag(image.digest)}"
            ) from fault
        return [each for each in listed if _of_interest(each)]

    async def _manifest(
        self, image: Reference, descriptor: Mapping[str, Any], *, login: Login | None, found: _Found
    ) -> None:
        digest = descriptor.get("digest")
        if not isinstance(digest, str) or not reference.is_digest(digest):
            found.faults.append("the list of what is attached names something that is no digest")
            return
        if found.manifests >= _MANIFESTS:
            _once(found.faults, f"of what is attached only the first {_MANIFESTS} were looked at")
            return
        found.manifests += 1
        answer = await self._get(image, f"manifests/{digest}", login=login)
        if answer is None:
            found.faults.append("something that is listed as attached is not there")
        elif documents.digest(answer.body, digest) != digest:
            found.faults.append("something attached does not have the digest that it should have")
        else:
            await self._layers(image, answer.body, login=login, found=found, subject=image.digest)

    async def _layers(
        self, image: Reference, body: bytes, *, login: Login | None, found: _Found, subject: str | None = None
    ) -> None:
        try:
            manifest = documents.as_object(body)
            if subject is not None and documents.as_mapping(manifest.get("subject")).get("digest") != subject:
                raise Unreadable("it is attached to another image")
            layers = _list(manifest, "layers")
        except Unreadable as fault:
            found.faults.append(f"something attached cannot be read: {fault}")
            return
        for layer in layers:
            form = _form(layer.get("mediaType"))
            if form is not None:
                await self._layer(image, form, layer, login=login, found=found)

    async def _layer(
        self, image: Reference, form: Form, layer: Mapping[str, Any], *, login: Login | None, found: _Found
    ) -> None:
        digest = layer.get("digest")
        if not isinstance(digest, str) or not reference.is_digest(digest):
            found.faults.append("a signature has no digest")
        elif found.full:
            _once(found.faults, f"of what is attached only the first {len(found.documents)} documents were looked at")
        else:
            # One payload is signed by many: the same blob, each time with another signature beside it.
            if digest not in found.blobs:
                found.blobs[digest] = await self._blob(image, digest, login=login, found=found)
                found.size += len(found.blobs[digest] or b"")
            body = found.blobs[digest]
            if body is not None:
                found.documents.append(_document(form, body, layer))

    async def _blob(self, image: Reference, digest: str, *, login: Login | None, found: _Found) -> bytes | None:
        try:
            answer = await self._get(image, f"blobs/{digest}", login=login, what="blob", limit=_BLOB_BYTES)
        except errors.RegistryUnusable:
            found.faults.append(f"a document that is attached cannot be had, or is larger than {_BLOB_BYTES} bytes")
            return None
        if answer is None:
            found.faults.append("a document that is attached is not there")
        elif documents.digest(answer.body, digest) != digest:
            found.faults.append("a document that is attached does not have the digest that it should have")
        else:
            return answer.body
        return None

    async def _get(
        self,
        image: Reference,
        rest: str,
        *,
        login: Login | None,
        what: str = "manifest",
        limit: int = _INDEX_BYTES,
        absent: frozenset[int] = frozenset({404}),
    ) -> Answer | None:
        """Ask for something of the repository; ``None`` when it is not there."""
        url = self.addresses.at(image, rest)
        accept = "*/*" if what == "blob" else _ACCEPT
        question = Question(image, what, self.addresses.home(image), url, accept=accept, limit=limit, absent=absent)
        try:
            return await self.transport.ask(question, login)
        except errors.ImageNotFound:
            return None


def _tag(digest: str) -> str:
    return digest.replace(":", "-", 1)


def _of_interest(descriptor: Mapping[str, Any]) -> bool:
    said = descriptor.get("artifactType") or ""
    return isinstance(said, str) and (said in _UNTYPED or said.startswith(_TYPES))


def _form(media_type: Any) -> Form | None:
    if not isinstance(media_type, str):
        return None
    if media_type.startswith("application/vnd.dev.sigstore.bundle"):
        return Form.BUNDLE
    return next((form for form in Form if form.value == media_type), None)


def _document(form: Form, body: bytes, layer: Mapping[str, Any]) -> Document:
    notes = layer.get("annotations")
    notes = notes if isinstance(notes, dict) else {}
    signature = notes.get(_SIGNATURE)
    return Document(form, body, signature if isinstance(signature, str) else "", bool(notes.get(_CERTIFICATE)))


def _once(faults: list[str], fault: str) -> None:
    if fault not in faults:
        faults.append(fault)


def _list(document: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    found = document.get(name)
    if not isinstance(found, list):
        raise Unreadable(f"it has no {name}")
    return [documents.as_mapping(each) for each in found]
