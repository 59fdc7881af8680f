"""Free ports on loopback."""

from __future__ import annotations

import contextlib
import random
import socket

LOOPBACK = "127.0.0.1"
# Below what Linux and macOS give to outgoing connections: the port of a server that is started again is still free.
_RANGE = range(20_000, 32_000)


def free(count: int = 1) -> list[int]:
    """Give ``count`` different ports that were free a moment ago.

    Nothing keeps them: whoever starts a server on one tries again with another when somebody was faster (see
    ``supervisor``). Raises OSError when there are not as many.
    """
    found: list[int] = []
    with contextlib.ExitStack() as stack:
        for port in random.sample(_RANGE, len(_RANGE)):
            if len(found) == count:
                break
            one = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                one.bind((LOOPBACK, port))
                found.append(port)
    if len(found) == count:
        return found
    raise OSError(f"no {count} ports of {_RANGE.start} to {_RANGE.stop} are free on {LOOPBACK}; end what listens there")
