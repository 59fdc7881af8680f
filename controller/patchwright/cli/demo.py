"""``patchwright demo``: three merges on a real control plane."""

from __future__ import annotations

import sys

import click

from patchwright import errors
from patchwright.demo import show


@click.command()
@click.option("--keep", is_flag=True, help="Leave everything up afterwards, and say how to look around.")
def demo(*, keep: bool) -> None:
    """Watch merges to a Git repository patch a fleet: a good patch, a bad one, and one that policy refuses.

    Needs nothing but git: it starts a control plane of its own (built once, minutes), and ends it. The exit code is 0
    only if all three stories ended as they should.
    """
    try:
        code = show.run(keep=keep, command=show.command_line())
    except errors.PatchwrightError as fault:
        raise click.ClickException(fault.message) from fault
    sys.exit(code)
