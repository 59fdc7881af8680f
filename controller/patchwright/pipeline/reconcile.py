"""One round for one rollout: observe, decide, save, act, tell.

The state is saved before anything is done on it, and nothing is started on what is only intended, so a crash between
any two requests leaves the world in a state that the next round understands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from patchwright import errors, ports
from patchwright.domain import decide as engine
from patchwright.domain import health
from patchwright.domain.model import Key, NodeTarget, PatchPolicy, PatchRollout
from patchwright.domain.nodes.labels import FINALIZER
from patchwright.domain.snapshot import Decision, Snapshot
from patchwright.domain.state import TERMINAL, Condition, Phase, RolloutState
from patchwright.pipeline import act, observe, probe, targets, tell
from patchwright.pipeline.facts import Facts

# Counts may lag in status by this much; a phase, a wave, a decision or a cause never does.
SAVE_EVERY = timedelta(seconds=1)
IDLE = timedelta(minutes=5)
AGAIN = timedelta(0)


class Reconciler:
    """Carries rollouts on, one round at a time.

    ``wake`` is called when a background measurement may have changed a verdict. One reconciler serves one process, and
    the facts it keeps are lost with it, by design.
    """

    def __init__(self, world: ports.World) -> None:
        self._world = world
        self._since = world.clock.now()
        self._facts: dict[str, Facts] = {}

    async def reconcile(self, key: Key) -> timedelta | None:
        """Do one round.

        Returns:
            How long until the next one is due though nothing has happened, or ``None`` when the rollout is gone.

        Raises:
            ClusterError: the API server did not take the status; the round is to be repeated.
        """
        case = self._world.rollouts.get(key)
        if case is None:
            self._world.journal.rollout_gone(key)
            return None
        facts = self._facts.setdefault(case.uid, Facts(self._since))
        await self._catch_up(case, facts)
        if case.rollout is None:
            return await self._unreadable(case, facts)
        policy = self._policy(case, facts)
        if policy is None:
            return await self._without_policy(case, facts)
        if not (case.finalizer or case.deleting or case.state.phase in TERMINAL):
            await self._world.rollouts.hold(case)
            return AGAIN
        return await self._round(case, policy, facts)

    async def _round(self, case: ports.Case, policy: PatchPolicy, facts: Facts) -> timedelta:
        world = self._world
        now = world.clock.now()
        snapshot = observe.snapshot(world, case, rollout=_rollout(case), policy=policy, facts=facts, now=now)
        decision = engine.decide(snapshot)
        if not await self._sure(snapshot, decision, facts):
            return AGAIN
        await self._save(case, decision.state, facts, now=now, begins=decision.begins)
        facts.in_flight = decision.state.in_flight
        # A policy that is gone has a rollback Job to be rendered all the same.
        report = await act.Executor(world, replace(case, policy=policy), snapshot, facts).run(decision.batches)
        facts.trouble = report.refused
        return self._next(decision, report, case, facts)

    async def _sure(self, snapshot: Snapshot, decision: Decision, facts: Facts) -> bool:
        """Tell whether each record that is called lost was looked for past the caches too; look for what was not.

        Two watches are not of one moment: whoever takes over from another operator may have heard from status that a
        target is being worked on, and not yet from the target itself.
        """
        before = {note.uid for note in snapshot.state.vanished}
        lost = {note.uid for note in decision.state.vanished if note.uid not in before}
        there = {target.uid: target for target in snapshot.targets if target.uid in lost}
        looked_at, facts.missed = facts.missed, frozenset(there)
        if there.keys() <= looked_at:
            return True
        for target in there.values():
            await targets.refresh(self._world, target)
        return False

    async def measure(self, key: Key, *, slow: bool = False) -> tuple[bool, timedelta]:
        """Make the health checks of a rollout that are due: the ``slow`` ones, or all others.

        Returns:
            Whether a verdict may have changed, and how long until the next check is due.
        """
        case = self._world.rollouts.get(key)
        if case is None or case.policy is None or case.state.phase in TERMINAL or case.state.outcome:
            return False, IDLE
        facts = self._facts.setdefault(case.uid, Facts(self._since))
        states = _lane(observe.checks(case.policy, facts), slow=slow)
        if not states:
            return False, IDLE
        changed = await probe.measure(
            self._world, states, namespace=case.key.namespace, baseline=case.state.baseline, facts=facts
        )
        now = self._world.clock.now()
        due = health.next_measurement(_lane(observe.checks(case.policy, facts), slow=slow), now=now)
        return changed, max(AGAIN, due - now) if due else IDLE

    def _next(self, decision: Decision, report: act.Report, case: ports.Case, facts: Facts) -> timedelta:
        now = self._world.clock.now()
        if report.retry_after is not None:
            return timedelta(seconds=report.retry_after)
        if report.acted or decision.again:
            return AGAIN
        if decision.state.phase in TERMINAL and not case.deleting:
            return IDLE
        waits = [IDLE, *(at - now for at in (decision.wake, facts.asked_again()) if at is not None)]
        if decision.state.outcome is not None:
            waits.append(act.DELETE_AGAIN)
        if _unsaved(case.state, decision.state):
            waits.append(SAVE_EVERY)
        return max(AGAIN, min(waits))

    async def _save(
        self, case: ports.Case, state: RolloutState, facts: Facts, *, now: datetime, begins: bool = False
    ) -> None:
        """Write the state, if it is worth it; always before something begins.

        A start has no other precondition on the rollout: an operator that was deposed, and has not seen yet that the
        rollout was aborted and is over, would cordon a node that nobody uncordons any more (L10).
        """
        before = case.state
        if state == before and not begins:
            return
        recent = facts.saved_at is not None and now - facts.saved_at < SAVE_EVERY
        if recent and not begins and not weighty(before, state):
            return
        try:
            await self._world.rollouts.save(case, state)
        except errors.Conflict:
            facts.doubt()
            raise
        facts.saved_at = now
        await self._tell(case, facts, state)

    async def _catch_up(self, case: ports.Case, facts: Facts) -> None:
        """Tell what was written and not told: the answer to the write was lost, or the process has just begun.

        What a process finds at its start is history to it: metrics show it, and no event is written twice.
        """
        if facts.told is None:
            facts.told = case.state
            self._world.journal.rollout_changed(case.key, case.state)
        elif facts.told.phase is not case.state.phase:
            await self._tell(case, facts, case.state)

    async def _tell(self, case: ports.Case, facts: Facts, state: RolloutState) -> None:
        before, facts.told = facts.told, state
        await tell.rollout(self._world.journal, case, before, state)

    def _policy(self, case: ports.Case, facts: Facts) -> PatchPolicy | None:
        """Give the policy; for a rollout that has begun, one that went missing is one that is being deleted.

        Faults of the policy do not keep a rollout that is being deleted from being undone either.
        """
        if case.policy is not None:
            facts.last_policy = case.policy
            return case.policy
        if case.rollout is None or (case.state.started_at is None and not case.deleting):
            return None
        if case.faults and not case.deleting:
            return facts.last_policy
        known = facts.last_policy or PatchPolicy(Key(case.key.namespace, case.rollout.policy_name), "", 0, NodeTarget())
        return replace(known, deleting=True)

    async def _without_policy(self, case: ports.Case, facts: Facts) -> timedelta:
        name = case.rollout.policy_name if case.rollout else ""
        why = "; ".join(case.faults) or f"policy {name} does not exist in namespace {case.key.namespace}; create it"
        return await self._invalid(case, facts, why, reason="InvalidSpec" if case.faults else "PolicyNotFound")

    async def _unreadable(self, case: ports.Case, facts: Facts) -> timedelta:
        if case.deleting and case.finalizer and case.state.started_at is None:
            await self._world.rollouts.let_go(case)
            return AGAIN
        why = "; ".join(case.faults)
        if case.deleting:
            why += (
                f"; corrected, it is undone; to leave its nodes to a person instead, remove the finalizer {FINALIZER}"
            )
        return await self._invalid(case, facts, why, reason="InvalidSpec")

    async def _invalid(self, case: ports.Case, facts: Facts, why: str, *, reason: str) -> timedelta:
        """Say what is wrong with the rollout or its policy; nothing is begun, and what is in flight is held."""
        if case.state.phase in TERMINAL:
            return IDLE
        conditions = (Condition("Ready", "False", reason, why), Condition("Stalled", "True", reason, why))
        phase = Phase.PENDING if case.state.started_at is None else case.state.phase
        state = replace(
            case.state, phase=phase, message=why, observed_generation=case.generation, conditions=conditions
        )
        await self._save(case, state, facts, now=self._world.clock.now())
        return IDLE


def _lane(states: Sequence[health.CheckState], *, slow: bool) -> list[health.CheckState]:
    return [state for state in states if state.check.slow is slow]


def _rollout(case: ports.Case) -> PatchRollout:
    """Give the rollout; of one that is being deleted the faults of its status and of its policy are passed over."""
    assert case.rollout is not None
    if not case.deleting:
        return case.rollout
    return replace(case.rollout, ignored=(*case.rollout.ignored, *case.faults))


def weighty(before: RolloutState, after: RolloutState) -> bool:
    """Tell whether a change of state must be recorded before anything else is done."""
    return any(getattr(before, name) != getattr(after, name) for name in WEIGHTY)


WEIGHTY = (
    "phase", "outcome", "plan", "wave", "widened_at", "policy", "baseline", "cause", "vanished", "started_at",
    "soak_until", "leftover_since", "observed_generation",
)  # fmt: skip


def _unsaved(before: RolloutState, after: RolloutState) -> bool:
    return before != after


Wake = Callable[[Key], None]


def retry_of(error: errors.PatchwrightError) -> timedelta:
    """Give how long to wait before a failed round is repeated."""
    return timedelta(seconds=error.retry_after if error.retry_after is not None else 30.0)
