"""What becomes a bundle, and what is refused before it could be served."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from patchwright import errors
from patchwright.adapters import opa
from support import opa_server

DENY = 'package patchwright.rollout\n\ndeny contains "no" if input.stage == "wave"\n'


def contents(bundle: opa.Bundle) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(bundle.content), mode="r:gz") as archive:
        read = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        return {name: file.read() for name, file in read.items() if file is not None}


async def faults(files: dict[str, str]) -> list[str]:
    with pytest.raises(errors.InvalidInput) as refused:
        await opa_server.build(files)
    assert refused.value.reason == "InvalidPolicy"
    return [str(fault) for fault in refused.value.faults]


async def test_the_same_commit_gives_the_same_bytes() -> None:
    one = await opa_server.build({"a.rego": DENY, "b.rego": "package acme.helper\n\nx := 1\n"})
    other = await opa_server.build({"b.rego": "package acme.helper\n\nx := 1\n", "a.rego": DENY})
    assert one == other
    assert gzip.decompress(one.content)
    assert one != await opa_server.build({"a.rego": DENY}, "r2")


async def test_without_rego_the_library_decides_as_builtin() -> None:
    bundle = await opa.BundleBuilder(opa_server.opa_path()).builtin()
    assert bundle.revision == opa.BUILTIN_REVISION
    assert bundle.packages == ("patchwright.rollout",)
    assert json.loads(contents(bundle)["data.json"]) == {"patchwright": {"parameters": {}}}
    assert json.loads(contents(bundle)[".manifest"]) == {
        "revision": opa.BUILTIN_REVISION,
        "rego_version": 1,
        "roots": ["patchwright"],
    }


async def test_a_repository_replaces_the_default_package_and_keeps_the_library() -> None:
    files = contents(await opa_server.build({"a.rego": DENY}))
    assert "library/patchwright/rollout.rego" not in files
    assert "patchwright/library/freeze_windows.rego" in files


async def test_a_repository_without_that_package_keeps_the_default_one() -> None:
    bundle = await opa_server.build({"a.rego": DENY.replace("patchwright.rollout", "acme.nodes")})
    assert bundle.packages == ("acme.nodes", "patchwright.rollout")
    assert bundle.roots == ("acme", "patchwright")


async def test_tests_are_run_and_not_served() -> None:
    test = "package acme_test\n\ntest_a if data.patchwright.rollout.deny with input as {}\n"
    files = contents(await opa_server.build({"a.rego": DENY, "a_test.rego": test}))
    assert [name for name in files if name.endswith("_test.rego")] == []


async def test_parameters_and_data_are_served() -> None:
    files = {
        "parameters.yaml": "blastRadius: {maxWaveCount: 3}\n",
        "a.rego": DENY,
        "acme/data.yaml": "day: '2026-12-24'",
    }
    bundle = await opa_server.build(files)
    assert json.loads(contents(bundle)["data.json"]) == {
        "patchwright": {"parameters": {"blastRadius": {"maxWaveCount": 3}}},
        "acme": {"day": "2026-12-24"},
    }
    assert bundle.roots == ("acme", "patchwright")


@pytest.mark.parametrize(
    ("rego", "fault"),
    [
        ('deny contains "x" if input.rollout.chnge.version == "1"', "x.rego:3: undefined ref: input.rollout.chnge"),
        ('deny contains "x" if input.stage =', "x.rego:"),
        ('deny contains "x" if true\n\nunused(a) := 1', "x.rego:5: unused argument a"),
        ('deny := "x" if input.stage == "wave"', "x.rego:3: patchwright.rollout.deny: must be a set"),
        ('default deny := "x"', "x.rego:3: patchwright.rollout.deny: must be a set"),
        ('deny.a contains "x"', "x.rego:3: patchwright.rollout.deny: must be a set"),
        ('warn contains "x"', "x.rego: patchwright.rollout: has no deny or violation rule"),
        ("denied := 1", "x.rego: patchwright.rollout: has no deny or violation rule"),
        ('deny contains http.send({"url": "http://x", "method": "get"})', "x.rego:3: http.send is not allowed"),
        ("deny contains opa.runtime()", "x.rego:3: opa.runtime is not allowed"),
        ('deny contains net.lookup_ip_addr("x")', "x.rego:3: net.lookup_ip_addr is not allowed"),
        ('deny contains rego.parse_module("x", "y")', "x.rego:3: rego.parse_module is not allowed"),
        ('deny contains "x" if trace("y")', "x.rego:3: trace is not allowed"),
        ('deny contains "x" if time.now_ns() > 0', "x.rego:3: time.now_ns is not allowed"),
        ('deny contains "x" if rand.intn("a", 2) > 0', "x.rego:3: rand.intn is not allowed"),
        ('deny contains uuid.rfc4122("a")', "x.rego:3: uuid.rfc4122 is not allowed"),
        ('deny contains "x" if json.match_schema({}, {})[0]', "x.rego:3: json.match_schema is not allowed"),
        ('deny contains "x" if data.patchwright.foo', "x.rego:3: data.patchwright.foo: no rule and no data file"),
        ('deny contains "x" if data.acme[input.stage]', "x.rego:3: data.acme: no rule and no data file"),
        (
            'deny contains "x" if data.patchwright.parameters.days',
            "x.rego:3: data.patchwright.parameters.days: no rule",
        ),
        ("deny contains x if some x in data.patchwright.library.freeze_window.deny", "x.rego:3: data.patchwright.lib"),
        ('deny contains "x" if data.patchwright.rollout.deny_b\ndeny_b contains "x" if deny', "x.rego:3: "),
    ],
)
async def test_a_bad_rule_is_refused_where_it_stands(rego: str, fault: str) -> None:
    found = await faults({"x.rego": f"package patchwright.rollout\n\n{rego}\n"})
    assert any(each.startswith(fault) for each in found), found


@pytest.mark.parametrize(
    "package",
    ["system.authz", "system", "patchwright.library.mine", "patchwright.meta", "patchwright.parameters"],
)
async def test_our_packages_are_not_the_users_to_write(package: str) -> None:
    found = await faults({"x.rego": f"package {package}\n\ndefault allow := true\n"})
    assert found == [f"x.rego:1: {package}: belongs to Patchwright; give the package another name"]


async def test_a_package_that_has_a_dot_in_its_name_is_refused() -> None:
    found = await faults({"x.rego": 'package acme["a-b"]\n\ndeny contains "x" if input.stage == "wave"\n'})
    assert found == ["x.rego:1: acme.a-b: is no plain package name; use letters, digits, _ and dots"]


async def test_a_misspelt_import_is_refused() -> None:
    rego = "package acme\n\nimport data.patchwright.library as lib\n\ndeny contains x if some x in lib.freeze.deny\n"
    found = await faults({"x.rego": rego})
    assert found == [
        "x.rego:5: data.patchwright.library.freeze.deny: no rule and no data file gives it; correct the name"
    ]


async def test_what_is_there_may_be_read() -> None:
    rego = """package patchwright.rollout

import data.acme.helper
import data.patchwright.library

deny contains violation if some violation in library.freeze_windows.deny

deny contains "a" if helper.bad

deny contains "b" if data.patchwright.parameters.custom.fine

deny contains "c" if data.lists[input.stage]
"""
    files = {
        "x.rego": rego,
        "helper.rego": 'package acme.helper\n\nbad if input.stage == "wave"\n',
        "lists/data.yaml": "canary: true",
    }
    assert (await opa_server.build(files)).packages == ("patchwright.rollout",)


async def test_a_failing_test_keeps_the_policy_out() -> None:
    test = 'package acme_test\n\ntest_a if count(data.patchwright.rollout.deny) == 1 with input as {"stage": "start"}\n'
    found = await faults({"a.rego": DENY, "a_test.rego": test})
    assert found == ["a_test.rego:3: acme_test.test_a: the test fails; a policy with failing tests is not put in force"]


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("../x.rego", "", "../x.rego: the path leaves the Rego directory"),
        ("/etc/x.rego", "", "/etc/x.rego: the path leaves the Rego directory"),
        ("a//x.rego", "", "a//x.rego: the path leaves the Rego directory"),
        ("a/freeze.yaml", "a: 1", "a/freeze.yaml: OPA would ignore this file"),
        ("parameters.yaml", "blastRadus: {}", "parameters.yaml: Additional properties"),
        ("parameters.yaml", "blastRadius: {maxWaveCount: 0}", "parameters.yaml: blastRadius.maxWaveCount: 0 is less"),
        ("parameters.yaml", "freezeWindows: [{name: x}]", "parameters.yaml: freezeWindows[0]: "),
        (
            "parameters.yaml",
            "freezeWindows: [{name: x, weekdays: [Mon], from: '00:00', to: '01:00', timeZone: Europe/Berln}]",
            "parameters.yaml: freezeWindows[0].timeZone: 'Europe/Berln' is no IANA time zone",
        ),
        (
            "parameters.yaml",
            "freezeWindows: [{name: x, start: '2026-13-01T00:00:00Z', end: '2026-12-01T00:00:00Z'}]",
            "parameters.yaml: freezeWindows[0]: start or end is no date",
        ),
        (
            "parameters.yaml",
            "freezeWindows: [{name: x, start: '2026-12-01T00:00:00Z', end: '2026-12-01T00:00:00Z'}]",
            "parameters.yaml: freezeWindows[0].end: is not after start",
        ),
        ("parameters.yaml", "- a", "parameters.yaml: must hold a mapping at its top"),
        ("data.yaml", "", "data.yaml: must hold a mapping at its top"),
        ("data.yaml", "a: 1\n---\nb: 2", "data.yaml:2: more than 1 document"),
        ("data.yaml", "a: &x [1]\nb: *x", "data.yaml:2: b: anchors and aliases are not accepted"),
        ("data.yaml", "a: 1\na: 2", "data.yaml:2: a: the key is given twice, first on line 1"),
        ("data.yaml", "1: 2", "data.yaml:1: the key '1' is not a string; quote it"),
        ("data.yaml", "a: [2026-12-24, on]", "data.yaml:1: a[1]: unquoted 'on' is a boolean to some readers; quote it"),
        ("data.yaml", "day: 2026-12-24", "data.yaml:1: day: unquoted '2026-12-24' is a date to some readers; quote it"),
        ("data.yaml", "[" * 2000, "data.yaml:1: nested more than 32 levels deep"),
        (
            "data.yaml",
            "a: !!python/name:os.system x",
            "data.yaml:1: a: the tag 'tag:yaml.org,2002:python/name:os.system'",
        ),
        ("data.yaml", "patchwright: {parameters: {}}", "data.yaml: patchwright: data below this name belongs"),
        ("system/data.yaml", "log: {}", "system/data.yaml: system: data below this name belongs"),
        ("big.rego", "#" * 1_100_000, "big.rego: the file is larger than 1048576 bytes"),
    ],
)
async def test_a_bad_file_is_refused_by_name(name: str, text: str, fault: str) -> None:
    found = await faults({name: text})
    assert any(each.startswith(fault) for each in found), found


async def test_data_that_two_files_give_is_refused() -> None:
    found = await faults({"acme/data.json": '{"a": 1}', "data.yaml": "acme: {a: 2}"})
    assert found == ["data.yaml: acme.a: is given by two data files; keep one of them"]


async def test_too_many_files_are_refused() -> None:
    found = await faults({f"a{number}.rego": "" for number in range(1001)})
    assert found == ["1001 files are more than the 1000 that a policy may have; narrow rego.path"]


async def test_every_fault_is_told_at_once() -> None:
    found = await faults({"x.rego": DENY + 'deny contains "y" if input.foo\ndeny contains "z" if input.bar\n'})
    assert [each.partition(" (")[0] for each in found] == [
        "x.rego:4: undefined ref: input.foo",
        "x.rego:5: undefined ref: input.bar",
    ]


async def test_without_opa_a_bundle_is_not_built(tmp_path: Path) -> None:
    with pytest.raises(errors.PolicyUnavailable, match="cannot be started"):
        await opa.BundleBuilder(tmp_path / "opa").builtin()


async def test_an_opa_that_says_nothing_useful_is_an_error(tmp_path: Path) -> None:
    broken = tmp_path / "opa"
    broken.write_text("#!/bin/sh\necho out of cheese >&2\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(errors.PolicyUnavailable, match="status 3 and without JSON: out of cheese"):
        await opa.BundleBuilder(broken).builtin()


async def test_an_opa_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patchwright.adapters.opa.binary.TIMEOUT_SECONDS", 0.2)
    broken = tmp_path / "opa"
    broken.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    broken.chmod(0o755)
    with pytest.raises(errors.PolicyUnavailable, match="did not end within"):
        await opa.BundleBuilder(broken).builtin()
    pid = int(await asyncio.to_thread((tmp_path / "pid").read_text))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
