"""The client: finds, opens and closes pull requests, whoever hosts them."""

from __future__ import annotations

from typing import Any, Self

import aiohttp

from patchwright.adapters.forge import wire
from patchwright.adapters.forge.dialects import DIALECTS
from patchwright.adapters.forge.wire import Answer, Call
from patchwright.domain.writeback.proposals import Host, Proposal, ProposalState, PullRequest, api_root


class ForgeClient:
    """Implements ``writeback_ports.PullRequests``; made inside a running loop, an async context manager."""

    def __init__(self, session: aiohttp.ClientSession | None = None) -> None:
        self._session = session or wire.new_session()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def find(self, host: Host, proposal: Proposal) -> PullRequest | None:
        """Give the newest pull request of the branch, open, merged or closed."""
        dialect = DIALECTS[host.provider]
        call = dialect.listing(host, proposal)
        answer = await self._ask(host, call)
        try:
            mine = [raw for raw in dialect.listed(answer.body) if dialect.concerns(raw, proposal)]
            return max((dialect.read(raw) for raw in mine), key=lambda found: found.number, default=None)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise _strange(host, call) from None

    async def ensure(self, host: Host, proposal: Proposal) -> PullRequest:
        """Give the pull request of the branch, opened if there never was one."""
        if (found := await self.find(host, proposal)) is not None:
            return found
        call = DIALECTS[host.provider].creation(host, proposal)
        answer = await self._ask(host, call)
        if answer.body is not None:
            return _read(host, call, answer.body)
        # Somebody was quicker, or the branch holds nothing that the base does not.
        if (found := await self.find(host, proposal)) is not None:
            return found
        action = f"check that {proposal.head} and {proposal.base} are there and differ"
        raise wire.failed(host, call, "it refuses it", action, retry_after=300.0)

    async def close(self, host: Host, number: int) -> PullRequest:
        """Close a pull request; one that is merged or closed already stays as it is."""
        dialect = DIALECTS[host.provider]
        call = dialect.reading(host, number)
        found = _read(host, call, (await self._ask(host, call)).body)
        if found.state is not ProposalState.OPEN:
            return found
        call = dialect.closing(host, number)
        return _read(host, call, (await self._ask(host, call)).body)

    async def _ask(self, host: Host, call: Call) -> Answer:
        headers = DIALECTS[host.provider].headers(host.token)
        return await wire.exchange(self._session, host, call, root=api_root(host), headers=headers)


def _read(host: Host, call: Call, raw: Any) -> PullRequest:
    try:
        return DIALECTS[host.provider].read(raw)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _strange(host, call) from None


def _strange(host: Host, call: Call) -> Exception:
    return wire.failed(host, call, "its answer cannot be read", "check pullRequest.provider and pullRequest.address")
