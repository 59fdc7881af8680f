"""The whole demo, in order: set up, the stories, a table, and nothing left running."""

from __future__ import annotations

import contextlib
import shutil
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
from patchwright.demo.cluster import CHECKOUT, STOREFRONT
from patchwright.demo.publisher import REPOSITORY as NAME
from patchwright.demo.screen import Mark, Screen
from patchwright.demo.site import FIRST_RELEASE, REPOSITORY, SHOPS, Plan, Site
from patchwright.demo.stage import Result, Stage
from patchwright.demo.witness import Witness
from patchwright.sandbox import progress

_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """A signal asked us to end; not an Exception, so that nothing on the way takes it for a fault."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = 128 + number


def run(plan: Plan, command: str) -> int:
    """Play everything; give the exit code. ``command`` is how the reader calls patchwright."""
    screen = Screen()
    with _signals():
        try:
            return _play(screen, plan, command)
        except (KeyboardInterrupt, Stopped) as stop:
            screen.line(Mark.HINT, "Stopped, as you asked; nothing is left running.")
            return stop.code if isinstance(stop, Stopped) else 128 + signal.SIGINT


def _play(screen: Screen, plan: Plan, command: str) -> int:
    began = time.monotonic()
    screen.heading(
        "Patchwright: a commit patches a fleet, and so does a release",
        f"On this machine: a real control plane, {plan.nodes} imitated nodes, Git, an image registry, the operator.",
    )
    with contextlib.ExitStack() as stack:
        with progress.shown(rich_console.Console(stderr=True)) as show:
            site = stack.enter_context(Site(plan, show))
        witness = stack.enter_context(Witness(site.plane.kubeconfig))
        _introduce(screen, site)
        stage = Stage(
            site.cluster,
            site.desk,
            witness,
            screen=screen,
            publisher=site.publisher,
            application=site.application,
        )
        results = _stories(stage)
        good = len(results) == len(stories.ALL) and not any(result.differences for result in results)
        _summarise(screen, results, seconds=time.monotonic() - began)
        if not good:
            _keep_log(screen, site)
        if plan.keep:
            site.detach()
            _look_around(screen, site, command)
    if not plan.keep:
        screen.line(Mark.HINT, f"All of it is stopped. To look around afterwards: {command} demo --keep")
    return 0 if good else 1


def _introduce(screen: Screen, site: Site) -> None:
    plan = site.plan
    screen.line(
        Mark.HINT,
        f"Ready: {plan.nodes} nodes in 3 zones, an agent on each, {plan.workloads} Deployments with budgets.",
    )
    screen.line(
        Mark.GIT, f"{site.ready.git_url} holds examples/policy-repo; its second commit shortens the waiting times"
    )
    screen.line(
        Mark.REGISTRY,
        f"{site.publisher.image()} has the release {FIRST_RELEASE}, which {SHOPS} Deployments in {STOREFRONT} run",
    )
    screen.line(
        Mark.GIT,
        f"{site.ready.application_url} holds examples/app-repo, which a stand-in for Flux applies to {CHECKOUT}",
    )
    screen.line(
        Mark.HINT,
        f"The operator (process {site.ready.operator_pid}) follows its branch main, by PolicyRepository {REPOSITORY}.",
    )


def _stories(stage: Stage) -> list[Result]:
    """Play the stories, up to the first that does not end as it should: the next ones would be no use."""
    results: list[Result] = []
    for story in stories.ALL:
        results.append(story(stage))
        if results[-1].differences:
            break
    return results


def _summarise(screen: Screen, results: Sequence[Result], *, seconds: float) -> None:
    found = screens.summary()
    for each in results:
        verdict = "[red]no[/]" if each.differences else "[green]yes[/]"
        found.add_row(each.title, each.expected, each.seen, each.touched, f"{each.seconds:.0f} s", verdict)
    screen.blank()
    screen.show(found)
    for each in results:
        for difference in each.differences:
            screen.line(Mark.BAD, f"{each.title}: {difference}")
    missing = len(stories.ALL) - len(results)
    if missing:
        screen.line(Mark.BAD, f"{missing} of {len(stories.ALL)} stories were not played after that")
    screen.line(Mark.HINT, f"It took {seconds:.0f} s, the start of the control plane included.")


def _keep_log(screen: Screen, site: Site) -> None:
    with tempfile.NamedTemporaryFile("w", prefix="patchwright-operator-", suffix=".log", delete=False) as kept:
        kept.write(site.operator_log.read_text(errors="replace"))
    screen.line(Mark.BAD, f"the operator's log is kept in {kept.name}")


def _look_around(screen: Screen, site: Site, command: str) -> None:
    clone = site.desk.directory
    lines = (
        "",
        "Everything is still up. In another shell, or in this one:",
        f'  eval "$({command} sandbox env --name {site.name})"      # sets KUBECONFIG, and PATH to find kubectl',
        "  kubectl get patchrollouts -A -w",
        "  kubectl describe patchrollout -n patchwright-system acme-cni-1.9.0",
        "  kubectl get patchpolicy -n patchwright-system security-updates -o jsonpath='{.status.failedChanges}'",
        "  kubectl get patchpolicy -n patchwright-system storefront -o jsonpath='{.status.images}'",
        "  kubectl get deployments -n storefront -o wide",
        f"  git -C {site.application.directory} log -p origin/main      # there and back",
        "  kubectl get nodes -L plan.patchwright.dev/security-updates,topology.kubernetes.io/zone",
        f"  tail -f {site.operator_log}",
        "",
        "Merge something yourself: copy a file in fleet/rollouts, give it another name and version, and push.",
        f"  git clone {site.ready.git_url}      # or use the clone in {clone}",
        "",
        "Push a release yourself, and watch it go to the storefront:",
        f"  {_push(site, '1.0.3')}",
        "",
        "Stop all of it:",
        f"  {command} sandbox down --name {site.name}",
    )
    for line in lines:
        screen.console.print(line, markup=False, soft_wrap=True)


def _push(site: Site, tag: str) -> str:
    """Give the command that pushes a release: nobody need have a tool for images."""
    does = f"images.Store('{site.plane.registry_url}').push('{NAME}:{tag}')"
    return f'{sys.executable} -c "from patchwright.sandbox import images; {does}"'


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
    """Give how the reader can call this program: by name, else by its path, below the working directory if it is."""
    path = Path(sys.argv[0]).absolute()
    if path.name == "__main__.py":
        return f"{sys.executable} -m patchwright"
    if shutil.which(path.name) == str(path):
        return path.name
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
