"""Observe: gather everything that the decision may know into one snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from patchwright import ports
from patchwright.domain.health import CheckState
from patchwright.domain.model import PatchPolicy, PatchRollout
from patchwright.domain.snapshot import Snapshot
from patchwright.domain.state import TERMINAL, RolloutState
from patchwright.pipeline import targets
from patchwright.pipeline.facts import Facts


def snapshot(
    world: ports.World, case: ports.Case, *, rollout: PatchRollout, policy: PatchPolicy, facts: Facts, now: datetime
) -> Snapshot:
    """Put together the snapshot of one rollout."""
    return Snapshot(
        now=now,
        observing_since=facts.observing_since,
        rollout=rollout,
        policy=policy,
        state=_state(case, facts),
        kind=targets.kind(rollout.change),
        targets=targets.of(world, rollout, policy, facts=facts),
        checks=checks(policy, facts),
        answer=facts.answer,
        asked=_asked(case, facts),
        revision=world.policy_engine.revision(),
        superseded_by=case.superseded_by,
        conflict=_conflict(world, case, rollout, policy),
        backends=world.fleet.backends() if policy.drain.exclude_from_load_balancers else frozenset(),
        remembered=_remembered(case, rollout),
        remembered_here=case.remembered is not None and case.remembered.rollout == str(case.key),
        jobs_left=world.fleet.orphan_jobs(rollout.uid),
        finalizer=case.finalizer,
        trouble=facts.trouble,
    )


def _state(case: ports.Case, facts: Facts) -> RolloutState:
    """Give what is recorded, with what the last round found at work; once the outcome is known, nothing is missed."""
    if facts.in_flight is None or case.state.outcome is not None:
        return case.state
    return replace(case.state, in_flight=facts.in_flight)


def _asked(case: ports.Case, facts: Facts) -> frozenset[str] | None:
    """Give the names that the recorded decision was asked about, if it was this process that asked."""
    recorded = case.state.policy
    if recorded is None or facts.asked is None or facts.asked[0] != recorded.at:
        return None
    return facts.asked[1]


def checks(policy: PatchPolicy, facts: Facts) -> tuple[CheckState, ...]:
    """Give the state of every check of the policy; an edited check starts afresh."""
    found = []
    for check in policy.health_checks:
        known = facts.checks.get(check.name)
        found.append(known if known is not None and known.check == check else CheckState(check))
    return tuple(found)


def _remembered(case: ports.Case, rollout: PatchRollout) -> str:
    failed = case.remembered
    if failed is None or rollout.retry or failed.rollout == str(case.key):
        return ""
    return f"version {failed.version} failed in rollout {failed.rollout}: {failed.message}"


def _conflict(world: ports.World, case: ports.Case, rollout: PatchRollout, policy: PatchPolicy) -> str:
    """Say which older active rollout has some of the same targets (L10); it goes first, whatever its policy."""
    if case.state.started_at is not None or case.state.phase in TERMINAL:
        return ""
    if forbidden := targets.forbidden(world, policy):
        return forbidden
    mine: set[str] | None = None
    for other in _older(world.rollouts, rollout):
        if other.policy is None:
            continue
        if mine is None:
            mine = {target.name for target in targets.selected(world, policy)}
        shared = sorted(mine.intersection(target.name for target in targets.selected(world, other.policy)))
        if shared:
            more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
            noun = targets.noun(policy)
            return f"waits for rollout {other.key}, which has some of the same {noun}s ({shared[0]}{more})"
    return ""


def _older(rollouts: ports.Rollouts, rollout: PatchRollout) -> Iterable[ports.Case]:
    mine = (rollout.created_at, rollout.key)
    for case in _cases(rollouts):
        other = case.rollout
        if other is None or other.key == rollout.key or case.state.phase in TERMINAL:
            continue
        if (other.created_at, other.key) < mine:
            yield case


def _cases(rollouts: ports.Rollouts) -> Sequence[ports.Case]:
    found = (rollouts.get(key) for key in rollouts.keys())  # noqa: SIM118 (a port's method, not a dict's)
    return [case for case in found if case is not None]
