"""Sandboxes with a name, which outlive the command that started them: ``up``, ``down``, ``status``."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from patchwright.sandbox import controlplane, errors, fleet, locking, paths, progress, settings, state


@dataclass(frozen=True, slots=True)
class Wish:
    """What a new sandbox is to hold: nodes over so many zones, and workloads of three pods each."""

    nodes: int = 0
    zones: int = 3
    workloads: int = 0
    registry: bool = False
    opa_bundle_url: str | None = None
    effects: Path | None = None


@dataclass(frozen=True, slots=True)
class Up:
    """What ``up`` came to: the sandbox, and whether this call started it."""

    plane: controlplane.ControlPlane
    started: bool


def up(name: str, wish: Wish, show: progress.Progress) -> Up:
    """Start the sandbox called ``name`` and fill it; leave one alone that runs already.

    Raises SandboxError when it does not come up (nothing of it runs then) or when it runs with a component down.
    """
    directory = paths.sandbox_directory(name)
    waiting = progress.Waiting(show, f"Waiting for another command on sandbox {name}")
    with locking.exclusive(directory.with_suffix(".lock"), waiting=waiting):
        if (now := status(name)) is not None and now.supervisor.alive():
            _require_whole(now)
            return Up(controlplane.ControlPlane.attach(directory), started=False)
        # What an earlier life left behind (kill -9, a crash of the machine) is of no use to this one.
        _clear(directory)
        return Up(_start(name, directory, wish, show=show), started=True)


def down(name: str) -> bool:
    """Stop the sandbox called ``name`` and delete what it kept; False when there was none.

    Only processes that its state file names are ended, each known by its id and its start time. Raises SandboxError
    when one would not go.
    """
    directory = paths.sandbox_directory(name)
    if not directory.exists():
        return False
    _clear(directory)
    return True


def status(name: str) -> state.State | None:
    """Give what is known of the sandbox called ``name``; None when there is none."""
    return state.load(paths.sandbox_directory(name))


def faults(now: state.State) -> list[str]:
    """Say what is wrong with a sandbox, in clauses such as ``etcd is down``; nothing when all of it runs."""
    if not now.supervisor.alive():
        return ["its supervisor is gone"]
    if now.phase is not state.Phase.READY:
        return [f"it is {now.phase}: {now.message}".removesuffix(": ")]
    return [f"{name} is down" for name, each in now.components.items() if not each.alive]


def _require_whole(now: state.State) -> None:
    if wrong := faults(now):
        raise errors.SandboxError(
            f"Sandbox {now.name!r} runs, but {', '.join(wrong)}. "
            f"`patchwright sandbox down --name {now.name}` clears it away; then start it again."
        )


def _start(name: str, directory: Path, wish: Wish, *, show: progress.Progress) -> controlplane.ControlPlane:
    plane = controlplane.ControlPlane(
        directory,
        name=name,
        opa_bundle_url=wish.opa_bundle_url,
        effects=wish.effects,
        parts=[*settings.CONTROL_PLANE, *([settings.REGISTRY] if wish.registry else [])],
        lease_seconds=settings.lease_for(wish.nodes),
        show=show,
    )
    with contextlib.ExitStack() as stack:
        # Until the end it goes with this command, so that Ctrl-C in the middle leaves nothing behind.
        stack.enter_context(plane)
        if wish.nodes:
            plane.add_nodes(wish.nodes, zones=fleet.zones(wish.zones))
        if wish.workloads:
            plane.add_workloads(fleet.Workloads(wish.workloads), wait=60 + wish.workloads)
        plane.detach()
        stack.pop_all()
    return plane


def _clear(directory: Path) -> None:
    now = state.load(directory)
    if now is not None and (left := controlplane.end(now)):
        raise errors.SandboxError(f"Sandbox {now.name!r} is not down: {', '.join(left)} would not end.")
    shutil.rmtree(directory, ignore_errors=True)
