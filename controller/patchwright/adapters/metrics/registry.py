"""The operator's metrics; names as in the field (tuppr, Karpenter, the Machine Config Operator, kured).

A rollout that is gone takes its series along, and a pod's name is a label only for so many pods: a fleet-wide drain
that is blocked must not become a Prometheus that is out of memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from patchwright.domain.model import Key
from patchwright.domain.nodes.view import EvictionAttempt
from patchwright.domain.state import TERMINAL, Phase, RolloutState

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
OTHERS: Final = "(others)"
_ROLLOUT = ("namespace", "rollout")
_SECONDS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600)
_BLOCKED_KEPT = 200
_REGISTRIES_KEPT = 50
_STATES: Final = ("updated", "in_flight", "failed", "restored", "skipped", "quarantined", "unavailable", "pending")


class Metrics:
    """Every metric, in a registry of its own; implements the numbers' half of ``ports.Journal``."""

    def __init__(self, *, blocked_kept: int = _BLOCKED_KEPT) -> None:
        self.registry = CollectorRegistry()
        self._blocked_kept = blocked_kept
        self._phases: dict[Key, Phase] = {}
        self._blocked: dict[str, dict[tuple[str, str], str]] = {}
        self._phase = self._gauge("rollout_phase", "1 for the phase that a rollout is in, 0 for the others", "phase")
        self._nodes = self._gauge("nodes", "Nodes of a rollout by state", "state")
        self._nodes_failed = self._gauge("nodes_failed", "Nodes that failed in a rollout, put back or not")
        self._window = self._gauge("window_active", "1 while a rollout may start nodes, as far as its windows go")
        self._took = Histogram(
            "patchwright_node_phase_duration_seconds",
            "How long nodes stayed in a phase",
            ("phase",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._drain = Gauge(
            "patchwright_drain_blocked",
            "1 for each pod that blocks the drain of a node",
            ("node", "namespace", "pod", "reason"),
            registry=self.registry,
        )
        self._evictions = self._counter("evictions", "Evictions by the API server's answer", "code")
        self._unhealthy = self._counter("health_check_failures", "Unhealthy measurements by check", "check")
        self._rollbacks = self._counter("rollbacks", "Rollouts that were rolled back, by reason", "reason")
        self._dropped = self._counter("events_dropped", "Events that were not written, by cause", "cause")
        self._scans = self._counter("image_scans", "Looks at image repositories by result", "result")
        self._registries: set[str] = set()
        self._asked = self._counter(
            "registry_requests", "Requests to image registries by what was asked", "registry", "what", "code"
        )

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"patchwright_{name}", text, (*_ROLLOUT, *labels), registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"patchwright_{name}", text, labels, registry=self.registry)

    def exposition(self) -> bytes:
        """Give everything in the text format, for ``/metrics``."""
        return generate_latest(self.registry)

    def rollout_changed(self, key: Key, state: RolloutState) -> None:
        """Take in a rollout's new state."""
        where = (key.namespace, key.name)
        before = self._phases.get(key)
        for phase in Phase if before is None else {before, state.phase}:
            self._phase.labels(*where, phase.value).set(phase is state.phase)
        self._phases[key] = state.phase
        # A rollback that began before this process did was counted by the one before.
        if state.phase is Phase.ROLLING_BACK and before not in (None, Phase.ROLLING_BACK):
            self._rollbacks.labels(state.cause.reason if state.cause else "Unknown").inc()
        for name, count in zip(_STATES, _counts(state), strict=True):
            self._nodes.labels(*where, name).set(count)
        self._nodes_failed.labels(*where).set(state.counts.failed)
        running = state.phase not in TERMINAL and state.phase is not Phase.WAITING_FOR_WINDOW
        self._window.labels(*where).set(running)

    def rollout_gone(self, key: Key) -> None:
        """Forget a rollout: its series would stand still for ever."""
        if self._phases.pop(key, None) is None:
            return
        where = dict(zip(_ROLLOUT, (key.namespace, key.name), strict=True))
        for gauge in (self._phase, self._nodes, self._nodes_failed, self._window):
            gauge.remove_by_labels(where)

    def evicted(self, attempt: EvictionAttempt) -> None:
        """Count an eviction by its answer."""
        self._evictions.labels(attempt.result.value).inc()

    def drain_blocked(self, node: str, *, namespace: str, pod: str, reason: str) -> None:
        """Say which pod blocks which drain; past the limit the pods of a node are counted together."""
        mine = self._blocked.setdefault(node, {})
        if (namespace, pod) not in mine and sum(map(len, self._blocked.values())) >= self._blocked_kept:
            namespace, pod = OTHERS, OTHERS
        before = mine.get((namespace, pod))
        if before is not None and before != reason:
            self._drain.remove(node, namespace, pod, before)
        mine[namespace, pod] = reason
        self._drain.labels(node, namespace, pod, reason).set(1)

    def drain_ended(self, node: str) -> None:
        """Say that a node's drain is over, one way or the other."""
        for (namespace, pod), reason in self._blocked.pop(node, {}).items():
            self._drain.remove(node, namespace, pod, reason)

    def health_failed(self, check: str) -> None:
        """Count an unhealthy measurement."""
        self._unhealthy.labels(check).inc()

    def step_took(self, step: str, seconds: float) -> None:
        """Observe how long a node stayed in a step."""
        self._took.labels(step).observe(seconds)

    def watch_reboots(self, due: Callable[[], Iterable[str]]) -> None:
        """Have ``reboot_required`` show, at every scrape, the nodes that ``due`` names: nothing is left to go stale."""
        text = "1 while a node waits for a reboot that its patch asked for"
        self.registry.register(_Nodes("patchwright_reboot_required", text, due))

    def watch_abandoned(self, found: Callable[[], Iterable[str]]) -> None:
        """Have ``node_abandoned`` show, at every scrape, the nodes that ``found`` names."""
        text = "1 while a node is left to a person by a rollout that does not exist any more"
        self.registry.register(_Nodes("patchwright_node_abandoned", text, found))

    def registry_asked(self, image: str, *, registry: str, what: str, code: str) -> None:  # noqa: ARG002 - too many
        """Count a request to a registry; past the limit the registries are counted together, by whoever names them."""
        if registry not in self._registries and len(self._registries) >= _REGISTRIES_KEPT:
            registry = OTHERS
        self._registries.add(registry)
        self._asked.labels(registry, what, code).inc()

    def image_scanned(self, result: str) -> None:
        """Count a look at a repository by its result."""
        self._scans.labels(result).inc()

    def event_dropped(self, cause: str) -> None:
        """Count an event that was not written."""
        self._dropped.labels(cause).inc()


class _Nodes(Collector):
    """1 for each of some nodes, asked for at every scrape."""

    def __init__(self, name: str, text: str, found: Callable[[], Iterable[str]]) -> None:
        self._name = name
        self._text = text
        self._found = found

    def collect(self) -> Iterable[Metric]:
        """Give the one family."""
        family = GaugeMetricFamily(self._name, self._text, labels=("node",))
        for node in self._found():
            family.add_metric((node,), 1.0)
        yield family


def _counts(state: RolloutState) -> tuple[int, ...]:
    counts = state.counts
    known = (
        counts.updated, counts.in_flight, counts.failed, counts.restored, counts.skipped, counts.quarantined,
        counts.unavailable,
    )  # fmt: skip
    begun = counts.updated + counts.in_flight + counts.restored + counts.skipped + counts.quarantined
    return (*known, max(0, counts.total - begun))
