"""Sorts a repository's Rego directory into modules, tests, data and parameters, and refuses what would be ignored.

Pure: paths and bytes in, values or faults out. Paths are relative to the repository's ``rego.path``.
"""

from __future__ import annotations

import json
import zoneinfo
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Final

from patchwright.adapters import strictyaml
from patchwright.adapters.opa import library
from patchwright.adapters.strictyaml import YamlLimits
from patchwright.errors import Fault, InvalidInput

MAX_FILE_BYTES: Final = 1024 * 1024
MAX_TOTAL_BYTES: Final = 8 * 1024 * 1024
MAX_FILES: Final = 1000

_ENDS: Final = (("start", 2000), ("end", 2001))
"""The two ends of a fixed window; the years stand in for a weekly one, which has neither."""

_DATA_SUFFIXES: Final = (".json", ".yaml", ".yml")
_LIMITS: Final = YamlLimits(file_bytes=MAX_FILE_BYTES, documents=1)


@dataclass(frozen=True, slots=True)
class Sources:
    """``modules`` and ``tests`` by path; ``data`` is the document below ``data``, with ``patchwright.parameters``."""

    modules: Mapping[str, bytes]
    tests: Mapping[str, bytes]
    data: Mapping[str, Any]


def sort_sources(files: Mapping[str, bytes]) -> Sources:
    """Sort ``files``; raises ``InvalidInput`` with one fault per file that is too large, unreadable or out of place."""
    faults = [*_sizes(files), *_places(files)]
    if faults:
        raise InvalidInput(faults, reason="InvalidPolicy")
    rego = {name: text for name, text in files.items() if name.endswith(".rego")}
    tests = {name: text for name, text in rego.items() if name.endswith("_test.rego")}
    modules = {name: text for name, text in rego.items() if name not in tests}
    return Sources(modules, tests, _data(files))


def _sizes(files: Mapping[str, bytes]) -> Iterator[Fault]:
    if len(files) > MAX_FILES:
        yield Fault("", f"{len(files)} files are more than the {MAX_FILES} that a policy may have; narrow rego.path")
    if sum(map(len, files.values())) > MAX_TOTAL_BYTES:
        yield Fault("", f"the files are larger than {MAX_TOTAL_BYTES} bytes in all; narrow rego.path")
    for name, text in sorted(files.items()):
        if len(text) > MAX_FILE_BYTES:
            yield Fault("", f"the file is larger than {MAX_FILE_BYTES} bytes; split it", name)


def _places(files: Mapping[str, bytes]) -> Iterator[Fault]:
    for name in sorted(files):
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or str(path) != name or "\\" in name or not name.isprintable():
            yield Fault("", "the path leaves the Rego directory or is not plain; rename the file", name)
        elif path.suffix in _DATA_SUFFIXES and not _is_parameters(path) and path.stem != "data":
            # OPA's bundle loader passes over such a file without a word, and the rules over it never fire.
            yield Fault("", "OPA would ignore this file; name it data.yaml in a directory of its own", name)


def _is_parameters(path: PurePosixPath) -> bool:
    return len(path.parts) == 1 and path.stem == "parameters"


def _data(files: Mapping[str, bytes]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    faults: list[Fault] = []
    for name in sorted(files):
        path = PurePosixPath(name)
        if path.suffix in _DATA_SUFFIXES:
            place = _parameters if _is_parameters(path) else _plain
            faults += _placed(document, files[name], path, place=place)
    if faults:
        raise InvalidInput(faults, reason="InvalidPolicy")
    # Without this document every rule of the library would be undefined, hence silent.
    document.setdefault("patchwright", {}).setdefault("parameters", {})
    return document


_Place = Callable[[dict[str, Any], Any, PurePosixPath], Iterator[Fault]]


def _placed(document: dict[str, Any], text: bytes, path: PurePosixPath, *, place: _Place) -> Iterator[Fault]:
    try:
        found = strictyaml.load_documents(str(path), text, _LIMITS)
    except InvalidInput as error:
        yield from error.faults
        return
    if found and isinstance(found[0].value, dict):
        yield from place(document, found[0].value, path)
    else:
        yield Fault("", "must hold a mapping at its top", str(path))


def _parameters(document: dict[str, Any], value: Any, path: PurePosixPath) -> Iterator[Fault]:
    # A misspelt parameter would leave its rule at the default, silently; so every name is known or it is a fault.
    import jsonschema  # noqa: PLC0415 - 20 ms and 2 MiB of every start; few repositories have parameters

    schema = json.loads(library.parameters_schema().read_bytes())
    checker = jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker())
    found = sorted(checker.iter_errors(value), key=lambda each: each.json_path)
    for error in found:
        yield Fault(error.json_path.removeprefix("$").removeprefix("."), error.message, str(path))
    if not found:
        for index, window in enumerate(value.get("freezeWindows", [])):
            yield from _window_faults(window, f"freezeWindows[{index}]", str(path))
    if document.get("patchwright"):
        yield Fault("", "parameters are given twice; keep one parameters file", str(path))
    document["patchwright"] = {"parameters": value}


def _window_faults(window: Mapping[str, Any], field: str, source: str) -> Iterator[Fault]:
    """Find what the schema cannot: a zone or a date that does not exist would fail every decision later."""
    try:
        zoneinfo.ZoneInfo(window.get("timeZone", "UTC"))
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        yield Fault(f"{field}.timeZone", f"{window['timeZone']!r} is no IANA time zone", source)
    try:
        start, end = (datetime.fromisoformat(window.get(name, f"{year}-01-01T00:00:00Z")) for name, year in _ENDS)
    except ValueError as error:
        yield Fault(field, f"start or end is no date: {error}", source)
    else:
        if end <= start:
            yield Fault(f"{field}.end", "is not after start, so the window is never on", source)


def _plain(document: dict[str, Any], value: Any, path: PurePosixPath) -> Iterator[Fault]:
    for part in reversed(path.parts[:-1]):
        value = {part: value}
    for reserved in ("patchwright", "system"):
        if reserved in value:
            yield Fault(reserved, "data below this name belongs to Patchwright; use parameters.yaml", str(path))
            return
    yield from _merge(document, value, path, at=())


def _merge(
    into: dict[str, Any], value: Mapping[str, Any], path: PurePosixPath, *, at: tuple[str, ...]
) -> Iterator[Fault]:
    for key, item in value.items():
        held = into.setdefault(key, item)
        if held is item:
            continue
        if isinstance(held, dict) and isinstance(item, dict):
            yield from _merge(held, item, path, at=(*at, key))
        else:
            yield Fault(".".join((*at, key)), "is given by two data files; keep one of them", str(path))
