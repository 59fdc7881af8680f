"""The registry client against a real registry: tags, digests, platforms, every kind of login, every kind of bad moment.

What goes wrong is put between the two by a proxy; the registry, its pages, challenges and digests are real.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from patchwright import errors
from patchwright.adapters.registry import pace
from patchwright.domain.images import platforms, scans
from patchwright.domain.images.keyring import ANONYMOUS
from patchwright.domain.images.scans import Memory, Scan, Standing
from patchwright.sandbox import controlplane, images, progress, settings
from support.fault_proxy import Fault, FaultProxy
from support.registries import BASIC, HTPASSWD, PASSWORD, USER, Asking, asking, secret
from support.token_server import TokenServer

pytestmark = pytest.mark.controlplane
NUMBERS = itertools.count(1)
LIMITS = pace.Limits(seconds=2.0)


@contextlib.contextmanager
def registry(wanted: settings.Registry) -> Iterator[str]:
    with controlplane.ControlPlane(
        parts=[settings.REGISTRY], registry=wanted, show=progress.Lines(sys.stderr)
    ) as plane:
        yield plane.registry_url


@pytest.fixture(scope="module")
def open_registry() -> Iterator[str]:
    """A registry that lets everybody in."""
    with registry(settings.Registry()) as url:
        yield url


@pytest.fixture(scope="module")
def basic_registry() -> Iterator[str]:
    """A registry that wants a user and a password."""
    with registry(settings.Registry(htpasswd=HTPASSWD)) as url:
        yield url


@pytest.fixture(scope="module")
def tokens() -> Iterator[TokenServer]:
    with TokenServer() as server:
        yield server


@pytest.fixture(scope="module")
def token_url(tokens: TokenServer) -> Iterator[str]:
    """A registry that wants tokens of that server."""
    with registry(settings.Registry(token=tokens.auth)) as url:
        yield url


@pytest.fixture
def token_server(tokens: TokenServer) -> TokenServer:
    """The token server as it was in the beginning."""
    tokens.users, tokens.anonymous, tokens.lifetime, tokens.valid = {USER: PASSWORD}, False, 300, 300
    tokens.status, tokens.body, tokens.field_name = 200, None, "token"
    tokens.asked.clear()
    return tokens


@pytest.fixture
def repository() -> str:
    """A repository of this test alone."""
    return f"shop/api-{next(NUMBERS)}"


@contextlib.asynccontextmanager
async def behind_a_proxy(url: str, limits: pace.Limits = LIMITS) -> AsyncIterator[tuple[FaultProxy, Asking]]:
    async with FaultProxy(server=url) as proxy, asking(proxy.url, limits=limits) as asked:
        yield proxy, asked


@contextlib.contextmanager
def store(url: str, authorization: str = "") -> Iterator[images.Store]:
    found = images.Store(url, authorization=lambda _: authorization)
    try:
        yield found
    finally:
        found.close()


def token_store(url: str, server: TokenServer) -> images.Store:
    return images.Store(
        url, authorization=lambda name: f"Bearer {server.token([f'repository:{name}:pull,push,delete'])}"
    )


# --- tags and digests -------------------------------------------------------------------------------------------------


async def test_every_page_of_tags_is_read(open_registry: str, repository: str) -> None:
    with store(open_registry) as pushing:
        digest = pushing.push(f"{repository}:v0").digest
        for number in range(1, 7):
            pushing.tag(repository, digest, tag=f"v{number}")
    async with behind_a_proxy(open_registry, replace(LIMITS, page=3)) as (proxy, asked):
        listing = await asked.client.tags(asked.image(repository), ANONYMOUS)
        assert (listing.tags, listing.complete) == (tuple(f"v{number}" for number in range(7)), True)
        assert proxy.count("GET", "/tags/list") == 3


async def test_a_list_of_more_tags_than_anybody_reads_is_not_complete(open_registry: str, repository: str) -> None:
    with store(open_registry) as pushing:
        digest = pushing.push(f"{repository}:v0").digest
        for number in range(1, 7):
            pushing.tag(repository, digest, tag=f"v{number}")
    async with asking(open_registry, limits=replace(LIMITS, page=2, tags=3)) as asked:
        listing = await asked.client.tags(asked.image(repository), ANONYMOUS)
        assert (listing.tags, listing.complete) == (("v0", "v1", "v2"), False)


@pytest.mark.parametrize("kind", [images.OCI, images.DOCKER])
async def test_a_tag_means_the_index_and_not_one_of_its_platforms(
    open_registry: str, repository: str, kind: str
) -> None:
    with store(open_registry) as pushing:
        pushed = pushing.push(f"{repository}:v1", platforms=["linux/amd64", "linux/arm64", "linux/arm/v7"], kind=kind)
    async with asking(open_registry) as asked:
        image = asked.image(f"{repository}:v1")
        assert await asked.client.digest(image, ANONYMOUS) == pushed.digest
        found = await asked.client.describe(image, ANONYMOUS)
        assert found.digest == pushed.digest
        assert found.digests == {pushed.digest, *pushed.children.values()}
        wanted = [platforms.parse(each) for each in ("linux/amd64", "linux/s390x")]
        assert [str(each) for each in platforms.missing(wanted, found.platforms)] == ["linux/s390x"]


@pytest.mark.parametrize("kind", [images.OCI, images.DOCKER])
async def test_an_image_of_one_platform_says_in_its_config_which(
    open_registry: str, repository: str, kind: str
) -> None:
    with store(open_registry) as pushing:
        pushed = pushing.push(
            f"{repository}:v1", platforms=["linux/arm64/v8"], kind=kind, created="2026-03-01T12:00:00Z"
        )
    async with asking(open_registry) as asked:
        image = asked.image(f"{repository}:v1")
        found = await asked.client.describe(image, ANONYMOUS)
        assert found.digests == {pushed.digest} == set(pushed.children.values())
        assert [str(each) for each in found.platforms] == ["linux/arm64"]
        assert await asked.client.created(image, ANONYMOUS) == datetime(2026, 3, 1, 12, tzinfo=UTC)


async def test_when_an_index_was_made_is_what_its_first_platform_says(open_registry: str, repository: str) -> None:
    with store(open_registry) as pushing:
        pushing.push(
            f"{repository}:v1", platforms=["linux/amd64", "linux/arm64"], created="2026-03-01T12:00:00.123456789Z"
        )
    async with asking(open_registry) as asked:
        created = await asked.client.created(asked.image(f"{repository}:v1"), ANONYMOUS)
        assert created == datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


async def test_what_is_known_by_digest_is_not_asked_for_again(open_registry: str, repository: str) -> None:
    with store(open_registry) as pushing:
        pushed = pushing.push(f"{repository}:v1", platforms=["linux/amd64"])
    async with asking(open_registry) as asked:
        image = asked.image(repository).pinned(pushed.digest)
        first = await asked.client.describe(image, ANONYMOUS)
        cost = asked.tally.of()
        assert await asked.client.describe(image, ANONYMOUS) == first
        assert asked.tally.of() == cost


async def test_a_moved_tag_is_noticed_and_an_unmoved_one_costs_a_304(open_registry: str, repository: str) -> None:
    with store(open_registry) as pushing:
        first = pushing.push(f"{repository}:v1", content="one")
        async with asking(open_registry) as asked:
            image = asked.image(f"{repository}:v1")
            for _ in range(3):
                assert await asked.client.digest(image, ANONYMOUS) == first.digest
            assert asked.tally.of(image.name, what="manifest", code="304") == 2
            second = pushing.push(f"{repository}:v1", content="two")
            assert await asked.client.digest(image, ANONYMOUS) == second.digest
            assert asked.tally.of(image.name) == 4


async def test_only_heads_are_sent_for_a_digest(open_registry: str, repository: str) -> None:
    with store(open_registry) as pushing:
        pushed = pushing.push(f"{repository}:v1")
    async with behind_a_proxy(open_registry) as (proxy, asked):
        await asked.client.digest(asked.image(f"{repository}:v1"), ANONYMOUS)
        assert await asked.client.exists(asked.image(repository).pinned(pushed.digest), ANONYMOUS)
        assert [seen.method for seen in proxy.seen] == ["HEAD", "HEAD"]


async def test_a_deleted_image_exists_no_more_and_a_broken_registry_says_nothing_of_it(
    open_registry: str, repository: str
) -> None:
    with store(open_registry) as pushing:
        pushed = pushing.push(f"{repository}:v1")
        async with behind_a_proxy(open_registry) as (proxy, asked):
            image = asked.image(repository).pinned(pushed.digest)
            assert await asked.client.exists(image, ANONYMOUS)
            fault = proxy.inject(Fault("/manifests/", status=503))
            with pytest.raises(errors.RegistryUnavailable):
                await asked.client.exists(image, ANONYMOUS)
            assert fault.hits == 3
            proxy.clear()
            pushing.remove(repository, pushed.digest)
            assert not await asked.client.exists(image, ANONYMOUS)


async def test_what_the_registry_has_not_is_named(open_registry: str) -> None:
    async with asking(open_registry) as asked:
        with pytest.raises(errors.ImageNotFound) as caught:
            await asked.client.digest(asked.image("shop/none:v1"), ANONYMOUS)
        assert str(caught.value) == (
            f"Registry {asked.host} has no {asked.host}/shop/none:v1 (manifest: 404); see that it was pushed, and that "
            "the pull secret may see it"
        )
        with pytest.raises(errors.ImageNotFound):
            await asked.client.tags(asked.image("shop/none"), ANONYMOUS)


# --- logins -----------------------------------------------------------------------------------------------------------


async def test_a_password_is_sent_once_it_is_asked_for_and_then_at_once(basic_registry: str, repository: str) -> None:
    with store(basic_registry, BASIC) as pushing:
        pushed = pushing.push(f"{repository}:v1")
    async with behind_a_proxy(basic_registry) as (proxy, asked):
        ring = asked.client.keyring({"regcred": secret(asked.host)})
        image = asked.image(f"{repository}:v1")
        for _ in range(3):
            assert await asked.client.digest(image, ring) == pushed.digest
        assert [seen.authorization for seen in proxy.seen] == ["", BASIC, BASIC, BASIC]


async def test_a_wrong_password_is_refused_and_not_shown(basic_registry: str, repository: str) -> None:
    async with asking(basic_registry) as asked:
        ring = asked.client.keyring({"regcred": secret(asked.host, password="hunter2")})
        with pytest.raises(errors.RegistryAuthFailed) as caught:
            await asked.client.digest(asked.image(f"{repository}:v1"), ring)
        assert caught.value.retry_after == 300
        assert str(caught.value) == (
            f"Registry {asked.host} does not show {asked.host}/{repository}:v1: it answers 401; check the pull secret, "
            "and that there is such a repository"
        )


async def test_without_a_login_it_is_said_that_one_is_wanted(basic_registry: str, repository: str) -> None:
    async with asking(basic_registry) as asked:
        with pytest.raises(errors.RegistryAuthFailed, match="it wants a login"):
            await asked.client.tags(asked.image(repository), ANONYMOUS)


async def test_an_old_password_beside_the_new_one_does_no_harm(basic_registry: str, repository: str) -> None:
    with store(basic_registry, BASIC) as pushing:
        pushed = pushing.push(f"{repository}:v1")
    async with asking(basic_registry) as asked:
        secrets = {"old": secret(asked.host, password="old"), "new": secret(asked.host)}
        found = await asked.client.digest(asked.image(f"{repository}:v1"), asked.client.keyring(secrets))
        assert found == pushed.digest


async def test_a_login_for_another_host_stays_at_home(basic_registry: str, repository: str) -> None:
    async with behind_a_proxy(basic_registry) as (proxy, asked):
        ring = asked.client.keyring({"regcred": secret("registry.example.com")})
        with pytest.raises(errors.RegistryAuthFailed):
            await asked.client.digest(asked.image(f"{repository}:v1"), ring)
        assert {seen.authorization for seen in proxy.seen} == {""}


async def test_a_token_is_asked_for_once_and_only_for_reading(
    token_url: str, token_server: TokenServer, repository: str
) -> None:
    with contextlib.closing(token_store(token_url, token_server)) as pushing:
        pushed = pushing.push(f"{repository}:v1", platforms=["linux/amd64"])
    async with asking(token_url) as asked:
        ring = asked.client.keyring({"regcred": secret(asked.host)})
        image = asked.image(f"{repository}:v1")
        assert await asked.client.digest(image, ring) == pushed.digest
        assert (await asked.client.describe(image, ring)).digest == pushed.digest
        assert (await asked.client.tags(image, ring)).tags == ("v1",)
        [once] = token_server.asked
        assert once.scopes == (f"repository:{repository}:pull",)
        assert once.authorization == BASIC
        assert asked.tally.of(image.name, code="401") == 1
        assert asked.tally.of(image.name, what="token") == 1


async def test_many_who_want_the_same_token_fetch_it_once(
    token_url: str, token_server: TokenServer, repository: str
) -> None:
    with contextlib.closing(token_store(token_url, token_server)) as pushing:
        pushed = pushing.push(f"{repository}:v1")
    async with asking(token_url, limits=replace(LIMITS, at_once=16)) as asked:
        ring = asked.client.keyring({"regcred": secret(asked.host)})
        image = asked.image(f"{repository}:v1")
        found = await asyncio.gather(*(asked.client.digest(image, ring) for _ in range(16)))
        assert set(found) == {pushed.digest}
        assert len(token_server.asked) == 1


async def test_a_token_is_renewed_before_it_expires(token_url: str, token_server: TokenServer, repository: str) -> None:
    with contextlib.closing(token_store(token_url, token_server)) as pushing:
        pushed = pushing.push(f"{repository}:v1")
    async with asking(token_url) as asked:
        ring, image = asked.client.keyring({"regcred": secret(asked.host)}), asked.image(f"{repository}:v1")
        await asked.client.digest(image, ring)
        asked.time.seconds += 289
        await asked.client.digest(image, ring)
        assert len(token_server.asked) == 1
        asked.time.seconds += 2
        assert await asked.client.digest(image, ring) == pushed.digest
        assert len(token_server.asked) == 2


async def test_a_token_that_is_revoked_early_is_fetched_anew(
    token_url: str, token_server: TokenServer, repository: str
) -> None:
    with contextlib.closing(token_store(token_url, token_server)) as pushing:
        pushed = pushing.push(f"{repository}:v1")
    async with behind_a_proxy(token_url) as (proxy, asked):
        ring, image = asked.client.keyring({"regcred": secret(asked.host)}), asked.image(f"{repository}:v1")
        await asked.client.digest(image, ring)
        realm = {"WWW-Authenticate": f'Bearer realm="{token_server.url}",service="{token_server.auth.service}"'}
        proxy.inject(Fault("/manifests/", status=401, headers=realm, times=1))
        assert await asked.client.digest(image, ring) == pushed.digest
        assert len(token_server.asked) == 2


async def test_a_token_that_the_registry_does_not_believe_is_tried_once(
    token_url: str, token_server: TokenServer, repository: str
) -> None:
    token_server.valid = 0
    async with asking(token_url) as asked:
        ring, image = asked.client.keyring({"regcred": secret(asked.host)}), asked.image(f"{repository}:v1")
        with pytest.raises(errors.RegistryAuthFailed, match="it answers 401"):
            await asked.client.digest(image, ring)
        assert len(token_server.asked) == 1


async def test_a_public_repository_is_open_to_nobody_in_particular(
    token_url: str, token_server: TokenServer, repository: str
) -> None:
    with contextlib.closing(token_store(token_url, token_server)) as pushing:
        pushed = pushing.push(f"{repository}:v1")
    token_server.anonymous, token_server.field_name = True, "access_token"
    async with asking(token_url) as asked:
        assert await asked.client.digest(asked.image(f"{repository}:v1"), ANONYMOUS) == pushed.digest
        assert token_server.asked[-1].authorization == ""


@pytest.mark.parametrize(
    ("anonymous", "words"),
    [(True, "its token server refuses anonymous access (401)"), (False, "refuses the login (401)")],
)
async def test_who_is_refused_a_token_is_told_so(
    token_url: str, token_server: TokenServer, repository: str, *, anonymous: bool, words: str
) -> None:
    token_server.users = {}
    async with asking(token_url) as asked:
        ring = ANONYMOUS if anonymous else asked.client.keyring({"regcred": secret(asked.host)})
        with pytest.raises(errors.RegistryAuthFailed) as caught:
            await asked.client.digest(asked.image(f"{repository}:v1"), ring)
        assert words in str(caught.value)
        assert PASSWORD not in str(caught.value)


async def test_a_token_server_in_trouble_is_asked_again_and_then_named(
    token_url: str, token_server: TokenServer, repository: str
) -> None:
    token_server.status = 503
    async with asking(token_url) as asked:
        with pytest.raises(errors.RegistryUnavailable, match=r"its token server does not answer \(it answers 503"):
            await asked.client.digest(asked.image(f"{repository}:v1"), ANONYMOUS)
        assert len(token_server.asked) == 3


# --- bad moments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fault", "slept"), [
    (Fault("/v2/", status=500, times=2), [0.375, 0.75]),
    (Fault("/v2/", status=502, times=2), [0.375, 0.75]),
    (Fault("/v2/", truncate=5, times=2), [0.375, 0.75]),
    # aiohttp itself asks once more, and at once, when a connection is closed without an answer.
    (Fault("/v2/", reset=True, times=3), [0.375]),
    (Fault("/v2/", lose_answer=True, times=3), [0.375]),
    (Fault("/v2/", status=429, times=2), [2.0, 4.0]),
    (Fault("/v2/", status=503, retry_after=7, times=2), [7.0, 7.0]),
])  # fmt: skip
async def test_bad_moments_are_waited_out(
    open_registry: str, repository: str, fault: Fault, slept: list[float]
) -> None:
    fault = replace(fault, hits=0)
    with store(open_registry) as pushing:
        pushing.push(f"{repository}:v1")
    async with behind_a_proxy(open_registry) as (proxy, asked):
        proxy.inject(fault)
        assert (await asked.client.tags(asked.image(repository), ANONYMOUS)).tags == ("v1",)
        assert fault.hits == fault.times
        assert asked.time.slept == slept


async def test_a_list_that_breaks_off_is_an_error_and_never_a_short_list(open_registry: str, repository: str) -> None:
    with store(open_registry) as pushing:
        digest = pushing.push(f"{repository}:v0").digest
        for number in range(1, 4):
            pushing.tag(repository, digest, tag=f"v{number}")
    async with behind_a_proxy(open_registry, replace(LIMITS, page=2)) as (proxy, asked):
        proxy.inject(Fault("last=v1", truncate=20))
        with pytest.raises(errors.RegistryUnavailable, match="the answer breaks off"):
            await asked.client.tags(asked.image(repository), ANONYMOUS)
        proxy.clear()
        # A body that ends early but in good order is no JSON.
        proxy.inject(Fault("last=v1", replace=(b'"v3"]}', b'"v')))
        with pytest.raises(errors.RegistryUnusable, match=r"its list of tags cannot be read \(it is no JSON"):
            await asked.client.tags(asked.image(repository), ANONYMOUS)


async def test_a_slow_registry_is_given_up_in_time(open_registry: str, repository: str) -> None:
    async with behind_a_proxy(open_registry, pace.Limits(seconds=0.2)) as (proxy, asked):
        proxy.inject(Fault("/v2/", delay=30))
        with pytest.raises(errors.RegistryUnavailable) as caught:
            await asyncio.wait_for(asked.client.digest(asked.image(f"{repository}:v1"), ANONYMOUS), 5)
        assert str(caught.value) == (
            f"Registry {asked.host} does not answer for {asked.host}/{repository}:v1: the whole answer did not come in "
            "time; it is asked again, see that it runs and can be reached from the operator"
        )
        assert caught.value.reason == "RegistryUnavailable"


async def test_a_registry_that_is_down_is_named_and_comes_back(repository: str) -> None:
    with controlplane.ControlPlane(parts=[settings.REGISTRY]) as plane:
        with store(plane.registry_url) as pushing:
            pushed = pushing.push(f"{repository}:v1")
        async with asking(plane.registry_url, limits=LIMITS) as asked:
            image = asked.image(f"{repository}:v1")
            assert await asked.client.digest(image, ANONYMOUS) == pushed.digest
            plane.kill_component("registry")
            with pytest.raises(errors.RegistryUnavailable, match="the connection"):
                await asked.client.digest(image, ANONYMOUS)
            plane.start_component("registry")
            assert await asked.client.digest(image, ANONYMOUS) == pushed.digest


async def test_a_registry_that_limits_us_is_left_alone_for_as_long_as_it_says(
    open_registry: str, repository: str
) -> None:
    with store(open_registry) as pushing:
        pushed = pushing.push(f"{repository}:v1")
    async with behind_a_proxy(open_registry) as (proxy, asked):
        image, other = asked.image(f"{repository}:v1"), asked.image("shop/another:v1")
        limited = proxy.inject(Fault(f"/{repository}/", status=429, retry_after=120))
        with pytest.raises(errors.RegistryUnavailable) as caught:
            await asked.client.digest(image, ANONYMOUS)
        assert (caught.value.reason, caught.value.retry_after) == ("RateLimited", 120)
        assert "limits its requests and is asked again" in str(caught.value)
        with pytest.raises(errors.RegistryUnavailable) as caught:
            await asked.client.digest(other, ANONYMOUS)
        assert (caught.value.reason, caught.value.retry_after) == ("RateLimited", 120)
        assert "is left alone for 120 s more" in str(caught.value)
        assert limited.hits == len(proxy.seen) == 1, "nobody else was asked meanwhile, and nothing was asked twice"
        asked.time.seconds += 121
        proxy.clear()
        assert await asked.client.digest(image, ANONYMOUS) == pushed.digest


async def test_no_more_is_asked_in_a_second_than_was_agreed(open_registry: str, repository: str) -> None:
    with store(open_registry) as pushing:
        pushing.push(f"{repository}:v1")
    async with asking(open_registry, limits=replace(LIMITS, per_second=5, burst=10, at_once=1)) as asked:
        began = asked.time.seconds
        for _ in range(35):
            await asked.client.digest(asked.image(f"{repository}:v1"), ANONYMOUS)
        assert asked.time.seconds - began == pytest.approx(5.0)


@pytest.mark.parametrize("said", [f"sha256:{'0' * 64}", f"sha512:{'0' * 128}"])
async def test_a_body_that_is_not_what_its_digest_says_is_not_believed(
    open_registry: str, repository: str, said: str
) -> None:
    with store(open_registry) as pushing:
        pushed = pushing.push(f"{repository}:v1", platforms=["linux/amd64", "linux/arm64"])
    async with behind_a_proxy(open_registry) as (proxy, asked):
        pinned = asked.image(repository).pinned(pushed.digest)
        proxy.inject(Fault("/manifests/", headers={"Docker-Content-Digest": said}))
        with pytest.raises(errors.RegistryUnusable, match="does not have the digest that it should have"):
            await asked.client.describe(pinned, ANONYMOUS)
        with pytest.raises(errors.RegistryUnusable, match="another digest than the one it was asked for"):
            await asked.client.exists(pinned, ANONYMOUS)
        proxy.clear()
        proxy.inject(Fault("/manifests/", "GET", replace=(b"arm64", b"amd64")))
        with pytest.raises(errors.RegistryUnusable, match="does not have the digest"):
            await asked.client.describe(pinned, ANONYMOUS)
        proxy.clear()
        assert (await asked.client.describe(pinned, ANONYMOUS)).digest == pushed.digest, "and none of it was kept"


async def test_a_config_that_is_not_the_manifests_is_not_believed(open_registry: str, repository: str) -> None:
    with store(open_registry) as pushing:
        pushing.push(f"{repository}:v1", platforms=["linux/amd64"])
    async with behind_a_proxy(open_registry) as (proxy, asked):
        proxy.inject(Fault("/blobs/", replace=(b"amd64", b"arm64")))
        with pytest.raises(errors.RegistryUnusable, match="its config does not have the digest"):
            await asked.client.describe(asked.image(f"{repository}:v1"), ANONYMOUS)


async def test_a_registry_that_says_no_digest_is_asked_for_the_body(open_registry: str, repository: str) -> None:
    with store(open_registry) as pushing:
        pushed = pushing.push(f"{repository}:v1", platforms=["linux/amd64", "linux/arm64"])
    async with behind_a_proxy(open_registry) as (proxy, asked):
        proxy.inject(Fault("/manifests/", headers={"Docker-Content-Digest": "", "ETag": ""}))
        assert await asked.client.digest(asked.image(f"{repository}:v1"), ANONYMOUS) == pushed.digest
        assert [seen.method for seen in proxy.seen] == ["HEAD", "GET"]


async def test_a_blob_that_is_kept_elsewhere_is_fetched_there_without_the_login(
    basic_registry: str, open_registry: str, repository: str
) -> None:
    for url, login in ((basic_registry, BASIC), (open_registry, "")):
        with store(url, login) as pushing:
            pushed = pushing.push(f"{repository}:v1", platforms=["linux/amd64"])
    config = pushed.configs["linux/amd64"]
    async with behind_a_proxy(basic_registry) as (proxy, asked), FaultProxy(server=open_registry) as elsewhere:
        ring = asked.client.keyring({"regcred": secret(asked.host)})
        where = f"{elsewhere.url}/v2/{repository}/blobs/{config}?signature=secret"
        proxy.inject(Fault("/blobs/", status=307, headers={"Location": where}))
        found = await asked.client.describe(asked.image(f"{repository}:v1"), ring)
        assert [str(each) for each in found.platforms] == ["linux/amd64"]
        assert [seen.authorization for seen in elsewhere.seen] == [""]
        assert proxy.seen[-1].authorization == BASIC


# --- scans ------------------------------------------------------------------------------------------------------------


async def test_a_registry_that_loses_and_finds_tags_makes_nobody_forget(open_registry: str, repository: str) -> None:
    with store(open_registry) as pushing:
        pushed = pushing.push(f"{repository}:v1")
        pushing.tag(repository, pushed.digest, tag="v2")
        async with behind_a_proxy(open_registry) as (proxy, asked):
            memory = Memory()
            for fault in (None, Fault("/tags/", replace=(b',"v2"', b"")), None, Fault("/tags/", status=503), None):
                proxy.clear()
                if fault is not None:
                    proxy.inject(fault)
                memory = await scanned(asked, repository, memory)
                assert set(memory.tags) == {"v1", "v2"}
            proxy.clear()
            pushing.remove_tag(f"{repository}:v2")
            memory = await scanned(asked, repository, memory)
            assert scans.standing(memory.tags["v2"]) is Standing.MISSED
            memory = await scanned(asked, repository, memory)
            assert set(memory.tags) == {"v1"}


async def test_a_tag_that_flaps_between_two_replicas_moves_nothing(open_registry: str, repository: str) -> None:
    with store(open_registry) as pushing:
        first = pushing.push(f"{repository}:v1", content="one")
        async with asking(open_registry) as asked:
            memory = Memory()
            for content in ("one", "one", "two", "one", "two", "one", "two"):
                pushing.push(f"{repository}:v1", content=content)
                memory = await scanned(asked, repository, memory)
                assert memory.tags["v1"].digest == first.digest
            assert scans.standing(memory.tags["v1"]) is Standing.FLAPPING


async def scanned(asked: Asking, repository: str, memory: Memory) -> Memory:
    """Scan as the pipeline will: list, resolve what is listed, remember; a failed scan is none."""
    image, at = asked.image(repository), datetime.fromtimestamp(asked.time.seconds, UTC)
    asked.time.seconds += 600
    try:
        listing = await asked.client.tags(image, ANONYMOUS)
        digests = {tag: await asked.client.digest(image.tagged(tag), ANONYMOUS) for tag in listing.tags}
    except errors.RegistryError:
        return memory
    return scans.remember(memory, Scan(at, frozenset(listing.tags), listing.complete, digests))
