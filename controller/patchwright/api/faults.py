"""From pydantic's errors to sentences for people: one fault each, with the field path as the user spells it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from patchwright.api.base import BrokenRules, Taken, Unsayable, WireModel
from patchwright.errors import Fault

SHOWN = 40
Loc = Sequence[int | str]

# pydantic's error types, in our words; {…} are its context.
_WORDS = {
    "missing": "is required",
    "string_type": "must be a text",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "tuple_type": "must be a list",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_long": "must be at most {max_length} characters long",
    "string_too_short": "must not be empty",
    "too_long": "must have at most {max_length} entries",
    "too_short": "must have at least {min_length} entries",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "datetime_type": "must be a time such as 2026-11-23T12:00:00Z",
    "datetime_parsing": "must be a time such as 2026-11-23T12:00:00Z",
    "datetime_from_date_parsing": "must be a time such as 2026-11-23T12:00:00Z",
    "datetime_object_invalid": "must be a time such as 2026-11-23T12:00:00Z",
    "timezone_aware": "must be a time with a time zone, such as 2026-11-23T12:00:00Z",
}
# The value says nothing more than the words, or is too long to be shown.
_SILENT = frozenset({"missing", "string_too_long", "string_too_short"})


def faults_of(error: ValidationError, model: type[BaseModel], *, prefix: str) -> list[Fault]:
    """Give the faults of a document that ``model`` refused; ``prefix`` is the path of what was validated."""
    details = error.errors(include_url=False)
    below = {detail["loc"][:end] for detail in details for end in range(1, len(detail["loc"]))}
    # pydantic counts the entries that are right: a list of one wrong entry is too short for it, too.
    told = (detail for detail in details if not (detail["type"] == "too_short" and detail["loc"] in below))
    return [fault for detail in told for fault in _faults(detail, model, prefix)]


def field_path(prefix: str, loc: Loc) -> str:
    """Spell a path as users do: ``spec.healthChecks[0].name``; keys that hold dots or slashes stand in brackets."""
    path = prefix
    for part in loc:
        if part == "[key]":
            continue  # pydantic's mark for "the key itself", which stands before it already
        if isinstance(part, int) or not part.replace("_", "").isalnum():
            path += f"[{part}]"
        else:
            path += f".{part}" if path else part
    return path


def null_faults(value: object, *, prefix: str) -> Iterator[Fault]:
    """Find explicit nulls, which the API server drops or refuses, depending on how an object gets there."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            path = field_path(prefix, (str(key),))
            if item is None:
                yield Fault(path, "must not be null; leave the field out, or give it a value")
            else:
                yield from null_faults(item, prefix=path)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            if item is None:
                yield Fault(f"{prefix}[{index}]", "must not be null; remove the entry, or give it a value")
            yield from null_faults(item, prefix=f"{prefix}[{index}]")


def show(value: object) -> str:
    """Give a value as the user wrote it, cut to a length that fits into a sentence."""
    if isinstance(value, str):
        text = f"'{value}'"
    else:
        try:
            text = json.dumps(value, default=str, ensure_ascii=False)
        except (ValueError, RecursionError):
            text = type(value).__name__
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def suggest(name: str, known: Sequence[str]) -> str:
    """Give the known name that was probably meant, or nothing."""
    spelled = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), spelled, n=1, cutoff=0.7)
    return spelled[close[0]] if close else ""


def _faults(detail: ErrorDetails, model: type[BaseModel], prefix: str) -> Iterator[Fault]:
    loc, cause = detail["loc"], detail.get("ctx", {}).get("error")
    path = field_path(prefix, loc)
    if detail["type"] == "extra_forbidden":
        yield Fault(path, _unknown(str(loc[-1]), model_at(model, loc[:-1])))
    elif isinstance(cause, BrokenRules):
        for rule in cause.rules:
            yield Fault(path + rule.field, rule.message)
    elif isinstance(cause, Taken):
        for below, first, name in cause.entries:
            yield Fault(path + below, f"{show(name)} is already taken by {path}{first}")
    elif isinstance(cause, Unsayable):
        yield Fault(path, str(cause))
    else:
        yield Fault(path, _sentence(detail, path))


def _sentence(detail: ErrorDetails, path: str) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    words = str(context["error"]) if kind == "value_error" else _WORDS.get(kind, detail["msg"]).format(**context)
    # An environment variable's value may be a secret that somebody put in the wrong place.
    if kind in _SILENT or ".env[" in path:
        return words
    value = detail["input"]
    if kind in ("too_long", "too_short"):
        return f"{words}; got {len(value)}"
    hint = ""
    if kind == "string_type" and isinstance(value, (int, float, bool)):
        hint = f"; put it in quotes: {json.dumps(str(value).lower() if isinstance(value, bool) else str(value))}"
    if kind in ("literal_error", "enum") and isinstance(value, str):
        meant = suggest(value, str(context["expected"]).replace(" or ", ", ").replace("'", "").split(", "))
        hint = f"; did you mean '{meant}'?" if meant else ""
    return f"{words}; got {show(value)}{hint}"


def _unknown(name: str, model: type[BaseModel] | None) -> str:
    if model is None or not issubclass(model, WireModel):
        return f"unknown field '{name[:SHOWN]}'"
    if name in model.hints:
        return f"unknown field '{name}'; {model.hints[name]}"
    known = sorted(model.spelled())
    meant = suggest(name, known)
    rest = f"did you mean '{meant}'?" if meant else f"known fields are {', '.join(known)}"
    return f"unknown field '{name[:SHOWN]}'; {rest}"


def model_at(model: type[BaseModel] | None, loc: Loc) -> type[BaseModel] | None:
    """Find the model that stands at a path."""
    for part in loc:
        if isinstance(part, int) or model is None:
            continue
        found = [info for name, info in model.model_fields.items() if (info.alias or name) == part]
        model = _model_in(found[0].annotation) if found else None
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if get_origin(annotation) is None:
        return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    return next((found for one in get_args(annotation) if (found := _model_in(one)) is not None), None)
