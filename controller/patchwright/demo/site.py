"""Where the demo takes place: a sandbox with a fleet, and beside it Git and the operator.

It is set up as the documentation tells a user to: ``kubectl apply`` of the kinds and of ``bootstrap/``, then a push.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import yaml

from patchwright.api import crds
from patchwright.demo import attendant, examples, pace
from patchwright.demo.cluster import AGENT, CHECKOUT, NAMESPACE, PLATFORM, STOREFRONT, Cluster
from patchwright.demo.publisher import APPLICATION, Publisher
from patchwright.sandbox import client, controlplane, errors, fleet, paths, progress, settings, state

if TYPE_CHECKING:
    # GitPython looks for git when it is imported, and refuses to be where there is none: no other command needs it.
    from patchwright.demo import desk

REPOSITORY: Final = "fleet"
_SHOP: Final = "shop"
# They all run one image, the one that the policy storefront follows; the first release is this.
SHOPS: Final = 10
FIRST_RELEASE: Final = "1.0.0"
# What runs from the repository of the team checkout.
APPLICATION_RELEASE: Final = "2.4.0"
_READY_TIMEOUT: Final = 60.0
_STOP_TIMEOUT: Final = 20.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What the scene is to be: ``effects`` are rules for what patches do, None for the demo's own."""

    nodes: int = 60
    keep: bool = False
    effects: Path | None = None

    @property
    def workloads(self) -> int:
        """How many Deployments run there: so many that a drain meets some."""
        return max(1, self.nodes // 5)


class Site:
    """The whole scene, as a context manager; ``keep`` decides whether it may be left running with ``detach``."""

    def __init__(self, plan: Plan, show: progress.Progress) -> None:
        self.plan = plan
        self.name = f"demo-{secrets.token_hex(3)}"
        self._show = show
        # Named only if it may be kept: a named sandbox leaves its folder behind when we are killed.
        self.plane = controlplane.ControlPlane(
            paths.sandbox_directory(self.name) if plan.keep else None,
            name=self.name,
            effects=plan.effects or Path(__file__).parent / "effects.yaml",
            parts=(*settings.CONTROL_PLANE, settings.REGISTRY),
            show=show,
        )
        self.home = Path(tempfile.mkdtemp(prefix="patchwright-demo-"))
        self._attendant: subprocess.Popen[str] | None = None
        self._detached = False
        self.ready = attendant.Ready()

    def __enter__(self) -> Self:
        """Set everything up."""
        try:
            self._set_up()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything, unless it was detached."""
        self.stop()

    @property
    def operator_log(self) -> Path:
        """The operator's log."""
        return self.home / "operator.log"

    @property
    def cluster(self) -> Cluster:
        """Give what can be read."""
        return Cluster(self.plane.api)

    @property
    def publisher(self) -> Publisher:
        """Give who pushes images."""
        return Publisher(self.plane.registry_url)

    def _set_up(self) -> None:
        self.plane.start()
        self._apply_kinds()
        for namespace in (NAMESPACE, PLATFORM, _SHOP, STOREFRONT, CHECKOUT):
            self.plane.add_namespace(namespace)
        self._start_attendant()
        self.plane.add_nodes(self.plan.nodes)
        self.plane.api.create(f"/apis/apps/v1/namespaces/{PLATFORM}/daemonsets", _agent())
        self.plane.add_workloads(fleet.Workloads(self.plan.workloads, namespace=_SHOP, prefix="service"))
        web = self.publisher.push(FIRST_RELEASE)
        self.plane.add_workloads(fleet.Workloads(SHOPS, 2, STOREFRONT, prefix="web", image=web))
        app = self.publisher.push(APPLICATION_RELEASE, APPLICATION)
        self._await_attendant()
        self.application = self._application(app)
        self.desk = self._first_pushes()
        self._follow()

    def stop(self) -> None:
        """Stop everything that was started; harmless when repeated, and after ``detach``."""
        if self._detached:
            return
        self._end_attendant()
        self.plane.stop()
        failed = (now := self.plane.status) is not None and now.phase is state.Phase.FAILED
        # Of a sandbox that did not start, the logs are what somebody has to read now.
        for folder in (self.home, *(() if failed else (self.plane.directory,))):
            shutil.rmtree(folder, ignore_errors=True)

    def detach(self) -> None:
        """Let everything outlive this process; ``patchwright sandbox down`` ends it."""
        self._detached = True
        self.plane.detach()
        assert self._attendant is not None
        # It looks after itself now; Popen would warn that it still runs.
        self._attendant.returncode = 0
        self._close_attendant()

    def _end_attendant(self) -> None:
        if self._attendant is None:
            return
        self._attendant.terminate()
        try:
            self._attendant.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._attendant.kill()
            self._attendant.wait()
        self._close_attendant()

    def _close_attendant(self) -> None:
        assert self._attendant is not None
        if self._attendant.stdout is not None:
            self._attendant.stdout.close()
        self._attendant = None

    def _apply_kinds(self) -> None:
        self._show.step("Applying the CustomResourceDefinitions")
        text = "---\n".join(crds.render(kind) for kind in crds.KINDS)
        self._kubectl(["apply", "--server-side", "-f", "-"], text)
        self._kubectl(["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"])

    def _start_attendant(self) -> None:
        from patchwright.demo import desk  # noqa: PLC0415 (see above)

        self._show.step("Starting the Git server and the operator")
        git = self.home / "git"
        git.mkdir()
        for name in (attendant.REPOSITORY, attendant.APPLICATION):
            desk.create(git / name)
        now = self.plane.status
        assert now is not None
        attendant.Orders(
            kubeconfig=str(self.plane.kubeconfig_for("patchwright-operator", ["system:masters"])),
            syncer_kubeconfig=str(self.plane.kubeconfig_for("kustomize-controller", ["system:masters"])),
            opa=str(self.plane.binary("opa")),
            opa_url=self.plane.opa_url,
            supervisor_pid=now.supervisor.pid,
            supervisor_started=now.supervisor.started,
            hook=f"/hook/{NAMESPACE}/{REPOSITORY}",
        ).save(self.home)
        with (self.home / "attendant.log").open("wb") as log:
            self._attendant = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", "patchwright.demo.attendant", str(self.home)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                # Out of the terminal's reach: Ctrl-C is for us, and we stop things in order.
                start_new_session=True,
            )

    def _await_attendant(self) -> None:
        """Wait for its one line, which it owes within its own time limits; then let OPA follow the operator."""
        self._show.step("Waiting for the operator")
        assert self._attendant is not None
        assert self._attendant.stdout is not None
        line = self._attendant.stdout.readline()
        if not line:
            said = (self.home / "attendant.log").read_text(errors="replace") if self.home.exists() else ""
            raise errors.SandboxError(f"The Git server and the operator did not start: {said[-2000:]}")
        self.ready = attendant.Ready(**json.loads(line))
        if self.ready.trouble:
            raise errors.SandboxError(self.ready.trouble)
        self.plane.use_bundle(self.ready.bundle_url)

    def _application(self, image: str) -> desk.Desk:
        """Push what is applied from Git, and wait until it runs."""
        from patchwright.demo import desk  # noqa: PLC0415 (see above)

        self._show.step("Pushing the example application, and waiting until it is applied")
        person = desk.Desk(self.ready.application_url, self.home / "checkout")
        person.commit(pace.application(examples.application(), image=image), "What we run")
        person.push()
        self.plane.api.wait(f"/apis/apps/v1/namespaces/{CHECKOUT}/deployments", _available, timeout=_READY_TIMEOUT)
        return person

    def _first_pushes(self) -> desk.Desk:
        """Push the example as it is, and then what is shortened."""
        from patchwright.demo import desk  # noqa: PLC0415 (see above)

        self._show.step("Pushing the example repository")
        person = desk.Desk(self.ready.git_url, self.home / "clone")
        files = examples.repository()
        person.commit({name: text for name, text in files.items() if name != examples.HELD_BACK}, "How we patch")
        shortened = pace.shortened(files, registry=self.publisher.host, application=self.ready.application_url)
        person.commit(shortened, pace.SUBJECT, pace.BODY)
        person.push()
        return person

    def _follow(self) -> None:
        """Have the operator follow the repository, as a user does once: ``kubectl apply -f bootstrap/``."""
        self._show.step("Following it: kubectl apply -f bootstrap/")
        folder = self.desk.directory / "bootstrap"
        manifest = folder / "policyrepository.yaml"
        wanted = yaml.safe_load(manifest.read_text(encoding="utf-8"))
        wanted["spec"]["url"] = self.ready.git_url
        self._kubectl(["apply", "--server-side", "-f", str(folder / "access.yaml")])
        self._kubectl(["apply", "--server-side", "-f", "-"], yaml.safe_dump(wanted))
        deadline = time.monotonic() + _READY_TIMEOUT
        while not (ready := self._repository_ready()).startswith("True"):
            if time.monotonic() > deadline:
                raise errors.SandboxError(f"PolicyRepository {REPOSITORY} is not Ready: {ready or 'no status yet'}")
            time.sleep(0.1)

    def _repository_ready(self) -> str:
        """Give the status and message of the Ready condition."""
        status = (self.cluster.repository(REPOSITORY) or {}).get("status") or {}
        found = [each for each in status.get("conditions") or () if each["type"] == "Ready"]
        return f"{found[0]['status']}: {found[0]['message']}" if found else ""

    def _kubectl(self, words: Sequence[str], text: str = "") -> None:
        """Run the sandbox's kubectl; raise SandboxError with what it said."""
        kubectl = str(self.plane.binary("kubectl"))
        given = {"PATH": os.environ.get("PATH", ""), "HOME": str(self.home), "KUBECONFIG": str(self.plane.kubeconfig)}
        done = subprocess.run(  # noqa: S603 - the sandbox's own kubectl
            [kubectl, *words], input=text, env=given, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise errors.SandboxError(f"kubectl {' '.join(words)} failed: {done.stderr.strip()}")


def _available(deployments: client.Manifest) -> bool:
    found = [(each["spec"]["replicas"], each["status"].get("availableReplicas")) for each in deployments["items"]]
    return bool(found) and all(wanted == there for wanted, there in found)


def _agent() -> dict[str, object]:
    """Give the DaemonSet whose health tells how the nodes are: an agent that every node runs."""
    mark = {"app": AGENT}
    # On every node, whatever its taints: that is what such an agent is for.
    pod = {
        "tolerations": [{"operator": "Exists"}],
        "containers": [{"name": "agent", "image": "registry.example.com/platform/node-agent:2.4.1"}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": AGENT},
        "spec": {
            "selector": {"matchLabels": mark},
            "template": {"metadata": {"labels": mark}, "spec": pod},
        },
    }
