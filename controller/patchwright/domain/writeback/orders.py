"""What is to be written into Git, what is said in the commit, and what came of it.

A commit of ours says in its trailers which step of which rollout it is. By that a step that is repeated after a crash
finds what it has pushed already (L12), and nobody takes it for new intent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from patchwright.domain.model import Key
from patchwright.domain.sources import Author, Credentials
from patchwright.domain.writeback.edits import Edit, Swap
from patchwright.domain.writeback.settings import AUTHOR

ROLLOUT_TRAILER = "Patchwright-Rollout"
STEP_TRAILER = "Patchwright-Step"
_SUBJECT = 72


@dataclass(frozen=True, slots=True)
class Destination:
    """Where it is written: a folder (``path``) of a ``branch``; an empty branch is the one that HEAD names.

    ``push_branch`` is the branch that is pushed to instead, for a pull request; it is made from ``branch``.
    """

    url: str
    branch: str = ""
    path: str = ""
    push_branch: str = ""
    timeout: timedelta = timedelta(seconds=60)
    credentials: Credentials = field(default=Credentials(), repr=False)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of one rollout, which is one commit at most; ``at`` is when it was decided, and dates the commit.

    ``since`` is when the rollout was created: no commit of it can be older.
    """

    rollout: Key
    uid: str
    name: str
    at: datetime
    since: datetime

    @property
    def trailers(self) -> Mapping[str, str]:
        """What the commit says of itself."""
        return {ROLLOUT_TRAILER: f"{self.rollout}/{self.uid}", STEP_TRAILER: self.name}

    def made(self, trailers: Mapping[str, str]) -> bool:
        """Tell whether a commit with these trailers is this step's."""
        return all(trailers.get(key) == value for key, value in self.trailers.items())


@dataclass(frozen=True, slots=True)
class WriteOrder:
    """One commit that is wanted: the ``swaps`` of a step, or, where ``back_of`` names a step, their way back.

    ``undoes`` is the commit whose every byte is wanted back; without it, or where it cannot be had any more (a pull
    request that was squashed), the swaps are turned round. ``unsure`` says that the step may have made no commit at
    all: whoever crashed before it cannot know, and without one there is no way back to go.
    """

    place: Destination
    step: Step
    swaps: tuple[Swap, ...]
    back_of: str = ""
    undoes: str = ""
    unsure: bool = False
    author: Author = AUTHOR


@dataclass(frozen=True, slots=True)
class Addition:
    """A commit that adds one file to a new branch (``place.push_branch``), made from ``place.branch``."""

    place: Destination
    path: str
    content: bytes = field(repr=False)
    message: str
    at: datetime
    author: Author = AUTHOR


@dataclass(frozen=True, slots=True)
class Written:
    """What came of an order: the ``commit`` that has it, on ``branch``, and the ``files`` it changed.

    ``ours`` says that it is a commit of this step, ``fresh`` that this call made it. A commit that is not ours is the
    branch's newest: somebody else has brought what is wanted already.
    """

    commit: str
    branch: str
    files: tuple[str, ...] = ()
    ours: bool = True
    fresh: bool = True


def message(order: WriteOrder, edits: Sequence[Edit]) -> str:
    """Give the commit's message: rollout and change, the files, and our trailers."""
    step = order.step
    verb = "Put back" if order.back_of else "Set"
    lines = list(dict.fromkeys(f"{verb} {_what(swap, back=bool(order.back_of))}" for swap in order.swaps))
    subject = lines[0] if len(lines) == 1 and len(lines[0]) <= _SUBJECT else f"{verb} {_count(order)}"
    body = [f"Rollout {step.rollout}, {step.name}."]
    body += [f"This reverts commit {order.undoes}."] if order.undoes else []
    body += ["", *lines, "", *sorted({f"- {edit.path}" for edit in edits})]
    trailers = [f"{key}: {value}" for key, value in step.trailers.items()]
    return "\n".join([subject, "", *body, "", *trailers, ""])


def proposal(order: WriteOrder) -> tuple[str, str]:
    """Give the title and the text of the order's pull request."""
    subject, _, rest = message(order, ()).partition("\n\n")
    body = rest.split("\n\n- ", 1)[0]
    return subject, body.replace("\n\n\n", "\n\n")


def _what(swap: Swap, *, back: bool) -> str:
    to = swap.was if back else swap.to
    return f"{swap.scope.repository} to {to.tag or to.digest or 'no tag'}"


def _count(order: WriteOrder) -> str:
    name = order.swaps[0].scope.repository.rpartition("/")[2]
    rest = len({swap.scope.repository for swap in order.swaps}) - 1
    return f"image {name}" + (f" and {rest} more" if rest else "")
