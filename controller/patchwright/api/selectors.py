"""Label selectors and tolerations, spelled as everywhere in Kubernetes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from patchwright.api.base import Rule, WireModel
from patchwright.api.scalars import LabelKey, LabelValue
from patchwright.domain import model

_VALUED = ("In", "NotIn")


class LabelSelectorRequirement(WireModel):
    """One condition on a label."""

    rules = (
        Rule(
            "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : "
            "!has(self.values) || size(self.values) == 0",
            "values must be given for In and NotIn, and only for them",
            lambda it: bool(it.values) == (it.operator in _VALUED),
            field=".values",
        ),
    )
    key: LabelKey
    """The label's key."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """How the label is compared: `In`, `NotIn`, `Exists` or `DoesNotExist`. A missing label satisfies `NotIn`."""
    values: Annotated[tuple[LabelValue, ...], Field(max_length=64)] | None = None
    """The values to compare with; for `In` and `NotIn` only."""

    def domain(self) -> model.Requirement:
        """Convert to the domain."""
        return model.Requirement(self.key, model.Operator(self.operator), frozenset(self.values or ()))


class LabelSelector(WireModel):
    """A label selector; `matchLabels` and `matchExpressions` must all hold, and an empty one selects everything."""

    match_labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=32)] | None = None
    """Labels that must be there with exactly these values."""
    match_expressions: Annotated[tuple[LabelSelectorRequirement, ...], Field(max_length=16)] | None = None
    """Conditions on labels."""

    def domain(self) -> model.Selector:
        """Convert to the domain."""
        equal = (
            model.Requirement(key, model.Operator.IN, frozenset({value}))
            for key, value in sorted((self.match_labels or {}).items())
        )
        return model.Selector((*equal, *(one.domain() for one in self.match_expressions or ())))


class Toleration(WireModel):
    """A taint that the patch Jobs put up with, as in a pod."""

    rules = (
        Rule(
            "has(self.key) || (has(self.operator) && self.operator == 'Exists')",
            "key may only be left out with operator Exists",
            lambda it: it.key is not None or it.operator == "Exists",
            field=".key",
        ),
        Rule(
            "!(has(self.value) && has(self.operator) && self.operator == 'Exists')",
            "value must be left out with operator Exists",
            lambda it: it.value is None or it.operator != "Exists",
            field=".value",
        ),
    )
    key: LabelKey | None = None
    """The taint's key; left out, every key matches (with operator `Exists`)."""
    operator: Literal["Equal", "Exists"] | None = None
    """`Equal` (the default) compares the value, `Exists` does not."""
    value: LabelValue | None = None
    """The taint's value, for operator `Equal`."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """The taint's effect; left out, every effect matches."""

    def domain(self) -> model.Toleration:
        """Convert to the domain."""
        return model.Toleration(self.key, self.operator or "Equal", value=self.value, effect=self.effect)
