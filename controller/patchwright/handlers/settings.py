"""What the operator is told at its start."""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import dataclass, field
from pathlib import Path


def _identity() -> str:
    """Give a name that no other replica has, and that a person can find: host name and a random part."""
    return f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "patchwright" / "git"


@dataclass(frozen=True, slots=True)
class Settings:
    """The operator's settings; every one is an option of ``patchwright operator`` and an environment variable.

    ``namespace`` holds the operator, its Lease and its Jobs. ``node_name`` is the node it runs on, empty outside a
    cluster: that node is patched last. ``identity`` is its pod's name there: that pod is not evicted. ``lease_seconds``
    is how long a dead leader's place stays taken. ``opa_binary`` checks policies before they are served;
    ``bundle_port`` is where OPA fetches them. ``plain_http_registries`` are asked without TLS, those in
    ``registry_addresses`` (name and URL) under another name than images have.
    """

    namespace: str = "patchwright-system"
    node_name: str = ""
    identity: str = field(default_factory=_identity)
    kubeconfig: Path | None = None
    opa_url: str = "http://127.0.0.1:8181"
    opa_token: str | None = field(default=None, repr=False)
    opa_binary: Path = Path("opa")
    bundle_host: str = "127.0.0.1"
    bundle_port: int = 8182
    http_host: str = "0.0.0.0"  # noqa: S104 (probes and metrics are read from outside the pod)
    http_port: int = 8080
    hook_token: str = field(default="", repr=False)
    git_cache: Path = field(default_factory=_cache)
    leader_election: bool = True
    lease_seconds: float = 15.0
    plain_http_registries: tuple[str, ...] = ()
    registry_addresses: tuple[tuple[str, str], ...] = ()

    @property
    def pod_name(self) -> str:
        """The name of the pod that this process runs in; that of nothing when it runs outside a cluster.

        Where nobody says who we are, the host name is the pod's, and what follows it holds what no name of a pod may.
        """
        return self.identity.partition("_")[0]
