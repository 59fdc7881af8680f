"""What one sandbox is to be; written as JSON for its supervisor, which is a process of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

CONTROL_PLANE = ("etcd", "opa", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "aftermath")
REGISTRY = "registry"


@dataclass(frozen=True, slots=True)
class TokenAuth:
    """Who issues the registry's bearer tokens: ``realm`` is the address, ``jwks`` its public keys (RFC 7517)."""

    realm: str
    service: str
    issuer: str
    jwks: str


@dataclass(frozen=True, slots=True)
class Registry:
    """How the image registry lets people in: anybody, whoever is in ``htpasswd`` (bcrypt lines), or by ``token``."""

    htpasswd: str = ""
    token: TokenAuth | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """One sandbox.

    ``lease_seconds`` is how long a node's heartbeat lease lasts; kwok renews it after a quarter of that, so that 5,000
    nodes want a longer one (``lease_for``). ``opa_bundle_url`` is the address of the bundle that OPA polls, None for an
    OPA without any policy. ``effects`` is a file of rules for patch Jobs, None for the built-in ones. An ``ephemeral``
    sandbox's directory goes away with it, unless it failed to start. ``parts`` are the components that run; the image
    registry is not among them unless it is asked for, because few need it and it is a build of its own.
    """

    directory: Path
    binaries: Mapping[str, Path]
    name: str = "sandbox"
    opa_bundle_url: str | None = None
    lease_seconds: int = 40
    effects: Path | None = None
    ephemeral: bool = False
    api_server_flags: tuple[str, ...] = ()
    parts: tuple[str, ...] = CONTROL_PLANE
    registry: Registry = Registry()

    @property
    def file(self) -> Path:
        """Where the supervisor finds these settings."""
        return self.directory / "settings.json"

    @property
    def logs(self) -> Path:
        """One log file per component."""
        return self.directory / "logs"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.directory / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        """The API server's audit log: one JSON line per request, at Metadata level."""
        return self.directory / "audit.log"

    def save(self) -> None:
        """Write the settings into the sandbox's directory."""
        self.file.write_text(json.dumps(asdict(self), default=str, indent=2), encoding="utf-8")


def load(directory: Path) -> Settings:
    """Read the settings of the sandbox in ``directory``."""
    raw = json.loads((directory / "settings.json").read_text(encoding="utf-8"))
    raw["directory"] = Path(raw["directory"])
    raw["binaries"] = {name: Path(path) for name, path in raw["binaries"].items()}
    raw["effects"] = Path(raw["effects"]) if raw["effects"] else None
    raw["api_server_flags"] = tuple(raw["api_server_flags"])
    raw["parts"] = tuple(raw["parts"])
    token = raw["registry"]["token"]
    raw["registry"] = Registry(raw["registry"]["htpasswd"], TokenAuth(**token) if token else None)
    return Settings(**raw)


def lease_for(nodes: int) -> int:
    """Give the lease seconds at which ``nodes`` nodes make about 20 heartbeats a second, at least kubelet's 40.

    A heartbeat is one write to the API server, and 50 a second took half a core; at 40 s, 5,000 nodes would make 500.
    """
    return max(40, nodes * 4 // 20)
