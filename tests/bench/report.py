"""What a benchmark found: numbers for machines (JSON), a table for people (rich), the same table for the documents."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich import console, table

Numbers = Mapping[str, Any]
DURATIONS = ("what", "median, s", "longest, s", "times")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table; ``met`` is whether it keeps its budget, ``None`` where there is none."""

    cells: tuple[str, ...]
    budget: str = ""
    met: bool | None = None

    @property
    def verdict(self) -> str:
        return {None: "", True: "yes", False: "**no**"}[self.met]


@dataclass(frozen=True, slots=True)
class Section:
    """One benchmark's findings."""

    name: str
    title: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    numbers: Numbers = field(default_factory=dict)
    note: str = ""

    @property
    def kept(self) -> bool:
        """Whether every budget was kept."""
        return all(line.met is not False for line in self.lines)


def within(measured: float, budget: float) -> bool:
    """Tell whether a number keeps a budget that it must not exceed."""
    return measured <= budget


def durations(what: str, taken: Sequence[float], budget: float | None = None) -> Line:
    """Give the line of something that was done several times; the longest is held against the budget."""
    longest = max(taken)
    cells = (what, f"{statistics.median(taken):.2f}", f"{longest:.2f}", f"{len(taken)}")
    return Line(cells) if budget is None else Line(cells, f"< {budget:.0f} s", within(longest, budget))


def show(section: Section, out: console.Console) -> None:
    """Print a section as a table."""
    grid = table.Table(
        *section.columns, "budget", "kept", title=section.title, title_justify="left", caption=section.note
    )
    for line in section.lines:
        colour = {None: "", True: "green", False: "bold red"}[line.met]
        grid.add_row(*line.cells, line.budget, line.verdict.strip("*"), style=colour)
    out.print(grid)


def save(path: Path, facts: Mapping[str, str], sections: Sequence[Section]) -> None:
    """Write everything as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    body = {"machine": dict(facts), "sections": [asdict(section) for section in sections]}
    path.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")


def load(path: Path) -> tuple[dict[str, str], list[Section]]:
    """Read what ``save`` wrote."""
    body = json.loads(path.read_text(encoding="utf-8"))
    return body["machine"], [_section(raw) for raw in body["sections"]]


def _section(raw: dict[str, Any]) -> Section:
    lines = tuple(Line(tuple(line["cells"]), line["budget"], line["met"]) for line in raw.pop("lines"))
    return Section(lines=lines, columns=tuple(raw.pop("columns")), **raw)


def markdown(facts: Mapping[str, str], sections: Sequence[Section]) -> str:
    """Give everything as it stands in docs/benchmarks.md."""
    parts = ["; ".join(f"{name}: {value}" for name, value in facts.items()) + "."]
    parts += [_markdown(section) for section in sections]
    return "\n\n".join(parts)


def _markdown(section: Section) -> str:
    head = (*section.columns, "budget", "kept")
    rows = [(*line.cells, line.budget, line.verdict) for line in section.lines]
    text = "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows))
    note = f"\n\n{section.note}" if section.note else ""
    return f"### {section.title}\n\n{text}{note}"
