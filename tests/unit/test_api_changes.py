"""The identity of a change: the same for the same change, in this version and the next, and another for any other."""

from __future__ import annotations

import dataclasses
import re
from datetime import timedelta
from typing import Any

import pytest

from patchwright.domain import changes
from patchwright.domain.model import Reboot, ScriptChange, Step

CHANGE = ScriptChange("3.0.17", "registry.example/patch:v1", Step(("/patch",), ("a", "b"), (("K", "v"),)))


def test_a_change_keeps_its_identity_over_versions_of_patchwright() -> None:
    # Nodes are labelled with these, and failed changes remembered by them: they must never be computed differently.
    assert changes.change_id(CHANGE) == "4b7bdc8e1acac430"
    assert changes.change_id(ScriptChange("1", "i:1", Step())) == "edbf3af0cbfa4011"


def test_it_is_a_valid_value_of_a_label_and_never_the_word_that_opts_out() -> None:
    assert re.fullmatch("[0-9a-f]{16}", changes.change_id(CHANGE))


@pytest.mark.parametrize(
    "other",
    [
        {"version": "3.0.18"},
        {"image": "registry.example/patch:v2"},
        {"apply": Step(("/patch",), ("a b",), (("K", "v"),))},
        {"apply": Step(("/patch", "a"), ("b",), (("K", "v"),))},
        {"apply": Step(("/patch",), ("a", "b"), (("K", "w"),))},
        {"apply": dataclasses.replace(CHANGE.apply, timeout=timedelta(seconds=1))},
        {"apply": dataclasses.replace(CHANGE.apply, image="other:1")},
        {"prepare": Step()},
        {"verify": Step()},
        {"rollback": Step()},
        {"reboot": Reboot.ALWAYS},
        {"privileged": False},
        {"host_path": None},
        {"service_account": "x"},
    ],
    ids=str,
)
def test_whatever_is_different_gives_another_identity(other: dict[str, Any]) -> None:
    assert changes.change_id(dataclasses.replace(CHANGE, **other)) != changes.change_id(CHANGE)


def test_a_field_that_has_its_default_does_not_count() -> None:
    same = dataclasses.replace(CHANGE, reboot=Reboot.NEVER, privileged=True, host_path="/")
    assert changes.change_id(same) == changes.change_id(CHANGE)
