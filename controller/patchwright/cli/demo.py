"""``patchwright demo``: merges that patch a fleet, on a real control plane."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from patchwright import errors
from patchwright.demo import show, site


@click.command()
@click.option("--keep", is_flag=True, help="Leave everything up afterwards, and say how to look around.")
@click.option("--nodes", type=click.IntRange(12, 1000), default=site.Plan().nodes, show_default=True)
@click.option(
    "--effects",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What patches do to the imitated nodes, instead of the demo's own rules.",
)
def demo(*, keep: bool, nodes: int, effects: Path | None) -> None:
    """Watch commits patch a fleet, and images that are pushed: good ones, bad ones put back, one that policy refuses.

    It needs nothing but git: it builds a Kubernetes control plane (once, in minutes), starts it, and ends it. The exit
    code is 0 only if all six stories ended as they should, by what the API server says.
    """
    try:
        code = show.run(site.Plan(nodes, keep, effects), show.command_line())
    except errors.PatchwrightError as fault:
        raise click.ClickException(fault.message) from fault
    sys.exit(code)
