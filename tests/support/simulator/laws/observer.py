"""The observer: every law looks at every change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.simulator import loop
from support.simulator.laws import drains, hands, images, starts, told
from support.simulator.laws.base import Law
from support.simulator.laws.violation import Violation
from support.simulator.server import Change

if TYPE_CHECKING:
    from support.simulator.cluster import Cluster

LAWS: tuple[type[Law], ...] = (
    starts.Budget,
    starts.CanaryFirst,
    starts.Halt,
    hands.Restore,
    hands.HumanHands,
    hands.HumanLabels,
    hands.PrepareFirst,
    drains.Emptied,
    told.NoOrphans,
    starts.Windows,
    starts.Policies,
    told.Memory,
    hands.OneWriter,
    told.Told,
    hands.Again,
    *images.LAWS,
)


class Observer:
    """Watches the server on its own and writes down what breaks a law."""

    def __init__(self, cluster: Cluster) -> None:
        self.violations: list[Violation] = []
        self._laws = [law(cluster) for law in LAWS]

    def see(self, change: Change) -> None:
        """Hold one change against every law."""
        for law in self._laws:
            self.violations.extend(Violation(law.name, change.at, what) for what in law.change(change))

    def close(self, *, stuck: bool) -> None:
        """Hold the end against every law."""
        if stuck:
            self.violations.append(Violation("End", loop.now(), "the rollout did not end in time"))
        for law in self._laws:
            self.violations.extend(Violation(law.name, loop.now(), what) for what in law.end())
