"""Whatever a registry shows: nothing goes back, nothing that failed is tried again, and no fault is an update."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from random import Random

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from patchwright.domain import semver
from patchwright.domain.images import choice, ordering, urgency
from patchwright.domain.images.choice import Candidate, Choice, Verdict
from patchwright.domain.images.facts import Container, Running, Scan, TagFacts
from patchwright.domain.images.failures import NONE, Failures, Streak
from patchwright.domain.images.imagepolicy import (
    AgeBehaviour,
    Alphabetical,
    Digest,
    DigestReflection,
    Direction,
    ImagePolicy,
    Numerical,
    Order,
    SemVer,
    TagFilter,
)
from patchwright.domain.images.urgency import Pertinence, Report, Severity, Update, Vulnerability
from support.builders import NOW, ago
from support.images import CART, COPA, IMAGE, WEB, digest, failed

SETTINGS = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
HOUR = timedelta(hours=1)
# From the oldest to the newest, as a person would put them.
LADDER = [
    "1.3.9", "1.4.0", "1.4.0-patched", "1.4.0-patched-1", "1.4.0-patched-2", "1.4.1", "1.4.2", "1.4.10", "1.5.0-rc.1",
    "1.5.0", "1.5.0-patched", "2.0.0",
]  # fmt: skip
OTHERS = [
    "1.4", "latest", "1.4.1-alpine", "1.4.2-alpine", "20261123", "20261124", "sha256-0f.sig", "v1.4.2", "v1.4.3", "b",
]  # fmt: skip
TWINS = ("1.4.1", "1.4.2", "v1.4.2", "1.4.3", "v1.4.3")
IMAGES = tuple("abcdefghijkl")
PLATFORMS = ("linux/amd64", "linux/arm64")

digests = st.sampled_from([digest(name) for name in IMAGES])
hours = st.sampled_from((1, 30, 90, 200, 200, 200))
rarely = st.sampled_from((False,) * 11 + (True,))


@st.composite
def facts(draw: st.DrawFn, name: str) -> TagFacts:
    """Give whatever a scan may know of a tag; most are as they should be, or hardly any would ever be chosen."""
    seen, pushed = draw(hours), draw(hours)
    return TagFacts(
        name,
        "" if draw(rarely) else draw(digests),
        first_seen=None if draw(rarely) else ago(seen * 3600),
        pushed_at=ago(pushed * 3600) if draw(rarely) else None,
        platforms=draw(st.frozensets(st.sampled_from(PLATFORMS)) | st.none()) if draw(rarely) else frozenset(PLATFORMS),
        manifests=draw(st.frozensets(digests, max_size=1)) if draw(rarely) else frozenset(),
        missing=draw(rarely),
        flapping=draw(rarely),
    )


@st.composite
def scans(draw: st.DrawFn, names: tuple[str, ...] = (*LADDER, *OTHERS)) -> Scan:
    """Give a complete scan of some of the tags."""
    listed = draw(st.lists(st.sampled_from(names), unique=True, min_size=2, max_size=10))
    since = draw(hours)
    found = tuple(draw(facts(name)) for name in listed)
    return Scan(IMAGE, found, complete=True, at=NOW, since=None if draw(rarely) else ago(since * 3600))


semvers = st.sampled_from(("*", "~1.4", "^1", "1.x", ">=1.4.1-0", "<1.5.0", "1.4.0 || 2.x")).map(SemVer)
directions = st.sampled_from(Direction)
orders: st.SearchStrategy[Order] = st.one_of(
    semvers, semvers, semvers, st.builds(Alphabetical, directions), st.builds(Numerical, directions), st.just(Digest())
)
filters = st.sampled_from(
    (None,) * 6 + (TagFilter("^v?(?P<v>[0-9.]+)$", "$v"), TagFilter("-alpine$"), TagFilter("^(?P<v>.*)-alpine$", "$v"))
)


def policies(order: st.SearchStrategy[Order] = orders, **fixed: object) -> st.SearchStrategy[ImagePolicy]:
    """Give a policy of any kind."""
    asked: dict[str, st.SearchStrategy[object]] = {
        "filter_tags": filters,
        "digest_reflection": st.sampled_from(DigestReflection),
        "minimum_release_age": st.sampled_from((timedelta(0), 24 * HOUR, 72 * HOUR)),
        "age_behaviour": st.sampled_from(AgeBehaviour),
        "allow_downgrade": st.booleans(),
        "patched_suffix": st.sampled_from(("", COPA)),
        "platforms": st.sampled_from(((), PLATFORMS[:1], PLATFORMS)),
    }
    asked |= {name: st.just(value) for name, value in fixed.items()}
    return st.builds(ImagePolicy, order, **asked)


@st.composite
def runs(draw: st.DrawFn, names: tuple[str, ...] = (*LADDER, *OTHERS, "")) -> Running:
    """Give whatever may run."""
    return Running(draw(st.sampled_from(names)), "" if draw(rarely) else draw(digests))


containers = st.builds(Container, st.just("Deployment"), st.just("shop"), st.sampled_from("ab"), st.just("main"))
memories = st.builds(
    Failures,
    st.lists(st.sampled_from(IMAGES).map(failed), max_size=2).map(tuple),
    rarely.map(lambda often: (Streak(WEB, 3),) if often else ()),
)


def choose(scan: Scan, running: Running, policy: ImagePolicy, memory: Failures = NONE) -> Choice:
    return choice.choose(scan, running, policy=policy, memory=memory, containers=(WEB,), now=NOW)


# --- choices ----------------------------------------------------------------------------------------------------------


@SETTINGS
@given(scans(tuple(LADDER)), runs(tuple(LADDER)), policies(semvers, allow_downgrade=False, patched_suffix=COPA))
def test_nothing_older_than_what_runs_is_chosen(scan: Scan, running: Running, policy: ImagePolicy) -> None:
    found = choose(scan, running, policy)
    if found.candidate is not None:
        was, becomes = LADDER.index(running.tag), LADDER.index(found.candidate.tag)
        assert becomes > was or (becomes == was and policy.digest_reflection is DigestReflection.ALWAYS)


@SETTINGS
@given(scans(tuple(LADDER)), runs(tuple(LADDER)), policies(semvers, allow_downgrade=True, patched_suffix=COPA))
def test_a_downgrade_that_is_allowed_leads_only_into_the_policy(
    scan: Scan, running: Running, policy: ImagePolicy
) -> None:
    found = choose(scan, running, policy)
    if found.candidate is None:
        return
    assert isinstance(policy.order, SemVer)
    limits = semver.parse_range(policy.order.range)
    base = [semver.parse(re.sub(COPA + "$", "", tag)) for tag in (running.tag, found.candidate.tag)]
    own, new = [version is not None and limits.holds(version) for version in base]
    assert new
    if LADDER.index(found.candidate.tag) < LADDER.index(running.tag):
        assert not own or policy.filter_tags is not None, "there is no way back from what the policy admits"


@SETTINGS
@given(scans() | scans(TWINS), runs() | runs(TWINS), policies(), memories, st.randoms())
def test_the_order_in_which_tags_are_listed_changes_nothing(
    scan: Scan, running: Running, policy: ImagePolicy, memory: Failures, random: Random
) -> None:
    shuffled = list(scan.tags)
    random.shuffle(shuffled)
    again = choose(replace(scan, tags=tuple(shuffled)), running, policy, memory)
    assert again == choose(scan, running, policy, memory)


@SETTINGS
@given(scans(), runs(), policies(), memories, st.sampled_from(IMAGES))
def test_a_digest_that_failed_is_never_chosen(
    scan: Scan, running: Running, policy: ImagePolicy, memory: Failures, image: str
) -> None:
    known = replace(memory, digests=(*memory.digests, failed(image, container=CART)))
    found = choose(scan, running, policy, known)
    if found.candidate is not None:
        bad = {one.digest for one in known.digests}
        assert not bad & {found.candidate.digest, *found.candidate.manifests}
        assert found.candidate.digest == next(f.digest for f in scan.tags if f.tag == found.candidate.tag)


@SETTINGS
@given(scans(), runs(), policies(), memories, st.integers(0, 200), st.integers(0, 200))
def test_time_alone_never_takes_an_update_away_or_makes_it_an_older_one(
    scan: Scan, running: Running, policy: ImagePolicy, memory: Failures, first: int, more: int
) -> None:
    early, late = (
        choice.choose(scan, running, policy=policy, memory=memory, now=NOW + HOUR * at) for at in (first, first + more)
    )
    if early.candidate is None:
        return
    assert late.candidate is not None
    places = ordering.arrange(scan.tags, running, policy).places
    assert places[late.candidate.tag] >= places[early.candidate.tag]


@SETTINGS
@given(scans(), runs(), policies(), memories)
def test_what_is_waited_for_until_then_is_decided_anew_then(
    scan: Scan, running: Running, policy: ImagePolicy, memory: Failures
) -> None:
    found = choose(scan, running, policy, memory)
    assert found.until is None or (found.verdict is Verdict.WAIT and found.until > NOW)
    if found.until is not None:
        then = choice.choose(scan, running, policy=policy, memory=memory, containers=(WEB,), now=found.until)
        assert then.verdict is Verdict.UPDATE or then.reason == "CircuitOpen"


def _missing(fact: TagFacts) -> TagFacts:
    return replace(fact, missing=True)


def _flapping(fact: TagFacts) -> TagFacts:
    return replace(fact, flapping=True)


@SETTINGS
@given(scans(), runs(), policies(), memories, st.data())
def test_tags_that_vanish_or_flap_never_make_another_image_the_choice(
    scan: Scan, running: Running, policy: ImagePolicy, memory: Failures, data: st.DataObject
) -> None:
    before = choose(scan, running, policy, memory)
    faulty = data.draw(st.sampled_from((_missing, _flapping)))
    hit = data.draw(st.frozensets(st.sampled_from([fact.tag for fact in scan.tags] or [""])))
    tags = tuple(faulty(fact) if fact.tag in hit else fact for fact in scan.tags)
    after = choose(replace(scan, tags=tags), running, policy, memory)
    assert after.candidate in (None, before.candidate)


@SETTINGS
@given(scans(), runs(), policies(), memories)
def test_nothing_is_chosen_from_a_scan_that_was_cut_short(
    scan: Scan, running: Running, policy: ImagePolicy, memory: Failures
) -> None:
    found = choose(replace(scan, complete=False), running, policy, memory)
    assert (found.candidate, found.verdict) == (None, Verdict.WAIT)


@SETTINGS
@given(scans(), runs(), policies(), memories)
def test_what_is_chosen_is_another_image_that_is_whole_and_whoever_lost_is_told_why(
    scan: Scan, running: Running, policy: ImagePolicy, memory: Failures
) -> None:
    found = choose(scan, running, policy, memory)
    assert (found.candidate is not None) is (found.verdict is Verdict.UPDATE)
    if found.candidate is not None:
        [fact] = [fact for fact in scan.tags if fact.tag == found.candidate.tag]
        assert not fact.missing
        assert not fact.flapping
        assert not fact.holds(running.digest)
        assert not policy.platforms or (fact.platforms or frozenset()) >= set(policy.platforms)
    if found.lost:
        names = {lost.tag for lost in found.lost} | ({found.candidate.tag} if found.candidate else set())
        assert names == {fact.tag for fact in scan.tags}
    assert all(lost.why for lost in found.lost)
    assert found.message
    assert len(found.message) < 1024


@SETTINGS
@given(scans(), runs(), policies())
def test_the_digests_of_the_short_list_are_all_that_a_choice_needs(
    scan: Scan, running: Running, policy: ImagePolicy
) -> None:
    # Age and platforms are known with the digest; here nothing stands in anybody's way.
    policy = replace(policy, minimum_release_age=timedelta(0), platforms=())
    tags = tuple(replace(fact, digest=fact.digest or digest("a"), missing=False, flapping=False) for fact in scan.tags)
    wanted = set(ordering.shortlist([fact.tag for fact in tags], running, policy, limit=8))
    asked = tuple(fact if fact.tag in wanted else TagFacts(fact.tag) for fact in tags)
    known = choose(replace(scan, tags=tags), running, policy)
    assert choose(replace(scan, tags=asked), running, policy).candidate == known.candidate


# --- the order of tags ------------------------------------------------------------------------------------------------


@SETTINGS
@given(st.lists(st.sampled_from(LADDER), unique=True), st.randoms())
def test_versions_and_their_patches_stand_as_a_person_would_put_them(tags: list[str], random: Random) -> None:
    policy = ImagePolicy(SemVer(">=0.0.0-0"), patched_suffix=COPA)
    shuffled = list(tags)
    random.shuffle(shuffled)
    places = ordering.arrange((TagFacts(tag) for tag in shuffled), Running(), policy).places
    assert sorted(tags, key=lambda tag: places[tag]) == sorted(tags, key=LADDER.index)
    assert len(set(places.values())) == len(tags)


names = st.text(st.sampled_from("0123456789abcxvABC._-"), min_size=1, max_size=20)


@SETTINGS
@given(st.lists(names, unique=True, max_size=12), policies(orders), names)
def test_any_tags_at_all_are_placed_or_told_why_not(tags: list[str], policy: ImagePolicy, runs_as: str) -> None:
    found = ordering.arrange((TagFacts(tag) for tag in tags), Running(runs_as), policy)
    assert found.places.keys() | found.out.keys() == set(tags)
    assert not found.places.keys() & found.out.keys()


# --- urgency ----------------------------------------------------------------------------------------------------------


findings = st.builds(
    Vulnerability,
    st.sampled_from(("CVE-1", "CVE-2", "CVE-3", "CVE-4")),
    st.sampled_from(Severity),
    package=st.sampled_from(("libssl3", "zlib")),
    fixed_version=st.sampled_from(("", "1.1")),
    score=st.none() | st.floats(0, 10),
    published=st.none() | st.integers(0, 1000).map(lambda days: ago(days * 86_400)),
)
few = st.sampled_from([digest(name) for name in "abc"])
reports = st.builds(
    Report,
    containers,
    st.just(IMAGE),
    st.sampled_from(("1.4.1", "1.4.2", "x")),
    few | st.just(""),
    st.integers(0, 3).map(ago),
    st.lists(findings, max_size=4, unique_by=lambda it: (it.id, it.package)).map(tuple),
)
candidates = st.builds(Candidate, st.just(IMAGE), st.just("x"), few)
updates = st.builds(Update, containers, st.builds(Running, st.sampled_from(("1.4.1", "1.4.2")), few), candidates)


@SETTINGS
@given(st.lists(updates, max_size=5, unique_by=lambda it: it.container), st.lists(reports, max_size=8), st.data())
def test_urgency_is_a_total_order_whatever_order_things_come_in(
    found: list[Update], known: list[Report], data: st.DataObject
) -> None:
    assume(len({(it.at, it.container, it.digest, it.tag) for it in known}) == len(known))
    ranked = urgency.rank(found, known, exploited=("CVE-4",))
    again = urgency.rank(
        data.draw(st.permutations(found)), data.draw(st.permutations(known)), exploited=("CVE-4", "CVE-4")
    )
    assert again == ranked
    assert {it.update.container for it in ranked} == {it.container for it in found}
    groups = [max(it.pertinence, Pertinence.MAY_FIX) for it in ranked]
    assert groups == sorted(groups)
    for it in ranked:
        assert bool(it.fixed) is (it.pertinence <= Pertinence.MAY_FIX)
        assert (it.pertinence is Pertinence.UNKNOWN) is ("no report says what" in it.message)


@SETTINGS
@given(updates, st.lists(reports, max_size=6))
def test_without_any_report_of_its_own_nothing_is_called_clean(update: Update, known: list[Report]) -> None:
    others = [it for it in known if it.container != update.container]
    [it] = urgency.rank([update], others)
    assert it.pertinence is Pertinence.UNKNOWN
