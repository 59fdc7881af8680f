"""One round for one PatchPolicy: what it selects, what runs under it, and whether it can be used at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from patchwright import ports
from patchwright.domain import windows
from patchwright.domain.memory import LastRollout, PolicyState
from patchwright.domain.model import Key, PatchPolicy
from patchwright.domain.state import TERMINAL, Condition
from patchwright.pipeline import targets

# Counts of targets change with every autoscaling; nobody reads them more often than this.
EVERY = timedelta(seconds=30)
_EPOCH = datetime.fromtimestamp(0, UTC)


class PolicyReconciler:
    """Keeps the status of PatchPolicies; everything that acts is in rollouts."""

    def __init__(self, policies: ports.Policies, world: ports.World) -> None:
        self._policies = policies
        self._world = world

    async def reconcile(self, key: Key) -> timedelta | None:
        """Do one round; ``None`` when the policy is gone."""
        case = self._policies.policy(key)
        if case is None:
            return None
        state = self._state(case, case.policy) if case.policy else _faulty(case)
        if state != case.state:
            await self._policies.save_policy(case, state)
        return EVERY

    def _state(self, case: ports.PolicyCase, policy: PatchPolicy) -> PolicyState:
        selected = len(targets.selected(self._world, policy))
        forbidden = targets.forbidden(self._world, policy)
        rollouts = self._rollouts(policy.key)
        active = [found for found in rollouts if found.state.phase not in TERMINAL]
        begun = [found for found in active if found.state.started_at is not None]
        first = next(iter(begun or active), None)
        return replace(
            case.state,
            observed_generation=policy.generation,
            selected=selected,
            active_rollout=first.key.name if first else "",
            last_rollout=_last(rollouts),
            next_window=windows.opening(policy.windows, now=self._world.clock.now()).next_at,
            conditions=_conditions(policy, selected, forbidden),
        )

    def _rollouts(self, policy: Key) -> list[ports.Case]:
        """Give the policy's readable rollouts, oldest first."""
        rollouts = self._world.rollouts
        found = (rollouts.get(key) for key in rollouts.keys() if key.namespace == policy.namespace)  # noqa: SIM118 (a port's method)
        mine = [c for c in found if c is not None and c.rollout is not None and c.rollout.policy_name == policy.name]
        return sorted(mine, key=lambda c: (c.rollout.created_at, c.key) if c.rollout else (_EPOCH, c.key))


def _last(rollouts: Sequence[ports.Case]) -> LastRollout | None:
    ended = [case for case in rollouts if case.state.finished_at is not None and case.rollout is not None]
    if not ended:
        return None
    case = max(ended, key=lambda case: case.state.finished_at or _EPOCH)
    version = case.rollout.change.version if case.rollout else ""
    return LastRollout(case.key.name, case.state.phase, version, case.state.finished_at)


def _conditions(policy: PatchPolicy, selected: int, forbidden: str) -> tuple[Condition, ...]:
    if forbidden:
        not_ready = Condition("Ready", "False", "NotAllowed", forbidden)
        return (not_ready, Condition("Stalled", "True", "NotAllowed", forbidden))
    return (_ready(policy, selected),)


def _ready(policy: PatchPolicy, selected: int) -> Condition:
    noun = targets.noun(policy)
    if policy.suspend:
        return Condition("Ready", "False", "Suspended", f"suspended by spec.suspend: no rollout starts a {noun}")
    if not selected:
        text = f"target.{noun}s.selector matches no {noun}; correct it, or label the {noun}s that are meant"
        return Condition("Ready", "False", "NothingSelected", text)
    return Condition("Ready", "True", "Succeeded", f"selects {selected} {noun}s")


def _faulty(case: ports.PolicyCase) -> PolicyState:
    text = "; ".join(case.faults)
    bad = (Condition("Ready", "False", "InvalidSpec", text), Condition("Stalled", "True", "InvalidSpec", text))
    return replace(case.state, conditions=bad)
