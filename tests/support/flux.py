"""What stands in for Flux in tests, over the workloads of one scene; what it writes is noted as a person's."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from patchwright import errors
from patchwright.sandbox.syncer import EVERY, Source, Syncer
from support.workload_scene import WorkloadScene

OWNER_NAME: Final = "flux-system/shop"
OWNER: Final = Source(Path(), "", OWNER_NAME).labels


class Flux:
    """Applies what is below ``apps``; ``suspended`` holds it."""

    def __init__(self, scene: WorkloadScene, bare: Path) -> None:
        self.suspended = False
        source = Source(bare, "apps", OWNER_NAME)
        self._syncer = Syncer(scene.api, source, applied=scene.observer.note_person)
        self._ended = threading.Event()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _run(self) -> None:
        while not self._ended.wait(EVERY):
            # What a scene has taken away cannot be applied: the manifests have no more than an image.
            with contextlib.suppress(errors.ClusterError):
                if not self.suspended:
                    self._syncer.sync()
