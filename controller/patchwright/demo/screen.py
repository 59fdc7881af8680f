"""What the demo looks like: lines that stay, and on a terminal a picture of the fleet below them.

Where standard output is no terminal there are only the lines, each with its time, so that a log of continuous
integration reads like a report.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final

from rich import box, live, table, text
from rich import console as rich_console

from patchwright.demo.telling import Cell, Glance, steps_line

_LOG_WIDTH: Final = 140
_STYLES: Final = {
    Cell.WAITING: ("·", "dim"),
    Cell.DRAINING: ("□", "yellow"),
    Cell.PATCHING: ("◧", "cyan"),
    Cell.PATCHED: ("■", "green"),
    Cell.FAILED: ("✗", "bold red"),
    Cell.RESTORING: ("◨", "magenta"),
    Cell.CORDONED: ("□", "dim yellow"),
}
_PHASES: Final = {"Succeeded": "bold green", "Denied": "bold red", "Failed": "bold red", "RolledBack": "bold magenta"}


class Mark(StrEnum):
    """What a line is about."""

    GIT = "git"
    PHASE = "phase"
    NODE = "node"
    POLICY = "policy"
    GOOD = "ok"
    BAD = "NOT OK"
    HINT = ""


_MARKS: Final = {
    Mark.GIT: "blue",
    Mark.PHASE: "cyan",
    Mark.NODE: "magenta",
    Mark.POLICY: "yellow",
    Mark.GOOD: "bold green",
    Mark.BAD: "bold red",
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

    def line(self, mark: Mark, sentence: str, *, style: str = "") -> None:
        """Print a line that stays."""
        elapsed = f"{time.monotonic() - self._began:6.1f}s"
        if not self.lively:
            self.console.print(f"{elapsed}  {mark:<7} {sentence}", soft_wrap=True, markup=False)
            return
        grid = table.Table.grid(padding=(0, 1))
        for column in ({"style": "dim"}, {"width": 7}, {"overflow": "fold"}):
            grid.add_column(**column)
        grid.add_row(elapsed, text.Text(mark, _MARKS[mark]), text.Text(sentence, style or _PHASES.get("", "")))
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
        (now.phase, _PHASES.get(now.phase, "bold cyan")), "  ", now.numbers, (f"  {seconds:.0f} s", "dim")
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
    found.add_column("Nodes touched", justify="right")
    found.add_column("Took", justify="right")
    found.add_column("")
    return found
