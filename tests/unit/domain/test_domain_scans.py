"""What a registry's bad moments do to what is remembered: nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from patchwright.domain.images import scans
from patchwright.domain.images.scans import Memory, Patience, Scan, Span, Standing, TagRecord

NOW = datetime(2026, 11, 23, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
A, B, C = (f"sha256:{letter * 64}" for letter in "abc")


def at(minute: int) -> datetime:
    return NOW + minute * MINUTE


def listing(minute: int, *tags: str, complete: bool = True, **digests: str) -> Scan:
    return Scan(at(minute), frozenset(tags), complete, digests)


def after(*taken: Scan) -> Memory:
    memory = Memory()
    for scan in taken:
        memory = scans.remember(memory, scan)
    return memory


def moving(*digests: str) -> TagRecord:
    """The record of a tag that had these digests, minute by minute."""
    memory = after(*(listing(minute, "v1", v1=digest) for minute, digest in enumerate(digests)))
    return memory.tags["v1"]


# --- tags -------------------------------------------------------------------------------------------------------------


def test_a_tag_is_gone_when_two_complete_scans_did_not_list_it() -> None:
    memory = after(listing(0, "v1", "v2"), listing(1, "v1"))
    assert scans.standing(memory.tags["v2"]) is Standing.MISSED
    assert set(scans.remember(memory, listing(2, "v1")).tags) == {"v1"}


def test_a_tag_that_comes_back_begins_anew() -> None:
    memory = after(listing(0, "v1", "v2"), listing(1, "v1"), listing(2, "v1", "v2"), listing(3, "v1"))
    assert memory.tags["v2"].missed == 1


@pytest.mark.parametrize("scan", [listing(2, "v1", complete=False), listing(2, complete=False), listing(2)])
def test_what_is_cut_short_or_lists_nothing_takes_nothing_away(scan: Scan) -> None:
    before = after(listing(0, "v1", "v2"), listing(1, "v1"))
    memory = before
    for _ in range(10):
        memory = scans.remember(memory, scan)
    assert memory.tags == before.tags


def test_a_tag_in_a_listing_that_was_cut_short_is_there() -> None:
    memory = after(listing(0, "v1", "v2"), listing(1, "v1"), listing(2, "v2", complete=False))
    assert memory.tags["v2"].missed == 0


def test_a_tag_whose_digest_was_given_is_there_whatever_the_listing_says() -> None:
    memory = after(*(listing(minute, "v1", edge=A) for minute in range(5)))
    assert memory.tags["edge"].digest == A
    assert memory.tags["edge"].missed == 0


def test_only_a_complete_listing_counts_as_one() -> None:
    memory = after(listing(3, "v1"), listing(4, complete=False, v1=A))
    assert memory.completed_at == at(3)


# --- digests ----------------------------------------------------------------------------------------------------------


def test_the_first_digest_counts_at_once() -> None:
    record = moving(A)
    assert record.digest == A
    assert scans.standing(record) is Standing.STEADY
    assert scans.told("v1", record) == ""


def test_a_tag_that_nobody_asked_the_digest_of_is_steady() -> None:
    record = after(listing(0, "v1")).tags["v1"]
    assert record.digest == ""
    assert scans.standing(record) is Standing.STEADY


def test_a_new_digest_counts_when_it_was_seen_twice_in_a_row() -> None:
    once, twice = moving(A, A, B), moving(A, A, B, B)
    assert (once.digest, scans.standing(once)) == (A, Standing.CHANGING)
    assert (twice.digest, scans.standing(twice)) == (B, Standing.STEADY)
    assert scans.told("v1", once) == (
        f"Tag v1 moved to {B[:19]}; {A[:19]} is held until that was seen 2 times in a row (1 so far)."
    )


def test_a_tag_that_flaps_is_held_for_as_long_as_it_flaps() -> None:
    record = moving(*[A, B] * 50)
    assert (record.digest, scans.standing(record)) == (A, Standing.FLAPPING)
    assert scans.told("v1", record) == (
        f"Tag v1 flaps between {A[:19]} and {B[:19]}; {A[:19]} is held until one of them was seen 64 times in a row "
        "(1 so far)."
    )


def test_slow_flapping_moves_it_once_and_never_back() -> None:
    record = moving(A, A, A, *[B, B, B, A, A, A] * 20)
    assert (record.digest, scans.standing(record)) == (B, Standing.FLAPPING)


def test_a_tag_that_was_put_back_is_believed_after_a_while() -> None:
    assert moving(A, B, B, A, A, A).digest == B
    back = moving(A, B, B, A, A, A, A)
    assert (back.digest, scans.standing(back)) == (A, Standing.STEADY)


def test_a_glitch_that_is_over_is_forgiven() -> None:
    flapped = moving(A, B, A)
    assert (flapped.digest, scans.standing(flapped)) == (A, Standing.FLAPPING)
    assert scans.standing(moving(A, B, A, A, A, A)) is Standing.STEADY


def test_a_third_digest_is_a_new_one_even_while_two_flap() -> None:
    assert moving(A, B, A, B, C).digest == A
    assert moving(A, B, A, B, C, C).digest == C


def test_each_return_asks_for_more_and_there_is_an_end_to_it() -> None:
    assert moving(A, B, A, B, *[A] * 16).digest == A
    assert moving(A, B, B, A, B, *[A] * 15).digest == B
    assert moving(A, B, B, A, B, *[A] * 16).digest == A
    assert moving(*[A, B] * 100, *[B] * 63).digest == B


def test_what_lies_longer_back_than_the_window_is_no_flapping() -> None:
    month = 30 * 24 * 60
    memory = after(listing(0, v1=A), listing(month, v1=B), listing(month + 1, v1=B))
    memory = scans.remember(memory, listing(2 * month, v1=A))
    assert scans.standing(memory.tags["v1"]) is Standing.CHANGING


def test_a_scan_without_the_digest_changes_nothing_about_it() -> None:
    before = after(listing(0, v1=A), listing(1, v1=B))
    memory = scans.remember(before, listing(2, "v1"))
    assert memory.tags["v1"] == before.tags["v1"]
    assert scans.remember(memory, listing(3, v1=B)).tags["v1"].digest == B


def test_a_missed_tag_says_so() -> None:
    memory = after(listing(0, "v1", "v2"), listing(1, "v1"))
    assert scans.told("v2", memory.tags["v2"]) == (
        "Tag v2 was not listed by the last complete scan; it counts as gone after 2 in a row."
    )


# --- age --------------------------------------------------------------------------------------------------------------


def test_a_digest_is_as_old_as_the_first_sight_of_it_under_any_tag() -> None:
    memory = after(listing(5, v1=A), listing(9, v2=A), listing(7, v2=A))
    assert memory.first_seen(A) == at(5)
    assert memory.digests[A] == Span(at(5), at(9))
    assert memory.first_seen(B) is None


def test_a_digest_that_no_tag_has_is_forgotten_after_a_while_and_one_that_counts_never() -> None:
    patience = Patience(memory=timedelta(minutes=10))
    memory = after(listing(0, "v1", "v2", v1=A, v2=B), listing(1, "v1"), listing(2, "v1"))
    memory = scans.remember(memory, listing(10, "v1"), patience)
    assert set(memory.digests) == {A, B}
    memory = scans.remember(memory, listing(11, "v1"), patience)
    assert set(memory.digests) == {A}
