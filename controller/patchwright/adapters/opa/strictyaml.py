"""Reads YAML as JSON-able data, strictly: no aliases, no duplicate keys, no dates, bounded depth.

396 bytes with nine levels of aliases became more than 2 GiB of JSON; duplicate keys are silently last-wins; ``on`` and
``2026-12-24`` change their type. None of this may decide about a fleet.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

MAX_DEPTH: Final = 30


class _Loader(yaml.SafeLoader):
    """SafeLoader without aliases and with the scalar types of JSON only."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed; write the value out")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise yaml.YAMLError(f"is nested deeper than {MAX_DEPTH} levels")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.YAMLError(f"line {key_node.start_mark.line + 1}: the key {key!r} is no string; quote it")
            if key in mapping:
                raise yaml.YAMLError(f"line {key_node.start_mark.line + 1}: the key {key!r} is given twice")
            mapping[key] = self.construct_object(value_node, deep=deep)
        return mapping


# YAML 1.2's JSON schema instead of YAML 1.1: no sexagesimal numbers, octals, dates, yes/no or merge keys.
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"^(?:null|~|)$", ["n", "~", ""]),
    ("bool", r"^(?:true|false)$", ["t", "f"]),
    ("int", r"^-?(?:0|[1-9][0-9]*)$", list("-0123456789")),
    ("float", r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$", list("-0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


def load(text: bytes) -> Any:
    """Read one document (JSON is YAML); raises ``yaml.YAMLError`` or ``ValueError`` with the line where it is known."""
    # The loader below is a SafeLoader with fewer types.
    return yaml.load(text.decode("utf-8"), Loader=_Loader)  # noqa: S506
