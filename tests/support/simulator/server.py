"""The truth: one API server with resource versions, and the history of everything that was ever written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from typing import Any, TypeVar

from patchwright import errors
from patchwright.domain.model import Key
from support.simulator import loop
from support.simulator.things import Attachment, Job, Kind, Node, Pod, Policy, Rollout, Thing, Workload

N = TypeVar("N", Node, Job, Pod, Attachment, Workload, Rollout, Policy)
OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Change:
    """One write: ``before`` is ``None`` for a creation, ``after`` for a deletion."""

    at: datetime
    actor: str
    kind: Kind
    before: Any
    after: Any
    version: int

    @property
    def thing(self) -> Any:
        return self.before if self.after is None else self.after


Listener = Callable[[Change], None]


class Server:
    """Objects by kind and key. Writers name themselves, so that an observer can tell them apart."""

    def __init__(self) -> None:
        self._versions = count(1)
        self._uids = count(1)
        self._stores: dict[Kind, dict[Any, Thing]] = {
            Node: {}, Job: {}, Pod: {}, Attachment: {}, Workload: {}, Rollout: {}, Policy: {},
        }  # fmt: skip
        self._listeners: list[Listener] = []
        self.history: list[Change] = []

    def listen(self, listener: Listener) -> None:
        """Call ``listener`` with every change, in order, at once."""
        self._listeners.append(listener)

    def deafen(self, listener: Listener) -> None:
        """Stop calling ``listener``."""
        self._listeners.remove(listener)

    def uid(self, prefix: str) -> str:
        """Make a UID that was never given before."""
        return f"{prefix}-{next(self._uids):04d}"

    def all(self, kind: type[N]) -> Iterable[N]:
        """Give every object of a kind."""
        return self._stores[kind].values()  # type: ignore[return-value]  # each store holds one kind only

    def every(self, kind: Kind) -> Iterable[Thing]:
        """Give every object of a kind that is only known while running."""
        return self._stores[kind].values()

    def get(self, kind: type[N], key: str | Key) -> N | None:
        """Give one object."""
        return self._stores[kind].get(key)  # type: ignore[return-value]  # each store holds one kind only

    def need(self, kind: type[N], key: str | Key) -> N:
        """Give one object that must exist.

        Raises:
            NotFound: it does not.
        """
        found = self.get(kind, key)
        if found is None:
            raise errors.NotFound(f"{kind.__name__} {key} not found")
        return found

    def create(self, actor: str, thing: N) -> N:
        """Create an object.

        Raises:
            Conflict: one of that name exists.
        """
        if thing.key in self._stores[type(thing)]:
            raise errors.Conflict(f"{type(thing).__name__} {thing.key} already exists")
        return self._put(actor, None, thing)

    def update(self, actor: str, before: N, *, version: int | None = None, **fields: Any) -> N:
        """Change an object; what changes nothing is no write.

        Raises:
            NotFound: it is gone.
            Conflict: it is another one, or not at ``version`` any more.
        """
        known = self.need(type(before), before.key)
        if known.uid != before.uid or (version is not None and known.version != version):
            raise errors.Conflict(f"{type(before).__name__} {before.key} was changed by somebody else")
        after = replace(known, **fields)
        return known if after == known else self._put(actor, known, after)

    def delete(self, actor: str, thing: Thing) -> None:
        """Remove an object that exists."""
        before = self._stores[type(thing)].pop(thing.key)
        self._tell(Change(loop.now(), actor, type(thing), before, None, next(self._versions)))

    def _put(self, actor: str, before: N | None, after: N) -> N:
        after = replace(after, version=next(self._versions))
        self._stores[type(after)][after.key] = after
        self._tell(Change(loop.now(), actor, type(after), before, after, after.version))
        return after

    def _tell(self, change: Change) -> None:
        self.history.append(change)
        for listener in list(self._listeners):
            listener(change)
