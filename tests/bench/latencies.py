"""How long people wait: from a bad canary to its rollback, from a push to what it says."""

from __future__ import annotations

import asyncio
import json
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import report, stage
from bench.process import OperatorProcess
from bench.report import Section
from patchwright.sandbox import gitserver, progress
from support import git_servers

ROLLBACK_S, PUSH_S = 5.0, 1.0
REPOSITORY = "fleet"
REGO = Path(__file__).parents[2] / "examples" / "policy-repo" / "rego"


# --- bad canary ---------------------------------------------------------------------------------------------------


def rollback(show: progress.Progress, *, times: int) -> list[Section]:
    """Let canaries fail in two ways; an observer outside the operator notes when each was seen and answered."""
    with stage.raised(6, show) as on, on.operator():
        on.create("patchpolicies", stage.policy("bench", max_unavailable=2, soak="10s"))
        rollouts = stage.Sight(on.api, f"{stage.OURS}/patchrollouts")
        rollouts.start(stage.phases)
        pods = stage.Sight(on.api, f"/api/v1/namespaces/{stage.NAMESPACE}/pods")
        pods.start(_failed)
        nodes = stage.Sight(on.api, "/api/v1/nodes")
        nodes.start(_broken)
        failing, breaking = [], []
        for number in range(times):
            show.step(f"Bad canary {number + 1} of {times}")
            failing.append(_trial(on, rollouts, pods, version=f"1.{number}.0-fail"))
            breaking.append(_trial(on, rollouts, nodes, version=f"1.{number}.0-bad"))
    lines = (
        report.durations("Job's pod failed → RollingBack", failing, ROLLBACK_S),
        report.durations("node NotReady in the soak → RollingBack", breaking, ROLLBACK_S),
    )
    numbers = {"failed_job_s": failing, "broken_node_s": breaking}
    title = "Bad canary seen to rollback begun, by an observer's watches"
    return [Section("rollback", title, report.DURATIONS, lines, numbers)]


def _trial(on: stage.Stage, rollouts: stage.Sight, evidence: stage.Sight, *, version: str) -> float:
    name = f"bench-{version}"
    created = on.create("patchrollouts", stage.rollout(name, policy="bench", version=version))
    seen = evidence.wait(f"bad {created['metadata']['uid']}", timeout=60)
    begun = rollouts.wait(f"{name} RollingBack", timeout=60)
    rollouts.wait(f"{name} RolledBack", timeout=120)
    return max(0.0, begun - seen)


def _failed(pod: stage.Manifest) -> list[str]:
    labels = pod["metadata"].get("labels") or {}
    return [f"bad {labels.get('patchwright.dev/rollout')}"] if pod.get("status", {}).get("phase") == "Failed" else []


def _broken(node: stage.Manifest) -> list[str]:
    record = (node["metadata"].get("annotations") or {}).get("patchwright.dev/state")
    ready = [each["status"] for each in node["status"]["conditions"] if each["type"] == "Ready"]
    return [f"bad {json.loads(record)['rolloutUid']}"] if record and ready == ["False"] else []


# --- Git push -----------------------------------------------------------------------------------------------------


def push(show: progress.Progress, *, times: int) -> list[Section]:
    """Push commits to a real Git server, whose webhook tells the operator; note when the change is in the cluster."""
    with stage.raised(1, show) as on, on.operator() as operator, _served(operator) as server:
        on.api.create(f"{stage.OURS}/policyrepositories", _repository(server.url))
        applied = stage.Sight(on.api, f"{stage.OURS}/patchpolicies")
        applied.start(_size)
        rego = {f"rego/{path.name}": path.read_text(encoding="utf-8") for path in REGO.iterdir()}
        _push(on, server, applied, number=1, more=rego)
        plain, with_rego = [], []
        for number in range(times):
            show.step(f"Push {number + 1} of {times}")
            plain.append(_push(on, server, applied, number=10 + number, more={}))
            changed = {"rego/rollout.rego": rego["rego/rollout.rego"] + f"\n# {number}\n"}
            with_rego.append(_push(on, server, applied, number=50 + number, more=changed))
    lines = (
        report.durations("webhook sent → applied, manifests changed", plain, PUSH_S),
        report.durations("webhook sent → applied, Rego changed too", with_rego, PUSH_S),
    )
    title = "Git push (webhook) to changed objects in the cluster"
    return [Section("push", title, report.DURATIONS, lines, {"manifests_s": plain, "rego_s": with_rego})]


class Served:
    """A Git server in a thread of its own; notes when it last sent its webhook."""

    def __init__(self, root: Path, operator: OperatorProcess) -> None:
        self._operator = operator
        self.upstream = git_servers.Upstream(root)
        self._server = gitserver.GitServer(root, on_push=self._hook)
        self._loop = asyncio.new_event_loop()
        self.told = 0.0

    @property
    def url(self) -> str:
        return self._server.url(self.upstream.name)

    def start(self) -> None:
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result(10)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _hook(self, _: str) -> None:
        self.told = time.monotonic()
        await asyncio.to_thread(self._tell)

    def _tell(self) -> None:
        hook = f"{self._operator.url}/hook/{stage.NAMESPACE}/{REPOSITORY}"
        with urllib.request.urlopen(urllib.request.Request(hook, method="POST"), timeout=10):
            return


@contextmanager
def _served(operator: OperatorProcess) -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="patchwright-bench-git-") as root:
        server = Served(Path(root), operator)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _push(on: stage.Stage, server: Served, applied: stage.Sight, *, number: int, more: dict[str, str]) -> float:
    policy = stage.policy("pushed", max_unavailable=number)
    server.upstream.commit({"fleet/policy.yaml": json.dumps(policy), **more}, push=False)
    git_servers.git("push", "--quiet", server.url, "main", cwd=server.upstream.work)
    try:
        return applied.wait(f"max {number}", timeout=60) - server.told
    except RuntimeError as error:
        found = on.api.get(f"{stage.OURS}/policyrepositories/{REPOSITORY}").get("status")
        error.add_note(f"the repository's status: {found}")
        raise


def _repository(url: str) -> stage.Manifest:
    # An interval that plays no part: it is the webhook that is measured.
    spec = {"url": url, "ref": {"branch": "main"}, "path": "./fleet", "interval": "1h", "rego": {"path": "./rego"}}
    metadata = {"name": REPOSITORY, "namespace": stage.NAMESPACE}
    return {"apiVersion": "patchwright.dev/v1alpha1", "kind": "PolicyRepository", "metadata": metadata, "spec": spec}


def _size(policy: stage.Manifest) -> list[str]:
    return [f"max {policy['spec']['strategy']['maxUnavailable']}"]
