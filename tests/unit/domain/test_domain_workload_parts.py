"""A canary of some pods within a workload: what is written for it, what ends it, and how its rest follows."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from patchwright.domain.actions import (
    ListWorkloadPods,
    MarkWorkload,
    ReplacePod,
    RestoreImages,
    SetImages,
    StrategyEdit,
)
from patchwright.domain.model import Canary, PatchPolicy, Quantity, Rollback, WorkloadTarget
from patchwright.domain.targets import Stage, Standing
from patchwright.domain.workloads.record import Mark, Part, Record
from patchwright.domain.writeback.settings import GitTarget, Write
from support.builders import NOW, ago
from support.image_builders import (
    OTHER,
    PINNED,
    REPOSITORY,
    TAGGED,
    WANTED,
    WorkloadBuilder,
    begin,
    pod,
    policy,
    put_back,
    stand,
    stateful,
    waiting,
    workload,
)


def by_pods(wanted: int | str = 1, **changes: Any) -> PatchPolicy:
    """Give a policy whose canaries are some pods of each workload."""
    quantity = Quantity(int(wanted[:-1]), percent=True) if isinstance(wanted, str) else Quantity(wanted)
    found = policy(**changes)
    canary = replace(Canary(), pods=quantity)
    return replace(found, strategy=replace(found.strategy, canary=canary))


def strategy(partition: int) -> str:
    return f'{{"rollingUpdate":{{"partition":{partition}}},"type":"RollingUpdate"}}'


ONE = by_pods()
PART = Part(1, was=strategy(0), to=strategy(2))
OLD_REVISION: dict[str, Any] = {"revision": "old", "image": PINNED}


def db(replicas: int = 3, **changes: Any) -> WorkloadBuilder:
    return stateful("db", strategy=strategy(0)).scaled(replicas).image(PINNED).but(**changes)


def held(mark: Mark, *, seconds: float = 1, part: Part = PART, **changes: Any) -> WorkloadBuilder:
    """Give a StatefulSet of three pods of which the last is the canary."""
    made = db().record(mark, seconds=seconds, part=part, **changes)
    return made.but(strategy=part.to, partition=2, updated=1)


def three(last: Any = None) -> tuple[Any, ...]:
    olds = [pod(f"db-{number}", **OLD_REVISION) for number in (0, 1)]
    return (*olds, last or pod("db-2", revision="new"))


def written(found: Standing) -> Record:
    [action] = found.actions
    assert isinstance(action, MarkWorkload)
    return action.record


# --- beginning ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wanted", "partition"), [(1, 2), (2, 1), ("50%", 2), ("1%", 2), ("67%", 1)])
def test_the_others_are_held_back_in_the_same_patch(wanted: int | str, partition: int) -> None:
    [action] = begin(db(), policy=by_pods(wanted))
    assert isinstance(action, SetImages)
    assert action.strategy == StrategyEdit(strategy(0), strategy(partition))
    assert [edit.to for edit in action.edits] == [WANTED]
    record = action.record
    assert (record.mark, record.since) == (Mark.SAMPLING, NOW)
    assert record.part == Part(3 - partition, was=strategy(0), to=strategy(partition))


@pytest.mark.parametrize("wanted", [3, 4, "100%"])
def test_where_all_pods_are_no_more_than_the_canary_the_whole_is_one(wanted: int | str) -> None:
    [action] = begin(db(), policy=by_pods(wanted))
    assert isinstance(action, SetImages)
    assert (action.strategy, action.record.mark, action.record.part) == (None, Mark.APPLYING, None)
    made = db().image(WANTED).but(record=replace(action.record, since=ago(1)))
    record = written(stand(made.pods(*(pod(f"db-{n}", revision="new") for n in range(3))), policy=by_pods(wanted)))
    assert record.message == (
        "web:1.1 runs in 3 pods; all of its pods were the canary, since strategy.canary.pods allows as many"
    )


def test_after_the_canary_workloads_are_changed_as_a_whole() -> None:
    [action] = begin(db(), policy=ONE, wave=1)
    assert isinstance(action, SetImages)
    assert (action.strategy, action.record.mark) == (None, Mark.APPLYING)


def test_a_partition_is_never_lowered_and_whatever_else_is_in_the_strategy_stays() -> None:
    theirs = '{"rollingUpdate":{"maxUnavailable":2,"partition":5},"type":"RollingUpdate"}'
    [action] = begin(db(4, strategy=theirs), policy=ONE)
    assert isinstance(action, SetImages)
    assert action.strategy == StrategyEdit(theirs, theirs)
    [action] = begin(db(strategy='{"type":"RollingUpdate"}'), policy=ONE)
    assert isinstance(action, SetImages)
    assert action.strategy is not None
    assert json.loads(action.strategy.to) == {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}


# --- what cannot be one ---------------------------------------------------------------------------------------------

GIT = Write(git=GitTarget("https://git.example/acme/shop"))
ALLOWED = WorkloadTarget((REPOSITORY,), allow_recreate=True)


@pytest.mark.parametrize(
    ("made", "spec", "why"),
    [
        (db(gitops="Flux Kustomization a/b"), by_pods(write=GIT), "it is changed in Git, where its strategy is never"),
        (workload(kind="Rollout").scaled(3).image(PINNED), ONE, "no part of a Rollout can be changed"),
        (
            workload().but(recreate=True),
            by_pods(target=ALLOWED),
            "its strategy is Recreate, which runs no two",
        ),
    ],
)
def test_what_cannot_be_a_canary_in_part_comes_after_it(made: WorkloadBuilder, spec: PatchPolicy, why: str) -> None:
    found = stand(made, policy=spec)
    assert (found.stage, found.reason, found.for_good) == (Stage.SKIPPED, "NoPartialCanary", False)
    assert found.message.startswith(f"strategy.canary.pods cannot be kept: {why}")
    assert found.message.endswith("; its turn comes after the canary")
    assert stand(made, policy=spec, watched_from=1).stage is Stage.FRESH


def test_what_can_be_one_or_needs_not_is_fresh() -> None:
    assert stand(db(), policy=ONE).stage is Stage.FRESH
    assert stand(workload().scaled(1).but(recreate=True), policy=by_pods(target=ALLOWED)).stage is Stage.FRESH


# --- on the way -----------------------------------------------------------------------------------------------------


def test_its_status_means_nothing_before_its_controller_has_seen_the_change() -> None:
    found = stand(held(Mark.SAMPLING).but(generation=2), policy=ONE)
    assert (found.stage, found.message) == (Stage.WORKING, "waits for its controller to see generation 2")


def test_its_pods_are_looked_at_before_it_is_judged() -> None:
    found = stand(held(Mark.SAMPLING), policy=ONE)
    assert (found.message, found.actions) == ("looks at its pods", (ListWorkloadPods(db().view.ref),))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (held(Mark.SAMPLING).pods(*three(waiting("", name="db-2", revision="new"))), "has 0 of the canary's 1 pods on"),
        (held(Mark.SAMPLING).pods(*three(pod("db-2", revision="old"))), "has 0 of the canary's 1 pods on"),
        (held(Mark.SAMPLING).but(available_pods=2).pods(*three()), "has 2 of 3 pods available"),
    ],
)
def test_it_waits_for_its_canary(made: WorkloadBuilder, said: str) -> None:
    found = stand(made, policy=ONE)
    assert (found.stage, found.step) == (Stage.WORKING, "Canary")
    assert found.message.startswith(said)


def test_its_canary_is_done_when_that_many_pods_are_new_and_all_are_available() -> None:
    record = written(stand(held(Mark.SAMPLING).pods(*three()), policy=ONE))
    assert record.mark is Mark.SAMPLED
    assert record.message == "web:1.1 runs in 1 of 3 pods, the others wait for the soak"
    assert record.part == PART


def test_a_pod_that_cannot_work_fails_it_and_so_does_time() -> None:
    broken = waiting("InvalidImageName", name="db-2", revision="new")
    record = written(stand(held(Mark.SAMPLING).pods(*three(broken)), policy=ONE))
    assert (record.mark, record.reason, record.part) == (Mark.FAILED, "PodCannotStart", PART)
    late = held(Mark.SAMPLING, seconds=700).pods(*three(pod("db-2", **OLD_REVISION)))
    assert written(stand(late, policy=ONE)).reason == "DeadlineExceeded"


# --- the soak -------------------------------------------------------------------------------------------------------


def test_it_holds_while_the_canary_soaks_and_has_its_turn_when_that_has_passed() -> None:
    made = held(Mark.SAMPLED, seconds=30).pods(*three(), seconds=3)
    found = stand(made, policy=ONE)
    assert (found.stage, found.step, found.actions) == (Stage.PARTLY, "CanaryDone", ())
    assert found.wake is not None
    assert (found.wake - NOW).total_seconds() == 7
    assert stand(made, policy=ONE, widened=True).stage is Stage.PREPARED
    assert stand(held(Mark.SAMPLED, seconds=30), policy=ONE).actions == (ListWorkloadPods(made.view.ref),)
    assert stand(held(Mark.SAMPLED, seconds=30), policy=ONE, turning_back=True).actions == ()


def test_a_canary_that_crashes_in_its_soak_fails() -> None:
    made = held(Mark.SAMPLED, seconds=30).pods(*three(waiting("CrashLoopBackOff", restarts=3, name="db-2")))
    found = stand(made, policy=ONE)
    assert (found.stage, written(found).reason) == (Stage.FAILED, "PodCrashes")


@pytest.mark.parametrize("mark", [Mark.SAMPLING, Mark.SAMPLED])
@pytest.mark.parametrize(
    ("changes", "reason", "said"),
    [
        ({"strategy": strategy(0)}, "StrategyChanged", "somebody changed its update strategy"),
        ({"replicas": 0}, "NoEvidence", "somebody scaled it to zero"),
    ],
)
def test_a_hand_in_the_canary_ends_it_and_blames_no_image(
    mark: Mark, changes: dict[str, Any], reason: str, said: str
) -> None:
    record = written(stand(held(mark).but(**changes), policy=ONE))
    assert (record.mark, record.reason, record.taken) == (Mark.FAILED, reason, True)
    assert record.message == f"{said} while some of its pods were the canary"


@pytest.mark.parametrize("mark", [Mark.SAMPLING, Mark.SAMPLED])
def test_somebody_else_s_image_ends_it_too(mark: Mark) -> None:
    record = written(stand(held(mark).image(f"{REPOSITORY}:9@{OTHER}"), policy=ONE))
    assert (record.reason, record.taken) == ("ImageChanged", True)


@pytest.mark.parametrize("mark", [Mark.SAMPLING, Mark.SAMPLED])
@pytest.mark.parametrize(("replicas", "partition"), [(5, 4), (2, 1), (1, 0)])
def test_one_that_is_scaled_keeps_as_many_pods_for_a_canary_and_soaks_again(
    mark: Mark, replicas: int, partition: int
) -> None:
    found = stand(held(mark, seconds=30).but(replicas=replicas), policy=ONE)
    [action] = found.actions
    assert isinstance(action, SetImages)
    assert (found.stage, action.edits) == (Stage.WORKING, ())
    assert action.strategy == StrategyEdit(PART.to, strategy(partition))
    assert (action.record.mark, action.record.since) == (Mark.SAMPLING, NOW)
    assert action.record.part == replace(PART, to=strategy(partition))


# --- the rest -------------------------------------------------------------------------------------------------------


def test_the_rest_follows_when_the_strategy_is_given_back() -> None:
    [action] = begin(held(Mark.SAMPLED, seconds=300), policy=ONE)
    assert isinstance(action, SetImages)
    assert (action.edits, action.strategy) == ((), StrategyEdit(strategy(2), strategy(0)))
    record = action.record
    assert (record.mark, record.wave, record.part, record.since) == (Mark.APPLYING, 0, None, NOW)
    assert record.started_at == NOW, "its soak says nothing about how long the next one takes"


# --- back -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", [Mark.SAMPLING, Mark.SAMPLED, Mark.FAILED])
def test_images_and_strategy_go_back_in_one_patch(mark: Mark) -> None:
    [action] = put_back(held(mark), policy=ONE)
    assert isinstance(action, RestoreImages)
    assert [edit.to for edit in action.edits] == [PINNED]
    assert action.strategy == StrategyEdit(strategy(2), strategy(0))
    assert (action.record.mark, action.record.part) == (Mark.REVERTING, None)


def test_a_strategy_that_somebody_else_has_set_stays() -> None:
    [action] = put_back(held(Mark.FAILED).but(strategy=strategy(1)), policy=ONE)
    assert isinstance(action, RestoreImages)
    assert (action.strategy, action.record.part) == (None, None)


def test_where_the_image_is_somebody_else_s_only_the_strategy_goes_back() -> None:
    [action] = put_back(held(Mark.FAILED).image(TAGGED), policy=ONE)
    assert isinstance(action, RestoreImages)
    assert (action.edits, action.strategy) == ((), StrategyEdit(strategy(2), strategy(0)))
    assert (action.record.mark, action.record.reason) == (Mark.QUARANTINED, "RollbackConflict")
    [last] = put_back(held(Mark.FAILED).image(TAGGED).but(strategy=strategy(1)), policy=ONE)
    assert isinstance(last, MarkWorkload)
    assert (last.record.mark, last.record.part) == (Mark.QUARANTINED, None)


def test_without_rollback_the_others_are_held_back_until_a_person_has_looked() -> None:
    [action] = put_back(held(Mark.FAILED), policy=replace(ONE, rollback=Rollback(enabled=False)))
    assert isinstance(action, MarkWorkload)
    assert (action.record.mark, action.record.reason, action.record.part) == (
        Mark.QUARANTINED,
        "RollbackDisabled",
        PART,
    )


# --- DaemonSets -----------------------------------------------------------------------------------------------------

THEIRS = '{"rollingUpdate":{"maxUnavailable":1},"type":"RollingUpdate"}'
BY_HAND = Part(2, was=THEIRS, to='{"type":"OnDelete"}')


def agent(mark: Mark = Mark.SAMPLING, *, seconds: float = 1, **changes: Any) -> WorkloadBuilder:
    """Give a DaemonSet of three nodes, of which two are the canary."""
    made = workload("agent", kind="DaemonSet").scaled(3).record(mark, seconds=seconds, part=BY_HAND)
    return made.but(strategy=BY_HAND.to, on_delete=True, **changes)


def on(node: str, image: str = PINNED, **changes: Any) -> Any:
    return pod(f"agent-{node}", image, node=node, **changes)


def test_the_pods_of_a_daemon_set_are_held_where_they_are() -> None:
    made = workload("agent", kind="DaemonSet", strategy=THEIRS).scaled(3).image(PINNED)
    [action] = begin(made, policy=by_pods(2))
    assert isinstance(action, SetImages)
    assert action.strategy == StrategyEdit(THEIRS, '{"type":"OnDelete"}')
    assert action.record.part == BY_HAND


@pytest.mark.parametrize(
    ("pods", "node"),
    [
        ((on("n3"), on("n2"), on("n1")), "n1"),
        ((on("n3"), on("n2"), on("n1", WANTED)), "n2"),
        ((on("n3"), on("n2", ready=False), on("n1", WANTED)), "n3"),
        ((on("n3"), on("n2", node_away_since=NOW), on("n1", WANTED)), "n3"),
    ],
)
def test_its_canary_s_pods_are_replaced_one_at_a_time_by_the_names_of_their_nodes(
    pods: tuple[Any, ...], node: str
) -> None:
    found = stand(agent().pods(*pods), policy=ONE)
    assert isinstance(found.actions[0], ReplacePod)
    assert (found.actions[0].pod.name, found.actions[1]) == (f"agent-{node}", ListWorkloadPods(agent().view.ref))
    assert found.message == f"replaces pod shop/agent-{node} on node {node}"


@pytest.mark.parametrize(
    "pods",
    [
        (on("n3"), on("n2"), on("n1", deleted_at=NOW)),
        (on("n3"), on("n2")),
        (on("n3"), on("n2"), on("n1", WANTED, ready=False)),
        (on("n3", ready=False), on("n2", ready=False), on("n1", WANTED)),
    ],
)
def test_what_has_not_come_back_yet_is_waited_for(pods: tuple[Any, ...]) -> None:
    found = stand(agent().pods(*pods), policy=ONE)
    assert not any(isinstance(action, ReplacePod) for action in found.actions)
    assert found.message.startswith("has ")


def test_its_canary_is_done_with_so_many_nodes() -> None:
    made = agent().pods(on("n3"), on("n2", WANTED), on("n1", WANTED))
    assert written(stand(made, policy=ONE)).mark is Mark.SAMPLED


def test_a_canary_that_has_gone_with_its_node_is_made_up_for_and_soaks_again() -> None:
    made = agent(Mark.SAMPLED, seconds=30)
    found = stand(made.pods(on("n3"), on("n1", WANTED)), policy=ONE)
    assert (found.stage, found.message) == (Stage.WORKING, "has lost a pod of its canary, and gets another one")
    record = written(found)
    assert (record.mark, record.since, record.part) == (Mark.SAMPLING, NOW, BY_HAND)
    well = stand(made.pods(on("n3"), on("n2", WANTED), on("n1", WANTED)), policy=ONE)
    assert well.stage is Stage.PARTLY
