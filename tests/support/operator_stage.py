"""A sandbox with an operator in it, for as long as the pytest session lasts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import yaml

from patchwright.adapters.opa.config import BUNDLE_RESOURCE
from patchwright.sandbox import controlplane, ports
from patchwright.sandbox import effects as sandbox_effects
from support.observer import SYSTEM, Observer, Raw
from support.operator_process import OperatorProcess

CRDS: Final = Path(__file__).parents[2] / "crds"
HOOK_TOKEN: Final = "a-secret-of-the-webhook"


class Stage:
    """The control plane, the observer, and the operator's replicas."""

    def __init__(self, directory: Path, plane: controlplane.ControlPlane, bundle_port: int) -> None:
        self.plane = plane
        self.api = plane.api
        self.directory = directory
        self._bundle_port = bundle_port
        self._install()
        self.observer = Observer(plane.kubeconfig)
        self.observer.start()
        self.operator = self.replica("operator-a")
        self._standby: OperatorProcess | None = None

    def _install(self) -> None:
        crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        bodies = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in sorted(CRDS.glob("*.yaml"))]
        for body in bodies:
            self.api.apply(f"{crds}/{body['metadata']['name']}", body)
        for body in bodies:
            self.api.wait(f"{crds}/{body['metadata']['name']}", _established)
        self.plane.add_namespace(SYSTEM)

    def replica(self, user: str) -> OperatorProcess:
        """Give one replica, not started; each logs in as a user of its own, so that the audit log tells them apart.

        The identity stays the same over restarts, as the name of a pod does when its container is started again.
        """
        options = {
            "identity": user,
            "opa-url": self.plane.opa_url,
            "opa-binary": str(self.plane.binary("opa")),
            "bundle-port": str(self._bundle_port),
            "git-cache": str(self.directory / f"{user}-git"),
            "lease-seconds": "6",
            "hook-token": HOOK_TOKEN,
        }
        login = self.plane.kubeconfig_for(user, ["system:masters"])
        return OperatorProcess(self.directory, login, ports.free()[0], options, ("--verbose",))

    @property
    def standby(self) -> OperatorProcess:
        """A second replica, not started until a test does."""
        if self._standby is None:
            self._standby = self.replica("operator-b")
        return self._standby

    def close(self) -> None:
        """End the replicas and the control plane."""
        for each in (self.operator, self._standby):
            if each is not None and each.alive:
                each.kill()
        self.observer.release()
        self.plane.stop()
        self.observer.stop()


def open_stage(directory: Path) -> Stage:
    """Start a control plane whose OPA follows our operator's bundle."""
    bundle_port = ports.free()[0]
    url = f"http://{ports.LOOPBACK}:{bundle_port}/{BUNDLE_RESOURCE}"
    plane = controlplane.ControlPlane(opa_bundle_url=url, effects=_effects(directory / "effects.yaml"))
    plane.start()
    try:
        return Stage(directory, plane, bundle_port)
    except BaseException:
        plane.stop()
        raise


def _effects(file: Path) -> Path:
    """Write the sandbox's own rules and three more: what fails on some nodes only is told by their names."""
    rules = yaml.safe_load((Path(sandbox_effects.__file__).parent / "effects.yaml").read_text(encoding="utf-8"))
    back_and_verify = rules["rules"][:2]
    weak = [
        {"word": "PATCHWRIGHT_NODE=.*-weak-.*", "add": ["--fail"]},
        {"word": "PATCHWRIGHT_NODE=.*-frail-.*", "add": ["--break-node"]},
    ]
    bare = [{"word": "PATCHWRIGHT_NODE=.*-bare-.*", "add": ["--fail"]}]  # nothing can be fetched there
    rules["rules"] = bare + back_and_verify + weak + rules["rules"][2:]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(rules), encoding="utf-8")
    return file


def _established(crd: Raw) -> bool:
    # The list is null for a moment at first.
    found = crd.get("status", {}).get("conditions") or ()
    return any(each["type"] == "Established" and each["status"] == "True" for each in found)
