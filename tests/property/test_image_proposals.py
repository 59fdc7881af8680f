"""Whatever a registry shows and whatever has happened: nothing older is proposed, nothing bad again, nothing twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from patchwright.domain.changes import change_id
from patchwright.domain.images import failures, knowledge, looking, proposals, recall
from patchwright.domain.images.content import Listing
from patchwright.domain.images.facts import TagFacts
from patchwright.domain.images.knowledge import Knowledge, Look
from patchwright.domain.images.proposals import Past, Situation
from patchwright.domain.memory import FailedChange
from patchwright.domain.model import ImagesChange
from patchwright.domain.state import Phase
from support.builders import NOW
from support.image_builders import REPOSITORY
from support.images import digest, semver
from support.look_builders import failed, following, past, scan, sight, workload

VERSIONS = [f"1.{number}.0" for number in range(6)]
versions = st.sampled_from(VERSIONS)


@st.composite
def tags(draw: st.DrawFn) -> list[TagFacts]:
    """Give tags that are steady, or missing, or flap; some name the same image."""
    found = draw(st.lists(versions, unique=True, max_size=6))
    return [
        TagFacts(
            tag,
            digest(draw(versions)) if draw(st.booleans()) else digest(tag),
            missing=draw(st.integers(0, 5)) == 0,
            flapping=draw(st.integers(0, 5)) == 0,
        )
        for tag in found
    ]


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    runs = draw(st.lists(versions, min_size=1, max_size=3))
    made = [workload(tag, f"web-{number}") for number, tag in enumerate(runs)]
    rollouts = draw(st.lists(st.tuples(versions, st.sampled_from(list(Phase)), st.booleans()), max_size=4))
    return Situation(
        following(suspend=draw(st.booleans()) and draw(st.booleans())),
        (sight(replace(scan(*draw(tags())), complete=draw(st.integers(0, 9)) > 0), *made),),
        NOW,
        past=tuple(
            replace(past(tag, phase), name=f"web-{n}", ours=ours) for n, (tag, phase, ours) in enumerate(rollouts)
        ),
        taken=frozenset(f"web-{number}" for number in range(len(rollouts))),
        failed=tuple(failed(tag) for tag in draw(st.lists(versions, unique=True, max_size=4))),
    )


@given(situations())
def test_what_is_proposed_is_newer_than_all_that_it_replaces(situation: Situation) -> None:
    proposal = proposals.look_ahead(situation).proposal
    if proposal is None:
        return
    pin = proposal.pin
    assert pin.replaces
    assert all(VERSIONS.index(tag) < VERSIONS.index(pin.tag or "") for tag in pin.replaces)


@given(situations())
def test_nothing_that_failed_and_nothing_unsteady_is_proposed(situation: Situation) -> None:
    proposal = proposals.look_ahead(situation).proposal
    if proposal is None:
        return
    scan_ = situation.sights[0].scan
    assert scan_ is not None
    assert scan_.complete
    fact = next(each for each in scan_.tags if each.tag == proposal.pin.tag)
    assert (fact.missing, fact.flapping) == (False, False)
    assert fact.digest == proposal.pin.digest
    identity = change_id(ImagesChange((proposal.pin,)))
    assert identity not in {one.change_id for one in situation.failed}
    assert len(situation.failed) < proposals.IN_A_ROW or any(one.phase is Phase.SUCCEEDED for one in situation.past)


@given(situations())
def test_what_was_proposed_is_not_proposed_again_while_it_exists(situation: Situation) -> None:
    proposal = proposals.look_ahead(situation).proposal
    if proposal is None:
        return
    identity = change_id(ImagesChange((proposal.pin,)))
    for phase in (Phase.PENDING, Phase.PAUSED, Phase.ROLLED_BACK, Phase.DENIED, Phase.FAILED):
        now = Past(proposal.name, identity, (proposal.pin,), phase, ours=True)
        after = replace(situation, past=(*situation.past, now), taken=situation.taken | {proposal.name})
        again = proposals.look_ahead(after).proposal
        assert again is None or change_id(ImagesChange((again.pin,))) != identity
        if phase is Phase.PAUSED:
            assert again is None or again.pin.tag != proposal.pin.tag


@given(situations())
def test_one_sentence_is_said_of_every_image_and_the_same_twice(situation: Situation) -> None:
    found = proposals.look_ahead(situation)
    assert [state.image for state in found.images] == [REPOSITORY]
    assert found.images[0].message
    assert found == proposals.look_ahead(situation)


@given(situations(), st.lists(versions, max_size=3))
def test_three_failures_stop_every_proposal_whatever_else_there_is(situation: Situation, more: list[str]) -> None:
    bad: list[FailedChange] = [failed(f"0.{number}.0", hours=-number - 1) for number in range(3)]
    assert proposals.look_ahead(replace(situation, failed=(*bad, *map(failed, more)))).proposal is None


# --- looks ------------------------------------------------------------------------------------------------------------

steps = st.lists(
    st.tuples(st.lists(versions, unique=True, max_size=6), st.booleans(), st.dictionaries(versions, versions)),
    max_size=8,
)


def learnt(taken: list[tuple[list[str], bool, dict[str, str]]]) -> Knowledge:
    known = knowledge.NOTHING
    for minute, (listed, complete, digests) in enumerate(taken):
        at = NOW + timedelta(minutes=minute)
        asked = {tag: digest(name) for tag, name in digests.items() if tag in listed}
        known = knowledge.learn(known, Look(at, Listing(tuple(listed), complete=complete), asked))
    return known


@given(steps)
def test_what_is_known_is_read_as_it_was_written(taken: list[tuple[list[str], bool, dict[str, str]]]) -> None:
    known = learnt(taken)
    assert recall.decode(recall.encode(known)) == known


@given(steps)
def test_every_tag_that_is_remembered_has_an_age_that_never_grows_younger_by_itself(
    taken: list[tuple[list[str], bool, dict[str, str]]],
) -> None:
    known = learnt(taken)
    found = knowledge.facts(known, REPOSITORY)
    for fact in found.tags if found else ():
        assert fact.first_seen is not None
        assert known.at is not None
        assert fact.first_seen <= known.at


@given(steps, st.lists(versions, unique=True), versions)
def test_questions_come_to_an_end_and_are_about_what_is_listed(
    taken: list[tuple[list[str], bool, dict[str, str]]], listed: list[str], runs: str
) -> None:
    known, look = learnt(taken), Look(NOW + timedelta(days=1), Listing(tuple(listed)))
    running = [workload(runs).view]
    uses = [sight(None, workload(runs)).usage.running[0] for _ in running]
    for _ in range(12):
        asked = looking.questions(known, look, uses, policy=semver(), memory=lambda _: failures.NONE, now=look.at)
        if not (asked.tags or asked.contents):
            break
        assert asked.tags <= set(listed)
        here = {each: knowledge.Contents(frozenset(), frozenset()) for each in asked.contents}
        look = replace(
            look,
            digests={**look.digests, **{tag: digest(tag) for tag in asked.tags}},
            contents={**look.contents, **here},
        )
    else:
        raise AssertionError("questions without end")
