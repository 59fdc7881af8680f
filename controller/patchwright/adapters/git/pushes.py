"""A push, and what became of it, by Git's porcelain; never forced, so that nothing of somebody else's is ever lost."""

from __future__ import annotations

import re
from enum import Enum

from patchwright.adapters.git.failures import failure, git_failed
from patchwright.adapters.git.repository import Repository
from patchwright.errors import PatchwrightError, WriteBackError

_PUSH = ("push", "--porcelain", "--no-verify", "--no-signed", "--no-follow-tags", "--no-recurse-submodules")
# What Git itself says of a branch that is not where the commit's parent is; the second line are races on the server.
_MOVED = re.compile(
    r"\[rejected\] \((fetch first|non-fast-forward|stale info|already exists|needs force)\)"
    r"|\[remote rejected\] \((failed to update ref|cannot lock ref|incorrect old value|reference already exists)",
    re.IGNORECASE,
)
_REFUSED = re.compile(r"^!\t[^\t]*\t\[(remote )?rejected\]", re.MULTILINE)


class Pushed(Enum):
    """What became of a push."""

    DONE = "done"
    MOVED = "moved"


async def push(repository: Repository, commit: str, branch: str) -> Pushed:
    """Push a commit to a branch that its parent is the tip of, or that does not exist yet.

    Raises:
        WriteBackError: the server does not let us write to the branch.
        SourceError: nobody knows whether it arrived; whoever asks again finds it by its trailers.
    """
    url = repository.request.url
    refspec = f"{commit}:refs/heads/{branch}"
    done = await repository.succeeds(*_PUSH, "--end-of-options", url, refspec, network=True)
    if done.returncode == 0:
        return Pushed.DONE
    said = done.stdout.decode(errors="replace")
    if _MOVED.search(said):
        return Pushed.MOVED
    if _REFUSED.search(said):
        raise refused(url, branch)
    raise git_failed(url, f"push to {branch}", stderr=done.stderr, secrets=repository.session.secrets)


def refused(url: str, branch: str) -> PatchwrightError:
    """Make the error of a server that refuses the branch; its own words stay its own (``failures``)."""
    told = failure(
        url, f"push to {branch}: the server refuses it (a protected branch, or a hook)",
        next_action="let the account push there, or set write.git.pullRequest to have a pull request opened",
        reason="PushRefused",
    )  # fmt: skip
    return WriteBackError(told.message, reason=told.reason, retry_after=300.0)
