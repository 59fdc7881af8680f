"""Who else has a say about a workload: the object that controls it, or whoever applies it from Git.

Each mark is read, never written. The words become a sentence: "<words> controls it", "<words> applies it from Git".
``app.kubernetes.io/instance`` is not one of them: Argo CD tracks by it, but so does every Helm chart label itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_FLUX: Final = (
    ("kustomize.toolkit.fluxcd.io", "Flux Kustomization"),
    ("helm.toolkit.fluxcd.io", "Flux HelmRelease"),
)
_FLUX_OFF: Final = "kustomize.toolkit.fluxcd.io/reconcile"
_ARGO_ID: Final = "argocd.argoproj.io/tracking-id"
_ARGO_LABEL: Final = "argocd.argoproj.io/instance"
_MANAGERS: Final = {
    "kustomize-controller": "Flux",
    "helm-controller": "Flux",
    "argocd-controller": "Argo CD",
    "argocd-application-controller": "Argo CD",
}


def controller(metadata: Mapping[str, Any]) -> str:
    """Name the object that controls a workload; empty when none does."""
    for ref in metadata.get("ownerReferences") or ():
        if ref.get("controller"):
            return f"{ref['kind']} {ref['name']}"
    return ""


def gitops(metadata: Mapping[str, Any]) -> str:
    """Name whoever applies a workload from Git; empty when nobody does."""
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    if annotations.get(_FLUX_OFF) == "disabled":
        return ""
    for prefix, what in _FLUX:
        if name := labels.get(f"{prefix}/name"):
            space = labels.get(f"{prefix}/namespace", "")
            return f"{what} {space}/{name}" if space else f"{what} {name}"
    if found := annotations.get(_ARGO_ID):
        return f"Argo CD application {found.partition(':')[0]}"
    if found := labels.get(_ARGO_LABEL):
        return f"Argo CD application {found}"
    return _manager(metadata.get("managedFields") or ())


def _manager(fields: Any) -> str:
    """Name a GitOps tool by what it applied; writes to the status are not what is meant."""
    for entry in fields:
        who = _MANAGERS.get(str(entry.get("manager")))
        if who and not entry.get("subresource"):
            return f"{who} (field manager {entry['manager']})"
    return ""
