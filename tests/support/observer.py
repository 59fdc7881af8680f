"""An observer outside the operator: it watches the API server with a client of its own and keeps what happened.

Resource versions are revisions of one etcd, so changes of different kinds have one true order, however late each watch
told of them. Whatever a person does in a test is noted by the version that it made (``note_person``), and Flux's writes
are known by their field manager: every other change of a cordon or a record is the operator's.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from patchwright import errors
from patchwright.sandbox import client
from patchwright.sandbox.syncer import MANAGER

Raw = dict[str, Any]
T = TypeVar("T")

SYSTEM: Final = "patchwright-system"
GROUP: Final = "/apis/patchwright.dev/v1alpha1"
KINDS: Final = {
    "Node": "/api/v1/nodes",
    "Pod": "/api/v1/pods",
    "Job": "/apis/batch/v1/jobs",
    "Deployment": "/apis/apps/v1/deployments",
    "StatefulSet": "/apis/apps/v1/statefulsets",
    "DaemonSet": "/apis/apps/v1/daemonsets",
    "CronJob": "/apis/batch/v1/cronjobs",
    "Rollout": "/apis/argoproj.io/v1alpha1/rollouts",
    "PatchRollout": f"{GROUP}/patchrollouts",
    "PatchPolicy": f"{GROUP}/patchpolicies",
    "PolicyRepository": f"{GROUP}/policyrepositories",
    "Lease": f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases",
    "Event": "/apis/events.k8s.io/v1/events",
}
# What a rollout works on.
TARGETS: Final = ("Node", "Pod", "Job", "Deployment", "StatefulSet", "DaemonSet", "CronJob", "Rollout")
# Whose CRD few tests install.
_OPTIONAL: Final = ("Rollout",)
# What is waited for takes a second or two; this machine may be busy with something else as well.
PATIENCE: Final = 120.0
_AGAIN = 0.1
_AGAIN_OPTIONAL = 3.0


@dataclass(frozen=True, slots=True)
class Change:
    """One object from one version to the next.

    ``at`` is when we heard of it (Unix time); ``None`` is "not there". ``people`` says that a person did it, ``gap``
    that a watch had broken and other changes may have come between the two versions.
    """

    version: int
    at: float
    kind: str
    before: Raw | None
    after: Raw | None
    people: bool = False
    gap: bool = False

    @property
    def thing(self) -> Raw:
        """The object, as it is or as it was last."""
        found = self.after if self.after is not None else self.before
        assert found is not None
        return found


class Observer:
    """Watches every kind of ``KINDS`` from ``start`` on."""

    def __init__(self, kubeconfig: Path) -> None:
        self._api = client.Client(kubeconfig, user_agent="patchwright-observer")
        self._news = threading.Condition()
        self._now: dict[str, dict[str, Raw]] = {kind: {} for kind in KINDS}
        self._heard: dict[str, int] = {}
        self._history: list[Change] = []
        self._people: set[tuple[str, int]] = set()
        self._stopping = False
        self._threads = [threading.Thread(target=self._follow, args=(kind,), daemon=True) for kind in KINDS]

    def start(self) -> None:
        """Begin to watch; returns when every kind was listed once."""
        for thread in self._threads:
            thread.start()
        self.until(lambda: len(self._heard) == len(KINDS), "the first list of every kind")

    def release(self) -> None:
        """Do not begin again where a watch ends."""
        self._stopping = True

    def stop(self) -> None:
        """End. The watches end with the API server's connections, so release them and stop that first."""
        self.release()
        for thread in self._threads:
            thread.join(timeout=10)
        self._api.close()

    # --- what is asked --------------------------------------------------------------------------------------------

    def all(self, kind: str) -> list[Raw]:
        """Give every object of a kind as it is now."""
        with self._news:
            return list(self._now[kind].values())

    def get(self, kind: str, name: str) -> Raw | None:
        """Give an object by its name; all but nodes are looked for in the operator's namespace."""
        space = "" if kind == "Node" else SYSTEM
        found = (one["metadata"] | {"_": one} for one in self.all(kind))
        return next((meta["_"] for meta in found if (meta.get("namespace", ""), meta["name"]) == (space, name)), None)

    def place(self) -> tuple[int, dict[str, dict[str, Raw]]]:
        """Give this place in the history, for ``since``, and every object by kind and UID as it is here."""
        with self._news:
            return len(self._history), {kind: dict(found) for kind, found in self._now.items()}

    def since(self, mark: int = 0) -> list[Change]:
        """Give what was heard of since ``mark``, in the order in which it happened, people's changes marked."""
        with self._news:
            return sorted((self._attributed(change) for change in self._history[mark:]), key=lambda each: each.version)

    def note_person(self, written: Mapping[str, Any]) -> None:
        """Take in the API server's answer to a person's write."""
        metadata = written.get("metadata", {})
        if "uid" in metadata and "resourceVersion" in metadata:
            self._people.add((metadata["uid"], int(metadata["resourceVersion"])))

    def until(self, holds: Callable[[], T], what: str | Callable[[], str], *, timeout: float = PATIENCE) -> T:
        """Wait for news until ``holds`` gives something true; give that."""
        deadline = time.monotonic() + timeout
        with self._news:
            while not (found := holds()):
                left = deadline - time.monotonic()
                told = what if isinstance(what, str) else what()
                assert left > 0, f"not within {timeout:.0f} s: {told}; rollouts: {self._summary()}"
                self._news.wait(min(left, 1.0))
            return found

    def until_change(
        self, sign: Callable[[Change], object], what: str, *, mark: int, timeout: float = PATIENCE
    ) -> None:
        """Wait for a change that ``sign`` knows, at ``mark`` or later; it may be over by now."""
        seen = mark

        def there() -> bool:
            nonlocal seen
            fresh, seen = self._history[seen:], len(self._history)
            return any(sign(change) for change in fresh)

        self.until(there, what, timeout=timeout)

    def settle(self, *kinds: str) -> None:
        """Wait until all that has happened so far to these kinds, or to all, has been heard of."""
        for kind in kinds or KINDS:
            items, version = self._list(kind)
            listed = {one["metadata"]["uid"]: _version(one) for one in items}
            self.until(partial(self._caught_up, kind, listed, int(version)), f"the watch of {kind} catching up")

    def _caught_up(self, kind: str, listed: Mapping[str, int], version: int) -> bool:
        """Tell whether a watch, which tells everything in order, is at least as far as a list."""
        heard = self._heard.get(kind, 0)
        gone = [uid for uid, one in self._now[kind].items() if uid not in listed and _version(one) <= version]
        return not gone and all(each <= heard for each in listed.values())

    def _summary(self) -> str:
        found = [(one["metadata"]["name"], one.get("status") or {}) for one in self._now["PatchRollout"].values()]
        told = [f"{name} is {status.get('phase')}: {status.get('message')}" for name, status in found]
        return "; ".join(told) or "none"

    def _attributed(self, change: Change) -> Change:
        if (change.thing["metadata"]["uid"], change.version) not in self._people and not _by_flux(change):
            return change
        return Change(change.version, change.at, change.kind, change.before, change.after, True, change.gap)

    # --- the watches ----------------------------------------------------------------------------------------------

    def _follow(self, kind: str) -> None:
        path = KINDS[kind]
        while not self._stopping:
            # The API server is restarted in some tests; the list that follows says what was missed.
            with contextlib.suppress(errors.ClusterError):
                items, version = self._list(kind)
                self._take_list(kind, items, int(version))
                for event in self._api.events(path, version):
                    gone = event["type"] == "DELETED"
                    self._take(kind, event["object"], gone=gone)
            time.sleep(_AGAIN_OPTIONAL if kind in _OPTIONAL else _AGAIN)

    def _list(self, kind: str) -> tuple[list[Raw], str]:
        try:
            listed = self._api.get(KINDS[kind])
        except errors.NotFound:
            if kind not in _OPTIONAL:
                raise
            return [], "0"
        return listed["items"], listed["metadata"]["resourceVersion"]

    def _take_list(self, kind: str, items: Iterable[Raw], version: int) -> None:
        with self._news:
            there = {one["metadata"]["uid"]: one for one in items}
            for uid, one in list(self._now[kind].items()):
                if uid not in there:
                    self._put(Change(version, time.time(), kind, one, None, gap=True))
            for uid, one in there.items():
                before = self._now[kind].get(uid)
                if before is None or _version(before) < _version(one):
                    self._put(Change(_version(one), time.time(), kind, before, one, gap=True))
            self._heard[kind] = max(self._heard.get(kind, 0), version)
            self._news.notify_all()

    def _take(self, kind: str, raw: Raw, *, gone: bool) -> None:
        with self._news:
            before = self._now[kind].get(raw["metadata"]["uid"])
            self._put(
                Change(_version(raw), time.time(), kind, before or (raw if gone else None), None if gone else raw)
            )
            self._heard[kind] = _version(raw)
            self._news.notify_all()

    def _put(self, change: Change) -> None:
        uid = change.thing["metadata"]["uid"]
        if change.after is None:
            self._now[change.kind].pop(uid, None)
        else:
            self._now[change.kind][uid] = change.after
        self._history.append(change)


def _by_flux(change: Change) -> bool:
    return change.before is not None and change.after is not None and _applied(change.before) != _applied(change.after)


def _applied(raw: Raw) -> list[str]:
    """Give when Flux last wrote an object."""
    return [entry["time"] for entry in raw["metadata"].get("managedFields", ()) if entry["manager"] == MANAGER]


def _version(raw: Raw) -> int:
    return int(raw["metadata"]["resourceVersion"])
