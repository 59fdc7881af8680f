"""A control plane to test, try out and measure against: a context manager around a supervisor process.

Synchronous on purpose: a pytest session fixture and a click command have no event loop to share, and whoever has one
calls ``asyncio.to_thread``. All the waiting is for other processes.

    with controlplane.ControlPlane() as plane:
        plane.add_nodes(60)
        run(["kubectl", "--kubeconfig", plane.kubeconfig, "get", "nodes"])
"""

from __future__ import annotations

import contextlib
import datetime
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from patchwright.sandbox import binaries, client, errors, fleet, pki, processes, progress, settings, state, supervisor

START_TIMEOUT = 120.0


class ControlPlane:
    """A sandbox control plane.

    ``directory`` is where it lives; without one it gets a temporary one that goes away with it. The other parameters
    are those of ``settings.Settings``: ``parts=[*settings.CONTROL_PLANE, settings.REGISTRY]`` has an image registry
    too, ``parts=[settings.REGISTRY]`` has nothing else. As a context manager it starts on entry and stops on exit; its
    processes also end when this process does, however that ends, unless it calls ``detach``.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        name: str = "sandbox",
        opa_bundle_url: str | None = None,
        lease_seconds: int = 40,
        effects: Path | None = None,
        api_server_flags: Sequence[str] = (),
        parts: Sequence[str] = settings.CONTROL_PLANE,
        registry: settings.Registry | None = None,
        show: progress.Progress | None = None,
    ) -> None:
        temporary = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="patchwright-sandbox-"))
        self._show = show or progress.Quiet()
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._client: client.Client | None = None
        self._wanted = settings.Settings(
            self.directory,
            binaries={},
            name=name,
            opa_bundle_url=opa_bundle_url,
            lease_seconds=lease_seconds,
            effects=effects,
            api_server_flags=tuple(api_server_flags),
            parts=tuple(parts),
            registry=registry or settings.Registry(),
            ephemeral=temporary,
        )

    @classmethod
    def attach(cls, directory: Path) -> Self:
        """Give the sandbox that runs in ``directory``; raise SandboxError when none does."""
        plane = cls(directory)
        plane._require_ready()
        return plane

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def start(self) -> None:
        """Build what is missing, start every component and wait until all are ready; raise SandboxError otherwise."""
        wanted = replace(self._wanted, binaries=self._programs())
        wanted.logs.mkdir(parents=True, exist_ok=True)
        # A state file of an earlier life would be taken for this one's.
        state.file(self.directory).unlink(missing_ok=True)
        wanted.save()
        self._show.step("Starting the control plane")
        self._supervisor = self._spawn(wanted)
        try:
            self._await_ready()
        except BaseException:
            self.stop()
            raise

    def detach(self) -> None:
        """Let the sandbox outlive this process; ``attach`` finds it again."""
        if self._supervisor is not None and self._supervisor.stdin is not None:
            self._supervisor.stdin.write(supervisor.RELEASE)
            self._supervisor.stdin.close()
            # The process is its own master now; Popen would warn that it still runs.
            self._supervisor.returncode = 0
            self._supervisor = None

    def stop(self) -> None:
        """Stop every component; harmless when it does not run."""
        if self._client is not None:
            self._client.close()
            self._client = None
        now = self.status
        if self._supervisor is not None:
            self._end_child(self._supervisor)
            self._supervisor = None
        if now is not None:
            end(now)

    @property
    def status(self) -> state.State | None:
        """What the supervisor last wrote, None before it did."""
        return state.load(self.directory)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig (group ``system:masters``)."""
        return self.directory / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        """One JSON line per request: user, user agent, verb, resource, status."""
        return self.directory / "audit.log"

    @property
    def logs(self) -> Path:
        """The folder of the components' logs, ``<component>.log``."""
        return self.directory / "logs"

    @property
    def api_url(self) -> str:
        """The address of the API server."""
        return self._require_ready().api_url

    @property
    def opa_url(self) -> str:
        """The address of OPA."""
        return self._require_ready().opa_url

    @property
    def registry_url(self) -> str:
        """The address of the image registry; empty when it is not among the parts."""
        return self._require_ready().registry_url

    @property
    def api(self) -> client.Client:
        """The administrator's client."""
        if self._client is None:
            self._client = client.Client(self.kubeconfig)
        return self._client

    def binary(self, name: str) -> Path:
        """Give the path of a program: ``kubectl``, ``opa``, ``etcd``…"""
        return settings.load(self.directory).binaries[name]

    def kubeconfig_for(self, user: str, groups: Sequence[str] = ()) -> Path:
        """Write a kubeconfig that logs in as ``user`` in ``groups`` (RBAC decides what that may do); give its path."""
        authority = pki.Authority(self.directory / "pki")
        path = self.directory / f"{user.replace(':', '-')}.kubeconfig"
        return authority.kubeconfig(path, url=self.api_url, user=user, groups=groups)

    def restart(self, component: str) -> None:
        """Stop and start a component, on the same port with the same data; gives back control when it is ready."""
        self._order("restart", component)

    def stop_component(self, component: str) -> None:
        """Stop a component in an orderly way."""
        self._order("stop", component)

    def kill_component(self, component: str) -> None:
        """End a component with SIGKILL."""
        self._order("kill", component)

    def start_component(self, component: str) -> None:
        """Start a component that was stopped, and wait until it is ready."""
        self._order("start", component)

    def use_bundle(self, url: str | None) -> None:
        """Let OPA poll the bundle at ``url`` (None: none) from now on; OPA restarts on the same port."""
        self._order("bundle", "opa", url=url or "")

    def add_nodes(
        self,
        count: int,
        *,
        prefix: str = "node",
        zones: Sequence[str] = fleet.ZONES,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        control_plane: bool = False,
        first: int = 0,
    ) -> list[str]:
        """Create kwok nodes ``<prefix>-0000``… over the zones in turn, ready for pods; give their names."""
        nodes = fleet.Nodes(
            count,
            prefix,
            zones,
            labels=labels or {},
            annotations=annotations or {},
            control_plane=control_plane,
            first=first,
        )
        self._show.step(f"Creating {count} nodes", total=count)
        manifests = nodes.manifests(datetime.datetime.now(datetime.UTC))
        self.api.create_all("/api/v1/nodes", manifests, done=self._show.advance)
        self._await_untainted(set(nodes.names()))
        return nodes.names()

    def remove_nodes(self, names: Sequence[str]) -> None:
        """Delete nodes; their pods follow by garbage collection."""
        for name in names:
            self.api.delete(f"/api/v1/nodes/{name}")

    def add_workloads(self, workloads: fleet.Workloads, *, wait: float | None = 60.0) -> list[str]:
        """Create Deployments and their PodDisruptionBudgets, and wait up to ``wait`` seconds until all pods are up."""
        base = f"/namespaces/{workloads.namespace}"
        total = workloads.count * workloads.replicas
        self._show.step(f"Creating {workloads.count} workloads with {total} pods", total=workloads.count)
        self.api.create_all(f"/apis/policy/v1{base}/poddisruptionbudgets", workloads.budgets())
        self.api.create_all(f"/apis/apps/v1{base}/deployments", workloads.deployments(), done=self._show.advance)
        if wait is not None:
            self._await_available(workloads, wait)
        return workloads.names()

    def add_pods(self, count: int, nodes: Sequence[str], *, namespace: str = "default", prefix: str = "pod") -> None:
        """Create bare pods, bound to ``nodes`` in turn, as fast as it goes; they run soon after."""
        self._show.step(f"Creating {count} pods", total=count)
        manifests = fleet.pods(count, nodes, namespace=namespace, prefix=prefix)
        self.api.create_all(f"/api/v1/namespaces/{namespace}/pods", manifests, done=self._show.advance)

    def add_namespace(self, name: str, labels: Mapping[str, str] | None = None) -> str:
        """Create a namespace and wait until pods can be created in it (its default service account exists)."""
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(labels or {})}}
        self.api.create("/api/v1/namespaces", body)
        self.api.wait(f"/api/v1/namespaces/{name}/serviceaccounts/default", bool)
        return name

    def audit(self) -> Iterator[dict[str, object]]:
        """Give the requests of the audit log so far, oldest first."""
        with self.audit_log.open(encoding="utf-8") as lines:
            for line in lines:
                # The last line may still be on its way.
                with contextlib.suppress(ValueError):
                    yield json.loads(line)

    def _await_untainted(self, ours: set[str]) -> None:
        # Admission taints every new node not-ready, and a controller takes that off once it has seen it Ready.
        def settled(listed: client.Manifest) -> bool:
            there = [node for node in listed["items"] if node["metadata"]["name"] in ours]
            taints = [taint["key"] for node in there for taint in node["spec"].get("taints", ())]
            return len(there) == len(ours) and "node.kubernetes.io/not-ready" not in taints

        self.api.wait("/api/v1/nodes", settled, timeout=30 + len(ours) / 10, every=0.1 + len(ours) / 2000)

    def _await_available(self, workloads: fleet.Workloads, timeout: float) -> None:
        ours = set(workloads.names())

        def available(listed: client.Manifest) -> bool:
            there = [each for each in listed["items"] if each["metadata"]["name"] in ours]
            up = sum(int(each["status"].get("availableReplicas", 0)) for each in there)
            return up == len(ours) * workloads.replicas

        path = f"/apis/apps/v1/namespaces/{workloads.namespace}/deployments"
        self.api.wait(path, available, timeout=timeout, every=0.1 + workloads.count / 1000)

    def _programs(self) -> dict[str, Path]:
        parts = set(self._wanted.parts)
        extra = parts - set(settings.CONTROL_PLANE)
        return binaries.ensure(extra, self._show, control_plane=extra != parts)

    def _spawn(self, wanted: settings.Settings) -> subprocess.Popen[bytes]:
        with (wanted.logs / "supervisor.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", "patchwright.sandbox.supervisor", str(self.directory)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # Out of the terminal's reach: Ctrl-C is for us, and we stop things in order.
                start_new_session=True,
            )

    def _await_ready(self) -> None:
        assert self._supervisor is not None
        deadline = time.monotonic() + START_TIMEOUT
        while (now := self.status) is None or now.phase is state.Phase.STARTING:
            if self._supervisor.poll() is not None or time.monotonic() > deadline:
                break
            self._show.alive()
            time.sleep(0.05)
        now = self.status
        if now is None or now.phase is not state.Phase.READY:
            raise errors.SandboxError(self._why(now))

    def _why(self, now: state.State | None) -> str:
        if now is not None and now.message:
            return f"The sandbox did not start: {now.message}"
        log = supervisor.tail(self.logs / "supervisor.log").decode(errors="replace")
        return f"The sandbox did not start within {START_TIMEOUT:.0f} s; its supervisor said:\n{log}"

    def _end_child(self, child: subprocess.Popen[bytes]) -> None:
        # Closing its standard input tells the supervisor to end.
        if child.stdin is not None:
            child.stdin.close()
        try:
            child.wait(timeout=60)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def _require_ready(self) -> state.State:
        now = self.status
        if now is None or now.phase is not state.Phase.READY or not now.supervisor.alive():
            raise errors.SandboxError(f"No sandbox runs in {self.directory}; start one with `patchwright sandbox up`.")
        return now

    def _order(self, do: str, component: str, **more: str) -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(supervisor.READY_TIMEOUT + 2 * supervisor.STOP_TIMEOUT)
            try:
                connection.connect(str(self._require_ready().socket))
                connection.sendall(json.dumps({"do": do, "component": component, **more}).encode() + b"\n")
                answer = json.loads(connection.makefile().readline())
            except OSError as fault:
                raise errors.SandboxError(f"The sandbox's supervisor does not answer: {fault}.") from fault
        if answer["error"]:
            raise errors.SandboxError(answer["error"])


def end(now: state.State, *, timeout: float = 60.0) -> list[str]:
    """End a sandbox by its state: the supervisor, then whoever is left; give the names of what would not go."""
    processes.end(now.supervisor, timeout=timeout)
    # Components die with their supervisor where the kernel sees to it; elsewhere it is done here.
    for each in now.processes:
        if not processes.wait_gone([each], 0.5):
            processes.end(each, timeout=5)
    return sorted(name for name, each in now.components.items() if each.alive)
