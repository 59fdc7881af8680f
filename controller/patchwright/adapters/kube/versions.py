"""Keep the newest version of each object, in whatever order the news comes.

Resource versions of one resource are comparable integers (KEP-5504); a UID never comes back. News come
from a watch, which may lag, and from the answers to our own writes, which may arrive after the watch has already told
of a deletion.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

_GONE_KEPT = 4096


class Versioned(Protocol):
    """What every projection says of the object it was made from."""

    @property
    def uid(self) -> str:
        """The object's UID."""

    @property
    def resource_version(self) -> str:
        """The version that the projection was made from."""


V = TypeVar("V", bound=Versioned)


def version(text: str) -> int:
    """Give a resource version as the number it is."""
    return int(text)


class Store(Generic[V]):
    """The newest projection under each key."""

    def __init__(self) -> None:
        self._items: dict[str, V] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def __iter__(self) -> Iterator[V]:
        return iter(self._items.values())

    def get(self, key: str) -> V | None:
        """Give what is known under a key."""
        return self._items.get(key)

    def items(self) -> Iterator[tuple[str, V]]:
        """Give every key with what is known under it."""
        return iter(self._items.items())

    def news(self, key: str, uid: str, resource_version: str) -> bool:
        """Tell whether an object of this identity and version would be newer than what is known."""
        if uid in self._gone:
            return False
        known = self._items.get(key)
        return known is None or version(resource_version) > version(known.resource_version)

    def buried(self, uid: str) -> bool:
        """Tell whether the object is known to be gone."""
        return uid in self._gone

    def put(self, key: str, item: V) -> V | None:
        """Keep an item that is news; give what was there before."""
        before = self._items.get(key)
        self._items[key] = item
        if before is not None and before.uid != item.uid:
            self._bury(before.uid)
        return before

    def drop(self, key: str, uid: str) -> V | None:
        """Take an object away that was deleted; one of the same name that came after it stays."""
        self._bury(uid)
        known = self._items.get(key)
        return self._items.pop(key) if known is not None and known.uid == uid else None

    def prune(self, living: Callable[[str, V], bool], at: int) -> list[tuple[str, V]]:
        """Drop what a complete list of version ``at`` does not hold any more; what is newer than the list stays."""
        dead = [
            (key, item)
            for key, item in self._items.items()
            if version(item.resource_version) <= at and not living(key, item)
        ]
        for key, item in dead:
            self.drop(key, item.uid)
        return dead

    def _bury(self, uid: str) -> None:
        self._gone[uid] = None
        while len(self._gone) > _GONE_KEPT:
            self._gone.popitem(last=False)
