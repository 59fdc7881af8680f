"""Jobs and pods that nobody controls, found without watching all pods: a list of metadata now and then, page by page.

Twenty thousand pods are forty pages of metadata, of which the few are kept that have no controller. Of these only those
are read that a policy selects; what was read is kept until the object changes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from sys import intern
from typing import Any, Final

from patchwright import errors
from patchwright.adapters.kube.client import LIST_TIMEOUT, PARTIAL_LIST, KubeApi
from patchwright.adapters.kube.lists import PAGE
from patchwright.adapters.kube.workloads_cache import WorkloadCache, covers
from patchwright.adapters.kube.workloads_projection import template_images
from patchwright.domain import selection
from patchwright.domain.model import PatchPolicy, WorkloadTarget
from patchwright.domain.nodes import labels as own
from patchwright.domain.workloads import standalone
from patchwright.domain.workloads.standalone import Standalone, Survey

EVERY: Final = 600.0
"""Seconds between two lists: as often as registries are looked at."""
KNOWN_KEPT: Final = 2000
"""So many are read at most; the others are counted."""
_MIRROR: Final = "kubernetes.io/config.mirror"
_PATHS: Final = {"Job": ("/apis/batch/v1", "jobs"), "Pod": ("/api/v1", "pods")}
_ENDED: Final = "status.phase!=Succeeded,status.phase!=Failed"
_PARALLEL: Final = 8


@dataclass(frozen=True, slots=True)
class _Loose:
    """A Job or pod that nobody controls."""

    kind: str
    namespace: str
    name: str
    uid: str
    version: str
    labels: Mapping[str, str]
    static: bool

    @property
    def path(self) -> str:
        base, plural = _PATHS[self.kind]
        return f"{base}/namespaces/{self.namespace}/{plural}/{self.name}"


@dataclass(frozen=True, slots=True)
class _Known:
    """What one of them runs, by the version that was read; nothing once it has ended."""

    version: str
    images: tuple[str, ...]


class KubeStandalones:
    """Knows what runs without a controller; ``policies`` gives those that there are."""

    def __init__(
        self,
        api: KubeApi,
        cache: WorkloadCache,
        policies: Callable[[], Iterable[PatchPolicy]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._cache = cache
        self._policies = policies
        self._clock = clock
        self._loose: tuple[_Loose, ...] = ()
        self._known: dict[str, _Known] = {}
        self._listed: float | None = None
        self._fault = ""

    def survey(self, policy: PatchPolicy) -> Survey:
        """Give those that run an image that a policy covers, by what was seen last."""
        target = policy.target
        if not isinstance(target, WorkloadTarget):
            return standalone.NOTHING
        found, unknown = [], 0
        for one in self._selected(policy, target, self._loose):
            known = self._known.get(one.uid)
            if known is None:
                unknown += 1
            elif image := next((image for image in known.images if covers(target.images, image)), ""):
                found.append(Standalone(one.kind, one.namespace, one.name, image, one.static))
        return standalone.survey(found, unknown=unknown, fault=self._fault)

    async def look(self) -> None:
        """List what nobody controls if that is due, and read what a policy selects of it and is not known yet.

        Raises:
            ClusterError: the API server refused or did not answer; what was known stays.
        """
        policies = [policy for policy in self._policies() if isinstance(policy.target, WorkloadTarget)]
        if not policies:
            self._loose, self._known, self._listed = (), {}, None
            return
        try:
            loose, listed, fault = self._loose, self._listed, self._fault
            if listed is None or self._clock() - listed >= EVERY:
                loose, fault = tuple([one for kind in _PATHS async for one in self._list(kind)]), ""
                listed = self._clock()
            known = await self._read_all(policies, loose)
            # Together, and in the end: whoever asks meanwhile is not told of half of it.
            self._loose, self._known, self._listed, self._fault = loose, known, listed, fault
        except errors.Denied as error:
            # Nobody allows it within half a minute; it is said, and asked again when it would be listed again.
            self._loose, self._listed, self._fault = (), self._clock(), error.message

    async def _list(self, kind: str) -> AsyncIterator[_Loose]:
        base, plural = _PATHS[kind]
        query = {"limit": PAGE, **({"fieldSelector": _ENDED} if kind == "Pod" else {})}
        while True:
            body = await self._api.call(
                "GET", f"{base}/{plural}", what=f"{plural} without a controller", query=query, accept=PARTIAL_LIST,
                limit=LIST_TIMEOUT,
            )  # fmt: skip
            for item in body.get("items") or ():
                if (one := _loose(kind, item["metadata"])) is not None:
                    yield one
            if not (token := body["metadata"].get("continue")):
                return
            query = {**query, "continue": token}

    def _selected(self, policy: PatchPolicy, target: WorkloadTarget, loose: Iterable[_Loose]) -> Iterator[_Loose]:
        spaces = self._cache.spaces(policy, target)
        return (one for one in loose if one.namespace in spaces and selection.matches(target.selector, one.labels))

    async def _read_all(self, policies: Iterable[PatchPolicy], loose: Sequence[_Loose]) -> dict[str, _Known]:
        wanted: dict[str, _Loose] = {}
        for policy in policies:
            assert isinstance(policy.target, WorkloadTarget)
            wanted.update((one.uid, one) for one in self._selected(policy, policy.target, loose))
        kept = list(wanted.values())[:KNOWN_KEPT]
        known = {one.uid: self._known[one.uid] for one in kept if one.uid in self._known}
        news = [one for one in kept if one.uid not in known or known[one.uid].version != one.version]
        limit = asyncio.Semaphore(_PARALLEL)
        read = await asyncio.gather(*(self._read(one, limit) for one in news))
        return known | {one.uid: each for one, each in zip(news, read, strict=True)}

    async def _read(self, one: _Loose, limit: asyncio.Semaphore) -> _Known:
        async with limit:
            try:
                raw = await self._api.call("GET", one.path, what=f"{one.kind} {one.namespace}/{one.name}")
            except errors.NotFound:
                return _Known(one.version, ())
        return _Known(one.version, () if _ended(raw) else _images(one.kind, raw))


def _loose(kind: str, metadata: Mapping[str, Any]) -> _Loose | None:
    """Give one that nobody controls, nor we; a static pod is its node's, by name only."""
    labels = metadata.get("labels") or {}
    static = _MIRROR in (metadata.get("annotations") or {})
    owned = any(ref.get("controller") for ref in metadata.get("ownerReferences") or ())
    if (owned and not static) or own.ROLLOUT in labels or "deletionTimestamp" in metadata:
        return None
    return _Loose(
        kind,
        intern(metadata["namespace"]),
        metadata["name"],
        metadata["uid"],
        metadata["resourceVersion"],
        labels,
        static,
    )


def _images(kind: str, raw: Mapping[str, Any]) -> tuple[str, ...]:
    spec = raw["spec"] if kind == "Pod" else raw["spec"]["template"]["spec"]
    return tuple(dict.fromkeys(each.image for each in template_images(spec)))


def _ended(raw: Mapping[str, Any]) -> bool:
    status = raw.get("status") or {}
    over = (each for each in status.get("conditions") or () if each.get("type") in ("Complete", "Failed"))
    return status.get("phase") in ("Succeeded", "Failed") or any(each.get("status") == "True" for each in over)
