"""What the demo reads from the API server: plain objects, as ``kubectl get -o json`` would give them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from patchwright import errors
from patchwright.api import parse
from patchwright.domain import changes
from patchwright.domain.nodes import labels
from patchwright.sandbox import client

NAMESPACE: Final = "patchwright-system"
PLATFORM: Final = "platform"
AGENT: Final = "node-agent"
STOREFRONT: Final = "storefront"
CHECKOUT: Final = "checkout"
_OURS: Final = f"/apis/patchwright.dev/v1alpha1/namespaces/{NAMESPACE}"
_CONTROLLER: Final = "patchwright.dev/operator"
_PROPOSED_BY: Final = "patchwright.dev/proposed-by"
Raw = dict[str, Any]


class Cluster:
    """Reads, and nothing else."""

    def __init__(self, api: client.Client) -> None:
        self._api = api

    def rollout(self, name: str) -> Raw | None:
        """Give a PatchRollout, ``None`` while it does not exist."""
        return self._get(f"{_OURS}/patchrollouts/{name}")

    def policy(self, name: str) -> Raw:
        """Give a PatchPolicy."""
        return self._api.get(f"{_OURS}/patchpolicies/{name}")

    def repository(self, name: str) -> Raw | None:
        """Give a PolicyRepository."""
        return self._get(f"{_OURS}/policyrepositories/{name}")

    def proposed(self, policy: str) -> list[Raw]:
        """Give the PatchRollouts that a policy has proposed."""
        return self._api.items(f"{_OURS}/patchrollouts", labelSelector=f"{_PROPOSED_BY}={policy}")

    def deployments(self, namespace: str) -> list[Raw]:
        """Give the Deployments of a namespace."""
        return self._api.items(f"/apis/apps/v1/namespaces/{namespace}/deployments")

    def pods(self, namespace: str) -> list[Raw]:
        """Give the pods of a namespace."""
        return self._api.items(f"/api/v1/namespaces/{namespace}/pods")

    def nodes(self) -> list[Raw]:
        """Give all nodes."""
        return self._api.items("/api/v1/nodes")

    def jobs(self) -> list[Raw]:
        """Give every Job that some rollout made."""
        return self._api.items("/apis/batch/v1/jobs", labelSelector=labels.ROLLOUT)

    def agents(self) -> Raw:
        """Give the DaemonSet that the health check of the example watches."""
        return self._api.get(f"/apis/apps/v1/namespaces/{PLATFORM}/daemonsets/{AGENT}")

    def events(self) -> Iterator[Raw]:
        """Give the events that the operator has written, about rollouts, nodes and workloads."""
        for namespace in (NAMESPACE, "default", STOREFRONT, CHECKOUT):
            for event in self._api.items(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"):
                if event.get("reportingController") == _CONTROLLER:
                    yield event

    def _get(self, path: str) -> Raw | None:
        try:
            return self._api.get(path)
        except errors.NotFound:
            return None


def change_id(rollout: Raw) -> str:
    """Give the identity of a rollout's change, which is the value of its nodes' label."""
    return changes.change_id(parse.parse_rollout(rollout).change)


def name_of(raw: Raw) -> str:
    """Give an object's name."""
    return str(raw["metadata"]["name"])


def uid_of(raw: Raw) -> str:
    """Give an object's UID."""
    return str(raw["metadata"]["uid"])
