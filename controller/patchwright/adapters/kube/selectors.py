"""Label selectors as the API server writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
