"""``patchwright sandbox``: a real control plane on this machine."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from rich import console as rich_console
from rich import markup, table

from patchwright.sandbox import binaries, components, errors, named, paths, progress, settings, state

NOT_RUNNING = 3
_NAME = click.option("--name", default=paths.DEFAULT_NAME, show_default=True, help="Which sandbox.")
_COLOURS = {state.Condition.RUNNING: "green", state.Condition.EXITED: "red", state.Condition.STOPPED: "yellow"}


@click.group()
def sandbox() -> None:
    """Run a real control plane on this machine: etcd, Kubernetes, OPA, and nodes that kwok imitates."""


@sandbox.command()
@click.option("--nodes", default=0, show_default=True, type=click.IntRange(0, 10_000), help="How many kwok nodes.")
@click.option("--zones", default=3, show_default=True, type=click.IntRange(1, 26), help="Over how many zones.")
@click.option("--workloads", default=0, show_default=True, type=click.IntRange(0), help="How many, of 3 pods each.")
@click.option("--registry", is_flag=True, help="With an image registry; it is built (once) for this.")
@click.option("--opa-bundle-url", metavar="URL", help="The policy bundle that OPA polls.")
@click.option("--effects", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Rules for patch Jobs.")
@_NAME
def up(name: str, **wish: int | str | Path | None) -> None:
    """Build (once), start and fill a sandbox; it runs until `down`."""
    with _told() as show:
        outcome = named.up(name, named.Wish(**wish), show)  # type: ignore[arg-type] # the options above, by name
    now = outcome.plane.status
    assert now is not None
    said = "is up" if outcome.started else "already runs, nothing was changed"
    images = f", images at {now.registry_url}" if now.registry_url else ""
    _print(f"Sandbox [bold]{name}[/] {said}: {now.api_url}, OPA at {now.opa_url}{images}.")
    _print(f"Look around: [bold]eval $(patchwright sandbox env{_flag(name)})[/], then kubectl. ", end="")
    _print(f"Stop it: [bold]patchwright sandbox down{_flag(name)}[/].")


@sandbox.command()
@_NAME
def down(name: str) -> None:
    """Stop a sandbox and delete what it kept."""
    with _told():
        ended = named.down(name)
    _print(f"Sandbox [bold]{name}[/] is down." if ended else f"No sandbox [bold]{name}[/] runs; nothing to do.")


@sandbox.command()
@_NAME
def status(name: str) -> None:
    """Show a sandbox's components; exit code 0 when all run, 1 when one does not, 3 when there is no sandbox."""
    with _told():
        now = named.status(name)
    if now is None:
        _print(f"No sandbox [bold]{name}[/] runs; start one with `patchwright sandbox up`.")
        sys.exit(NOT_RUNNING)
    _print(_components(now))
    wrong = named.faults(now)
    _print(f"[red]Not whole: {markup.escape(', '.join(wrong))}.[/]" if wrong else "[green]Ready.[/]")
    _print(f"API server {now.api_url}, OPA {now.opa_url}.")
    _print(f"Logs: {paths.sandbox_directory(name) / 'logs'}")
    sys.exit(1 if wrong else 0)


@sandbox.command()
@click.option(
    "--with",
    "extra",
    multiple=True,
    metavar="PROGRAM",
    help="Also build it: prometheus, registry, gitea, cosign, argo-rollouts, source-controller, kustomize-controller.",
)
def build(extra: tuple[str, ...]) -> None:
    """Build the programs of the control plane into the cache; minutes the first time, nothing after that."""
    with _told() as show:
        found = binaries.ensure(extra, show)
    for name in sorted(found):
        click.echo(f"{name}\t{found[name]}")


@sandbox.command()
@_NAME
def kubeconfig(name: str) -> None:
    """Print the path of a sandbox's kubeconfig."""
    click.echo(_running(name) / "kubeconfig")


@sandbox.command()
@_NAME
def env(name: str) -> None:
    """Print shell commands that point kubectl and opa to a sandbox."""
    directory = _running(name)
    now = named.status(name)
    assert now is not None
    click.echo(f"export KUBECONFIG='{directory / 'kubeconfig'}'")
    click.echo(f"export OPA_URL='{now.opa_url}'")
    if now.registry_url:
        click.echo(f"export REGISTRY_URL='{now.registry_url}'")
    folders = {str(path.parent) for path in settings.load(directory).binaries.values()}
    click.echo(f"export PATH='{':'.join(sorted(folders))}':\"$PATH\"")


def _running(name: str) -> Path:
    with _told():
        now, directory = named.status(name), paths.sandbox_directory(name)
    if now is None or not now.supervisor.alive():
        click.echo(f"No sandbox {name} runs; start one with `patchwright sandbox up`.", err=True)
        sys.exit(NOT_RUNNING)
    return directory


def _components(now: state.State) -> table.Table:
    grid = table.Table("Component", "State", "PID", "Port", title=f"Sandbox {now.name}", title_justify="left")
    for name in components.NAMES:
        if name == settings.REGISTRY and not now.registry_url:
            continue
        if (each := now.components.get(name)) is None:
            grid.add_row(name, "[yellow]NotStarted[/]", "", "")
            continue
        # The state file may be older than the process's end: the kernel has the last word.
        condition = state.Condition.EXITED if each.condition == "Running" and not each.alive else each.condition
        code = f" ({each.exit_code})" if each.exit_code is not None else ""
        pid = str(each.process.pid) if each.process is not None and each.alive else ""
        grid.add_row(name, f"[{_COLOURS[condition]}]{condition}{code}[/]", pid, str(each.port))
    return grid


def _flag(name: str) -> str:
    return "" if name == paths.DEFAULT_NAME else f" --name {name}"


@contextlib.contextmanager
def _told() -> Iterator[progress.Progress]:
    """Show progress on standard error, and a fault as one sentence with exit code 1."""
    try:
        with progress.shown(rich_console.Console(stderr=True)) as show:
            yield show
    except errors.SandboxError as fault:
        raise click.ClickException(fault.message) from fault


def _print(*what: object, end: str = "\n") -> None:
    rich_console.Console(soft_wrap=True).print(*what, end=end)
