"""What is told besides the status: Events, which this file writes, and metrics, which it passes on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol, Self
from uuid import uuid4

from patchwright import errors
from patchwright.adapters.kube.client import MERGE_PATCH, KubeApi
from patchwright.adapters.kube.workloads_projection import RESOURCES
from patchwright.domain.actions import NodeRef, WorkloadRef
from patchwright.domain.model import Key
from patchwright.domain.nodes.view import EvictionAttempt
from patchwright.domain.state import RolloutState

CONTROLLER: Final = "patchwright.dev/operator"
_NOTE_KEPT = 1000  # The API takes 1,024 bytes; an event that is refused tells nobody anything.
_QUEUE = 500
# Seconds. The same thing said again within this time is counted in the event that said it first.
_SERIES = 600.0
_SERIES_PATCH = 60.0
_SERIES_KEPT = 500
# Events a second, with a burst: etcd keeps each for an hour, and a fleet can have a lot to say.
_RATE, _BURST = 10.0, 50.0
_LAST_WORDS = 5.0

logger = logging.getLogger(__name__)


class Numbers(Protocol):
    """The metrics, as far as the journal passes on to them."""

    def rollout_changed(self, key: Key, state: RolloutState) -> None:
        """Take in a rollout's new state."""

    def rollout_gone(self, key: Key) -> None:
        """Forget a rollout."""

    def evicted(self, attempt: EvictionAttempt) -> None:
        """Count an eviction."""

    def drain_blocked(self, node: str, *, namespace: str, pod: str, reason: str) -> None:
        """Say which pod blocks which drain."""

    def drain_ended(self, node: str) -> None:
        """Say that a drain is over."""

    def health_failed(self, check: str) -> None:
        """Count an unhealthy measurement."""

    def step_took(self, step: str, seconds: float) -> None:
        """Observe how long a step took."""

    def event_dropped(self, cause: str) -> None:
        """Count an event that was not written."""


@dataclass(frozen=True, slots=True)
class Note:
    """One thing to say about one object."""

    namespace: str
    regarding: tuple[tuple[str, str], ...]
    reason: str
    text: str
    warning: bool


@dataclass(slots=True)
class _Series:
    """An event that was written, and how often its note has come since."""

    path: str
    first: float
    patched: float
    count: int = 1


class KubeJournal:
    """Implements ``ports.Journal``; an async context manager, because events are written by a task of their own.

    No caller waits for an event, and none ever fails because of one.
    """

    def __init__(self, api: KubeApi, numbers: Numbers, *, identity: str, clock: Callable[[], float] = time.monotonic):
        self._api = api
        self._numbers = numbers
        self._identity = identity
        self._clock = clock
        self._queue: asyncio.Queue[Note | None] = asyncio.Queue(_QUEUE)
        self._series: OrderedDict[Note, _Series] = OrderedDict()
        self._tokens, self._filled = _BURST, clock()
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start writing."""
        self._writer = asyncio.create_task(self._write_all(), name="events")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Write what is left, for a few seconds at most."""
        writer = self._writer
        if writer is None:
            return
        try:
            async with asyncio.timeout(_LAST_WORDS):
                await self._queue.put(None)
                await writer
        except TimeoutError:
            writer.cancel()

    async def event(self, key: Key, *, uid: str, reason: str, message: str, warning: bool = False) -> None:
        """Write an Event on a rollout."""
        regarding = (
            ("apiVersion", "patchwright.dev/v1alpha1"),
            ("kind", "PatchRollout"),
            ("namespace", key.namespace),
            ("name", key.name),
            ("uid", uid),
        )
        self._say(Note(key.namespace, regarding, reason, _cut(message), warning))

    async def node_event(self, node: NodeRef, *, reason: str, message: str, warning: bool = False) -> None:
        """Write an Event on a node; the namespace ``default`` is where events of cluster-scoped objects belong."""
        regarding = (("apiVersion", "v1"), ("kind", "Node"), ("name", node.name), ("uid", node.uid))
        self._say(Note("default", regarding, reason, _cut(message), warning))

    async def workload_event(self, workload: WorkloadRef, *, reason: str, message: str, warning: bool = False) -> None:
        """Write an Event on a workload, in its own namespace."""
        group, version, _ = RESOURCES[workload.kind]
        regarding = (
            ("apiVersion", f"{group}/{version}"),
            ("kind", workload.kind),
            ("namespace", workload.namespace),
            ("name", workload.name),
            ("uid", workload.uid),
        )
        self._say(Note(workload.namespace, regarding, reason, _cut(message), warning))

    def _say(self, note: Note) -> None:
        try:
            self._queue.put_nowait(note)
        except asyncio.QueueFull:
            self._numbers.event_dropped("queue")

    async def _write_all(self) -> None:
        while (note := await self._queue.get()) is not None:
            if not self._allowed():
                self._numbers.event_dropped("rate")
                continue
            try:
                await self._write(note)
            except errors.PatchwrightError as error:
                self._numbers.event_dropped("refused")
                logger.warning("event %s was not written: %s", note.reason, error)

    def _allowed(self) -> bool:
        now = self._clock()
        self._tokens = min(_BURST, self._tokens + (now - self._filled) * _RATE)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    async def _write(self, note: Note) -> None:
        now = self._clock()
        series = self._series.get(note)
        if series is None or now - series.first > _SERIES:
            path = await self._create(note)
            self._series[note] = _Series(path, now, now)
            self._series.move_to_end(note)
            while len(self._series) > _SERIES_KEPT:
                self._series.popitem(last=False)
            return
        series.count += 1
        if series.count == 2 or now - series.patched >= _SERIES_PATCH:
            series.patched = now
            await self._again(note, series)

    async def _create(self, note: Note) -> str:
        name = f"{dict(note.regarding)['name'][:200]}.{uuid4().hex[:16]}"
        path = f"/apis/events.k8s.io/v1/namespaces/{note.namespace}/events"
        await self._api.call("POST", path, what=f"event {name}", body=self._event(note, name))
        return f"{path}/{name}"

    def _event(self, note: Note, name: str) -> dict[str, Any]:
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": note.namespace},
            "eventTime": micro_time(datetime.now(UTC)),
            "type": "Warning" if note.warning else "Normal",
            "reason": note.reason,
            "action": note.reason,
            "note": note.text,
            "regarding": dict(note.regarding),
            "reportingController": CONTROLLER,
            "reportingInstance": self._identity[:128],
        }

    async def _again(self, note: Note, series: _Series) -> None:
        body = {"series": {"count": series.count, "lastObservedTime": micro_time(datetime.now(UTC))}}
        try:
            await self._api.call("PATCH", series.path, what=f"event {note.reason}", body=body, content_type=MERGE_PATCH)
        except errors.NotFound:
            # Events live for an hour, or until somebody tidies up.
            del self._series[note]
            await self._write(note)

    # --- numbers --------------------------------------------------------------------------------------------------

    def rollout_changed(self, key: Key, state: RolloutState) -> None:
        """Take a rollout's new state into the metrics."""
        self._numbers.rollout_changed(key, state)

    def rollout_gone(self, key: Key) -> None:
        """Forget a rollout's metrics."""
        self._numbers.rollout_gone(key)

    def evicted(self, attempt: EvictionAttempt) -> None:
        """Count an eviction by its answer."""
        self._numbers.evicted(attempt)

    def drain_blocked(self, node: str, *, namespace: str, pod: str, reason: str) -> None:
        """Say which pod blocks which drain."""
        self._numbers.drain_blocked(node, namespace=namespace, pod=pod, reason=reason)

    def drain_ended(self, node: str) -> None:
        """Say that a node's drain is over, one way or the other."""
        self._numbers.drain_ended(node)

    def health_failed(self, check: str) -> None:
        """Count an unhealthy measurement."""
        self._numbers.health_failed(check)

    def step_took(self, step: str, seconds: float) -> None:
        """Observe how long a node stayed in a step."""
        self._numbers.step_took(step, seconds)


def micro_time(at: datetime) -> str:
    """Give a time as the API's MicroTime."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _cut(text: str) -> str:
    """Cut a note to what the API takes, counted in bytes."""
    data = text.encode("utf-8", "replace")
    return text if len(data) <= _NOTE_KEPT else data[: _NOTE_KEPT - 3].decode("utf-8", "ignore") + "…"
