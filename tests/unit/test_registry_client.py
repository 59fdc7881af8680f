"""The registry client against servers that mean ill, or know no better; the real registry is in tests/controlplane."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from patchwright import errors
from patchwright.adapters.registry import RegistryClient, pace
from patchwright.adapters.registry.addresses import Addresses
from patchwright.domain.images import reference
from patchwright.domain.images.keyring import ANONYMOUS
from patchwright.sandbox import pki
from support.registries import BASIC, PASSWORD, Asking, Hourglass, asking, secret

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
SHA = f"sha256:{'a' * 64}"
LIMITS = pace.Limits(seconds=2.0)


def digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


@contextlib.asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(app) as server:
        yield str(server.make_url("/")).rstrip("/")


@contextlib.asynccontextmanager
async def asked_of(handler: Handler) -> AsyncIterator[Asking]:
    async with serving(handler) as url, asking(url, limits=LIMITS) as found:
        yield found


def always(**fields: Any) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(**fields)

    return handler


async def refusal(handler: Handler, what: str = "tags") -> str:
    """Ask for tags, a digest or a description and give the sentence that is raised."""
    async with asked_of(handler) as asked:
        return await refused(asked, what)


async def refused(asked: Asking, what: str) -> str:
    with pytest.raises(errors.RegistryUnusable) as caught:
        await getattr(asked.client, what)(asked.image("shop/api:v1"), ANONYMOUS)
    assert caught.value.reason == "RegistryUnusable"
    return str(caught.value)


# --- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["tags", "describe"])
async def test_an_endless_answer_is_not_read_to_its_end(what: str) -> None:
    written = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal written
        if request.method == "HEAD":
            return web.Response(headers={"Docker-Content-Digest": SHA})
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b" " * 65536)
                written += 65536
        return response

    assert "the answer is larger than 1048576 bytes" in await refusal(handler, what)
    assert written < 32 * 1024 * 1024


async def test_an_endless_error_is_not_read_at_all() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=418)
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b"x" * 65536)
        return response

    assert "it answers 418" in await refusal(handler)


async def test_a_compressed_answer_is_not_unfolded() -> None:
    seen = []
    bomb = gzip.compress(b" " * 100_000_000)

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers["Accept-Encoding"])
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    assert "it compresses what was asked for as it is" in await refusal(handler)
    assert seen == ["identity"]


async def test_an_answer_that_trickles_is_given_up() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _ in range(300):
                await response.write(b" ")
                await asyncio.sleep(0.1)
        return response

    async with serving(handler) as url, asking(url, limits=pace.Limits(seconds=0.3, attempts=1)) as asked:
        with pytest.raises(errors.RegistryUnavailable, match="did not come in time"):
            await asyncio.wait_for(asked.client.tags(asked.image("shop/api"), ANONYMOUS), 3)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>", "it is no JSON"),
        (b"[" * 100_000, "it is no JSON"),
        (b"[]", "it has something else where an object belongs"),
        (b'{"tags": "v1"}', "it is no list of tags"),
    ],
)
async def test_what_is_no_list_of_tags_is_named(body: bytes, words: str) -> None:
    said = await refusal(always(body=body))
    assert f"its list of tags cannot be read ({words})" in said
    assert "see that this is the address of a registry" in said


async def test_names_that_are_no_tags_are_passed_over() -> None:
    handler = always(body=json.dumps({"tags": ["v1", "../x", "a b", "", 7, None, "v1\n"]}).encode())
    async with asked_of(handler) as asked:
        assert (await asked.client.tags(asked.image("shop/api"), ANONYMOUS)).tags == ("v1",)


async def test_a_repository_whose_tags_are_null_has_none() -> None:
    async with asked_of(always(body=b'{"name": "shop/api", "tags": null}')) as asked:
        assert (await asked.client.tags(asked.image("shop/api"), ANONYMOUS)).tags == ()


# --- pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "link",
    [
        '<http://localhost:1/v2/shop/api/tags/list?last=v1>; rel="next"',
        '</v2/other/api/tags/list?last=v1>; rel="next"',
        '<//evil.example.com/v2/shop/api/tags/list>; rel="next"',
        '<http://[/>; rel="next"',
        '<ftp:>; rel="next"',
    ],
)
async def test_the_next_page_of_a_list_is_a_page_of_that_list(link: str) -> None:
    said = await refusal(always(body=b'{"tags": ["v1"]}', headers={"Link": link}))
    assert "its list of tags cannot be read (the next page is somewhere else)" in said


async def test_pages_that_go_in_a_circle_are_read_once_and_are_not_the_whole() -> None:
    asked_for = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked_for.append(request.query_string)
        return web.Response(body=b'{"tags": ["v1"]}', headers={"Link": "<?last=v1>; rel=next"})

    async with asked_of(handler) as asked:
        listing = await asked.client.tags(asked.image("shop/api"), ANONYMOUS)
    assert (listing.tags, listing.complete) == (("v1",), False)
    assert asked_for == ["n=1000", "last=v1"]


async def test_pages_without_end_come_to_one() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        number = int(request.query.get("last", "0")) + 1
        return web.Response(body=b'{"tags": []}', headers={"Link": f'<?last={number}>; a=b; rel="next"'})

    async with asked_of(handler) as asked:
        listing = await asked.client.tags(asked.image("shop/api"), ANONYMOUS)
        assert not listing.complete
        assert asked.tally.of(what="tags") == 200


@pytest.mark.parametrize("link", ["", '<?last=v1>; rel="prev"', "next", '<?x>; title="next"'])
async def test_without_a_next_page_the_list_is_whole(link: str) -> None:
    async with asked_of(always(body=b'{"tags": ["v1"]}', headers={"Link": link})) as asked:
        assert (await asked.client.tags(asked.image("shop/api"), ANONYMOUS)).complete


async def test_a_page_that_did_not_change_is_not_sent_again() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if request.headers.get("If-None-Match") == '"1"':
            return web.Response(status=304)
        return web.Response(body=b'{"tags": ["v1"]}', headers={"ETag": '"1"'})

    async with asked_of(handler) as asked:
        for _ in range(3):
            assert (await asked.client.tags(asked.image("shop/api"), ANONYMOUS)).tags == ("v1",)
        assert asked.tally.of(code="304") == 2


async def test_what_one_login_was_shown_is_not_another_logins_answer() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if "Authorization" not in request.headers:
            return web.Response(status=401, headers={"WWW-Authenticate": "Basic"})
        assert "If-None-Match" not in request.headers
        return web.Response(body=b'{"tags": ["v1"]}', headers={"ETag": '"1"'})

    async with asked_of(handler) as asked:
        for user in ("one", "two"):
            ring = asked.client.keyring({"regcred": secret(asked.host, user)})
            await asked.client.tags(asked.image("shop/api"), ring)


@pytest.mark.parametrize("etag", [b'"\xff"', b'"a" "b"', b"unquoted", b'"' + b"x" * 201 + b'"'])
async def test_an_etag_that_is_none_is_not_sent_back(etag: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        assert b"if-none-match" not in asked.lower()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\nConnection: close\r\nETag: " + etag + b"\r\n\r\n")
        writer.write(b'{"tags":["v1"]}')
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        async with asking(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as asked:
            for _ in range(2):
                assert (await asked.client.tags(asked.image("shop/api"), ANONYMOUS)).tags == ("v1",)
    finally:
        server.close()
        await server.wait_closed()


async def test_not_modified_is_no_answer_to_who_knows_nothing() -> None:
    assert "it answers 304" in await refusal(always(status=304))
    assert "it answers 304" in await refusal(always(status=304), "digest")


# --- manifests --------------------------------------------------------------------------------------------------------


def giving(document: object, media_type: str = INDEX) -> Handler:
    body = json.dumps(document).encode()
    return always(body=body, headers={"Content-Type": media_type, "Docker-Content-Digest": digest(body)})


CHILD = {"mediaType": MANIFEST, "digest": SHA, "size": 1, "platform": {"os": "linux", "architecture": "amd64"}}
BOTH = "it is an index and a manifest at once"


@pytest.mark.parametrize(
    ("document", "media_type", "words"),
    [
        ({"manifests": [CHILD], "layers": []}, INDEX, BOTH),
        ({"manifests": [CHILD], "config": CHILD}, MANIFEST, BOTH),
        ({"manifests": [CHILD], "mediaType": MANIFEST}, INDEX, "its media type is not the one that the header says"),
        ({"manifests": [CHILD]}, "text/html", "it is no image index and no image manifest"),
        ({"manifests": {}}, INDEX, "it has no manifests, or more than 1000"),
        ({"manifests": [CHILD] * 1001}, INDEX, "it has no manifests, or more than 1000"),
        ({"manifests": ["x"]}, INDEX, "something else where an object belongs"),
        ({"manifests": [{**CHILD, "digest": "sha256:x"}]}, INDEX, "a digest in it is none"),
        ({"config": {"digest": "../../etc"}}, MANIFEST, "a digest in it is none"),
        ({"config": None}, MANIFEST, "something else where an object belongs"),
        (
            {"schemaVersion": 1, "fsLayers": []},
            "application/vnd.docker.distribution.manifest.v1+json",
            "no image index",
        ),
    ],
)
async def test_a_manifest_that_is_none_is_named(document: object, media_type: str, words: str) -> None:
    assert words in await refusal(giving(document, media_type), "describe")


async def test_provenance_is_no_platform_and_an_unknown_one_is_none() -> None:
    attestation = {**CHILD, "annotations": {"vnd.docker.reference.type": "attestation-manifest"}}
    document = {
        "manifests": [
            CHILD,
            {**attestation, "digest": f"sha256:{'b' * 64}", "platform": {"os": "unknown", "architecture": "unknown"}},
            {**CHILD, "digest": f"sha256:{'c' * 64}", "platform": {"os": "unknown", "architecture": "unknown"}},
            {"mediaType": INDEX, "digest": f"sha256:{'d' * 64}"},
            {**CHILD, "digest": f"sha256:{'e' * 64}", "platform": {"os": "a b", "architecture": 7}},
        ]
    }
    async with asked_of(giving(document)) as asked:
        found = await asked.client.describe(asked.image("shop/api"), ANONYMOUS)
    assert [str(each) for each in found.platforms] == ["linux/amd64"]
    assert sorted(child.digest[7] for child in found.children) == ["a", "c", "d", "e"]


@pytest.mark.parametrize("said", ["", "latest", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:zz"])
async def test_a_digest_that_is_none_is_computed(said: str) -> None:
    body = json.dumps({"manifests": [CHILD]}).encode()
    handler = always(body=body, headers={"Content-Type": INDEX, "Docker-Content-Digest": said})
    async with asked_of(handler) as asked:
        assert await asked.client.digest(asked.image("shop/api"), ANONYMOUS) == digest(body)


async def test_a_web_server_that_knows_no_media_types_will_do() -> None:
    async with asked_of(giving({"manifests": [CHILD], "mediaType": INDEX}, "application/json")) as asked:
        assert (await asked.client.describe(asked.image("shop/api"), ANONYMOUS)).children


async def test_nothing_is_known_of_the_age_of_an_index_that_leads_nowhere() -> None:
    empty = json.dumps({"manifests": []}).encode()

    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=empty, headers={"Content-Type": INDEX, "Docker-Content-Digest": digest(empty)})

    async with asked_of(handler) as asked:
        assert await asked.client.created(asked.image("shop/api"), ANONYMOUS) is None


async def test_an_index_in_an_index_is_no_platform() -> None:
    inner = json.dumps({"manifests": []}).encode()
    outer = json.dumps({"manifests": [{**CHILD, "digest": digest(inner)}]}).encode()

    async def handler(request: web.Request) -> web.StreamResponse:
        body = inner if request.path.endswith(digest(inner)) else outer
        return web.Response(body=body, headers={"Content-Type": INDEX, "Docker-Content-Digest": digest(body)})

    async with asked_of(handler) as asked:
        assert await asked.client.created(asked.image("shop/api"), ANONYMOUS) is None


async def test_a_config_that_is_none_is_named() -> None:
    config = b"[]"
    manifest = json.dumps({"config": {"digest": digest(config)}}).encode()

    async def handler(request: web.Request) -> web.StreamResponse:
        body = config if "/blobs/" in request.path else manifest
        return web.Response(body=body, headers={"Content-Type": MANIFEST, "Docker-Content-Digest": digest(body)})

    said = await refusal(handler, "describe")
    assert "its config cannot be read (it has something else where an object belongs)" in said


# --- redirects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["tags", "digest"])
async def test_a_registry_that_lives_elsewhere_is_followed_there_without_the_login(what: str) -> None:
    seen: list[str] = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization", ""))
        return web.Response(body=b'{"tags": ["v1"]}', headers={"Docker-Content-Digest": SHA})

    async with serving(elsewhere) as there:

        async def handler(request: web.Request) -> web.StreamResponse:
            if "Authorization" not in request.headers:
                return web.Response(status=401, headers={"WWW-Authenticate": "Basic"})
            return web.Response(status=307, headers={"Location": f"{there}{request.path_qs}"})

        async with asked_of(handler) as asked:
            ring = asked.client.keyring({"regcred": secret("127.0.0.1*"), "more": secret(asked.host)})
            await getattr(asked.client, what)(asked.image("shop/api:v1"), ring)
    assert seen == [""]


@pytest.mark.parametrize("challenge", ["Basic", 'Bearer realm="{here}/token"'])
async def test_an_elsewhere_that_wants_a_login_does_not_get_one(challenge: str) -> None:
    seen = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        seen.append((request.path, request.headers.get("Authorization", "")))
        header = challenge.format(here=f"http://{request.host}")
        return web.Response(status=401, headers={"WWW-Authenticate": header})

    async with (
        serving(elsewhere) as there,
        asked_of(always(status=302, headers={"Location": there})) as asked,
    ):
        ring = asked.client.keyring({"regcred": secret(asked.host)})
        with pytest.raises(errors.RegistryAuthFailed, match="it answers 401"):
            await asked.client.tags(asked.image("shop/api"), ring)
    assert seen == [("/", "")], "neither itself nor through a token server that it names"


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("/again", "it redirects more than 3 times"),
        ("", "it redirects more than 3 times"),
        ("http://user:pass@127.0.0.1/", "it answers 307 and names no address to go to"),
        ("http://[/", "it answers 307 and names no address to go to"),
        ("/a b", "it answers 307 and names no address to go to"),
        ("/ü", "it answers 307 and names no address to go to"),
        (f"http://{'a' * 64}.example.com/", "its address is none that can be asked"),
        ("ftp://127.0.0.1/", "it redirects to an address without TLS"),
        ("http://169.254.169.254/latest/meta-data", "its address serves the node's own metadata"),
    ],
)
async def test_a_redirect_that_leads_nowhere_good_is_not_followed(location: str, words: str) -> None:
    said = await refusal(always(status=307, headers={"Location": location}))
    assert words in said
    assert "pass" not in said


async def test_where_a_redirect_leads_is_not_told() -> None:
    handler = always(status=307, headers={"Location": "http://127.0.0.1:9/blob?signature=verysecret"})
    async with asked_of(handler) as asked:
        with pytest.raises(errors.RegistryUnavailable) as caught:
            await asked.client.tags(asked.image("shop/api"), ANONYMOUS)
    assert "verysecret" not in str(caught.value)


# --- logins -----------------------------------------------------------------------------------------------------------


def wanting(challenge: str) -> Handler:
    return always(status=401, headers={"WWW-Authenticate": challenge} if challenge else {})


@pytest.mark.parametrize(
    ("challenge", "words"),
    [
        ('Bearer service="x"', "it names no address of a token server"),
        ('Bearer realm="/token"', "it names no address of a token server"),
        ('Bearer realm="http://["', "it names no address of a token server"),
        ('Bearer realm="https://user:pass@127.0.0.1/token"', "it names no address of a token server"),
        ('Bearer realm="file:///etc/passwd"', "it names no address of a token server"),
        ('Bearer realm="ftp://127.0.0.1/token"', "it wants the login sent to a token server without TLS"),
        ('Bearer realm="http://169.254.169.254/token"', "its address serves the node's own metadata"),
    ],
)
async def test_a_token_server_that_is_none_gets_no_login(challenge: str, words: str) -> None:
    async with asked_of(wanting(challenge)) as asked:
        ring = asked.client.keyring({"regcred": secret(asked.host)})
        with pytest.raises(errors.RegistryUnusable) as caught:
            await asked.client.tags(asked.image("shop/api"), ring)
    assert words in str(caught.value)
    assert "pass@" not in str(caught.value)


@pytest.mark.parametrize("challenge", ["", "Negotiate", "Digest realm=x, nonce=y"])
async def test_a_login_of_another_kind_is_not_to_be_had(challenge: str) -> None:
    async with asked_of(wanting(challenge)) as asked:
        with pytest.raises(errors.RegistryAuthFailed, match="a login of a kind that pull secrets do not have"):
            await asked.client.tags(asked.image("shop/api"), ANONYMOUS)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"{}", "something that is no token"),
        (200, b"[]", "something that is no token"),
        (200, b"<html>", "something that is no token"),
        (200, b'{"token": 7}', "something that is no token"),
        (200, b'{"token": "a\\r\\nX-Evil: 1"}', "something that is no token"),
        (200, b'{"token": "' + b"a" * 70_000 + b'"}', "the answer is larger than 65536 bytes"),
        (404, b"", "its token server answers 404"),
        (302, b"", "its token server answers 302"),
    ],
)
async def test_a_token_that_is_none_is_not_used(status: int, body: bytes, words: str) -> None:
    seen = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request.path)
        if request.path == "/token":
            return web.Response(status=status, body=body, headers={"Location": "http://127.0.0.1:9/"})
        realm = f'Bearer realm="http://{request.host}/token",service="x"'
        return web.Response(status=401, headers={"WWW-Authenticate": realm})

    assert words in await refusal(handler)
    assert seen == ["/v2/shop/api/tags/list", "/token"]


async def test_a_registry_that_asks_for_more_than_reading_does_not_get_it() -> None:
    scopes: list[list[str]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/token":
            scopes.append(request.query.getall("scope"))
            return web.json_response({"token": f"t{len(scopes)}", "expires_in": "soon"})
        wanted = {"tags": "metadata_read", "manifests": "pull,push,delete"}[request.path.split("/")[4]]
        if len(scopes) < (1 if wanted == "metadata_read" else 2):
            scope = f"repository:shop/api:{wanted} registry:catalog:*"
            realm = f'Bearer realm="http://{request.host}/token?account=x",service="x",scope="{scope}"'
            return web.Response(status=401, headers={"WWW-Authenticate": realm})
        return web.Response(body=b'{"tags": ["v1"]}', headers={"Docker-Content-Digest": SHA})

    async with asked_of(handler) as asked:
        await asked.client.tags(asked.image("shop/api"), ANONYMOUS)
        await asked.client.digest(asked.image("shop/api"), ANONYMOUS)
    first, second = scopes
    assert first == ["repository:shop/api:metadata_read"]
    assert second == ["repository:shop/api:metadata_read", "repository:shop/api:pull"], "neither pushes the other out"


async def test_a_bearer_token_is_preferred_to_a_password_in_the_clear() -> None:
    seen = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append((request.path, request.headers.get("Authorization", "")))
        if request.path == "/token":
            return web.json_response({"access_token": "abc"})
        if request.headers.get("Authorization") == "Bearer abc":
            return web.Response(body=b'{"tags": []}')
        response = web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
        response.headers.add("WWW-Authenticate", f'bearer realm="http://{request.host}/token"')
        return response

    async with asked_of(handler) as asked:
        ring = asked.client.keyring({"regcred": secret(asked.host)})
        await asked.client.tags(asked.image("shop/api"), ring)
    path = "/v2/shop/api/tags/list"
    assert seen == [(path, ""), ("/token", BASIC), (path, "Bearer abc")]


async def test_a_forbidden_image_is_a_refused_login() -> None:
    async with asked_of(always(status=403, text=f"your password is {PASSWORD}")) as asked:
        with pytest.raises(errors.RegistryAuthFailed, match="it answers 403") as caught:
            await asked.client.digest(asked.image("shop/api"), ANONYMOUS)
    assert PASSWORD not in str(caught.value)


async def test_a_password_that_is_not_good_any_more_is_refused() -> None:
    good = True

    async def handler(request: web.Request) -> web.StreamResponse:
        if good and request.headers.get("Authorization") == BASIC:
            return web.Response(body=b'{"tags": []}')
        return web.Response(status=401, headers={"WWW-Authenticate": "Basic"})

    async with asked_of(handler) as asked:
        ring = asked.client.keyring({"regcred": secret(asked.host)})
        await asked.client.tags(asked.image("shop/api"), ring)
        good = False
        for _ in range(2):
            with pytest.raises(errors.RegistryAuthFailed, match=r"it refuses the login|it answers 401"):
                await asked.client.tags(asked.image("shop/api"), ring)


async def test_a_login_that_is_shown_nothing_is_not_the_last_one_tried() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if "Authorization" not in request.headers:
            return web.Response(status=401, headers={"WWW-Authenticate": "Basic"})
        if request.headers["Authorization"] != BASIC:
            return web.Response(status=404)
        return web.Response(headers={"Docker-Content-Digest": SHA})

    async with asked_of(handler) as asked:
        ring = asked.client.keyring({"a": secret(asked.host, "other"), "b": secret(asked.host)})
        assert await asked.client.digest(asked.image("shop/api"), ring) == SHA


# --- TLS and addresses ------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def with_tls(handler: Handler, folder: Path) -> AsyncIterator[tuple[str, ssl.SSLContext]]:
    authority = pki.Authority(folder)
    authority.create()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.server)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=context)
    try:
        yield f"https://127.0.0.1:{server.port}", ssl.create_default_context(cafile=str(authority.certificate))
    finally:
        await server.close()


@contextlib.asynccontextmanager
async def secure(handler: Handler, folder: Path) -> AsyncIterator[RegistryClient]:
    async with with_tls(handler, folder) as (url, trust):
        addresses = Addresses(elsewhere={"registry.example.com": url})
        async with RegistryClient(addresses=addresses, tls=trust, timing=Hourglass().timing()) as client:
            yield client


IMAGE = reference.parse("registry.example.com/shop/api:v1")


async def test_a_certificate_of_ones_own_authority_is_trusted_and_no_other(tmp_path: Path) -> None:
    async with secure(always(headers={"Docker-Content-Digest": SHA}), tmp_path) as client:
        assert await client.digest(IMAGE, ANONYMOUS) == SHA
    async with (
        with_tls(always(), tmp_path / "other") as (url, _),
        RegistryClient(
            addresses=Addresses(elsewhere={"registry.example.com": url}), timing=Hourglass().timing()
        ) as client,
    ):
        with pytest.raises(errors.RegistryUnavailable, match="its certificate is not trusted"):
            await client.digest(IMAGE, ANONYMOUS)


async def test_who_is_asked_by_tls_leads_nobody_away_from_it(tmp_path: Path) -> None:
    async with serving(always(body=b'{"tags": ["v1"]}')) as clear:
        async with secure(wanting(f'Bearer realm="{clear}/token"'), tmp_path / "one") as client:
            ring = client.keyring({"regcred": secret("registry.example.com")})
            with pytest.raises(errors.RegistryUnusable, match="a token server without TLS"):
                await client.digest(IMAGE, ring)
        async with secure(always(status=307, headers={"Location": f"{clear}/x"}), tmp_path / "two") as client:
            with pytest.raises(errors.RegistryUnusable, match="it redirects to an address without TLS"):
                await client.tags(IMAGE, ANONYMOUS)


@pytest.mark.parametrize(
    ("image", "address"),
    [
        ("nginx", "https://registry-1.docker.io"),
        ("ghcr.io/acme/api", "https://ghcr.io"),
        ("registry.example.com:5000/api", "https://registry.example.com:5000"),
        ("localhost/api", "http://localhost"),
        ("localhost:5000/api", "http://localhost:5000"),
        ("127.9.9.9:5000/api", "http://127.9.9.9:5000"),
        ("[::1]:5000/api", "http://[::1]:5000"),
        ("127.0.0.1:443/api", "https://127.0.0.1"),
        ("REGISTRY.example.com:443/api", "https://registry.example.com"),
        ("10.0.0.1:5000/api", "https://10.0.0.1:5000"),
        ("plain.example.com/api", "http://plain.example.com"),
        ("plain.example.com:5000/api", "https://plain.example.com:5000"),
        ("kind:5001/api", "http://kind-registry:5000"),
    ],
)
def test_only_loopback_and_what_was_named_is_asked_without_tls(image: str, address: str) -> None:
    found = Addresses(frozenset({"plain.example.com"}), {"kind:5001": "http://kind-registry:5000/"})
    asked = reference.parse(image)
    assert str(found.home(asked)) == address
    assert str(found.at(asked, "manifests/v1")) == f"{address}/v2/{asked.repository}/manifests/v1"


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("reg.example.com:99999/api", "that is no host and port; correct the image"),
        ("[:::]:5000/api", "that is no host and port; correct the image"),
        (f"{'a' * 64}.example.com/api", "its address is none that can be asked"),
    ],
)
async def test_what_the_grammar_takes_for_a_host_need_not_be_one(image: str, words: str) -> None:
    async with RegistryClient(timing=Hourglass().timing()) as client:
        with pytest.raises(errors.RegistryUnusable) as caught:
            await client.tags(reference.parse(image), ANONYMOUS)
    assert words in str(caught.value)


async def test_a_name_that_resolves_to_a_metadata_service_is_no_registry() -> None:
    # Most resolvers read this as 169.254.169.254.
    async with RegistryClient(timing=Hourglass().timing(), limits=pace.Limits(attempts=1)) as client:
        with pytest.raises(errors.RegistryUnavailable, match=r"serves the node's own metadata|cannot be resolved"):
            await client.tags(reference.parse("0xa9.254.169.254/latest/api"), ANONYMOUS)


async def test_a_number_that_is_no_status_is_counted_as_other() -> None:
    async with asked_of(always(status=799)) as asked:
        with pytest.raises(errors.RegistryUnavailable, match="it answers 799"):
            await asked.client.tags(asked.image("shop/api"), ANONYMOUS)
        assert asked.tally.of(code="other") == 3


async def test_a_token_may_say_that_it_lives_for_ever() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/token":
            return web.Response(body=b'{"token": "abc", "expires_in": 1' + b"0" * 400 + b"}")
        if "Authorization" not in request.headers:
            realm = f'Bearer realm="http://{request.host}/token"'
            return web.Response(status=401, headers={"WWW-Authenticate": realm})
        return web.Response(body=b'{"tags": []}')

    async with asked_of(handler) as asked:
        for later in (0, 86_000, 400):
            asked.time.seconds += later
            await asked.client.tags(asked.image("shop/api"), ANONYMOUS)
        assert asked.tally.of(what="token") == 2


async def test_a_metadata_service_is_no_registry() -> None:
    async with RegistryClient() as client:
        with pytest.raises(errors.RegistryUnusable, match="serves the node's own metadata"):
            await client.tags(reference.parse("169.254.169.254/latest/api"), ANONYMOUS)
