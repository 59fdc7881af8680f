"""Write-back and pull requests against a real Gitea: opened, merged, closed, refused by a protected branch."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from patchwright.adapters.forge import ForgeClient
from patchwright.adapters.git import GitWriteBack
from patchwright.domain.model import Key
from patchwright.domain.sources import Credentials
from patchwright.domain.writeback.edits import Swap
from patchwright.domain.writeback.orders import Destination, Step, WriteOrder
from patchwright.domain.writeback.places import Scope
from patchwright.domain.writeback.proposals import Host, Proposal, ProposalState, Provider
from patchwright.domain.writeback.versions import Version
from patchwright.errors import WriteBackError
from patchwright.sandbox import binaries, gitea

pytestmark = pytest.mark.skipif(
    bool(binaries.missing(["gitea"])), reason="Gitea is not built: patchwright sandbox build --with gitea"
)

NEW = "sha256:" + "b" * 64
SWAP = Swap(Scope("ghcr.io/acme/web"), was=Version("1.2"), to=Version("1.3", NEW))
WEB = "image:\n  repository: ghcr.io/acme/web # ours\n  tag: '1.2'\n"
AFTER = WEB.replace("'1.2'", f"'1.3@{NEW}'")
_NUMBERS = count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gitea.Gitea]:
    with gitea.Gitea(tmp_path_factory.mktemp("gitea")) as running:
        yield running


@pytest.fixture
def name(server: gitea.Gitea) -> str:
    """Make a repository with one file."""
    name = f"shop-{next(_NUMBERS)}"
    server.api("POST", "/user/repos", {"name": name, "auto_init": True, "default_branch": "main"})
    content = base64.b64encode(WEB.encode()).decode()
    body = {"content": content, "message": "web", "branch": "main"}
    server.api("POST", f"/repos/{gitea.USER}/{name}/contents/prod/web.yaml", body)
    return name


@pytest.fixture
def order(server: gitea.Gitea, name: str) -> WriteOrder:
    now = datetime.now(UTC)
    step = Step(Key("shop", "web-1.3"), "uid-1", "canary", now, now - timedelta(minutes=5))
    credentials = Credentials(username=gitea.USER, password=server.token)
    place = Destination(server.repository(name), "main", path="prod", credentials=credentials)
    return WriteOrder(place, step, (SWAP,))


@pytest.fixture
def host(server: gitea.Gitea, name: str) -> Host:
    return Host(Provider.GITEA, server.repository(name), credentials=Credentials(bearer_token=server.token))


@pytest.fixture
async def forge() -> AsyncIterator[ForgeClient]:
    async with ForgeClient() as client:
        yield client


@pytest.fixture
def writer(tmp_path: Path) -> GitWriteBack:
    return GitWriteBack(tmp_path / "cache")


def content(server: gitea.Gitea, name: str, branch: str = "main") -> str:
    found = server.api("GET", f"/repos/{gitea.USER}/{name}/contents/prod/web.yaml?ref={branch}")
    return base64.b64decode(found["content"]).decode()


async def proposed(writer: GitWriteBack, order: WriteOrder) -> tuple[WriteOrder, Proposal]:
    branch = "patchwright/web-1.3/canary"
    order = replace(order, place=replace(order.place, push_branch=branch))
    await writer.write(order)
    return order, Proposal(branch, "main", "Set ghcr.io/acme/web to 1.3", "by rollout shop/web-1.3")


async def test_a_commit_arrives_and_is_taken_back(
    server: gitea.Gitea, writer: GitWriteBack, order: WriteOrder, name: str
) -> None:
    written = await writer.write(order)
    assert content(server, name) == AFTER
    assert (await writer.write(order)).commit == written.commit
    back = replace(order, back_of="canary", undoes=written.commit, step=replace(order.step, name="rollback"))
    await writer.write(back)
    assert content(server, name) == WEB


async def test_a_pull_request_is_opened_once_and_says_when_it_is_merged(
    server: gitea.Gitea, writer: GitWriteBack, order: WriteOrder, host: Host, forge: ForgeClient, name: str
) -> None:
    order, proposal = await proposed(writer, order)
    assert await forge.find(host, proposal) is None
    opened = await forge.ensure(host, proposal)
    assert opened.state is ProposalState.OPEN
    assert opened.url == f"{server.url}/{gitea.USER}/{name}/pulls/{opened.number}"
    assert await forge.ensure(host, proposal) == opened
    assert len(server.api("GET", f"/repos/{gitea.USER}/{name}/pulls?state=all")) == 1
    path = f"/repos/{gitea.USER}/{name}/pulls/{opened.number}"
    shown = server.api("GET", path)
    assert (shown["title"], shown["body"]) == (proposal.title, proposal.body)
    server.merge(path)
    merged = await forge.find(host, proposal)
    assert merged is not None
    assert merged.state is ProposalState.MERGED
    assert merged.commit == server.api("GET", f"/repos/{gitea.USER}/{name}/branches/main")["commit"]["id"]
    assert await forge.close(host, opened.number) == merged
    assert content(server, name) == AFTER
    again = await writer.write(replace(order, place=replace(order.place, push_branch="")))
    assert not again.fresh


async def test_a_squashed_pull_request_is_taken_back_by_the_versions(
    server: gitea.Gitea, writer: GitWriteBack, order: WriteOrder, host: Host, forge: ForgeClient, name: str
) -> None:
    direct, (order, proposal) = order, await proposed(writer, order)
    opened = await forge.ensure(host, proposal)
    server.merge(f"/repos/{gitea.USER}/{name}/pulls/{opened.number}")
    merged = await forge.find(host, proposal)
    assert merged is not None
    await writer.write(
        replace(direct, back_of="canary", undoes=merged.commit, step=replace(order.step, name="rollback"))
    )
    assert content(server, name) == WEB


async def test_a_pull_request_is_closed_on_abort_and_stays_so(
    writer: GitWriteBack, order: WriteOrder, host: Host, forge: ForgeClient
) -> None:
    _, proposal = await proposed(writer, order)
    opened = await forge.ensure(host, proposal)
    closed = await forge.close(host, opened.number)
    assert closed == replace(opened, state=ProposalState.CLOSED)
    assert await forge.ensure(host, proposal) == closed


async def test_a_protected_branch_refuses_the_push_and_takes_a_pull_request(
    server: gitea.Gitea, writer: GitWriteBack, order: WriteOrder, host: Host, forge: ForgeClient, name: str
) -> None:
    server.api("POST", f"/repos/{gitea.USER}/{name}/branch_protections", {"rule_name": "main", "enable_push": False})
    with pytest.raises(WriteBackError) as caught:
        await writer.write(order)
    assert caught.value.reason == "PushRefused"
    assert "the server refuses it (a protected branch, or a hook); let the account push there" in str(caught.value)
    assert content(server, name) == WEB
    _, proposal = await proposed(writer, order)
    assert (await forge.ensure(host, proposal)).state is ProposalState.OPEN


async def test_a_branch_without_a_change_a_bad_token_and_a_missing_project_are_told(
    server: gitea.Gitea, host: Host, forge: ForgeClient
) -> None:
    with pytest.raises(WriteBackError) as caught:
        await forge.ensure(host, Proposal("nowhere", "main", "t"))
    assert caught.value.reason == "PullRequestFailed"
    secret = "not-the-token-of-anybody"
    stranger = replace(host, credentials=Credentials(bearer_token=secret))
    with pytest.raises(WriteBackError, match="it refuses the token; check the Secret") as caught:
        await forge.ensure(stranger, Proposal("x", "main", "t"))
    assert secret not in str(caught.value)
    gone = replace(host, url=server.repository("gone"))
    with pytest.raises(WriteBackError, match="there is no such repository, or the token may not see it"):
        await forge.ensure(gone, Proposal("x", "main", "t"))
