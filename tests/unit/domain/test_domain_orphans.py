"""A node whose rollout is gone: given back, left as it is, or left to a person who is told what to do."""

from __future__ import annotations

from typing import Any

import pytest

from patchwright.domain.actions import JobStep, NodeRef, Uncordon
from patchwright.domain.actions import Mark as WriteRecord
from patchwright.domain.nodes import marks, orphans
from patchwright.domain.nodes.labels import EXCLUDE, EXCLUDED_BY_US
from patchwright.domain.nodes.orphans import GONE, Settlement, settle
from patchwright.domain.nodes.record import Mark
from patchwright.domain.nodes.view import Claim, JobView, Outcome
from support.builders import NOW, job, node, record

REF = NodeRef("n1", "uid-n1", "1")
VIEW = node().view
HALF = (Mark.APPLYING, Mark.FAILED, Mark.UNDRAINING, Mark.REVERTING, Mark.QUARANTINED)


def settled(
    mark: Mark, *jobs: JobView, unschedulable: bool = True, label: str | None = None, **changes: Any
) -> Settlement:
    labels = {} if label is None else {EXCLUDE: label}
    found = settle(Claim(REF, record(mark, **changes), unschedulable, labels), jobs, now=NOW)
    assert found is not None
    return found


def test_a_node_that_nothing_was_done_to_gets_our_cordon_taken_off() -> None:
    assert settled(Mark.DRAINING) == Settlement(
        Uncordon(REF, None, keep_cordon=False),
        "rollout ops/openssl does not exist any more; nothing was changed on the node, and it is uncordoned",
    )


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(settled(Mark.DRAINING, cordoned=False), id="the cordon is a person's (L5)"),
        pytest.param(settled(Mark.RESTORED, applied=False), id="it had been given back already"),
    ],
)
def test_a_cordon_that_is_not_ours_stays_on_a_node_that_nothing_was_done_to(found: Settlement) -> None:
    assert found.action == Uncordon(REF, None, keep_cordon=True)
    assert found.message.endswith("nothing was changed on the node")


@pytest.mark.parametrize(
    ("changes", "include"),
    [
        pytest.param({"excluded": True, "label": EXCLUDED_BY_US}, True, id="ours"),
        pytest.param({"excluded": True, "label": "true"}, False, id="a person wrote over it (L5)"),
        pytest.param({"excluded": True}, False, id="a person took it off"),
        pytest.param({"label": EXCLUDED_BY_US}, False, id="this rollout did not put it"),
        pytest.param({"excluded": True, "label": EXCLUDED_BY_US, "cordoned": False}, False, id="the cordon stays"),
    ],
)
def test_the_label_that_came_with_our_cordon_goes_with_it(changes: dict[str, Any], include: bool) -> None:
    action = settled(Mark.DRAINING, **changes).action
    assert isinstance(action, Uncordon)
    assert action.include is include


def test_a_half_patched_node_keeps_the_label_with_its_cordon_until_somebody_uncordons_it() -> None:
    kept = settled(Mark.APPLYING, excluded=True, label=EXCLUDED_BY_US).action
    assert isinstance(kept, WriteRecord)
    assert kept.record.excluded
    gone = settled(
        Mark.QUARANTINED, reason=GONE, unschedulable=False, cordoned=True, excluded=True, label=EXCLUDED_BY_US
    )
    assert gone.action == Uncordon(REF, None, keep_cordon=True, include=True)


@pytest.mark.parametrize(
    ("mark", "says"),
    [(Mark.DONE, "the node keeps the change c0ffee0123456789"), (Mark.RESTORED, "the node was put back")],
)
def test_a_node_that_was_finished_stays_as_it_is(mark: Mark, says: str) -> None:
    found = settled(mark, applied=True, unschedulable=False)
    assert found.action == Uncordon(REF, None, keep_cordon=True)
    assert found.message == f"rollout ops/openssl does not exist any more; {says}"
    assert not found.warning


@pytest.mark.parametrize("mark", HALF)
@pytest.mark.parametrize("cordoned", [True, False], ids=["our cordon", "a person's cordon"])
def test_a_node_that_was_left_half_way_keeps_its_cordon_and_says_what_to_do(mark: Mark, cordoned: bool) -> None:
    found = settled(mark, cordoned=cordoned, message="exit code 1")
    assert isinstance(found.action, WriteRecord)
    after = found.action.record
    assert (after.mark, after.reason, after.failed, after.since) == (Mark.QUARANTINED, GONE, True, NOW)
    assert (after.cordoned, after.rollout_uid, after.applied) == (cordoned, "0f0e0d0c-rollout", True)
    assert found.warning
    assert found.message == after.message
    assert after.message == (
        f"rollout ops/openssl does not exist any more and left it half-way ({mark.value}); check what is on it, then "
        "uncordon it: its annotation patchwright.dev/state goes too (removing that alone leaves it cordoned) "
        "(exit code 1)"
    )


def test_what_is_said_is_cut_before_it_is_written() -> None:
    assert len(settled(Mark.FAILED, message="y" * 5000).message) == marks.MESSAGE_KEPT


def test_a_node_that_says_so_already_is_left_alone() -> None:
    told = record(Mark.QUARANTINED, reason=GONE)
    assert settle(Claim(REF, told, unschedulable=True), (), now=NOW) is None


def test_whoever_uncordons_such_a_node_ends_it() -> None:
    found = settled(Mark.QUARANTINED, reason=GONE, unschedulable=False)
    assert found == Settlement(
        Uncordon(REF, None, keep_cordon=True),
        "somebody has uncordoned it, so the record of rollout ops/openssl is removed",
    )


def test_a_half_patched_node_that_is_in_service_already_is_told_and_forgotten() -> None:
    found = settled(Mark.FAILED, cordoned=False, unschedulable=False)
    assert found.action == Uncordon(REF, None, keep_cordon=True)
    assert found.warning
    assert found.message == (
        "rollout ops/openssl does not exist any more and left it half-way (Failed), but in service; "
        "its record is removed; check what is on it"
    )


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        pytest.param(job(VIEW, JobStep.APPLY), True, id="its Job still runs"),
        pytest.param(job(VIEW, JobStep.APPLY, Outcome.FAILED), False, id="its Job has ended"),
        pytest.param(job(node("n2").view, JobStep.APPLY), False, id="another node's Job runs"),
    ],
)
def test_a_node_in_service_is_not_forgotten_while_a_job_runs_on_it(found: JobView, kept: bool) -> None:
    after = settled(Mark.APPLYING, found, unschedulable=False)
    assert isinstance(after.action, WriteRecord) is kept


def test_only_jobs_that_run_no_more_go() -> None:
    done, gone = job(VIEW, JobStep.APPLY, Outcome.FAILED), job(VIEW, JobStep.APPLY, Outcome.SUCCEEDED, deleting=True)
    assert orphans.ended([job(VIEW, JobStep.VERIFY), done, gone]) == [done]
