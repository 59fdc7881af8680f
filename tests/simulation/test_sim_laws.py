"""Each law can be broken: a mutant of the operator, or of the world around it, is caught by the law's name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from patchwright.domain import backward, budget, endings, gates, names, survey, waves, windows
from patchwright.domain.actions import Cordon, JobStep, Uncordon
from patchwright.domain.actions import Mark as WriteRecord
from patchwright.domain.model import Canary, MaintenanceWindow, Quantity
from patchwright.domain.nodes import balancers, jobs, marks, orphans, preparing, procedure, spans, volumes
from patchwright.domain.nodes.orphans import Settlement
from patchwright.domain.nodes.record import Mark
from patchwright.domain.nodes.view import Claim
from patchwright.domain.snapshot import Decision
from patchwright.domain.state import Phase
from patchwright.domain.targets import Stage, Standing
from patchwright.pipeline import observe, tell
from patchwright.pipeline.orphans import Orphans
from support.simulator import loop
from support.simulator.cache import Cache
from support.simulator.calls import Fault
from support.simulator.cluster import CHANGE, Circumstances, Cluster, Scenario, play
from support.simulator.fleet import Fleet
from support.simulator.people import People
from support.simulator.scenarios import (
    CLEAN,
    DRAINS,
    FAILED_CANARY,
    FAILS,
    FLEET,
    GENTLE,
    NO_IMAGE,
    PREPARES,
    SECOND_WAVE,
    unless,
)
from support.simulator.server import Change
from support.simulator.things import Job

ONE_BY_ONE = replace(FLEET, strategy=replace(FLEET.strategy, max_unavailable=Quantity(1)))
Patch = pytest.MonkeyPatch
Acts = Callable[[Cluster], Sequence[tuple[float, Callable[[], None]]]]


def broken(scenario: Scenario, circumstances: Circumstances | None = None) -> set[str]:
    result = play(replace(scenario, limit=min(scenario.limit, 3000)), circumstances)
    return {violation.law.split()[0] for violation in result.violations}


def people(*acts: tuple[float, Callable[[People], None]]) -> Acts:
    return lambda cluster: [(at, lambda act=act: act(People(cluster))) for at, act in acts]  # type: ignore[misc]  # mypy knows no default of a lambda


def test_l1_a_budget_that_is_not_kept_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(budget, "room", lambda *args, **kwargs: 100)
    assert "L1" in broken(replace(CLEAN, policy=ONE_BY_ONE))


def test_l1_preparing_more_than_may_be_cordoned_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(survey, "CLAIMED", ())
    assert "L1" in broken(replace(PREPARES, policy=ONE_BY_ONE))


def away(who: People) -> None:
    for number in range(11, 21):
        who.node(f"node-{number:02d}", ready=False)


def test_l1_a_cordon_that_does_not_look_at_the_budget_again_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(gates, "room", lambda context: (100, None))
    assert "L1" in broken(replace(PREPARES, people=people((2.0, away))))


def test_l1_what_was_prepared_waits_while_others_have_taken_its_place() -> None:
    back = [(60.0, lambda who, n=n: who.node(f"node-{n:02d}", ready=True)) for n in range(11, 21)]
    assert not broken(replace(PREPARES, people=people((2.0, away), *back)))


def test_l2_waves_that_do_not_wait_for_the_canarys_soak_are_caught(monkeypatch: Patch) -> None:
    real = waves.plan

    def hasty(*args: Any, **kwargs: Any) -> Any:
        plan = real(*args, **kwargs)
        return replace(plan, waves=(replace(plan.waves[0], soak_seconds=1.0), *plan.waves[1:]))

    monkeypatch.setattr(waves, "plan", hasty)
    assert "L2" in broken(CLEAN)


def test_l3_going_on_after_too_many_failures_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(backward, "_too_many", lambda context: None)
    assert "L3" in broken(SECOND_WAVE)


def test_l3_beginning_beside_a_failure_that_is_being_written_down_is_caught(monkeypatch: Patch) -> None:
    # The status that has to be written before the cordon is refused, and the next attempt comes when the other canary's
    # pod is given up.
    before = play(NO_IMAGE).log.index("cordon node-02") - 1
    refused = Circumstances(faults={before: Fault.DENIED})
    assert not broken(NO_IMAGE, refused)
    real = preparing._failed

    def hasty(*args: Any, **kwargs: Any) -> Standing:
        return replace(real(*args, **kwargs), failing=False)

    monkeypatch.setattr(preparing, "_failed", hasty)
    assert "L3" in broken(NO_IMAGE, refused)


def test_l4_calling_a_node_put_back_that_is_not_is_caught(monkeypatch: Patch) -> None:
    def pretend(self: Any, target: Any, brief: Any, *, why: str) -> Any:
        return (marks.restored(target, target.record, brief),)

    monkeypatch.setattr(procedure.NodeKind, "put_back", pretend)
    assert "L4" in broken(FAILED_CANARY)


def test_l4_a_job_before_its_record_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(marks, "applying", lambda node, record, brief: replace(record, since=brief.now))
    # The record is written again and again, and never says so: a minute of that is enough.
    assert "L4" in broken(replace(CLEAN, limit=60))


def test_l5_uncordoning_what_a_person_cordoned_is_caught(monkeypatch: Patch) -> None:
    real = marks.done

    def rude(*args: Any, **kwargs: Any) -> Any:
        return replace(real(*args, **kwargs), keep_cordon=False)

    monkeypatch.setattr(marks, "done", rude)
    monkeypatch.setattr(jobs, "_recordon", lambda node, record, stage: None)
    hands = people((3.0, lambda who: who.uncordon("node-01")), (3.5, lambda who: who.cordon("node-01")))
    assert "L5" in broken(replace(CLEAN, people=hands))


def test_l5_taking_a_node_that_a_person_cordoned_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(procedure, "_condition", lambda node: None)
    assert "L5" in broken(replace(CLEAN, people=people((2.0, lambda who: who.cordon("node-09")))))


def test_l5_a_node_that_is_cordoned_by_a_person_while_it_is_prepared_is_given_back(monkeypatch: Patch) -> None:
    acts = people((2.0, lambda who: who.cordon("node-01")))
    assert not broken(replace(PREPARES, people=acts))
    monkeypatch.setattr(procedure, "_off", lambda node, record, brief: None)
    assert "L5" in broken(replace(PREPARES, people=acts))


def test_cordoning_a_node_whose_prepare_job_has_not_succeeded_is_caught(monkeypatch: Patch) -> None:
    real = preparing.stand

    def impatient(node: Any, record: Any, brief: Any, *, obstacle: Any) -> Standing:
        return replace(real(node, record, brief, obstacle=obstacle), stage=Stage.PREPARED)

    monkeypatch.setattr(preparing, "stand", impatient)
    assert "Prepare" in broken(PREPARES)


def test_leaving_a_prepare_step_out_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(preparing, "begin", lambda node, record, brief: (Cordon(node.ref, record),))
    assert "Prepare" in broken(PREPARES)


def test_l6_forgetting_a_job_that_is_on_its_way_is_caught(monkeypatch: Patch) -> None:
    # Somebody aborts while the Job is asked for, the answer is lost, and the watch of Jobs is some seconds late.
    alone = replace(FLEET, strategy=replace(FLEET.strategy, canary=Canary(Quantity(1))))
    aborted = replace(PREPARES, policy=alone, people=people((0.25, lambda who: who.rollout(abort=True))))
    lost = Circumstances(faults={play(aborted).log.index("start prepare node-01"): Fault.LOST})
    real = Cache._later

    def late(self: Cache, change: Change) -> None:
        asyncio.get_running_loop().call_later(5.0 if change.kind is Job else 0.0, real, self, change)

    monkeypatch.setattr(Cache, "_later", late)
    assert not broken(aborted, lost)
    monkeypatch.setattr(preparing, "unseen", lambda node, record, brief: False)
    assert "L6" in broken(aborted, lost)


def test_l5_taking_a_person_s_label_off_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(balancers, "ours", lambda node, record: record.excluded)
    written_over = people((3.0, lambda who: who.exclude("node-01", "maintenance")))
    assert "L5" in broken(replace(GENTLE, people=written_over))


def test_l5_writing_over_a_person_s_label_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(balancers, "_asked", lambda node, brief: True)
    assert "L5" in broken(replace(GENTLE, people=people((0.01, lambda who: who.exclude("node-01")))))


def test_a_person_s_labels_before_and_midway_are_left_as_they_are() -> None:
    hands = people(
        (0.01, lambda who: who.exclude("node-02", "")),
        (3.0, lambda who: who.exclude("node-01", "maintenance")),
        (3.0, lambda who: who.exclude("node-03", None)),
    )
    result = play(replace(GENTLE, people=hands))
    assert not result.violations
    assert result.state.phase is Phase.SUCCEEDED
    assert result.excluded == {"node-01": "maintenance", "node-02": ""}


def test_l6_leaving_a_node_out_of_load_balancers_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(balancers, "ours", lambda node, record: False)
    aborted = people((60.0, lambda who: who.rollout(abort=True)))
    assert "L6" in broken(replace(GENTLE, people=aborted))


def test_l1_taking_the_last_node_out_of_load_balancers_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(gates, "spared", lambda context, targets: targets)
    assert "L1" in broken(replace(GENTLE, nodes=2, apps=()))


def test_evicting_before_load_balancers_have_had_their_time_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(balancers, "left_at", lambda record, options: record.started_at)
    assert "Drain" in broken(GENTLE)


def test_a_job_while_volumes_are_attached_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(volumes, "left", lambda found, pods, known: ())
    assert "Drain" in broken(GENTLE)


def test_forgetting_the_volumes_of_pods_that_went_before_a_restart_is_caught(monkeypatch: Patch) -> None:
    real = volumes.left
    evictions = [number for number, call in enumerate(play(GENTLE).log) if call.startswith("evict web")]
    crashed = Circumstances(faults={evictions[0]: Fault.CRASH_AFTER})
    assert not broken(GENTLE, crashed)
    monkeypatch.setattr(volumes, "left", lambda found, pods, known: real(found, pods, known or frozenset()))
    assert "Drain" in broken(GENTLE, crashed)


def test_waiting_for_the_volumes_of_pods_that_stay_never_ends(monkeypatch: Patch) -> None:
    real = volumes.left
    monkeypatch.setattr(volumes, "left", lambda found, pods, known: real(found, replace(pods, pods=()), known))
    assert play(GENTLE).state.phase is Phase.ROLLED_BACK


def test_l6_ending_before_the_marks_are_removed_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(endings, "_release", lambda context, forget: ())
    assert "L6" in broken(CLEAN)


def test_l6_ending_before_the_jobs_are_gone_is_caught(monkeypatch: Patch) -> None:
    real = observe.snapshot
    monkeypatch.setattr(observe, "snapshot", lambda *args, **kwargs: replace(real(*args, **kwargs), jobs_left=0))
    assert "L6" in broken(CLEAN)


TORN = people((4.5, lambda who: who.tear()))


def test_l6_leaving_alone_what_a_rollout_left_that_is_gone_is_caught(monkeypatch: Patch) -> None:
    async def blind(self: Orphans) -> None:
        """See nothing."""

    monkeypatch.setattr(Orphans, "sweep", blind)
    assert "L6" in broken(replace(CLEAN, people=TORN))


def test_l4_giving_back_a_half_patched_node_because_its_rollout_is_gone_is_caught(monkeypatch: Patch) -> None:
    def careless(claim: Claim, jobs: Any, *, now: Any) -> Settlement:
        return Settlement(Uncordon(claim.ref, None), "whatever is on it")

    monkeypatch.setattr(orphans, "settle", careless)
    half = unless({("node-01", JobStep.APPLY): replace(FAILS, takes=30)})
    assert "L4" in broken(replace(CLEAN, people=TORN, script=half))


def test_l7_starting_when_the_window_is_over_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(windows, "fits", lambda found, needed, now: True)
    policy = replace(FLEET, windows=(MaintenanceWindow("0 9 * * *", timedelta(seconds=70)),))
    assert "L7" in broken(replace(CLEAN, policy=policy))


def test_l7_an_estimate_that_forgets_the_drain_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(spans, "drain", lambda options: timedelta(0))
    policy = replace(DRAINS.policy, windows=(MaintenanceWindow("0 9 * * *", timedelta(seconds=330)),))
    assert "L7" in broken(replace(DRAINS, policy=policy))


def test_l7_an_estimate_that_forgets_load_balancers_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(spans, "drain", spans.emptying)
    drain = replace(GENTLE.policy.drain, load_balancer_wait=timedelta(seconds=60))
    needed = drain.timeout + GENTLE.policy.strategy.progress_deadline
    window = MaintenanceWindow("0 9 * * *", needed + timedelta(seconds=30))
    assert "L7" in broken(replace(GENTLE, policy=replace(GENTLE.policy, drain=drain, windows=(window,))))


def test_l8_starting_without_asking_policy_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(gates, "policy", lambda context, candidates, *, wave, size: None)
    monkeypatch.setattr(gates, "unseen", lambda context, candidates, picked: None)
    assert "L8" in broken(CLEAN)


def test_l8_starting_a_node_that_joined_after_policy_was_asked_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(gates, "unseen", lambda context, candidates, picked: None)
    joins = people((100.0, lambda who: who.join(21)))
    assert "L8" in broken(replace(CLEAN, policy=ONE_BY_ONE, people=joins))


def test_l8_an_answer_about_another_revision_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(gates, "_stale", lambda context, recorded: False)
    pinned = people((100.0, lambda who: who.pin("rev-2")))
    assert "L8" in broken(replace(CLEAN, policy=ONE_BY_ONE, people=pinned))


def test_l9_forgetting_what_failed_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(endings, "_remember", lambda context: ())
    assert "L9" in broken(FAILED_CANARY)


def test_l9_trying_again_what_failed_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(observe, "_remembered", lambda case, rollout: "")

    def again(who: People) -> None:
        who.cluster.ask_for("kernel-2", who.cluster.scenario.change)

    assert "L9" in broken(replace(FAILED_CANARY, people=people((300.0, again))))


def test_l10_taking_a_node_from_another_rollout_is_caught(monkeypatch: Patch) -> None:
    real = procedure.NodeKind.stand

    def greedy(self: Any, target: Any, brief: Any) -> Standing:
        if target.record is not None and target.record.rollout_uid != brief.rollout.uid:
            return Standing(Stage.FRESH, "Pending")
        return real(self, target, brief)

    monkeypatch.setattr(procedure.NodeKind, "stand", greedy)
    monkeypatch.setattr(observe, "_conflict", lambda *args: "")

    def second(who: People) -> None:
        who.cluster.ask_for("kernel-2", replace(CHANGE, version="1.2"), policy_name="kernel-too")

    hands = people((0.5, lambda who: who.another_policy("kernel-too")), (1.0, second))
    assert "L10" in broken(replace(CLEAN, people=hands))


def test_l11_saying_nothing_is_caught(monkeypatch: Patch) -> None:
    real = endings.succeed

    def silent(context: Any) -> Any:
        decision = real(context)
        return replace(decision, state=replace(decision.state, message=""))

    monkeypatch.setattr(endings, "succeed", silent)
    assert "L11" in broken(CLEAN)


def test_l11_not_telling_the_end_is_caught(monkeypatch: Patch) -> None:
    real = tell.rollout

    async def discreet(journal: Any, case: Any, before: Any, after: Any) -> None:
        if after.phase is not Phase.SUCCEEDED:
            await real(journal, case, before, after)

    monkeypatch.setattr(tell, "rollout", discreet)
    assert "L11" in broken(CLEAN)


def forgetful(monkeypatch: Patch) -> None:
    """Have operators see a Job only three seconds after its creation, as if they did not read their own writes."""
    real = Fleet._jobs

    def late(self: Fleet) -> Any:
        seen = real(self).items()
        return {
            key: [job for job in found if loop.now() - job.created_at > timedelta(seconds=3)] for key, found in seen
        }

    monkeypatch.setattr(Fleet, "_jobs", late)


def test_l12_names_that_differ_at_every_attempt_are_caught(monkeypatch: Patch) -> None:
    count = iter(range(100_000))
    monkeypatch.setattr(names, "job", lambda rollout, node, step: f"{node}-{step}-{next(count)}")
    forgetful(monkeypatch)
    assert "L12" in broken(replace(CLEAN, nodes=4))


def test_l12_names_that_are_the_same_at_every_attempt_make_a_repetition_harmless(monkeypatch: Patch) -> None:
    forgetful(monkeypatch)
    assert not broken(replace(CLEAN, nodes=4))


def test_a_rollout_that_never_ends_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(endings, "finish", lambda context: Decision(context.state))
    assert "End" in broken(CLEAN)


def test_two_package_managers_at_once_are_caught(monkeypatch: Patch) -> None:
    def impatient(self: Any, target: Any, brief: Any, *, why: str) -> Any:
        record = replace(target.record, mark=Mark.REVERTING, since=brief.now)
        return WriteRecord(target.ref, record), jobs.start(target, brief, JobStep.ROLLBACK)

    real = jobs._unsettled
    monkeypatch.setattr(jobs, "_unsettled", lambda standing: replace(real(standing), settled=True))
    monkeypatch.setattr(procedure.NodeKind, "put_back", impatient)
    aborted = people((4.5, lambda who: who.rollout(abort=True)))
    assert "L4" in broken(replace(CLEAN, people=aborted))


def test_waiting_for_a_canary_without_a_soak_breaks_no_law() -> None:
    policy = replace(FLEET, strategy=replace(FLEET.strategy, canary=Canary(soak=timedelta(0))))
    assert not broken(replace(CLEAN, policy=policy))
