"""Out of the load balancers with the cordon and back with the uncordon, never more than a person's label allows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from patchwright.domain.actions import AskPolicy, Cordon, Evict, JobStep, ListPods, StartJob, Uncordon
from patchwright.domain.actions import Mark as WriteRecord
from patchwright.domain.model import Drain, PatchPolicy
from patchwright.domain.nodes import balancers, spans
from patchwright.domain.nodes.labels import EXCLUDE, EXCLUDED_BY_US
from patchwright.domain.nodes.procedure import NodeKind
from patchwright.domain.nodes.record import Mark
from patchwright.domain.snapshot import Decision
from patchwright.domain.state import Phase
from patchwright.domain.targets import Stage
from support.builders import (
    NOW,
    PREPARED,
    NodeBuilder,
    actions,
    ago,
    allowed,
    brief,
    cause,
    deciding,
    node,
    nodes,
    pod,
    policy,
    rollout,
    stand,
)

KIND = NodeKind()
WAIT = Drain().load_balancer_wait


def asked(**changes: Any) -> PatchPolicy:
    """Give a policy that keeps load balancers away from its nodes."""
    options = {name: changes.pop(name) for name in tuple(changes) if name in Drain.__slots__}
    return policy(drain=Drain(exclude_from_load_balancers=True, **options), **changes)


ASKED = asked()


def labelled(made: NodeBuilder, value: str = EXCLUDED_BY_US) -> NodeBuilder:
    return made.labels(**{EXCLUDE: value})


def uids(*made: NodeBuilder) -> frozenset[str]:
    return frozenset(each.view.uid for each in made)


def cordon(made: NodeBuilder, **changes: Any) -> Cordon:
    (found,) = KIND.begin(made.view, brief(**({"policy": ASKED} | changes)), wave=0)
    assert isinstance(found, Cordon)
    return found


def uncordon(*found: Any) -> Uncordon:
    (action,) = found
    assert isinstance(action, Uncordon)
    return action


# --- with the cordon --------------------------------------------------------------------------------------------------


def test_the_label_and_its_claim_come_in_the_patch_of_the_cordon() -> None:
    found = cordon(node())
    assert (found.exclude, found.record.excluded, found.record.cordoned) == (True, True, True)


def test_without_being_asked_nothing_is_labelled() -> None:
    found = cordon(node(), policy=policy())
    assert (found.exclude, found.record.excluded) == (False, False)


@pytest.mark.parametrize("value", ["", "true", "karpenter"])
def test_a_label_that_somebody_else_put_is_not_claimed_and_not_written_over(value: str) -> None:
    found = cordon(labelled(node(), value))
    assert (found.exclude, found.record.excluded) == (False, False)


def test_a_label_of_ours_that_was_left_with_a_quarantined_node_is_taken_on_again() -> None:
    assert cordon(labelled(node())).record.excluded
    assert not cordon(labelled(node()), policy=policy()).record.excluded, "nobody asked this policy"


def test_a_cordon_that_is_renewed_midway_does_not_renew_a_label_that_a_person_took_off() -> None:
    (again,) = stand(node().record(Mark.DRAINING, excluded=True).uncordoned(), policy=ASKED).actions
    assert isinstance(again, Cordon)
    assert (again.exclude, again.record.excluded) == (False, True)
    job = node().record(Mark.APPLYING, excluded=True).uncordoned().job(JobStep.APPLY)
    (again,) = stand(job, policy=ASKED).actions
    assert isinstance(again, Cordon)
    assert (again.exclude, again.record.excluded) == (False, True)


# --- before the first eviction ----------------------------------------------------------------------------------------


def test_nothing_is_evicted_or_looked_at_before_load_balancers_have_had_their_time() -> None:
    fresh = node().record(Mark.DRAINING, seconds=WAIT.total_seconds() - 1, excluded=True)
    standing = stand(fresh.pods(pod()), policy=ASKED)
    assert (standing.actions, standing.wake) == ((), NOW + timedelta(seconds=1))
    assert standing.message == "is out of load balancers, which have until 12:00:01 UTC to stop sending to it"
    late = node().record(Mark.DRAINING, seconds=WAIT.total_seconds(), excluded=True)
    assert [type(action) for action in stand(late, policy=ASKED).actions] == [ListPods]
    assert [type(action) for action in stand(late.pods(pod()), policy=ASKED).actions] == [Evict]


def test_a_node_that_a_person_keeps_out_is_not_waited_for() -> None:
    theirs = labelled(node().record(Mark.DRAINING, seconds=1), "true")
    assert [type(action) for action in stand(theirs, policy=ASKED).actions] == [ListPods]


def test_without_a_drain_the_job_waits_for_load_balancers_too() -> None:
    no_drain = asked(enabled=False, load_balancer_wait=timedelta(seconds=20))
    assert stand(node().record(Mark.DRAINING, seconds=19, excluded=True), policy=no_drain).actions == ()
    found = stand(node().record(Mark.DRAINING, seconds=20, excluded=True), policy=no_drain).actions
    assert [type(action) for action in found] == [WriteRecord, StartJob]


def test_a_cordon_that_is_renewed_does_not_begin_the_wait_again() -> None:
    again = node().record(Mark.DRAINING, seconds=1, started_at=ago(WAIT.total_seconds()), excluded=True)
    assert [type(action) for action in stand(again, policy=ASKED).actions] == [ListPods]


def test_a_maintenance_window_must_leave_time_for_load_balancers_and_for_no_wait_that_does_not_happen() -> None:
    timeout = Drain().timeout
    assert spans.drain(Drain(exclude_from_load_balancers=True)) == WAIT + timeout
    assert spans.drain(Drain(exclude_from_load_balancers=True, enabled=False)) == WAIT
    assert spans.drain(Drain(load_balancer_wait=timedelta(hours=1))) == timeout


def test_the_timeout_of_the_drain_begins_when_the_wait_is_over() -> None:
    wait, timeout = WAIT.total_seconds(), Drain().timeout.total_seconds()
    for made, undone in ((wait + timeout - 1, False), (wait + timeout, True)):
        late = node().record(Mark.DRAINING, seconds=60, started_at=ago(made), excluded=True).pods(pod())
        assert any(isinstance(action, Uncordon) for action in stand(late, policy=ASKED).actions) is undone


# --- with the uncordon ------------------------------------------------------------------------------------------------


def given_back(made: NodeBuilder) -> list[Uncordon]:
    """Give every way in which a node with this label comes back, each with its record."""
    late: dict[str, Any] = {"started_at": ago(7200), "excluded": True}
    done = made.record(Mark.APPLYING, excluded=True).succeeded(JobStep.APPLY)
    back = made.record(Mark.REVERTING, excluded=True).succeeded(JobStep.ROLLBACK)
    return [
        uncordon(*stand(made.record(Mark.DRAINING, **late).pods(pod()), policy=ASKED).actions),
        uncordon(*stand(done, policy=ASKED).actions),
        uncordon(*stand(back, policy=ASKED).actions),
        uncordon(*KIND.put_back(made.record(Mark.DRAINING, excluded=True).view, brief(), why="Aborted")),
        uncordon(*KIND.release(made.record(Mark.DRAINING, excluded=True).view, brief(), forget=False)),
    ]


def test_whatever_gives_a_node_back_gives_it_back_to_load_balancers_in_the_same_patch() -> None:
    for action in given_back(labelled(node())):
        assert (action.include, action.keep_cordon) == (True, False)
        assert action.record is None or not action.record.excluded


@pytest.mark.parametrize("value", ["", "true"])
def test_a_label_that_a_person_has_written_over_midway_stays(value: str) -> None:
    for action in given_back(labelled(node(), value)):
        assert not action.include
        assert action.record is None or not action.record.excluded, "it is not ours any more"


def test_a_label_that_a_person_took_off_midway_is_no_longer_ours() -> None:
    assert not any(action.include for action in given_back(node()))


def test_a_label_that_the_record_does_not_claim_stays() -> None:
    unclaimed = labelled(node().record(Mark.DRAINING))
    assert not uncordon(*KIND.put_back(unclaimed.view, brief(), why="Aborted")).include


def test_a_quarantined_node_keeps_its_label_with_its_cordon() -> None:
    kept = labelled(node().record(Mark.QUARANTINED, excluded=True))
    assert KIND.release(kept.view, brief(), forget=False) == ()
    gone = uncordon(*KIND.release(kept.view, brief(), forget=True))
    assert (gone.include, gone.keep_cordon) == (False, True)


# --- on the way back --------------------------------------------------------------------------------------------------


def put_back(made: NodeBuilder, **changes: Any) -> Any:
    (found,) = KIND.put_back(made.view, brief(policy=ASKED, **changes), why="Aborted")
    return found


def test_a_done_node_leaves_the_load_balancers_again_before_it_is_put_back() -> None:
    found = put_back(node().record(Mark.DONE))
    assert (found.exclude, found.record.excluded) == (True, True)
    assert stand(node().record(Mark.UNDRAINING, excluded=True), policy=ASKED).stage is Stage.RESTORING
    assert stand(node().record(Mark.UNDRAINING, excluded=True), policy=ASKED).actions == ()


def test_under_a_person_s_cordon_there_is_no_label_of_ours() -> None:
    found = put_back(node().record(Mark.DONE).cordoned())
    assert isinstance(found, WriteRecord)
    assert not found.record.excluded


def test_a_failed_node_that_somebody_uncordoned_keeps_what_the_record_claims() -> None:
    found = put_back(node().record(Mark.FAILED, excluded=True).uncordoned())
    assert (found.exclude, found.record.excluded) == (False, True)


def test_the_last_node_that_load_balancers_may_use_is_put_back_all_the_same() -> None:
    alone, two = uids(node()), uids(node(), node("n2"))
    assert not put_back(node().record(Mark.DONE), backends=alone).exclude, "rather a rough rollback than none"
    assert put_back(node().record(Mark.DONE), backends=two).exclude
    assert put_back(node().record(Mark.DONE), backends=uids(node("n2"))).exclude, "it is none of them as it is"


def test_of_several_that_are_put_back_at_once_the_last_one_stays_to_load_balancers() -> None:
    made = [node(name).record(Mark.DONE, seconds=60) for name in ("a", "b")]
    state = {"wave": 1, "cause": cause()}
    decision = deciding(*made, policy=asked(max_unavailable=2), state=state, backends=uids(*made))
    assert {each.node.name: each.exclude for each in actions(decision) if isinstance(each, Cordon)} == {
        "a": True,
        "b": False,
    }


# --- the last one is not taken (L1) -----------------------------------------------------------------------------------

PAIR = nodes(2)


def starts(decision: Decision) -> list[str]:
    return [action.node.name for action in actions(decision) if isinstance(action, Cordon)]


def test_of_all_that_could_start_one_is_left_to_load_balancers() -> None:
    both = asked(max_unavailable=2, canary=2)
    assert starts(deciding(*PAIR, policy=both, backends=uids(*PAIR))) == ["n01"]
    assert starts(deciding(*PAIR, policy=both, backends=uids(*PAIR, node("other")))) == ["n01", "n02"]
    assert starts(deciding(*PAIR, policy=both)) == ["n01", "n02"], "load balancers use none of them anyway"


def test_the_last_one_is_held_and_the_rollout_says_so_before_it_asks_policy() -> None:
    stale = {"policy": allowed(0, seconds=400)}
    decision = deciding(node("n01"), policy=ASKED, backends=uids(node("n01")), state=stale)
    assert (starts(decision), decision.state.phase) == ([], Phase.PENDING)
    assert not any(isinstance(action, AskPolicy) for action in actions(decision))
    assert decision.state.message == (
        "holds: n01 is the last node that load balancers may use, and would be taken out of them; give them another "
        "node (Ready, schedulable, not excluded), or drop drain.excludeFromLoadBalancers"
    )


def test_those_that_load_balancers_do_not_use_go_before_the_last_one_that_they_do() -> None:
    decision = deciding(*PAIR, policy=ASKED, backends=uids(PAIR[0]))
    assert starts(decision) == ["n02"]
    later = deciding(*PAIR, policy=ASKED, backends=uids(PAIR[0]), state={"wave": 1})
    assert starts(later) == ["n02"]


def test_the_next_one_waits_without_a_word_for_the_one_that_is_at_work() -> None:
    going = labelled(PAIR[0].record(Mark.DRAINING, excluded=True))
    decision = deciding(going, PAIR[1], policy=asked(canary=2, max_unavailable=2), backends=uids(PAIR[1]))
    assert starts(decision) == []
    assert decision.state.message.endswith(
        "n01 is out of load balancers, which have until 12:00:29 UTC to stop sending to it"
    )


# --- what is prepared first -------------------------------------------------------------------------------------------

PREPARES = rollout(prepare=PREPARED)


def prepared(name: str) -> NodeBuilder:
    """Give a node that was prepared and had to wait."""
    return node(name).record(Mark.PREPARED, cordoned=False, applied=False)


def claims(decision: Decision) -> list[str]:
    return [action.node.name for action in actions(decision) if isinstance(action, WriteRecord)]


def test_a_node_that_is_only_claimed_stays_in_load_balancers() -> None:
    written, _ = KIND.begin(node().view, brief(policy=ASKED, rollout=PREPARES), wave=0)
    assert isinstance(written, WriteRecord)
    assert not written.record.excluded


def test_a_prepared_node_leaves_load_balancers_with_its_cordon_and_they_have_their_full_time() -> None:
    found = cordon(prepared("n01"), rollout=PREPARES)
    assert (found.exclude, found.record.excluded, found.record.started_at) == (True, True, NOW)
    assert not cordon(labelled(prepared("n01"), "true"), rollout=PREPARES).exclude


def test_of_all_that_are_prepared_one_is_left_to_load_balancers() -> None:
    made, both = [prepared("n01"), prepared("n02")], asked(max_unavailable=2, canary=2)
    assert starts(deciding(*made, policy=both, rollout=PREPARES, backends=uids(*made))) == ["n01"]
    assert starts(deciding(*made, policy=both, rollout=PREPARES, backends=uids(*made, node("n3")))) == ["n01", "n02"]


def test_a_prepared_node_that_has_become_the_last_one_is_held_and_the_rollout_says_so() -> None:
    decision = deciding(prepared("n01"), policy=ASKED, rollout=PREPARES, backends=uids(node("n01")))
    assert starts(decision) == []
    assert decision.state.message == (
        "canary: 0 of 1 done, 1 in flight (1 prepared); holds: n01 is the last node that load balancers may use, and "
        "would be taken out of them; give them another node (Ready, schedulable, not excluded), or drop "
        "drain.excludeFromLoadBalancers"
    )


def test_what_is_claimed_already_counts_for_those_that_are_claimed_next() -> None:
    made = [node("n01").record(Mark.PREPARING, cordoned=False, applied=False), node("n02")]
    both = asked(max_unavailable=2, canary=2)
    decision = deciding(*made, policy=both, rollout=PREPARES, backends=uids(*made))
    assert claims(decision) == []
    three = deciding(*made, policy=both, rollout=PREPARES, backends=uids(*made, node("n3")))
    assert claims(three) == ["n02"]


# --- who serves -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "usable"),
    [
        ({}, True),
        ({"ready": False}, False),
        ({"unschedulable": True}, False),
        ({"labels": {EXCLUDE: ""}}, False),
        ({"labels": {"other": "x"}}, True),
    ],
)
def test_load_balancers_may_use_a_ready_schedulable_node_without_the_label(
    changes: dict[str, Any], usable: bool
) -> None:
    given: dict[str, Any] = {"ready": True, "unschedulable": False, "labels": {}} | changes
    assert balancers.usable(**given) is usable
