"""From an order to a merged pull request: real Git, and a host that answers as GitHub's published API says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from patchwright.adapters.forge import ForgeClient
from patchwright.adapters.git import GitWriteBack
from patchwright.domain.model import Key
from patchwright.domain.sources import Credentials
from patchwright.domain.writeback.edits import Swap
from patchwright.domain.writeback.orders import Destination, Step, WriteOrder
from patchwright.domain.writeback.places import Scope
from patchwright.domain.writeback.proposals import Provider
from patchwright.domain.writeback.settings import GitTarget, PullRequestSettings
from patchwright.domain.writeback.versions import Version
from patchwright.errors import WriteBackError
from patchwright.pipeline.git_writes import GitWrites
from patchwright.sandbox.gitserver import GitServer
from support import forges
from support.forges import TOKEN, Forge
from support.git_servers import Upstream, git

NEW = "sha256:" + "b" * 64
SWAP = Swap(Scope("ghcr.io/acme/web"), was=Version("1.2"), to=Version("1.3", NEW))
WEB = "image: {repository: ghcr.io/acme/web, tag: '1.2'}\n"
NOW = datetime.now(UTC)
STEP = Step(Key("shop", "web"), "uid-1", "canary", NOW, NOW - timedelta(minutes=5))
BRANCH = "patchwright/web/canary"


class Secrets:
    """Two Secrets, and who asked for which."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def credentials(self, key: Key, *, name: str) -> Credentials:
        self.asked.append(f"{name}={key}")
        return {"git": Credentials(username="robot", password="push"), "forge": Credentials(bearer_token=TOKEN)}[
            key.name
        ]


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    upstream = Upstream(tmp_path / "srv", name="acme/shop.git")
    upstream.commit({"web.yaml": WEB})
    return upstream


@pytest.fixture
async def forge() -> AsyncIterator[Forge]:
    async with forges.github() as found:
        yield found


@pytest.fixture
async def target(upstream: Upstream, forge: Forge) -> AsyncIterator[GitTarget]:
    async with GitServer(upstream.root, credentials=("robot", "push")) as server:
        host = PullRequestSettings(Provider.GITHUB, f"{forge.url}/api/v3", secret="forge")
        yield GitTarget(server.url("acme/shop.git"), branch="main", secret="git", pull_request=host)


@pytest.fixture
async def writes(tmp_path: Path) -> AsyncIterator[GitWrites]:
    async with ForgeClient() as client:
        yield GitWrites(GitWriteBack(tmp_path / "cache"), client, Secrets())


def order(target: GitTarget, **changes: object) -> WriteOrder:
    found = WriteOrder(Destination(target.url, target.branch), STEP, (SWAP,))
    return replace(found, **changes)  # type: ignore[arg-type] # its own fields


def back(target: GitTarget, **changes: object) -> WriteOrder:
    return order(target, back_of="canary", step=replace(STEP, name="canary-back"), **changes)


def content(upstream: Upstream, branch: str = "main") -> str:
    return git("show", f"{branch}:web.yaml", cwd=upstream.bare) + "\n"


async def waits(writes: GitWrites, target: GitTarget, wanted: WriteOrder) -> WriteBackError:
    with pytest.raises(WriteBackError) as caught:
        await writes.write(wanted, target, namespace="shop")
    return caught.value


async def test_without_a_pull_request_the_branch_itself_is_written(
    upstream: Upstream, writes: GitWrites, target: GitTarget
) -> None:
    written = await writes.write(order(target), replace(target, pull_request=None), namespace="shop")
    assert (written.branch, written.fresh) == ("main", True)
    assert content(upstream) == WEB.replace("1.2", f"1.3@{NEW}")
    assert isinstance(writes.secrets, Secrets)
    assert writes.secrets.asked == ["write.git.secretRef=shop/git"]


async def test_a_pull_request_is_waited_for_and_its_merge_is_the_commit(
    upstream: Upstream, forge: Forge, writes: GitWrites, target: GitTarget
) -> None:
    for _ in range(2):
        error = await waits(writes, target, order(target))
        assert (error.reason, error.retry_after) == ("AwaitingMerge", 30.0)
        assert error.message == f"waits until somebody merges pull request {forge.url}/acme/shop/pull/7"
    assert len(forge.pulls) == 1
    assert (forge.pulls[0]["head"], forge.pulls[0]["base"]) == (BRANCH, "main")
    assert forge.pulls[0]["title"] == "Set ghcr.io/acme/web to 1.3"
    assert (content(upstream), content(upstream, BRANCH)) == (WEB, WEB.replace("1.2", f"1.3@{NEW}"))
    merged = git("rev-parse", BRANCH, cwd=upstream.bare)
    git("update-ref", "refs/heads/main", merged, cwd=upstream.bare)
    git("update-ref", "-d", f"refs/heads/{BRANCH}", cwd=upstream.bare)
    written = await writes.write(order(target), target, namespace="shop")
    assert (written.commit, written.branch) == (merged, "main")
    assert isinstance(writes.secrets, Secrets)
    assert writes.secrets.asked[:2] == ["write.git.secretRef=shop/git", "write.git.pullRequest.secretRef=shop/forge"]


async def test_a_merge_that_left_another_commit_is_known_by_its_pull_request(
    forge: Forge, writes: GitWrites, target: GitTarget
) -> None:
    await waits(writes, target, order(target))
    forge.merged("e" * 40)
    written = await writes.write(order(target), target, namespace="shop")
    assert (written.commit, written.branch) == ("e" * 40, "main")


async def test_a_pull_request_that_a_person_closed_is_a_no(forge: Forge, writes: GitWrites, target: GitTarget) -> None:
    await waits(writes, target, order(target))
    forge.pulls[0]["state"] = "closed"
    error = await waits(writes, target, order(target))
    assert (error.reason, error.retry_after) == ("PullRequestClosed", None)
    assert error.message.endswith("/acme/shop/pull/7; it is not opened again")


async def test_taking_back_what_was_not_merged_closes_its_pull_request_and_writes_nothing(
    upstream: Upstream, forge: Forge, writes: GitWrites, target: GitTarget
) -> None:
    head = upstream.head()
    for _ in range(2):
        await writes.write(back(target, unsure=True), target, namespace="shop")
        await waits(writes, target, order(target)) if not forge.pulls else None
    assert forge.pulls[0]["state"] == "closed"
    written = await writes.write(back(target, unsure=True), target, namespace="shop")
    assert (written.commit, written.ours, written.fresh) == (head, False, False)


async def test_taking_back_what_was_merged_is_a_pull_request_of_its_own(
    upstream: Upstream, forge: Forge, writes: GitWrites, target: GitTarget
) -> None:
    await waits(writes, target, order(target))
    merged = git("rev-parse", BRANCH, cwd=upstream.bare)
    git("update-ref", "refs/heads/main", merged, cwd=upstream.bare)
    forge.merged(merged)
    error = await waits(writes, target, back(target, unsure=True, undoes=merged))
    assert error.reason == "AwaitingMerge"
    assert [pull["head"] for pull in forge.pulls] == [BRANCH, f"{BRANCH}-back"]
    assert content(upstream, f"{BRANCH}-back") == WEB
