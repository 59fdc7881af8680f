"""Who signed an image: by the real cosign, found in the real registry, by the facts that policy is told.

What cosign does not make is pushed by hand; what a registry does wrong is put in between by a proxy.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from patchwright import errors
from patchwright.adapters.cosign import CosignVerifier
from patchwright.adapters.registry import pace
from patchwright.domain.images import trust
from patchwright.domain.images.imagepolicy import Followed, ImagePolicy, SemVer
from patchwright.domain.images.trust import Document, Form, Identity, Trust, Verify
from patchwright.domain.model import ImagePin, Key, PatchPolicy, WorkloadTarget
from patchwright.pipeline import trust as pipeline
from patchwright.pipeline.kept import KeptImages
from patchwright.pipeline.trust import TrustDesk
from patchwright.sandbox import controlplane, images, progress, settings
from support import cosigning, registries, sigstores, vouching
from support.builders import NOW
from support.cosigning import OLD, Cosign
from support.fault_proxy import Fault, FaultProxy
from support.registries import Asking, asking

pytestmark = pytest.mark.controlplane
NUMBERS = itertools.count(1)
LIMITS = pace.Limits(seconds=2.0)
SPDX = "https://spdx.dev/Document"
EMPTY = b"{}"
BY_KEYS = Verify("keys")


@dataclass(slots=True)
class Watch:
    """A clock that is set by hand."""

    at: timedelta = timedelta(0)

    def now(self) -> datetime:
        return NOW + self.at


@dataclass(slots=True)
class Vault:
    """The Secrets of one namespace."""

    secrets: dict[str, Mapping[str, bytes]] = field(default_factory=dict)
    broken: errors.ClusterError | None = None

    async def secret(self, key: Key) -> Mapping[str, bytes]:
        if self.broken is not None:
            raise self.broken
        if key.namespace != "ops" or key.name not in self.secrets:
            raise errors.NotFound(f"cannot read Secret {key}: not found")
        return self.secrets[key.name]


@dataclass(slots=True)
class Desk:
    """A desk over one registry."""

    asked: Asking
    desk: TrustDesk
    vault: Vault
    watch: Watch

    async def facts(self, image: str, verify: Verify | None = BY_KEYS) -> Trust:
        name, _, digest = f"{self.asked.host}/{image}".partition("@")
        target = WorkloadTarget((name,), verify=verify)
        return await self.desk.facts(PatchPolicy(Key("ops", "api"), "", 0, target), ImagePin(name, digest))


@pytest.fixture(scope="module")
def registry_url() -> Iterator[str]:
    """A registry that lets everybody in; it knows no referrers API, so what refers is under a tag."""
    with controlplane.ControlPlane(
        parts=[settings.REGISTRY], registry=settings.Registry(), show=progress.Lines(sys.stderr)
    ) as plane:
        yield plane.registry_url


@pytest.fixture(scope="module")
def store(registry_url: str) -> Iterator[images.Store]:
    found = images.Store(registry_url)
    yield found
    found.close()


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Cosign:
    return cosigning.cosign(tmp_path_factory.mktemp("mine"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Cosign:
    return cosigning.cosign(tmp_path_factory.mktemp("stranger"))


@pytest.fixture
def image(store: images.Store) -> str:
    """An image of two platforms, by its digest."""
    name = f"shop/api-{next(NUMBERS)}"
    return f"{name}@{store.push(f'{name}:1', platforms=['linux/amd64', 'linux/arm64']).digest}"


@contextlib.asynccontextmanager
async def desk(url: str, mine: Cosign) -> AsyncIterator[Desk]:
    async with asking(url, limits=LIMITS) as asked:
        vault, watch = Vault({"keys": {"release.pub": mine.public_key, "README": b"ours"}}), Watch()
        yield Desk(asked, TrustDesk(asked.client, vault, verifier=CosignVerifier(), clock=watch), vault, watch)


@pytest.fixture
async def here(registry_url: str, mine: Cosign) -> AsyncIterator[Desk]:
    async with desk(registry_url, mine) as found:
        yield found


def of(store: images.Store, image: str) -> str:
    return f"{store.host}/{image}"


# --- what cosign writes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [(), OLD], ids=["bundles", "tags"])
async def test_a_signature_and_an_attestation_by_a_trusted_key_are_known(
    here: Desk, store: images.Store, mine: Cosign, *, image: str, flags: tuple[str, ...]
) -> None:
    mine.sign(of(store, image), *flags)
    mine.attest(of(store, image), *flags)
    assert await here.facts(image) == Trust(asked=True, signed=True, key="release.pub", attestations=(SPDX,))


@pytest.mark.parametrize("flags", [(), OLD], ids=["bundles", "tags"])
async def test_a_signature_by_another_key_is_none(
    here: Desk, store: images.Store, stranger: Cosign, *, image: str, flags: tuple[str, ...]
) -> None:
    stranger.sign(of(store, image), *flags)
    assert await here.facts(image) == Trust(asked=True, error="a signature is by none of the trusted keys")


async def test_both_ways_of_keeping_signatures_count_together(
    here: Desk, store: images.Store, mine: Cosign, *, stranger: Cosign, image: str
) -> None:
    stranger.sign(of(store, image))
    mine.sign(of(store, image), *OLD)
    stranger.sign(of(store, image), *OLD)
    found = await here.facts(image)
    assert (found.signed, found.key) == (True, "release.pub")
    assert found.error == "a signature is by none of the trusted keys (2 times)"


async def test_what_is_not_signed_is_not_signed_until_it_is(
    here: Desk, store: images.Store, mine: Cosign, *, image: str
) -> None:
    assert await here.facts(image) == Trust(asked=True)
    mine.sign(of(store, image))
    assert not (await here.facts(image)).signed, "it is asked again after half a minute"
    here.watch.at = timedelta(seconds=30)
    assert (await here.facts(image)).signed


async def test_a_registry_is_asked_once_for_a_digest_in_five_minutes(
    registry_url: str, store: images.Store, mine: Cosign, *, image: str
) -> None:
    mine.sign(of(store, image))
    async with FaultProxy(server=registry_url) as proxy, desk(proxy.url, mine) as behind:
        for at in (0, 299):
            behind.watch.at = timedelta(seconds=at)
            assert (await behind.facts(image)).signed
        assert proxy.count("GET", "/referrers/") == 1
        behind.watch.at = timedelta(seconds=300)
        await behind.facts(image)
        assert proxy.count("GET", "/referrers/") == 2


async def test_a_signature_that_is_copied_to_another_image_is_none_of_that_one(
    here: Desk, store: images.Store, mine: Cosign, *, image: str
) -> None:
    mine.sign(of(store, image), *OLD)
    name, _, digest = image.partition("@")
    other = store.push(f"{name}:2", content="another").digest
    signed = digest.replace(":", "-")
    store.document(name, json.loads(store.manifest(f"{name}:{signed}.sig")), tag=f"{other.replace(':', '-')}.sig")
    found = await here.facts(f"{name}@{other}")
    assert found == Trust(asked=True, error="a good signature is for another image, and was put here")


# --- what nobody but an attacker writes -------------------------------------------------------------------------------


async def test_what_refers_to_another_image_is_a_fault(
    registry_url: str, store: images.Store, mine: Cosign, *, image: str
) -> None:
    name = image.partition("@")[0]
    other = store.push(f"{name}:2", content="another").digest
    document = vouching.bundle(vouching.ecdsa())
    manifest = attach(store, name, document, subject=other)
    listing = {"manifests": [manifest, {"digest": "x"}, {"digest": f"sha256:{'0' * 64}"}]}
    async with FaultProxy(server=registry_url) as proxy, desk(proxy.url, mine) as behind:
        proxy.inject(Fault("/referrers/", status=200, body=listing))
        found = await behind.facts(image)
    assert not found.signed
    assert found.error == (
        "something attached cannot be read: it is attached to another image; the list of what is attached names "
        "something that is no digest, and 1 other faults"
    )


async def test_of_a_flood_the_first_are_looked_at(here: Desk, store: images.Store, image: str) -> None:
    name, _, digest = image.partition("@")
    manifest = attach(store, name, vouching.bundle(vouching.ecdsa()), subject=digest)
    listed(store, name, digest, [manifest] * 200)
    found = await here.facts(image)
    assert "of what is attached only the first 32 were looked at" in found.error


async def test_a_document_of_any_size_is_no_answer_and_no_accident(here: Desk, store: images.Store, image: str) -> None:
    name, _, digest = image.partition("@")
    huge = Document(Form.BUNDLE, b" " * (4 * 1024 * 1024 + 1))
    listed(store, name, digest, [attach(store, name, huge, subject=digest)])
    found = await here.facts(image)
    assert found.error == "a document that is attached cannot be had, or is larger than 4194304 bytes"


# --- identities -------------------------------------------------------------------------------------------------------


async def test_a_keyless_signature_is_known_by_its_identity_and_cosign_agrees(
    here: Desk, store: images.Store, mine: Cosign, *, image: str, tmp_path: Path
) -> None:
    ours = sigstores.Sigstore()
    name, _, digest = image.partition("@")
    listed(store, name, digest, [attach(store, name, ours.bundle(vouching.statement(digest)), subject=digest)])
    here.vault.secrets["root"] = {"trusted_root.json": ours.root}
    verify = Verify(None, (Identity("^https://token", "acme/api"),), trusted_root="root")
    found = await here.facts(image, verify)
    assert (found.signed, found.issuer, found.subject) == (True, sigstores.ISSUER, sigstores.SUBJECT)
    assert found.signed_at is not None

    root = tmp_path / "trusted_root.json"
    root.write_bytes(ours.root)
    who = (f"--certificate-oidc-issuer={sigstores.ISSUER}", f"--certificate-identity={sigstores.SUBJECT}")
    assert mine.verifies(of(store, image), f"--trusted-root={root}", *who)
    other = (f"--certificate-oidc-issuer={sigstores.ISSUER}", "--certificate-identity=somebody")
    assert not mine.verifies(of(store, image), f"--trusted-root={root}", *other)


# --- what is not known ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["/referrers/", r"\.sig$", "/blobs/", "/manifests/sha256:"])
async def test_a_registry_that_is_away_says_nothing_of_who_signed(
    registry_url: str, store: images.Store, mine: Cosign, *, image: str, where: str
) -> None:
    mine.sign(of(store, image))
    async with FaultProxy(server=registry_url) as proxy, desk(proxy.url, mine) as behind:
        proxy.inject(Fault(where, status=503))
        with pytest.raises(
            errors.SignaturesUnknown, match=r"nobody can say who signed .*: Registry .* does not answer"
        ):
            await behind.facts(image)
        asked = proxy.count("GET", "/")
        with pytest.raises(errors.SignaturesUnknown):
            await behind.facts(image)
        assert proxy.count("GET", "/") == asked, "it is left alone for a while"
        proxy.clear()
        behind.watch.at = timedelta(minutes=1)
        assert (await behind.facts(image)).signed


async def test_a_registry_that_does_not_show_the_image_says_nothing_of_who_signed_it(
    here: Desk, store: images.Store
) -> None:
    name = f"shop/hidden-{next(NUMBERS)}"
    with pytest.raises(errors.SignaturesUnknown, match=r"nobody can say who signed .*: Registry .* has no "):
        await here.facts(f"{name}@{vouching.DIGEST}")


async def test_a_registry_that_takes_for_ever_holds_the_rollout_for_some_seconds(
    registry_url: str, mine: Cosign, *, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "_PATIENCE", 0.2)
    async with FaultProxy(server=registry_url) as proxy, desk(proxy.url, mine) as behind:
        proxy.inject(Fault("/referrers/", delay=1.0))
        with pytest.raises(errors.SignaturesUnknown, match=r"takes longer than 0.2 s to say; see that it is well"):
            await behind.facts(image)


@pytest.mark.parametrize("status", [400, 404, 406])
async def test_a_registry_without_the_referrers_api_has_the_tag(
    registry_url: str, store: images.Store, mine: Cosign, *, image: str, status: int
) -> None:
    mine.sign(of(store, image))
    async with FaultProxy(server=registry_url) as proxy, desk(proxy.url, mine) as behind:
        proxy.inject(Fault("/referrers/", status=status))
        assert (await behind.facts(image)).signed


async def test_a_registry_with_the_referrers_api_is_believed(
    registry_url: str, store: images.Store, mine: Cosign, *, image: str
) -> None:
    mine.sign(of(store, image))
    name, _, digest = image.partition("@")
    index = json.loads(store.manifest(f"{name}:{digest.replace(':', '-')}"))
    async with FaultProxy(server=registry_url) as proxy, desk(proxy.url, mine) as behind:
        proxy.inject(Fault("/referrers/", status=200, body=index))
        assert (await behind.facts(image)).signed
        assert proxy.count("GET", f"/manifests/{digest.replace(':', '-')}") == 2, "only .sig and .att"


@pytest.mark.parametrize(
    ("secrets", "verify", "words"),
    [
        ({}, Verify("keys"), "verify.secretRef: Secret ops/keys does not exist; create it, or correct the name"),
        ({"keys": {"a.pem": b"x"}}, Verify("keys"), "holds no key under a name that ends in .pub"),
        ({"keys": {"a.pub": b"x"}}, Verify("keys"), "verify.secretRef.a.pub: it is no public key in PEM"),
        ({}, Verify(None, (Identity("x", "y"),), trusted_root="root"), "Secret ops/root does not exist"),
        ({"root": {}}, Verify(None, (Identity("x", "y"),), trusted_root="root"), "holds no trusted_root.json"),
    ],
)
async def test_whoever_configures_no_keys_trusts_nobody(
    here: Desk, *, image: str, secrets: dict[str, Mapping[str, bytes]], verify: Verify, words: str
) -> None:
    here.vault.secrets = secrets
    with pytest.raises(errors.SignaturesUnknown, match=words):
        await here.facts(image, verify)


async def test_an_api_server_that_is_away_says_nothing_either(here: Desk, image: str) -> None:
    here.vault.broken = errors.ClusterUnavailable("cannot read Secret ops/keys: it does not answer")
    with pytest.raises(errors.SignaturesUnknown, match=r"nobody can say who signed .*: cannot read Secret ops/keys"):
        await here.facts(image)


async def test_a_private_registry_is_asked_with_the_login_of_the_entry_that_follows_the_image(mine: Cosign) -> None:
    private = settings.Registry(htpasswd=registries.HTPASSWD)
    with controlplane.ControlPlane(parts=[settings.REGISTRY], registry=private) as plane:
        store = images.Store(plane.registry_url, authorization=lambda _: registries.BASIC)
        digest = store.push("shop/api:1", platforms=["linux/amd64"]).digest
        vault = Vault({"keys": {"release.pub": mine.public_key}, "pull": registries.secret(store.host)})
        repository = f"{store.host}/shop/api"
        entry = Followed(repository, ImagePolicy(SemVer("*")), secret="pull")
        target = WorkloadTarget((repository,), verify=BY_KEYS, followed=(entry,))
        policy, pin = PatchPolicy(Key("ops", "api"), "uid", 1, target), ImagePin(repository, digest, "1")
        async with asking(plane.registry_url, limits=LIMITS) as asked:
            kept = KeptImages(asked.client, vault)
            found = TrustDesk(asked.client, vault, verifier=CosignVerifier(), clock=Watch(), keyrings=kept.keyring)
            facts = await found.facts(policy, pin)
            assert (facts.asked, facts.signed, facts.error) == (True, False, "")
            stranger = TrustDesk(asked.client, vault, verifier=CosignVerifier(), clock=Watch())
            with pytest.raises(errors.SignaturesUnknown, match="it wants a login"):
                await stranger.facts(policy, pin)
        store.close()


async def test_nobody_is_asked_where_the_policy_trusts_nobody(here: Desk, image: str) -> None:
    here.vault.secrets = {}
    assert await here.facts(image, None) == trust.NOT_ASKED


# --- what is pushed by hand -------------------------------------------------------------------------------------------


def attach(store: images.Store, name: str, document: Document, *, subject: str) -> dict[str, object]:
    """Push a document as something that refers to an image; give its descriptor."""
    config, layer = store.blob(name, EMPTY), store.blob(name, document.body)
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": document.form.value,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": len(EMPTY)},
        "layers": [{"mediaType": document.form.value, "digest": layer, "size": len(document.body)}],
        "subject": {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": subject, "size": 2},
    }
    digest = store.document(name, manifest)
    return {
        "mediaType": manifest["mediaType"],
        "digest": digest,
        "size": len(json.dumps(manifest, separators=(",", ":"))),
        "artifactType": document.form.value,
    }


def listed(store: images.Store, name: str, digest: str, manifests: list[dict[str, object]]) -> None:
    """Push the list of what refers to an image."""
    media_type = "application/vnd.oci.image.index.v1+json"
    index = {"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}
    store.document(name, index, tag=digest.replace(":", "-"))
