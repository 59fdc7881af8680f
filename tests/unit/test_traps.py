"""docs/traps.md names tests that exist, several tiers deep, for every trap that is ours to step around."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = re.findall(
    r"^\| \*\*(4\.\d+)\*\* (.*) \|$", (ROOT / "docs" / "traps.md").read_text(encoding="utf-8"), re.MULTILINE
)
# The state that a package manager is left in belongs to package drivers.
ELSEWHERE = {"4.22"}


@cache
def functions_of(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    return frozenset(n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize(("trap", "row"), ROWS, ids=[trap for trap, _ in ROWS])
def test_every_test_that_is_named_for_a_trap_exists(trap: str, row: str) -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", row)
    assert named, "a trap without a test will be fallen into"
    assert [f"{file}::{name}" for file, name in named if name not in functions_of(file)] == []


def test_every_trap_has_a_row() -> None:
    wanted = {f"4.{number}" for number in range(1, 27)} - ELSEWHERE
    assert wanted <= {trap for trap, _ in ROWS}


def test_the_document_is_found_from_the_readme() -> None:
    assert "docs/traps.md" in (ROOT / "README.md").read_text(encoding="utf-8")
