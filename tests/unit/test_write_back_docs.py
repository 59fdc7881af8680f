"""The page on images through Git: its example is valid, and every reason that code gives is on it."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from patchwright.api import parse

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "write-back.md").read_text(encoding="utf-8")


def test_its_example_is_valid() -> None:
    [block] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert list(parse.validate(yaml.safe_load(block), kinds=frozenset(parse.SPECS))) == []


def test_reasons_that_a_person_may_meet_are_told() -> None:
    reasons = {"WriteBackConflict", "RollbackConflict", "NotSynced", "PushRefused", "PullRequestClosed"}
    assert {reason for reason in reasons if f"`{reason}`" not in PAGE} == set()


def test_it_is_linked_from_the_pages_that_lead_to_it() -> None:
    for page in ("docs/workloads.md", "docs/architecture.md", "docs/spec/v1alpha1/patchpolicy.md"):
        assert "write-back.md" in (ROOT / page).read_text(encoding="utf-8"), page
