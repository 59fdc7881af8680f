"""What is remembered of images that failed (L9), and when to stop trying."""

from __future__ import annotations

from dataclasses import replace

from patchwright.domain.images import failures
from patchwright.domain.images.failures import KEPT, Failures, Streak
from support.images import CART, WEB, digest, failed


def after(*entries: failures.FailedDigest) -> Failures:
    known = Failures()
    for entry in entries:
        known = failures.remember(known, entry)
    return known


def test_an_image_that_failed_again_is_remembered_once_with_its_latest_words() -> None:
    again = replace(failed("a"), reason="ImagePullBackOff")
    known = after(failed("a"), failed("b"), again)
    assert known.digests == (again, failed("b"))
    assert failures.recall(known, digest("a")) == again
    assert failures.recall(known, digest("c")) is None


def test_the_same_image_may_fail_in_two_containers() -> None:
    known = after(failed("a"), failed("a", container=CART))
    assert [one.container for one in known.digests] == [CART, WEB]


def test_rollbacks_are_counted_in_a_row_and_for_each_container() -> None:
    known = after(failed("a"), failed("b"), failed("c", container=CART))
    assert known.streaks == (Streak(CART, 1), Streak(WEB, 2))
    assert failures.rollbacks(known, [WEB, CART]) == 2
    assert failures.rollbacks(known, []) == 0


def test_a_success_ends_the_row_and_what_failed_stays_known() -> None:
    known = failures.succeeded(after(failed("a"), failed("b"), failed("c", container=CART)), WEB)
    assert failures.rollbacks(known, [WEB]) == 0
    assert failures.rollbacks(known, [CART]) == 1
    assert failures.recall(known, digest("a")) is not None


def test_a_retry_forgets_the_image_everywhere_and_ends_the_row_there() -> None:
    known = after(failed("a"), failed("b", container=CART), failed("a", container=CART), failed("b"))
    found = failures.retried(known, digest("a"))
    assert [one.tag for one in found.digests] == ["b", "b"]
    assert found.streaks == ()
    assert failures.retried(known, digest("nothing that failed")) == known


def test_only_so_many_are_kept_and_the_oldest_go() -> None:
    known = after(*(failed(f"image {number}") for number in range(KEPT + 1)))
    assert len(known.digests) == KEPT
    assert failures.recall(known, digest("image 0")) is None
    assert failures.recall(known, digest("image 1")) is not None


def test_no_image_is_forgotten_while_another_is_named_twice() -> None:
    known = after(
        failed("oldest"),
        failed("twice"),
        failed("twice", container=CART),
        *(failed(f"image {number}") for number in range(KEPT - 2)),
    )
    assert len(known.digests) == KEPT
    assert failures.recall(known, digest("oldest")) is not None
    assert failures.recall(known, digest("twice")) == failed("twice", container=CART)


def test_rows_are_bounded_too() -> None:
    known = after(*(failed("a", container=replace(WEB, workload=f"web-{number}")) for number in range(KEPT + 5)))
    assert len(known.streaks) == KEPT
