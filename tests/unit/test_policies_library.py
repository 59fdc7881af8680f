"""The shipped Rego: formatted, strict, typed, tested to the last line, described, and within what we allow others."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from patchwright.adapters.opa import library
from patchwright.adapters.opa.binary import OpaBinary
from support import opa_server

POLICIES = library.directory()
SEVERITIES = {"critical", "high", "medium", "low", "info"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [opa_server.opa_path(), *arguments], cwd=POLICIES, capture_output=True, text=True, check=False
    )


def described() -> list[dict[str, Any]]:
    found = json.loads(run("inspect", "--annotations", "--format=json", "patchwright").stdout)["annotations"]
    return [each["annotations"] | {"at": each["location"]["file"]} for each in found]


def test_it_is_formatted() -> None:
    done = run("fmt", "--list", "--fail", "patchwright")
    assert (done.returncode, done.stdout) == (0, "")


async def test_it_is_strict_typed_and_within_our_own_capabilities(tmp_path: Path) -> None:
    capabilities = tmp_path / "capabilities.json"
    capabilities.write_bytes(await OpaBinary(opa_server.opa_path()).capabilities(tmp_path))
    done = run("check", "--strict", "--schema=schemas/input.json", f"--capabilities={capabilities}", "--bundle", ".")
    assert done.returncode == 0, done.stderr


def test_its_tests_pass_and_cover_every_line() -> None:
    assert run("test", "--fail-on-empty", "--bundle", ".").returncode == 0
    done = run("test", "--fail-on-empty", "--coverage", "--threshold=100", "--format=json", "--bundle", ".")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_package_and_every_deny_rule_is_described() -> None:
    found = described()
    packages = [each for each in found if each["scope"] == "package"]
    modules = [path for path in POLICIES.glob("patchwright/**/*.rego") if not path.name.endswith("_test.rego")]
    assert len(packages) == len(modules)
    rules = [each for each in found if each["scope"] == "rule"]
    assert len(rules) == sum(path.read_text().count("\ndeny contains") for path in modules)
    for each in found:
        assert each["title"], each
        assert each["description"], each
        assert each["custom"]["severity"] in SEVERITIES, each
        assert each["custom"]["category"], each
    for each in packages:
        if "library" in each["at"]:
            assert each["related_resources"], each


def test_the_tests_of_the_library_use_a_whole_document() -> None:
    done = run("eval", "--format=json", "--bundle", ".", "data.patchwright.library.fixture_test.base")
    document = json.loads(done.stdout)["result"][0]["expressions"][0]["value"]
    jsonschema.validate(document, json.loads(library.input_schema().read_text()))


def test_the_schemas_are_schemas() -> None:
    for path in (library.input_schema(), library.parameters_schema()):
        jsonschema.Draft7Validator.check_schema(json.loads(path.read_text()))


def test_tests_and_the_default_package_are_no_part_of_the_library() -> None:
    names = sorted(library.modules())
    assert [Path(name).stem for name in names] == [
        "allowed_registries",
        "blast_radius",
        "canary_required",
        "freeze_windows",
        "minimum_image_age",
        "minimum_release_age",
        "pinned_versions",
        "protected_namespaces",
        "protected_nodes",
        "required_attestations",
        "signed_images",
    ]


def test_the_default_package_uses_every_rule_of_the_library() -> None:
    text = library.default_rollout().decode()
    for name in library.modules():
        assert f"library.{Path(name).stem}.deny" in text


def test_a_broken_installation_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patchwright.__file__", str(tmp_path / "patchwright" / "__init__.py"))
    library.directory.cache_clear()
    try:
        with pytest.raises(FileNotFoundError, match="install patchwright again"):
            library.directory()
    finally:
        library.directory.cache_clear()
