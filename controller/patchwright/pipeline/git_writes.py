"""Write into Git as a policy says: to the branch itself, or by a pull request that people merge.

Nothing is remembered between two tries: the branch, the pull request and the base say how far it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from patchwright import errors, writeback_ports
from patchwright.domain.model import Key
from patchwright.domain.sources import Credentials
from patchwright.domain.writeback import orders
from patchwright.domain.writeback.orders import WriteOrder, Written
from patchwright.domain.writeback.proposals import Host, Proposal, ProposalState
from patchwright.domain.writeback.settings import GitTarget, PullRequestSettings

LOOK_AGAIN = 30.0


@dataclass(frozen=True, slots=True)
class GitWrites:
    """Implements ``ports.WriteBacks``."""

    commits: writeback_ports.Commits
    pull_requests: writeback_ports.PullRequests
    secrets: writeback_ports.GitSecrets

    async def write(self, order: WriteOrder, git: GitTarget, *, namespace: str) -> Written:
        """Bring about what the order says, or say why it is not there (yet)."""
        credentials = await self._credentials(namespace, git.secret, field="write.git.secretRef")
        order = replace(order, place=replace(order.place, credentials=credentials))
        if git.pull_request is None:
            return await self.commits.write(order)
        host = await self._host(git, git.pull_request, namespace=namespace, usual=credentials)
        if order.unsure and not await self._merged(host, git, order):
            return await self.commits.write(order)
        return await self._proposed(replace(order, unsure=False), git, host)

    async def _credentials(self, namespace: str, secret: str, *, field: str) -> Credentials:
        return await self.secrets.credentials(Key(namespace, secret), name=field) if secret else Credentials()

    async def _host(self, git: GitTarget, settings: PullRequestSettings, *, namespace: str, usual: Credentials) -> Host:
        own = settings.secret
        found = await self._credentials(namespace, own, field="write.git.pullRequest.secretRef") if own else usual
        return Host(settings.provider, git.url, settings.api, credentials=found)

    async def _merged(self, host: Host, git: GitTarget, order: WriteOrder) -> bool:
        """Tell whether a step that is taken back was merged; one that waits for it still is closed instead."""
        found = await self.pull_requests.find(host, Proposal(_branch(git, order, order.back_of), git.branch, ""))
        if found is not None and found.state is ProposalState.OPEN:
            found = await self.pull_requests.close(host, found.number)
        return found is not None and found.state is ProposalState.MERGED

    async def _proposed(self, order: WriteOrder, git: GitTarget, host: Host) -> Written:
        branch = _branch(git, order, order.step.name)
        written = await self.commits.write(replace(order, place=replace(order.place, push_branch=branch)))
        if written.branch != branch:
            return written
        title, body = orders.proposal(order)
        found = await self.pull_requests.ensure(host, Proposal(branch, git.branch, title, body))
        match found.state:
            case ProposalState.MERGED:
                return replace(written, commit=found.commit or written.commit, branch=git.branch)
            case ProposalState.OPEN:
                text = f"waits until somebody merges pull request {found.url}"
                raise errors.WriteBackError(text, reason="AwaitingMerge", retry_after=LOOK_AGAIN)
            case ProposalState.CLOSED:
                text = f"somebody closed pull request {found.url}; it is not opened again"
                raise errors.WriteBackError(text, reason="PullRequestClosed")


def _branch(git: GitTarget, order: WriteOrder, step: str) -> str:
    return f"{git.prefix}{order.step.rollout.name}/{step}"
