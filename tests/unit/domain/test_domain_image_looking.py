"""What is asked of a registry: little, best first, and more only while nothing can be chosen."""

from __future__ import annotations

from typing import Any

from patchwright.domain.images import knowledge, looking
from patchwright.domain.images.facts import Running, Scan
from patchwright.domain.images.failures import NONE, Failures
from patchwright.domain.images.imagepolicy import ImagePolicy
from patchwright.domain.images.knowledge import Knowledge, Look
from patchwright.domain.images.looking import Questions
from support.images import digest, remembered, running, semver
from support.look_builders import inside, learnt, look, minutes

HERE = inside("linux/amd64")


def asked(
    seen: Look,
    *runs: Running,
    policy: ImagePolicy | None = None,
    known: Knowledge = knowledge.NOTHING,
    memory: Failures = NONE,
) -> Questions:
    def recalled(_: Scan) -> Failures:
        return memory

    return looking.questions(known, seen, runs, policy=policy or semver(), memory=recalled, now=seen.at)


def tags(*names: str) -> Questions:
    return Questions(frozenset(names))


def contents(*names: str) -> Questions:
    return Questions(contents=frozenset(map(digest, names)))


def seen(*listed: str, minute: int = 0, contents: Any = None, **digests: Any) -> Look:
    """Give a look; ``v1_0_1`` is the tag 1.0.1."""
    found: dict[str, Any] = {name.removeprefix("v"): each for name, each in digests.items()}
    return look(minute, *listed, contents=contents, **found)


def test_the_newest_tags_are_asked_for_and_the_one_that_runs() -> None:
    listed = [f"1.0.{number}" for number in range(9)]
    assert asked(seen(*listed), running("1.0.0")) == tags("1.0.8", "1.0.7", "1.0.6", "1.0.0")


def test_of_what_would_be_chosen_it_is_asked_what_is_in_it() -> None:
    looked = seen(v1_0_0="1.0.0", v1_0_1="b")
    assert asked(looked, running("1.0.0")) == contents("b")
    described = seen(v1_0_0="1.0.0", v1_0_1="b", contents={digest("b"): HERE})
    assert asked(described, running("1.0.0")) == Questions()


def test_nothing_more_is_asked_when_nothing_is_newer() -> None:
    assert asked(seen(v1_0_0="1.0.0"), running("1.0.0")) == Questions()


def test_every_version_that_runs_is_asked_for() -> None:
    listed = ("1.0.0", "1.0.1", "2.0.0", "2.0.0-alpine")
    found = asked(seen(*listed), running("1.0.1"), running("2.0.0-alpine"), policy=semver("*"))
    assert found == tags("1.0.1", "2.0.0", "2.0.0-alpine")


def test_what_is_passed_over_lets_older_ones_be_asked_for_up_to_a_limit() -> None:
    listed = [f"1.0.{number}" for number in range(30)]
    known: dict[str, Any] = {}
    for _ in range(20):
        found = asked(seen(*listed, **known), running("1.0.0"), policy=semver(hours=72))
        if not found.tags:
            break
        known |= {f"v{tag.replace('.', '_')}": tag for tag in found.tags}
    assert len(known) == looking.LONGEST + 1
    assert "v1_0_18" in known


def test_what_failed_before_is_passed_over_too() -> None:
    listed = [f"1.0.{number}" for number in range(5)]
    known: dict[str, Any] = {f"v1_0_{number}": "bad" for number in (2, 3, 4)} | {"v1_0_0": "1.0.0"}
    assert asked(seen(*listed, **known), running("1.0.0"), memory=remembered("bad")) == tags("1.0.1")


def test_a_tag_that_is_chosen_from_memory_is_asked_for_again_first() -> None:
    young = [f"v1_0_{number}" for number in (2, 3, 4)]
    before = learnt(seen("1.0.0"), seen(v1_0_1="b", minute=1))
    newest: dict[str, Any] = dict.fromkeys(young, "c")
    looked = seen("1.0.1", minute=72 * 60 + 2, **newest, v1_0_0="1.0.0")
    assert asked(looked, running("1.0.0"), policy=semver(hours=72), known=before) == tags("1.0.1")


def test_where_what_runs_has_no_place_every_image_is_described() -> None:
    looked = seen(v1_0_0="a", v1_0_1="b", latest="z")
    assert asked(looked, running("latest", "amd")) == contents("a", "b", "z")
    described = seen(
        v1_0_0="a", v1_0_1="b", latest="z", contents={digest(n): inside(manifests=[n + "1"]) for n in "abz"}
    )
    assert asked(described, running("latest", "amd")) == Questions()


def test_platforms_are_asked_for_where_some_must_be_there() -> None:
    policy = semver(platforms=("linux/arm64",))
    assert asked(seen(v1_0_0="a", v1_0_1="b"), running("1.0.0", "a"), policy=policy) == contents("a", "b")


def test_a_policy_that_cannot_be_read_asks_nothing() -> None:
    assert asked(seen("1.0.0"), running("1.0.0"), policy=semver(">>1")) == Questions()


def test_an_image_that_nothing_runs_is_not_asked_about() -> None:
    assert asked(seen("1.0.0")) == Questions()
    assert minutes(0) == seen("1.0.0").at
