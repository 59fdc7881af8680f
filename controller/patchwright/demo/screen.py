"""What the demo looks like: lines that stay, and on a terminal a picture of the fleet below them.

Where standard output is no terminal there are only the lines, each with its time, so that a log of continuous
integration reads like a report.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final

from rich import box, live, table, text
from rich import console as rich_console

from patchwright.demo.findings import Claim
from patchwright.demo.telling import Cell, Glance, steps_line

_LOG_WIDTH: Final = 150
_STYLES: Final = {
    Cell.WAITING: ("·", "dim"),
    Cell.DRAINING: ("□", "yellow"),
    Cell.PATCHING: ("◧", "cyan"),
    Cell.PATCHED: ("■", "green"),
    Cell.FAILED: ("✗", "bold red"),
    Cell.RESTORING: ("◨", "magenta"),
    Cell.CORDONED: ("□", "dim yellow"),
}
_GOOD, _BAD, _WORK = "bold green", "bold red", "cyan"
_PHASES: Final = {
    "Succeeded": _GOOD,
    "Denied": _BAD,
    "Failed": _BAD,
    "RollingBack": "magenta",
    "RolledBack": "bold magenta",
    "Soaking": "yellow",
}
# As wide as the longest phase.
_MARK_WIDTH: Final = 16


class Mark(StrEnum):
    """What a line is about, when it is not about a phase."""

    GIT = "git"
    NODE = "node"
    WORKLOAD = "workload"
    REGISTRY = "registry"
    POLICY = "policy"
    GOOD = "ok"
    BAD = "NOT OK"
    HINT = ""


_MARKS: Final = {
    Mark.GIT: "blue",
    Mark.NODE: "magenta",
    Mark.WORKLOAD: "magenta",
    Mark.REGISTRY: "blue",
    Mark.POLICY: "yellow",
    Mark.GOOD: _GOOD,
    Mark.BAD: _BAD,
    Mark.HINT: "dim",
}


class Screen:
    """Everything that is printed, on standard output; ``console`` decides by itself whether it is a terminal."""

    def __init__(self, console: rich_console.Console | None = None) -> None:
        self.console = console or rich_console.Console(highlight=False)
        if not self.console.is_terminal:
            self.console.width = _LOG_WIDTH
        self._began = time.monotonic()
        self._live: live.Live | None = None

    @property
    def lively(self) -> bool:
        """Whether there is a picture to paint."""
        return self.console.is_terminal

    def heading(self, title: str, what: str) -> None:
        """Begin a part."""
        self.console.print()
        self.console.print(text.Text(title, "bold"))
        self.console.print(text.Text(what, "dim"), soft_wrap=not self.lively)

    def line(self, mark: Mark, sentence: str) -> None:
        """Print a line that stays."""
        self._line(mark, sentence, _MARKS[mark])

    def phase(self, now: Glance) -> None:
        """Print where a rollout is."""
        self._line(now.phase, now.message, _PHASES.get(now.phase, _WORK))

    def claims(self, claims: Iterable[Claim]) -> None:
        """Print what was looked at, and how it is."""
        for claim in claims:
            if not claim.faults:
                self.line(Mark.GOOD, claim.sentence)
            for fault in claim.faults:
                self.line(Mark.BAD, fault)

    def _line(self, mark: str, sentence: str, style: str) -> None:
        elapsed = f"{time.monotonic() - self._began:6.1f}s"
        if not self.lively:
            self.console.print(f"{elapsed}  {mark:<{_MARK_WIDTH}} {sentence}", soft_wrap=True, markup=False)
            return
        grid = table.Table.grid(padding=(0, 1))
        grid.add_column(style="dim")
        grid.add_column(width=_MARK_WIDTH)
        grid.add_column(overflow="fold")
        grid.add_row(elapsed, text.Text(mark, style), text.Text(sentence))
        self.console.print(grid)

    @contextlib.contextmanager
    def picture(self) -> Iterator[None]:
        """Keep a picture below the lines, for the time of the block."""
        if not self.lively:
            yield
            return
        with live.Live(console=self.console, refresh_per_second=8, transient=True) as self._live:
            yield
        self._live = None

    def paint(self, now: Glance, zones: Mapping[str, Sequence[Cell]], *, since: float) -> None:
        """Repaint the picture."""
        if self._live is not None:
            self._live.update(_picture(now, zones, seconds=time.monotonic() - since))

    def blank(self) -> None:
        """Print an empty line."""
        self.console.print()

    def show(self, found: table.Table) -> None:
        """Print a table."""
        self.console.print(found)


def _picture(now: Glance, zones: Mapping[str, Sequence[Cell]], *, seconds: float) -> rich_console.Group:
    head = text.Text.assemble(
        (now.phase, _PHASES.get(now.phase, _WORK)), "  ", now.numbers, (f"  {seconds:.0f} s", "dim")
    )
    rows = [_zone(name, cells) for name, cells in zones.items()]
    seen = [cell for cell in Cell if any(cell in cells for cells in zones.values())]
    legend = text.Text("  ").join(text.Text.assemble(_STYLES[cell], f" {cell}") for cell in seen)
    steps = text.Text(steps_line(now.steps), "dim")
    return rich_console.Group(text.Text(), head, *rows, legend, steps, text.Text(now.message, overflow="ellipsis"))


def _zone(name: str, cells: Sequence[Cell]) -> text.Text:
    return text.Text(f"  {name} ", "dim").append_text(text.Text(" ").join(text.Text(*_STYLES[cell]) for cell in cells))


def summary() -> table.Table:
    """Give the table at the end, without rows."""
    found = table.Table(box=box.ROUNDED, title="The demo in short", title_justify="left", title_style="bold")
    for column in ("Story", "Expected", "Seen"):
        found.add_column(column, overflow="fold")
    found.add_column("Touched", justify="right")
    found.add_column("Took", justify="right")
    found.add_column("As expected")
    return found
