"""The ``patchwright`` command: every subcommand lives in a module of its own."""

from __future__ import annotations

import importlib
from typing import Final

import click

from patchwright import __version__

_COMMANDS: Final = ("crds", "demo", "operator", "sandbox")


class _Commands(click.Group):
    """Subcommands that are imported when they are asked for, as click's "Lazily loading subcommands" does it.

    The operator needs nothing of the demo and the sandbox, which would cost each replica 13 MiB.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the signature is click's
        """Give the names of all subcommands."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Give a subcommand; a name that is none needs them all, for what click says of names that are like it."""
        for name in {cmd_name} & set(_COMMANDS) or _COMMANDS:
            self.add_command(getattr(importlib.import_module(f"patchwright.cli.{name}"), name))
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="patchwright")
def main() -> None:
    """Patch Kubernetes fleets: canary first, wave by wave, and back again when health fails."""
