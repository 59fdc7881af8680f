"""A drain that lasts until the volumes of its pods are off the node: whose are waited for, and for how long."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from patchwright.domain.actions import Action, JobStep, ListPods, ListVolumes, StartJob, Uncordon
from patchwright.domain.actions import Mark as WriteRecord
from patchwright.domain.model import Drain, OnTimeout
from patchwright.domain.nodes import spans, volumes
from patchwright.domain.nodes.record import Mark
from patchwright.domain.nodes.view import Attachment, Owner, PodList, PodView, VolumeList
from patchwright.domain.targets import Standing
from support.builders import NOW, NodeBuilder, ago, node, pod, policy, stand

DB, LOGS, OLD = "shop/data-db-0", "ops/logs-n1", "shop/data-old-0"
TIMEOUT = Drain().timeout
GOING = node().record(Mark.DRAINING, seconds=60)
DAEMON = pod("agent", owner=Owner.DAEMON_SET, claims=(LOGS,))
NOBODY: frozenset[str] = frozenset()


def attachment(claim: str, **changes: Any) -> Attachment:
    name = claim.rpartition("/")[2]
    return Attachment(f"csi-{name}", f"pv-{name}", "csi.example", **({"claim": claim} | changes))


def listed(made: NodeBuilder, *claims: str, seconds: float = 0.5, known: frozenset[str] | None = NOBODY) -> NodeBuilder:
    """Say what is attached to the node as it was listed, and whose pods were seen since the cordon."""
    return made.but(volumes=VolumeList(ago(seconds), tuple(map(attachment, claims))), claims=known)


def waits(**options: Any) -> dict[str, Any]:
    return {"policy": policy(drain=Drain(wait_for_volume_detach=True, **options))}


def kinds(standing: Standing) -> list[type[Action]]:
    return [type(action) for action in standing.actions]


# --- when they are looked at ------------------------------------------------------------------------------------------


def test_volumes_are_listed_once_the_pods_have_gone_and_not_before() -> None:
    assert ListVolumes not in kinds(stand(GOING.pods(pod()), **waits()))
    standing = stand(GOING.pods(), **waits())
    assert (kinds(standing), standing.message) == ([ListVolumes], "waits to see which volumes are attached")


# The simulator's seed 2746: an operator that another one was faster than believed what it had seen in the drain before.
def test_volumes_that_were_seen_in_an_earlier_drain_are_looked_at_anew() -> None:
    earlier = listed(GOING.pods(), seconds=61)
    standing = stand(earlier, **waits())
    assert (kinds(standing), standing.message) == ([ListVolumes], "waits to see which volumes are attached")


def test_by_default_nobody_asks_for_volumes() -> None:
    assert kinds(stand(GOING.pods())) == [WriteRecord, StartJob]


def test_a_node_without_volumes_gets_its_job() -> None:
    assert kinds(stand(listed(GOING.pods()), **waits())) == [WriteRecord, StartJob]


# cluster-api#10662: the kubelet that would unmount them is not there.
def test_the_volumes_of_an_unreachable_node_are_not_waited_for() -> None:
    away = GOING.pods().not_ready().but(unreachable=True)
    assert kinds(stand(away, **waits())) == [WriteRecord, StartJob]
    assert kinds(stand(GOING.pods().not_ready(), **waits())) == [ListVolumes], "its kubelet still reports"


def test_a_volume_that_is_still_attached_is_named_and_looked_at_again() -> None:
    standing = stand(listed(GOING.pods(), DB, known=frozenset({DB})), **waits())
    assert (standing.actions, standing.reason) == ((), "VolumeAttached")
    where = "claim shop/data-db-0, driver csi.example, VolumeAttachment csi-data-db-0"
    assert standing.message == f"volume pv-data-db-0 ({where}) is still attached"
    assert standing.wake == NOW + volumes.LOOK_AGAIN


def test_a_later_look_lists_the_pods_again_too() -> None:
    due = volumes.LOOK_AGAIN.total_seconds()
    standing = stand(listed(GOING.pods(), DB, seconds=due, known=None), **waits())
    assert kinds(standing) == [ListPods, ListVolumes]


# --- whose ------------------------------------------------------------------------------------------------------------


def left(*pods: PodView, attached: tuple[str, ...], known: frozenset[str] | None) -> set[str]:
    found = VolumeList(NOW, tuple(map(attachment, attached)))
    return {each.claim for each in volumes.left(found, PodList(NOW, pods), known)}


def test_the_volumes_of_the_pods_that_went_are_waited_for_and_no_others() -> None:
    assert left(attached=(DB, OLD), known=frozenset({DB})) == {DB}


def test_the_volume_of_a_pod_that_stays_is_not_waited_for_though_another_one_used_it_that_went() -> None:
    assert left(DAEMON, attached=(LOGS, DB), known=frozenset({DB, LOGS})) == {DB}


def test_after_a_restart_all_are_waited_for_but_those_of_the_pods_that_stay() -> None:
    assert left(DAEMON, attached=(LOGS, DB, OLD), known=None) == {DB, OLD}


def test_after_a_restart_a_volume_without_a_claim_is_waited_for_too() -> None:
    assert left(attached=("",), known=None) == {""}
    assert left(attached=("",), known=frozenset({DB})) == set()


# skipWaitForDeleteTimeout: whoever does not wait for the pod cannot wait for its volume.
def test_the_volume_of_a_pod_that_is_no_longer_waited_for_is_not_waited_for_either() -> None:
    stuck = pod("stuck", deleted_at=ago(100), claims=(DB,))
    options = waits(skip_wait_for_delete_timeout=timedelta(seconds=60))
    assert kinds(stand(listed(GOING.pods(stuck), DB, known=frozenset({DB})), **options)) == [WriteRecord, StartJob]


def test_a_pod_that_has_ended_holds_no_volume() -> None:
    assert left(pod("batch", phase="Succeeded", claims=(DB,)), attached=(DB,), known=None) == {DB}


def test_what_was_seen_since_the_cordon_is_kept_and_what_was_missed_stays_unknown() -> None:
    pods = PodList(NOW, (pod(claims=(DB,)), DAEMON))
    assert volumes.remember(frozenset({OLD}), pods) == frozenset({OLD, DB, LOGS})
    assert volumes.remember(NOBODY, PodList(NOW, ())) == NOBODY
    assert volumes.remember(None, pods) is None


# --- time is up -------------------------------------------------------------------------------------------------------


def late(mark: Mark = Mark.DRAINING, *, seconds: float = 0) -> NodeBuilder:
    started = NOW - TIMEOUT - timedelta(seconds=seconds)
    return listed(node().record(mark, seconds=60, started_at=started).pods(), DB, known=None)


def test_a_volume_that_stays_attached_fails_the_drain_as_a_pod_that_stays_does() -> None:
    standing = stand(late(), **waits())
    (undo,) = standing.actions
    assert isinstance(undo, Uncordon)
    assert undo.record is not None
    assert (standing.reason, undo.record.mark, undo.record.failed) == ("DrainTimeout", Mark.RESTORED, True)
    assert undo.record.reason == "DrainTimeout"
    assert standing.failing, "nothing is begun beside it before it has counted (L3)"
    assert undo.record.message.startswith("not drained within 10m: volume pv-data-db-0 (claim shop/data-db-0, ")


def test_volumes_that_could_not_be_looked_at_in_time_fail_the_drain_too() -> None:
    standing = stand(late().but(volumes=None), **waits())
    assert kinds(standing) == [Uncordon]
    assert standing.message == "not drained within 10m: waits to see which volumes are attached"


def test_on_the_way_back_a_volume_that_stays_attached_leaves_the_node_quarantined() -> None:
    (write,) = stand(late(Mark.UNDRAINING), **waits()).actions
    assert isinstance(write, WriteRecord)
    assert (write.record.mark, write.record.reason) == (Mark.QUARANTINED, "RollbackDrainTimeout")


def test_on_the_way_back_a_node_without_volumes_gets_its_rollback_job() -> None:
    _, start = stand(listed(node().record(Mark.UNDRAINING, seconds=60).pods()), **waits()).actions
    assert isinstance(start, StartJob)
    assert start.step is JobStep.ROLLBACK


def test_force_gives_volumes_its_own_time_and_then_goes_on_without_them() -> None:
    force = waits(on_timeout=OnTimeout.FORCE)
    over = spans.FORCE_TIME.total_seconds()
    standing = stand(late(seconds=over - 1), **force)
    assert (standing.actions, standing.reason) == ((), "VolumeAttached")
    assert standing.message.endswith("is still attached; goes on all the same at 12:00:01 UTC")
    assert kinds(stand(late(seconds=over), **force)) == [WriteRecord, StartJob]


# --- the sentence -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([attachment("")], "volume pv- (driver csi.example, VolumeAttachment csi-) is still attached"),
        ([attachment(DB), attachment(OLD)], " is still attached (and 1 more)"),
        ([attachment(DB, error="node is busy")], " is still attached: node is busy"),
    ],
)
def test_the_sentence_names_the_volume_and_what_the_driver_says(found: list[Attachment], says: str) -> None:
    assert volumes.sentence(found).endswith(says)
