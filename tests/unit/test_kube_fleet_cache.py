"""The caches: news in any order, deletions that come late, Jobs joined with their pods, and who is told."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwright.adapters.kube import pods
from patchwright.adapters.kube.fleet_cache import Changed, FleetCache
from patchwright.adapters.kube.projection import Lens
from patchwright.domain.actions import JobStep, NodeRef
from patchwright.domain.model import Operator, Requirement, Selector
from patchwright.domain.nodes.record import encode
from patchwright.domain.nodes.view import JobView, NodeView, Outcome, Remains, Stuck
from support import rollouts
from support.raw_objects import ended, job, node, pod

LENS = Lens("workers", Selector())
CLAIMED = {"patchwright.dev/state": encode(rollouts.record("uid-openssl"))}


def cache_of(*raws: dict[str, Any]) -> FleetCache:
    cache = FleetCache(namespace="patchwright-system")
    for raw in raws:
        cache.apply_node(raw)
    return cache


def claimed() -> FleetCache:
    return cache_of(node(annotations=CLAIMED))


def only(cache: FleetCache) -> NodeView:
    [view] = cache.nodes(LENS)
    return view


def apply_job(cache: FleetCache) -> JobView:
    return only(cache).jobs[JobStep.APPLY]


def test_older_news_do_not_undo_newer_ones() -> None:
    cache = cache_of(node(version=10, unschedulable=True), node(version=9))
    assert only(cache).unschedulable


def test_versions_are_compared_as_numbers() -> None:
    cache = cache_of(node(version=9), node(version=10, unschedulable=True))
    assert only(cache).unschedulable


def test_a_deletion_that_comes_late_does_not_remove_the_node_that_came_after() -> None:
    cache = cache_of(node(uid="old", version=1), node(uid="new", version=5))
    cache.remove_node(node(uid="old", version=4))
    assert only(cache).uid == "new"


def test_an_answer_that_comes_after_the_deletion_does_not_bring_a_node_back() -> None:
    cache = cache_of(node(version=1))
    cache.remove_node(node(version=7))
    cache.apply_node(node(version=6))
    assert cache.nodes(LENS) == ()


def test_a_node_that_was_replaced_does_not_come_back_with_a_higher_version() -> None:
    cache = cache_of(node(uid="old", version=1), node(uid="new", version=5))
    cache.apply_node(node(uid="old", version=6))
    assert only(cache).uid == "new"


@given(st.permutations([node(version=v, boot_id=f"boot-{v}", unschedulable=v % 2 == 0) for v in range(1, 7)]))
def test_whatever_the_order_of_news_the_newest_is_what_is_known(news: list[dict[str, Any]]) -> None:
    cache = cache_of(*news)
    assert (only(cache).boot_id, only(cache).resource_version) == ("boot-6", "6")


LIFE = [
    ("apply", node(uid="a", version=1)),
    ("apply", node(uid="a", version=3, annotations=CLAIMED)),
    ("remove", node(uid="a", version=4)),
    ("apply", node(uid="b", version=6)),
]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
def test_a_node_s_death_and_rebirth_is_told_rightly_in_every_order_of_its_news(order: tuple[int, ...]) -> None:
    cache = FleetCache(namespace="patchwright-system")
    for index in order:
        verb, raw = LIFE[index]
        cache.apply_node(raw) if verb == "apply" else cache.remove_node(raw)
    assert only(cache).uid == "b"
    assert cache.marked(LENS, "uid-openssl") == ()


def test_the_lens_selects_by_label_and_follows_a_label_that_changes() -> None:
    lens = Lens("workers", Selector((Requirement("pool", Operator.IN, frozenset({"a"})),)))
    cache = cache_of(node("n1", labels={"pool": "a"}), node("n2", labels={"pool": "b"}))
    assert [each.name for each in cache.nodes(lens)] == ["n1"]
    cache.apply_node(node("n1", 2, labels={"pool": "b"}))
    cache.apply_node(node("n2", 2, labels={"pool": "a"}))
    assert [each.name for each in cache.nodes(lens)] == ["n2"]
    cache.remove_node(node("n2", 3))
    assert cache.nodes(lens) == ()


def test_load_balancers_may_use_every_node_of_the_cluster_that_serves_selected_or_not() -> None:
    excluded = {"node.kubernetes.io/exclude-from-external-load-balancers": ""}
    cache = cache_of(
        node("serves", labels={"role": "edge"}),
        node("too"),
        node("cordoned", unschedulable=True),
        node("sick", ready="False"),
        node("out", labels=excluded),
    )
    assert cache.backends() == {"uid-serves", "uid-too"}


def test_what_a_nodes_processor_is_is_what_kubelet_says_and_nothing_where_nobody_does() -> None:
    cache = cache_of(node("one", labels={"kubernetes.io/arch": "arm64"}), node("two"))
    assert [cache.architecture(name) for name in ("one", "two", "gone")] == ["arm64", "", ""]


def test_a_node_is_alone_until_another_joins_and_again_when_that_is_gone() -> None:
    cache = cache_of(node("n1"))
    assert only(cache).alone
    cache.apply_node(node("n2", 2))
    assert [each.alone for each in cache.nodes(LENS)] == [False, False]
    cache.remove_node(node("n2", 3))
    assert only(cache).alone
    cache.apply_node(node("n3", 4))
    assert not any(each.alone for each in cache.nodes(LENS))
    cache.prune_nodes(frozenset({"uid-n1"}), at=9)
    assert only(cache).alone


def test_marked_nodes_are_found_though_their_labels_do_not_match_any_more() -> None:
    lens = Lens("workers", Selector((Requirement("pool", Operator.EXISTS),)))
    cache = claimed()
    assert cache.nodes(lens) == ()
    assert [each.name for each in cache.marked(lens, "uid-openssl")] == ["n1"]
    cache.apply_node(node(version=2))
    assert cache.marked(lens, "uid-openssl") == ()


def test_an_unchanged_fleet_is_not_looked_at_again() -> None:
    cache = cache_of(*(node(f"n{number}") for number in range(3)))
    before = cache.nodes(LENS)
    assert cache.nodes(LENS) is before
    cache.apply_node(node("n1", 2))
    after = cache.nodes(LENS)
    assert (after[0] is before[0], after[1] is before[1]) == (True, False)
    assert after[1].resource_version == "2"


def test_listeners_hear_of_changes_and_not_of_heartbeats() -> None:
    cache = cache_of(node())
    heard: list[Changed] = []
    cache.on_change(heard.append)
    cache.apply_node(node(version=2))
    assert heard == []
    cache.apply_node(node(version=3, ready="False"))
    cache.apply_job(job())
    cache.remove_node(node(version=4))
    assert heard == [Changed("n1"), Changed("n1", "uid-openssl"), Changed("n1")]


def test_a_node_shows_the_jobs_of_whoever_has_claimed_it() -> None:
    cache = claimed()
    cache.apply_job(job("theirs", rollout="uid-of-another"))
    cache.apply_job(job("mine"))
    assert [each.name for each in only(cache).jobs.values()] == ["mine"]
    cache.apply_node(node(version=2))
    assert only(cache).jobs == {}


def test_a_job_that_is_done_and_one_that_failed_say_so() -> None:
    cache = claimed()
    cache.apply_job(job(ended="Failed"))
    assert (apply_job(cache).outcome, apply_job(cache).reason) == (Outcome.FAILED, "Why")
    cache.apply_job(job(version=2, ended="Complete"))
    assert apply_job(cache).outcome is Outcome.SUCCEEDED


def test_a_job_that_is_only_about_to_fail_has_not_failed_while_its_pod_may_run() -> None:
    cache = claimed()
    cache.apply_job(job(ended="FailureTarget"))
    assert apply_job(cache).outcome is None


@pytest.mark.parametrize("pod_first", [True, False])
def test_a_pod_s_success_counts_at_once_in_either_order_of_arrival(pod_first: bool) -> None:
    cache = claimed()
    done = pod(phase="Succeeded", state=ended(0, "all good"))
    if pod_first:
        cache.apply_pod(done)
    cache.apply_job(job())
    cache.apply_pod(done)
    view = apply_job(cache)
    assert (view.outcome, view.termination, view.exit_code) == (Outcome.SUCCEEDED, "all good", 0)
    assert view.finished_at is not None


@pytest.mark.parametrize(("retries", "outcome"), [(0, Outcome.FAILED), (3, None)])
def test_a_failed_pod_is_a_failed_job_only_where_no_other_pod_can_follow(retries: int, outcome: Outcome | None) -> None:
    cache = claimed()
    cache.apply_job(job(backoff_limit=retries))
    cache.apply_pod(pod(phase="Failed", state=ended(1, "no")))
    assert apply_job(cache).outcome is outcome


def test_the_newest_pod_speaks_for_a_job_that_was_retried() -> None:
    cache = claimed()
    cache.apply_job(job(backoff_limit=3))
    cache.apply_pod(pod("first", phase="Failed", state=ended(137)))
    cache.apply_pod(pod("second", created="2026-11-23T12:05:00Z", state={"waiting": {"reason": "ImagePullBackOff"}}))
    view = apply_job(cache)
    assert (view.waiting, view.termination, view.exit_code) == ("ImagePullBackOff", None, None)


def test_what_a_pod_said_last_is_kept_when_the_pod_is_gone() -> None:
    cache = claimed()
    cache.apply_job(job())
    cache.apply_pod(pod(phase="Failed", state=ended(3, "last words")))
    cache.remove_pod(pod(version=9, phase="Failed", state=ended(3, "last words")))
    assert (apply_job(cache).termination, apply_job(cache).exit_code) == ("last words", 3)


def test_a_pod_that_went_without_a_word_is_not_waited_for() -> None:
    cache = claimed()
    cache.apply_job(job())
    cache.apply_pod(pod(state={"waiting": {"reason": "ContainerCreating"}}))
    cache.remove_pod(pod(version=9))
    assert (apply_job(cache).termination, apply_job(cache).waiting) == ("", "")


def test_a_pod_of_a_deleted_job_is_forgotten_however_late_it_is_told_of() -> None:
    cache = claimed()
    cache.apply_job(job())
    cache.remove_job(job(version=5))
    cache.apply_pod(pod(version=4))
    cache.remove_pod(pod(version=6))
    cache.apply_job(job("job-1", 9, uid="again"))
    assert apply_job(cache).termination is None
    assert len(cache._pods) == 0


def test_jobs_elsewhere_and_jobs_of_others_do_not_count() -> None:
    cache = claimed()
    cache.apply_job(job(namespace="default"))
    stranger = job("stranger")
    del stranger["metadata"]["labels"]["patchwright.dev/rollout"]
    cache.apply_job(stranger)
    cache.apply_job(job("nonsense", step="nonsense"))
    assert (only(cache).jobs, cache.orphan_jobs("uid-openssl")) == ({}, 0)


def test_jobs_are_orphans_until_they_are_gone() -> None:
    cache = claimed()
    cache.apply_job(job())
    cache.deleting_jobs("uid-openssl")
    assert apply_job(cache).deleting
    assert cache.orphan_jobs("uid-openssl") == 1
    cache.remove_job(job(version=2))
    assert cache.orphan_jobs("uid-openssl") == 0


def test_a_rollout_has_ended_once_every_job_of_it_or_its_pod_has() -> None:
    cache = claimed()
    cache.apply_job(job("job-1"))
    cache.apply_job(job("job-2", step="verify", ended="Complete"))
    cache.apply_job(job("job-3", rollout="somebody-else"))
    assert not cache.all_ended("uid-openssl")
    cache.apply_pod(pod(phase="Succeeded", state=ended()))
    assert cache.all_ended("uid-openssl")
    assert not cache.all_ended("somebody-else")


def test_a_node_wakes_the_rollouts_whose_jobs_it_has_until_the_last_is_gone() -> None:
    cache = cache_of(node())
    cache.apply_job(job("job-1"))
    cache.apply_job(job("job-2", step="verify"))
    cache.remove_job(job("job-1"))
    assert cache.rollouts_on("n1") == {"uid-openssl"}
    cache.remove_job(job("job-2", step="verify"))
    assert cache.rollouts_on("n1") == set()


def test_a_complete_list_drops_what_it_does_not_hold_unless_that_is_newer() -> None:
    cache = cache_of(node("kept", 1), node("gone", 2), node("newer", 9, annotations=CLAIMED))
    cache.apply_job(job(node_name="newer", version=3))
    cache.prune_nodes(frozenset({"uid-kept"}), at=5)
    cache.prune_jobs(frozenset(), at=5)
    assert {each.name for each in cache.nodes(LENS)} == {"kept", "newer"}
    assert cache.orphan_jobs("uid-openssl") == 0


def test_a_node_with_a_job_of_system_upgrade_controller_is_busy_as_long_as_that_is_said() -> None:
    cache = cache_of(node())
    cache.set_others({"n1": "system-upgrade-controller (Job s/j)", "nobody": "x"})
    assert only(cache).foreign == "system-upgrade-controller (Job s/j)"
    cache.apply_node(node(version=2))
    assert only(cache).foreign == "system-upgrade-controller (Job s/j)"
    cache.set_others({})
    assert only(cache).foreign == ""


@pytest.mark.parametrize(
    ("said", "boot_id", "due"),
    [('{"rebootRequired": true}', "boot-1", ["n1"]), ('{"rebootRequired": true}', "boot-2", []), ("{}", "boot-1", [])],
)
def test_a_reboot_is_due_until_the_boot_id_has_changed(said: str, boot_id: str, due: list[str]) -> None:
    record = {"patchwright.dev/state": encode(rollouts.record("uid-openssl", boot_id="boot-1"))}
    cache = cache_of(node(annotations=record, boot_id=boot_id))
    cache.apply_job(job())
    cache.apply_pod(pod(phase="Succeeded", state=ended(0, said)))
    assert cache.reboots_due() == due


def test_pods_that_never_let_their_node_go_are_known_of_it_until_they_do() -> None:
    cache = cache_of(node("n1"), node("n2"))
    heard: list[str] = []
    cache.on_change(lambda changed: heard.append(changed.node))
    held = (Stuck(pods.project(pod(), namespace="shop", orphaned=frozenset()), "its budget never allows it"),)
    cache.set_stuck({"n1": held, "nobody": held})
    assert [(each.name, each.stuck) for each in cache.nodes(LENS)] == [("n1", held), ("n2", ())]
    cache.apply_node(node("n1", 2, boot_id="boot-2"))
    assert cache.nodes(LENS)[0].stuck == held, "what the watch tells of the node says nothing of its pods"
    cache.set_stuck({"n1": held})
    cache.set_others({"n1": "system-upgrade-controller (Job s/j)"})
    cache.set_stuck({})
    assert (cache.nodes(LENS)[0].stuck, cache.nodes(LENS)[0].foreign) == ((), "system-upgrade-controller (Job s/j)")
    assert heard == ["n1", "n1", "n1", "n1"]


def test_whatever_names_a_rollout_is_found_by_it_whether_it_exists_or_not() -> None:
    other = {"patchwright.dev/state": encode(rollouts.record("uid-other"))}
    mine = node("n1", 4, annotations=CLAIMED, labels={"role": "worker"}, unschedulable=True)
    cache = cache_of(mine, node("n2", annotations=other), node("n3"))
    cache.apply_job(job("job-1", node_name="n9"))
    cache.apply_job(job("job-2", rollout="uid-third", ended="Failed"))
    assert cache.claimed() == {"uid-openssl", "uid-other", "uid-third"}
    found = cache.remains("uid-openssl")
    [claim] = found.nodes
    assert (claim.ref, claim.record) == (NodeRef("n1", "uid-n1", "4"), rollouts.record("uid-openssl"))
    assert (claim.unschedulable, claim.labels) == (True, {"role": "worker"})
    assert [(each.name, each.outcome) for each in found.jobs] == [("job-1", None)]
    assert [each.outcome for each in cache.remains("uid-third").jobs] == [Outcome.FAILED]
    assert cache.remains("uid-nobody") == Remains()
    cache.apply_node(node("n2", 2))
    cache.remove_job(job("job-2", rollout="uid-third"))
    assert cache.claimed() == {"uid-openssl"}


def test_nodes_that_a_rollout_which_is_gone_has_left_to_a_person_are_named() -> None:
    left = {"patchwright.dev/state": encode(rollouts.record("uid-gone", reason="RolloutGone"))}
    cache = cache_of(node("n1", annotations=CLAIMED), node("n3", annotations=left), node("n2", annotations=left))
    assert cache.abandoned() == ["n2", "n3"]


def test_of_a_raw_node_nothing_is_kept_but_its_facts() -> None:
    cache = cache_of(node(annotations={"example.org/inventory": "x" * 10_000}))
    assert "x" * 100 not in repr(cache.nodes(LENS))
