"""Which pods of a node go, which stay, which are in the way, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from patchwright.domain.model import Drain
from patchwright.domain.nodes import drain
from patchwright.domain.nodes.drain import DrainPlan
from patchwright.domain.nodes.view import Eviction, EvictionAttempt, Owner, PodList, PodView
from support.builders import NOW, ago, labelled, pod


def planned(
    *pods: PodView,
    attempts: Sequence[tuple[PodView, EvictionAttempt]] = (),
    now: datetime = NOW,
    **options: Any,
) -> DrainPlan:
    known = {found.ref.uid: attempt for found, attempt in attempts}
    return drain.plan(PodList(ago(0.5), pods), Drain(**options), attempts=known, now=now)


def answer(result: Eviction, *, seconds: float = 0, **changes: Any) -> EvictionAttempt:
    return EvictionAttempt(result, ago(seconds), **changes)


# --- which pods (nodes.md 4.8) ----------------------------------------------------------------------------------------


def test_a_pod_that_a_controller_brings_back_is_evicted() -> None:
    assert planned(pod()).evict == (pod(),)


@pytest.mark.parametrize(
    "stays",
    [
        pytest.param(pod(mirror=True, owner=Owner.NOBODY), id="a static pod's mirror"),
        pytest.param(pod(phase="Succeeded", owner=Owner.NOBODY), id="one that succeeded"),
        pytest.param(pod(phase="Failed", emptydir=True), id="one that failed"),
        pytest.param(pod(owner=Owner.DAEMON_SET), id="one that a DaemonSet controls"),
        pytest.param(pod(patch_job=True), id="our own Job's"),
        pytest.param(pod(operator=True), id="the operator's own (4.18)"),
        pytest.param(pod(opt_out="cluster.x-k8s.io/drain=skip"), id="one whose owner asks that it stays"),
    ],
)
def test_it_stays(stays: PodView) -> None:
    assert planned(stays).drained


# FLUO and Skyhook skip the whole namespace, so CoreDNS dies ungracefully.
def test_pods_of_kube_system_are_evicted_as_any_other() -> None:
    dns = pod("coredns", namespace="kube-system")
    assert planned(dns).evict == (dns,)


@pytest.mark.parametrize(
    ("found", "options", "reason", "option"),
    [
        pytest.param(pod(owner=Owner.NOBODY), {}, "BarePod", "drain.force", id="a bare pod"),
        pytest.param(
            pod(owner=Owner.ORPHANED_DAEMON_SET), {}, "OrphanedPod", "drain.force", id="one whose DaemonSet is gone"
        ),
        pytest.param(
            pod(emptydir=True),
            {"delete_emptydir_data": False},
            "EmptyDir",
            "drain.deleteEmptydirData",
            id="one with data in an emptyDir",
        ),
        pytest.param(
            pod(owner=Owner.DAEMON_SET),
            {"ignore_daemon_sets": False},
            "DaemonSetPod",
            "drain.ignoreDaemonSets",
            id="a DaemonSet's, which would come back at once",
        ),
    ],
)
def test_it_is_never_evicted_under_these_options_and_the_option_is_named(
    found: PodView, options: dict[str, Any], reason: str, option: str
) -> None:
    result = planned(found, **options)
    assert [obstacle.reason for obstacle in result.refused] == [reason]
    assert not result.drained
    assert drain.sentence(result).startswith("pod shop/web-0 cannot be evicted: ")
    assert option in drain.sentence(result)


@pytest.mark.parametrize("owner", [Owner.NOBODY, Owner.ORPHANED_DAEMON_SET])
def test_force_evicts_bare_and_orphaned_pods(owner: Owner) -> None:
    assert planned(pod(owner=owner), force=True).evict


def test_emptydir_data_is_lost_by_default_as_in_system_upgrade_controller() -> None:
    assert planned(pod(emptydir=True)).evict


def test_a_pod_selector_leaves_the_others_alone() -> None:
    picked, other = pod("picked", labels={"drain": "yes"}), pod("other")
    assert planned(picked, other, pod_selector=labelled("drain", "yes")).evict == (picked,)


# --- drained is not evicted (4.7, 4.5) --------------------------------------------------------------------------------


# tuppr rebooted running pods until #582: evicting only sets a deletion timestamp.
def test_an_evicted_pod_is_waited_for_until_a_later_listing_shows_it_gone() -> None:
    found = pod()
    result = planned(found, attempts=[(found, answer(Eviction.ACCEPTED))])
    assert result.waiting == (found,)
    assert not result.drained


def test_pods_that_were_terminating_already_when_we_came_are_waited_for() -> None:
    going = pod(deleted_at=NOW + timedelta(seconds=30))
    result = planned(going)
    assert (result.waiting, result.evict) == ((going,), ())


def test_a_terminating_bare_pod_is_waited_for_and_needs_no_force() -> None:
    assert planned(pod(owner=Owner.NOBODY, deleted_at=NOW)).refused == ()


@pytest.mark.parametrize("result", [Eviction.ACCEPTED, Eviction.GONE, Eviction.REPLACED])
def test_a_pod_still_there_after_it_was_let_go_is_evicted_again(result: Eviction) -> None:
    found = pod()
    assert planned(found, attempts=[(found, answer(result, seconds=2))]).evict == (found,)


# StatefulSets give the next pod the same name (karpenter#998, kubernetes#64923).
def test_a_new_pod_of_the_same_name_has_another_uid_and_is_evicted_on_its_own() -> None:
    old = pod()
    new = PodView(type(old.ref)(old.ref.namespace, old.ref.name, "another-uid"))
    assert planned(new, attempts=[(old, answer(Eviction.ACCEPTED))]).evict == (new,)


def test_terminating_pods_are_waited_for_without_end_unless_told_otherwise() -> None:
    assert planned(pod(deleted_at=ago(86_400))).waiting


@pytest.mark.parametrize(("overdue", "drained"), [(60, False), (61, True)])
def test_a_pod_overdue_for_longer_than_the_user_would_wait_is_passed_over(overdue: float, drained: bool) -> None:
    result = planned(pod(deleted_at=ago(overdue)), skip_wait_for_delete_timeout=timedelta(seconds=60))
    assert result.drained is drained


def test_a_pod_marked_wait_completed_is_not_evicted_but_waited_for() -> None:
    found = pod(wait="patchwright.dev/drain=wait-completed", owner=Owner.NOBODY)
    assert planned(found).waiting == (found,)


def test_only_so_many_are_evicted_at_once_and_the_others_wait_their_turn() -> None:
    pods = [pod(f"web-{number}") for number in range(25)]
    result = planned(*pods)
    assert (len(result.evict), len(result.waiting)) == (drain.PASS_LIMIT, 15)


# --- what the eviction API answers (4.3, 4.4, 4.6) --------------------------------------------------------------------


BUDGET = "The disruption budget web needs 3 healthy pods and has 3 currently"


@pytest.mark.parametrize(
    ("attempt", "reason", "after"),
    [
        pytest.param(
            answer(Eviction.BLOCKED, message=BUDGET), "DisruptionBudget", 1, id="a budget's first 429: in a second"
        ),
        pytest.param(answer(Eviction.BLOCKED, attempts=9), "DisruptionBudget", 5, id="a budget's later ones: in five"),
        pytest.param(
            answer(Eviction.OVERLOADED, retry_after=timedelta(seconds=17)),
            "ServerOverloaded",
            17,
            id="an overloaded server's 429: when it says",
        ),
        pytest.param(answer(Eviction.OVERLOADED), "ServerOverloaded", 1, id="an overloaded server that does not say"),
        pytest.param(
            answer(Eviction.MISCONFIGURED, attempts=2),
            "SeveralDisruptionBudgets",
            20,
            id="a pod under several budgets (500): later and later",
        ),
        pytest.param(
            answer(Eviction.REFUSED, attempts=99), "EvictionRefused", 60, id="refused: at most a minute between"
        ),
        pytest.param(
            answer(Eviction.NAMESPACE_TERMINATING), "NamespaceTerminating", 1, id="its namespace is going: soon"
        ),
    ],
)
def test_each_refusal_is_told_apart_and_has_its_own_pace(attempt: EvictionAttempt, reason: str, after: float) -> None:
    found = pod()
    result = planned(found, attempts=[(found, attempt)])
    assert [obstacle.reason for obstacle in result.blocked] == [reason]
    assert result.retry_at == NOW + timedelta(seconds=after)
    assert planned(found, attempts=[(found, attempt)], now=NOW + timedelta(seconds=after)).evict == (found,)


def test_the_budget_that_blocks_is_told_in_its_own_words() -> None:
    found, free = pod(), pod("free")
    result = planned(found, free, attempts=[(found, answer(Eviction.BLOCKED, message=BUDGET))])
    assert result.evict == (free,), "one blocked pod does not hold up the others"
    assert drain.sentence(result) == f"pod shop/web-0 cannot be evicted: {BUDGET}"


def test_a_blocked_pod_that_is_tried_again_is_told_in_the_same_words() -> None:
    found = pod()
    result = planned(found, attempts=[(found, answer(Eviction.BLOCKED, seconds=30, message=BUDGET))])
    assert result.evict == (found,)
    assert drain.sentence(result) == f"pod shop/web-0 cannot be evicted: {BUDGET}"


def test_what_will_never_go_is_told_before_what_may_pass_and_the_others_are_counted() -> None:
    blocked = pod("a")
    bare = [pod(name, owner=Owner.NOBODY) for name in ("b", "c")]
    result = planned(blocked, *bare, attempts=[(blocked, answer(Eviction.BLOCKED))])
    assert drain.sentence(result).startswith("pod shop/b cannot be evicted: no controller")
    assert drain.sentence(result).endswith("(and 1 more)")


def test_pods_that_were_not_asked_for_yet_come_before_those_that_were_refused() -> None:
    pods = [pod(f"p{number:02}") for number in range(drain.PASS_LIMIT + 2)]
    refused = [(each, answer(Eviction.BLOCKED, seconds=60)) for each in pods[: drain.PASS_LIMIT]]
    first = planned(*pods, attempts=refused).evict
    assert [each.ref.name for each in first[:3]] == ["p10", "p11", "p00"]
    assert len(first) == drain.PASS_LIMIT


def test_do_not_disrupt_is_waited_for_and_named() -> None:
    result = planned(pod(do_not_disrupt="karpenter.sh/do-not-disrupt=true"))
    assert [obstacle.reason for obstacle in result.blocked] == ["DoNotDisrupt"]
    assert "karpenter.sh/do-not-disrupt=true" in drain.sentence(result)
    assert result.retry_at is None


@pytest.mark.parametrize(
    ("pods", "wanted"),
    [
        pytest.param((), "no pod is left that has to go", id="none"),
        pytest.param((pod(),), "waits for 1 pod to end, first shop/web-0", id="one"),
        pytest.param((pod(), pod("b")), "waits for 2 pods to end, first shop/web-0", id="two"),
    ],
)
def test_the_sentence_counts_what_is_left(pods: tuple[PodView, ...], wanted: str) -> None:
    assert drain.sentence(planned(*pods)) == wanted
