"""The whole demo, in order: set up, three stories, a table, and nothing left running."""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from rich import console as rich_console

from patchwright.demo import screen as screens
from patchwright.demo import stories
from patchwright.demo.screen import Mark, Screen
from patchwright.demo.site import NODES, REPOSITORY, WORKLOADS, Site
from patchwright.demo.stories import Result, Stage
from patchwright.demo.witness import Witness
from patchwright.sandbox import progress

_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """A signal asked us to end; not an Exception, so that nothing on the way takes it for a fault."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = 128 + number


def run(*, keep: bool, command: str) -> int:
    """Play everything; give the exit code. ``command`` is how the reader calls patchwright."""
    screen = Screen()
    began = time.monotonic()
    with _signals():
        try:
            return _play(screen, keep=keep, command=command, began=began)
        except (KeyboardInterrupt, Stopped) as stop:
            screen.line(Mark.HINT, "Stopped on request; nothing is left running.")
            return stop.code if isinstance(stop, Stopped) else 128 + signal.SIGINT


def _play(screen: Screen, *, keep: bool, command: str, began: float) -> int:
    screen.heading(
        "Patchwright demo", f"A real control plane with {NODES} nodes in 3 zones, a real Git server, the operator."
    )
    with contextlib.ExitStack() as stack:
        with progress.shown(rich_console.Console(stderr=True)) as show:
            site = stack.enter_context(Site(keep=keep, show=show))
        witness = stack.enter_context(Witness(site.plane.kubeconfig))
        _introduce(screen, site)
        stage = Stage(site.cluster, site.desk, witness, screen)
        results = [story(stage) for story in stories.ALL]
        _summarise(screen, results, seconds=time.monotonic() - began)
        good = not any(result.differences for result in results)
        if not good:
            _keep_log(screen, site)
        if keep:
            site.detach()
            _look_around(screen, site, command)
    if not keep:
        screen.line(Mark.HINT, f"Everything is stopped. `{command} demo --keep` leaves it up to look around.")
    return 0 if good else 1


def _introduce(screen: Screen, site: Site) -> None:
    now = site.plane.status
    assert now is not None
    screen.line(
        Mark.HINT,
        f"API server {now.api_url}: {NODES} nodes in 3 zones, {WORKLOADS} Deployments with a "
        f"PodDisruptionBudget each, an agent on every node",
    )
    screen.line(Mark.GIT, f"{site.ready.git_url} holds examples/policy-repo; its second commit says what is shortened")
    screen.line(
        Mark.HINT, f"operator: process {site.ready.operator_pid}, follows it with PolicyRepository {REPOSITORY}"
    )


def _summarise(screen: Screen, results: Sequence[Result], *, seconds: float) -> None:
    found = screens.summary()
    for each in results:
        verdict = "[red]differs[/]" if each.differences else "[green]as it should[/]"
        found.add_row(each.title, each.expected, each.seen, str(each.touched), f"{each.seconds:.0f} s", verdict)
    screen.blank()
    screen.show(found)
    for each in results:
        for difference in each.differences:
            screen.line(Mark.BAD, f"{each.title}: {difference}")
    screen.line(Mark.HINT, f"{seconds:.0f} s in all, the start of the sandbox included.")


def _keep_log(screen: Screen, site: Site) -> None:
    with tempfile.NamedTemporaryFile("w", prefix="patchwright-demo-", suffix=".log", delete=False) as kept:
        kept.write(site.operator_log.read_text(errors="replace"))
    screen.line(Mark.BAD, f"The operator's log is kept: {kept.name}")


def _look_around(screen: Screen, site: Site, command: str) -> None:
    lines = (
        "",
        "Everything is still up. To look around:",
        f'  eval "$({command} sandbox env --name {site.name})"     # KUBECONFIG, and kubectl on the PATH',
        "  kubectl get patchrollouts -A -w",
        "  kubectl describe patchrollout -n patchwright-system acme-cni-1.9.0",
        "  kubectl get patchpolicy -n patchwright-system security-updates -o yaml      # status.failedChanges",
        "  kubectl get nodes -L plan.patchwright.dev/security-updates,topology.kubernetes.io/zone",
        f"  tail -f {site.operator_log}",
        "To merge something of your own:",
        f"  git clone {site.ready.git_url} && cd fleet-patching     # commit to main and push; README.md says how",
        "To stop it all:",
        f"  {command} sandbox down --name {site.name}",
    )
    for line in lines:
        screen.console.print(line, markup=False, soft_wrap=True)


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """Have SIGTERM and a closed terminal end the demo in order, as Ctrl-C does."""
    before = {number: signal.signal(number, _stop) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, _: FrameType | None) -> None:
    raise Stopped(number)


def command_line() -> str:
    """Give how the reader calls this program: as he did, or by its path below the working directory."""
    path = Path(sys.argv[0])
    with contextlib.suppress(ValueError):
        path = path.resolve().relative_to(Path.cwd())
        return str(path) if len(path.parts) > 1 else f"./{path}"
    return str(path)
