"""What people do in a story, at their seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from support.simulator.cluster import Cluster, Scenario
from support.simulator.people import People

Deed = tuple[float, Callable[[People], None]]


def with_people(scenario: Scenario, *deeds: Deed) -> Scenario:
    """Have people act in a scenario."""

    def acts(cluster: Cluster) -> Sequence[tuple[float, Callable[[], None]]]:
        people = People(cluster)
        return [(at, _bound(deed, people)) for at, deed in deeds]

    return replace(scenario, people=acts)


def _bound(deed: Callable[[People], None], people: People) -> Callable[[], None]:
    return lambda: deed(people)
