"""How long a node may take at the most: what a maintenance window must leave time for (L7).

Each step has a time of its own, and they come one after the other: a step that is added to the procedure is added here.
"""

from __future__ import annotations

from datetime import timedelta

from patchwright.domain.model import Drain, OnTimeout, Strategy

# What Force may take after the timeout: it deletes with the pods' own grace period, so it must have an end.
FORCE_TIME = timedelta(minutes=2)


def drain(options: Drain) -> timedelta:
    """Give the longest that a drain may take: load balancers have their time first, whether pods are evicted or not."""
    wait = options.load_balancer_wait if options.exclude_from_load_balancers else timedelta(0)
    return wait + (emptying(options) if options.enabled else timedelta(0))


def emptying(options: Drain) -> timedelta:
    """Give the longest that pods and volumes may take to leave a node."""
    return options.timeout + (FORCE_TIME if options.on_timeout is OnTimeout.FORCE else timedelta(0))


def longest(strategy: Strategy, options: Drain) -> timedelta:
    """Give the longest that a node may take from its cordon to its uncordon.

    ``progress_deadline`` bounds what comes after the drain: the apply Job, a reboot and the verify Job together.
    """
    return drain(options) + strategy.progress_deadline
