"""What a node's fate does to the pods on it, which is kubelet's part.

Run as ``python -m patchwright.sandbox.aftermath KUBECONFIG``.

kwok decides about one object at a time and cannot look from a pod to its node. So this process watches the nodes, and
lets the pods of a node with ``SandboxWorkloadsBroken`` crash; of a node that is back (healed or rebooted) it makes the
pods ready again, which the node lifecycle controller marked unready when the node went.
"""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from patchwright import errors
from patchwright.sandbox import client
from patchwright.sandbox.client import Manifest

# The node lifecycle controller looks every 5 s, so it may mark pods a while after their node is back.
_SETTLING = 15.0
_PAUSE = 0.5


class Fate(StrEnum):
    """What is to become of a node's pods."""

    NONE = "None"
    CRASH = "Crash"
    RUN = "Run"


@dataclass(frozen=True, slots=True)
class Seen:
    """The two conditions of a node that matter here."""

    ready: bool
    broken: bool

    @property
    def fate(self) -> Fate:
        """What its pods should do; a node that is away decides nothing."""
        if not self.ready:
            return Fate.NONE
        return Fate.CRASH if self.broken else Fate.RUN


def seen(node: Manifest) -> Seen:
    """Read a node's conditions."""
    status = {each["type"]: each["status"] for each in node.get("status", {}).get("conditions") or ()}
    return Seen(status.get("Ready") == "True", status.get("SandboxWorkloadsBroken") == "True")


def pod_patch(pod: Manifest, fate: Fate, now: str) -> Manifest | None:
    """Give the status patch that a pod needs to meet its fate, None when it does already or is not concerned."""
    status = pod.get("status", {})
    if status.get("phase") != "Running" or "deletionTimestamp" in pod["metadata"] or _ends_by_itself(pod):
        return None
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or ())
    ours = any(_reason(each) == "CrashLoopBackOff" for each in status.get("containerStatuses") or ())
    match fate:
        case Fate.CRASH if ready:
            return _patch(status, now, crash=True)
        case Fate.RUN if not ready and (not ours or _crashed_here(status)):
            return _patch(status, now, crash=False)
        case _:
            return None


def _ends_by_itself(pod: Manifest) -> bool:
    return any(owner["kind"] == "Job" for owner in pod["metadata"].get("ownerReferences") or ())


def _reason(container: Manifest) -> str:
    return str(container.get("state", {}).get("waiting", {}).get("reason", ""))


def _crashed_here(status: Manifest) -> bool:
    # A pod whose image is bad crashes on every node; that one is not ours to heal.
    return any(
        "SandboxWorkloads" in str(each.get("state", {}).get("waiting", {})) for each in status["containerStatuses"]
    )


def _patch(status: Manifest, now: str, *, crash: bool) -> Manifest:
    waiting = {
        "reason": "CrashLoopBackOff",
        "message": "back-off 40s restarting failed container (SandboxWorkloadsBroken)",
    }
    state: Manifest = (
        {"waiting": waiting, "running": None} if crash else {"running": {"startedAt": now}, "waiting": None}
    )
    conditions = [
        {
            "type": kind,
            "status": str(not crash),
            "reason": "ContainersNotReady" if crash else "",
            "lastTransitionTime": now,
        }
        for kind in ("Ready", "ContainersReady")
    ]
    containers = [
        {
            "name": each["name"],
            "ready": not crash,
            "started": not crash,
            "restartCount": each.get("restartCount", 0) + 1,
            "state": state,
        }
        for each in status.get("containerStatuses") or ()
    ]
    return {"status": {"conditions": conditions, "containerStatuses": containers}}


class Aftermath:
    """The nodes whose pods need a hand: a thread watches, this one works."""

    def __init__(self, api: client.Client) -> None:
        self._api = api
        self._nodes: dict[str, Seen] = {}
        self._until: dict[str, float] = {}
        self._news: queue.SimpleQueue[tuple[str, Seen]] = queue.SimpleQueue()

    def run(self) -> None:
        """Work until killed."""
        threading.Thread(target=self._watch, daemon=True).start()
        while True:
            with contextlib.suppress(queue.Empty):
                self._hear(*self._news.get(timeout=_PAUSE if self._until else None))
                while True:
                    self._hear(*self._news.get_nowait())
            self._tend()

    def _hear(self, name: str, now: Seen) -> None:
        before, self._nodes[name] = self._nodes.get(name, Seen(ready=True, broken=False)), now
        if now.broken:
            self._until[name] = float("inf")
        elif before != now and now.ready:
            self._until[name] = time.monotonic() + _SETTLING

    def _tend(self) -> None:
        for name in [name for name, until in self._until.items() if until < time.monotonic()]:
            del self._until[name]
        for name in list(self._until):
            # The API server may be away for a while; the next round comes soon.
            with contextlib.suppress(errors.ClusterError):
                self._tend_node(name, self._nodes[name].fate)

    def _tend_node(self, name: str, fate: Fate) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        for pod in self._api.items("/api/v1/pods", fieldSelector=f"spec.nodeName={name}"):
            if (body := pod_patch(pod, fate, now)) is not None:
                meta = pod["metadata"]
                path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/status"
                self._api.patch(path, body, kind="strategic-merge-patch")

    def _watch(self) -> None:
        while True:
            with contextlib.suppress(errors.ClusterError):
                for node in self._everything():
                    self._news.put((node["metadata"]["name"], seen(node)))
            time.sleep(_PAUSE)

    def _everything(self) -> Iterator[Manifest]:
        """Give every node, then every change of one, until the API server ends the watch."""
        listed = self._api.get("/api/v1/nodes")
        yield from listed["items"]
        yield from self._api.watch("/api/v1/nodes", listed["metadata"]["resourceVersion"])


if __name__ == "__main__":
    with client.Client(Path(sys.argv[1]), user_agent="sandbox-aftermath") as login:
        Aftermath(login).run()
