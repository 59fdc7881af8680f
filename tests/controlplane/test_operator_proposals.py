"""The real operator proposes releases to the policy's own repository on a real Gitea, and people decide."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from patchwright.sandbox import binaries, gitea
from support.image_scene import ImageScene
from support.operator_scene import SCENE

pytestmark = [
    pytest.mark.controlplane,
    pytest.mark.skipif(
        bool(binaries.missing(["gitea"])), reason="Gitea is not built: patchwright sandbox build --with gitea"
    ),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gitea.Gitea]:
    with gitea.Gitea(tmp_path_factory.mktemp("gitea")) as running:
        yield running


class Repository:
    """A policy, in the repository that it is applied from; and the pull requests that there are."""

    def __init__(self, scene: ImageScene, server: gitea.Gitea) -> None:
        self.scene, self.server = scene, server
        self.at = f"/repos/{gitea.USER}/{scene.name}"
        scene.push("1.0.0")
        scene.running(scene.space(), "web", "api", image=scene.at("1.0.0"))
        scene.following(trigger="PullRequest")
        server.api("POST", "/user/repos", {"name": scene.name, "auto_init": True, "default_branch": "main"})
        found = scene.observer.get("PatchPolicy", scene.name)
        assert found is not None
        metadata = {"name": scene.name, "labels": found["metadata"]["labels"]}
        self.write("fleet/policies/web.yaml", {**found, "metadata": metadata})
        login = {"username": gitea.USER, "password": server.token}
        scene.secret(f"{scene.name}-git", login)
        spec = {
            "url": server.repository(scene.name),
            "ref": {"branch": "main"},
            "path": "fleet",
            "interval": "1s",
            "secretRef": {"name": f"{scene.name}-git"},
            "pullRequest": {"provider": "Gitea"},
        }
        scene.create(scene.manifest("PolicyRepository", scene.name, spec))
        scene.until_told("UpToDate")
        scene.until(lambda: self.status().get("lastAppliedRevision"), lambda: f"the repository: {self.status()}")

    def status(self) -> dict[str, Any]:
        return (self.scene.observer.get("PolicyRepository", self.scene.name) or {}).get("status") or {}

    def rest(self) -> None:
        """Have it apply nothing any more, not even what a test takes away when it ends."""
        self.scene.change("PolicyRepository", self.scene.name, {"spec": {"suspend": True}})
        self.scene.until(lambda: "Suspended" in self._reasons(), "the repository at rest")

    def _reasons(self) -> list[str]:
        return [one["reason"] for one in self.status().get("conditions", ())]

    def write(self, path: str, body: dict[str, Any]) -> None:
        kept = {key: value for key, value in body.items() if key != "status"}
        content = base64.b64encode(yaml.safe_dump(kept).encode()).decode()
        body = {"content": content, "message": "policy", "branch": "main"}
        self.server.api("POST", f"{self.at}/contents/{path}", body)

    def pulls(self) -> list[tuple[str, str]]:
        """Give titles and states, the oldest first."""
        found = self.server.api("GET", f"{self.at}/pulls?state=all")
        return [(one["title"], one["state"]) for one in sorted(found, key=lambda one: int(one["number"]))]

    def title(self, tag: str) -> str:
        return f"Roll out {self.scene.image.rpartition('/')[2]}:{tag}"


@pytest.fixture
def repository(gallery: ImageScene, server: gitea.Gitea) -> Repository:
    return Repository(gallery, server)


def test_a_release_is_rolled_out_once_somebody_has_merged_it_and_is_asked_for_once(
    gallery: ImageScene, server: gitea.Gitea, repository: Repository
) -> None:
    gallery.push("1.0.1")
    gallery.look()
    said = gallery.until_told("AwaitingMerge", f"waits until somebody merges pull request {server.url}/")
    gallery.restart()
    gallery.look(2)
    assert repository.pulls() == [(repository.title("1.0.1"), "open")]
    assert set(gallery.images().values()) == {gallery.at("1.0.0")}
    number = said.rpartition("/")[2]
    [file] = server.api("GET", f"{repository.at}/pulls/{number}/files")
    assert (file["status"], file["filename"].rpartition("/")[0]) == ("added", "fleet/rollouts")
    rollout = file["filename"].rpartition("/")[2].removesuffix(".yaml")

    server.merge(f"{repository.at}/pulls/{number}")

    gallery.until(lambda: gallery.observer.get("PatchRollout", rollout), f"rollout {rollout}")
    gallery.change("PatchRollout", rollout, {"metadata": {"labels": {SCENE: gallery.name}}})
    gallery.until_phase(rollout, "Succeeded", timeout=120)
    assert set(gallery.images().values()) == {gallery.at("1.0.1")}
    assert gallery.proposed() == [], "nobody but Git has made it"
    gallery.look(2)
    gallery.until_told("UpToDate")
    assert repository.pulls() == [(repository.title("1.0.1"), "closed")]
    assert server.token not in gallery.operator.log
    repository.rest()


def test_a_newer_release_closes_the_older_ones_pull_request_and_what_a_person_closes_stays_closed(
    gallery: ImageScene, server: gitea.Gitea, repository: Repository
) -> None:
    gallery.push("1.0.1")
    gallery.look()
    gallery.until_told("AwaitingMerge")
    gallery.push("1.0.2")
    gallery.look()
    gallery.until_told("AwaitingMerge", ":1.0.2")
    first, second = (repository.title("1.0.1"), "closed"), repository.title("1.0.2")
    gallery.until(lambda: repository.pulls() == [first, (second, "open")], lambda: str(repository.pulls()))

    server.api("PATCH", f"{repository.at}/pulls/2", {"state": "closed"})

    gallery.look()
    assert "/pulls/2 was closed; reopen it" in gallery.until_told("PullRequestClosed")
    gallery.restart()
    gallery.look(2)
    assert repository.pulls() == [first, (second, "closed")]
    assert set(gallery.images().values()) == {gallery.at("1.0.0")}
    rollouts = [one["spec"]["policyRef"]["name"] for one in gallery.observer.all("PatchRollout")]
    assert gallery.name not in rollouts
    server.api("PATCH", f"{repository.at}/pulls/2", {"state": "open"})
    gallery.look()
    gallery.until_told("AwaitingMerge")
    repository.rest()
