"""What is known of a repository from look to look: enough to choose by, whatever a bad moment shows, and no more."""

from __future__ import annotations

from datetime import timedelta

import pytest

from patchwright.domain.images import knowledge, platforms, recall
from patchwright.domain.images.content import Child, Image
from patchwright.domain.images.facts import TagFacts
from support.images import digest
from support.look_builders import fact, inside, learnt, look, minutes


def test_before_the_first_look_nothing_is_known() -> None:
    assert knowledge.facts(knowledge.NOTHING, "ghcr.io/acme/web") is None
    assert not knowledge.NOTHING.fresh("v1")


def test_only_tags_that_were_asked_for_are_remembered() -> None:
    known = learnt(look(0, "v1", "v2", v3="a"))
    assert set(known.tags) == {"v3"}
    assert known.listed == 3
    assert fact(known, "v3") == TagFacts("v3", digest("a"), first_seen=minutes(0))
    assert known.fresh("v3")


def test_a_tag_that_is_not_asked_for_again_is_not_fresh_any_more() -> None:
    known = learnt(look(0, v1="a"), look(1, "v1", v2="b"))
    assert not known.fresh("v1")
    assert known.fresh("v2")


def test_the_age_of_a_digest_counts_from_the_first_look_that_saw_it_under_this_tag() -> None:
    known = learnt(look(0, v1="a"), look(1, v1="a", v2="a"))
    assert [found.first_seen for tag in ("v1", "v2") if (found := fact(known, tag))] == [minutes(0), minutes(1)]
    assert known.since == minutes(0)


def test_a_tag_that_is_pushed_again_is_young_again_once_its_new_digest_counts() -> None:
    once = learnt(look(0, v1="a"), look(1, v1="b"))
    assert fact(once, "v1") == TagFacts("v1", digest("a"), first_seen=minutes(0), flapping=True)
    twice = knowledge.learn(once, look(2, v1="b"))
    assert fact(twice, "v1") == TagFacts("v1", digest("b"), first_seen=minutes(1))


def test_a_digest_that_comes_and_goes_flaps_and_what_counted_is_held() -> None:
    known = learnt(*(look(minute, v1=name) for minute, name in enumerate("abab")))
    assert fact(known, "v1") == TagFacts("v1", digest("a"), first_seen=minutes(0), flapping=True)


def test_a_tag_is_missing_after_one_look_without_it_and_gone_after_two() -> None:
    known = learnt(look(0, v1="a"), look(1, "v0"))
    assert fact(known, "v1") == TagFacts("v1", digest("a"), first_seen=minutes(0), missing=True)
    assert fact(knowledge.learn(known, look(2, "v0")), "v1") is None
    assert fact(knowledge.learn(known, look(2, v1="a")), "v1") == TagFacts("v1", digest("a"), first_seen=minutes(0))


def test_a_tag_that_is_listed_and_not_there_counts_as_missing_too() -> None:
    known = learnt(look(0, "v0", v1="a"), look(1, "v0", absent=["v1"]))
    assert fact(known, "v1") == TagFacts("v1", digest("a"), first_seen=minutes(0), missing=True)
    assert fact(knowledge.learn(known, look(2, "v0", absent=["v1"])), "v1") is None


def test_a_flapping_tag_that_is_missing_is_both() -> None:
    found = fact(learnt(look(0, v1="a"), look(1, v1="b"), look(2, "v0")), "v1")
    assert found is not None
    assert (found.missing, found.flapping) == (True, True)


def test_a_look_that_was_cut_short_takes_nothing_away_and_says_so() -> None:
    known = learnt(look(0, v1="a"), look(1, "v0", complete=False))
    found = knowledge.facts(known, "ghcr.io/acme/web")
    assert found is not None
    assert not found.complete
    assert found.tags == (TagFacts("v1", digest("a"), first_seen=minutes(0)),)


def test_the_first_complete_look_is_what_unknown_ages_count_from() -> None:
    known = learnt(look(0, "v1", complete=False), look(1, "v1"), look(2, "v1"))
    assert known.since == minutes(1)


def test_what_is_in_an_image_is_known_as_long_as_a_tag_names_it() -> None:
    here = inside("linux/amd64", manifests=["amd"])
    known = learnt(look(0, v1="a", contents={digest("a"): here}), look(1, v1="a"))
    assert fact(known, "v1") == TagFacts(
        "v1", digest("a"), first_seen=minutes(0), platforms=here.platforms, manifests=here.manifests
    )
    assert learnt(look(0, v1="a", contents={digest("b"): here})).contents == {}


def test_contents_are_what_the_registry_describes_but_for_the_image_itself() -> None:
    arm = Child(digest("arm"), platforms.parse("linux/arm64"))
    assert knowledge.contents(Image(digest("a"), (arm,))) == inside("linux/arm64", manifests=["arm"])


def test_there_is_room_for_so_many_tags_and_those_seen_last_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knowledge, "TAGS_KEPT", 2)
    known = learnt(look(0, v1="a", v2="b"), look(1, "v1", v2="b", v3="c"))
    assert set(known.tags) == set(known.sightings) == {"v2", "v3"}
    assert known.forgotten == 1


def test_there_is_room_for_so_many_manifests_and_those_of_the_tags_seen_last_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(knowledge, "MANIFESTS_KEPT", 3)
    one, two = inside(manifests=["1", "2"]), inside(manifests=["3", "4"])
    known = learnt(look(0, v1="a", contents={digest("a"): one}), look(1, "v1", v2="b", contents={digest("b"): two}))
    assert known.contents == {digest("b"): two}


def test_it_is_read_as_it_was_written() -> None:
    here = {digest("a"): inside("linux/amd64", manifests=["amd"])}
    for known in (knowledge.NOTHING, learnt(look(0, v1="a", contents=here), look(1, v1="b"), look(2, "v0"))):
        assert recall.decode(recall.encode(known)) == known


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not what an operator wrote (JSONDecodeError"),
        ("[]", "is not what an operator wrote (TypeError"),
        ("{}", "is not what an operator wrote (KeyError: 'version')"),
        ('{"version": 2}', "it is of version 2, and this operator reads 1"),
        (recall.encode(learnt(look(0, v1="a"))).replace("+00:00", ""), "has no time zone"),
        (recall.encode(learnt(look(0, v1="a"))).replace('"missed":0', '"missed":"x"'), "ValueError"),
    ],
)
def test_what_somebody_else_wrote_is_refused_and_said(text: str, words: str) -> None:
    with pytest.raises(recall.Unreadable) as refused:
        recall.decode(text)
    assert words in str(refused.value)


def test_ages_survive_a_whole_year_of_looks() -> None:
    known = learnt(look(0, v1="a"), look(365 * 24 * 60, v1="a"))
    found = fact(known, "v1")
    assert found is not None
    assert found.first_seen == minutes(0)
    assert minutes(365 * 24 * 60) - minutes(0) == timedelta(days=365)
