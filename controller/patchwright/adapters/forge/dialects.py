"""How each API spells the four requests, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote

from patchwright.adapters.forge.wire import Call
from patchwright.domain.writeback.proposals import Host, Proposal, ProposalState, Provider, PullRequest

# "There is one already": whoever lost a race finds it.
_EXISTS = frozenset({409, 422})
_MISSING = frozenset({404})


class Dialect(Protocol):
    """The words of one API. What it cannot read raises ``KeyError``, ``TypeError`` or ``ValueError``."""

    def headers(self, token: str) -> Mapping[str, str]:
        """Give what every request carries."""

    def listing(self, host: Host, proposal: Proposal) -> Call:
        """Ask for the pull requests of a branch, the newest first, whatever their state."""

    def creation(self, host: Host, proposal: Proposal) -> Call:
        """Open one."""

    def reading(self, host: Host, number: int) -> Call:
        """Ask for one."""

    def closing(self, host: Host, number: int) -> Call:
        """Close one."""

    def listed(self, body: Any) -> Sequence[Any]:
        """Give the pull requests of the answer to a listing."""

    def concerns(self, raw: Any, proposal: Proposal) -> bool:
        """Tell whether a pull request is the branch's: filters that a server does not know are passed over."""

    def read(self, raw: Any) -> PullRequest:
        """Read one."""


class GitHub:
    """GitHub's REST API, version 2022-11-28."""

    def headers(self, token: str) -> Mapping[str, str]:
        """Give what every request carries."""
        return {
            "Authorization": f"Bearer {token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }

    def listing(self, host: Host, proposal: Proposal) -> Call:
        """Ask for the pull requests of a branch."""
        owner = host.project.partition("/")[0]
        query = {
            "state": "all",
            "head": f"{owner}:{proposal.head}",
            "base": proposal.base,
            "sort": "created",
            "direction": "desc",
        }
        return Call("look for the pull request", "GET", _pulls(host), query=query)

    def creation(self, host: Host, proposal: Proposal) -> Call:
        """Open one."""
        body = {"title": proposal.title, "head": proposal.head, "base": proposal.base, "body": proposal.body}
        return Call("open the pull request", "POST", _pulls(host), body=body, fine=_EXISTS)

    def reading(self, host: Host, number: int) -> Call:
        """Ask for one."""
        return Call("read the pull request", "GET", f"{_pulls(host)}/{number}")

    def closing(self, host: Host, number: int) -> Call:
        """Close one."""
        return Call("close the pull request", "PATCH", f"{_pulls(host)}/{number}", body={"state": "closed"})

    def listed(self, body: Any) -> Sequence[Any]:
        """Give the pull requests of a listing."""
        return _entries(body)

    def concerns(self, raw: Any, proposal: Proposal) -> bool:
        """Tell whether one is the branch's."""
        return bool(raw["head"]["ref"] == proposal.head and raw["base"]["ref"] == proposal.base)

    def read(self, raw: Any) -> PullRequest:
        """Read one; in a listing only ``merged_at`` says that it was merged."""
        merged = bool(raw.get("merged") or raw.get("merged_at"))
        state = ProposalState.MERGED if merged else _STATES[raw["state"]]
        commit = str(raw.get("merge_commit_sha") or "") if merged else ""
        return PullRequest(int(raw["number"]), str(raw["html_url"]), state, commit=commit)


class Gitea(GitHub):
    """Gitea's and Forgejo's API, which is GitHub's but for how one is looked for."""

    def headers(self, token: str) -> Mapping[str, str]:
        """Give what every request carries."""
        return {"Authorization": f"token {token}", "Accept": "application/json"}

    def listing(self, host: Host, proposal: Proposal) -> Call:
        """Ask for the one of a branch by its name: a listing knows no filter for it."""
        path = f"{_pulls(host)}/{quote(proposal.base, safe='')}/{quote(proposal.head)}"
        return Call("look for the pull request", "GET", path, fine=_MISSING)

    def listed(self, body: Any) -> Sequence[Any]:
        """Give the one that there is."""
        return [] if body is None else [body]


class GitLab:
    """GitLab's REST API, version 4."""

    def headers(self, token: str) -> Mapping[str, str]:
        """Give what every request carries; OAuth and access tokens alike are taken as bearer tokens."""
        return {"Authorization": f"Bearer {token}", "Accept": "application/json"}

    def listing(self, host: Host, proposal: Proposal) -> Call:
        """Ask for the merge requests of a branch."""
        query = {
            "state": "all",
            "source_branch": proposal.head,
            "target_branch": proposal.base,
            "order_by": "created_at",
            "sort": "desc",
        }
        return Call("look for the merge request", "GET", _merge_requests(host), query=query)

    def creation(self, host: Host, proposal: Proposal) -> Call:
        """Open one."""
        body = {
            "source_branch": proposal.head,
            "target_branch": proposal.base,
            "title": proposal.title,
            "description": proposal.body,
        }
        return Call("open the merge request", "POST", _merge_requests(host), body=body, fine=_EXISTS)

    def reading(self, host: Host, number: int) -> Call:
        """Ask for one."""
        return Call("read the merge request", "GET", f"{_merge_requests(host)}/{number}")

    def closing(self, host: Host, number: int) -> Call:
        """Close one."""
        body = {"state_event": "close"}
        return Call("close the merge request", "PUT", f"{_merge_requests(host)}/{number}", body=body)

    def listed(self, body: Any) -> Sequence[Any]:
        """Give the merge requests of a listing."""
        return _entries(body)

    def concerns(self, raw: Any, proposal: Proposal) -> bool:
        """Tell whether one is the branch's."""
        return bool(raw["source_branch"] == proposal.head and raw["target_branch"] == proposal.base)

    def read(self, raw: Any) -> PullRequest:
        """Read one; ``locked`` is one that is being merged."""
        state = _STATES[raw["state"]]
        commit = str(raw.get("merge_commit_sha") or raw.get("squash_commit_sha") or raw.get("sha") or "")
        merged = state is ProposalState.MERGED
        return PullRequest(int(raw["iid"]), str(raw["web_url"]), state, commit=commit if merged else "")


_STATES = {
    "open": ProposalState.OPEN,
    "opened": ProposalState.OPEN,
    "locked": ProposalState.OPEN,
    "merged": ProposalState.MERGED,
    "closed": ProposalState.CLOSED,
}
DIALECTS: Mapping[Provider, Dialect] = {
    Provider.GITHUB: GitHub(),
    Provider.GITLAB: GitLab(),
    Provider.GITEA: Gitea(),
}


def _pulls(host: Host) -> str:
    return f"/repos/{quote(host.project)}/pulls"


def _merge_requests(host: Host) -> str:
    return f"/projects/{quote(host.project, safe='')}/merge_requests"


def _entries(body: Any) -> Sequence[Any]:
    if not isinstance(body, list):
        raise TypeError("a listing is a list")
    return body
