"""Lists and watches of a real API server: nothing in between is lost, whatever becomes of the connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from patchwright import errors
from patchwright.adapters.kube import client
from patchwright.adapters.kube.lists import Living
from patchwright.adapters.kube.reflector import Reflector
from patchwright.sandbox import client as admin
from patchwright.sandbox import controlplane
from support.fault_proxy import Fault, FaultProxy

pytestmark = pytest.mark.controlplane

WATCH = "configmaps.*watch=true"
LIST = "configmaps.*limit="


class Mirror:
    """A cache of ConfigMaps: what a reflector said there is, and in which words."""

    def __init__(self, proxy: FaultProxy, api: client.KubeApi, admin_api: admin.Client, namespace: str) -> None:
        self.proxy = proxy
        self.admin = admin_api
        self.path = f"/api/v1/namespaces/{namespace}/configmaps"
        self.known: dict[str, Mapping[str, Any]] = {}
        self.said: list[str] = []
        self.reflector = Reflector(
            api, self.path, take=self._take, gone=self._gone, complete=self._complete, selector="mine", silence=1.5
        )

    def _take(self, raw: Mapping[str, Any]) -> None:
        name, word = raw["metadata"]["name"], (raw.get("data") or {}).get("word", "")
        self.known[name] = raw
        self.said.append(f"{name}={word[:8]}")

    def _gone(self, raw: Mapping[str, Any]) -> None:
        self.known.pop(raw["metadata"]["name"], None)
        self.said.append(f"{raw['metadata']['name']} gone")

    def _complete(self, living: Living) -> None:
        self.known = {name: raw for name, raw in self.known.items() if raw["metadata"]["uid"] in living.uids}
        self.said.append("complete")

    def create(self, name: str, word: str = "one") -> None:
        metadata = {"name": name, "labels": {"mine": "yes"}}
        self.admin.create(
            self.path, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"word": word}}
        )

    def change(self, name: str, word: str) -> None:
        self.admin.patch(f"{self.path}/{name}", {"data": {"word": word}})

    def delete(self, name: str) -> None:
        self.admin.delete(f"{self.path}/{name}")

    @property
    def lists(self) -> int:
        return self.proxy.count("GET", LIST)

    @property
    def watches(self) -> int:
        return self.proxy.count("GET", WATCH)

    async def until(self, holds: Callable[[], bool], within: float = 20.0) -> None:
        async with asyncio.timeout(within):
            while not holds():  # noqa: ASYNC110 - what is waited for is the API server's, not this loop's
                await asyncio.sleep(0.02)

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow inside a ``with``; the watch is open at its beginning."""
        before = self.watches
        task = asyncio.create_task(self.reflector.run())
        try:
            await self.until(lambda: self.watches > before)
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@pytest.fixture
async def mirror(
    sandbox: controlplane.ControlPlane, api: admin.Client, namespace: str, tmp_path: Path
) -> AsyncIterator[Mirror]:
    async with FaultProxy(sandbox.kubeconfig) as proxy:
        kube = await client.connect(proxy.kubeconfig(tmp_path / "kubeconfig"))
        yield Mirror(proxy, kube, api, namespace)
        await kube.close()


async def test_what_happens_between_the_list_and_the_watch_is_told(mirror: Mirror) -> None:
    mirror.create("a")
    mirror.create("b")
    await mirror.reflector.list()
    assert mirror.said == ["a=one", "b=one", "complete"]
    mirror.delete("a")
    mirror.create("c")
    async with mirror.following():
        mirror.change("b", "two")
        await mirror.until(lambda: "b=two" in mirror.said)
    assert mirror.said[3:] == ["a gone", "c=one", "b=two"]
    assert (mirror.lists, sorted(mirror.known)) == (1, ["b", "c"])


async def test_a_connection_that_breaks_costs_no_new_list_and_loses_nothing(mirror: Mirror) -> None:
    mirror.create("a")
    await mirror.reflector.list()
    mirror.proxy.inject(Fault(WATCH, reset=True, times=2))
    async with mirror.following():
        mirror.change("a", "two")
        mirror.delete("a")
        await mirror.until(lambda: "a gone" in mirror.said)
    assert mirror.said == ["a=one", "complete", "a=two", "a gone"]
    assert (mirror.lists, mirror.watches) == (1, 3)


async def test_a_connection_without_a_word_is_given_up(mirror: Mirror) -> None:
    mirror.create("a")
    await mirror.reflector.list()
    mirror.proxy.inject(Fault(WATCH, delay=60, times=1))
    async with mirror.following():
        mirror.change("a", "two")
        await mirror.until(lambda: "a=two" in mirror.said)
    assert mirror.lists == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(WATCH, status=410, reason="Expired", times=1),
        Fault(
            WATCH,
            status=200,
            body={
                "type": "ERROR",
                "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"},
            },
            times=1,
        ),
        Fault(WATCH, status=500, times=4),
    ],
    ids=["refused", "told", "refused-for-ever"],
)
async def test_where_a_watch_cannot_go_on_a_new_list_says_what_is_gone(mirror: Mirror, fault: Fault) -> None:
    mirror.create("a")
    mirror.create("b")
    await mirror.reflector.list()
    mirror.proxy.inject(fault)
    mirror.delete("a")
    async with mirror.following():
        await mirror.until(lambda: mirror.said.count("complete") == 2)
        assert sorted(mirror.known) == ["b"]
        mirror.create("c")
        await mirror.until(lambda: "c=one" in mirror.said)


async def test_an_object_of_many_hundred_kilobytes_comes_whole(mirror: Mirror) -> None:
    await mirror.reflector.list()
    async with mirror.following():
        mirror.create("large", "x" * 700_000)
        await mirror.until(lambda: "large" in mirror.known)
    assert len(mirror.known["large"]["data"]["word"]) == 700_000


async def test_a_list_that_is_refused_says_so_and_is_tried_again_by_who_follows(mirror: Mirror) -> None:
    mirror.create("a")
    mirror.proxy.inject(Fault(LIST, status=500, times=2))
    with pytest.raises(errors.ClusterUnavailable):
        await mirror.reflector.list()
    async with mirror.following():
        await mirror.until(lambda: sorted(mirror.known) == ["a"])


async def test_an_api_server_that_is_restarted_is_followed_on(
    sandbox: controlplane.ControlPlane, api: admin.Client, namespace: str
) -> None:
    kube = await client.connect(sandbox.kubeconfig)
    mirror = Mirror(FaultProxy(sandbox.kubeconfig), kube, api, namespace)
    mirror.create("a")
    await mirror.reflector.list()
    task = asyncio.create_task(mirror.reflector.run())
    await asyncio.to_thread(sandbox.restart, "kube-apiserver")
    mirror.change("a", "two")
    await mirror.until(lambda: "a=two" in mirror.said)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await kube.close()
