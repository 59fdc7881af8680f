"""Free ports on loopback."""

from __future__ import annotations

import contextlib
import socket

LOOPBACK = "127.0.0.1"


def free(count: int = 1) -> list[int]:
    """Give ``count`` different ports that were free a moment ago.

    The kernel hands them out and nothing keeps them: whoever starts a server on one tries again with another when
    somebody was faster (see ``supervisor``).
    """
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [int(each.getsockname()[1]) for each in sockets]
