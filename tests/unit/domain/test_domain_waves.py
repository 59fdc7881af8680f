"""Waves: their sizes, the order of the fleet, and who may start beside whom."""

from __future__ import annotations

from patchwright.domain import waves
from patchwright.domain.state import Plan, WavePlan
from patchwright.domain.targets import Order
from support.builders import NodeBuilder, labelled, node, nodes, strategy


def names(made: list[NodeBuilder]) -> list[str]:
    return [target.name for target in waves.fleet_order([each.view for each in made])]


def canaries(made: list[NodeBuilder]) -> list[str]:
    return [target.name for target in waves.canary_order([each.view for each in made])]


def startable(made: list[NodeBuilder], *busy: NodeBuilder, limit: int = 9, one_domain: bool = False) -> list[str]:
    orders: list[Order] = [each.view.order for each in busy]
    views = [each.view for each in made]
    return [target.name for target in waves.startable(views, busy=orders, limit=limit, one_domain=one_domain)]


def test_waves_are_the_canary_the_steps_and_the_rest() -> None:
    found = waves.plan(strategy(canary=2, soak=60, waves=["10%", 20]), total=150, canaries=0)
    sizes = (WavePlan("canary", 2, 60.0), WavePlan("wave 1", 15, 0.0), WavePlan("wave 2", 20, 0.0))
    assert found == Plan(150, (*sizes, WavePlan("rest", None, 0.0)))


def test_a_canary_is_never_more_than_there_is() -> None:
    assert waves.plan(strategy(canary=5), total=3, canaries=0).waves[0].size == 3


def test_a_selector_makes_as_many_canaries_as_it_matches() -> None:
    assert waves.plan(strategy(canary=labelled("canary", "yes")), total=10, canaries=4).waves[0].size == 4


def test_a_canary_of_zero_is_none() -> None:
    assert waves.plan(strategy(canary=0), total=10, canaries=0).waves[0].size == 0


# nodes.md 4.18: the Machine Config Operator and brupop update the controller's node last, too.
def test_the_operators_own_node_is_last_and_control_planes_come_before_it() -> None:
    own = node("a-own").order(last=True)
    lead = node("b-control").control_plane()
    assert names([own, lead, node("c")]) == ["c", "b-control", "a-own"]


def test_low_risk_goes_first_then_domain_by_domain_then_by_name() -> None:
    made = [node("n4", zone="b"), node("n1", risk=2), node("n3", zone="a"), node("n2", zone="b"), node("n5", risk=0)]
    assert names(made) == ["n5", "n3", "n2", "n4", "n1"]


def test_canaries_are_spread_over_the_domains() -> None:
    made = [*nodes(3, zone="a"), node("x1", zone="b"), node("x2", zone="b"), node("y1", zone="c")]
    assert canaries(made) == ["n01", "x1", "y1", "n02", "x2", "n03"]


def test_canaries_of_low_risk_come_first_whatever_their_domain() -> None:
    assert canaries([node("n1", zone="a"), node("n2", zone="b", risk=0)]) == ["n2", "n1"]


def test_no_more_start_than_there_is_room_for() -> None:
    assert startable(list(nodes(4)), limit=2) == ["n01", "n02"]
    assert startable(list(nodes(4)), limit=0) == []


# nodes.md 4.23: control-plane nodes one at a time, whatever the budget.
def test_control_plane_nodes_go_one_at_a_time_and_let_workers_past() -> None:
    lead, other = node("cp1").control_plane(), node("cp2").control_plane()
    assert startable([lead, other, node("w")]) == ["cp1", "w"]
    assert startable([other, node("w")], lead) == ["w"]


def test_with_a_topology_key_never_two_domains_at_once() -> None:
    a1, a2, b1 = node("a1", zone="a"), node("a2", zone="a"), node("b1", zone="b")
    assert startable([a1, b1, a2], one_domain=True) == ["a1", "a2"]
    assert startable([a1, a2], b1, one_domain=True) == []
    assert startable([a1], a2, b1, one_domain=True) == [], "two are at work already: the key was set midway"
    assert startable([a1, b1], one_domain=False) == ["a1", "b1"]
