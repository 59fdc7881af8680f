"""The ``patchwright`` command: every subcommand lives in a module of its own."""

from __future__ import annotations

import click

from patchwright import __version__
from patchwright.cli.crds import crds
from patchwright.cli.demo import demo
from patchwright.cli.operator import operator
from patchwright.cli.sandbox import sandbox


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="patchwright")
def main() -> None:
    """Patch Kubernetes fleets: canary first, wave by wave, and back again when health fails."""


main.add_command(crds)
main.add_command(demo)
main.add_command(operator)
main.add_command(sandbox)
