"""Leader election between real processes on a real API server: never two at once, whatever happens to one of them."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from patchwright import errors
from patchwright.adapters.kube import client
from patchwright.adapters.kube.lease import Lease, Timing, boot_clock
from patchwright.sandbox import client as admin
from patchwright.sandbox import controlplane
from support import lease_candidate
from support.fault_proxy import Fault, FaultProxy
from support.lease_candidate import TIMING

pytestmark = pytest.mark.controlplane


@dataclass(slots=True)
class Candidate:
    """A candidate's process, and what it has said so far."""

    process: asyncio.subprocess.Process
    said: list[tuple[float, str]] = field(default_factory=list)
    reader: asyncio.Task[None] | None = None

    async def read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            at, word = line.decode().split()
            self.said.append((float(at), word))

    def last(self, *words: str) -> str:
        return next((word for _, word in reversed(self.said) if word in words), "")

    def times(self, word: str) -> list[float]:
        return [at for at, each in self.said if each == word]

    @property
    def holds(self) -> bool:
        return self.last("holds", "stands-by") == "holds"

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


Start = Callable[[str], Any]
Proxied = tuple[client.KubeApi, FaultProxy]


@pytest.fixture
async def start(sandbox: controlplane.ControlPlane, namespace: str) -> AsyncIterator[Start]:
    running: list[Candidate] = []

    async def one(identity: str) -> Candidate:
        words = [lease_candidate.__file__, str(sandbox.kubeconfig), namespace, identity]
        process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=asyncio.subprocess.PIPE)
        candidate = Candidate(process)
        candidate.reader = asyncio.create_task(candidate.read())
        running.append(candidate)
        return candidate

    yield one
    for candidate in running:
        if candidate.process.returncode is None:
            candidate.process.kill()
        await candidate.process.wait()
        if candidate.reader is not None:
            await candidate.reader


async def until(holds: Callable[[], bool], within: float = 20.0) -> None:
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


def never_both(first: Candidate, second: Candidate) -> None:
    """Make sure that no moment at which one held lies between two moments at which the other held on end."""
    for mine, other in ((first, second), (second, first)):
        for begin, end in stretches(other):
            inside = [at for at in mine.times("holds") if begin <= at <= end]
            assert not inside, f"two leaders at {inside[0]}"


def stretches(candidate: Candidate) -> list[tuple[float, float]]:
    """Give the times during which a candidate held the lease without a break."""
    found: list[tuple[float, float]] = []
    open_at = last = None
    for at, word in candidate.said:
        if word == "holds":
            open_at, last = (at if open_at is None else open_at), at
        elif word == "stands-by" and open_at is not None and last is not None:
            found.append((open_at, last))
            open_at = None
    return [*found, *([(open_at, last)] if open_at is not None and last is not None else [])]


async def test_one_leads_and_the_other_takes_over_at_once_when_it_stops_in_an_orderly_way(start: Start) -> None:
    first = await start("first")
    await until(lambda: first.holds)
    second = await start("second")
    await until(lambda: second.last("holds", "stands-by") == "stands-by")
    await asyncio.sleep(TIMING.lease_duration * 1.5)
    assert (first.holds, second.holds) == (True, False)
    stopped = boot_clock()
    first.send(signal.SIGTERM)
    await until(lambda: second.holds)
    # It was given back: nobody had to wait for it to run out.
    assert second.times("holds")[0] - stopped < TIMING.lease_duration * 0.8
    await first.process.wait()
    never_both(first, second)


async def test_a_leader_that_is_killed_is_followed_when_its_lease_has_run_out(start: Start) -> None:
    first = await start("first")
    await until(lambda: first.holds)
    second = await start("second")
    await until(lambda: second.last("stands-by") != "")
    killed = boot_clock()
    first.process.kill()
    await until(lambda: second.holds)
    waited = second.times("holds")[0] - killed
    assert TIMING.renew_deadline - TIMING.retry_period < waited < TIMING.lease_duration + 4 * TIMING.retry_period
    never_both(first, second)


async def test_a_frozen_leader_that_comes_back_knows_it_before_it_does_anything(start: Start) -> None:
    first = await start("first")
    await until(lambda: first.last("wrote") != "")
    second = await start("second")
    await until(lambda: second.last("stands-by") != "")
    first.send(signal.SIGSTOP)
    await until(lambda: second.last("wrote") != "")
    thawed = boot_clock()
    first.send(signal.SIGCONT)
    await until(lambda: bool(first.times("lost")))
    after = [word for at, word in first.said if at > thawed]
    # A write that was on the wire when it froze may still be told; none is sent after.
    assert after.count("wrote") <= 1
    assert "holds" not in after
    await asyncio.sleep(TIMING.lease_duration)
    assert (first.holds, second.holds) == (False, True)
    never_both(first, second)


@pytest.fixture
async def proxied(
    sandbox: controlplane.ControlPlane, tmp_path: Path
) -> AsyncIterator[tuple[client.KubeApi, FaultProxy]]:
    async with FaultProxy(sandbox.kubeconfig) as proxy:
        api = await client.connect(proxy.kubeconfig(tmp_path / "kubeconfig"))
        yield api, proxy
        await api.close()


def candidate(api: client.KubeApi, namespace: str, identity: str = "me", **timing: float) -> Lease:
    fast = Timing(**{"lease_duration": 3.0, "renew_deadline": 2.0, "retry_period": 0.2, **timing})
    return Lease(api, namespace=namespace, name="lease", identity=identity, timing=fast)


async def test_a_leader_cut_off_from_the_server_stops_before_anybody_may_follow(
    proxied: tuple[client.KubeApi, FaultProxy], namespace: str
) -> None:
    api, proxy = proxied
    lease, other = candidate(api, namespace), candidate(api, namespace, "other")
    stopped: list[float] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            stopped.append(boot_clock())

    leading = asyncio.create_task(lease.lead(work))
    await until(lambda: lease.held)
    assert not await other._attempt()
    cut = boot_clock()
    proxy.inject(Fault("/leases", reset=True))
    await leading
    assert not lease.held
    assert stopped[0] - cut <= 2.0 + 0.3
    proxy.clear()
    await other.acquire()
    assert boot_clock() - cut >= 2.0


async def test_a_few_failed_renewals_are_no_loss(proxied: tuple[client.KubeApi, FaultProxy], namespace: str) -> None:
    api, proxy = proxied
    lease = candidate(api, namespace)
    await lease.acquire()
    keeping = asyncio.create_task(lease.keep())
    fault = proxy.inject(Fault("/leases", status=503, times=4))
    await until(lambda: fault.hits == 4)
    await asyncio.sleep(2.2)
    assert (lease.held, keeping.done()) == (True, False)
    keeping.cancel()


async def test_a_lease_that_a_person_gave_to_somebody_else_is_lost(
    proxied: Proxied, api: admin.Client, namespace: str
) -> None:
    kube, _ = proxied
    lease = candidate(kube, namespace)
    await lease.acquire()
    spec = {"holderIdentity": "somebody", "leaseDurationSeconds": 60}
    api.patch(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/lease", {"spec": spec})
    await asyncio.wait_for(lease.keep(), timeout=2.0)
    assert (lease.held, lease.holder) == (False, "somebody")


async def test_a_renewal_is_one_request(proxied: Proxied, namespace: str) -> None:
    kube, proxy = proxied
    lease = candidate(kube, namespace)
    await lease.acquire()
    proxy.seen.clear()
    assert await lease._attempt()
    assert [each.method for each in proxy.seen] == ["PUT"]


async def test_a_fenced_client_writes_under_the_lease_only(
    proxied: tuple[client.KubeApi, FaultProxy], namespace: str
) -> None:
    api, proxy = proxied
    lease = candidate(api, namespace)
    fenced = api.fenced(lambda: lease.held)
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "written"}}
    with pytest.raises(errors.ClusterError, match="does not hold the lease"):
        await fenced.call("POST", path, what="a write", body=body)
    assert proxy.count("POST", "/configmaps") == 0
    await fenced.call("GET", path, what="a read")
    await lease.acquire()
    await fenced.call("POST", path, what="a write", body=body)
    await lease.release()
    with pytest.raises(errors.ClusterError) as caught:
        await fenced.call("DELETE", f"{path}/written", what="a write")
    assert (caught.value.reason, proxy.count("DELETE", "/written")) == ("NotLeading", 0)


async def test_a_lease_written_by_another_program_is_read(
    sandbox: controlplane.ControlPlane, api: admin.Client, namespace: str
) -> None:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    spec = {"holderIdentity": "client-go", "leaseDurationSeconds": 1, "renewTime": "2040-01-01T00:00:00.000000Z"}
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "lease"}, "spec": spec}
    api.create(path, body)
    kube = await client.connect(sandbox.kubeconfig)
    lease = candidate(kube, namespace)
    begun = boot_clock()
    await lease.acquire()
    await kube.close()
    # Its clock is not believed: we have watched it for its whole duration on ours.
    assert 1.0 <= boot_clock() - begun < 5.0
    now = api.get(f"{path}/lease")["spec"]
    assert (now["holderIdentity"], now["leaseTransitions"]) == ("me", 1)


async def test_the_work_s_own_error_is_told_and_the_lease_given_back(
    sandbox: controlplane.ControlPlane, api: admin.Client, namespace: str
) -> None:
    kube = await client.connect(sandbox.kubeconfig)

    async def work() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await candidate(kube, namespace).lead(work)
    await kube.close()
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/lease"
    assert api.get(path)["spec"].get("holderIdentity", "") == ""
