"""``decide`` over any snapshot: the laws that hold for a single decision, whatever the world looks like."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from patchwright.domain import windows
from patchwright.domain.actions import (
    Action,
    Cordon,
    DeleteJob,
    DeletePod,
    Evict,
    JobStep,
    Mark,
    NodeRef,
    StartJob,
    Uncordon,
)
from patchwright.domain.decide import decide
from patchwright.domain.model import FailurePolicy, Quantity
from patchwright.domain.nodes import record
from patchwright.domain.nodes.labels import EXCLUDE, EXCLUDED_BY_US
from patchwright.domain.nodes.view import NodeView, Outcome
from patchwright.domain.snapshot import Decision, Snapshot
from patchwright.domain.state import TERMINAL
from support.builders import ROLLOUT_UID
from support.strategies import snapshots

# A whole fleet takes a while to make up, the more so beside other tests.
SETTINGS = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
CLAIMED = frozenset({record.Mark.PREPARING, record.Mark.PREPARED})
AWAY = frozenset(record.Mark) - {record.Mark.DONE, record.Mark.RESTORED} - CLAIMED


def done_by(decision: Decision) -> list[Action]:
    return [action for batch in decision.batches for action in batch]


def nodes(snapshot: Snapshot) -> dict[str, NodeView]:
    found = {target.uid: target for target in snapshot.targets}
    assert all(isinstance(target, NodeView) for target in found.values())
    return found  # type: ignore[return-value]  # every target of these snapshots is a node


def is_ours(node: NodeView) -> bool:
    return node.record is not None and node.record.rollout_uid == ROLLOUT_UID


def claimed(snapshot: Snapshot, decision: Decision) -> list[NodeView]:
    """Give the nodes that are newly touched, cordoned or only prepared: this rollout's record was not on them."""
    by_uid = nodes(snapshot)
    written = [by_uid[action.node.uid] for action in done_by(decision) if isinstance(action, Cordon | Mark)]
    return [node for node in written if not is_ours(node)]


def started(snapshot: Snapshot, decision: Decision) -> list[NodeView]:
    """Give the nodes that are begun with: newly touched, or cordoned after they were prepared."""
    by_uid = nodes(snapshot)
    cordons = [by_uid[action.node.uid] for action in done_by(decision) if isinstance(action, Cordon)]
    return claimed(snapshot, decision) + [node for node in cordons if is_prepared(node)]


def is_prepared(node: NodeView) -> bool:
    return is_ours(node) and node.record is not None and node.record.mark in CLAIMED


def unavailable(node: NodeView) -> bool:
    """Tell it independently of the survey."""
    out = node.record is not None and is_ours(node) and node.record.mark in AWAY
    return out or node.unschedulable or not node.ready


def limit(quantity: Quantity, total: int) -> int:
    if not quantity.percent:
        return quantity.value
    return max(1, total * quantity.value // 100) if quantity.value else 0


@SETTINGS
@given(snapshots())
def test_the_same_snapshot_gives_the_same_decision(snapshot: Snapshot) -> None:
    assert decide(snapshot) == decide(snapshot)


@SETTINGS
@given(snapshots(), st.randoms(use_true_random=False))
def test_the_order_in_which_nodes_are_listed_changes_nothing_that_is_done(snapshot: Snapshot, random: object) -> None:
    shuffled = list(snapshot.targets)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis types it as Random only under its own plugin
    one, other = decide(snapshot), decide(replace(snapshot, targets=tuple(shuffled)))
    assert sorted(map(repr, one.batches)) == sorted(map(repr, other.batches))
    assert (one.state.phase, one.state.wave, one.state.counts) == (
        other.state.phase,
        other.state.wave,
        other.state.counts,
    )


@SETTINGS
@given(snapshots())
def test_only_nodes_that_nobody_else_has_to_do_with_are_started(snapshot: Snapshot) -> None:
    for node in started(snapshot, decide(snapshot)):
        assert node.record is None or is_prepared(node)
        assert not node.record_fault
        assert node.ready
        assert not node.unschedulable
        assert not any((node.foreign, node.opted_out, node.paused, node.deleting))


@SETTINGS
@given(snapshots())
def test_what_is_not_ours_is_not_touched(snapshot: Snapshot) -> None:
    by_uid = nodes(snapshot)
    decision = decide(snapshot)
    begun = {node.uid for node in started(snapshot, decision)}
    for action in done_by(decision):
        ref = getattr(action, "node", None)
        if isinstance(ref, NodeRef) and ref.uid not in begun:
            assert is_ours(by_uid[ref.uid])


@SETTINGS
@given(snapshots())
def test_no_more_start_than_there_is_room_for(snapshot: Snapshot) -> None:
    decision, fleet = decide(snapshot), nodes(snapshot).values()
    begun, new = started(snapshot, decision), claimed(snapshot, decision)
    away = sum(unavailable(node) for node in fleet)
    most = limit(snapshot.policy.strategy.max_unavailable, len(snapshot.targets))
    assert len(begun) == len(new) or away + len(begun) - len(new) <= most
    # What is prepared keeps a place of its own: no more are prepared than may be cordoned.
    kept = sum(is_prepared(node) and not unavailable(node) for node in fleet)
    assert not new or away + kept + len(new) <= most


@SETTINGS
@given(snapshots())
def test_no_node_is_cordoned_before_it_is_prepared_where_the_change_has_something_to_prepare(
    snapshot: Snapshot,
) -> None:
    by_uid = nodes(snapshot)
    for action in done_by(decide(snapshot)):
        if not isinstance(action, Cordon):
            continue
        node = by_uid[action.node.uid]
        assert is_ours(node) or snapshot.rollout.script.prepare is None
        if is_prepared(node):
            job = node.jobs.get(JobStep.PREPARE)
            assert node.record is not None
            assert node.record.mark is record.Mark.PREPARED or (job and job.outcome is Outcome.SUCCEEDED)


@SETTINGS
@given(snapshots())
def test_nothing_but_a_cordon_changes_whether_a_prepared_node_takes_pods(snapshot: Snapshot) -> None:
    by_uid = nodes(snapshot)
    for action in done_by(decide(snapshot)):
        ref = getattr(action, "node", None)
        if not isinstance(ref, NodeRef) or not is_prepared(by_uid[ref.uid]):
            continue
        known = by_uid[ref.uid].record
        assert known is not None
        assert isinstance(action, Cordon | Mark | Uncordon | StartJob | DeleteJob)
        if isinstance(action, Uncordon):
            assert action.keep_cordon or known.cordoned


@SETTINGS
@given(snapshots())
def test_no_wave_grows_beyond_its_plan_and_nothing_starts_in_another(snapshot: Snapshot) -> None:
    begun = started(snapshot, decide(snapshot))
    if not begun:
        return
    plan, wave = snapshot.state.plan, snapshot.state.wave
    assert plan is not None
    size = plan.waves[min(wave, len(plan.waves) - 1)].size
    members = [n for n in nodes(snapshot).values() if is_ours(n) and n.record is not None and n.record.wave == wave]
    new = {node.uid for node in claimed(snapshot, decide(snapshot))}
    assert not new or size is None or len(members) + len(new) <= size
    for action in done_by(decide(snapshot)):
        if isinstance(action, Cordon | Mark) and action.node.uid in new:
            assert action.record.wave == wave


@SETTINGS
@given(snapshots())
def test_nothing_new_starts_once_it_is_halted_paused_superseded_or_over(snapshot: Snapshot) -> None:
    state, rollout, policy = snapshot.state, snapshot.rollout, snapshot.policy
    stops = (
        state.cause or state.outcome or state.phase in TERMINAL or snapshot.superseded_by,
        rollout.paused or rollout.abort or rollout.deleting or policy.suspend or policy.deleting,
        not windows.opening(policy.windows, now=snapshot.now).open,
    )
    assert not (any(stops) and started(snapshot, decide(snapshot)))


@SETTINGS
@given(snapshots())
def test_nothing_new_starts_without_an_allowed_recorded_decision_of_the_pinned_revision(snapshot: Snapshot) -> None:
    begun = started(snapshot, decide(snapshot))
    if not begun:
        return
    recorded = snapshot.state.policy
    assert snapshot.asked is not None
    assert {node.name for node in begun} <= snapshot.asked, "policy has seen every name"
    assert recorded is not None
    assert recorded.wave == snapshot.state.wave
    if recorded.decision is None:
        assert snapshot.policy.policy.failure_policy is FailurePolicy.IGNORE
    else:
        assert recorded.decision.allowed
        assert recorded.decision.revision == snapshot.revision


@SETTINGS
@given(snapshots())
def test_domains_and_control_planes_take_turns(snapshot: Snapshot) -> None:
    begun = started(snapshot, decide(snapshot))
    lone = [node for node in begun if node.order.one_at_a_time]
    others = [node for node in nodes(snapshot).values() if node.order.one_at_a_time and unavailable(node)]
    assert len(lone) + (len(others) if lone else 0) <= 1
    kept = [node for node in nodes(snapshot).values() if node.order.one_at_a_time and is_prepared(node)]
    assert not (kept and any(node in claimed(snapshot, decide(snapshot)) for node in lone))
    if snapshot.policy.strategy.topology_key:
        assert len({node.order.domain for node in begun}) <= 1


@SETTINGS
@given(snapshots())
def test_only_a_cordon_that_its_record_claims_is_taken_away(snapshot: Snapshot) -> None:
    by_uid = nodes(snapshot)
    for action in done_by(decide(snapshot)):
        if isinstance(action, Uncordon):
            known = by_uid[action.node.uid].record
            assert known is not None
            assert known.rollout_uid == ROLLOUT_UID
            assert action.keep_cordon or known.cordoned


@SETTINGS
@given(snapshots())
def test_the_label_against_load_balancers_comes_with_a_cordon_of_ours_and_nobody_else_s_is_touched(
    snapshot: Snapshot,
) -> None:
    by_uid = nodes(snapshot)
    for action in done_by(decide(snapshot)):
        if isinstance(action, Cordon) and action.exclude:
            assert snapshot.policy.drain.exclude_from_load_balancers
            assert action.record.excluded
            assert by_uid[action.node.uid].labels.get(EXCLUDE, EXCLUDED_BY_US) == EXCLUDED_BY_US
        if isinstance(action, Uncordon) and action.include:
            known = by_uid[action.node.uid]
            assert known.record is not None
            assert known.record.excluded
            assert known.labels[EXCLUDE] == EXCLUDED_BY_US
            assert not action.keep_cordon
        if isinstance(action, Uncordon) and action.record is not None:
            assert not action.record.excluded


@SETTINGS
@given(snapshots())
def test_one_node_is_always_left_to_load_balancers(snapshot: Snapshot) -> None:
    taken = {each.node.uid for each in done_by(decide(snapshot)) if isinstance(each, Cordon) and each.exclude}
    turned = {uid for uid in taken if is_ours(nodes(snapshot)[uid])}
    used = snapshot.backends & taken
    # Below the threshold a failed node that somebody uncordoned is put back by itself, beside whatever starts.
    assert not used or len(snapshot.backends) > len(used - turned)


@SETTINGS
@given(snapshots())
def test_nothing_is_evicted_while_load_balancers_have_time_left(snapshot: Snapshot) -> None:
    by_uid = nodes(snapshot)
    wait = snapshot.policy.drain.load_balancer_wait
    for action in done_by(decide(snapshot)):
        if isinstance(action, Evict | DeletePod):
            known = by_uid[action.node.uid].record
            assert known is not None
            assert not known.excluded or snapshot.now >= known.started_at + wait


@SETTINGS
@given(snapshots())
def test_a_record_that_is_written_can_be_read_and_never_forgets_where_it_came_from(snapshot: Snapshot) -> None:
    by_uid = nodes(snapshot)
    for action in done_by(decide(snapshot)):
        if isinstance(action, Cordon | Mark | Uncordon) and action.record is not None:
            assert record.decode(record.encode(action.record)) == action.record
            known = by_uid[action.node.uid].record
            if known is not None:
                assert action.record.previous == known.previous
                assert action.record.wave == known.wave
                assert action.record.applied or not known.applied
                assert action.record.failed or not known.failed


@SETTINGS
@given(snapshots())
def test_every_node_has_one_batch_at_most_and_every_write_its_preconditions(snapshot: Snapshot) -> None:
    by_uid = nodes(snapshot)
    seen: set[str] = set()
    for batch in decide(snapshot).batches:
        refs = {ref for action in batch if isinstance(ref := getattr(action, "node", None), NodeRef)}
        assert len(refs) <= 1
        for ref in refs:
            assert ref.uid not in seen
            assert ref == by_uid[ref.uid].ref
            seen.add(ref.uid)


@SETTINGS
@given(snapshots())
def test_every_decision_is_told_in_a_sentence(snapshot: Snapshot) -> None:
    decision = decide(snapshot)
    if snapshot.state.phase in TERMINAL or decision.state.outcome:
        return
    assert decision.state.message
    assert "None" not in decision.state.message
    assert len(decision.state.message) <= 1024
    ready = [found for found in decision.state.conditions if found.type == "Ready"]
    assert [found.message for found in ready] == [decision.state.message]


@SETTINGS
@given(snapshots())
def test_a_terminal_phase_is_reached_only_when_nothing_of_ours_is_left_but_the_quarantined(snapshot: Snapshot) -> None:
    decision = decide(snapshot)
    if snapshot.state.phase in TERMINAL or decision.state.phase not in TERMINAL:
        return
    assert snapshot.jobs_left == 0
    for node in nodes(snapshot).values():
        if is_ours(node):
            assert node.record is not None
            assert node.record.mark is record.Mark.QUARANTINED
            assert not snapshot.rollout.deleting
