"""Leader election: one active operator (L10), on a Lease of coordination.k8s.io.

``kubernetes.aio.leaderelection`` was looked at and not used: its Lease holds local times without a zone, it never
releases, it measures with the wall clock, and between two renewals nobody can ask it whether the lease still holds.

The rules are client-go's. A lease is somebody else's until *we* have watched it unchanged for its whole duration on our
own clock: other machines' clocks are never compared. A holder is one only until ``renew_deadline`` after the start of
its last successful renewal, which is earlier than anybody else may take over; ``held`` computes that at every call, so
that a process that was frozen knows it in the first instruction after it thaws.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from patchwright import errors
from patchwright.adapters.kube.client import KubeApi, failure
from patchwright.adapters.kube.journal import micro_time

logger = logging.getLogger(__name__)


def boot_clock() -> float:
    """Give seconds that also pass while the machine is suspended, where there is such a clock."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.clock_gettime(clock) if clock is not None else time.monotonic()


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds; the defaults are client-go's. What is guaranteed rests on ``renew_deadline`` < ``lease_duration``."""

    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.retry_period < self.renew_deadline < self.lease_duration:
            raise ValueError("retry_period < renew_deadline < lease_duration must hold")


@dataclass(slots=True)
class _Seen:
    """A lease as it was read last, and when it was seen to change last."""

    raw: Mapping[str, Any]
    changed: float


class Lease:
    """One candidate for one Lease; ``identity`` must be its own alone, such as the pod's name and a random part.

    ``api`` should have connections of its own: a renewal must not queue behind a thousand evictions.
    """

    def __init__(
        self,
        api: KubeApi,
        *,
        namespace: str,
        name: str,
        identity: str,
        timing: Timing | None = None,
        clock: Callable[[], float] = boot_clock,
    ) -> None:
        self._api = api
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._namespace, self._name = namespace, name
        self.identity = identity
        self._timing = timing or Timing()
        self._clock = clock
        self._seen: _Seen | None = None
        self._until = float("-inf")

    @property
    def held(self) -> bool:
        """Whether this candidate leads, at this very moment."""
        return self._clock() < self._until

    @property
    def holder(self) -> str:
        """Who was seen to lead last; empty when nobody was."""
        return _holder(self._seen.raw) if self._seen else ""

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Wait for the lease, then do ``work`` under it; give the lease back when the work is done or cancelled.

        When the lease is lost, ``work`` is cancelled and this returns; whoever wants to go on calls it again, or (what
        an operator does) ends its process.
        """
        await self.acquire()
        worker = asyncio.ensure_future(work())
        keeper = asyncio.ensure_future(self.keep())
        try:
            await asyncio.wait({worker, keeper}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            worker.cancel()
            try:
                # Renewed until the work has really stopped, and only then given back.
                await asyncio.wait({worker})
            finally:
                lost = keeper.done()
                keeper.cancel()
                if not lost:
                    await self.release()
        if not worker.cancelled():
            worker.result()

    async def acquire(self) -> None:
        """Wait until this candidate leads."""
        while True:
            if await self._attempt():
                logger.info("%s leads (lease %s/%s)", self.identity, self._namespace, self._name)
                return
            # Spread, so that stand-bys do not all ask at once.
            await asyncio.sleep(self._timing.retry_period * random.uniform(0.8, 1.2))  # noqa: S311 - no secret

    async def keep(self) -> None:
        """Renew until the lease is lost; returns at the latest when ``held`` turns false."""
        while (left := self._until - self._clock()) > 0:
            await asyncio.sleep(min(self._timing.retry_period, left))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._until - self._clock())):
                    await self._attempt()
        logger.warning("%s does not lead any more (lease %s/%s)", self.identity, self._namespace, self._name)

    async def release(self) -> None:
        """Give the lease back, so that a stand-by need not wait for it to run out; best effort."""
        seen, mine = self._seen, self.held
        self._until = float("-inf")
        if seen is None or not mine or _holder(seen.raw) != self.identity:
            return
        spec = {**seen.raw["spec"], "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
        try:
            await self._put(seen.raw, spec)
        except errors.ClusterError as error:
            logger.warning("the lease was not given back: %s", error)

    async def _attempt(self) -> bool:
        """Try to take or to renew the lease once; False when that is not (or not yet) possible."""
        begun = self._clock()
        try:
            if await self._renewed(begun):
                return True
            raw = await self._current()
            if raw is None:
                return await self._taken(await self._create(), begun)
            self._look(raw)
            if _holder(raw) != self.identity and not self._expired(raw):
                self._until = float("-inf")
                return False
            return await self._taken(await self._put(raw, self._spec(raw)), begun)
        except errors.ClusterError as error:
            logger.info("lease %s/%s: %s", self._namespace, self._name, error)
            return False

    async def _renewed(self, begun: float) -> bool:
        """Renew what is held in one request, on the version that was written last; a conflict makes us read again."""
        if self._seen is None or not self.held:
            return False
        try:
            return await self._taken(await self._put(self._seen.raw, self._spec(self._seen.raw)), begun)
        except (errors.Conflict, errors.NotFound):
            return False

    async def _taken(self, raw: Mapping[str, Any], begun: float) -> bool:
        self._look(raw)
        # Counted from before the request: the server may have stamped it any time since.
        self._until = begun + self._timing.renew_deadline
        return True

    async def _current(self) -> Mapping[str, Any] | None:
        answer = await self._api.send("GET", f"{self._path}/{self._name}", limit=self._timing.renew_deadline / 2)
        if answer.code == 404:
            return None
        if not answer.ok:
            raise failure(answer, f"lease {self._name}")
        return answer.body

    async def _create(self) -> Mapping[str, Any]:
        metadata = {"name": self._name, "namespace": self._namespace}
        return await self._write("POST", self._path, {"metadata": metadata, "spec": self._spec(None)})

    async def _put(self, raw: Mapping[str, Any], spec: Mapping[str, Any]) -> Mapping[str, Any]:
        # The resource version in the metadata is the precondition: of two candidates one gets a 409.
        return await self._write("PUT", f"{self._path}/{self._name}", {"metadata": raw["metadata"], "spec": spec})

    async def _write(self, method: str, path: str, lease: Mapping[str, Any]) -> Mapping[str, Any]:
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", **lease}
        limit = self._timing.renew_deadline / 2
        return await self._api.call(method, path, what=f"lease {self._name}", body=body, limit=limit)

    def _spec(self, raw: Mapping[str, Any] | None) -> dict[str, Any]:
        before = (raw or {}).get("spec") or {}
        ours = before.get("holderIdentity") == self.identity
        changes = int(before.get("leaseTransitions") or 0)
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self._timing.lease_duration)),
            "acquireTime": before.get("acquireTime") if ours else _now(),
            "renewTime": _now(),
            "leaseTransitions": changes if ours or raw is None else changes + 1,
        }

    def _look(self, raw: Mapping[str, Any]) -> None:
        """Note when the lease was seen to change; the times in it are another machine's and are not believed."""
        known = self._seen
        same = known is not None and known.raw["metadata"]["resourceVersion"] == raw["metadata"]["resourceVersion"]
        self._seen = _Seen(raw, known.changed if known is not None and same else self._clock())

    def _expired(self, raw: Mapping[str, Any]) -> bool:
        if not _holder(raw):
            return True
        assert self._seen is not None
        duration = float((raw.get("spec") or {}).get("leaseDurationSeconds") or 0)
        return self._clock() - self._seen.changed >= duration


def _holder(raw: Mapping[str, Any]) -> str:
    return str((raw.get("spec") or {}).get("holderIdentity") or "")


def _now() -> str:
    return micro_time(datetime.now(UTC))
