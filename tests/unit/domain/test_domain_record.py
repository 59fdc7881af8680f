"""The annotation: what is written is read again, and what somebody wrote by hand is refused in words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from patchwright.domain.annotation import RecordError
from patchwright.domain.nodes.record import Mark, decode, encode
from support.builders import record


def body(**changes: Any) -> str:
    found = json.loads(encode(record(Mark.DRAINING)))
    return json.dumps({key: value for key, value in (found | changes).items() if value is not ...})


@pytest.mark.parametrize("mark", Mark)
def test_a_record_survives_being_written(mark: Mark) -> None:
    written = record(mark, wave=3, previous="old", reason="Because", message="it — said\nso")
    assert decode(encode(written)) == written


def test_an_empty_label_is_put_back_as_an_empty_label() -> None:
    assert decode(encode(record(Mark.DONE, previous=""))).previous == ""
    assert decode(encode(record(Mark.DONE, previous=None))).previous is None


def test_the_longest_message_that_we_write_can_be_read_again() -> None:
    longest = record(Mark.QUARANTINED, message="\U0001f525" * 400, rollout=f"{'n' * 63}/{'r' * 253}", previous="p" * 63)
    assert decode(encode(longest)) == longest


# Annotations edited by hand end in a named condition (issue 3), never in a crash of the whole rollout.
@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "not JSON", id="empty"),
        pytest.param("{", "not JSON", id="cut short"),
        pytest.param("[" * 5000, "not JSON", id="nested deeper than Python's stack"),
        pytest.param("x" * 9000, "9000 characters long", id="huge"),
        pytest.param("[]", "not a state of version 1", id="a list"),
        pytest.param('{"v": 2}', "not a state of version 1", id="a newer version"),
        pytest.param(body(rollout=...), "'rollout' is missing", id="a field is missing"),
        pytest.param(body(rolloutUid=7), "'rolloutUid' is not a text", id="a number for a text"),
        pytest.param(body(changeId=""), "'changeId' is not a text", id="an empty text"),
        pytest.param(body(mark="Resting"), "Resting", id="an unknown mark"),
        pytest.param(body(mark=[]), "[]", id="a list for a mark"),
        pytest.param(body(wave=-1), "'wave'", id="a negative wave"),
        pytest.param(body(wave=True), "'wave'", id="a truth for a wave"),
        pytest.param(body(wave=10**30), "'wave'", id="a wave that no status can hold"),
        pytest.param(body(wave="1"), "'wave'", id="a text for a wave"),
        pytest.param(body(since="yesterday"), "yesterday", id="no time"),
        pytest.param(body(since="2026-11-23T12:00:00"), "'since' has no time zone", id="a time without a zone"),
        pytest.param(body(startedAt="9999-12-31T23:59:59+00:00"), "'startedAt' is no time of ours", id="doomsday"),
    ],
)
def test_an_unreadable_annotation_is_refused_in_words(text: str, says: str) -> None:
    with pytest.raises(RecordError) as caught:
        decode(text)
    assert says in str(caught.value)


def test_only_a_true_truth_is_believed() -> None:
    found = decode(body(cordoned="yes", applied=1, failed=None))
    assert (found.cordoned, found.applied, found.failed) == (False, False, False)
