"""A lock between processes: two builds of the same programs must not meet."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def exclusive(path: Path, *, waiting: Callable[[], None], poll: float = 0.5) -> Iterator[None]:
    """Hold the lock file ``path``; call ``waiting`` every ``poll`` seconds while another process holds it.

    The kernel lets go of it when the holder dies, so that there is no stale lock to clean up.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not _try(handle):
            waiting()
            time.sleep(poll)
        yield
    finally:
        os.close(handle)


def _try(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
