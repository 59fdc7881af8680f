"""Rollouts over workloads: every single write is the operator's last, or fails, and the end is the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from patchwright.domain.model import FailurePolicy, Key, PolicyRef
from patchwright.domain.state import Phase
from patchwright.domain.workloads.record import Mark, encode
from patchwright.domain.workloads.view import WorkloadView
from patchwright.pipeline import targets
from patchwright.pipeline.facts import Facts
from support import image_builders
from support.simulator import loop, shops
from support.simulator.calls import Fault
from support.simulator.cluster import SPACE, Cluster, Result, play
from support.simulator.forks import Fork, play_each
from support.simulator.people import People
from support.simulator.shops import PINNED, STORIES, TAGGED, WANTED

CRASHES = (Fault.CRASH_BEFORE, Fault.CRASH_AFTER)
ERRORS = (Fault.AWAY, Fault.LOST, Fault.CONFLICT, Fault.DENIED)
THIRD = 3
SIXTH = 6
# What a StatefulSet's story goes through too, but for who replaces the pods.
ALIKE = frozenset({"one pod of a DaemonSet first", "one pod of a DaemonSet that crashes"})
ENDS = {
    "images": Phase.SUCCEEDED,
    "images that are followed": Phase.SUCCEEDED,
    "images through Git": Phase.SUCCEEDED,
    "a canary through Git that crashes": Phase.ROLLED_BACK,
    "an image through Git that is not pulled in the last wave": Phase.ROLLED_BACK,
    "a canary that crashes": Phase.ROLLED_BACK,
    "an image that is not pulled in the last wave": Phase.ROLLED_BACK,
    "a StatefulSet that is stuck": Phase.ROLLED_BACK,
    "one pod beside a Deployment first": Phase.SUCCEEDED,
    "one pod beside a Deployment that crashes": Phase.ROLLED_BACK,
    "one pod of a DaemonSet first": Phase.SUCCEEDED,
    "one pod of a DaemonSet that crashes": Phase.ROLLED_BACK,
    "one pod of a StatefulSet first": Phase.SUCCEEDED,
    "one pod of a StatefulSet that crashes": Phase.ROLLED_BACK,
}


def told(result: Result) -> str:
    return "\n".join(str(violation) for violation in result.violations)


@pytest.mark.parametrize("story", STORIES)
def test_without_faults_the_story_ends_as_it_should(story: str) -> None:
    result = play(STORIES[story])

    assert result.state.phase is ENDS[story], result.state.message
    assert not result.violations, told(result)
    if result.state.phase is Phase.SUCCEEDED:
        assert set(result.images.values()) == {WANTED}
    else:
        assert set(result.images.values()) <= {PINNED, TAGGED}
    assert all(len(images) == 1 for images in result.served.values()), "every pod runs what its template says"


@pytest.mark.simulation
@pytest.mark.parametrize("fault", CRASHES + ERRORS)
@pytest.mark.parametrize("story", STORIES)
def test_whatever_happens_to_any_write_changes_nothing_about_the_end(
    story: str, fault: Fault, exhaustive: bool
) -> None:
    # Every call is the last one in nearly any case; without --exhaustive some fail in each way of failing. A crash
    # before a call is one after the call before it, but for what is under way beside it.
    some = THIRD if fault in CRASHES else SIXTH
    each = 1 if exhaustive or (fault is Fault.CRASH_AFTER and story not in ALIKE) else some
    first = (*CRASHES, *ERRORS).index(fault) % each

    expected, forks = play_each(STORIES[story], fault, first=first, each=each)
    for fork in forks:
        _same(expected, fork)


def _same(expected: Result, fork: Fork) -> None:
    result = fork.result

    where = f"{fork.fault} at call {fork.call} ({expected.log[fork.call]})"
    assert not result.violations, f"{where}\n{told(result)}"
    assert result.state.phase is expected.state.phase, f"{where}: {result.state.message}"
    assert _tags(result) == _tags(expected), where
    for key, served in result.served.items():
        assert served == {result.images[key]}, f"{where}: {key} runs {served}"


def _tags(result: Result) -> dict[str, str]:
    """Give what each workload runs; one that was never begun and one that was put back differ by the pin alone."""
    return {key: image.partition("@")[0] for key, image in result.images.items()}


def test_a_failed_canary_is_all_that_was_ever_exposed() -> None:
    result = play(shops.FAILED_CANARY)

    assert [note.name for note in result.state.failed] == ["Deployment pay/web-1"]
    assert set(result.images.values()) == {PINNED, TAGGED}
    assert [one.version for one in result.remembered] == ["web:1.1"]


def test_the_record_of_a_rollout_that_is_gone_is_in_nobody_s_way() -> None:
    old = encode(replace(image_builders.record(Mark.APPLYING), rollout_uid="long-gone"))

    def acts(cluster: Cluster) -> Sequence[tuple[float, Callable[[], None]]]:
        return [(0.001, lambda: People(cluster).annotate_workload("pay/web-1", old))]

    result = play(replace(shops.PLAIN, people=acts))

    assert result.state.phase is Phase.SUCCEEDED
    assert set(result.images.values()) == {WANTED}


def test_a_workload_that_another_rollout_has_begun_meanwhile_is_seen_to_be_its() -> None:
    seen: list[str] = []

    def acts(cluster: Cluster) -> Sequence[tuple[float, Callable[[], None]]]:
        def begin() -> None:
            other = cluster.ask_for("other", shops.CHANGE)
            record = replace(image_builders.record(Mark.APPLYING), rollout_uid=other.uid, since=loop.now())
            People(cluster).annotate_workload("pay/web-1", encode(record))

        def look() -> None:
            world = cluster.processes[0].world
            case = world.rollouts.get(Key(SPACE, "kernel-1"))
            assert case is not None
            assert case.rollout is not None
            assert case.policy is not None
            ref = world.workloads.selected(case.policy)[0].ref
            found = targets.one(world, case.rollout, case.policy, ref=ref, facts=Facts(loop.EPOCH))
            assert isinstance(found, WorkloadView)
            seen.append(found.record.rollout if found.record else "nobody")

        return [(0.001, begin), (0.06, look)]

    play(replace(shops.PLAIN, people=acts))

    assert seen == [image_builders.record(Mark.APPLYING).rollout]


def test_what_could_not_be_put_back_is_never_changed() -> None:
    def acts(cluster: Cluster) -> Sequence[tuple[float, Callable[[], None]]]:
        return [(900.0, People(cluster).abort_all)]

    result = play(replace(shops.GONE, people=acts))

    assert not result.violations, told(result)
    assert set(result.images.values()) == {TAGGED}
    said = {event.message for event in result.events}
    assert result.state.phase is Phase.ROLLED_BACK, said


def test_a_registry_that_is_away_for_a_while_holds_the_next_workload_up_and_no_longer() -> None:
    def silent() -> bool:
        return loop.now() < loop.EPOCH + timedelta(seconds=100)

    result = play(replace(shops.FOLLOWED, silent=silent))

    assert result.state.phase is Phase.SUCCEEDED, result.state.message
    assert not result.violations, told(result)
    started = result.state.started_at
    assert started is not None
    assert set(result.images.values()) == {WANTED}


def test_a_workload_that_is_deleted_midway_is_named() -> None:
    def acts(cluster: Cluster) -> Sequence[tuple[float, Callable[[], None]]]:
        return [(2.0, lambda: People(cluster).remove_workload("pay/web-1"))]

    result = play(replace(shops.PLAIN, people=acts))

    assert result.state.phase is Phase.ROLLED_BACK
    assert result.state.message.startswith("canary Deployment pay/web-1 failed: Deployment pay/web-1 vanished")
    assert not result.violations, told(result)


@pytest.mark.parametrize("failure_policy", FailurePolicy)
def test_nothing_starts_while_nobody_can_say_who_signed_and_all_does_once_somebody_can(
    failure_policy: FailurePolicy,
) -> None:
    asked = itertools.count()
    policy = replace(shops.VERIFIED, policy=PolicyRef(failure_policy=failure_policy))

    result = play(replace(shops.PLAIN, policy=policy, unsaid=lambda: next(asked) < 20))

    assert result.state.phase is Phase.SUCCEEDED, result.state.message
    assert not result.violations, told(result)
    assert next(asked) > 20


def test_what_failed_is_put_back_though_nobody_can_say_any_more_who_signed() -> None:
    asked = itertools.count()

    result = play(replace(shops.FAILED_CANARY, policy=shops.VERIFIED, unsaid=lambda: next(asked) >= 2))

    assert result.state.phase is Phase.ROLLED_BACK, result.state.message
    assert not result.violations, told(result)
    assert set(result.images.values()) == {PINNED, TAGGED}
