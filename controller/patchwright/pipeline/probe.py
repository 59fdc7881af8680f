"""Measure the health checks that are due."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from patchwright import errors, ports
from patchwright.domain import health
from patchwright.domain.health import Baselines, CheckState, Measurement
from patchwright.pipeline.facts import Facts


async def measure(
    world: ports.World, states: Sequence[CheckState], *, namespace: str, baseline: Baselines, facts: Facts
) -> bool:
    """Measure what is due, all at once; tell whether a verdict may have changed."""
    due = [state for state in states if health.stale(state, now=world.clock.now())]
    if not due:
        return False
    measured = await asyncio.gather(*(_one(world, state, namespace) for state in due))
    changed = False
    for state, result in zip(due, measured, strict=True):
        after = health.observe(state, result, baseline)
        facts.checks[state.check.name] = after
        changed = changed or health.news(state, after)
        if after.unhealthy_since is not None:
            world.journal.health_failed(state.check.name)
    return changed


async def _one(world: ports.World, state: CheckState, namespace: str) -> Measurement:
    """Measure one check; one that cannot be made is unhealthy (kured fails closed here, and so do we)."""
    at = world.clock.now()
    try:
        return await world.health.measure(state.check, namespace=namespace)
    except errors.HealthProbeError as error:
        return health.unmade(at, error.message)
