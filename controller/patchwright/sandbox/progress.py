"""How a long step shows that it lives: a bar on a terminal, plain lines in a log; never minutes of silence."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Protocol, Self

from rich import console as rich_console
from rich import progress as rich_progress


@contextlib.contextmanager
def shown(console: rich_console.Console) -> Iterator[Progress]:
    """Give the progress display that suits a console: a bar on a terminal, lines elsewhere."""
    if not console.is_terminal:
        yield Lines(console.file)
        return
    with Bar(console) as bar:
        yield bar


class Progress(Protocol):
    """What a long step tells about itself."""

    def step(self, sentence: str, total: int | None = None) -> None:
        """Begin a step; ``total`` is how many parts it has, None when nobody knows."""

    def advance(self, detail: str = "") -> None:
        """One more part is done."""

    def alive(self) -> None:
        """Nothing new, but still at it; called about every second."""


class Waiting:
    """Call it again and again while waiting: it names the step the first time, and is silent if there is no wait."""

    def __init__(self, show: Progress, sentence: str) -> None:
        self._show = show
        self._sentence: str | None = sentence

    def __call__(self) -> None:
        """Tell that the wait goes on."""
        if self._sentence is not None:
            self._show.step(self._sentence)
            self._sentence = None
        self._show.alive()


class Quiet:
    """Say nothing: for callers who show progress themselves."""

    def step(self, sentence: str, total: int | None = None) -> None:
        """Say nothing."""

    def advance(self, detail: str = "") -> None:
        """Say nothing."""

    def alive(self) -> None:
        """Say nothing."""


class Lines:
    """Plain lines, at most one every ``interval`` seconds; for logs and continuous integration."""

    def __init__(self, out: IO[str], *, interval: float = 10.0) -> None:
        self._out = out
        self._interval = interval
        self._sentence = ""
        self._done = 0
        self._total: int | None = None
        self._began = self._last = time.monotonic()

    def step(self, sentence: str, total: int | None = None) -> None:
        """Print the step's name."""
        self._sentence, self._done, self._total = sentence, 0, total
        self._began = self._last = time.monotonic()
        self._print(f"{sentence} ...")

    def advance(self, detail: str = "") -> None:  # noqa: ARG002 - one shape for every kind of progress
        """Count, and print when it is time; a log has no use for ``detail``."""
        self._done += 1
        self.alive()

    def alive(self) -> None:
        """Print how far the step is, when it is time."""
        now = time.monotonic()
        if now - self._last < self._interval:
            return
        self._last = now
        of = f" {self._done}/{self._total}" if self._total else f" {self._done}" if self._done else ""
        self._print(f"{self._sentence}{of}, {now - self._began:.0f} s")

    def _print(self, line: str) -> None:
        self._out.write(f"sandbox: {line}\n")
        self._out.flush()


class Bar:
    """A live bar on a terminal; a context manager, so that the cursor comes back whatever happens."""

    def __init__(self, console: rich_console.Console) -> None:
        self._progress = rich_progress.Progress(
            rich_progress.SpinnerColumn(),
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TimeElapsedColumn(),
            rich_progress.TextColumn("[dim]{task.fields[detail]}"),
            console=console,
        )
        self._task: rich_progress.TaskID | None = None

    def __enter__(self) -> Self:
        """Show the bar."""
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        """Leave the finished steps on the screen."""
        if value is None:
            self._finish()
        self._progress.stop()

    def step(self, sentence: str, total: int | None = None) -> None:
        """Begin a line of its own."""
        self._finish()
        self._task = self._progress.add_task(sentence, total=total, detail="")

    def _finish(self) -> None:
        if self._task is None:
            return
        if self._progress.tasks[self._task].total is None:
            # Of how many parts nobody knew; now it is over, and a bar that still runs would say otherwise.
            self._progress.update(self._task, total=1, completed=1)
        self._progress.stop_task(self._task)

    def advance(self, detail: str = "") -> None:
        """Move the bar."""
        if self._task is not None:
            self._progress.update(self._task, advance=1, detail=detail[-40:])

    def alive(self) -> None:
        """Nothing to do: the spinner turns by itself."""
