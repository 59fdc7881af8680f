"""Whole rollouts as transcripts: every sentence that an operator says is read here by people, and held still."""

from __future__ import annotations

from pathlib import Path

import pytest

from golden.image_stories import IMAGE_STORIES
from golden.stories import STORIES as NODE_STORIES
from patchwright.domain.state import TERMINAL
from support.simulator import transcript

HERE = Path(__file__).parent
STORIES = {**NODE_STORIES, **IMAGE_STORIES}
# As many lines as no story of six nodes has any use for.
BOUND = 150


@pytest.mark.parametrize("name", STORIES)
def test_the_story_is_told_as_it_always_was(name: str, request: pytest.FixtureRequest) -> None:
    title, scenario = STORIES[name]

    text, result = transcript.tell(title, scenario)

    assert all(state.phase in TERMINAL for state in result.states.values())
    assert not result.violations
    assert text.count("\n") < BOUND, "it says too much, or does the same again and again"
    path = HERE / f"{name}.golden"
    if request.config.getoption("--update-golden"):
        path.write_text(text)
    assert text == path.read_text(), "read the difference; if it is right, run pytest tests/golden --update-golden"


def test_every_transcript_belongs_to_a_story() -> None:
    assert {path.stem for path in HERE.glob("*.golden")} == set(STORIES)
