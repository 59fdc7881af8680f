"""Who may target what."""

from __future__ import annotations

from dataclasses import replace

from patchwright.domain import tenancy
from patchwright.domain.model import Key, NodeTarget, PatchPolicy, Selector, WorkloadTarget

OWN = WorkloadTarget(("nginx",))


def fault(target: NodeTarget | WorkloadTarget, namespace: str = "shop") -> str:
    return tenancy.fault(PatchPolicy(Key(namespace, "p"), "uid", 1, target), operator_namespace="patchwright-system")


def test_a_policy_in_the_operator_s_namespace_may_target_anything() -> None:
    for target in (NodeTarget(), OWN, replace(OWN, namespaces=Selector())):
        assert fault(target, "patchwright-system") == ""


def test_elsewhere_it_may_target_the_workloads_of_its_own_namespace_and_nothing_else() -> None:
    assert fault(OWN) == ""
    assert fault(NodeTarget()) == (
        "policy shop/p may not target nodes; policies in namespace patchwright-system may"
    )  # fmt: skip
    assert "by leaving out target.workloads.namespaceSelector" in fault(replace(OWN, namespaces=Selector()))
