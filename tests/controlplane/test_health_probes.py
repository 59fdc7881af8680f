"""The health checks against a real API server with real controllers, and a real Prometheus."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import DEVNULL, PIPE
from threading import Thread
from typing import Any

import pytest

from patchwright.adapters.health import Probes
from patchwright.adapters.kube.client import connect
from patchwright.domain.checks import HealthCheck, ObjectCheck, Probe, PrometheusCheck, WorkloadsCheck
from patchwright.domain.health import Finding, Measurement
from patchwright.domain.model import Operator, Requirement, Selector
from patchwright.errors import HealthProbeError
from patchwright.sandbox import binaries, client, controlplane, ports, progress
from patchwright.sandbox import fleet as fleets

pytestmark = pytest.mark.controlplane

OPERATORS = "patchwright-system"
EVERYTHING = Selector()


class WallClock:
    """The time as it is."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def labelled(**labels: str) -> Selector:
    return Selector(tuple(Requirement(key, Operator.IN, frozenset({value})) for key, value in labels.items()))


def among(namespace: str) -> Selector:
    return labelled(**{"kubernetes.io/metadata.name": namespace})


@contextlib.asynccontextmanager
async def probing(kubeconfig: Path) -> AsyncIterator[Probes]:
    api = await connect(kubeconfig)
    probes = Probes(api, WallClock(), operator_namespace=OPERATORS)
    try:
        yield probes
    finally:
        await probes.close()
        await api.close()


async def measure(
    sandbox: controlplane.ControlPlane, probe: Probe, *, namespace: str = OPERATORS, kubeconfig: Path | None = None
) -> Measurement:
    async with probing(kubeconfig or sandbox.kubeconfig) as probes:
        check = HealthCheck("check", probe, probe_timeout=timedelta(seconds=20))
        return await probes.measure(check, namespace=namespace)


async def refusal(
    sandbox: controlplane.ControlPlane, probe: Probe, *, namespace: str = OPERATORS, kubeconfig: Path | None = None
) -> str:
    with pytest.raises(HealthProbeError) as caught:
        await measure(sandbox, probe, namespace=namespace, kubeconfig=kubeconfig)
    return caught.value.message


def workload(kind: str, name: str, node_selector: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    labels = {"app": name}
    pod = {"containers": [{"name": "c", "image": "app"}], "nodeSelector": node_selector or {}}
    if kind == "StatefulSet":
        spec["serviceName"] = name
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
            **spec,
        },
    }


def create(api: client.Client, namespace: str, body: dict[str, Any]) -> str:
    """Create a workload and wait until its controller has seen it; give its path."""
    collection = f"/apis/apps/v1/namespaces/{namespace}/{body['kind'].lower()}s"
    api.create(collection, body)
    path = f"{collection}/{body['metadata']['name']}"
    api.wait(path, lambda it: it["status"].get("observedGeneration") == it["metadata"]["generation"])
    return path


async def test_available_workloads_are_healthy_and_counted(
    sandbox: controlplane.ControlPlane, api: client.Client, namespace: str, fleet: list[str]
) -> None:
    sandbox.add_workloads(fleets.Workloads(3, replicas=2, namespace=namespace))
    create(api, namespace, workload("Deployment", "asleep", replicas=0))
    found = await measure(sandbox, WorkloadsCheck(among(namespace), EVERYTHING))
    assert (found.findings, found.population) == ((), 4)


async def test_each_unavailable_workload_is_a_finding_with_its_numbers(
    sandbox: controlplane.ControlPlane, api: client.Client, namespace: str, fleet: list[str]
) -> None:
    nowhere = {"no-node": "has-this"}
    create(api, namespace, workload("Deployment", "web", nowhere, replicas=2))
    create(api, namespace, workload("StatefulSet", "db", nowhere))
    daemon = create(api, namespace, workload("DaemonSet", "agent"))
    api.wait(daemon, lambda it: it["status"].get("numberAvailable", 0) >= len(fleet))
    found = await measure(sandbox, WorkloadsCheck(among(namespace), EVERYTHING))
    assert found.population == 3
    assert found.findings == (
        Finding(f"Deployment/{namespace}/web", f"Deployment {namespace}/web has 0 of 2 replicas available"),
        Finding(f"StatefulSet/{namespace}/db", f"StatefulSet {namespace}/db has 0 of 1 replicas available"),
    )


async def test_a_deployment_past_its_progress_deadline_says_so(
    sandbox: controlplane.ControlPlane, api: client.Client, namespace: str
) -> None:
    path = create(api, namespace, workload("Deployment", "web", {"no": "node"}, progressDeadlineSeconds=1))
    api.wait(path, lambda it: "ProgressDeadlineExceeded" in json.dumps(it["status"]))
    (finding,) = (await measure(sandbox, WorkloadsCheck(among(namespace), EVERYTHING))).findings
    assert finding.message.startswith(
        f"Deployment {namespace}/web has 0 of 1 replicas available (ProgressDeadlineExceeded: ReplicaSet"
    )


async def test_labels_and_kinds_select_at_the_server(
    sandbox: controlplane.ControlPlane, api: client.Client, namespace: str
) -> None:
    create(api, namespace, workload("Deployment", "web", {"no": "node"}))
    create(api, namespace, workload("StatefulSet", "db", {"no": "node"}))
    only_db = await measure(sandbox, WorkloadsCheck(among(namespace), labelled(app="db")))
    assert (len(only_db.findings), only_db.population) == (1, 1)
    deployments = await measure(sandbox, WorkloadsCheck(among(namespace), EVERYTHING, ("Deployment",)))
    assert [finding.key for finding in deployments.findings] == [f"Deployment/{namespace}/web"]


async def test_a_selector_that_selects_nothing_does_not_pass(
    sandbox: controlplane.ControlPlane, namespace: str
) -> None:
    found = await measure(sandbox, WorkloadsCheck(among(namespace), labelled(app="typo")))
    (finding,) = found.findings
    assert (finding.key, finding.inexcusable, found.population) == ("empty", True, 0)
    assert finding.message == (
        'selects no Deployment or StatefulSet or DaemonSet with labels "app in (typo)" in the selected namespaces; '
        "a check of nothing does not pass"
    )
    no_namespace = await measure(sandbox, WorkloadsCheck(among("no-such-namespace"), EVERYTHING))
    assert no_namespace.findings[0].key == "empty"


async def test_a_tenant_sees_workloads_of_its_own_namespace_only(
    sandbox: controlplane.ControlPlane, api: client.Client, namespace: str
) -> None:
    other = sandbox.add_namespace(f"{namespace}-other")
    create(api, other, workload("Deployment", "web", {"no": "node"}))
    create(api, namespace, workload("Deployment", "asleep", replicas=0))
    mine = await measure(sandbox, WorkloadsCheck(EVERYTHING, EVERYTHING), namespace=namespace)
    assert (mine.findings, mine.population) == ((), 1)
    theirs = await measure(sandbox, WorkloadsCheck(among(other), EVERYTHING), namespace=namespace)
    assert theirs.findings[0].key == "empty"
    assert (await measure(sandbox, WorkloadsCheck(among(other), EVERYTHING))).findings[0].key.endswith("/web")


async def test_long_lists_are_read_to_their_end(
    sandbox: controlplane.ControlPlane, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.add_workloads(fleets.Workloads(7, replicas=0, namespace=namespace, max_unavailable=None), wait=None)
    monkeypatch.setattr("patchwright.adapters.health.cluster.PAGE", 3)
    found = await measure(sandbox, WorkloadsCheck(EVERYTHING, EVERYTHING, ("Deployment",)), namespace=namespace)
    assert found.population == 7


async def test_an_unknown_kind_of_workload_is_an_error(sandbox: controlplane.ControlPlane) -> None:
    said = await refusal(sandbox, WorkloadsCheck(EVERYTHING, EVERYTHING, ("ReplicaSet",)))
    assert said == "workloads of kind ReplicaSet cannot be judged; name Deployment, StatefulSet, DaemonSet, Rollout"


async def test_missing_rights_are_named(sandbox: controlplane.ControlPlane) -> None:
    nobody = sandbox.kubeconfig_for("nobody")
    said = await refusal(sandbox, WorkloadsCheck(EVERYTHING, EVERYTHING), kubeconfig=nobody)
    assert said.startswith("the API server refuses GET /apis/apps/v1/deployments: ")
    assert said.endswith("; let the operator's role get and list this resource")


async def test_an_invalid_selector_is_an_error(sandbox: controlplane.ControlPlane) -> None:
    said = await refusal(sandbox, WorkloadsCheck(EVERYTHING, labelled(app="not a value")))
    assert said.startswith("the API server answers GET /apis/apps/v1/deployments with 400: ")


async def test_an_api_server_that_is_away_is_an_error(tmp_path: Path, sandbox: controlplane.ControlPlane) -> None:
    away = tmp_path / "kubeconfig"
    away.write_text(sandbox.kubeconfig.read_text().replace(sandbox.api_url, "https://127.0.0.1:1"))
    said = await refusal(sandbox, WorkloadsCheck(EVERYTHING, EVERYTHING), kubeconfig=away)
    assert said.startswith("the API server is away: no answer to GET /apis/apps/v1/deployments")


async def test_an_object_is_judged_in_the_words_of_kubectl_wait(
    sandbox: controlplane.ControlPlane, api: client.Client, namespace: str
) -> None:
    path = create(api, namespace, workload("Deployment", "web", {"no": "node"}))
    api.wait(path, lambda it: bool(it["status"].get("conditions")))

    def check(wait_for: str) -> ObjectCheck:
        return ObjectCheck("apps/v1", "Deployment", wait_for, namespace=namespace, name="web")

    assert (await measure(sandbox, check("condition=Available=False"))).findings == ()
    assert (await measure(sandbox, check("jsonpath={.spec.replicas}=1"))).findings == ()
    (finding,) = (await measure(sandbox, check("condition=Available"))).findings
    assert finding == Finding(
        f"Deployment/{namespace}/web",
        f"Deployment {namespace}/web has condition Available=False (MinimumReplicasUnavailable), not true",
    )
    assert "it must lead to one plain value" in await refusal(sandbox, check("jsonpath={.spec}=1"))


@pytest.mark.parametrize(
    "wait_for",
    [
        "condition=Available",
        "condition=available=false",
        "condition=Progressing",
        "condition=NoSuch",
        "jsonpath={.spec.replicas}=1",
        "jsonpath={.spec.replicas}=2",
        "jsonpath={.status.readyReplicas}",
        "jsonpath={.metadata.name}",
        'jsonpath={.status.conditions[?(@.type=="Available")].status}=False',
        'jsonpath={.status.conditions[?(@.type=="Available")].status}=True',
        r"jsonpath={.metadata.annotations.deployment\.kubernetes\.io/revision}=1",
        r"jsonpath={.metadata.annotations['deployment\.kubernetes\.io/revision']}=1",
        "jsonpath={.spec.template.spec.containers[0].name}=c",
        "jsonpath={.spec.template.spec.containers[-1].name}=c",
        "jsonpath={.spec.template.spec.containers[*].name}=c",
        "jsonpath={.spec.template.spec.containers[0:1].name}=c",
        "jsonpath={..terminationGracePeriodSeconds}=30",
        "jsonpath=.spec.replicas=1",
        "jsonpath={.spec}=1",
        "jsonpath={.a}{.b}=1",
        "jsonpath={.status.conditions[*].type}=Available",
    ],
)
async def test_kubectl_wait_itself_agrees(sandbox: controlplane.ControlPlane, web: str, wait_for: str) -> None:
    arguments = (f"--kubeconfig={sandbox.kubeconfig}", "wait", f"--namespace={web}", "deployment/web")
    kubectl = await asyncio.create_subprocess_exec(
        sandbox.binary("kubectl"), *arguments, f"--for={wait_for}", "--timeout=0", stdout=DEVNULL, stderr=PIPE
    )
    _, said = await kubectl.communicate()
    check = ObjectCheck("apps/v1", "Deployment", wait_for, namespace=web, name="web")
    try:
        ours = not (await measure(sandbox, check)).findings
    except HealthProbeError:
        ours = False
    assert ours == (kubectl.returncode == 0), said


@pytest.fixture(scope="module")
def web(sandbox: controlplane.ControlPlane) -> Iterator[str]:
    """A namespace with a Deployment that is not available."""
    namespace = sandbox.add_namespace("kubectl-wait")
    path = create(sandbox.api, namespace, workload("Deployment", "web", {"no": "node"}))
    sandbox.api.wait(path, lambda it: len(it["status"].get("conditions", ())) == 2)
    yield namespace
    sandbox.api.delete(f"/api/v1/namespaces/{namespace}")


async def test_all_selected_objects_must_hold_and_none_at_all_does_not_pass(
    sandbox: controlplane.ControlPlane, api: client.Client, namespace: str
) -> None:
    for name, value in (("a", "1"), ("b", "2")):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"value": value}}
        api.create(
            f"/api/v1/namespaces/{namespace}/configmaps", body | {"metadata": {"name": name, "labels": {"set": "x"}}}
        )

    def check(**labels: str) -> ObjectCheck:
        return ObjectCheck(
            "v1", "ConfigMap", "jsonpath={.data.value}=1", namespace=namespace, selector=labelled(**labels)
        )

    found = await measure(sandbox, check(set="x"))
    assert found.population == 2
    assert [finding.message for finding in found.findings] == [
        f"ConfigMap {namespace}/b has 2 at {{.data.value}}, not 1"
    ]
    (nothing,) = (await measure(sandbox, check(set="y"))).findings
    assert nothing.inexcusable
    assert nothing.message == (
        f'there is no ConfigMap with labels "set in (y)" in namespace {namespace}; a check of nothing does not pass'
    )


async def test_an_object_that_does_not_exist_is_unhealthy(sandbox: controlplane.ControlPlane, namespace: str) -> None:
    check = ObjectCheck("v1", "ConfigMap", "jsonpath={.data.a}", name="gone")
    found = await measure(sandbox, check, namespace=namespace)
    assert found.findings == (
        Finding("empty", f"ConfigMap gone does not exist in namespace {namespace}", inexcusable=True),
    )


async def test_cluster_scoped_objects_are_for_the_operators_namespace(
    sandbox: controlplane.ControlPlane, namespace: str, fleet: list[str]
) -> None:
    check = ObjectCheck("v1", "Node", "condition=Ready", name=fleet[0])
    assert (await measure(sandbox, check)).findings == ()
    said = await refusal(sandbox, check, namespace=namespace)
    assert said.startswith(f"Node is cluster-scoped, and the policy's namespace {namespace} may look only at its own")


async def test_a_tenant_looks_at_objects_of_its_own_namespace_only(
    sandbox: controlplane.ControlPlane, namespace: str
) -> None:
    mine = ObjectCheck("v1", "ConfigMap", "jsonpath={.metadata.name}", name="kube-root-ca.crt")
    sandbox.api.wait(f"/api/v1/namespaces/{namespace}/configmaps/kube-root-ca.crt", bool)
    assert (await measure(sandbox, mine, namespace=namespace)).findings == ()
    other = ObjectCheck("v1", "ConfigMap", mine.wait_for, namespace="kube-system", name="kube-root-ca.crt")
    assert "not at those of kube-system" in await refusal(sandbox, other, namespace=namespace)
    assert (await measure(sandbox, other)).findings == ()


@pytest.mark.parametrize(
    ("api_version", "kind", "words"),
    [
        ("v1", "Secret", "health checks do not read Secrets"),
        ("v1", "Frobnicator", "the API server has no kind Frobnicator in v1"),
        ("example.com/v1", "Thing", "the API server has no kind Thing in example.com/v1"),
        ("../v1", "Thing", 'apiVersion "../v1" is none'),
    ],
)
async def test_kinds_that_cannot_be_looked_at(
    sandbox: controlplane.ControlPlane, api_version: str, kind: str, words: str
) -> None:
    check = ObjectCheck(api_version, kind, "condition=Ready", namespace="default", name="x")
    assert words in await refusal(sandbox, check)


async def test_a_faulty_expression_is_named(sandbox: controlplane.ControlPlane) -> None:
    said = await refusal(sandbox, ObjectCheck("v1", "Node", "delete", name="x"))
    assert said.startswith('for: "delete" is neither condition=TYPE[=STATUS] nor')


def crd(group: str) -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"lamps.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "lamps", "kind": "Lamp"},
            "versions": [version],
        },
    }


async def test_a_kind_that_comes_and_goes_with_its_crd_is_noticed(
    sandbox: controlplane.ControlPlane, api: client.Client, namespace: str
) -> None:
    group, crds = f"{namespace}.example.com", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    probe = ObjectCheck(f"{group}/v1", "Lamp", "jsonpath={.spec.lit}=true", namespace=namespace, name="lamp")
    check = HealthCheck("lamp", probe)
    async with probing(sandbox.kubeconfig) as probes:
        with pytest.raises(HealthProbeError, match="install its CRD"):
            await probes.measure(check, namespace=OPERATORS)
        api.create(crds, crd(group))
        lamps = f"/apis/{group}/v1/namespaces/{namespace}/lamps"
        api.wait(lamps, bool)
        lamp = {"apiVersion": f"{group}/v1", "kind": "Lamp", "metadata": {"name": "lamp"}, "spec": {"lit": True}}
        api.create(lamps, lamp)
        assert (await probes.measure(check, namespace=OPERATORS)).findings == ()
        api.delete(f"{crds}/lamps.{group}")
        assert "install its CRD" in await until_refused(probes, check)


async def until_refused(probes: Probes, check: HealthCheck) -> str:
    """Measure until the API server has forgotten the kind."""
    for _ in range(200):
        try:
            await probes.measure(check, namespace=OPERATORS)
        except HealthProbeError as error:
            return error.message
        await asyncio.sleep(0.1)
    raise AssertionError("the kind is still served")


class Exporter:
    """A program that Prometheus scrapes; its numbers are the test's to change."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                text = "".join(f"{name} {value}\n" for name, value in exporter.metrics.items())
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer((ports.LOOPBACK, 0), Handler)
        self.thread = Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture(scope="module")
def exporter() -> Iterator[Exporter]:
    running = Exporter()
    running.metrics |= {'errors_total{app="web",zone="a"}': 0, 'errors_total{app="web",zone="b"}': 0}
    yield running
    running.stop()


@pytest.fixture(scope="module")
def prometheus(
    request: pytest.FixtureRequest, exporter: Exporter, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a Prometheus that scrapes the exporter every 200 ms."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        binary = binaries.ensure(("prometheus",), progress.Lines(sys.stderr))["prometheus"]
    folder = tmp_path_factory.mktemp("prometheus")
    target = f"{ports.LOOPBACK}:{exporter.server.server_port}"
    job = {"job_name": "exporter", "static_configs": [{"targets": [target]}]}
    scraping = {"global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"}, "scrape_configs": [job]}
    (folder / "prometheus.yml").write_text(json.dumps(scraping))
    address = f"{ports.LOOPBACK}:{ports.free()[0]}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [binary, "--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={address}"],
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        _await_scraped(f"http://{address}", (folder / "log").read_text)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait()


def _await_scraped(address: str, log: Callable[[], str]) -> None:
    for _ in range(300):
        query = f"{address}/api/v1/query?query=errors_total"
        with contextlib.suppress(OSError), urllib.request.urlopen(query) as response:
            if len(json.load(response)["data"]["result"]) == 2:
                return
        time.sleep(0.1)
    raise AssertionError(log())


async def measure_until(
    sandbox: controlplane.ControlPlane, probe: Probe, until: Callable[[Measurement], bool]
) -> Measurement:
    """Measure until the next scrapes have told Prometheus."""
    for _ in range(100):
        found = await measure(sandbox, probe)
        if until(found):
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(found)


async def test_prometheus_tells_which_series_are_bad_and_when_they_are_well_again(
    sandbox: controlplane.ControlPlane, exporter: Exporter, prometheus: str
) -> None:
    check = PrometheusCheck(prometheus, unhealthy="errors_total > 5", require='up{job="exporter"} == 1')
    assert (await measure(sandbox, check)).findings == ()
    exporter.metrics['errors_total{app="web",zone="b"}'] = 7
    found = await measure_until(sandbox, check, lambda it: bool(it.findings))
    labels = f'app="web",instance="{ports.LOOPBACK}:{exporter.server.server_port}",job="exporter",zone="b"'
    key = f"errors_total{{{labels}}}"
    assert found.findings == (Finding(key, f"{key} is 7"),)
    exporter.metrics['errors_total{app="web",zone="b"}'] = 0
    await measure_until(sandbox, check, lambda it: not it.findings)


async def test_without_data_only_the_required_query_is_unhealthy(
    sandbox: controlplane.ControlPlane, prometheus: str
) -> None:
    silent = PrometheusCheck(prometheus, unhealthy='errors_total{app="typo"} > 5')
    assert (await measure(sandbox, silent)).findings == ()
    (finding,) = (
        await measure(sandbox, PrometheusCheck(prometheus, silent.unhealthy, require='errors_total{app="typo"}'))
    ).findings
    assert (finding.key, finding.inexcusable) == ("require", True)
    nan = PrometheusCheck(prometheus, require="sum(errors_total) / sum(errors_total)")
    assert "returns only NaN" in (await measure(sandbox, nan)).findings[0].message
    assert (await measure(sandbox, PrometheusCheck(prometheus, nan.require))).findings[0].message == "{} is NaN"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("errors_total >", "bad_data: "),
        ("nonsense(errors_total)", "bad_data: "),
        ("1", "the result is a scalar, not an instant vector"),
        ("errors_total[1m]", "the result is a matrix, not an instant vector"),
        ("errors_total * on(app) errors_total", "execution: "),
        ("histogram_quantile(2, rate(errors_total[1m]))", "it warns: PromQL warning: "),
    ],
)
async def test_queries_that_prometheus_cannot_answer_well_are_errors(
    sandbox: controlplane.ControlPlane, prometheus: str, query: str, words: str
) -> None:
    assert words in await refusal(sandbox, PrometheusCheck(prometheus, unhealthy=query))


async def test_what_prometheus_says_for_information_is_ignored(
    sandbox: controlplane.ControlPlane, prometheus: str
) -> None:
    check = PrometheusCheck(prometheus, unhealthy="rate(up[1m]) > 10")
    assert (await measure(sandbox, check)).findings == ()


async def test_an_address_that_is_no_prometheus_is_an_error(
    sandbox: controlplane.ControlPlane, exporter: Exporter, prometheus: str
) -> None:
    wrong_path = await refusal(sandbox, PrometheusCheck(f"{prometheus}/prefix", unhealthy="up"))
    assert "it answers 404 with something that is not Prometheus' JSON" in wrong_path
    other = f"http://{ports.LOOPBACK}:{exporter.server.server_port}"
    assert "it answers 200 with something that is not" in await refusal(sandbox, PrometheusCheck(other, unhealthy="up"))
