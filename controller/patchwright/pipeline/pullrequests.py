"""Ask people about a proposal, by a pull request to the repository that its policy came from.

Nothing is remembered that would have to survive: the host knows which pull request there is for a branch, open, merged
or closed, and the branch's name follows from the proposal. So nothing is opened twice, whoever crashes when.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from patchwright import errors, source_ports, writeback_ports
from patchwright.domain.images import pullrequests
from patchwright.domain.images.proposals import Proposal
from patchwright.domain.images.pullrequests import Answer
from patchwright.domain.model import Key, PatchPolicy
from patchwright.domain.repository import PolicyRepository
from patchwright.domain.sources import Credentials
from patchwright.domain.sync import ObjectKey
from patchwright.domain.writeback import proposals
from patchwright.domain.writeback.orders import Addition, Destination
from patchwright.domain.writeback.proposals import Host, ProposalState
from patchwright.domain.writeback.settings import ProposalSettings
from patchwright.ports import Clock

_FIELD = "spec.pullRequest.secretRef.name"


@dataclass(frozen=True, slots=True)
class GitProposals:
    """Implements ``image_ports.ProposalPullRequests``; ``render`` gives the file of a proposal."""

    repositories: source_ports.Repositories
    additions: writeback_ports.Additions
    pull_requests: writeback_ports.PullRequests
    secrets: writeback_ports.GitSecrets
    clock: Clock
    render: Callable[[PatchPolicy, Proposal], bytes]

    async def ask(self, policy: PatchPolicy, proposal: Proposal) -> Answer:
        """Give what people have said; open a pull request if there never was one, then close what it replaces."""
        repository, settings = self._home(policy.key)
        credentials = await self._credentials(repository, settings)
        host = Host(settings.provider, repository.url, settings.api, credentials=credentials)
        place = Destination(repository.url, repository.ref.branch, timeout=repository.timeout, credentials=credentials)
        wanted = proposals.Proposal(
            pullrequests.branch(policy.key, proposal),
            repository.ref.branch,
            pullrequests.title(proposal),
            pullrequests.body(policy.key, proposal),
        )
        pull = await self.pull_requests.find(host, wanted)
        if pull is None:
            addition = Addition(
                replace(place, push_branch=wanted.head),
                pullrequests.path(repository.path, settings.folder, proposal),
                self.render(policy, proposal),
                pullrequests.message(policy.key, proposal),
                self.clock.now(),
            )
            if not await self.additions.add(addition):
                return Answer(None, repository.key.name)
            pull = await self.pull_requests.ensure(host, wanted)
        if pull.state is ProposalState.OPEN:
            await self._replace(host, place, wanted, pullrequests.family(policy.key, proposal))
        return Answer(pull, repository.key.name)

    async def _replace(self, host: Host, place: Destination, wanted: proposals.Proposal, family: str) -> None:
        """Close what still waits for the same image."""
        for name in await self.additions.branches(place, prefix=family):
            if name == wanted.head:
                continue
            older = await self.pull_requests.find(host, replace(wanted, head=name))
            if older is not None and older.state is ProposalState.OPEN:
                await self.pull_requests.close(host, older.number)

    def _home(self, policy: Key) -> tuple[PolicyRepository, ProposalSettings]:
        """Find the repository that a policy came from, by what it has applied."""
        wanted = ObjectKey("PatchPolicy", policy.namespace, policy.name)
        cases = (self.repositories.get(key) for key in self.repositories.keys() if key.namespace == policy.namespace)  # noqa: SIM118 (a port's method)
        case = next((each for each in cases if each is not None and wanted in each.state.inventory), None)
        if case is None or case.repository is None:
            text = f"no PolicyRepository has applied policy {policy.name}; put it into one, or set trigger: Automatic"
            raise errors.WriteBackError(text, reason="NoRepository", retry_after=None)
        if case.repository.pull_request is None:
            text = f"PolicyRepository {case.key.name}, which the policy came from, has no pullRequest; set it"
            raise errors.WriteBackError(text, reason="NoPullRequests", retry_after=None)
        return case.repository, case.repository.pull_request

    async def _credentials(self, repository: PolicyRepository, settings: ProposalSettings) -> Credentials:
        name = settings.secret or repository.secret_name
        if name is None:
            return Credentials()
        return await self.secrets.credentials(Key(repository.key.namespace, name), name=_FIELD)
