"""One round for one PolicyRepository: fetch, check everything, activate the policy, apply, prune, report.

Everything that can be refused is refused before the first write: a commit with one bad file applies nothing, and what
the last good commit said stays in force.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import PurePosixPath

from patchwright import errors
from patchwright.domain import repository as domain
from patchwright.domain import sync
from patchwright.domain.model import Key
from patchwright.domain.repository import HistoryEntry, PolicyRepository, RepositoryState
from patchwright.domain.sources import History, SourceSnapshot
from patchwright.domain.state import Condition
from patchwright.pipeline import requests
from patchwright.source_ports import Bundle, RepositoryCase, SourceWorld

RETRY = timedelta(seconds=10)
DONE = "ReconciliationSucceeded"
PARALLEL = 8
AWAY = frozenset({"GitOperationFailed", "AuthenticationFailed"})


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a round applied nothing (more), in the words of a condition."""

    reason: str
    message: str
    stalled: bool
    fetch: bool = False
    verified: bool | None = None
    retry: timedelta | None = None


class RepositoryReconciler:
    """Keeps PolicyRepositories synced, one round at a time."""

    def __init__(self, world: SourceWorld) -> None:
        self._world = world

    async def begin(self) -> None:
        """Give OPA the library's policy when no repository brings one; called once all repositories are known."""
        await self._publish_builtin()

    async def reconcile(self, key: Key) -> timedelta | None:
        """Do one round.

        Returns:
            How long until the next one is due, or ``None`` when the repository is gone.
        """
        case = self._world.repositories.get(key)
        if case is None:
            await self._publish_builtin()
            return None
        if case.repository is None:
            return await self._fail(case, _Failure("InvalidSpec", "; ".join(case.faults), stalled=True))
        if case.repository.suspend:
            return await self._suspended(case)
        if refusal := self._rego_refused(case.repository):
            return await self._fail(case, refusal)
        await self._publish_builtin()
        return await self._sync(case, case.repository)

    async def _sync(self, case: RepositoryCase, repository: PolicyRepository) -> timedelta:
        found: SourceSnapshot | None = None
        try:
            found = await self._fetch(case, repository)
            await self._apply(case, repository, found)
        except errors.SourceError as error:
            await self._last_good(case, repository)
            return await self._fail(case, _source_failure(error))
        except errors.InvalidInput as error:
            return await self._fail(case, _Failure(error.reason, _faults(error), stalled=True), found=found)
        except _Refused as error:
            return await self._fail(case, error.failure, found=found)
        except errors.Conflict:
            raise
        except errors.ClusterError as error:
            wait = timedelta(seconds=error.retry_after or RETRY.total_seconds())
            failure = _Failure(error.reason, error.message, stalled=False, retry=wait)
            return await self._fail(case, failure)
        return repository.interval

    async def _fetch(self, case: RepositoryCase, repository: PolicyRepository) -> SourceSnapshot:
        request = await requests.source_request(self._world, repository, last=case.state)
        return await self._world.sources.fetch(request)

    async def _apply(self, case: RepositoryCase, repository: PolicyRepository, found: SourceSnapshot) -> None:
        world, state = self._world, case.state
        # Parsing a thousand manifests takes a third of a second, which the event loop has better things to do with.
        manifests = await asyncio.to_thread(world.manifests.parse, found.manifests, namespace=repository.key.namespace)
        plan = await self._plan(repository, found, manifests, state)
        changed = found.revision != state.last_applied_revision
        if changed:
            await self._each(plan.apply, repository, dry_run=True)
        if repository.rego_path and world.bundles.published() != found.revision:
            bundle = await self._bundle(repository, found.rego, found.revision)
            # Only now, when nothing can be refused any more: the policy and the objects of one commit go together.
            world.bundles.publish(bundle)
        if changed:
            # Written ahead, so that an object is never applied and then forgotten (L6 for what Git gives).
            union = tuple(sorted({*state.inventory, *plan.inventory}))
            case = await self._save(case, replace(state, inventory=union, last_attempted_revision=found.revision))
        await self._each(plan.apply, repository, dry_run=False)
        for key in plan.prune:
            await world.applier.delete(key, service_account=repository.service_account)
        await self._succeed(case, repository, found, plan)

    async def _bundle(self, repository: PolicyRepository, files: Mapping[str, bytes], revision: str) -> Bundle:
        """Build the bundle from paths below ``rego.path``, as policies are written; faults name them from the root."""
        folder = f"{PurePosixPath('/', repository.rego_path)}/".lstrip("/")
        try:
            return await self._world.bundles.build(
                {path.removeprefix(folder): text for path, text in files.items()}, revision
            )
        except errors.InvalidInput as error:
            told = [replace(fault, source=fault.source and folder + fault.source) for fault in error.faults]
            raise errors.InvalidInput(told, reason=error.reason) from error

    async def _plan(
        self,
        repository: PolicyRepository,
        found: SourceSnapshot,
        manifests: Sequence[sync.Manifest],
        state: RepositoryState,
    ) -> sync.SyncPlan:
        wanted = {manifest.key for manifest in manifests}
        gone = [key for key in state.inventory if key not in wanted]
        plan = sync.plan_sync(
            state.inventory,
            manifests,
            revision=found.revision,
            prune=repository.prune,
            keep=await self._world.applier.kept(gone) if gone else (),
            confirmed=repository.confirm_prune,
        )
        if isinstance(plan, sync.SyncRefused):
            raise _Refused(_Failure(plan.reason, plan.message, stalled=True))
        return plan

    async def _each(self, manifests: Sequence[sync.Manifest], repository: PolicyRepository, *, dry_run: bool) -> None:
        """Apply in order of kind, those of one kind at once; a refusal names file and line."""
        faults: list[errors.Fault] = []
        limit = asyncio.Semaphore(PARALLEL)

        async def one(manifest: sync.Manifest) -> None:
            async with limit:
                try:
                    await self._world.applier.apply(
                        manifest, service_account=repository.service_account, dry_run=dry_run
                    )
                except errors.Denied as error:
                    faults.append(errors.Fault("", error.message, manifest.source))

        for kind in sync.SYNCED_KINDS:
            await asyncio.gather(*(one(manifest) for manifest in manifests if manifest.key.kind == kind))
        if faults:
            raise errors.InvalidInput(sorted(faults, key=str), reason="BuildFailed")

    async def _publish_builtin(self) -> None:
        """Serve the library's default policy while no repository brings one of its own."""
        world = self._world
        if world.bundles.published() or any(self._brings_rego(key) for key in world.repositories.keys()):  # noqa: SIM118 (a port's method)
            return
        world.bundles.publish(await world.bundles.builtin())

    def _brings_rego(self, key: Key) -> bool:
        case = self._world.repositories.get(key)
        return case is not None and (case.repository is None or bool(case.repository.rego_path))

    def _rego_refused(self, repository: PolicyRepository) -> _Failure | None:
        """One repository, in the operator's own namespace, brings the policy: whoever writes it decides for all."""
        if not repository.rego_path:
            return None
        own = self._world.operator_namespace
        if repository.key.namespace != own:
            text = f"spec.rego is allowed only in namespace {own}: its policy decides for every rollout; remove it here"
            return _Failure("RegoNotAllowed", text, stalled=True)
        others = sorted(k for k in self._world.repositories.keys() if k.namespace == own and self._brings_rego(k))  # noqa: SIM118
        if others and others[0] < repository.key:
            text = f"PolicyRepository {others[0]} brings the policy already; remove spec.rego from one of them"
            return _Failure("RegoNotAllowed", text, stalled=True)
        return None

    async def _last_good(self, case: RepositoryCase, repository: PolicyRepository) -> None:
        """After a restart while Git is away: decide by the last commit that was applied, from the local cache."""
        world, revision = self._world, case.state.last_applied_revision
        if not repository.rego_path or not revision or world.bundles.published():
            return
        try:
            request = await requests.source_request(world, repository, last=case.state)
            found = await world.sources.cached(request, revision)
            world.bundles.publish(await self._bundle(repository, found.rego, revision))
        except (errors.SourceError, errors.InvalidInput, errors.ClusterError):
            return  # Without it OPA has no policy, and nothing starts; the fetch error is what is reported.

    async def _suspended(self, case: RepositoryCase) -> timedelta:
        text = "suspended by spec.suspend; the last applied revision stays in force"
        condition = Condition("Ready", _status(case.state, "Ready"), "Suspended", text)
        await self._save(case, replace(case.state, observed_generation=case.generation, conditions=(condition,)))
        return timedelta(hours=1)

    async def _succeed(
        self, case: RepositoryCase, repository: PolicyRepository, found: SourceSnapshot, plan: sync.SyncPlan
    ) -> None:
        now = self._world.clock.now()
        text = f"Applied revision: {found.revision}"
        if found.history is History.FORCED:
            text += "; the branch was rewritten since the last one"
        conditions = [Condition("Ready", "True", DONE, text)]
        if found.signers:
            names = ", ".join(sorted({signer.fingerprint for signer in found.signers}))
            conditions.append(Condition("SourceVerified", "True", "Verified", f"signed by {names}"))
        state = replace(
            case.state,
            observed_generation=case.generation,
            last_attempted_revision=found.revision,
            last_applied_revision=found.revision,
            last_handled_reconcile_at=repository.requested_at,
            inventory=plan.inventory,
            history=_history(case.state, found, DONE, now),
            conditions=tuple(conditions),
        )
        await self._save(case, state)

    async def _fail(self, case: RepositoryCase, failure: _Failure, *, found: SourceSnapshot | None = None) -> timedelta:
        """Say what is wrong; what was applied last stays."""
        case = self._world.repositories.get(case.key) or case
        now, repository = self._world.clock.now(), case.repository
        message = failure.message
        if case.state.last_applied_revision:
            message += f"; revision {case.state.last_applied_revision} stays in force"
        conditions = [Condition("Ready", "False", failure.reason, message)]
        kind = "Stalled" if failure.stalled else "Reconciling"
        conditions.append(Condition(kind, "True", failure.reason, message))
        if failure.fetch:
            conditions.append(Condition("FetchFailed", "True", failure.reason, message))
        if failure.verified is False:
            conditions.append(Condition("SourceVerified", "False", failure.reason, message))
        state = replace(
            case.state,
            observed_generation=case.generation,
            last_attempted_revision=found.revision if found else case.state.last_attempted_revision,
            last_handled_reconcile_at=repository.requested_at if repository else "",
            history=_history(case.state, found, failure.reason, now) if found else case.state.history,
            conditions=tuple(sorted(conditions, key=lambda condition: condition.type)),
        )
        await self._save(case, state)
        interval = repository.interval if repository else timedelta(hours=1)
        return min(interval, failure.retry or interval)

    async def _save(self, case: RepositoryCase, state: RepositoryState) -> RepositoryCase:
        if _without_times(state) != _without_times(case.state):
            await self._world.repositories.save(case, state)
        return self._world.repositories.get(case.key) or case


class _Refused(Exception):
    """The guard refused; carries the failure through the round's own handling."""

    def __init__(self, failure: _Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def _without_times(state: RepositoryState) -> RepositoryState:
    """An unchanged revision must not be written at every interval just because the clock moved."""
    history: tuple[HistoryEntry, ...] = tuple(
        replace(entry, last_reconciled=entry.first_reconciled, total=1) for entry in state.history
    )
    return replace(state, history=history)


def _history(state: RepositoryState, found: SourceSnapshot, status: str, now: datetime) -> tuple[HistoryEntry, ...]:
    return domain.recorded(state.history, HistoryEntry(found.digest, found.revision, now, now, status))


def _source_failure(error: errors.SourceError) -> _Failure:
    wait = timedelta(seconds=error.retry_after) if error.retry_after is not None else None
    verified = False if error.reason == "VerificationError" else None
    return _Failure(error.reason, error.message, error.retry_after is None, error.reason in AWAY, verified, wait)


def _faults(error: errors.InvalidInput) -> str:
    """Give the faults one a line, at most 20, with how many more there are."""
    shown = [str(fault) for fault in error.faults[:20]]
    more = [f"and {len(error.faults) - 20} more"] if len(error.faults) > 20 else []
    return "; ".join(shown + more)


def _status(state: RepositoryState, kind: str) -> str:
    found: Mapping[str, str] = {condition.type: condition.status for condition in state.conditions}
    return found.get(kind, "Unknown")
