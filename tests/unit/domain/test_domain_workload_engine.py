"""The engine over workloads: nothing in it knows that they are not nodes."""

from __future__ import annotations

from patchwright.domain.actions import ListWorkloadPods, SetImages
from patchwright.domain.decide import decide
from patchwright.domain.state import Phase, RolloutState
from patchwright.domain.targets import Note
from patchwright.domain.workloads.record import Mark
from support import builders
from support.builders import actions, ago, allowed, planned
from support.image_builders import PINNED, pod, policy, snapshot, workload

SMALL = policy(soak=60)


def test_the_canary_begins_with_a_look_and_then_with_its_images() -> None:
    found = decide(snapshot(workload("a"), workload("b")))
    assert [type(each) for each in actions(found)] == [ListWorkloadPods]
    found = decide(snapshot(workload("a").image(PINNED), workload("b")))
    [action] = actions(found)
    assert isinstance(action, SetImages)
    assert str(action.workload) == "Deployment shop/a"
    assert found.state.message.endswith("starts Deployment shop/a")


def test_what_runs_no_pods_is_never_the_canary_and_waited_for_by_name() -> None:
    found = decide(snapshot(workload("a").scaled(0)))
    assert not actions(found)
    assert found.state.message.startswith("no canary can be started: Deployment shop/a: it runs no pods")


def test_a_canary_is_looked_at_while_it_soaks() -> None:
    done = workload("a").record(Mark.DONE, seconds=30)
    state = planned(SMALL, 2, phase=Phase.SOAKING, started_at=ago(60))
    found = decide(snapshot(done, workload("b"), policy=SMALL, state=state))
    assert found.state.phase is Phase.SOAKING
    assert actions(found) == (ListWorkloadPods(done.view.ref),)
    seen = done.pods(pod(), pod("web-1"), seconds=3)
    found = decide(snapshot(seen, workload("b"), policy=SMALL, state=state))
    assert not actions(found)
    assert found.wake is not None
    assert (found.wake - builders.NOW).total_seconds() == 7


def test_without_a_target_it_is_told_where_to_look() -> None:
    found = decide(snapshot(state=RolloutState(policy=allowed(0))))
    assert found.state.message == (
        "policy web selects no workload; "
        "check target.workloads.selector, and whether any of them runs an image of the change"
    )


def test_what_is_left_out_for_good_is_not_waited_for_at_the_end() -> None:
    owned = workload("b", gitops="Flux Kustomization a/b")
    state = planned(SMALL, 2, wave=1, policy=allowed(1), started_at=ago(900))
    found = decide(snapshot(workload("a").record(Mark.DONE, seconds=900), owned, policy=SMALL, state=state))
    assert found.state.outcome is Phase.SUCCEEDED
    assert "left out: Deployment shop/b (Flux Kustomization a/b applies it from Git" in found.state.message


def test_a_record_that_somebody_removed_is_missed_and_its_remedy_is_the_kind_s_own() -> None:
    note = Note("Deployment shop/a", workload("a").view.uid, "Applying", 0, since=ago(5))
    state = planned(SMALL, 2, phase=Phase.CANARY, in_flight=(note,))
    found = decide(snapshot(workload("a"), workload("b"), policy=SMALL, state=state))
    assert found.state.outcome is Phase.FAILED
    assert "check which images it runs" in found.state.message
