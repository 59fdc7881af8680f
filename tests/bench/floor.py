"""The floor: what patching nodes costs when nothing is decided, checked, told or remembered.

For each node it makes the requests that nobody can leave out (cordon, list the pods, create the Job, uncordon), learns
of the Job's end from one watch of its pods, and keeps so many nodes at work at once. The Jobs are the very ones that
the operator would create. Whatever the operator takes longer than this is its own.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes import config as kubernetes_config
from kubernetes.client import configuration

from bench import stage
from patchwright.api import parse
from patchwright.domain.actions import JobStep, NodeRef
from patchwright.domain.model import PatchPolicy, PatchRollout
from patchwright.domain.nodes import labels
from patchwright.drivers import script

USER_AGENT = "patchwright-bench-floor"
_JOBS = f"/apis/batch/v1/namespaces/{stage.NAMESPACE}/jobs"
_PODS = f"/api/v1/namespaces/{stage.NAMESPACE}/pods"
_MERGE = {"Content-Type": "application/merge-patch+json"}

Work = Coroutine[Any, Any, None]


async def timed(work: Iterable[Work], *, beside: Work) -> float:
    """Do all of it at once, with a watch beside it that ends with it; give the seconds it took."""
    watching = asyncio.create_task(beside)
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for each in work:
            group.create_task(each)
    took = time.monotonic() - began
    watching.cancel()
    await asyncio.wait({watching})
    return took


@dataclass(slots=True)
class Floor:
    """One pass over the nodes."""

    session: aiohttp.ClientSession
    rollout: PatchRollout
    policy: PatchPolicy
    done: dict[str, asyncio.Event] = field(default_factory=dict)

    async def run(self, nodes: Sequence[str], parallel: int) -> float:
        """Patch every node, so many at once; give the seconds it took."""
        version = (await call(self.session, "GET", _PODS, params=self._mine))["metadata"]["resourceVersion"]
        limit = asyncio.Semaphore(parallel)
        took = await timed((self._one(name, limit) for name in nodes), beside=self._watch(version))
        await call(self.session, "DELETE", _JOBS, params=self._mine, json={"propagationPolicy": "Background"})
        return took

    @property
    def _mine(self) -> dict[str, str]:
        return {"labelSelector": f"{labels.ROLLOUT}={self.rollout.uid}"}

    async def _one(self, name: str, limit: asyncio.Semaphore) -> None:
        done = self.done[name] = asyncio.Event()
        path = f"/api/v1/nodes/{name}"
        async with limit:
            node = await call(self.session, "PATCH", path, headers=_MERGE, json={"spec": {"unschedulable": True}})
            await call(self.session, "GET", "/api/v1/pods", params={"fieldSelector": f"spec.nodeName={name}"})
            await call(self.session, "POST", _JOBS, json=self._job(node))
            await done.wait()
            await call(self.session, "PATCH", path, headers=_MERGE, json={"spec": {"unschedulable": None}})

    def _job(self, node: dict[str, Any]) -> dict[str, Any]:
        metadata = node["metadata"]
        ref = NodeRef(metadata["name"], metadata["uid"], metadata["resourceVersion"])
        name = f"{self.rollout.key.name}-{ref.name}"
        return script.render(
            self.rollout, self.policy, node=ref, step=JobStep.APPLY, name=name, namespace=stage.NAMESPACE
        )

    async def _watch(self, version: str) -> None:
        params = {**self._mine, "watch": "true", "resourceVersion": version}
        async with self.session.get(_PODS, params=params) as response:
            async for line in response.content:
                pod = json.loads(line)["object"]
                if pod.get("status", {}).get("phase") == "Succeeded":
                    self.done[pod["spec"]["nodeName"]].set()


async def call(session: aiohttp.ClientSession, method: str, path: str, **options: Any) -> dict[str, Any]:
    """Make one request; whatever is refused is an error, for then nothing that was measured counts."""
    async with session.request(method, path, **options) as response:
        body: dict[str, Any] = await response.json()
        if response.status >= 400:
            raise RuntimeError(f"{method} {path}: {response.status} {body.get('message')}")
        return body


def run(on: stage.Stage, nodes: Sequence[str], *, parallel: int, name: str) -> float:
    """Patch ``nodes`` the bare way; give the seconds it took. Its Jobs are gone when it returns."""
    took = asyncio.run(_run(on, nodes, parallel=parallel, name=name))
    on.api.wait(f"{_JOBS}?labelSelector={labels.ROLLOUT}={name}", lambda listed: not listed["items"], timeout=300)
    on.api.wait(f"{_PODS}?labelSelector={labels.ROLLOUT}={name}", lambda listed: not listed["items"], timeout=300)
    return took


async def _run(on: stage.Stage, nodes: Sequence[str], *, parallel: int, name: str) -> float:
    stamped = {"uid": name, "generation": 1, "creationTimestamp": "2026-11-23T12:00:00Z", "resourceVersion": "1"}
    policy = stage.policy("floor", max_unavailable=parallel)
    rollout = stage.rollout(name, policy="floor", version="1.0.1")
    for manifest in (policy, rollout):
        manifest["metadata"] |= stamped
    async with session(on, parallel + 1) as found:
        floor = Floor(found, parse.parse_rollout(rollout), parse.parse_policy(policy))
        return await floor.run(nodes, parallel)


@asynccontextmanager
async def session(on: stage.Stage, connections: int) -> AsyncIterator[aiohttp.ClientSession]:
    """Open a session with the API server, as its administrator."""
    base, context = _login(on.plane.kubeconfig)
    connector = aiohttp.TCPConnector(ssl=context, limit=connections)
    headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
    async with aiohttp.ClientSession(
        base, connector=connector, headers=headers, timeout=aiohttp.ClientTimeout(total=None)
    ) as found:
        yield found


def _login(kubeconfig: Path) -> tuple[str, ssl.SSLContext]:
    found = configuration.Configuration()
    kubernetes_config.load_kube_config(  # type: ignore[no-untyped-call] # the library has no types there
        str(kubeconfig), client_configuration=found
    )
    assert found.cert_file is not None
    context = ssl.create_default_context(cafile=found.ssl_ca_cert)
    context.load_cert_chain(found.cert_file, found.key_file)
    return str(found.host), context
