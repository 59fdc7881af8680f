"""The watches log in at the cluster that the operator was given, and at no other."""

from __future__ import annotations

import json
from pathlib import Path

import kopf
import pytest

from patchwright.handlers import events


def kubeconfig(path: Path, server: str) -> Path:
    """Write a kubeconfig for ``server``."""
    found = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "one", "user": "me"}}],
        "clusters": [{"name": "one", "cluster": {"server": server}}],
        "users": [{"name": "me", "user": {"token": "word"}}],
    }
    path.write_text(json.dumps(found))
    return path


async def server_of(given: Path | None) -> str | None:
    found = await events.login(given)(settings=kopf.OperatorSettings(), logger=None)
    return found.server if found else None


async def test_the_kubeconfig_that_was_given_comes_before_the_one_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "other", "https://other.example")))
    assert await server_of(kubeconfig(tmp_path / "given", "https://given.example")) == "https://given.example"


async def test_the_environment_comes_before_the_pods_service_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "other", "https://other.example")))
    assert await server_of(None) == "https://other.example"
