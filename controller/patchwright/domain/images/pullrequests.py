"""A proposal that people decide on: a pull request to the repository that the policy came from, with the rollout.

One proposal is one branch with one pull request, and both have names that follow from it: who asks again finds them.
What a person has closed is declined, and stays so; that is the host's memory, and not ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from patchwright.domain.images import proposals, reference
from patchwright.domain.images.choice import Verdict
from patchwright.domain.images.proposals import Outlook, Proposal
from patchwright.domain.model import Key
from patchwright.domain.writeback.proposals import ProposalState, PullRequest
from patchwright.domain.writeback.settings import PREFIX

TRAILER: Final = "Patchwright-Proposal"
"""What a commit of ours says that it proposes: ``namespace/policy/rollout``."""
_STRANGE: Final = re.compile(r"[^a-z0-9]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Answer:
    """What people have said: ``pull`` is the pull request, ``None`` where the file is in Git without one."""

    pull: PullRequest | None
    repository: str


def family(policy: Key, proposal: Proposal) -> str:
    """Give what the branches of all proposals of one policy for one image begin with: a newer one replaces them."""
    image = reference.parse(proposal.pin.image)
    words = _STRANGE.sub("-", f"{image.registry}/{image.repository}".lower()).strip("-")
    return f"{PREFIX}{policy.namespace}/{policy.name}/{words}/"


def branch(policy: Key, proposal: Proposal) -> str:
    """Give the branch of a proposal."""
    return f"{family(policy, proposal)}{proposal.name}"


def path(below: str, folder: str, proposal: Proposal) -> str:
    """Give the file that a proposal adds."""
    parts = f"{below}/{folder}/{proposal.name}.yaml".split("/")
    return "/".join(part for part in parts if part not in ("", "."))


def title(proposal: Proposal) -> str:
    """Give the title of a pull request, which is the subject of its commit."""
    return f"Roll out {proposal.pin.short}"


def body(policy: Key, proposal: Proposal) -> str:
    """Give the text of a pull request."""
    pin = proposal.pin
    lines = [
        f"PatchPolicy {policy.name} proposes `{pin.wanted}` in place of {', '.join(pin.replaces) or 'any other'}.",
        "",
        "Merged, it is rolled out as the policy says, canary first. Closed, it is not proposed again.",
    ]
    if proposal.advisories:
        lines += ["", f"It answers {', '.join(proposal.advisories)}."]
    return "\n".join(lines)


def message(policy: Key, proposal: Proposal) -> str:
    """Give the commit's message."""
    return f"{title(proposal)}\n\n{TRAILER}: {policy}/{proposal.name}\n"


def declined(answer: Answer) -> str:
    """Say that a person wants none of it; empty when nobody has said so."""
    if answer.pull is None or answer.pull.state is not ProposalState.CLOSED:
        return ""
    return f"pull request {answer.pull.url} was closed; reopen it, or create a PatchRollout of it"


def told(outlook: Outlook, answer: Answer) -> Outlook:
    """Say of the image that is proposed what people have to do."""
    pull, repository = answer.pull, answer.repository
    if pull is not None and pull.state is ProposalState.OPEN:
        text = f"which waits until somebody merges pull request {pull.url}"
        return proposals.instead(outlook, Verdict.WAIT, "AwaitingMerge", text)
    what = f"whose pull request {pull.url} is merged" if pull is not None else "which is in Git already"
    text = f"{what}; PolicyRepository {repository} has not applied it yet"
    return proposals.instead(outlook, Verdict.WAIT, "Merged", text)
