"""The controller of Argo Rollouts beside a control plane.

It rolls out what a test makes. Its two ports, for metrics and health, are the only ones of the sandbox that are not on
loopback alone: it has no option for that.
"""

from __future__ import annotations

from collections.abc import Sequence

from patchwright.sandbox import binaries, ports
from patchwright.sandbox.addon import Addon, Program

PROGRAM = "argo-rollouts"
NAMESPACE = "argo-rollouts"


class Argo(Addon):
    """Its controller and its kinds."""

    title = "Argo Rollouts"
    module = binaries.ARGO
    kinds = "manifests/crds/*-crd.yaml"

    def programs(self) -> Sequence[Program]:
        """Say how to run the controller."""
        metrics, health = ports.free(2)
        login = self._plane.kubeconfig_for(PROGRAM, ["system:masters"])
        options = (
            f"--kubeconfig={login}", f"--namespace={NAMESPACE}", "--leader-elect=false",
            f"--metricsPort={metrics}", f"--healthzPort={health}",
        )  # fmt: skip
        return [Program(PROGRAM, options, f"http://{ports.LOOPBACK}:{health}/healthz")]
