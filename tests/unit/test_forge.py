"""Pull requests on hosts that no machine of ours can run, by their published APIs, and what goes wrong with any."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from aiohttp import web

from patchwright.adapters.forge import ForgeClient, wire
from patchwright.domain.sources import Credentials
from patchwright.domain.writeback.proposals import Host, Proposal, ProposalState, Provider, PullRequest, api_root
from patchwright.errors import WriteBackError
from support import forges
from support.forges import TOKEN, Forge

PROPOSAL = Proposal("patchwright/web-1.3", "main", "Set web to 1.3", "by a rollout")
PROVIDERS = [Provider.GITHUB, Provider.GITLAB]


@pytest.fixture
async def client() -> AsyncIterator[ForgeClient]:
    async with ForgeClient() as found:
        yield found


@pytest.fixture(params=PROVIDERS)
async def forge(request: pytest.FixtureRequest) -> AsyncIterator[Forge]:
    serve = forges.github if request.param is Provider.GITHUB else forges.gitlab
    async with serve() as found:
        yield found


@pytest.fixture
def host(request: pytest.FixtureRequest, forge: Forge) -> Host:
    provider = request.node.callspec.params["forge"]
    return Host(provider, f"{forge.url}/acme/shop.git", credentials=Credentials(username="x", password=TOKEN))


async def failure_of(client: ForgeClient, host: Host) -> WriteBackError:
    with pytest.raises(WriteBackError) as caught:
        await client.ensure(host, PROPOSAL)
    assert caught.value.reason == "PullRequestFailed"
    assert TOKEN not in caught.value.message
    return caught.value


async def test_one_is_opened_for_a_branch_and_found_again(client: ForgeClient, forge: Forge, host: Host) -> None:
    assert await client.find(host, PROPOSAL) is None
    opened = await client.ensure(host, PROPOSAL)
    assert (opened.number, opened.state, opened.commit) == (7, ProposalState.OPEN, "")
    assert opened.url.startswith(f"{forge.url}/acme/shop/")
    assert await client.ensure(host, PROPOSAL) == opened
    assert await client.find(host, replace(PROPOSAL, head="another")) is None
    assert [asked.split(" ")[0] for asked in forge.asked] == ["GET", "GET", "POST", "GET", "GET"]


async def test_one_that_is_merged_says_by_which_commit_and_is_not_closed(
    client: ForgeClient, forge: Forge, host: Host
) -> None:
    opened = await client.ensure(host, PROPOSAL)
    forge.merged("a" * 40)
    merged = await client.ensure(host, PROPOSAL)
    assert merged == PullRequest(7, opened.url, ProposalState.MERGED, commit="a" * 40)
    assert await client.close(host, 7) == merged
    assert forge.asked[-1].startswith("GET")


async def test_one_that_is_closed_stays_closed(client: ForgeClient, forge: Forge, host: Host) -> None:
    await client.ensure(host, PROPOSAL)
    closed = await client.close(host, 7)
    assert closed.state is ProposalState.CLOSED
    assert await client.ensure(host, PROPOSAL) == closed
    assert len(forge.pulls) == 1


async def test_whoever_loses_a_race_finds_the_one_of_the_other(client: ForgeClient, forge: Forge, host: Host) -> None:
    opened = await client.ensure(host, PROPOSAL)
    forge.hidden = 1
    assert await client.ensure(host, PROPOSAL) == opened


async def test_a_branch_without_a_change_is_told(client: ForgeClient, forge: Forge, host: Host) -> None:
    same = replace(PROPOSAL, head="main")
    with pytest.raises(WriteBackError, match=r"it refuses it; check that main and main are there and differ\.\Z"):
        await client.ensure(host, same)


@pytest.mark.parametrize(
    ("answer", "said", "retry_after"),
    [
        (lambda: web.Response(status=401), "it refuses the token; check the Secret", 300.0),
        (lambda: web.Response(status=403), "the token may not do that; give it the right to open pull requests", 300.0),
        (
            lambda: web.Response(status=403, headers={"Retry-After": "7"}),
            "it limits its requests; it is asked again in 7 s",
            7,
        ),
        (lambda: web.Response(status=429), "it limits its requests; it is asked again in 60 s", 60.0),
        (lambda: web.Response(status=404), "there is no such repository, or the token may not see it", 300.0),
        (lambda: web.Response(status=502, text="internal-host"), "it answers 502; it is tried again", 60.0),
        (lambda: web.Response(status=302, headers={"Location": "https://thief.example"}), "it answers 302", 300.0),
        (lambda: web.Response(text="<html>internal-host"), "what answers is no API; check pullRequest.address", 60.0),
        (lambda: web.json_response({"a": 1}), "its answer cannot be read; check pullRequest.provider", 60.0),
        (lambda: web.json_response([{"a": 1}]), "its answer cannot be read; check pullRequest.provider", 60.0),
        (lambda: web.json_response(["x" * (wire.BYTES + 1)]), "what answers is no API", 60.0),
    ],
)
async def test_what_a_host_answers_instead_is_told_in_our_words(
    client: ForgeClient, forge: Forge, host: Host, answer: Callable[[], web.Response], said: str, retry_after: float
) -> None:
    forge.answer = answer
    error = await failure_of(client, host)
    assert error.message.startswith(f"{host.provider} project acme/shop: cannot look for the ")
    assert said in error.message
    assert error.retry_after == retry_after
    assert "internal-host" not in error.message


async def test_a_host_that_is_away_is_told(client: ForgeClient, host: Host) -> None:
    away = replace(host, api="http://127.0.0.1:9/api")
    assert "the API does not answer; it is tried again" in (await failure_of(client, away)).message


async def test_an_answer_to_closing_that_makes_no_sense_is_told(client: ForgeClient, forge: Forge, host: Host) -> None:
    forge.answer = lambda: web.json_response({"number": 1, "iid": 1, "state": "?"})
    with pytest.raises(WriteBackError, match="its answer cannot be read"):
        await client.close(host, 7)


@pytest.mark.parametrize(
    ("provider", "url", "api", "root"),
    [
        (Provider.GITHUB, "https://github.com/a/b", "", "https://api.github.com"),
        (Provider.GITHUB, "https://git.acme.example/a/b.git", "", "https://git.acme.example/api/v3"),
        (Provider.GITLAB, "https://gitlab.com/a/sub/b", "", "https://gitlab.com/api/v4"),
        (Provider.GITEA, "http://git.acme.example:3000/a/b", "", "http://git.acme.example:3000/api/v1"),
        (Provider.GITEA, "ssh://git@git.acme.example:2222/a/b.git", "", "https://git.acme.example/api/v1"),
        (
            Provider.GITEA,
            "ssh://git@x/a/b",
            "https://git.acme.example/root/api/v1/",
            "https://git.acme.example/root/api/v1",
        ),
    ],
)
def test_the_api_is_where_its_provider_has_it(provider: Provider, url: str, api: str, root: str) -> None:
    assert api_root(Host(provider, url, api)) == root


def test_a_token_is_a_bearer_token_or_a_password_and_never_shown() -> None:
    host = Host(Provider.GITHUB, "https://github.com/a/b", credentials=Credentials(bearer_token=TOKEN, password="p"))
    assert host.token == TOKEN
    assert TOKEN not in repr(host)
    assert Host(Provider.GITLAB, "https://gitlab.com/a/sub/b.git").project == "a/sub/b"
