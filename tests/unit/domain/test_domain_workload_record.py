"""A workload's record survives the annotation, and what somebody garbled is told in words."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from patchwright.domain.annotation import RecordError
from patchwright.domain.workloads.record import ImageRecord, Mark, Part, decode, encode
from support.image_builders import OLD, TAGGED, WANTED, record

IMAGES = (
    ImageRecord("containers", "web", was=TAGGED, to=WANTED, digest=OLD),
    ImageRecord("volumes", "model", was="ghcr.io/acme/model:1", to=WANTED),
)
FULL = replace(
    record(Mark.REVERTING, images=IMAGES, failed=True, held=True, taken=True),
    revision="r-1",
    reason="PodCrashes",
    message="it crashes",
)


PART = Part(2, was='{"type":"RollingUpdate"}', to='{"type":"OnDelete"}')
PARTS = (record(Mark.SAMPLING, part=PART), record(Mark.SAMPLED, part=Part(1)), record(Mark.FAILED, part=PART))


@pytest.mark.parametrize("found", [FULL, record(Mark.APPLYING), record(Mark.DONE, wave=3), *PARTS])
def test_a_record_is_read_as_it_was_written(found: object) -> None:
    assert decode(encode(found)) == found  # type: ignore[arg-type]  # parametrized


def garbled(**changes: object) -> str:
    body = json.loads(encode(record(Mark.APPLYING)))
    body |= changes
    return json.dumps({key: value for key, value in body.items() if value is not None})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "it is not JSON"),
        ("[]", "it is not a state of version 1"),
        (garbled(v=2), "it is not a state of version 1"),
        ("x" * (129 * 1024), "longer|more than"),
        (garbled(mark="Draining"), "is not a valid Mark"),
        (garbled(wave=-1), "'wave' is not a whole number"),
        (garbled(wave=True), "'wave' is not a whole number"),
        (garbled(rollout=""), "'rollout' is not a text"),
        (garbled(since="2026-11-23T12:00:00"), "'since' has no time zone"),
        (garbled(since="0001-11-23T12:00:00+00:00"), "'since' is no time of ours"),
        (garbled(images=None), "the field 'images' is missing"),
        (garbled(images=[]), "'images' is no list of images"),
        (garbled(images={}), "'images' is no list of images"),
        (garbled(images=["web"]), "'images' is no list of images"),
        (garbled(images=[{"part": "containers", "name": "web"}]), "the field 'was' is missing"),
        (garbled(mark="Canary"), "the field 'part' is missing"),
        (garbled(part=[]), "'part' does not say how many pods"),
        (garbled(part={"pods": True}), "'part' does not say how many pods"),
        (garbled(part={"pods": 0}), "'part' does not say how many pods"),
        (garbled(part={"pods": 1, "was": "[]"}), "'part' holds an update strategy that is none"),
        (garbled(part={"pods": 1, "to": "["}), "Expecting value"),
        (garbled(part={"pods": 1, "to": "[" * 100_000}), "'part' holds an update strategy that is none"),
    ],
)
def test_what_cannot_be_read_is_told(text: str, said: str) -> None:
    with pytest.raises(RecordError, match=said):
        decode(text)
