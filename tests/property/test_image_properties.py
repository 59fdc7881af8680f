"""Image references, platforms and scans over anything."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from patchwright.domain.images import keyring, platforms, reference, scans
from patchwright.domain.images.keyring import Login
from patchwright.domain.images.platforms import InvalidPlatform
from patchwright.domain.images.reference import InvalidReference
from patchwright.domain.images.scans import PATIENT, Memory, Scan, Standing

SETTINGS = settings(max_examples=200, deadline=None)
NOW = datetime(2026, 11, 23, tzinfo=UTC)
TAGS = ("v1", "v2", "v3")
DIGESTS = tuple(f"sha256:{letter * 64}" for letter in "abc")

# --- references -------------------------------------------------------------------------------------------------------

words = st.from_regex(r"[a-z0-9]{1,4}((\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}", fullmatch=True)
repositories = st.lists(words, min_size=1, max_size=4).map("/".join)
registries = st.from_regex(
    r"([a-z0-9]{1,5}\.){1,3}[a-z]{2,3}(:[0-9]{1,5})?|localhost(:5000)?|\[::1\]:80", fullmatch=True
)
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
digests = st.from_regex(r"sha256:[a-f0-9]{64}", fullmatch=True)
references = st.builds(
    reference.Reference, registries, repositories, tag=st.none() | tags, digest=st.none() | digests
)  # fmt: skip
pieces = st.sampled_from(
    ["nginx", "docker.io", "index.docker.io", "localhost", "/", "//", ":", "@", "1.2", "-", "__", ".", "[::1]", "A",
     "é", "\n", " ", "sha256:", "a" * 64, "f" * 64, "x" * 130, "%", "?"]
)  # fmt: skip
texts = st.text(max_size=40) | st.lists(pieces, max_size=8).map("".join)


@SETTINGS
@given(references)
def test_a_reference_survives_its_own_spelling(image: reference.Reference) -> None:
    # `index.docker.io` and names without a slash on Docker Hub have another canonical spelling.
    found = reference.parse(str(image))
    assert reference.parse(str(found)) == found
    assert found == image or image.registry in ("docker.io", "index.docker.io")


@SETTINGS
@given(texts)
def test_any_text_is_a_reference_or_is_refused(text: str) -> None:
    try:
        found = reference.parse(text)
    except InvalidReference:
        return
    assert reference.parse(str(found)) == found
    assert not set(str(found)) & set("\n ?%")
    # What a registry's address is made of can never leave its place in a URL.
    assert "/" not in found.registry
    assert ".." not in found.repository


@SETTINGS
@given(st.lists(words, min_size=1, max_size=3).map("/".join), tags)
def test_what_names_no_registry_is_on_docker_hub(name: str, tag: str) -> None:
    first = name.partition("/")[0]
    # A dot makes it a host name, and a host name has no underscore.
    assume("/" not in name or not ("." in first and "_" in first))
    found = reference.parse(f"{name}:{tag}")
    on_hub = "/" not in name or ("." not in first and first != "localhost")
    assert (found.registry == "docker.io") is on_hub


# --- platforms and keys -----------------------------------------------------------------------------------------------


@SETTINGS
@given(st.from_regex(r"[a-z]{1,7}/[a-z0-9_]{1,8}(/v?[0-9]{1,2})?", fullmatch=True) | st.text(max_size=20))
def test_a_platform_has_one_spelling_or_is_refused(text: str) -> None:
    try:
        found = platforms.parse(text)
    except InvalidPlatform:
        return
    assert platforms.parse(str(found)) == found
    assert platforms.missing([found], [platforms.parse(str(found))]) == ()


@SETTINGS
@given(st.text(max_size=30), references)
def test_a_key_without_stars_is_for_no_other_host(text: str, image: reference.Reference) -> None:
    found = keyring.entry(text, Login("robot", "secret"))
    if found is not None and "*" not in text and found.fits(image):
        assert image.registry in text


# --- scans ------------------------------------------------------------------------------------------------------------

taken = st.lists(
    st.tuples(
        st.frozensets(st.sampled_from(TAGS)),
        st.booleans(),
        st.dictionaries(st.sampled_from(TAGS), st.sampled_from(DIGESTS), max_size=3),
    ),
    max_size=30,
)


def history(drawn: list[tuple[frozenset[str], bool, dict[str, str]]]) -> list[Scan]:
    return [
        Scan(NOW + timedelta(minutes=number), listed, complete, found)
        for number, (listed, complete, found) in enumerate(drawn)
    ]


def remembered(taken: list[Scan]) -> list[Memory]:
    """The memory before the first scan and after each."""
    return list(itertools.accumulate(taken, scans.remember, initial=Memory()))


@SETTINGS
@given(taken.map(history))
def test_a_tag_is_known_until_two_complete_scans_in_a_row_missed_it(taken: list[Scan]) -> None:
    for end, memory in enumerate(remembered(taken)):
        for tag in TAGS:
            seen = [number for number, scan in enumerate(taken[:end]) if tag in scan.seen]
            since = taken[seen[-1] + 1 : end] if seen else []
            misses = sum(scan.complete and bool(scan.tags) for scan in since)
            assert (tag in memory.tags) is (bool(seen) and misses < PATIENT.gone)


@SETTINGS
@given(taken.map(history))
def test_the_digest_that_counts_was_first_or_was_seen_in_a_row(taken: list[Scan]) -> None:
    known = remembered(taken)
    for before, after, scan in zip(known, known[1:], taken, strict=False):
        for tag, record in after.tags.items():
            counted = before.tags[tag].digest if tag in before.tags else ""
            if record.digest == counted:
                continue
            assert record.digest == scan.digests[tag]
            assert not counted or record.runs[-1].scans >= PATIENT.confirmed


@SETTINGS
@given(taken.map(history))
def test_first_sight_never_moves_and_a_digest_that_counts_always_has_one(taken: list[Scan]) -> None:
    known = remembered(taken)
    for before, after in itertools.pairwise(known):
        assert all(after.first_seen(digest) == span.first for digest, span in before.digests.items())
        assert all(after.first_seen(record.digest) for record in after.tags.values() if record.digest)


@SETTINGS
@given(st.permutations(DIGESTS), st.lists(st.integers(1, 3), min_size=4, max_size=40))
def test_two_digests_that_take_turns_move_a_tag_once_at_most(order: list[str], lengths: list[int]) -> None:
    first, second, _ = order
    turns = [
        digest for digest, length in zip(itertools.cycle((first, second)), lengths, strict=False) for _ in range(length)
    ]
    counted = [
        memory.tags["v1"].digest
        for memory in remembered(history([(frozenset(), False, {"v1": digest}) for digest in turns]))
        if memory.tags
    ]
    assert [digest for digest, _ in itertools.groupby(counted)] in ([first], [first, second])


@SETTINGS
@given(taken.map(history))
def test_what_is_not_steady_is_told_and_what_is_steady_is_not(taken: list[Scan]) -> None:
    for tag, record in remembered(taken)[-1].tags.items():
        steady = scans.standing(record) is Standing.STEADY
        assert (scans.told(tag, record) == "") is steady
        if steady and record.runs:
            assert record.digest == record.runs[-1].digest
