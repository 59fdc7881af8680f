"""How many targets may be out at once (L1).

The base of a percentage is the whole selected set, patched members included, else the budget would shrink as the
rollout proceeds. Percentages round down but never below one; Karpenter and AKS round up. An explicit 0 starts nothing,
where the Machine Config Operator silently makes it 1.
"""

from __future__ import annotations

from patchwright.domain.model import Quantity


def resolve(quantity: Quantity, total: int) -> int:
    """Give the number of targets that a quantity means for a set of ``total``."""
    if not quantity.percent or quantity.value == 0:
        return quantity.value
    return max(1, total * quantity.value // 100)


def room(max_unavailable: Quantity, *, total: int, unavailable: int) -> int:
    """Give how many more targets may become unavailable, never below zero."""
    return max(0, resolve(max_unavailable, total) - unavailable)


def threshold(quantity: Quantity, total: int) -> int:
    """Give the number of failures that halts a rollout: at least one, to the last wave (unlike Skyhook's)."""
    return max(1, resolve(quantity, total))
