"""The node controller's answer to a cordon: a taint, a moment later, which changes the node once more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from support.simulator.server import Change, Server
from support.simulator.things import Node

NODE_CONTROLLER = "node-controller"


@dataclass(slots=True)
class Tainter:
    """Taints what is cordoned and takes the taint off again; ``delay`` gives the seconds each takes."""

    server: Server
    delay: Callable[[], float]

    def see(self, change: Change) -> None:
        """Follow one change."""
        node = change.after
        if change.kind is Node and node is not None and node.unschedulable is not node.tainted:
            asyncio.get_running_loop().call_later(self.delay(), self._follow, node)

    def _follow(self, seen: Node) -> None:
        node = self.server.get(Node, seen.name)
        if node is not None and node.uid == seen.uid:
            self.server.update(NODE_CONTROLLER, node, tainted=node.unschedulable)
