"""The marks by which other actors say that they are at work on a node (nodes.md 4.24).

Each is read, never written. The words become a sentence: "<words> is at work on it". system-upgrade-controller marks
no node while it works: its Jobs are looked for instead (``SUC_NODE``). Bottlerocket's operator keeps its state in
objects of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

SUC_NODE: Final = "upgrade.cattle.io/node"
SUC: Final = "system-upgrade-controller"

# Annotations that are there only while their owner works.
_ANNOTATIONS: Final = {
    # With kured's --annotate-nodes; its lock is on its DaemonSet and names one node only.
    "weave.works/kured-reboot-in-progress": "kured",
}
# Annotations that are at work only with certain values.
_BUSY_VALUES: Final = {
    "machineconfiguration.openshift.io/state": (
        frozenset({"Working", "Rebooting"}),
        "the OpenShift Machine Config Operator",
    ),
    "flatcar-linux-update.v1.flatcar-linux.net/reboot-in-progress": (
        frozenset({"true"}),
        "the Flatcar Linux Update Operator",
    ),
    "flatcar-linux-update.v1.flatcar-linux.net/agent-made-unschedulable": (
        frozenset({"true"}),
        "the Flatcar Linux Update Operator",
    ),
}
_LABELS: Final = {
    "tuppr.home-operations.com/upgrading": "tuppr",
}
_TAINTS: Final = {
    "karpenter.sh/disrupted": "Karpenter",
    "karpenter.sh/disruption": "Karpenter",
    "ToBeDeletedByClusterAutoscaler": "the cluster autoscaler",
    "DeletionCandidateOfClusterAutoscaler": "the cluster autoscaler",
    "node.cluster.x-k8s.io/uninitialized": "Cluster API",
    "node.cloudprovider.kubernetes.io/shutdown": "the cloud provider",
}


def at_work(annotations: Mapping[str, str], labels: Mapping[str, str], taints: Iterable[Mapping[str, Any]]) -> str:
    """Name whoever is at work on a node by its marks; empty when nobody is."""
    for key, who in _ANNOTATIONS.items():
        if key in annotations:
            return f"{who} (annotation {key})"
    for key, (values, who) in _BUSY_VALUES.items():
        if annotations.get(key) in values:
            return f"{who} (annotation {key}={annotations[key]})"
    for key, who in _LABELS.items():
        if key in labels:
            return f"{who} (label {key})"
    for taint in taints:
        if actor := _TAINTS.get(str(taint.get("key"))):
            return f"{actor} (taint {taint['key']})"
    return ""


def suc_nodes(jobs: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Name the nodes on which system-upgrade-controller has a Job that is not done yet."""
    busy = {}
    for job in jobs:
        conditions = (job.get("status") or {}).get("conditions") or ()
        done = any(each["type"] in ("Complete", "Failed") and each["status"] == "True" for each in conditions)
        if not done:
            metadata = job["metadata"]
            busy[metadata["labels"][SUC_NODE]] = f"{SUC} (Job {metadata['namespace']}/{metadata['name']})"
    return busy
