"""``python -m bench``: run the benchmarks, and put their findings into the documents."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click
from rich import console

from bench import asking, badimages, badregistry, engine, imagefleet, latencies, machine, report, rollouts, scale
from bench.report import Section
from bench.rollouts import Size
from patchwright.sandbox import progress

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "bench-results"
DOCUMENT = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

Bench = Callable[[progress.Progress], list[Section]]


def _rows(*, quick: bool, profile: Path | None) -> Mapping[str, Bench]:
    small = Size(40, 10)
    tiny = scale.Size(100, pods=300, patched=20, rest=10)
    fleet = imagefleet.Size(40, images=8, rest=10) if quick else imagefleet.Size(1000)
    times = 1 if quick else 5
    return {
        "engine": partial(engine.bench, quick=quick),
        "rollout-200": partial(rollouts.bench, small if quick else Size(200, 20), profile=profile),
        "rollout-1000": partial(rollouts.bench, small if quick else Size(1000, 100), profile=profile),
        "rollback": partial(latencies.rollback, times=times),
        "image-rollback": partial(badimages.bench, times=times),
        "push": partial(latencies.push, times=times),
        "image-faults": partial(badregistry.bench, images=3 if quick else 8, rounds=1 if quick else 2),
        "registry": partial(asking.bench, images=4 if quick else 40, times=1 if quick else 4),
        "images-1000": partial(imagefleet.bench, fleet, profile=profile),
        "images-rest": partial(imagefleet.rest, fleet),
        "scale-1000": partial(scale.bench, tiny if quick else scale.Size(1000)),
        "scale-5000": partial(scale.bench, tiny if quick else scale.Size(5000)),
    }


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure Patchwright against its budgets."""


@main.command()
@click.argument("names", nargs=-1, metavar="[ROW]...")
@click.option("--quick", is_flag=True, help="Small fleets and few repetitions: whether it works, not how fast it is.")
@click.option("--profile", type=click.Path(path_type=Path), help="Write the operator's cProfile here; slows it down.")
@click.option("--output", type=click.Path(path_type=Path), help="The JSON file; default: bench-results/<time>.json.")
def run(names: tuple[str, ...], *, quick: bool, profile: Path | None, output: Path | None) -> None:
    """Run the benchmarks named (default: all) and print their tables, as text and as Markdown.

    The exit code is 1 when a budget was not kept.
    """
    rows = _rows(quick=quick, profile=profile)
    if unknown := set(names) - set(rows):
        raise click.BadParameter(f"there is no row {', '.join(sorted(unknown))}; there are {', '.join(rows)}")
    facts, found = machine.facts(), list[Section]()
    out = console.Console()
    path = output or RESULTS / f"{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}.json"
    for name in names or rows:
        with progress.shown(console.Console(stderr=True)) as show:
            sections = rows[name](show)
        for section in sections:
            report.show(section, out)
        found += sections
        # After each: an hour's work is not lost with the last row.
        report.save(path, facts, found)
    click.echo(report.markdown(facts, found))
    click.echo(f"\nWritten to {path}; `python -m bench publish {path}` puts it into {DOCUMENT.name}.", err=True)
    sys.exit(0 if all(section.kept for section in found) else 1)


@main.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def publish(results: tuple[Path, ...]) -> None:
    """Put the tables of JSON files into docs/benchmarks.md, each with its own facts."""
    text = DOCUMENT.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    tables = "\n\n".join(report.markdown(*report.load(path)) for path in results)
    DOCUMENT.write_text(f"{head}{BEGIN}\n\n{tables}\n\n{END}{tail}", encoding="utf-8")


main(prog_name="bench")
