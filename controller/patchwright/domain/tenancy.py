"""Who may target what: nodes and other namespaces are the business of the operator's own namespace.

Whoever may write a PatchPolicy into a namespace of his own must not reach what he could not write to himself.
"""

from __future__ import annotations

from typing import assert_never

from patchwright.domain.model import NodeTarget, PatchPolicy, WorkloadTarget


def fault(policy: PatchPolicy, *, operator_namespace: str) -> str:
    """Say why a policy may not have its target; empty when it may."""
    if policy.key.namespace == operator_namespace:
        return ""
    match policy.target:
        case NodeTarget():
            text = "may not target nodes"
        case WorkloadTarget(namespaces=None):
            return ""
        case WorkloadTarget():
            text = "may target workloads of its own namespace only, by leaving out target.workloads.namespaceSelector"
        case _ as never:
            assert_never(never)
    return f"policy {policy.key} {text}; policies in namespace {operator_namespace} may"
