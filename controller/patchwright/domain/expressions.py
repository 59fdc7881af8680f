"""What an ``object`` check waits for, in the words of ``kubectl wait --for``.

Understood are ``condition=TYPE[=STATUS]`` and ``jsonpath=EXPRESSION[=VALUE]``, with kubectl's meaning (kubectl
v1.37, ``pkg/cmd/wait``): names and statuses of conditions compare without regard to case, a condition that was
observed at an older generation does not count, and a JSONPath must lead to one plain value.

Of kubectl's JSONPath dialect everything is taken that leads to one value: ``.field``, ``['field']``, ``[0]``, ``[-1]``,
``[0:2]``, ``[*]``, ``.*``, one ``..``, and filters with one comparison (``[?(@.type=="Ready")]``); dots in a name are
escaped (``.metadata.labels.app\\.kubernetes\\.io/name``). It is rewritten to RFC 9535 and left to the ``jsonpath``
library. Functions, regular expressions, unions and nested filters are refused: a policy's author must not be able to
stop the operator, which has one thread, with an expression that takes minutes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jsonpath

LONGEST: Final = 512
_SHOWN: Final = 80


class ExpressionError(ValueError):
    """An expression that cannot be read or does not fit the object; ``str()`` is a sentence for people."""


@dataclass(frozen=True, slots=True)
class ConditionExpression:
    """``condition=Ready=true``: the condition of that type has that status."""

    type: str
    status: str = "true"


@dataclass(frozen=True, slots=True)
class JsonPathExpression:
    """``jsonpath={.status.phase}=Running``: the path leads to that value, or to any value if ``value`` is ``None``.

    ``path`` is as the user wrote it, ``query`` the same in RFC 9535.
    """

    path: str
    query: str
    value: str | None = None


Expression = ConditionExpression | JsonPathExpression


def parse(text: str) -> Expression:
    """Read the value of ``for``.

    Raises:
        ExpressionError: it is not one of the two forms; the sentence says what is wrong with it.
    """
    if len(text) > LONGEST:
        raise ExpressionError(f"is {len(text)} characters long; at most {LONGEST} are read")
    kind, _, rest = text.partition("=")
    if kind == "condition":
        return _condition(rest)
    if kind == "jsonpath":
        return _json_path(rest)
    raise ExpressionError(
        f"{_quoted(text)} is neither condition=TYPE[=STATUS] nor jsonpath={{.path}}[=VALUE], as for kubectl wait"
    )


def shortfall(expression: Expression, manifest: Mapping[str, Any]) -> str:
    """Say in a phrase what the object lacks; empty when it satisfies the expression.

    Raises:
        ExpressionError: a JSONPath leads to a list, an object, or several values.
    """
    if isinstance(expression, ConditionExpression):
        return _condition_shortfall(expression, manifest)
    return _path_shortfall(expression, manifest)


def _condition(rest: str) -> ConditionExpression:
    name, equals, status = rest.partition("=")
    if not name or (equals and not status):
        raise ExpressionError(f"{_quoted('condition=' + rest)} names no condition or no status; write condition=Ready")
    return ConditionExpression(name, status or "true")


def _json_path(rest: str) -> JsonPathExpression:
    # A single = divides path and value, a double one is part of a filter (kubernetes/kubectl#1448).
    path, *values = re.split(r"(?<![=!<>])=(?!=)", rest)
    if not path or len(values) > 1:
        raise ExpressionError(f"{_quoted('jsonpath=' + rest)} is not jsonpath={{.path}} or jsonpath={{.path}}=VALUE")
    value = values[0].strip("'\"") if values else None
    if value == "":
        raise ExpressionError(f"{_quoted('jsonpath=' + rest)} has no value after the equals sign")
    path = path.strip("'\"")
    return JsonPathExpression(path, _rewritten(path), value)


_NAME: Final = r"(?:\\.|[^\s.\\\[\](){}'\",=!<>&|?@*$])+"
_QUOTED: Final = r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\""
_STEP: Final = re.compile(
    rf"(?P<descent>\.\.)(?P<below>{_NAME}|\*)"
    rf"|\.(?P<name>{_NAME})"
    r"|(?P<all>\.\*|\[\*\])"
    r"|(?P<index>\[-?\d{1,9}(?::-?\d{0,9}){0,2}\]|\[:-?\d{0,9}(?::-?\d{0,9})?\])"
    rf"|\[(?P<key>{_QUOTED})\]"
    rf"|\[\?\(\s*@(?P<left>(?:\.{_NAME}|\[-?\d{{1,9}}\]|\[(?:{_QUOTED})\])*)\s*"
    rf"(?:(?P<operator>[=!]=|[<>]=?)\s*(?P<right>{_QUOTED}|-?\d{{1,18}}(?:\.\d{{1,18}})?|true|false|null)\s*)?\)\]"
)


def _rewritten(path: str) -> str:
    # kubectl's relaxed form: braces, a leading dollar and a leading dot may all be left out.
    inner = path[1:-1] if path.startswith("{") and path.endswith("}") else path
    inner = inner.strip().removeprefix("$")
    if not inner or "{" in inner or "}" in inner:
        raise ExpressionError(f"JSONPath {_quoted(path)} must be one expression in braces, such as {{.status.phase}}")
    query = "$" + _steps(inner if inner[0] in ".[" else f".{inner}", path)
    try:
        jsonpath.compile(query)
    except jsonpath.JSONPathError as error:
        raise ExpressionError(f"JSONPath {_quoted(path)} cannot be read: {str(error).splitlines()[0]}") from error
    return query


def _steps(text: str, path: str) -> str:
    steps, at = [], 0
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None:
            raise ExpressionError(
                f"JSONPath {_quoted(path)} cannot be read from {_quoted(text[at:])} on; fields, ['fields'], indexes, "
                'slices, * and filters of one comparison, such as [?(@.type=="Ready")], are supported'
            )
        steps.append(step)
        at = step.end()
    if sum(step["descent"] is not None for step in steps) > 1:
        raise ExpressionError(f"JSONPath {_quoted(path)} has more than one '..'; name the fields between")
    return "".join(_step(step, path) for step in steps)


def _step(step: re.Match[str], path: str) -> str:
    part = step.groupdict()
    if part["descent"]:
        return "..[*]" if part["below"] == "*" else f"..{_field(part['below'])}"
    if part["all"]:
        return "[*]"
    if part["index"]:
        return str(part["index"])
    if part["name"] or part["key"]:
        return _field(part["name"] or part["key"][1:-1])
    left = "@" + (_steps(part["left"], path) if part["left"] else "")
    if part["operator"] is None:
        return f"[?{left}]"
    return f"[?{left} {part['operator']} {_literal(part['right'])}]"


def _field(name: str) -> str:
    return f"[{_string(name)}]"


def _literal(text: str) -> str:
    return _string(text[1:-1]) if text[0] in "'\"" else text


def _string(escaped: str) -> str:
    return json.dumps(re.sub(r"\\(.)", r"\1", escaped))


def _condition_shortfall(expression: ConditionExpression, manifest: Mapping[str, Any]) -> str:
    status = _mapping(manifest.get("status"))
    conditions = status.get("conditions")
    for condition in conditions if isinstance(conditions, list) else ():
        found = _mapping(condition)
        if str(found.get("type", "")).casefold() == expression.type.casefold():
            return _status_shortfall(expression, found, manifest)
    return f"has no condition {expression.type}"


def _status_shortfall(expression: ConditionExpression, found: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    generation = _mapping(manifest.get("metadata")).get("generation")
    observed = found.get("observedGeneration", _mapping(manifest.get("status")).get("observedGeneration"))
    if isinstance(generation, int) and isinstance(observed, int) and observed < generation:
        return f"has condition {expression.type} of generation {observed}, and is at generation {generation}"
    status = str(found.get("status", ""))
    if status.casefold() == expression.status.casefold():
        return ""
    why = found.get("reason")
    return (
        f"has condition {expression.type}={_short(status)}{f' ({_short(why)})' if why else ''}, not {expression.status}"
    )


def _path_shortfall(expression: JsonPathExpression, manifest: Mapping[str, Any]) -> str:
    values = [value for value in jsonpath.findall(expression.query, dict(manifest)) if value is not None]
    if not values:
        return f"has nothing at {expression.path}"
    if len(values) > 1:
        raise ExpressionError(f"JSONPath {expression.path} leads to {len(values)} values; it must lead to one")
    if expression.value is None:
        return ""
    found = _plain(values[0], expression.path)
    if found.strip() == expression.value.strip():
        return ""
    return f"has {_short(found)} at {expression.path}, not {expression.value}"


def _plain(value: object, path: str) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str() | int():
            return str(value)
        case float():
            return str(int(value)) if value.is_integer() else str(value)
        case _:
            raise ExpressionError(f"JSONPath {path} leads to a list or an object; it must lead to one plain value")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _quoted(text: str) -> str:
    return f'"{_short(text)}"'


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
