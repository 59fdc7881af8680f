"""What people do in a scene; the observer is told of each write to a node or to one of our objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from patchwright import errors
from support.observer import GROUP, SYSTEM, Raw
from support.operator_stage import Stage
from support.operator_world import EXCLUDE

LEASE: Final = "patchwright-operator"
IMAGE: Final = "sandbox.patchwright.dev/script:1"
PLURALS: Final = {
    "PatchPolicy": "patchpolicies",
    "PatchRollout": "patchrollouts",
    "PolicyRepository": "policyrepositories",
}


def path(kind: str, name: str = "") -> str:
    """Give the path of one of our objects, or of all of a kind."""
    return f"{GROUP}/namespaces/{SYSTEM}/{PLURALS[kind]}" + (f"/{name}" if name else "")


class Hands:
    """People at work on the stage."""

    def __init__(self, stage: Stage, name: str) -> None:
        self.stage, self.api, self.observer = stage, stage.api, stage.observer
        self.name = name

    def create(self, body: Raw) -> Raw:
        """Create one of our objects."""
        return self.api.create(path(body["kind"]), body)

    def change(self, kind: str, name: str, body: Mapping[str, Any]) -> None:
        """Merge something into one of our objects, or into a node."""
        where = f"/api/v1/nodes/{name}" if kind == "Node" else path(kind, name)
        self.observer.note_person(self.api.patch(where, dict(body)))

    def change_status(self, kind: str, name: str, status: Mapping[str, Any]) -> None:
        """Merge something into the status of one of our objects."""
        self.observer.note_person(self.api.patch(f"{path(kind, name)}/status", {"status": dict(status)}))

    def annotate(self, kind: str, name: str, key: str, value: str | None) -> None:
        """Set or remove an annotation."""
        self.change(kind, name, {"metadata": {"annotations": {key: value}}})

    def cordon(self, node: str) -> None:
        """Cordon a node, as kubectl does."""
        self.change("Node", node, {"spec": {"unschedulable": True}})

    def uncordon(self, node: str) -> None:
        """Uncordon a node, as kubectl does."""
        self.change("Node", node, {"spec": {"unschedulable": None}})

    def exclude(self, node: str, value: str | None) -> None:
        """Keep load balancers away from a node by hand, or take whosever label off (``None``)."""
        self.change("Node", node, {"metadata": {"labels": {EXCLUDE: value}}})

    def delete(self, kind: str, name: str) -> None:
        """Delete one of our objects."""
        self.api.delete(path(kind, name))

    def service_account(self, *, may: Sequence[str]) -> str:
        """Create a service account that may write some of our kinds in the operator's namespace; give its name."""
        accounts = f"/api/v1/namespaces/{SYSTEM}/serviceaccounts"
        self.api.create(accounts, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": self.name}})
        group = "rbac.authorization.k8s.io"
        subject = {"kind": "ServiceAccount", "name": self.name, "namespace": SYSTEM}
        binding = {"roleRef": {"apiGroup": group, "kind": "Role", "name": self.name}, "subjects": [subject]}
        self.allow(self.name, may)
        where = f"/apis/{group}/v1/namespaces/{SYSTEM}/rolebindings/{self.name}"
        self.api.apply(where, {"apiVersion": f"{group}/v1", "kind": "RoleBinding", **_named(self.name), **binding})
        return self.name

    def allow(self, account: str, resources: Sequence[str]) -> None:
        """Let a service account write these of our kinds."""
        verbs = ["get", "create", "patch", "delete"]
        rules = [{"apiGroups": ["patchwright.dev"], "resources": list(resources), "verbs": verbs}]
        where = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{SYSTEM}/roles/{account}"
        body = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", **_named(account), "rules": rules}
        self.api.apply(where, body)

    def secret(self, name: str, data: Mapping[str, str]) -> None:
        """Create a Secret in the operator's namespace."""
        body = {"apiVersion": "v1", "kind": "Secret", **_named(name), "stringData": dict(data)}
        self.api.create(f"/api/v1/namespaces/{SYSTEM}/secrets", body)

    def take_lease(self, holder: str) -> None:
        """Write another holder into the operator's Lease."""
        where = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/{LEASE}"
        self.api.patch(where, {"spec": {"holderIdentity": holder}})

    def refused(self, body: Raw) -> str:
        """Try to create one of our objects that the API server does not take; give what it says."""
        try:
            self.create(body)
        except errors.Denied as error:
            return error.message
        raise AssertionError(f"it was taken: {body}")

    def unreachable_cluster(self) -> Path:
        """Write a kubeconfig of a cluster that does not answer; give its path."""
        text = self.stage.plane.kubeconfig.read_text(encoding="utf-8")
        file = self.stage.directory / "unreachable.kubeconfig"
        file.write_text(text.replace(self.stage.plane.api_url, "https://127.0.0.1:1"), encoding="utf-8")
        return file

    def foreign_job(self, node: str) -> str:
        """Create an unfinished Job as system-upgrade-controller would; give its path."""
        jobs = f"/apis/batch/v1/namespaces/{SYSTEM}/jobs"
        pod = {"restartPolicy": "Never", "containers": [{"name": "upgrade", "image": IMAGE}]}
        # A Job that is suspended has no pod, and is not finished either.
        spec = {"suspend": True, "template": {"spec": pod}}
        metadata = {"name": f"{self.name}-suc", "labels": {"upgrade.cattle.io/node": node}}
        self.api.create(jobs, {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec})
        return f"{jobs}/{metadata['name']}"


def _named(name: str) -> Raw:
    return {"metadata": {"name": name, "namespace": SYSTEM}}
