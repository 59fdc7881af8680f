"""A repository that workloads are made from, and the controller that applies it: Git and Flux in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from patchwright import errors
from patchwright.domain.workloads import images
from patchwright.domain.writeback import versions
from patchwright.domain.writeback.edits import Swap
from patchwright.domain.writeback.orders import WriteOrder, Written
from patchwright.domain.writeback.settings import GitTarget
from support.simulator.calls import Wire
from support.simulator.server import Server
from support.simulator.things import Workload

FLUX = "flux"
SYNC = 3.0


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit of ours: what it says of itself, and how many images it changed."""

    name: str
    trailers: Mapping[str, str]
    changed: int


@dataclass(slots=True)
class Repository:
    """What Git says of each workload that somebody applies from it, by key and container; ``broken`` syncs nothing."""

    server: Server
    commits: list[Commit] = field(default_factory=list)
    broken: bool = False
    _says: dict[str, dict[str, str]] = field(default_factory=dict)

    def fill(self) -> None:
        """Begin with what is in the cluster."""
        found = (each for each in self.server.all(Workload) if each.gitops)
        self._says = {each.key: dict(each.images) for each in found}

    def write(self, order: WriteOrder) -> Written:
        """Do as the adapter does: find the step's commit, else compare, swap and commit."""
        if (made := self._made(order, order.step.name)) is not None:
            return Written(made.name, "main", fresh=False)
        head = self.commits[-1].name if self.commits else "c0"
        if order.unsure and self._made(order, order.back_of) is None:
            return Written(head, "main", ours=False, fresh=False)
        changed = sum(self._swap(swap.back if order.back_of else swap) for swap in order.swaps)
        if not changed:
            return Written(head, "main", ours=False, fresh=False)
        self.commits.append(Commit(f"c{len(self.commits) + 1}", order.step.trailers, changed))
        asyncio.get_running_loop().call_later(SYNC, self._sync)
        return Written(self.commits[-1].name, "main")

    def _made(self, order: WriteOrder, step: str) -> Commit | None:
        wanted = {**order.step.trailers, "Patchwright-Step": step}
        return next((commit for commit in self.commits if commit.trailers == wanted), None)

    def _swap(self, swap: Swap) -> int:
        [(_, name)] = swap.scope.workloads
        key = next((key for key in self._says if key.partition("/")[2] == name), "")
        if not key:
            raise errors.WriteBackError(f"{name} is not in Git", reason="ImageNotFound")
        changed = 0
        for container, image in self._says[key].items():
            if images.repository(image) != swap.scope.repository or versions.of_image(image).serves(swap.to):
                continue
            if not versions.of_image(image).is_that(swap.was):
                raise errors.WriteBackError(f"{key} has {image} in Git", reason="WriteBackConflict")
            self._says[key][container] = versions.name_of(image) + swap.to.suffix
            changed += 1
        return changed

    def _sync(self) -> None:
        for each in self.server.all(Workload) if not self.broken else ():
            wanted = self._says.get(each.key)
            if wanted is not None and each.gitops and dict(each.images) != wanted:
                self.server.update(FLUX, each, images=tuple(wanted.items()), generation=each.generation + 1)


@dataclass(frozen=True, slots=True)
class Pushing:
    """The port ``WriteBacks`` of one operator."""

    repository: Repository
    wire: Wire

    async def write(self, order: WriteOrder, git: GitTarget, *, namespace: str) -> Written:
        assert git.url == order.place.url
        assert namespace
        return await self.wire.call(f"commit {order.step.name.split('-2')[0]}", lambda: self.repository.write(order))
