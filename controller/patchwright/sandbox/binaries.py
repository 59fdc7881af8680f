"""The programs of the control plane: from ``KUBEBUILDER_ASSETS``, from the cache, or built once from pinned sources.

The pins are Go modules of ours under ``build/`` (go.mod, go.sum): one for the control plane, and one each for
Prometheus, the image registry, Gitea, cosign, Argo Rollouts and Flux, which need other versions of the same libraries
and are built only on request. Their digest names the folder in the cache, so a new pin is a new folder and an old one
is never mistaken for it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from patchwright.sandbox import errors, gobuild, golang, locking, paths, progress

KUBERNETES = "1.37.2"
REGISTRY_VERSION = "3.1.2"
GITEA_VERSION = "1.26.0"
# The newest that Go 1.26.6 builds, which is what a machine without Go is given.
ARGO_VERSION = "1.9.2"
_SOURCES = Path(__file__).parent / "build"
# A cold build of everything leaves this much in Go's own caches and in ours.
_NEEDED_BYTES = 9_000_000_000


@dataclass(frozen=True, slots=True)
class Module:
    """One Go module of pins: ``targets`` maps the name of a program to the package it is built from.

    ``share`` are folders of its source that it reads when it runs. ``cgo`` says that it needs a C compiler to build.
    """

    name: str
    targets: Mapping[str, str]
    ldflags: str
    tags: str = ""
    share: tuple[str, ...] = ()
    cgo: bool = False

    @property
    def sources(self) -> Path:
        """Where go.mod and go.sum are."""
        return _SOURCES / self.name


CONTROL_PLANE = Module(
    name="controlplane",
    targets={
        "etcd": "go.etcd.io/etcd/server/v3",
        "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
        "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
        "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
        "kubectl": "k8s.io/kubernetes/cmd/kubectl",
        "kwok": "sigs.k8s.io/kwok/cmd/kwok",
        "opa": "github.com/open-policy-agent/opa",
    },
    # Without these `kubectl version` says v0.0.0-master, and version skew checks then misjudge.
    ldflags=" ".join(
        [
            "-s -w",
            f"-X k8s.io/component-base/version.gitVersion=v{KUBERNETES}",
            f"-X k8s.io/component-base/version.gitMajor={KUBERNETES.split('.', maxsplit=1)[0]}",
            f"-X k8s.io/component-base/version.gitMinor={KUBERNETES.split('.')[1]}",
            f"-X k8s.io/client-go/pkg/version.gitVersion=v{KUBERNETES}",
        ]
    ),
)
PROMETHEUS = Module(
    name="prometheus",
    targets={"prometheus": "github.com/prometheus/prometheus/cmd/prometheus"},
    ldflags="-s -w -X github.com/prometheus/common/version.Version=3.16.0",
    # Static and file discovery are all a test needs; the clouds' libraries are most of the build.
    tags="remove_all_sd",
)
REGISTRY = Module(
    name="registry",
    targets={"registry": "github.com/distribution/distribution/v3/cmd/registry"},
    ldflags=f"-s -w -X github.com/distribution/distribution/v3/version.version=v{REGISTRY_VERSION}",
)
GITEA = Module(
    name="gitea",
    targets={"gitea": "code.gitea.io/gitea"},
    ldflags=f"-s -w -X main.Version={GITEA_VERSION}",
    # The only database that is no program of its own; it is written in C.
    tags="sqlite sqlite_unlock_notify",
    cgo=True,
    share=("options", "public", "templates"),
)
COSIGN = Module(
    name="cosign",
    targets={"cosign": "github.com/sigstore/cosign/v3/cmd/cosign"},
    ldflags="-s -w",
)
ARGO = Module(
    name="argo",
    targets={"argo-rollouts": "github.com/argoproj/argo-rollouts/cmd/rollouts-controller"},
    ldflags=f"-s -w -X github.com/argoproj/argo-rollouts/utils/version.version=v{ARGO_VERSION}",
    # The kinds that it works on, as it is released with them.
    share=("manifests/crds",),
)
FLUX = Module(
    name="flux",
    targets={
        "source-controller": "github.com/fluxcd/source-controller",
        "kustomize-controller": "github.com/fluxcd/kustomize-controller",
    },
    ldflags="-s -w",
    # The kinds that they work on, as they are released with them.
    share=("config/crd/bases",),
)
MODULES = (CONTROL_PLANE, PROMETHEUS, REGISTRY, GITEA, COSIGN, ARGO, FLUX)
_OPTIONAL = (PROMETHEUS, REGISTRY, GITEA, COSIGN, ARGO, FLUX)
# What Kubernetes' envtest archives hold; other names in that folder are not taken.
_ENVTEST = frozenset({"etcd", "kube-apiserver", "kubectl"})


def ensure(
    extra: Iterable[str] = (),
    show: progress.Progress | None = None,
    env: Mapping[str, str] = os.environ,
    *,
    control_plane: bool = True,
) -> dict[str, Path]:
    """Give the path of every program of the control plane and of ``extra`` ones, built if need be.

    Extra are ``prometheus``, ``registry``, ``gitea``, ``cosign``, ``argo-rollouts``, ``source-controller`` and
    ``kustomize-controller``; without ``control_plane`` they are all that is looked for.
    Raises BuildError when a program is unknown or cannot be built. Takes minutes the first time, so pass ``show``.
    """
    show = show or progress.Quiet()
    found: dict[str, Path] = {}
    for module, names in _wanted(tuple(extra), control_plane=control_plane):
        found |= _ensure_module(module, names, show=show, env=env)
    return found


def missing(extra: Iterable[str] = (), env: Mapping[str, str] = os.environ) -> list[str]:
    """Give the names of the programs that ``ensure`` would have to build."""
    return [
        name
        for module, names in _wanted(tuple(extra))
        for name in names
        if name not in {**_cached(module, names, env=env), **_assets(names, env)}
    ]


def digest(module: Module) -> str:
    """Give the name of a module's folder in the cache: what its programs were built from, and for which machine."""
    sha = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        sha.update((module.sources / name).read_bytes())
    for part in (module.ldflags, module.tags, *gobuild.FLAGS, platform.system(), platform.machine()):
        sha.update(b"\0" + part.encode())
    if module.cgo:
        sha.update(b"\0cgo")
    return f"{module.name}-{sha.hexdigest()[:16]}"


def directory(module: Module, env: Mapping[str, str] = os.environ) -> Path:
    """Give the folder in the cache that holds a module's programs."""
    return paths.cache_root(env) / digest(module) / "bin"


def share(module: Module, env: Mapping[str, str] = os.environ) -> Path:
    """Give the folder in the cache that holds what a module's programs read when they run."""
    return directory(module, env).parent / "share"


def _wanted(extra: Sequence[str], *, control_plane: bool = True) -> list[tuple[Module, list[str]]]:
    unknown = sorted(set(extra) - {name for module in MODULES for name in module.targets})
    if unknown:
        known = ", ".join(name for module in _OPTIONAL for name in module.targets)
        raise errors.BuildError(f"The sandbox does not know how to build {', '.join(unknown)}; it knows: {known}.")
    wanted = [(CONTROL_PLANE, list(CONTROL_PLANE.targets))] if control_plane else []
    others = ((module, [name for name in module.targets if name in extra]) for module in _OPTIONAL)
    return [*wanted, *((module, names) for module, names in others if names)]


def _ensure_module(
    module: Module, names: Sequence[str], *, show: progress.Progress, env: Mapping[str, str]
) -> dict[str, Path]:
    assets = _assets(names, env)
    needed = [name for name in names if name not in assets]
    if absent := [name for name in needed if name not in _cached(module, needed, env=env)]:
        _build(module, absent, show=show, env=env)
    return {**_cached(module, needed, env=env), **assets}


def _assets(names: Iterable[str], env: Mapping[str, str]) -> dict[str, Path]:
    folder = env.get("KUBEBUILDER_ASSETS", "")
    return _executables(Path(folder), _ENVTEST.intersection(names)) if folder else {}


def _cached(module: Module, names: Iterable[str], *, env: Mapping[str, str]) -> dict[str, Path]:
    return _executables(directory(module, env), names)


def _executables(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    return {name: folder / name for name in names if os.access(folder / name, os.X_OK)}


def _build(module: Module, names: Sequence[str], *, show: progress.Progress, env: Mapping[str, str]) -> None:
    target = directory(module, env)
    waiting = progress.Waiting(show, f"Waiting for another process that builds {module.name}")
    with locking.exclusive(target.parent.with_suffix(".lock"), waiting=waiting):
        # Somebody else may have built it while this process waited for the lock.
        if absent := [name for name in names if name not in _cached(module, names, env=env)]:
            _require_space(target.parent.parent)
            go = golang.find(gobuild.minimum(module.sources), paths.cache_root(env), show)
            _install(module, absent, go=go, target=target, show=show)


def _install(module: Module, names: Sequence[str], *, go: Path, target: Path, show: progress.Progress) -> None:
    target.mkdir(parents=True, exist_ok=True)
    # Whoever was killed in the middle of a build left its folder; the lock says that nobody is in one now.
    for stale in target.parent.glob("build-*"):
        shutil.rmtree(stale, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="build-") as fresh:
        packages = [module.targets[name] for name in names]
        job = gobuild.Job(
            go, module.sources, packages=packages, ldflags=module.ldflags, tags=module.tags, cgo=module.cgo
        )
        gobuild.run(job, Path(fresh), show)
        for folder in module.share:
            gobuild.copy(job, folder, target.parent / "share" / folder)
        for name in names:
            # A program appears whole or not at all, whoever looks.
            (Path(fresh) / gobuild.output_name(module.targets[name])).rename(target / name)


def _require_space(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < _NEEDED_BYTES:
        raise errors.BuildError(
            f"Building the control plane takes about {_NEEDED_BYTES / 1e9:.0f} GB and {folder} has {free / 1e9:.1f} GB "
            "left; free some space, or point XDG_CACHE_HOME and GOCACHE to a bigger disk."
        )
