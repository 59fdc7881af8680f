"""The components of the control plane: their flags, their environment, and how each one says that it is ready.

Pure but for the small files that some components want; which port each one gets is the supervisor's choice.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from patchwright.sandbox import effects, pki, ports, registry
from patchwright.sandbox.settings import Settings

# In the order in which they start; each stage waits until the one before it is ready.
BOOT = (
    ("etcd", "opa", "registry"),
    ("kube-apiserver",),
    ("kube-controller-manager", "kube-scheduler", "kwok", "aftermath"),
)
NAMES = tuple(name for stage in BOOT for name in stage)
_KWOK_ANNOTATION = "kwok.x-k8s.io/node=fake"
# Client-side throttling (50 requests a second by default) would be what a benchmark measures.
_QPS, _BURST = 1000, 2000
# Without it the registry sends a trace of every request to port 4318 of this machine, whoever listens there.
_ENVIRONMENT: Mapping[str, Mapping[str, str]] = {"registry": {"OTEL_TRACES_EXPORTER": "none"}}


@dataclass(frozen=True, slots=True)
class Component:
    """How to run one component: command line, complete environment, and the URL that answers 200 when it is ready.

    Without a URL it is ready once it runs.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    ready_url: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of a sandbox and the ports of its components."""

    settings: Settings
    ports: Mapping[str, int]

    @property
    def authority(self) -> pki.Authority:
        """The sandbox's certificate authority."""
        return pki.Authority(self.settings.directory / "pki")

    @property
    def api_url(self) -> str:
        """Where the API server listens."""
        return self.url("kube-apiserver", scheme="https")

    @property
    def opa_url(self) -> str:
        """Where OPA listens."""
        return self.url("opa")

    @property
    def registry_url(self) -> str:
        """Where the image registry listens; empty when there is none."""
        return self.url("registry") if "registry" in self.settings.parts else ""

    def url(self, name: str, *, scheme: str = "http") -> str:
        """Give the base address of a component."""
        return f"{scheme}://{ports.LOOPBACK}:{self.ports[name]}"

    def kubeconfig(self, user: str) -> Path:
        """Where the kubeconfig of a component is."""
        return self.settings.directory / "pki" / f"{user}.kubeconfig"


def stages(settings: Settings) -> list[list[str]]:
    """Give the components that are to run, in the stages in which they start."""
    return [[name for name in stage if name in settings.parts] for stage in BOOT]


def component(plan: Plan, name: str) -> Component:
    """Give how to run the component called ``name``; writes the files that it reads."""
    command, ready = _BUILDERS[name](plan)
    program = str(plan.settings.binaries[name]) if name in plan.settings.binaries else sys.executable
    # Nothing of the user's environment: proxies would catch loopback calls, and `opa.runtime().env` shows it all.
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(plan.settings.directory), **_ENVIRONMENT.get(name, {})}
    return Component(name, (program, *command), environment, ready)


def prepare(plan: Plan) -> None:
    """Write certificates and kubeconfigs: the administrator's, the operator's, and one for each component."""
    settings, authority = plan.settings, plan.authority
    settings.logs.mkdir(parents=True, exist_ok=True)
    authority.create()
    authority.kubeconfig(settings.kubeconfig, url=plan.api_url, user="sandbox-admin", groups=[pki.MASTERS])
    for user, group in (
        ("system:kube-controller-manager", "system:kube-controller-manager"),
        ("system:kube-scheduler", "system:kube-scheduler"),
        ("kwok", pki.MASTERS),
        ("aftermath", pki.MASTERS),
    ):
        authority.kubeconfig(plan.kubeconfig(user), url=plan.api_url, user=user, groups=[group])


def _etcd(plan: Plan) -> tuple[list[str], str]:
    url = plan.url("etcd")
    return [
        "--name=sandbox",
        f"--data-dir={plan.settings.directory / 'etcd'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        # No peers; port 0 lets the kernel choose, so there is no race for it.
        f"--listen-peer-urls=http://{ports.LOOPBACK}:0",
        # A power cut may lose a sandbox's data; in exchange no write waits for the disk.
        "--unsafe-no-fsync",
        "--log-level=warn",
        "--quota-backend-bytes=4294967296",
    ], f"{url}/readyz"


def _kube_apiserver(plan: Plan) -> tuple[list[str], str]:
    settings, (crt, key), (sa_pub, sa_key) = plan.settings, plan.authority.server, plan.authority.service_accounts
    policy = _write_yaml(settings.directory / "audit-policy.yaml", _audit_policy())
    return [
        f"--etcd-servers={plan.url('etcd')}",
        f"--bind-address={ports.LOOPBACK}",
        f"--secure-port={plan.ports['kube-apiserver']}",
        # The `kubernetes` Service may not point at loopback, so nobody is to write its endpoints.
        "--endpoint-reconciler-type=none",
        f"--advertise-address={ports.LOOPBACK}",
        f"--tls-cert-file={crt}",
        f"--tls-private-key-file={key}",
        f"--client-ca-file={plan.authority.certificate}",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={sa_pub}",
        f"--service-account-signing-key-file={sa_key}",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--allow-privileged=true",
        f"--audit-policy-file={policy}",
        f"--audit-log-path={settings.audit_log}",
        "--shutdown-delay-duration=0s",
        "--profiling=false",
        *settings.api_server_flags,
    ], f"{plan.api_url}/readyz"


def _kube_controller_manager(plan: Plan) -> tuple[list[str], str]:
    lease = plan.settings.lease_seconds
    return [
        *_controller_flags(plan, "kube-controller-manager"),
        f"--kubeconfig={plan.kubeconfig('system:kube-controller-manager')}",
        f"--service-account-private-key-file={plan.authority.service_accounts[1]}",
        f"--root-ca-file={plan.authority.certificate}",
        # RBAC has a role for each controller, and none for all of them in one.
        "--use-service-account-credentials=true",
        f"--kube-api-qps={_QPS}",
        f"--kube-api-burst={_BURST}",
        "--concurrent-job-syncs=20",
        # Longer than a lease, or every node would be called lost between two heartbeats.
        f"--node-monitor-grace-period={max(50, lease * 5 // 4)}s",
    ], f"{plan.url('kube-controller-manager', scheme='https')}/healthz"


def _kube_scheduler(plan: Plan) -> tuple[list[str], str]:
    connection = {"kubeconfig": str(plan.kubeconfig("system:kube-scheduler")), "qps": _QPS, "burst": _BURST}
    config = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": connection,
        "leaderElection": {"leaderElect": False},
    }
    path = _write_yaml(plan.settings.directory / "scheduler.yaml", [config])
    return [
        *(flag for flag in _controller_flags(plan, "kube-scheduler") if not flag.startswith("--leader-elect")),
        f"--config={path}",
    ], f"{plan.url('kube-scheduler', scheme='https')}/healthz"


def _kwok(plan: Plan) -> tuple[list[str], str]:
    settings = plan.settings
    options = {
        "manageNodesWithAnnotationSelector": _KWOK_ANNOTATION,
        "nodeLeaseDurationSeconds": settings.lease_seconds,
        "cidr": "10.64.0.0/10",
        "podPlayStageParallelism": 16,
        "nodePlayStageParallelism": 8,
        "nodeLeaseParallelism": 8,
        "podsOnNodeSyncParallelism": 4,
    }
    config = {
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokConfiguration",
        "metadata": {"name": "kwok"},
        "options": options,
    }
    stages = effects.stages(effects.load(settings.effects))
    path = _write_yaml(settings.directory / "kwok.yaml", [config, *stages])
    return [
        f"--kubeconfig={plan.kubeconfig('kwok')}",
        f"--config={path}",
        f"--server-address={ports.LOOPBACK}:{plan.ports['kwok']}",
        # At INFO it tells every heartbeat.
        "--v=WARN",
    ], f"{plan.url('kwok')}/readyz"


def _opa(plan: Plan) -> tuple[list[str], str]:
    path = _write_yaml(plan.settings.directory / "opa.yaml", [opa_config(plan.settings.opa_bundle_url)])
    return [
        "run",
        "--server",
        f"--addr={ports.LOOPBACK}:{plan.ports['opa']}",
        f"--config-file={path}",
        "--skip-version-check",
        "--log-format=json",
    ], f"{plan.opa_url}/health"


def _registry(plan: Plan) -> tuple[list[str], str]:
    folder = plan.settings.directory
    config = registry.config(plan.settings.registry, folder, address=f"{ports.LOOPBACK}:{plan.ports['registry']}")
    return ["serve", str(_write_yaml(folder / "registry.yaml", [config]))], f"{plan.registry_url}/"


def _aftermath(plan: Plan) -> tuple[list[str], str]:
    return ["-m", "patchwright.sandbox.aftermath", str(plan.kubeconfig("aftermath"))], ""


def opa_config(bundle_url: str | None) -> dict[str, object]:
    """Give OPA's configuration: decisions to its log, and the bundle at ``bundle_url`` by long polling."""
    config: dict[str, object] = {"decision_logs": {"console": True}, "labels": {"app": "patchwright-sandbox"}}
    if bundle_url is None:
        return config
    where = urlsplit(bundle_url)
    resource = where.path.lstrip("/") + (f"?{where.query}" if where.query else "")
    polling = {"min_delay_seconds": 1, "max_delay_seconds": 2, "long_polling_timeout_seconds": 10}
    return config | {
        "services": {"patchwright": {"url": f"{where.scheme}://{where.netloc}"}},
        "bundles": {"patchwright": {"service": "patchwright", "resource": resource, "polling": polling}},
        "status": {"console": True},
    }


def _controller_flags(plan: Plan, name: str) -> list[str]:
    crt, key = plan.authority.server
    return [
        f"--bind-address={ports.LOOPBACK}",
        f"--secure-port={plan.ports[name]}",
        f"--tls-cert-file={crt}",
        f"--tls-private-key-file={key}",
        "--leader-elect=false",
        "--profiling=false",
    ]


def _audit_policy() -> list[dict[str, object]]:
    # One line per finished request; the default would add one for its start.
    rules = [{"level": "Metadata"}]
    return [{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": rules}]


def _write_yaml(path: Path, documents: Sequence[Mapping[str, object]]) -> Path:
    # JSON is YAML; kwok and OPA both read it, and it has no quoting traps.
    path.write_text("\n---\n".join(json.dumps(document, indent=1) for document in documents), encoding="utf-8")
    return path


_BUILDERS: Mapping[str, Callable[[Plan], tuple[list[str], str]]] = {
    "etcd": _etcd,
    "kube-apiserver": _kube_apiserver,
    "kube-controller-manager": _kube_controller_manager,
    "kube-scheduler": _kube_scheduler,
    "kwok": _kwok,
    "opa": _opa,
    "registry": _registry,
    "aftermath": _aftermath,
}
