"""Flux beside a control plane: source-controller fetches what is in Git, kustomize-controller applies it.

with Flux(plane, folder) as flux:
    plane.api.create("/apis/source.toolkit.fluxcd.io/v1/namespaces/flux-system/gitrepositories", body)
"""

from __future__ import annotations

from collections.abc import Sequence

from patchwright.sandbox import binaries, ports
from patchwright.sandbox.addon import Addon, Program

NAMESPACE = "flux-system"
SOURCE, KUSTOMIZE = "source-controller", "kustomize-controller"


class Flux(Addon):
    """Its two controllers and their kinds."""

    title = "Flux"
    module = binaries.FLUX
    kinds = "config/crd/bases/*.yaml"

    def programs(self) -> Sequence[Program]:
        """Say how to run both controllers."""
        storage = f"{ports.LOOPBACK}:{ports.free()[0]}"
        fetched = (f"--storage-path={self.folder}", f"--storage-addr={storage}", f"--storage-adv-addr={storage}")
        return [self._program(SOURCE, *fetched), self._program(KUSTOMIZE)]

    def _program(self, name: str, *options: str) -> Program:
        metrics, health = (f"{ports.LOOPBACK}:{port}" for port in ports.free(2))
        login = self._plane.kubeconfig_for(name, ["system:masters"])
        common = (
            f"--metrics-addr={metrics}", f"--health-addr={health}", "--watch-all-namespaces=true",
            # A test waits for every commit.
            "--interval-jitter-percentage=0",
        )  # fmt: skip
        environment = {"KUBECONFIG": str(login), "RUNTIME_NAMESPACE": NAMESPACE}
        return Program(name, (*common, *options), f"http://{health}/healthz", environment)
