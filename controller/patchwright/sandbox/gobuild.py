"""One ``go build`` of several programs, so that what they share is compiled once, with its progress shown.

Environment: ``GOTOOLCHAIN=local`` and ``-mod=readonly`` keep the pins what they are; ``CGO_ENABLED=0`` because a fresh
machine has no C compiler, and because the result must not depend on whether it has one (what cannot do without says so
by ``cgo``). Where modules come from
(``GOPROXY``, ``GONOSUMDB``…) is the user's business and is left as it is.
"""

from __future__ import annotations

import os
import queue
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from patchwright.sandbox import errors, golang, progress

FLAGS = ("-trimpath", "-buildvcs=false")
_ENV = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
_MAJOR_SUFFIX = re.compile(r"v\d+")
_NETWORK = re.compile(r"dial tcp|no such host|i/o timeout|connection refused|TLS handshake|proxyconnect|unreachable")


@dataclass(frozen=True, slots=True)
class Job:
    """What to build, with which Go, from which module."""

    go: Path
    module: Path
    packages: Sequence[str]
    ldflags: str
    tags: str = ""
    cgo: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """Give the environment of every go subcommand."""
        return {**os.environ, **_ENV, "CGO_ENABLED": "1" if self.cgo else "0"}

    def command(self, *verb: str) -> list[str]:
        """Give the command line of a go subcommand over the packages."""
        tags = ["-tags", self.tags] if self.tags else []
        return [str(self.go), *verb, *FLAGS, *tags, "-ldflags", self.ldflags]


def minimum(module: Path) -> golang.Version:
    """Give the Go version that a module asks for in its go.mod."""
    match = re.search(r"^go .+", (module / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise errors.BuildError(
            f"{module / 'go.mod'} names no Go version; the installation is broken, install it again."
        )
    return golang.parse(match[0])


def output_name(package: str) -> str:
    """Give the name that ``go build`` gives a program: the last element of its path that is no major version."""
    return next(part for part in reversed(package.split("/")) if not _MAJOR_SUFFIX.fullmatch(part))


def run(job: Job, output: Path, show: progress.Progress) -> None:
    """Build every package of ``job`` into the folder ``output``; raise BuildError with the last lines when it fails."""
    show.step("Fetching Go modules")
    total = _stale(job, show)
    show.step(f"Compiling {len(job.packages)} programs", total=total + len(job.packages))
    _follow(job, [*job.command("build", "-v"), "-o", f"{output}/", *job.packages], show)


def copy(job: Job, folder: str, target: Path) -> None:
    """Copy a folder of the modules that the packages come from; their own files are read-only, and may be swept."""
    command = [str(job.go), "list", "-f", "{{.Module.Dir}}", *job.packages]
    done = subprocess.run(  # noqa: S603 - our own go, fixed flags
        command, cwd=job.module, env=job.environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise errors.BuildError(_explain(done.stderr.splitlines()))
    for source in (Path(line) / folder for line in done.stdout.splitlines()):
        for path in source.rglob("*"):
            if path.is_file():
                copied = target / path.relative_to(source)
                copied.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copied)


def _stale(job: Job, show: progress.Progress) -> int:
    """Count the packages that have to be compiled; modules are downloaded on the way."""
    template = "{{if .Stale}}stale {{.ImportPath}}{{end}}"
    lines = _follow(job, [*job.command("list"), "-deps", "-f", template, *job.packages], show)
    return sum(line.startswith("stale ") for line in lines)


def _follow(job: Job, command: Sequence[str], show: progress.Progress) -> list[str]:
    """Run a command and advance the progress by its lines; give them."""
    with subprocess.Popen(  # noqa: S603 - our own go, fixed flags
        command,
        cwd=job.module,
        env=job.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            lines = list(_shown(process, show))
        except BaseException:
            # Ctrl-C, or a display that broke: Popen's exit would wait for a build that nobody wants any more.
            process.kill()
            raise
    if process.returncode:
        raise errors.BuildError(_explain(lines))
    return lines


def _shown(process: subprocess.Popen[str], show: progress.Progress) -> Iterator[str]:
    # Linking prints nothing for a minute: a thread reads, so that this one can say that it is still at it.
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_pump, args=(process, lines), daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=1)
        except queue.Empty:
            show.alive()
            continue
        if line is None:
            return
        if not line.startswith("stale "):
            show.advance(line)
        yield line


def _pump(process: subprocess.Popen[str], lines: queue.SimpleQueue[str | None]) -> None:
    for line in process.stdout or ():
        if line.strip():
            lines.put(line.rstrip())
    lines.put(None)


def _explain(lines: Sequence[str]) -> str:
    """Turn the output of a failed build into a sentence with a next action."""
    tail = "\n".join(line for line in lines if not line.startswith(("stale ", "go: downloading")))[-1500:]
    if "no space left on device" in tail:
        return f"The disk is full; free some space (`go clean -cache` frees Go's cache) and try again.\n{tail}"
    if _NETWORK.search(tail):
        return f"Go modules could not be fetched; look to the network or to GOPROXY, and try again.\n{tail}"
    return f"The control plane does not build:\n{tail}"
