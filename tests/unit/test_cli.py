"""The command: what it tells of its subcommands, and what it leaves alone until it is asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from click import testing

import patchwright
from patchwright.cli.main import main

# What an operator has no use for took memory and time of each, 13 MiB in all.
UNWANTED = {"cryptography", "jsonschema", "rich", "sigstore", "patchwright.demo", "patchwright.sandbox"}
OPERATOR = """
import sys, click
from patchwright.cli.main import main
main.get_command(click.Context(main), "operator")
print(*sys.modules)
"""


def test_help_names_every_subcommand() -> None:
    said = testing.CliRunner().invoke(main, ["--help"])
    assert said.exit_code == 0
    listed = said.output.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in listed] == ["crds", "demo", "operator", "sandbox"]


def test_a_misspelt_subcommand_is_answered_with_the_one_that_is_meant() -> None:
    said = testing.CliRunner().invoke(main, ["operatr"])
    assert (said.exit_code, "Did you mean 'operator'?" in said.output) == (2, True)


def test_an_operator_imports_neither_the_sandbox_nor_what_few_repositories_need() -> None:
    environment = {"PYTHONPATH": str(Path(patchwright.__file__).parents[1])}
    command = [sys.executable, "-c", OPERATOR]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    modules = run.stdout.split()
    assert "patchwright.handlers.operator" in modules
    assert UNWANTED.isdisjoint(modules)
