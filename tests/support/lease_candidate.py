"""One candidate for a lease, as a process of its own: says on each line of its standard output what it believes.

    python lease_candidate.py KUBECONFIG NAMESPACE IDENTITY [METHOD]

A line is ``<seconds> <word>``, on a clock that all processes share: ``holds`` or ``stands-by`` every few milliseconds,
and ``wrote`` or ``fenced`` for each write that it tried under the lease. SIGTERM ends it in an orderly way.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from patchwright import errors
from patchwright.adapters.kube import client
from patchwright.adapters.kube.lease import Lease, Timing, boot_clock

TIMING = Timing(lease_duration=3.0, renew_deadline=2.0, retry_period=0.3)
NAME = "candidates"


def say(word: str) -> None:
    print(f"{boot_clock():.6f} {word}", flush=True)  # noqa: T201 - its parent reads it


async def watch(lease: Lease) -> None:
    while True:
        say("holds" if lease.held else "stands-by")
        await asyncio.sleep(0.005)


async def work(api: client.KubeApi, path: str, identity: str) -> None:
    while True:
        try:
            await api.call("POST", path, what="a write", body=_config_map(identity))
            say("wrote")
        except errors.ClusterError as error:
            say("fenced" if error.reason == "NotLeading" else "failed")
        await asyncio.sleep(0.02)


def _config_map(identity: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": f"{identity}-"}}


async def main(kubeconfig: str, namespace: str, identity: str) -> None:
    api = await client.connect(Path(kubeconfig))
    lease = Lease(api, namespace=namespace, name=NAME, identity=identity, timing=TIMING)
    fenced = api.fenced(lambda: lease.held)
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    watching = asyncio.create_task(watch(lease))
    leading = asyncio.create_task(forever(lease, fenced, path, identity))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    leading.cancel()
    await asyncio.wait({leading})
    watching.cancel()
    await api.close()


async def forever(lease: Lease, api: client.KubeApi, path: str, identity: str) -> None:
    while True:
        await lease.lead(lambda: work(api, path, identity))
        say("lost")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
