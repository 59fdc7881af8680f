"""The examples in docs/health-checks.md are what the API takes."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from patchwright.api import parse
from patchwright.domain import expressions

TEXT = (Path(__file__).parents[2] / "docs" / "health-checks.md").read_text(encoding="utf-8")


def test_the_example_is_a_valid_policy_with_every_kind_of_check() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    document = yaml.safe_load(block)
    assert parse.validate(document) == []
    checks = document["spec"]["healthChecks"]
    assert {"workloads", "prometheus", "http", "object", "job"} <= {key for check in checks for key in check}


def test_every_expression_in_the_table_can_be_read() -> None:
    rows = re.findall(r"^\| `((?:condition|jsonpath)=[^`]+)`", TEXT, re.MULTILINE)
    assert len(rows) == 4
    for row in rows:
        expressions.parse(row)
