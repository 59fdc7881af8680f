"""The identity of a change, what a policy remembers of it, and the marks on Jobs (L9)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from patchwright.domain import changes, memory
from patchwright.domain.memory import FAILED_KEPT, FailedChange
from patchwright.domain.model import Reboot, ScriptChange, Step
from patchwright.domain.nodes import labels
from support.builders import NOW, VERIFIED, change


def failed(number: int, message: str = "exit code 1") -> FailedChange:
    return FailedChange(f"c{number}", "3.0.17", "ops/openssl", "CanaryFailed", message, NOW)


# --- identity ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        change(version="3.0.18"),
        change(image="registry.example/patch@sha256:2"),
        change(apply=Step(command=("/bin/sh",), args=("-x",))),
        change(apply=Step(command=("/bin/sh",), env=(("A", "1"),))),
        change(apply=Step(command=("/bin/sh",), timeout=timedelta(seconds=9))),
        change(verify=VERIFIED),
        change(rollback=None),
        change(reboot=Reboot.ALWAYS),
        change(privileged=False),
    ],
)
def test_whatever_a_person_changes_may_be_what_makes_it_work(other: ScriptChange) -> None:
    assert changes.change_id(other) != changes.change_id(change())


def test_the_identity_is_the_same_in_every_process_and_fit_for_a_label() -> None:
    found = changes.change_id(ScriptChange("1", "img@sha256:0", Step()))
    assert found == "9883df5719719bf4", "or every node would look unpatched after an upgrade of the operator"
    assert len(found) == changes.LENGTH
    assert found == changes.change_id(ScriptChange("1", "img@sha256:0", Step(), reboot=Reboot.NEVER, privileged=True))


# --- memory -----------------------------------------------------------------------------------------------------------


def test_a_change_that_failed_again_is_remembered_once_with_its_latest_words() -> None:
    known = memory.remember((failed(1), failed(2)), failed(2, "exit code 2"))
    assert known == (failed(2, "exit code 2"), failed(1))


def test_only_so_many_are_remembered_and_the_oldest_go() -> None:
    known: tuple[FailedChange, ...] = ()
    for number in range(FAILED_KEPT + 5):
        known = memory.remember(known, failed(number))
    assert len(known) == FAILED_KEPT
    assert memory.recall(known, "c4") is None
    assert memory.recall(known, "c5") == failed(5)


def test_a_person_may_have_a_change_forgotten() -> None:
    assert memory.forget((failed(1), failed(2)), "c1") == (failed(2),)
    assert memory.forget((failed(1),), "other") == (failed(1),)


# --- labels -----------------------------------------------------------------------------------------------------------


def test_a_name_that_fits_is_its_own_label() -> None:
    assert labels.value("n" * 63) == "n" * 63


def test_a_longer_name_is_cut_told_apart_and_still_a_legal_label() -> None:
    one, two = labels.value("a" * 51 + "." + "b" * 50), labels.value("a" * 51 + "." + "c" * 50)
    assert one != two
    assert len(one) <= 63
    assert one[0].isalnum()
    assert one[-1].isalnum()
    assert ".-" not in one
