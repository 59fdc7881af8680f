"""The sandbox's image registry: started on request, stopped, killed and restarted like every other component."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from patchwright.cli.sandbox import sandbox as command
from patchwright.sandbox import binaries, controlplane, errors, images, named, settings, state
from support.registries import BASIC, HTPASSWD

pytestmark = pytest.mark.controlplane
ONLY = [settings.REGISTRY]


def tags(url: str, repository: str) -> list[str]:
    with urllib.request.urlopen(f"{url}/v2/{repository}/tags/list", timeout=5) as answer:
        found: list[str] = json.load(answer)["tags"]
    return found


def test_what_was_pushed_outlives_a_stop_and_a_kill() -> None:
    with controlplane.ControlPlane(parts=ONLY) as plane:
        url = plane.registry_url
        store = images.Store(url)
        pushed = store.push("shop/api:1.0.0", platforms=["linux/amd64", "linux/arm64/v8"])
        assert sorted(pushed.children) == ["linux/amd64", "linux/arm64/v8"]
        plane.stop_component("registry")
        with pytest.raises(urllib.error.URLError):
            tags(url, "shop/api")
        plane.start_component("registry")
        plane.kill_component("registry")
        assert plane.status is not None
        assert plane.status.components["registry"].condition is state.Condition.EXITED
        plane.restart("registry")
        assert plane.registry_url == url
        assert tags(url, "shop/api") == ["1.0.0"]
        store.tag("shop/api", pushed.digest, tag="stable")
        store.remove_tag("shop/api:1.0.0")
        assert tags(url, "shop/api") == ["stable"]
        store.close()


def test_the_registry_alone_is_nothing_but_the_registry() -> None:
    with controlplane.ControlPlane(parts=ONLY) as plane:
        assert plane.status is not None
        assert list(plane.status.components) == ["registry"]
        assert set(settings.load(plane.directory).binaries) == {"registry"}
        assert (plane.directory / "registry.yaml").exists()
        with pytest.raises(errors.SandboxError, match="There is no component 'etcd'; there are registry"):
            plane.restart("etcd")
        log = (plane.logs / "registry.log").read_text(encoding="utf-8")
        assert "4318" not in log, "it sends its traces to nobody"


def test_the_same_build_is_the_same_digest_and_another_one_is_not() -> None:
    with controlplane.ControlPlane(parts=ONLY) as plane:
        store = images.Store(plane.registry_url)
        first = store.push("a:1", content="build 1")
        assert store.push("b:7", content="build 1").digest == first.digest
        assert store.push("a:1", content="build 2").digest != first.digest
        assert store.push("a:1", content="build 1", kind=images.DOCKER).digest != first.digest
        assert store.push("a:1", content="build 1", index=True).children == first.children
        store.close()


def test_a_registry_with_a_password_lets_nobody_else_in() -> None:
    wanted = settings.Registry(htpasswd=HTPASSWD)
    with controlplane.ControlPlane(parts=ONLY, registry=wanted) as plane:
        stranger = images.Store(plane.registry_url)
        with pytest.raises(errors.SandboxError, match="with 401"):
            stranger.push("shop/api:1.0.0")
        store = images.Store(plane.registry_url, authorization=lambda _: BASIC)
        store.push("shop/api:1.0.0")
        for each in (stranger, store):
            each.close()


def test_up_has_a_registry_only_when_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    binaries.ensure(["registry"])
    runner = CliRunner()
    try:
        up = runner.invoke(command, ["up", "--name", "shop", "--registry"])
        assert up.exit_code == 0, up.output
        now = named.status("shop")
        assert now is not None
        assert f"images at {now.registry_url}" in up.output.replace("\n", " ")
        assert "registry" in runner.invoke(command, ["status", "--name", "shop"]).output
        told = runner.invoke(command, ["env", "--name", "shop"]).output
        assert f"export REGISTRY_URL='{now.registry_url}'" in told
        assert now.components["etcd"].alive
        assert now.components["registry"].alive
    finally:
        assert runner.invoke(command, ["down", "--name", "shop"]).exit_code == 0
