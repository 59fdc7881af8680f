"""Who was touched, and when: a witness outside the operator, who watches the patch Jobs at the API server.

Status is the operator's word for it. A Job that was there for a second is seen by a watch only.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from patchwright import errors
from patchwright.demo.cluster import Raw
from patchwright.domain.nodes import labels
from patchwright.sandbox import client

_JOBS: Final = "/apis/batch/v1/jobs"
_PAUSE: Final = 0.2


class Witness:
    """Remembers when the first apply Job of each rollout was seen on each node; a context manager."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._seen: dict[str, dict[str, float]] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)

    def __enter__(self) -> Self:
        """Begin to watch."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End; the thread notices with the next event, or with the process."""
        self._ended.set()

    def exposed(self, rollout_uid: str) -> dict[str, float]:
        """Give every node on which the change was applied, or was about to be, with its time (monotonic seconds)."""
        with self._lock:
            return dict(self._seen.get(rollout_uid, {}))

    def _run(self) -> None:
        with client.Client(self._kubeconfig, user_agent="patchwright-demo-witness") as api:
            while not self._ended.is_set():
                # A watch ends every few minutes, and the list then brings what was missed.
                with contextlib.suppress(errors.ClusterError):
                    for job in self._jobs(api):
                        self._note(job)
                self._ended.wait(_PAUSE)

    def _jobs(self, api: client.Client) -> Iterator[Raw]:
        listed = api.get(_JOBS)
        yield from listed["items"]
        for job in api.watch(_JOBS, listed["metadata"]["resourceVersion"]):
            if self._ended.is_set():
                return
            yield job

    def _note(self, job: Raw) -> None:
        marks, notes = job["metadata"].get("labels") or {}, job["metadata"].get("annotations") or {}
        if marks.get(labels.STEP) != "apply" or labels.ROLLOUT not in marks:
            return
        with self._lock:
            self._seen.setdefault(marks[labels.ROLLOUT], {}).setdefault(str(notes.get(labels.NODE)), time.monotonic())
