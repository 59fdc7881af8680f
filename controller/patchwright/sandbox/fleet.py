"""Nodes in zones and workloads on them, as manifests: what a sandbox is filled with."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from patchwright.sandbox.client import Manifest

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def zones(count: int) -> tuple[str, ...]:
    """Give the names of up to 26 zones: ``zone-a``, ``zone-b``…"""
    return tuple(f"zone-{letter}" for letter in _LETTERS[:count])


ZONES = zones(3)
TERMINATION = "sandbox.patchwright.dev/termination"
_KERNEL, _SYSTEM = "6.1.0-30-amd64", "Debian GNU/Linux 12 (bookworm)"
_CONDITIONS = (
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
)


@dataclass(frozen=True, slots=True)
class Nodes:
    """``count`` nodes called ``<prefix>-0000`` onward, over the zones in turn."""

    count: int
    prefix: str = "node"
    zones: Sequence[str] = ZONES
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    control_plane: bool = False
    first: int = 0

    def names(self) -> list[str]:
        """Give the names of the nodes."""
        return [f"{self.prefix}-{number:04d}" for number in range(self.first, self.first + self.count)]

    def manifests(self, now: datetime.datetime) -> Iterator[Manifest]:
        """Give the nodes, complete with a status: a node is Ready from its first moment and costs one write."""
        for number, name in enumerate(self.names(), self.first):
            yield self._node(name, self.zones[number % len(self.zones)], now.strftime("%Y-%m-%dT%H:%M:%SZ"))

    def _node(self, name: str, zone: str, now: str) -> Manifest:
        labels = {
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "topology.kubernetes.io/region": "sandbox",
            "topology.kubernetes.io/zone": zone,
            "node.kubernetes.io/instance-type": "kwok",
            **({"node-role.kubernetes.io/control-plane": ""} if self.control_plane else {}),
            **self.labels,
        }
        taint = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "labels": labels,
                "annotations": {"kwok.x-k8s.io/node": "fake", **self.annotations},
            },
            "spec": {"taints": [taint]} if self.control_plane else {},
            "status": _node_status(name, now),
        }


def pods(count: int, nodes: Sequence[str], *, namespace: str = "default", prefix: str = "pod") -> Iterator[Manifest]:
    """Give ``count`` bare pods, bound to ``nodes`` in turn: two writes each, for benchmarks with tens of thousands."""
    for number in range(count):
        yield {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"{prefix}-{number}", "namespace": namespace, "labels": {"app": prefix}},
            "spec": {
                "nodeName": nodes[number % len(nodes)],
                "containers": [{"name": "app", "image": "registry.sandbox.patchwright.dev/app:1.0"}],
                "automountServiceAccountToken": False,
                # Without it a pod goes when its node is unready for five minutes.
                "tolerations": [{"operator": "Exists"}],
            },
        }


def _node_status(name: str, now: str) -> Manifest:
    room = {"cpu": "32", "memory": "256Gi", "pods": "250"}
    conditions = [
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        for kind, status, reason, message in _CONDITIONS
    ]
    return {
        # kwok's first stage is for nodes without it.
        "phase": "Running",
        "conditions": conditions,
        "addresses": [{"type": "Hostname", "address": name}],
        "allocatable": room,
        "capacity": room,
        "nodeInfo": {
            "architecture": "amd64",
            "bootID": str(uuid.uuid4()),
            "containerRuntimeVersion": "kwok://0.8.0",
            "kernelVersion": _KERNEL,
            "kubeProxyVersion": "",
            "kubeletVersion": "v1.37.2",
            "machineID": uuid.uuid4().hex,
            "operatingSystem": "linux",
            "osImage": _SYSTEM,
            "systemUUID": str(uuid.uuid4()),
        },
    }


@dataclass(frozen=True, slots=True)
class Workloads:
    """``count`` Deployments called ``<prefix>-<n>`` of ``replicas`` pods, each with a PodDisruptionBudget.

    ``max_unavailable`` is that of the budget (a number or a percentage); None makes no budget. ``termination`` is how
    long a pod takes to end (``5s``), or ``never``. ``node`` holds all pods on one node; otherwise they spread.
    """

    count: int
    replicas: int = 3
    namespace: str = "default"
    prefix: str = "app"
    image: str = "registry.sandbox.patchwright.dev/app:1.0"
    max_unavailable: int | str | None = 1
    termination: str | None = None
    node: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def names(self) -> list[str]:
        """Give the names of the Deployments."""
        return [f"{self.prefix}-{number}" for number in range(self.count)]

    def deployments(self) -> Iterator[Manifest]:
        """Give the Deployments."""
        return (self._deployment(name) for name in self.names())

    def budgets(self) -> Iterator[Manifest]:
        """Give the PodDisruptionBudgets."""
        if self.max_unavailable is None:
            return
        for name in self.names():
            spec = {"selector": {"matchLabels": {"app": name}}, "maxUnavailable": self.max_unavailable}
            yield {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name}, "spec": spec}

    def _deployment(self, name: str) -> Manifest:
        annotations = {TERMINATION: self.termination} if self.termination else {}
        template = {
            "metadata": {"labels": {"app": name, **self.labels}, "annotations": annotations},
            "spec": self._pod(name),
        }
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "labels": {"app": name, **self.labels}},
            "spec": {"replicas": self.replicas, "selector": {"matchLabels": {"app": name}}, "template": template},
        }

    def _pod(self, name: str) -> Manifest:
        spread = {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app": name}},
        }
        requests = {"cpu": "10m", "memory": "16Mi"}
        return {
            "nodeSelector": {"kubernetes.io/hostname": self.node} if self.node else {},
            "containers": [{"name": "app", "image": self.image, "resources": {"requests": requests}}],
            "topologySpreadConstraints": [spread],
            "terminationGracePeriodSeconds": 30,
            "automountServiceAccountToken": False,
        }
