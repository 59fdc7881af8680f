"""kopf without its memory of what an object looked like before.

kopf keeps the last handled state of each object in an annotation, to tell creations from changes. We have handlers for
plain events only, so nothing is ever stored; but for every event it copies the whole object four times over to have
something to compare. That was two thirds of the operator's CPU in a rollout (``make bench``).
"""

from __future__ import annotations

from typing import Any, cast

import kopf

_NOTHING = cast("Any", {})


class NoDiffBase(kopf.DiffBaseStorage):
    """Remembers no state, so that there is no difference to look for."""

    def build(self, **_: Any) -> Any:
        """Give the same nothing for every object."""
        return _NOTHING

    def fetch(self, **_: Any) -> None:
        """Give what was stored before: nothing."""

    def store(self, **_: Any) -> None:
        """Store nothing."""


class NoProgress(kopf.ProgressStorage):
    """Remembers no progress: no handler of ours is ever retried by kopf."""

    def fetch(self, **_: Any) -> None:
        """Give what was stored before: nothing."""

    def store(self, **_: Any) -> None:
        """Store nothing."""

    def purge(self, **_: Any) -> None:
        """There is nothing to take away."""

    def touch(self, **_: Any) -> None:
        """There is nobody to wake."""

    def clear(self, *, essence: Any) -> Any:
        """Give the essence as it is: nothing of ours is in it."""
        return essence
