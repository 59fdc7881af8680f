"""One round for one PatchPolicy: what it selects, what runs under it, and whether it can be used at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from patchwright import ports
from patchwright.domain import windows
from patchwright.domain.images.proposals import Outlook
from patchwright.domain.memory import IMAGES_KEPT, LastRollout, PolicyState
from patchwright.domain.model import Key, PatchPolicy
from patchwright.domain.state import TERMINAL, Condition
from patchwright.pipeline import targets

# Counts of targets change with every autoscaling; nobody reads them more often than this.
EVERY = timedelta(seconds=30)
_EPOCH = datetime.fromtimestamp(0, UTC)


class Images(Protocol):
    """Who follows the images of policies (``pipeline.images``)."""

    def outlook(self, key: Key) -> Outlook | None:
        """Give what came out of the last round; ``None`` before the first."""

    def heeded(self, key: Key) -> str:
        """Give the last wish to look now that was heeded."""


class PolicyReconciler:
    """Keeps the status of PatchPolicies; everything that acts is in rollouts."""

    def __init__(self, policies: ports.Policies, world: ports.World, images: Images) -> None:
        self._policies = policies
        self._world = world
        self._images = images

    async def reconcile(self, key: Key) -> timedelta | None:
        """Do one round; ``None`` when the policy is gone."""
        case = self._policies.policy(key)
        if case is None:
            return None
        state = self._state(case, case.policy) if case.policy else _faulty(case)
        if case.policy is not None:
            state = self._with_images(self._retried(state, case.policy), case.policy)
        if state != case.state:
            await self._policies.save_policy(case, state)
        return EVERY

    def _state(self, case: ports.PolicyCase, policy: PatchPolicy) -> PolicyState:
        selected = len(targets.selected(self._world, policy))
        forbidden = targets.forbidden(self._world, policy)
        survey = targets.standalone(self._world, policy)
        absent = targets.absent(self._world, policy)
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
            standalone=survey.named,
            standalone_total=survey.total,
            conditions=_conditions(policy, selected, forbidden, absent=absent, besides=survey.sentence),
        )

    def _retried(self, state: PolicyState, policy: PatchPolicy) -> PolicyState:
        """Heed that a person wants what failed to be tried again: each new value of the annotation counts once (L9)."""
        if not policy.retry or policy.retry == state.last_handled_retry:
            return state
        now = self._world.clock.now()
        return replace(state, failed_changes=(), last_handled_retry=policy.retry, retried_at=now)

    def _with_images(self, state: PolicyState, policy: PatchPolicy) -> PolicyState:
        if not policy.followed:
            return replace(state, images=(), images_total=0)
        outlook = self._images.outlook(policy.key)
        if outlook is None:
            # A process that has just begun says nothing else than the one before did.
            return state
        return replace(
            state,
            images=outlook.images[:IMAGES_KEPT],
            images_total=len(outlook.images),
            last_handled_reconcile_at=self._images.heeded(policy.key),
            conditions=(*state.conditions, _scanned(outlook)),
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


def _conditions(
    policy: PatchPolicy, selected: int, forbidden: str, *, absent: str, besides: str
) -> tuple[Condition, ...]:
    if forbidden:
        not_ready = Condition("Ready", "False", "NotAllowed", forbidden)
        return (not_ready, Condition("Stalled", "True", "NotAllowed", forbidden))
    return (_ready(policy, selected, absent=absent, besides=besides),)


def _ready(policy: PatchPolicy, selected: int, *, absent: str, besides: str) -> Condition:
    """Say whether it can be used; ``absent`` is a kind that it names in vain, ``besides`` what it cannot patch."""
    noun = targets.noun(policy)
    if policy.suspend:
        return Condition("Ready", "False", "Suspended", f"suspended by spec.suspend: no rollout starts a {noun}")
    if not selected:
        text = f"target.{noun}s.selector matches no {noun}; correct it, or label the {noun}s that are meant"
        reason, text = ("KindMissing", absent) if absent else ("NothingSelected", text)
        return Condition("Ready", "False", reason, _joined(text, besides))
    return Condition("Ready", "True", "Succeeded", _joined(f"selects {selected} {noun}s", absent, besides))


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _scanned(outlook: Outlook) -> Condition:
    """Say whether every registry was looked at; the first one that was not stands for all."""
    if not outlook.troubles:
        return Condition("Scanned", "True", "Succeeded", f"looked at {len(outlook.images)} images")
    first = outlook.troubles[0]
    more = f" and {len(outlook.troubles) - 1} more" if outlook.troubles[1:] else ""
    return Condition("Scanned", "False", first.reason, f"{first.message}{more}")


def _faulty(case: ports.PolicyCase) -> PolicyState:
    text = "; ".join(case.faults)
    bad = (Condition("Ready", "False", "InvalidSpec", text), Condition("Stalled", "True", "InvalidSpec", text))
    return replace(case.state, conditions=bad)
