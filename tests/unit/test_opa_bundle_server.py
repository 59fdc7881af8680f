"""A real OPA follows the bundle server: at once, again after a restart, and never to something broken."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from patchwright import errors
from patchwright.adapters import opa
from patchwright.sandbox import ports
from support import opa_server


async def test_a_new_revision_is_in_force_well_under_a_second(tmp_path: Path) -> None:
    async with opa_server.served(tmp_path) as (server, engine):
        bundles = [await opa_server.build({}, f"r{number}") for number in range(5)]
        server.publish(bundles[0])
        await engine.wait_for_revision("r0", within=10)
        for bundle in bundles[1:]:
            begun = time.monotonic()
            server.publish(bundle)
            await engine.wait_for_revision(bundle.revision, within=10)
            assert time.monotonic() - begun < 1
        # Back to an older commit, too: a reverted merge.
        server.publish(bundles[0])
        await engine.wait_for_revision("r0", within=1)


async def test_during_the_swap_the_answer_is_of_the_pinned_revision_or_a_mismatch(tmp_path: Path) -> None:
    async with opa_server.served(tmp_path) as (server, engine):
        server.publish(await opa_server.build({}, "r1"))
        await engine.wait_for_revision("r1", within=10)
        server.publish(await opa_server.build({}, "r2"))
        seen = []
        while "allowed" not in seen:
            try:
                decision = await engine.evaluate(opa_server.question(revision="r2"))
                seen.append("allowed" if decision.allowed else "denied")
            except errors.PolicyRevisionMismatch:
                seen.append("mismatch")
        assert set(seen) <= {"mismatch", "allowed"}


async def test_a_bundle_that_opa_cannot_read_never_replaces_a_good_one(tmp_path: Path) -> None:
    async with opa_server.served(tmp_path) as (server, engine):
        good = await opa_server.build({}, "r1")
        server.publish(good)
        await engine.wait_for_revision("r1", within=10)
        server.publish(replace(good, content=b"not a bundle", revision="r2", etag='"bad"'))
        with pytest.raises(errors.PolicyRevisionMismatch):
            await engine.wait_for_revision("r2", within=1.5)
        assert (await engine.evaluate(opa_server.question(revision="r1"))).allowed
        # And the next good one is taken, though OPA is backing off.
        server.publish(await opa_server.build({}, "r3"))
        await engine.wait_for_revision("r3", within=3)


async def test_a_restarted_opa_gets_the_bundle_again(tmp_path: Path) -> None:
    port = ports.free()[0]
    async with opa.BundleServer() as server, opa.OpaPolicyEngine(f"http://127.0.0.1:{port}") as engine:
        server.publish(await opa_server.build({}, "r1"))
        for _ in range(2):
            with opa_server.running(opa.opa_config(server.url), tmp_path, port=port):
                await engine.wait_for_revision("r1", within=10)
                assert (await engine.evaluate(opa_server.question())).allowed
            with pytest.raises(errors.PolicyUnavailable, match="does not accept connections"):
                await engine.evaluate(opa_server.question())


async def test_a_request_is_held_until_there_is_something_new() -> None:
    async with opa.BundleServer() as server, aiohttp.ClientSession() as session:
        bundle = await opa_server.build({}, "r1")
        headers = {"If-None-Match": bundle.etag, "Prefer": "modes=snapshot,delta;wait=30"}
        server.publish(bundle)
        held = asyncio.create_task(session.get(server.bundle_url, headers=headers))
        await asyncio.sleep(0.1)
        assert not held.done()
        server.publish(await opa_server.build({}, "r2"))
        async with await held as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == "application/vnd.openpolicyagent.bundles"
            assert response.headers["ETag"] != bundle.etag


async def test_nothing_new_is_said_when_the_time_is_up() -> None:
    async with opa.BundleServer() as server, aiohttp.ClientSession() as session:
        bundle = await opa_server.build({}, "r1")
        server.publish(bundle)
        headers = {"If-None-Match": bundle.etag, "Prefer": "wait=1"}
        async with session.get(server.bundle_url, headers=headers) as response:
            assert response.status == 304
            assert response.headers["ETag"] == bundle.etag


async def test_before_the_first_bundle_there_is_none() -> None:
    async with opa.BundleServer() as server, aiohttp.ClientSession() as session:
        assert server.revision is None
        async with session.get(server.bundle_url) as response:
            assert response.status == 503


async def test_stopping_does_not_wait_for_whoever_waits() -> None:
    async with aiohttp.ClientSession() as session:
        server = opa.BundleServer()
        await server.start()
        server.publish(await opa_server.build({}, "r1"))
        etag = (await opa_server.build({}, "r1")).etag
        headers = {"If-None-Match": etag, "Prefer": "wait=30"}
        held = asyncio.create_task(session.get(server.bundle_url, headers=headers))
        await asyncio.sleep(0.1)
        begun = time.monotonic()
        await server.stop()
        assert time.monotonic() - begun < 1
        async with await held as response:
            assert response.status == 304


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic s3cret"])
async def test_a_stranger_gets_no_bundle(authorization: str | None) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    async with opa.BundleServer(token="s3cret") as server, aiohttp.ClientSession(headers=headers) as session:
        server.publish(await opa_server.build({}, "r1"))
        async with session.get(server.bundle_url) as response:
            assert response.status == 401
