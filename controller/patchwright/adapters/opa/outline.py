"""What a repository's modules declare: packages, and the rules that decide.

Read with OPA's own parser (``rego.parse_module``), so that nothing here guesses at Rego's grammar.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from patchwright.adapters.opa.binary import OpaBinary
from patchwright.domain.policy import DEFAULT_PACKAGE
from patchwright.errors import Fault

# conftest's names, so that policies written for it are understood; see its engine's rule patterns.
DENY: Final = re.compile(r"(deny|violation)(_\w+)?")
WARN: Final = re.compile(r"warn(_\w+)?")
EXCEPTION: Final = re.compile(r"exception(_\w+)?")

PACKAGE: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)

_RESERVED: Final = ("patchwright.library", "patchwright.meta", "patchwright.parameters", "system")

_QUERY: Final = """
{file: module |
    some file, text in input
    ast := rego.parse_module(file, text)
    module := {
        "package": [part.value | some part in ast["package"].path],
        "rules": [rule |
            some each in object.get(ast, "rules", [])
            rule := {
                "name": each.head.ref[0].value,
                "set": is_set_rule(each),
            }
        ],
        "refs": references(ast),
    }
}
"""
_MODULE: Final = """package patchwright.outline
default is_set_rule(_) := false
is_set_rule(rule) if { rule.head.key; not rule.head.value; count(rule.head.ref) == 1 }

references(ast) := {path |
    names := {name: parts |
        some each in object.get(ast, "imports", [])
        parts := [part.value | some part in each.path.value]
        name := object.get(each, "alias", parts[count(parts) - 1])
    }
    walk(object.get(ast, "rules", []), [_, node])
    node.type == "ref"
    node.value[0].type == "var"
    base := object.get(names, node.value[0].value, [node.value[0].value])
    base[0] == "data"
    path := array.concat(base, [part.value |
        some i, part in node.value
        i > 0
        every j in numbers.range(1, i) { node.value[j].type == "string" }
    ])
}

modules := """


DataPath = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule's name, and whether it is a partial set (``deny contains …``)."""

    name: str
    is_set: bool


@dataclass(frozen=True, slots=True)
class Module:
    """One file: its path, its package, its rules, and what it reads below ``data`` (as far as the path is fixed)."""

    file: str
    package: str
    rules: tuple[Rule, ...]
    refs: tuple[DataPath, ...]


@dataclass(frozen=True, slots=True)
class Package:
    """The rules of one package that decide, by kind, sorted."""

    name: str
    deny: tuple[str, ...]
    warn: tuple[str, ...]
    exception: tuple[str, ...]


async def read_outline(opa: OpaBinary, files: Mapping[str, bytes], *, directory: Path) -> tuple[Module, ...] | None:
    """Give the modules of ``files`` in order of their paths; ``None`` if one of them does not parse."""
    if not files:
        return ()
    texts = {name: text.decode("utf-8", errors="replace") for name, text in files.items()}
    (directory / "outline.rego").write_text(_MODULE + _QUERY)
    (directory / "outline.json").write_text(json.dumps(texts))
    output = await opa.run(
        ["eval", "--format=json", "--data=outline.rego", "--input=outline.json", "data.patchwright.outline.modules"],
        directory=directory,
    )
    found = output.json()["result"][0]["expressions"][0]["value"]
    return tuple(_module(file, found[file]) for file in sorted(found)) if len(found) == len(texts) else None


def _module(file: str, found: Mapping[str, Any]) -> Module:
    rules = tuple(Rule(str(rule["name"]), bool(rule["set"])) for rule in found["rules"])
    refs = tuple(sorted(tuple(map(str, ref[1:])) for ref in found["refs"]))
    return Module(file, ".".join(map(str, found["package"][1:])), rules, refs)


def find_faults(modules: Sequence[Module], files: Mapping[str, bytes]) -> list[Fault]:
    """Find packages that are not the user's to write, and rules whose absence looks like their silence."""
    faults = [fault for module in modules for fault in (*_package_faults(module, files), *_rule_faults(module, files))]
    own = [package for package in packages(modules) if package.name == DEFAULT_PACKAGE]
    if own and not own[0].deny:
        source = next(module.file for module in modules if module.package == DEFAULT_PACKAGE)
        faults.append(
            Fault(DEFAULT_PACKAGE, "has no deny or violation rule, so it would decide nothing; add one", source)
        )
    return faults


def find_dangling(
    modules: Sequence[Module], served: Sequence[Module], *, given: Iterable[DataPath], files: Mapping[str, bytes]
) -> Iterator[Fault]:
    """Find what ``modules`` read below ``data`` that neither a rule of ``served`` nor the data (``given``) provides.

    OPA cannot tell: to it, data may come at any time. So ``library.freeze_window.deny`` without the last ``s`` would be
    undefined, and the rule over it would never fire, without a word.
    """
    rules = [(*module.package.split("."), rule.name) for module in served for rule in module.rules]
    known = [*rules, *given]
    for module in modules:
        for ref in module.refs:
            if not any(ref[: len(path)] == path[: len(ref)] for path in known):
                source = f"{module.file}:{_line_with(files[module.file], ref[-1])}"
                yield Fault(f"data.{'.'.join(ref)}", "no rule and no data file gives it; correct the name", source)


def packages(modules: Sequence[Module]) -> tuple[Package, ...]:
    """Give the packages with their deciding rules, sorted by name."""
    names = sorted({module.package for module in modules})
    return tuple(_package(name, [module for module in modules if module.package == name]) for name in names)


def _package(name: str, modules: Sequence[Module]) -> Package:
    rules = sorted({rule.name for module in modules for rule in module.rules})
    deny, warn, exception = (tuple(rule for rule in rules if kind.fullmatch(rule)) for kind in (DENY, WARN, EXCEPTION))
    return Package(name, deny, warn, exception)


def _package_faults(module: Module, files: Mapping[str, bytes]) -> Iterator[Fault]:
    source = f"{module.file}:{_line(files[module.file], 'package')}"
    for reserved in _RESERVED:
        if f"{module.package}.".startswith(f"{reserved}."):
            yield Fault(module.package, "belongs to Patchwright; give the package another name", source)
    if not PACKAGE.fullmatch(module.package):
        yield Fault(module.package, "is no plain package name; use letters, digits, _ and dots", source)


def _rule_faults(module: Module, files: Mapping[str, bytes]) -> Iterator[Fault]:
    for rule in module.rules:
        if not rule.is_set and any(kind.fullmatch(rule.name) for kind in (DENY, WARN, EXCEPTION)):
            # A complete rule is undefined when its body fails: no answer looks like "nothing to object to".
            source = f"{module.file}:{_line(files[module.file], rule.name)}"
            yield Fault(f"{module.package}.{rule.name}", f"must be a set: write `{rule.name} contains … if …`", source)


def _line_with(text: bytes, word: str) -> int:
    lines = text.decode("utf-8", errors="replace").splitlines()
    name = re.compile(rf"\b{re.escape(word)}\b")
    return next((number for number, line in enumerate(lines, 1) if name.search(line)), 1)


def _line(text: bytes, word: str) -> int:
    lines = text.decode("utf-8", errors="replace").splitlines()
    start = re.compile(rf"(default\s+)?{re.escape(word)}\b")
    return next((number for number, line in enumerate(lines, 1) if start.match(line)), 1)
