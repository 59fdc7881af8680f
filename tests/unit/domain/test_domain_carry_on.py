"""Going on with one target between two decisions: nothing begins or ends by it."""

from __future__ import annotations

from patchwright.domain import decide
from patchwright.domain.actions import ListPods, Mark, StartJob
from patchwright.domain.nodes import record
from patchwright.domain.nodes.draining import SETTLE
from support import builders
from support.builders import NodeBuilder, node, pod

DRAINING = node().record(record.Mark.DRAINING, seconds=2 * SETTLE.total_seconds())


def steps(made: NodeBuilder) -> list[type]:
    return [type(action) for action in decide.carry_on(builders.snapshot(made), made.view)]


def test_a_node_that_turned_out_to_be_empty_gets_its_job_at_once() -> None:
    assert steps(DRAINING.pods(seconds=0)) == [Mark, StartJob]


def test_a_node_with_pods_does_not() -> None:
    assert StartJob not in steps(DRAINING.pods(pod(), seconds=0))


def test_a_node_whose_pods_are_not_known_is_looked_at() -> None:
    assert steps(DRAINING) == [ListPods]


def test_an_untouched_node_is_not_begun() -> None:
    assert steps(node()) == []


def test_a_failed_node_is_left_to_the_decision_about_all() -> None:
    assert steps(node().record(record.Mark.FAILED)) == []
