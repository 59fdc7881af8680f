"""The page on the choice of images names every field and every reason, and its examples are right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from patchwright.api import schema
from patchwright.api.patchpolicy import WorkloadTarget
from patchwright.domain.images import choice, proposals, pullrequests
from patchwright.domain.workloads import reversible
from support.api_images import Spec
from support.images import COPA, semver
from support.images import choose as choose_image
from support.images import chosen as chosen_tag

PAGE = (Path(__file__).parents[2] / "docs" / "image-choice.md").read_text(encoding="utf-8")


def test_every_field_is_named() -> None:
    named = set(re.findall(r"[A-Za-z]+", " ".join(re.findall(r"`([^`\n]+)`", PAGE))))
    entry = schema.structural(Spec)["properties"]["images"]["items"]["properties"]
    below = {name for field in entry.values() for name in field.get("properties", {})}
    assert set(entry) | below <= named


def test_every_example_is_valid() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        assert WorkloadTarget.model_validate({"selector": {}, **yaml.safe_load(block)}).images


def test_every_reason_is_told_with_its_verdict() -> None:
    sources = [
        Path(str(each.__file__)).read_text(encoding="utf-8") for each in (choice, pullrequests, proposals, reversible)
    ]
    written = set(re.findall(r'"([A-Z][a-z]+(?:[A-Z][a-z]+)*)"', "\n".join(sources))) - {"Update", "Wait", "Refused"}
    told = dict(re.findall(r"^\| (?:Update|UpToDate|Wait|Refused) \| `([A-Za-z]+)` \| (.+) \|$", PAGE, re.MULTILINE))
    assert set(told) == written
    assert all(told.values())


@pytest.mark.parametrize("runs", ["1.24.0", "1.24.0-patched", "1.24.0-patched-1", "1.24.0-patched-10"])
def test_the_order_of_patched_images_is_as_shown(runs: str) -> None:
    [line] = [line for line in PAGE.splitlines() if line.startswith("`1.24.0` <")]
    tags = re.findall("`([^`]+)`", line)
    following = tags[tags.index(runs) + 1]
    upto = tags[: tags.index(following) + 1]
    assert chosen_tag(choose_image(upto, runs, semver("1.24.x", patched_suffix=COPA))) == following
