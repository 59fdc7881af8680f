"""``patchwright crds``: print or write the CustomResourceDefinitions."""

from __future__ import annotations

from pathlib import Path

import click

from patchwright.api.crds import KINDS, render


@click.command()
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write one file for each kind into this directory instead of printing them.",
)
def crds(output: Path | None) -> None:
    """Generate the CustomResourceDefinitions from the models."""
    if output is None:
        click.echo("---\n".join(render(kind) for kind in KINDS), nl=False)
        return
    output.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        (output / kind.file).write_text(render(kind), encoding="utf-8")
        click.echo(f"wrote {output / kind.file}", err=True)
