"""The client: lists tags, resolves them to digests, and says what an image is for. Never a pull, never a write."""

from __future__ import annotations

import re
import ssl
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Generic, Self, TypeVar

from yarl import URL

from patchwright import errors
from patchwright.adapters.registry import dockerconfig, documents, pace, wire
from patchwright.adapters.registry.addresses import Addresses
from patchwright.adapters.registry.attached import Attachments
from patchwright.adapters.registry.documents import Config, Index, Manifest, Unreadable
from patchwright.adapters.registry.transport import Nobody, Question, Transport, unfit
from patchwright.adapters.registry.wire import Answer
from patchwright.domain.images.content import Child, Image, Listing
from patchwright.domain.images.keyring import Keyring, Login
from patchwright.domain.images.reference import Reference, is_digest
from patchwright.domain.images.trust import Attached
from patchwright.image_ports import RegistryMeter

# An index of a hundred platforms has 40 KB. A megabyte of JSON can become thirty in memory.
_MANIFEST_BYTES: Final = 1024 * 1024
_PAGE_BYTES: Final = 1024 * 1024
_CONFIG_BYTES: Final = 2 * 1024 * 1024
_LOGINS_TRIED: Final = 5
_CHILDREN_KEPT: Final = 64
_PAGES: Final = 200
_CONNECTIONS: Final = 64
_ETAG = re.compile(r'(W/)?"[\x21\x23-\x7e]{1,200}"')
_NEXT = re.compile(r'<([^<>]*)>\s*(?:;[^,<]*)?;\s*rel="?next"?(?=\s*[;,]|\s*$)', re.IGNORECASE)

K = TypeVar("K")
V = TypeVar("V")


class _Kept(Generic[K, V]):
    """The values that were used last, so many of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def put(self, key: K, value: V) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._most:
            self._values.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _Page:
    tags: tuple[str, ...]
    next: URL | None


class RegistryClient:
    """Implements ``image_ports.Images``; made inside a running loop, an async context manager or closed by hand."""

    def __init__(
        self,
        *,
        addresses: Addresses | None = None,
        limits: pace.Limits | None = None,
        timing: pace.Timing | None = None,
        meter: RegistryMeter | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._addresses = addresses or Addresses()
        self._limits = limits or pace.Limits()
        self._session = wire.new_session(seconds=self._limits.seconds, tls=tls, at_once=_CONNECTIONS)
        self._transport = Transport(
            self._session, limits=self._limits, timing=timing or pace.Timing(), meter=meter or Nobody()
        )
        self._attached = Attachments(self._transport, self._addresses)
        # By the login, too: what one tenant may see is no news for another.
        self._digests: _Kept[tuple[Login | None, URL], tuple[str, str]] = _Kept(4096)
        self._pages: _Kept[tuple[Login | None, URL], tuple[str, _Page]] = _Kept(128)
        self._images: _Kept[tuple[Login | None, str], Image] = _Kept(1024)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    def keyring(self, secrets: Mapping[str, Mapping[str, bytes]]) -> Keyring:
        """Read pull secrets; raises ``InvalidInput``."""
        return dockerconfig.read(secrets)

    async def tags(self, image: Reference, keyring: Keyring) -> Listing:
        """List the tags of the repository, page by page."""
        return await _tried(image, keyring, self._tags)

    async def digest(self, image: Reference, keyring: Keyring) -> str:
        """Give the digest that the tag means now, by HEAD: Docker Hub counts every GET as a pull."""
        return await _tried(image, keyring, self._digest)

    async def exists(self, image: Reference, keyring: Keyring) -> bool:
        """Tell whether the registry still has it."""
        try:
            await self.digest(image, keyring)
        except errors.ImageNotFound:
            return False
        return True

    async def describe(self, image: Reference, keyring: Keyring) -> Image:
        """Give the digest, the platforms and the manifests below; by digest it is asked for once."""
        return await _tried(image, keyring, self._describe)

    async def created(self, image: Reference, keyring: Keyring) -> datetime | None:
        """Give when the publisher says it was built, from the first platform's config."""
        return await _tried(image, keyring, self._created)

    async def attached(self, image: Reference, keyring: Keyring) -> Attached:
        """Give the signatures and attestations of a digest, unverified."""
        return await _tried(image, keyring, self._attached.of)

    async def _tags(self, image: Reference, login: Login | None) -> Listing:
        url: URL | None = self._addresses.at(image, f"tags/list?n={self._limits.page}")
        tags, seen = set[str](), set[URL]()
        while url is not None:
            if url in seen or len(seen) >= _PAGES or len(tags) > self._limits.tags:
                return Listing(tuple(sorted(tags)[: self._limits.tags]), complete=False)
            seen.add(url)
            page = await self._page(image, url, login=login)
            tags.update(page.tags)
            url = page.next
        return Listing(tuple(sorted(tags)))

    async def _page(self, image: Reference, url: URL, *, login: Login | None) -> _Page:
        etag, known = self._pages.get((login, url)) or ("", None)
        question = Question(image, "tags", self._addresses.home(image), url, etag=etag, limit=_PAGE_BYTES)
        answer = await self._transport.ask(question, login)
        if known is not None and answer.status == 304:
            return known
        try:
            page = _Page(documents.read_tags(answer.body), _next(answer))
        except Unreadable as fault:
            raise unfit(image, f"its list of tags cannot be read ({fault})") from fault
        if (fresh := _etag(answer)) and len(page.tags) <= self._limits.page:
            self._pages.put((login, url), (fresh, page))
        return page

    async def _digest(self, image: Reference, login: Login | None) -> str:
        url = self._addresses.at(image, f"manifests/{image.version}")
        # Never for a digest: its ETag is itself, and distribution 3.1 says "not modified" of images it has deleted.
        etag, known = (None if image.digest else self._digests.get((login, url))) or ("", "")
        answer = await self._transport.ask(self._manifest(image, "HEAD", etag=etag), login)
        if known and answer.status == 304:
            return known
        digest = answer.header("Docker-Content-Digest")
        if not is_digest(digest):
            # A registry may leave it out (the specification only says SHOULD); then the body says it.
            digest, _ = await self._fetch(image, login)
        if image.digest is not None and digest != image.digest:
            raise unfit(image, "it answers with another digest than the one it was asked for")
        if fresh := _etag(answer):
            self._digests.put((login, url), (fresh, digest))
        return digest

    async def _describe(self, image: Reference, login: Login | None) -> Image:
        pinned = image if image.digest is not None else image.pinned(await self._digest(image, login))
        key = (login, f"{pinned.name}@{pinned.digest}")
        if (known := self._images.get(key)) is not None:
            return known
        digest, document = await self._fetch(pinned, login)
        if isinstance(document, Index):
            found = Image(digest, document.children)
        else:
            platform = (await self._config(pinned, document.config, login=login)).platform
            found = Image(digest, (Child(digest, platform),))
        if len(found.children) <= _CHILDREN_KEPT:
            self._images.put(key, found)
        return found

    async def _created(self, image: Reference, login: Login | None) -> datetime | None:
        found = await self._describe(image, login)
        child = next((each for each in found.children if each.platform is not None), None)
        if child is None:
            return None
        _, document = await self._fetch(image.pinned(child.digest), login)
        if isinstance(document, Index):
            return None
        return (await self._config(image, document.config, login=login)).created

    async def _fetch(self, image: Reference, login: Login | None) -> tuple[str, Index | Manifest]:
        """Get a manifest; its digest is computed, and must be what was asked for and what the registry says it is."""
        answer = await self._transport.ask(self._manifest(image, "GET"), login)
        said = answer.header("Docker-Content-Digest")
        expected = {each for each in (image.digest, said) if each is not None and is_digest(each)}
        digest = documents.digest(answer.body, image.digest or "sha256:")
        if any(documents.digest(answer.body, each) != each for each in expected):
            raise unfit(image, "what it gives does not have the digest that it should have")
        try:
            return digest, documents.read(answer.body, answer.header("Content-Type"))
        except Unreadable as fault:
            raise unfit(image, f"its manifest cannot be read ({fault})") from fault

    async def _config(self, image: Reference, digest: str, *, login: Login | None) -> Config:
        url = self._addresses.at(image, f"blobs/{digest}")
        question = Question(image, "blob", self._addresses.home(image), url, accept="*/*", limit=_CONFIG_BYTES)
        body = (await self._transport.ask(question, login)).body
        if documents.digest(body, digest) != digest:
            raise unfit(image, "its config does not have the digest that the manifest says")
        try:
            return documents.read_config(body)
        except Unreadable as fault:
            raise unfit(image, f"its config cannot be read ({fault})") from fault

    def _manifest(self, image: Reference, method: str, *, etag: str = "") -> Question:
        return Question(
            image, "manifest", self._addresses.home(image), self._addresses.at(image, f"manifests/{image.version}"),
            method=method, accept=documents.ACCEPT, etag=etag, limit=_MANIFEST_BYTES,
        )  # fmt: skip


async def _tried(image: Reference, keyring: Keyring, ask: Callable[[Reference, Login | None], Awaitable[V]]) -> V:
    """Ask with each login that fits until one is let in, as kubelet does; with none, anonymously."""
    logins = keyring.logins(image)[:_LOGINS_TRIED]
    for login in logins[:-1]:
        try:
            return await ask(image, login)
        except (errors.RegistryAuthFailed, errors.ImageNotFound):
            # Some registries hide from a login what they would refuse it.
            continue
    return await ask(image, logins[-1] if logins else None)


def _etag(answer: Answer) -> str:
    found = answer.header("ETag")
    return found if _ETAG.fullmatch(found) else ""


def _next(answer: Answer) -> URL | None:
    """Give the page after this one (RFC 8288); it must be of the same list, or the login would go for a walk."""
    match = _NEXT.search(", ".join(answer.headers.getall("Link", [])))
    if match is None:
        return None
    url = wire.target(answer, match[1])
    if url is None or not wire.same_server(url, answer.url) or url.path != answer.url.path:
        raise Unreadable("the next page is somewhere else")
    return url
