"""Label selectors as the API server writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from patchwright.domain.model import Operator, Requirement, Selector


def parse(raw: Mapping[str, Any] | None) -> Selector | None:
    """Read a LabelSelector; none at all selects nothing, an empty one everything (policy/v1)."""
    if raw is None:
        return None
    equal = [Requirement(key, Operator.IN, frozenset({value})) for key, value in (raw.get("matchLabels") or {}).items()]
    others = [
        Requirement(each["key"], Operator(each["operator"]), frozenset(each.get("values") or ()))
        for each in raw.get("matchExpressions") or ()
    ]
    return Selector((*equal, *others))


def query(selector: Selector) -> str:
    """Give a selector as the API server's ``labelSelector`` parameter; empty selects everything."""
    return ",".join(_requirement(each) for each in selector.requirements)


def _requirement(requirement: Requirement) -> str:
    values = ",".join(sorted(requirement.values))
    match requirement.operator:
        case Operator.IN:
            return f"{requirement.key} in ({values})"
        case Operator.NOT_IN:
            return f"{requirement.key} notin ({values})"
        case Operator.EXISTS:
            return requirement.key
        case Operator.DOES_NOT_EXIST:
            return f"!{requirement.key}"
        case _ as never:
            assert_never(never)
