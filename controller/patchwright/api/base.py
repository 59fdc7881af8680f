"""What every wire model shares: strictness, descriptions, and rules that hold in Python and on the API server alike.

A rule is written once, as a CEL expression for the CRD and as a predicate for us, with one message. Both are tested on
the same manifests (karpenter's habit), so that neither can drift.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

VALIDATIONS = "x-kubernetes-validations"
# CEL escapes fields that are named like its own words (k8s.io, "Custom resources: validation rules").
CEL_WORDS = frozenset({"for", "namespace", "package", "import", "in", "as", "if", "else", "loop", "var", "const"})


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that must hold among the fields of one object.

    ``holds`` gets the wire model. ``field`` names the field to blame, relative to the object, as in ``.count``.
    """

    cel: str
    message: str
    holds: Callable[[Any], bool]
    field: str = ""

    def schema(self) -> dict[str, str]:
        """Give the entry for ``x-kubernetes-validations``."""
        entry = {"rule": self.cel, "message": self.message}
        return {**entry, "fieldPath": self.field} if self.field else entry


@dataclass(frozen=True, slots=True)
class Immutable:
    """A field that an update may not change (a transition rule: the API server asks it on updates only)."""

    name: str
    noun: str
    required: bool = False

    @property
    def message(self) -> str:
        """What a person is told, on either side."""
        return f"{self.name} is immutable; to change it, create another {self.noun}"

    def schema(self) -> dict[str, str]:
        """Give the entry for ``x-kubernetes-validations``; a removed optional field counts as a change."""
        new, old = f"self.{self.name}", f"oldSelf.{self.name}"
        rule = f"{new} == {old}" if self.required else f"has({new}) == has({old}) && (!has({new}) || {new} == {old})"
        return {"rule": rule, "message": self.message, "fieldPath": f".{self.name}"}


class BrokenRules(ValueError):
    """Rules that an object breaks; pydantic carries it, ``faults`` unpacks it."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        super().__init__("; ".join(rule.message for rule in rules))
        self.rules = tuple(rules)


class Unsayable(ValueError):
    """A value whose fault is told without the value, because it may hold a secret."""


@dataclass(frozen=True, slots=True)
class Form:
    """A form that a single value must have, with the words for it.

    ``schema`` is what the CRD says of it, usually a ``pattern``. A form without ``echo`` never repeats the value.
    """

    holds: Callable[[Any], bool]
    words: str
    schema: Mapping[str, Any] = field(default_factory=dict, hash=False)
    echo: bool = True

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check after pydantic has made sure of the type."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add what the CRD says of it; several forms of one value add up."""
        found = handler(core)
        for key, value in self.schema.items():
            found[key] = [*found.get(key, []), *value] if key == VALIDATIONS else value
        return found

    def _check(self, value: Any) -> Any:
        if self.holds(value):
            return value
        raise ValueError(self.words) if self.echo else Unsayable(self.words)


@dataclass(frozen=True, slots=True)
class Unique:
    """No two entries of a list are the same, or have the same ``key`` field (a list-map, as in the Kubernetes API)."""

    key: str = ""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check after pydantic has made sure of the type."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Tell the API server, which also merges such lists entry by entry in server-side apply."""
        found = handler(core)
        if not self.key:
            return {**found, "x-kubernetes-list-type": "set"}
        return {**found, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [self.key]}

    def _check(self, entries: tuple[Any, ...]) -> tuple[Any, ...]:
        names = [str(getattr(entry, self.key)) if self.key else str(entry) for entry in entries]
        taken = [(index, names.index(name), name) for index, name in enumerate(names) if names.index(name) != index]
        if taken:
            raise Taken([(f"[{index}]{self._below}", f"[{first}]", name) for index, first, name in taken])
        return entries

    @property
    def _below(self) -> str:
        return f".{self.key}" if self.key else ""


class Taken(ValueError):
    """Entries of a list that repeat an earlier one: where, where the earlier one is, and what they repeat."""

    def __init__(self, entries: Sequence[tuple[str, str, str]]) -> None:
        super().__init__(", ".join(name for _, _, name in entries))
        self.entries = tuple(entries)


def _with_rules(schema: dict[str, Any], model: type[BaseModel]) -> None:
    if issubclass(model, WireModel) and (entries := model.validations()):
        schema[VALIDATIONS] = entries


class WireModel(BaseModel):
    """An object as the user spells it: unknown fields are faults, and nothing is converted behind his back.

    ``hints`` answers for fields that do not exist here: names from kindred tools, and fields that are still to come.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        use_attribute_docstrings=True,
        json_schema_extra=_with_rules,
    )
    rules: ClassVar[tuple[Rule, ...]] = ()
    immutable: ClassVar[tuple[Immutable, ...]] = ()
    hints: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def validations(cls) -> list[dict[str, str]]:
        """Give the entries for ``x-kubernetes-validations``."""
        return [*(rule.schema() for rule in cls.rules), *(rule.schema() for rule in cls.immutable)]

    @classmethod
    def spelled(cls) -> dict[str, str]:
        """Map each field's name on the wire to its name in Python."""
        return {info.alias or name: name for name, info in cls.model_fields.items()}

    @model_validator(mode="after")
    def _obey(self) -> Self:
        broken = [rule for rule in self.rules if not rule.holds(self)]
        if broken:
            raise BrokenRules(broken)
        return self


class StatusModel(WireModel):
    """An object in ``status``: read tolerantly (a newer version may have written it), built by its Python names."""

    model_config = ConfigDict(extra="ignore", validate_by_name=True, validate_by_alias=True)


def exactly_one_of(*names: str) -> Rule:
    """Require exactly one of several fields: Kubernetes' form of a union."""
    if len(names) == 1:
        return Rule(_has(names[0]), f"{names[0]} must be set", lambda model: _set(model, names) == 1)
    cel = f"[{', '.join(map(_has, names))}].exists_one(one, one)"
    return Rule(cel, f"exactly one of {_listed(names)} must be set", lambda model: _set(model, names) == 1)


def at_least_one_of(*names: str) -> Rule:
    """Require at least one of several fields."""
    words = f"at least one of {_listed(names)} must be set"
    return Rule(" || ".join(map(_has, names)), words, lambda model: _set(model, names) >= 1)


def at_most_one_of(*names: str) -> Rule:
    """Allow at most one of two fields."""
    cel = f"!({' && '.join(map(_has, names))})"
    return Rule(cel, f"only one of {_listed(names)} may be set", lambda model: _set(model, names) <= 1)


def _has(name: str) -> str:
    return f"has(self.__{name}__)" if name in CEL_WORDS else f"has(self.{name})"


def _set(model: WireModel, names: Sequence[str]) -> int:
    spelled = model.spelled()
    return sum(getattr(model, spelled[name]) is not None for name in names)


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
