"""From pydantic's JSON Schema to the structural schema that a CRD needs.

pydantic's own output is refused by the API server (``$ref``, ``title``, ``const``, ``anyOf`` with null); and packages
that convert it let through what the server then refuses. So this converter knows what it can say, and raises on the
rest (`structural schemas`_).

.. _structural schemas: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

_TYPES = ("string", "integer", "number", "boolean", "object", "array")
_FORMATS = ("date-time", "int32", "int64", "double")
_SCALARS = (*(("type", name) for name in _TYPES), *(("format", name) for name in _FORMATS))
# A CRD carries no defaults (defaulting rewrites objects, which is poison for Git diffs) and no titles.
_DROPPED = frozenset({"title", "default", "propertyNames", "$defs"})
_OPEN = frozenset({"properties", "additionalProperties", "x-kubernetes-preserve-unknown-fields"})
_COPIED = frozenset(
    {
        "enum", "maxItems", "maxLength", "maxProperties", "maximum", "minItems", "minLength",
        "minProperties", "minimum", "pattern", "required", "x-kubernetes-int-or-string", "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type", "x-kubernetes-map-type", "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-validations",
    }
)  # fmt: skip

Schema = dict[str, Any]


class SchemaError(ValueError):
    """A model has something that no structural schema can say."""


def structural(model: type[BaseModel]) -> Schema:
    """Give the structural schema of a model.

    Raises:
        SchemaError: with the path of what has no structural form.
    """
    schema = model.model_json_schema(by_alias=True)
    return _convert(schema, _Place(model.__name__, schema.get("$defs", {})))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the converter is: the path for messages, the definitions, and those that it is inside of."""

    path: str
    defs: Mapping[str, Any]
    inside: tuple[str, ...] = ()

    def at(self, path: str) -> _Place:
        return replace(self, path=self.path + path)

    def refuse(self, words: str) -> SchemaError:
        return SchemaError(f"{self.path}: {words}")


def _convert(schema: Mapping[str, Any], place: _Place) -> Schema:
    if "$ref" in schema:
        return _resolved(schema, place)
    if schema.get("x-kubernetes-int-or-string"):
        # Its anyOf is no choice to be resolved: it stands as the API server wants it.
        found = {**schema, **_keyword("description", schema.get("description", ""), place)}
        found = {key: value for key, value in found.items() if key not in _DROPPED}
    elif "anyOf" in schema:
        return _convert(_without_null(schema, place), place)
    else:
        found = {}
        for key, value in schema.items():
            found.update(_keyword(key, value, place))
        _require_type(found, place)
    return dict(sorted(found.items(), key=lambda item: _rank(item[0])))


def _resolved(schema: Mapping[str, Any], place: _Place) -> Schema:
    name = str(schema["$ref"]).rpartition("/")[2]
    if name in place.inside:
        raise place.refuse(f"{name} contains itself; a structural schema is finite")
    # What stands beside the reference (the field's own description) counts more than the model's.
    merged = {**place.defs[name], **{key: value for key, value in schema.items() if key != "$ref"}}
    return _convert(merged, replace(place, inside=(*place.inside, name)))


def _require_type(found: Schema, place: _Place) -> None:
    if "type" not in found:
        raise place.refuse("it has no type")
    if found["type"] == "object" and not _OPEN & found.keys():
        raise place.refuse("it is an object without fields")


def _rank(key: str) -> tuple[int, str]:
    """Put first what a reader of the CRD looks for first."""
    first = ("description", "type", "format", "enum", "required")
    return (first.index(key) if key in first else len(first) + (key == "properties"), key)


def _keyword(key: str, value: Any, place: _Place) -> Schema:
    if key in _DROPPED:
        return {}
    if key in _COPIED or (key, value) in _SCALARS:
        return {key: value}
    match key:
        case "const":
            return {"enum": [value]}
        case "description":
            return {key: " ".join(value.split())}
        case "properties":
            return {key: _properties(value, place)}
        case "items":
            return {key: _convert(value, place.at("[]"))}
        case "additionalProperties" if isinstance(value, Mapping):
            return {key: _convert(value, place.at("{}"))}
        case "additionalProperties":
            # False: the API server prunes or refuses unknown fields of its own accord. True: it must say
            # x-kubernetes-preserve-unknown-fields besides, which ``_require_type`` sees to.
            return {}
        case "patternProperties" if len(value) == 1:
            # Keys of maps have no schema; the model checks them.
            return {"additionalProperties": _convert(next(iter(value.values())), place.at("{}"))}
    raise place.refuse(f"{key}: {value!r} has no structural form")


def _properties(properties: Mapping[str, Any], place: _Place) -> Schema:
    found = {}
    for name, schema in properties.items():
        below = place.at(f".{name}")
        # What is only in the model's docstring would explain the type, not the field.
        if not schema.get("description"):
            raise below.refuse("it has no description")
        found[name] = _convert(schema, below)
    return found


def _without_null(schema: Mapping[str, Any], place: _Place) -> Schema:
    """Turn "this or null" into an optional field; null itself is refused, as the API server does."""
    choices = [choice for choice in schema["anyOf"] if choice != {"type": "null"}]
    if len(choices) != 1 or len(choices) == len(schema["anyOf"]):
        raise place.refuse("a choice between types has no structural form; use an object with one field of each")
    return {**choices[0], **{key: value for key, value in schema.items() if key != "anyOf"}}
