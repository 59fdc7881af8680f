"""Who is patched when: the size of each wave, and a stable order.

Waves are sized once, and each takes the next targets of the order: a node that vanishes or joins changes who is in a
wave, never how many are. The last wave takes all that are left, so a node that joins late is not left behind
(tuppr#248).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest

from patchwright.domain import budget
from patchwright.domain.model import Strategy
from patchwright.domain.state import Plan, WavePlan
from patchwright.domain.targets import Order, Target

REST = "rest"
CANARY = "canary"


def plan(strategy: Strategy, *, total: int, canaries: int) -> Plan:
    """Size the waves for a selected set of ``total``, of which ``canaries`` match the canary selector (if any)."""
    first = canaries if strategy.canary.selector else min(total, budget.resolve(strategy.canary.count, total))
    waves = [WavePlan(CANARY, first, strategy.canary.soak.total_seconds())]
    for number, wave in enumerate(strategy.waves, start=1):
        waves.append(WavePlan(f"wave {number}", budget.resolve(wave.size, total), wave.soak.total_seconds()))
    waves.append(WavePlan(REST, None, 0.0))
    return Plan(total, tuple(waves))


def key(order: Order) -> tuple[bool, bool, int, str, str]:
    """Sort: the operator's own node last, control-plane nodes before it, low risk first, then domain by domain."""
    return (order.last, order.one_at_a_time, order.risk, order.domain, order.name)


def fleet_order(targets: Iterable[Target]) -> list[Target]:
    """Give the order in which the fleet is patched."""
    return sorted(targets, key=lambda target: key(target.order))


def canary_order(targets: Iterable[Target]) -> list[Target]:
    """Give the order in which canaries are picked: among equals one of each domain in turn, to represent them all."""
    ranks: dict[tuple[bool, bool, int], dict[str, list[Target]]] = {}
    for target in fleet_order(targets):
        order = target.order
        ranks.setdefault((order.last, order.one_at_a_time, order.risk), {}).setdefault(order.domain, []).append(target)
    rows = (chain.from_iterable(zip_longest(*domains.values())) for domains in ranks.values())
    return [target for target in chain.from_iterable(rows) if target is not None]


def startable(
    candidates: Sequence[Target], *, busy: Sequence[Order], limit: int, one_domain: bool, lone: bool = False
) -> list[Target]:
    """Pick the next targets to start, at most ``limit``.

    A target that goes one at a time (a control-plane node) starts only when no other such is busy, nor unavailable for
    whatever reason (``lone``); with ``one_domain`` all that are busy share one domain.
    """
    domains = {order.domain for order in busy}
    if one_domain and len(domains) > 1:
        # A topology key that was set midway: until one domain is left, nothing may be added in either.
        return []
    domain = next(iter(domains), None)
    lone = lone or any(order.one_at_a_time for order in busy)
    picked: list[Target] = []
    for target in candidates:
        if len(picked) >= limit:
            break
        order = target.order
        if one_domain and domain is not None and order.domain != domain:
            continue
        if order.one_at_a_time and lone:
            continue
        domain, lone = order.domain, lone or order.one_at_a_time
        picked.append(target)
    return picked
