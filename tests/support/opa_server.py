"""A real OPA for tests, without the rest of the control plane."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from patchwright.adapters import opa
from patchwright.domain import policy
from patchwright.sandbox import binaries, ports

NOW = datetime(2026, 12, 3, 10, 30, tzinfo=UTC)


@cache
def opa_path() -> Path:
    """Give the opa of the sandbox's build, built if need be; ``PATCHWRIGHT_OPA`` names another one."""
    given = os.environ.get("PATCHWRIGHT_OPA")
    return Path(given) if given else binaries.ensure()["opa"]


@contextlib.contextmanager
def running(config: dict[str, Any], directory: Path, *, port: int, token: str | None = None) -> Iterator[str]:
    """Run OPA with ``config`` on ``port``, and give its URL; ended by its own process id."""
    directory.mkdir(exist_ok=True)
    (directory / "opa.json").write_text(json.dumps(config))
    authorization = None
    if token is not None:
        authorization = directory / "authz.rego"
        authorization.write_text(opa.authorization_module(token))
    arguments = opa.opa_arguments(directory / "opa.json", address=f"127.0.0.1:{port}", authorization=authorization)
    with (directory / "opa.log").open("ab") as log:
        process = subprocess.Popen([opa_path(), *arguments], stdout=log, stderr=log, env={"HOME": str(directory)})
    try:
        _wait_for_health(f"http://127.0.0.1:{port}", process, directory / "opa.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_health(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while process.poll() is None:
        with contextlib.suppress(OSError), opener.open(f"{url}/health", timeout=1):
            return
    raise AssertionError(f"opa ended: {log.read_text()}")


@contextlib.asynccontextmanager
async def served(
    directory: Path, *, token: str | None = None
) -> AsyncIterator[tuple[opa.BundleServer, opa.OpaPolicyEngine]]:
    """Run a bundle server, an OPA that follows it, and an engine that asks this OPA."""
    async with opa.BundleServer(token=token) as server:
        config = opa.opa_config(server.url, token=token)
        with contextlib.ExitStack() as stack:
            process = running(config, directory, port=ports.free()[0], token=token)
            url = await asyncio.to_thread(stack.enter_context, process)
            async with opa.OpaPolicyEngine(url, token=token) as engine:
                yield server, engine


async def build(files: dict[str, str], revision: str = "r1") -> opa.Bundle:
    """Build a bundle of Rego texts."""
    texts = {name: text.encode() for name, text in files.items()}
    return await opa.BundleBuilder(opa_path()).build(texts, revision)


def document(
    *,
    now: datetime = NOW,
    stage: policy.Stage = policy.Stage.START,
    version: str = "3.0.15-1~deb12u1",
    annotations: dict[str, str] | None = None,
    wave: policy.WaveFacts = policy.NO_WAVE,
    fleet: policy.FleetFacts | None = None,
) -> dict[str, Any]:
    """Give the input document of a careful rollout."""
    change = policy.ChangeFacts("script", version, image="registry.example/patch:3.0.15", privileged=True)
    rollout = policy.RolloutFacts(
        "openssl", "patchwright", NOW, change, annotations=annotations or {}, advisories=["DSA-5532-1"]
    )
    standing = policy.PolicyFacts(
        "nodes",
        "patchwright",
        canary_count=2,
        canary_soak=timedelta(minutes=5),
        max_unavailable="10%",
        failure_threshold=1,
        waves=[(8, timedelta(minutes=1))],
        windows=[("0 2 * * *", timedelta(hours=2), "UTC")],
    )
    return policy.policy_input(
        now=now,
        stage=stage,
        rollout=rollout,
        policy=standing,
        fleet=fleet or policy.FleetFacts(selected=20, max_unavailable=2, zones={"a": 10, "b": 10}),
        plan=[policy.StageFacts("canary", 2), policy.StageFacts("wave-1", 8), policy.StageFacts("wave-2", 10)],
        source_revision="r1",
        wave=wave,
        published_at=NOW - timedelta(days=2, hours=10),
    )


def question(
    package: str = policy.DEFAULT_PACKAGE, *, revision: str = "r1", given: dict[str, Any] | None = None
) -> policy.PolicyQuestion:
    """Ask about the careful rollout, or about ``given``."""
    return policy.PolicyQuestion(package, document() if given is None else given, revision)
