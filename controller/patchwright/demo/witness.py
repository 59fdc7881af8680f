"""Who was touched, and in which order: a witness outside the operator, who watches the API server.

Status is the operator's word for it. A Job that was there for a second is seen by a watch only, and what came first is
told by resource versions alone: the API server counts all its writes by one number, whatever their kind (KEP-5504),
while the time at which this process hears of them says little on a busy machine.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from patchwright import errors
from patchwright.demo import cluster, telling
from patchwright.demo.cluster import Raw
from patchwright.domain.nodes import labels
from patchwright.sandbox import client

_JOBS: Final = "/apis/batch/v1/jobs"
_ROLLOUTS: Final = "/apis/patchwright.dev/v1alpha1/patchrollouts"
_PODS: Final = tuple(f"/api/v1/namespaces/{name}/pods" for name in (cluster.STOREFRONT, cluster.CHECKOUT))
_BEFORE: Final = ("", "canary")
_PAUSE: Final = 0.2


@dataclass(frozen=True, slots=True)
class Account:
    """What was seen of one rollout, as resource versions.

    ``exposed`` gives for each node when the first apply Job for it was written, ``passed`` when status first named a
    wave after the canary (None: never).
    """

    exposed: dict[str, int] = field(default_factory=dict)
    passed: int | None = None


@dataclass(frozen=True, slots=True)
class Exposed:
    """The pods that were ever made of an image: by workload when its first one was, as versions."""

    pods: frozenset[str] = frozenset()
    workloads: Mapping[str, int] = field(default_factory=dict)


class Witness:
    """Remembers the first apply Job of each rollout on each node, and the end of each canary; a context manager.

    Of pods it remembers each that was ever made, with its images: one that crashed is gone when the story ends.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._exposed: dict[str, dict[str, int]] = {}
        self._passed: dict[str, int] = {}
        self._pods: dict[str, _Pod] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        watches = [(_JOBS, self._note_job), (_ROLLOUTS, self._note_rollout)]
        watches += [(path, self._note_pod) for path in _PODS]
        self._threads = [
            threading.Thread(target=self._run, args=watch, name=f"witness of {watch[0]}", daemon=True)
            for watch in watches
        ]

    def __enter__(self) -> Self:
        """Begin to watch."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End; the threads notice with the next event, or with the process."""
        self._ended.set()

    def account(self, rollout_uid: str) -> Account:
        """Give what was seen of a rollout until now."""
        with self._lock:
            return Account(dict(self._exposed.get(rollout_uid, {})), self._passed.get(rollout_uid))

    def exposed(self, image: str) -> Exposed:
        """Give the pods that were made of an image, until now."""
        with self._lock:
            found = {name: pod for name, pod in self._pods.items() if image in pod.images}
        workloads: dict[str, int] = {}
        for pod in sorted(found.values(), key=lambda pod: pod.version):
            workloads.setdefault(pod.workload, pod.version)
        return Exposed(frozenset(found), workloads)

    def _run(self, path: str, note: Callable[[Raw], None]) -> None:
        with client.Client(self._kubeconfig, user_agent="patchwright-demo-witness") as api:
            while not self._ended.is_set():
                with contextlib.suppress(errors.ClusterError):
                    for seen in self._objects(api, path):
                        with self._lock:
                            note(seen)
                self._ended.wait(_PAUSE)

    def _objects(self, api: client.Client, path: str) -> Iterator[Raw]:
        """List once, then watch on: a list has only the last version of what was written several times."""
        listed = api.get(path)
        yield from listed["items"]
        since = listed["metadata"]["resourceVersion"]
        while not self._ended.is_set():
            for seen in api.watch(path, since):
                yield seen
                since = seen["metadata"]["resourceVersion"]
            self._ended.wait(_PAUSE)

    def _note_job(self, job: Raw) -> None:
        marks, notes = job["metadata"].get("labels") or {}, job["metadata"].get("annotations") or {}
        if marks.get(labels.STEP) == "apply" and labels.ROLLOUT in marks:
            nodes = self._exposed.setdefault(marks[labels.ROLLOUT], {})
            nodes.setdefault(str(notes.get(labels.NODE)), _version(job))

    def _note_pod(self, pod: Raw) -> None:
        images = frozenset(each["image"] for each in pod["spec"]["containers"])
        made = _Pod(str(pod["metadata"]["labels"].get("app")), images, _version(pod))
        self._pods.setdefault(cluster.uid_of(pod), made)

    def _note_rollout(self, rollout: Raw) -> None:
        if telling.glance(rollout).wave not in _BEFORE:
            self._passed.setdefault(cluster.uid_of(rollout), _version(rollout))


@dataclass(frozen=True, slots=True)
class _Pod:
    """The ``app`` that it belongs to, what it was made of, and its first version that was seen."""

    workload: str
    images: frozenset[str]
    version: int


def _version(thing: Raw) -> int:
    return int(thing["metadata"]["resourceVersion"])
