"""Stand-ins for hosts of repositories that no machine of ours can run: they answer as their published APIs say.

A request that the description does not have (a path, a parameter, a field of the body) is answered with 400, so that
whoever invents one is caught. GitHub: OpenAPI description 23.0.2 of api.github.com; GitLab: doc/api/merge_requests.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

TOKEN = "correct-horse-battery"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Forge:
    """The pull requests of one project, and what was asked; ``answer`` is given instead of the real one."""

    url: str = ""
    pulls: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    answer: Callable[[], web.Response] | None = None
    hidden: int = 0

    def merged(self, commit: str) -> None:
        self.pulls[-1] |= {"state": "merged", "commit": commit}

    @property
    def seen(self) -> list[dict[str, Any]]:
        """What a listing shows: not what somebody made since (``hidden`` more times)."""
        self.hidden -= 1
        return [] if self.hidden >= 0 else self.pulls


@contextlib.asynccontextmanager
async def github() -> AsyncIterator[Forge]:
    """Serve ``acme/shop`` as GitHub Enterprise does, below ``/api/v3``."""
    forge = Forge()
    at = "/api/v3/repos/acme/shop/pulls"

    def shown(pull: dict[str, Any], *, whole: bool) -> dict[str, Any]:
        merged = pull["state"] == "merged"
        found = {
            "number": pull["number"],
            "html_url": f"{forge.url}/acme/shop/pull/{pull['number']}",
            "state": "open" if pull["state"] == "open" else "closed",
            "merged_at": "2026-11-25T12:00:00Z" if merged else None,
            "merge_commit_sha": pull.get("commit", "f" * 40),
            "head": {"ref": pull["head"]},
            "base": {"ref": pull["base"]},
        }
        return found | ({"merged": merged} if whole else {})

    async def listing(request: web.Request) -> web.StreamResponse:
        known = {"state", "head", "base", "sort", "direction", "per_page", "page"}
        if not set(request.query) <= known or not request.query["head"].startswith("acme:"):
            return web.Response(status=400)
        return web.json_response([shown(pull, whole=False) for pull in forge.seen])

    async def creation(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if not {"head", "base"} <= set(body) <= {"title", "head", "base", "body", "draft", "maintainer_can_modify"}:
            return web.Response(status=400)
        same = (pull for pull in forge.pulls if pull["head"] == body["head"])
        if any(pull["state"] == "open" for pull in same) or body["head"] == body["base"]:
            return web.json_response({"message": "Validation Failed"}, status=422)
        forge.pulls.append({"number": len(forge.pulls) + 7, "state": "open", **body})
        return web.json_response(shown(forge.pulls[-1], whole=True), status=201)

    async def one(request: web.Request) -> web.StreamResponse:
        [pull] = (pull for pull in forge.pulls if str(pull["number"]) == request.match_info["number"])
        if request.method == "PATCH":
            assert await request.json() == {"state": "closed"}
            pull["state"] = "closed"
        return web.json_response(shown(pull, whole=True))

    single = f"{at}/{{number}}"
    routes = [("GET", at, listing), ("POST", at, creation), ("GET", single, one), ("PATCH", single, one)]
    headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
    async with _served(forge, routes, headers):
        yield forge


@contextlib.asynccontextmanager
async def gitlab() -> AsyncIterator[Forge]:
    """Serve ``acme/shop`` as GitLab does, below ``/api/v4``."""
    forge = Forge()
    at = "/api/v4/projects/{project:acme%2Fshop}/merge_requests"

    def shown(pull: dict[str, Any]) -> dict[str, Any]:
        return {
            "iid": pull["number"],
            "web_url": f"{forge.url}/acme/shop/-/merge_requests/{pull['number']}",
            "state": {"open": "opened"}.get(pull["state"], pull["state"]),
            "sha": "f" * 40,
            "merge_commit_sha": pull.get("commit"),
            "squash_commit_sha": None,
            "source_branch": pull["source_branch"],
            "target_branch": pull["target_branch"],
        }

    async def listing(request: web.Request) -> web.StreamResponse:
        known = {"state", "source_branch", "target_branch", "order_by", "sort", "page", "per_page", "scope"}
        return web.json_response([shown(pull) for pull in forge.seen]) if set(request.query) <= known else _BAD()

    async def creation(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if not {"source_branch", "target_branch", "title"} <= set(body) <= {*_GITLAB_CREATION}:
            return _BAD()
        if any(pull["state"] == "open" for pull in forge.pulls) or body["source_branch"] == body["target_branch"]:
            return web.json_response({"message": ["Another open merge request already exists"]}, status=409)
        forge.pulls.append({"number": len(forge.pulls) + 7, "state": "open", **body})
        return web.json_response(shown(forge.pulls[-1]), status=201)

    async def one(request: web.Request) -> web.StreamResponse:
        if request.method == "PUT":
            assert await request.json() == {"state_event": "close"}
            forge.pulls[-1]["state"] = "closed"
        return web.json_response(shown(forge.pulls[-1]))

    routes = [("GET", at, listing), ("POST", at, creation), ("GET", f"{at}/7", one), ("PUT", f"{at}/7", one)]
    async with _served(forge, routes, {}):
        yield forge


_GITLAB_CREATION = (
    "source_branch",
    "target_branch",
    "title",
    "description",
    "remove_source_branch",
    "squash",
    "labels",
)


def _BAD() -> web.Response:  # noqa: N802 - an answer's name
    return web.Response(status=400)


@contextlib.asynccontextmanager
async def _served(
    forge: Forge, routes: Sequence[tuple[str, str, Handler]], headers: dict[str, str]
) -> AsyncIterator[None]:
    @web.middleware
    async def watched(request: web.Request, handler: Handler) -> web.StreamResponse:
        forge.asked.append(f"{request.method} {request.rel_url.raw_path}")
        if forge.answer is not None:
            return forge.answer()
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.Response(status=401)
        if any(request.headers.get(name) != value for name, value in headers.items()):
            return web.Response(status=400)
        return await handler(request)

    app = web.Application(middlewares=[watched])
    for method, path, handler in routes:
        app.router.add_route(method, path, handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    forge.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield
    finally:
        await runner.cleanup()
