"""A small stand-in for Flux's kustomize-controller: what a branch says is applied, and again when the cluster differs.

It is not Flux, and whoever shows it says so. It has what Patchwright can tell Flux by, and what it has to live with:
server-side apply by force with Flux's field manager, Flux's labels on whatever is applied, and drift that is found by a
dry run and taken back. There are no Kustomizations, nothing is built, pruned or waited for.

Run as ``python -m patchwright.sandbox.syncer KUBECONFIG REPOSITORY FOLDER OWNER``; it ends with its parent.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from patchwright import errors
from patchwright.sandbox import client

MANAGER: Final = "kustomize-controller"
EVERY: Final = 0.25
_LABEL: Final = "kustomize.toolkit.fluxcd.io"


@dataclass(frozen=True, slots=True)
class Source:
    """What is applied: the manifests below a ``folder`` of a branch of a bare ``repository``.

    ``owner`` is the Kustomization that it is applied for, as ``namespace/name``.
    """

    repository: Path
    folder: str
    owner: str
    branch: str = "main"

    @property
    def labels(self) -> Mapping[str, str]:
        """What Flux writes on whatever it applies."""
        namespace, _, name = self.owner.partition("/")
        return {f"{_LABEL}/name": name, f"{_LABEL}/namespace": namespace}

    def manifests(self) -> Iterator[client.Manifest]:
        """Read the branch as it is; nothing while it does not exist."""
        done = subprocess.run(  # noqa: S603 - a repository of ours
            ["git", "archive", self.branch, "--", self.folder],  # noqa: S607 - found as a user finds it
            cwd=self.repository,
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
            capture_output=True,
            check=False,
        )
        if done.returncode:
            return
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as files:
            for file in files:
                text = files.extractfile(file) if file.name.endswith(".yaml") else None
                if text is not None:
                    yield from yaml.safe_load_all(text.read())


class Syncer:
    """Applies a source; ``applied`` is told of each object that was changed, as the API server then has it."""

    def __init__(
        self, api: client.Client, source: Source, *, applied: Callable[[client.Manifest], None] = lambda _: None
    ) -> None:
        self._api = api
        self._source = source
        self._applied = applied

    def sync(self) -> None:
        """Bring the cluster to what the branch says; raise ClusterError where it does not let itself be brought."""
        for manifest in self._source.manifests():
            self._one(manifest)

    def _one(self, manifest: client.Manifest) -> None:
        metadata = manifest["metadata"]
        wanted = {**manifest, "metadata": {**metadata, "labels": {**metadata.get("labels", {}), **self._source.labels}}}
        path = _path(wanted)
        # A dry run first, as Flux does: applying what is there already would be a write all the same to who watches.
        if self._differs(path, wanted):
            self._applied(self._api.apply(path, wanted, manager=MANAGER))

    def _differs(self, path: str, wanted: client.Manifest) -> bool:
        try:
            live = self._api.get(path)
        except errors.NotFound:
            return True
        return _essence(live) != _essence(self._api.apply(path, wanted, manager=MANAGER, dry_run=True))


def _path(manifest: client.Manifest) -> str:
    """Give where an object is, for kinds whose plural is the name with an s."""
    metadata, version = manifest["metadata"], manifest["apiVersion"]
    root = "/apis" if "/" in version else "/api"
    return f"{root}/{version}/namespaces/{metadata['namespace']}/{manifest['kind'].lower()}s/{metadata['name']}"


def _essence(live: client.Manifest) -> tuple[object, object]:
    kept = {key: value for key, value in live.items() if key not in {"metadata", "status"}}
    return live["metadata"].get("labels"), kept


def main(kubeconfig: str, repository: str, folder: str, owner: str) -> None:
    """Sync for ever; what fails is told and tried again."""
    with client.Client(Path(kubeconfig), user_agent=MANAGER) as api:
        syncer = Syncer(api, Source(Path(repository), folder, owner))
        while True:
            try:
                syncer.sync()
            except errors.ClusterError as fault:
                print(fault.message, flush=True)  # noqa: T201 - its log
            time.sleep(EVERY)


if __name__ == "__main__":
    main(*sys.argv[1:])
