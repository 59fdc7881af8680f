"""Compiles a repository's Rego into a bundle: sorted, outlined, checked, type-checked, tested, packed.

Nothing is served that did not pass. OPA itself would keep the old bundle when a bad one arrives, and say so only in a
status that nobody reads.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from patchwright.adapters.opa import library, outline
from patchwright.adapters.opa.binary import OpaBinary, Output
from patchwright.adapters.opa.bundle import Bundle, pack
from patchwright.adapters.opa.sources import Sources, sort_sources
from patchwright.domain.policy import API_VERSION, DEFAULT_PACKAGE
from patchwright.errors import Fault, InvalidInput

_HELD: Final = ("--format=json", "--capabilities=capabilities.json")
_PREFIX: Final = "repository/"
_DEFAULT: Final = f"library/{library.DEFAULT_ROLLOUT}"


class BundleBuilder:
    """Builds bundles with the ``opa`` executable at ``opa``."""

    def __init__(self, opa: Path) -> None:
        self._opa = OpaBinary(opa)

    async def builtin(self) -> Bundle:
        """Give the bundle that is in force while no repository brings Rego: the library with its defaults."""
        return await self.build({}, library.BUILTIN_REVISION)

    async def build(self, files: Mapping[str, bytes], revision: str) -> Bundle:
        """Compile ``files`` (path in the Rego directory to content) of the commit ``revision``.

        The bundle holds the library, the parameters, the files without their tests, the default package
        ``patchwright.rollout`` unless the files bring their own, and one generated module through which decisions are
        asked. Raises ``InvalidInput`` (reason ``InvalidPolicy``) with ``file:line`` for each fault, and
        ``PolicyUnavailable`` if ``opa`` cannot be run.
        """
        sources = sort_sources(files)
        with tempfile.TemporaryDirectory(prefix="patchwright-policy-") as path:
            return await _Build(self._opa, Path(path), sources).run(revision)


class _Build:
    """One build in its own directory. We write every file ourselves, so there is no link to follow."""

    def __init__(self, opa: OpaBinary, directory: Path, sources: Sources) -> None:
        self._opa = opa
        self._directory = directory
        self._data = sources.data
        self._modules = _prefixed(sources.modules)
        self._tests = _prefixed(sources.tests)

    async def run(self, revision: str) -> Bundle:
        """Do all steps in order; the first that finds faults ends it, with all faults of that step."""
        (self._directory / "capabilities.json").write_bytes(await self._opa.capabilities(self._directory))
        modules = await self._outlined()
        deciding = [package for package in outline.packages(modules) if package.deny]
        files = self._contents(modules, deciding, revision=revision)
        await asyncio.to_thread(_write, self._directory / "bundle", {**files, **self._tests})
        await self._check("--strict", f"--schema={library.input_schema()}", "--bundle", "bundle")
        if self._tests:
            await self._test()
        roots = {"patchwright", *self._data, *(module.package.split(".")[0] for module in modules)}
        return pack(files, revision=revision, roots=sorted(roots), packages=[package.name for package in deciding])

    async def _outlined(self) -> list[outline.Module]:
        """Give the modules that decide: the repository's, and the default one if needed. All are looked at."""
        texts = {**self._modules, **self._tests, _DEFAULT: library.default_rollout(), **library.modules()}
        modules = await outline.read_outline(self._opa, texts, directory=self._directory)
        if modules is None:
            await asyncio.to_thread(_write, self._directory / "broken", {**self._modules, **self._tests})
            await self._check("broken")
            raise InvalidInput([Fault("", "the Rego cannot be parsed; run `opa check`")], reason="InvalidPolicy")
        written = [module for module in modules if module.file in self._modules or module.file in self._tests]
        read = [module for module in written if module.file not in self._tests]
        faults = outline.find_faults(written, texts)
        faults += outline.find_dangling(read, modules, given=_data_paths(self._data), files=texts)
        if faults:
            own = [replace(fault, source=fault.source.removeprefix(_PREFIX)) for fault in faults]
            raise InvalidInput(own, reason="InvalidPolicy")
        if any(module.package == DEFAULT_PACKAGE for module in read):
            return read
        return [*read, *(module for module in modules if module.file == _DEFAULT)]

    def _contents(
        self, modules: list[outline.Module], deciding: list[outline.Package], *, revision: str
    ) -> dict[str, bytes]:
        files = {
            **library.modules(),
            **self._modules,
            "data.json": json.dumps(self._data, sort_keys=True).encode(),
            "patchwright/meta.rego": _meta(deciding, revision).encode(),
        }
        if any(module.file == _DEFAULT for module in modules):
            files[_DEFAULT] = library.default_rollout()
        return files

    async def _check(self, *arguments: str) -> None:
        output = await self._opa.run(["check", "--max-errors=100", *_HELD, *arguments], directory=self._directory)
        if output.status != 0:
            raise InvalidInput(self._faults(output), reason="InvalidPolicy")

    async def _test(self) -> None:
        output = await self._opa.run(["test", *_HELD, "--bundle", "bundle"], directory=self._directory)
        if output.status != 0:
            raise InvalidInput(self._faults(output), reason="InvalidPolicy")

    def _faults(self, output: Output) -> list[Fault]:
        faults = _test_faults(output.json()) if isinstance(output.json(), list) else _check_faults(output.json())
        return [self._explained(fault) for fault in faults]

    def _explained(self, fault: Fault) -> Fault:
        function = fault.message.removeprefix("undefined function ")
        if not self._opa.refuses(function):
            return fault
        return replace(fault, message=f"{function} is not allowed: a decision must replay from its input alone")


def _prefixed(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Keep the repository's files apart from the library's, whatever they are called."""
    return {_PREFIX + name: text for name, text in files.items()}


def _data_paths(value: object, at: outline.DataPath = ()) -> Iterator[outline.DataPath]:
    """Give the paths of all leaves; parameters that are not set are known by name."""
    if at == ("patchwright", "parameters"):
        yield from ((*at, name) for name in library.parameter_names())
    elif isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _data_paths(item, (*at, str(key)))
    else:
        yield at


def _write(directory: Path, files: Mapping[str, bytes]) -> None:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)


def _meta(packages: Sequence[outline.Package], revision: str) -> str:
    """Give the module through which decisions are asked.

    It is there or it is not, whole: a package without it, a rule that went missing and an input of another version all
    make the answer undefined, which is an error and never "nothing to object to".
    """
    head = f"package patchwright.meta\n\nrevision := {json.dumps(revision)}\n"
    return head + "".join(_decision(package) for package in packages)


def _decision(package: outline.Package) -> str:
    kinds = (("deny", package.deny), ("warn", package.warn), ("exception", package.exception))
    fields = [f'"{kind}": {{{", ".join(_rule(package.name, rule) for rule in rules)}}}' for kind, rules in kinds]
    value = f'{{"revision": revision, {", ".join(fields)}}}'
    return f'\ndecision["{package.name}"] := {value} if input.apiVersion == "{API_VERSION}"\n'


def _rule(package: str, rule: str) -> str:
    path = "".join(f'["{part}"]' for part in [*package.split("."), rule])
    return f'"{rule}": data{path}'


def _check_faults(found: Mapping[str, Any]) -> Iterator[Fault]:
    for error in found.get("errors") or [{"message": "opa failed without saying why"}]:
        message = str(error["message"])
        yield Fault("", f"{message}{_alternatives(error)}", _source(error.get("location")))


def _alternatives(error: Mapping[str, Any]) -> str:
    """Name what could have been meant; ``details.oneOf`` of OPA's type checker."""
    names = (error.get("details") or {}).get("oneOf") or []
    return f" (there are: {', '.join(map(str, names))})" if names else ""


def _test_faults(found: Sequence[Mapping[str, Any]]) -> Iterator[Fault]:
    for case in found:
        if case.get("fail") or case.get("error"):
            name = f"{str(case['package']).removeprefix('data.')}.{case['name']}"
            why = (case.get("error") or {}).get("message", "the test fails")
            yield Fault(name, f"{why}; a policy with failing tests is not put in force", _source(case["location"]))


def _source(location: Mapping[str, Any] | None) -> str:
    if not location or not location.get("file"):
        return ""
    file = str(location["file"]).removeprefix("broken/").removeprefix("bundle/").removeprefix("/")
    return f"{file.removeprefix(_PREFIX)}:{location['row']}"
