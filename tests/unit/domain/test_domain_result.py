"""Termination messages: what a container may write there is never an error."""

from __future__ import annotations

import pytest

from patchwright.domain.nodes.result import LONGEST, StepResult, parse


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        pytest.param(None, StepResult(), id="nothing"),
        pytest.param("", StepResult(), id="empty"),
        pytest.param("all  good\n", StepResult(message="all good"), id="plain words"),
        pytest.param('{"version": "3.0.17"}', StepResult("3.0.17"), id="a version"),
        pytest.param('{"message": "installed\\n4"}', StepResult(message="installed 4"), id="one line"),
        pytest.param('{"version": 3, "message": 4}', StepResult(), id="of the wrong types"),
        pytest.param('{"version": ""}', StepResult(), id="an empty version says nothing"),
        pytest.param("[1]", StepResult(message="[1]"), id="JSON but no object"),
        pytest.param("[" * 100_000, StepResult(message="[" * (LONGEST - 1) + "…"), id="nested beyond the stack"),
        pytest.param(
            '{"message": "\\ud800\\u001b[31mred"}', StepResult(message="[31mred"), id="half a character, colours"
        ),
    ],
)
def test_a_termination_message_is_read(text: str | None, wanted: StepResult) -> None:
    assert parse(text) == wanted


# kured#976: "the command is missing" was taken for yes, and nodes rebooted for two days (nodes.md 4.21).
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{"rebootRequired": true}', True),
        ('{"rebootRequired": false}', False),
        ('{"rebootRequired": null}', None),
        ('{"rebootRequired": "true"}', None),
        ('{"rebootRequired": 1}', None),
        ("sh: needs-restarting: not found", None),
    ],
)
def test_whether_a_reboot_is_needed_has_three_answers(text: str, wanted: bool | None) -> None:
    assert parse(text).reboot_required is wanted
