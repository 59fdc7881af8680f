"""Images of workloads that real Flux applies: the real operator patches them in a real repository, and nowhere else."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from patchwright.sandbox.flux import Flux
from support.flux import Kustomization
from support.git_servers import Upstream, git
from support.observer import SYSTEM
from support.threaded_servers import GitHost
from support.workload_scene import WorkloadScene, image

pytestmark = pytest.mark.controlplane
NAMES = ("api", "job", "web", "zoo")
LOGIN = ("robot", "correct-horse-battery")
QUICK = {"canary": {"count": 1, "soak": "1s"}, "maxUnavailable": "50%"}
MANIFEST = """\
# {name}: the image is patched by a robot
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {space}, labels: {{{label}}}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      containers:
        - image: "{image}"  # pinned
          name: app
      nodeSelector: {{{label}}}
      terminationGracePeriodSeconds: 1
"""


class Shop:
    """Four Deployments, the repository that they are made from, and Flux between them."""

    def __init__(self, scene: WorkloadScene, upstream: Upstream, url: str) -> None:
        self.scene, self.upstream = scene, upstream
        self.flux = Kustomization(scene.api, url, LOGIN)
        self.space = scene.space()
        found = {f"apps/{name}.yaml": self.manifest(name, "1.0") for name in NAMES}
        self.first = upstream.commit({**found, "README.md": image("1.0")})
        self.secret = f"{scene.name}-git"
        login = {"username": LOGIN[0], "password": LOGIN[1]}
        data = {key: base64.b64encode(text.encode()).decode() for key, text in login.items()}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": self.secret}, "data": data}
        scene.api.create(f"/api/v1/namespaces/{SYSTEM}/secrets", body)
        self.write = {
            "git": {"url": url, "ref": {"branch": "main"}, "path": "apps", "secretRef": {"name": self.secret}}
        }

    def manifest(self, name: str, tag: str) -> str:
        label = self.scene.label.replace("=", ": ")
        return MANIFEST.format(name=name, space=self.space, image=image(tag), label=label)

    def content(self, name: str) -> str:
        return git("show", f"main:apps/{name}.yaml", cwd=self.upstream.bare) + "\n"

    def log(self) -> list[str]:
        return git("log", "--format=%s", f"{self.first}..main", cwd=self.upstream.bare).splitlines()

    def changed(self) -> list[list[str]]:
        """Give the files that each commit changed, the oldest first."""
        commits = git("rev-list", "--reverse", f"{self.first}..main", cwd=self.upstream.bare).splitlines()
        argv = ("show", "--format=", "--name-only")
        return [git(*argv, commit, cwd=self.upstream.bare).splitlines() for commit in commits]


@pytest.fixture
def made(shop: WorkloadScene, flux: Flux, tmp_path: Path) -> Iterator[Shop]:
    upstream = Upstream(tmp_path / "srv", name="shop.git")
    host = GitHost(upstream.root, credentials=LOGIN)
    with host.serving():
        found = Shop(shop, upstream, host.url("shop.git"))
        with found.flux.running():
            shop.until(lambda: all(shop.settled("Deployment", found.space, name) for name in NAMES), "the Deployments")
            yield found


def test_an_image_goes_through_git_canary_first_one_commit_a_wave(shop: WorkloadScene, made: Shop) -> None:
    shop.image_policy(strategy=QUICK, write=made.write)
    made.flux.suspended = True
    rollout = shop.image_rollout("1.1")
    shop.until_message(rollout, "waits for Flux Kustomization flux-system/shop to sync")
    made.flux.suspended = False

    status = shop.until_phase(rollout, "Succeeded")

    assert status["updated"] == "4/4"
    assert set(shop.images().values()) == {image("1.1")}
    assert shop.image_marks() == {}
    assert set(made.log()) == {"Set registry.example/shop/web to 1.1"}
    changed = made.changed()
    assert [len(files) for files in changed[:2]] == [1, 2], "the canary alone, then as many as may be away together"
    assert sorted(itertools.chain(*changed)) == [f"apps/{name}.yaml" for name in NAMES]
    assert {name: made.content(name) for name in NAMES} == {name: made.manifest(name, "1.1") for name in NAMES}
    said = git("log", "--format=%B", f"{made.first}..main", cwd=made.upstream.bare)
    assert said.count(f"Patchwright-Rollout: {SYSTEM}/{rollout}/") == len(changed)
    assert LOGIN[1] not in shop.operator.log


def test_a_crashing_image_is_put_back_in_git_too_and_is_not_tried_again(shop: WorkloadScene, made: Shop) -> None:
    before = shop.images()
    shop.image_policy(strategy=QUICK, write=made.write)

    status = shop.until_phase(shop.image_rollout("1.2-bad"), "RolledBack")

    assert status["cause"]["reason"] == "CanaryFailed"
    assert "put back: 1" in status["message"]
    assert shop.images() == before
    assert made.log() == ["Put back registry.example/shop/web to 1.0", "Set registry.example/shop/web to 1.2-bad"]
    assert git("diff", made.first, "main", cwd=made.upstream.bare) == "", "every byte is back"
    again = shop.image_rollout("1.2-bad", name=f"{shop.name}-again")
    assert shop.until_phase(again, "Denied")["cause"]["reason"] == "FailedBefore"
    assert len(made.log()) == 2


def test_a_value_that_somebody_has_changed_in_git_stops_it_and_nothing_is_overwritten(
    shop: WorkloadScene, made: Shop
) -> None:
    made.flux.suspended = True
    for name in NAMES:
        made.upstream.write(f"apps/{name}.yaml", made.manifest(name, "1.9"))
    theirs = made.upstream.commit({}, "theirs")
    shop.image_policy(strategy=QUICK, write=made.write)

    status = shop.until_phase(shop.image_rollout("1.1"), "RolledBack")

    assert status["cause"]["reason"] == "WriteBackConflict", "the image is not blamed"
    assert "somebody else has changed it: apps/" in status["message"]
    assert "failedChanges" not in shop.policy_status()
    assert git("rev-parse", "main", cwd=made.upstream.bare) == theirs


def test_an_operator_that_is_killed_at_work_makes_no_second_commit(shop: WorkloadScene, made: Shop) -> None:
    made.flux.suspended = True
    shop.image_policy(strategy=QUICK, write=made.write)
    rollout = shop.image_rollout("1.3")
    shop.until(made.log, "the first commit", timeout=60)
    shop.restart()
    made.flux.suspended = False
    shop.until_phase(rollout, "Succeeded", timeout=120)
    assert sorted(itertools.chain(*made.changed())) == [f"apps/{name}.yaml" for name in NAMES], "each once"
