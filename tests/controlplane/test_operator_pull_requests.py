"""The real operator proposes an image to a real Gitea, and goes on once a person has merged it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from patchwright.sandbox import binaries, gitea
from patchwright.sandbox.flux import Flux
from support.flux import Kustomization
from support.observer import SYSTEM
from support.workload_scene import WorkloadScene, image

pytestmark = [
    pytest.mark.controlplane,
    pytest.mark.skipif(
        bool(binaries.missing(["gitea"])), reason="Gitea is not built: patchwright sandbox build --with gitea"
    ),
]
MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: {space}, labels: {{{label}}}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: app, image: "{image}"}}], nodeSelector: {{{label}}}}}  # by a robot
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gitea.Gitea]:
    with gitea.Gitea(tmp_path_factory.mktemp("gitea")) as running:
        yield running


@pytest.fixture
def space(shop: WorkloadScene, server: gitea.Gitea, flux: Flux) -> Iterator[str]:
    """Make a repository with one Deployment in it, and have it applied."""
    space = shop.space()
    server.api("POST", "/user/repos", {"name": shop.name, "auto_init": True, "default_branch": "main"})
    text = MANIFEST.format(space=space, image=image("1.0"), label=shop.label.replace("=", ": "))
    body = {"content": base64.b64encode(text.encode()).decode(), "message": "web", "branch": "main"}
    server.api("POST", f"/repos/{gitea.USER}/{shop.name}/contents/apps/web.yaml", body)
    login = {"username": gitea.USER, "password": server.token}
    data = {key: base64.b64encode(value.encode()).decode() for key, value in login.items()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"{shop.name}-git"}, "data": data}
    shop.api.create(f"/api/v1/namespaces/{SYSTEM}/secrets", secret)
    with Kustomization(shop.api, server.repository(shop.name), (gitea.USER, server.token)).running():
        shop.until(lambda: shop.settled("Deployment", space, "web"), "the Deployment")
        yield space


def propose(shop: WorkloadScene, server: gitea.Gitea, tag: str) -> tuple[str, str]:
    """Begin a rollout; give its name and the path of its pull request, once it is waited for."""
    git = {
        "url": server.repository(shop.name),
        "ref": {"branch": "main"},
        "secretRef": {"name": f"{shop.name}-git"},
        "pullRequest": {"provider": "Gitea"},
    }
    shop.image_policy(write={"git": git})
    rollout = shop.image_rollout(tag)
    at = f"{server.url}/{gitea.USER}/{shop.name}/pulls/"
    said: dict[str, Any] = shop.until_message(rollout, f"waits until somebody merges pull request {at}")
    number = said["message"].partition(at)[2].partition(";")[0]
    return rollout, f"/repos/{gitea.USER}/{shop.name}/pulls/{number}"


def test_an_image_waits_for_the_merge_of_its_pull_request(shop: WorkloadScene, server: gitea.Gitea, space: str) -> None:
    rollout, pull = propose(shop, server, "1.1")
    assert shop.images() == {f"{space}/web": image("1.0")}
    assert server.api("GET", pull)["title"] == "Set registry.example/shop/web to 1.1"
    server.merge(pull)
    status = shop.until_phase(rollout, "Succeeded", timeout=120)
    assert status["updated"] == "1/1"
    assert shop.images() == {f"{space}/web": image("1.1")}
    assert server.token not in shop.operator.log


def test_an_abort_closes_the_pull_request_that_waits(shop: WorkloadScene, server: gitea.Gitea, space: str) -> None:
    rollout, pull = propose(shop, server, "1.2")
    shop.change("PatchRollout", rollout, {"metadata": {"annotations": {"patchwright.dev/abort": "true"}}})
    shop.until_phase(rollout, "RolledBack", timeout=120)
    assert server.api("GET", pull)["state"] == "closed"
    assert shop.images() == {f"{space}/web": image("1.0")}
    assert shop.image_marks() == {}
