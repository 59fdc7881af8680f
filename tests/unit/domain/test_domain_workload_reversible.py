"""What a workload may have to go back to must be in its registry before it is changed (L4)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from patchwright.domain.actions import CheckImages, ListWorkloadPods, SetImages
from patchwright.domain.model import PatchPolicy, Rollback
from patchwright.domain.targets import Stage
from patchwright.domain.workloads import reversible
from patchwright.domain.workloads.view import Kept
from support.builders import NOW, ago
from support.image_builders import OLD, PINNED, REPOSITORY, TAGGED, WorkloadBuilder, begin, brief, pod, stand, workload
from support.look_builders import followed, following

WAS = f"{REPOSITORY}@{OLD}"
POLICY = following()


def seen(there: bool | None, *, seconds: float = 1) -> WorkloadBuilder:
    """Give a workload of which it was asked whether what it runs is there."""
    kept = {WAS: Kept(ago(seconds), there, "RegistryUnavailable", "Registry ghcr.io does not answer")}
    return workload(kept=kept).image(PINNED)


def kinds(made: WorkloadBuilder, policy: PatchPolicy = POLICY) -> list[type]:
    return [type(action) for action in begin(made, policy=policy)]


def test_it_is_asked_before_the_images_are_changed() -> None:
    made = workload().image(PINNED)
    assert begin(made, policy=POLICY) == (CheckImages(made.view.ref, (WAS,)),)
    assert kinds(seen(True)) == [SetImages]


def test_the_digest_of_what_runs_is_found_first() -> None:
    assert kinds(workload().image(TAGGED)) == [ListWorkloadPods]
    listed = workload().image(TAGGED).pods(pod(image=TAGGED))
    assert begin(listed, policy=POLICY) == (CheckImages(listed.view.ref, (WAS,)),)


@pytest.mark.parametrize(
    ("there", "seconds", "fresh"),
    [(True, 299, True), (True, 300, False), (False, 59, True), (False, 60, False), (None, 29, True), (None, 30, False)],
)
def test_an_answer_holds_for_a_while(there: bool | None, seconds: float, fresh: bool) -> None:
    assert (reversible.unasked(seen(there, seconds=seconds).view, brief(policy=POLICY)) == ()) is fresh


def test_what_is_gone_from_its_registry_is_not_touched() -> None:
    found = stand(seen(False), policy=POLICY)
    assert (found.stage, found.reason, found.for_good) == (Stage.SKIPPED, "ImageGone", False)
    assert found.message == (
        f"{WAS}, which runs, is not in its registry any more, so that it could not be put back; "
        "push it again, or set rollback.enabled: false"
    )


def test_what_nobody_knows_of_is_not_touched_either() -> None:
    found = stand(seen(None), policy=POLICY)
    assert (found.stage, found.reason) == (Stage.SKIPPED, "RegistryUnavailable")
    assert found.message.endswith("could be put back: Registry ghcr.io does not answer")


def test_what_is_there_is_fresh_and_so_is_what_was_asked_too_long_ago() -> None:
    for made in (seen(True), seen(False, seconds=60), workload().image(PINNED)):
        assert stand(made, policy=POLICY).stage is Stage.FRESH


def test_where_the_image_is_not_followed_or_nothing_is_put_back_nothing_is_asked() -> None:
    elsewhere = following(followed(name="ghcr.io/acme/other"), followed(name=f"{REPOSITORY}/*"))
    for policy in (following(rollback=Rollback(enabled=False)), elsewhere):
        assert kinds(workload().image(PINNED), policy) == [SetImages]
    assert stand(seen(False), policy=elsewhere).stage is Stage.FRESH
    assert reversible.needed(workload().image(PINNED).view, brief()) == ()


def test_an_answer_ends_when_its_time_is_over() -> None:
    assert reversible.until(Kept(NOW, there=False)) == NOW + timedelta(minutes=1)
