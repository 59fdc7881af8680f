"""The floor of an image's rollout: one patch for each Deployment, and one watch that tells when its pods have followed.

Nothing is decided, asked, recorded, checked or told, and there is no canary. What the operator takes longer is its own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from bench import floor, shop, stage

_ALL = "/apis/apps/v1/deployments"
_STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}


@dataclass(slots=True)
class ImageFloor:
    """One pass over the Deployments that run an image of one repository."""

    session: aiohttp.ClientSession
    repository: str
    tag: str
    news: dict[str, asyncio.Event] = field(default_factory=dict)
    seen: dict[str, stage.Manifest] = field(default_factory=dict)

    async def run(self, parallel: int) -> float:
        """Change every one, so many at once; give the seconds it took."""
        listed = await floor.call(self.session, "GET", _ALL)
        mine = [found for found in listed["items"] if container(found, self.repository)]
        limit, watch = asyncio.Semaphore(parallel), self._watch(listed["metadata"]["resourceVersion"])
        return await floor.timed((self._one(found, limit) for found in mine), beside=watch)

    async def _one(self, found: stage.Manifest, limit: asyncio.Semaphore) -> None:
        uid = found["metadata"]["uid"]
        news = self.news[uid] = asyncio.Event()
        changed = {"name": container(found, self.repository), "image": f"{self.repository}:{self.tag}"}
        body = {"spec": {"template": {"spec": {"containers": [changed]}}}}
        path = f"/apis/apps/v1/namespaces/{found['metadata']['namespace']}/deployments/{found['metadata']['name']}"
        async with limit:
            patched = await floor.call(self.session, "PATCH", path, headers=_STRATEGIC, json=body)
            wanted = patched["metadata"]["generation"]
            while not self._there(uid, wanted):
                news.clear()
                await news.wait()

    def _there(self, uid: str, generation: int) -> bool:
        found = self.seen.get(uid)
        return found is not None and found["metadata"]["generation"] >= generation and shop.settled(found)

    async def _watch(self, version: str) -> None:
        params = {"watch": "true", "resourceVersion": version}
        async with self.session.get(_ALL, params=params) as response:
            async for line in response.content:
                found = json.loads(line)["object"]
                uid = found["metadata"]["uid"]
                self.seen[uid] = found
                if uid in self.news:
                    self.news[uid].set()


def container(found: Mapping[str, Any], repository: str) -> str:
    """Give the name of the container that runs an image of a repository; empty when none does."""
    containers = found["spec"]["template"]["spec"]["containers"]
    mine = (each["name"] for each in containers if each["image"].partition("@")[0].rpartition(":")[0] == repository)
    return next(mine, "")


def run(on: stage.Stage, repository: str, *, tag: str, parallel: int) -> float:
    """Bring a tag to every Deployment that runs a repository, the bare way; give the seconds it took."""
    return asyncio.run(_run(on, repository, tag=tag, parallel=parallel))


async def _run(on: stage.Stage, repository: str, *, tag: str, parallel: int) -> float:
    async with floor.session(on, parallel + 1) as session:
        return await ImageFloor(session, repository, tag).run(parallel)
