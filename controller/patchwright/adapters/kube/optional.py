"""List and watch a kind that is somebody else's: it may not be installed, or be so later, or be removed.

No event tells of it that could be watched without more rights, so it is asked for now and then: one request that finds
nothing.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Final

from patchwright import errors
from patchwright.adapters.kube.client import KubeApi
from patchwright.adapters.kube.lists import Living
from patchwright.adapters.kube.reflector import Raw, Reflector

logger = logging.getLogger(__name__)

AGAIN: Final = 30.0
"""Seconds until a kind that is not there is looked for again."""
# Whoever starts an API server again is told for a moment that a kind does not exist, and it has lost nothing.
_TIMES: Final = 2


class OptionalReflector(Reflector):
    """A reflector that is content with nothing; ``missing`` gets why there is nothing, and an empty text once there is.

    ``kind`` is what people call it. What was known stays until the kind was not there twice in a row.
    """

    def __init__(
        self,
        api: KubeApi,
        path: str,
        *,
        kind: str,
        take: Callable[[Raw], None],
        gone: Callable[[Raw], None],
        complete: Callable[[Living], None],
        missing: Callable[[str], None],
        again: float = AGAIN,
    ) -> None:
        super().__init__(api, path, take=take, gone=gone, complete=complete)
        self._kind = kind
        self._missing = missing
        self._again = again
        self._in_vain = 0

    async def list(self) -> None:
        """Take everything there is; nothing where the kind is not installed or may not be read.

        Raises:
            ClusterError: the API server did not answer.
        """
        try:
            await super().list()
        except errors.NotFound:
            self._nothing(f"kind {self._kind} is not installed in this cluster; install its CRD, or leave the kind out")
        except errors.Denied as error:
            self._nothing(f"kind {self._kind} may not be read: {error}; allow it, or leave the kind out")
            self._in_vain = 0
        else:
            self._in_vain = 0
            self._missing("")

    def _nothing(self, why: str) -> None:
        self._version = ""
        self._in_vain += 1
        if self._in_vain == _TIMES:
            self._complete(Living(frozenset(), sys.maxsize))
        self._missing(why)

    async def _follow(self) -> None:
        """Take what happens; where there is nothing to follow, let some time pass.

        Raises:
            ClusterError: as a reflector does, but for a kind that is gone.
        """
        if not self._version:
            await asyncio.sleep(self._again)
            return
        try:
            await super()._follow()
        except (errors.NotFound, errors.Denied) as error:
            logger.info("%s is not there any more (%s); looked for every %.0f s", self._path, error, self._again)
            self._version = ""
