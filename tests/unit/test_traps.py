"""The pages on traps name tests that exist, several tiers deep, for every trap that is ours to step around."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NODES, IMAGES = "traps.md", "image-traps.md"


def rows_of(page: str) -> list[tuple[str, str]]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"^\| \*\*(4\.\d+)\*\* (.*) \|$", text, re.MULTILINE)


ROWS = [(page, *row) for page in (NODES, IMAGES) for row in rows_of(page)]
# The state that a package manager is left in belongs to package drivers.
ELSEWHERE = {"4.22"}


@cache
def functions_of(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    return frozenset(n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize(("page", "trap", "row"), ROWS, ids=[f"{page} {trap}" for page, trap, _ in ROWS])
def test_every_test_that_is_named_for_a_trap_exists(page: str, trap: str, row: str) -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", row)
    assert named, "a trap without a test will be fallen into"
    assert [f"{file}::{name}" for file, name in named if name not in functions_of(file)] == []


@pytest.mark.parametrize(("page", "last", "elsewhere"), [(NODES, 26, ELSEWHERE), (IMAGES, 30, set())])
def test_every_trap_has_a_row(page: str, last: int, elsewhere: set[str]) -> None:
    wanted = [f"4.{number}" for number in range(1, last + 1) if f"4.{number}" not in elsewhere]
    assert [trap for trap, _ in rows_of(page)] == wanted


@pytest.mark.parametrize("page", [NODES, IMAGES])
def test_the_document_is_found_from_the_readme(page: str) -> None:
    assert f"docs/{page}" in (ROOT / "README.md").read_text(encoding="utf-8")
