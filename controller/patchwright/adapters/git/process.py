"""One bounded subprocess: its own process group, a clean environment, capped output, never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

GRACE = 0.5  # seconds between SIGTERM, on which git removes its lock files, and SIGKILL
STDERR_BYTES = 16 * 1024
CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Completed:
    """How a process ended. ``truncated`` says that it wrote more than it was allowed and was ended for that."""

    returncode: int
    stdout: bytes
    stderr: str
    truncated: bool = False


async def run(argv: Sequence[str], *, env: Mapping[str, str], stdin: bytes = b"", max_stdout: int) -> Completed:
    """Run a process to its end; when the caller is cancelled, the whole process group ends with it."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(env),
        cwd="/",
        start_new_session=True,
    )
    try:
        (out, truncated), (err, _), _ = await asyncio.gather(
            _take(process.stdout, max_stdout, stop=process),
            _take(process.stderr, STDERR_BYTES, stop=None),
            _feed(process.stdin, stdin),
        )
        code = await process.wait()
    finally:
        if process.returncode is None:
            await asyncio.shield(_end(process))
    return Completed(code, out, err.decode(errors="replace"), truncated)


async def _take(
    stream: asyncio.StreamReader | None, limit: int, *, stop: asyncio.subprocess.Process | None
) -> tuple[bytes, bool]:
    """Read to the end, keep ``limit`` bytes; past the limit end the process, if it is given."""
    assert stream is not None
    kept, size = bytearray(), 0
    while chunk := await stream.read(CHUNK):
        size += len(chunk)
        kept += chunk[: max(0, limit - len(kept))]
        if size > limit and stop is not None:
            _signal(stop, signal.SIGKILL)
    return bytes(kept), size > limit


async def _feed(stream: asyncio.StreamWriter | None, data: bytes) -> None:
    """Write all of stdin; a process that ends without reading it is judged by its return code."""
    if stream is None:
        return
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stream.write(data)
        await stream.drain()
        stream.close()
        await stream.wait_closed()


async def _end(process: asyncio.subprocess.Process) -> None:
    _signal(process, signal.SIGTERM)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GRACE):
            await process.wait()
    # The group outlives its leader when a transport helper (git-remote-https, ssh) ignored the first signal.
    _signal(process, signal.SIGKILL)
    await process.wait()


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
