"""A Kustomization of real Flux: what is below ``apps`` of a repository is applied with every commit."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator
from typing import Any, Final

from patchwright.sandbox import client
from patchwright.sandbox.flux import NAMESPACE

NAME: Final = "shop"
_SOURCES: Final = f"/apis/source.toolkit.fluxcd.io/v1/namespaces/{NAMESPACE}/gitrepositories"
_KUSTOMIZATIONS: Final = f"/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{NAMESPACE}/kustomizations"
_SECRETS: Final = f"/api/v1/namespaces/{NAMESPACE}/secrets"
# Nobody calls a webhook of Flux's here.
_OFTEN: Final = "1s"


class Kustomization:
    """Has real Flux apply what is below ``apps`` of a repository; ``suspended`` holds it."""

    def __init__(self, api: client.Client, url: str, login: tuple[str, str]) -> None:
        self._api, self._url, self._login = api, url, login

    @property
    def suspended(self) -> bool:
        """Whether it is held."""
        return bool(self._api.get(self._path)["spec"].get("suspend"))

    @suspended.setter
    def suspended(self, held: bool) -> None:
        self._api.patch(self._path, {"spec": {"suspend": held}})

    @property
    def _path(self) -> str:
        return f"{_KUSTOMIZATIONS}/{NAME}"

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Follow the repository until the end; what was applied stays."""
        where = [(path, f"{path}/{NAME}") for path in (_SECRETS, _SOURCES, _KUSTOMIZATIONS)]
        for (path, _), body in zip(where, self._bodies(), strict=True):
            self._api.create(path, {"metadata": {"name": NAME}, **body})
        try:
            yield
        finally:
            for _, path in reversed(where):
                self._api.delete(path)
                self._api.wait(path, lambda found: not found)

    def _bodies(self) -> list[dict[str, Any]]:
        user, password = (base64.b64encode(text.encode()).decode() for text in self._login)
        reference = {"kind": "GitRepository", "name": NAME}
        source = {"url": self._url, "interval": _OFTEN, "ref": {"branch": "main"}, "secretRef": {"name": NAME}}
        applied = {"interval": _OFTEN, "path": "./apps", "prune": False, "sourceRef": reference}
        return [
            {"apiVersion": "v1", "kind": "Secret", "data": {"username": user, "password": password}},
            {"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "spec": source},
            {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "spec": applied},
        ]
