"""kopf is told that there is nothing to compare, and believes it."""

from __future__ import annotations

import copy
from typing import Any

import kopf
import pytest

from patchwright.handlers import memoryless


class Uncopyable(dict[str, Any]):
    """Part of an object that must not be copied."""

    def __deepcopy__(self, memo: object) -> Uncopyable:
        raise AssertionError("the object is copied")


BODY = kopf.Body({"metadata": {"name": "n1"}, "spec": Uncopyable(unschedulable=True), "status": Uncopyable(images=[])})


def test_an_event_costs_no_copy_of_its_object() -> None:
    differences, progress = memoryless.NoDiffBase(), memoryless.NoProgress()
    essence = differences.build(body=BODY, extra_fields=[])
    assert progress.clear(essence=essence) is essence


def test_nothing_is_ever_stored_on_an_object() -> None:
    patch = kopf.Patch()
    memoryless.NoDiffBase().store(body=BODY, patch=patch, essence=BODY)
    progress = memoryless.NoProgress()
    progress.store(key="handler", record={}, body=BODY, patch=patch)
    progress.purge(key="handler", body=BODY, patch=patch)
    progress.touch(body=BODY, patch=patch, value="now")
    assert not patch


def test_kopf_s_own_way_does_copy() -> None:
    with pytest.raises(AssertionError, match="copied"):
        kopf.AnnotationsDiffBaseStorage().build(body=copy.copy(BODY))
