"""The verifier: by keys and by identities, over what cosign makes and over what only an attacker would."""

from __future__ import annotations

import base64
import json
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519

from patchwright import errors
from patchwright.adapters.cosign import CosignVerifier
from patchwright.domain.images.trust import Attached, Document, Evidence, Form, Identity, Material, Voucher
from support import sigstores, vouching
from support.sigstores import ISSUER, SUBJECT
from support.vouching import DIGEST, OTHER, SPDX, Signer

MINE = vouching.ecdsa()
STRANGER = vouching.ecdsa()
UNTRUSTED = "a signature is by none of the trusted keys"
OLD_KEYLESS = (
    "a keyless signature is in cosign's older form, which cannot be verified offline; sign with cosign 3, as a bundle"
)
ELSEWHERE = "a good signature is for another image, and was put here"
RELEASE = Identity(r"^https://token\.actions\.githubusercontent\.com$", r"^https://github\.com/acme/api/")
STORE = sigstores.Sigstore()
MAKERS = [vouching.simple, vouching.attestation, vouching.bundle]


async def verified(
    *documents: Document, keys: dict[str, Signer] | None = None, identities: tuple[Identity, ...] = (), **known: Any
) -> Evidence:
    pems = {name: signer.pem for name, signer in ({"mine.pub": MINE} if keys is None else keys).items()}
    return await CosignVerifier().verify(DIGEST, Attached(documents), Material(pems, identities, **known))


async def identified(*documents: Document, identities: tuple[Identity, ...] = (RELEASE,)) -> Evidence:
    return await verified(*documents, keys={}, identities=identities, root=STORE.root)


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [vouching.ecdsa, lambda: vouching.ecdsa(ec.SECP384R1()), vouching.ed, vouching.rsa_key]
)
@pytest.mark.parametrize("document", MAKERS)
async def test_every_kind_of_key_signs_every_kind_of_document(
    make: Callable[[], Signer], document: Callable[[Signer], Document]
) -> None:
    signer = make()
    assert await verified(document(signer), keys={"a.pub": STRANGER, "b.pub": signer}) == Evidence((Voucher("b.pub"),))


async def test_an_attestation_is_told_by_its_predicate() -> None:
    body = vouching.statement(predicate=SPDX)
    found = await verified(vouching.attestation(MINE, body), vouching.bundle(MINE, body))
    assert found == Evidence((Voucher("mine.pub", predicate=SPDX),))


@pytest.mark.parametrize("document", MAKERS)
async def test_a_signature_by_a_key_that_is_not_trusted_is_none(document: Callable[[Signer], Document]) -> None:
    assert await verified(document(STRANGER)) == Evidence((), (UNTRUSTED,))


@pytest.mark.parametrize(
    "document",
    [
        vouching.simple(MINE, vouching.payload(OTHER)),
        vouching.attestation(MINE, vouching.statement(OTHER)),
        vouching.bundle(MINE, vouching.statement(OTHER)),
    ],
)
async def test_a_good_signature_of_another_image_is_none_of_this_one(document: Document) -> None:
    assert await verified(document) == Evidence((), (ELSEWHERE,))


async def test_what_was_changed_after_it_was_signed_is_not_signed() -> None:
    signed = vouching.simple(MINE, vouching.payload(OTHER))
    moved = Document(Form.SIMPLE_SIGNING, signed.body.replace(b"cd", b"ab"), signed.signature)
    envelope = vouching.envelope(MINE, vouching.statement(OTHER))
    envelope["payload"] = base64.b64encode(vouching.statement()).decode()
    found = await verified(moved, Document(Form.ENVELOPE, json.dumps(envelope).encode()))
    assert found == Evidence((), (UNTRUSTED, UNTRUSTED))


async def test_a_signature_over_the_payload_alone_is_none_of_the_envelope() -> None:
    """Without DSSE's encoding a payload that was signed as one type could be shown as another."""
    body = vouching.statement()
    naked = [{"sig": vouching.b64(MINE.sign(body))}]
    assert await verified(vouching.bundle(MINE, dsseEnvelope=vouching.envelope(MINE, signatures=naked))) == Evidence(
        (), (UNTRUSTED,)
    )


async def test_a_good_signature_counts_whatever_else_is_there() -> None:
    junk = Document(Form.BUNDLE, b"\x00")
    found = await verified(junk, vouching.simple(STRANGER), vouching.bundle(MINE))
    assert found == Evidence((Voucher("mine.pub"),), ("it is no JSON object", UNTRUSTED))


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        (Document(Form.SIMPLE_SIGNING, vouching.payload()), UNTRUSTED),
        (Document(Form.SIMPLE_SIGNING, vouching.payload(), "???"), "something in it is no Base64"),
        (Document(Form.SIMPLE_SIGNING, vouching.payload(), "é"), "something in it is no Base64"),
        (Document(Form.ENVELOPE, b"[1]"), "it has something else where an object belongs"),
        (Document(Form.ENVELOPE, b"[" * 100_000), "it is no JSON object"),
        (vouching.bundle(MINE, verificationMaterial=[]), "it has something else where an object belongs"),
        (Document(Form.BUNDLE, b'{"verificationMaterial": {}}'), "its bundle holds no envelope"),
        (vouching.bundle(MINE, dsseEnvelope={}), "its payload is no in-toto statement"),
        (
            vouching.bundle(MINE, dsseEnvelope=vouching.envelope(MINE, signatures=[])),
            "its envelope has no signatures, or too many",
        ),
        (
            vouching.bundle(MINE, dsseEnvelope=vouching.envelope(MINE, signatures=[{"sig": ""}] * 17)),
            "its envelope has no signatures, or too many",
        ),
        (
            vouching.bundle(MINE, dsseEnvelope=vouching.envelope(MINE, signatures=[{}])),
            "something in it is no Base64",
        ),
        (
            Document(Form.SIMPLE_SIGNING, vouching.payload(), "", certificate=True),
            OLD_KEYLESS,
        ),
        (
            sigstores.Sigstore().bundle(),
            "a signature is by an identity, and verify.matchOIDCIdentity trusts none",
        ),
    ],
)
async def test_what_is_malformed_is_a_fact(document: Document, fault: str) -> None:
    assert await verified(document) == Evidence((), (fault,))


async def test_faults_of_the_registry_are_kept() -> None:
    found = await CosignVerifier().verify(DIGEST, Attached((), ("one is not there",)), Material())
    assert found == Evidence((), ("one is not there",))


@pytest.mark.parametrize(
    ("pem", "words"),
    [
        (b"ssh-ed25519 AAAA", "verify.secretRef.mine.pub: it is no public key in PEM"),
        (vouching.rsa_key(1024).pem, "it is an RSA key of 1024 bits; use one of 2048 or more"),
        (vouching.pem(x25519.X25519PrivateKey.generate().public_key()), "it is of a kind that is not supported"),
        (vouching.ecdsa(ec.SECP256K1()).pem, "it is of a kind that is not supported"),
    ],
)
async def test_a_key_that_is_none_is_told_whatever_the_others_say(pem: bytes, words: str) -> None:
    with pytest.raises(errors.InvalidInput, match=words):
        await verified(vouching.simple(MINE), keys={"good.pub": MINE, "mine.pub": Signer(pem, MINE.sign)})


async def test_more_keys_than_anybody_tries_are_refused() -> None:
    with pytest.raises(errors.InvalidInput, match="holds 33 keys; at most 32 are tried"):
        await verified(keys={f"{number}.pub": MINE for number in range(33)})


# --- identities -------------------------------------------------------------------------------------------------------


async def test_an_identity_signs_and_attests_and_its_certificate_says_since_when() -> None:
    signed = await identified(STORE.bundle())
    [voucher] = signed.vouchers
    assert voucher == Voucher("", ISSUER, SUBJECT)
    assert voucher.at == sigstores.NOW + sigstores._LIFE
    attested = await identified(STORE.bundle(vouching.statement(predicate=SPDX)))
    assert attested.vouchers == (Voucher("", ISSUER, SUBJECT, SPDX),)


async def test_a_person_is_known_by_the_address() -> None:
    found = await identified(STORE.bundle(subject="ann@acme.example"), identities=(Identity(".*", "@acme.example$"),))
    assert found.vouchers == (Voucher("", ISSUER, "ann@acme.example"),)


@pytest.mark.parametrize(
    "identities",
    [
        (Identity("^https://accounts", "acme"),),
        (Identity("token.actions", "^https://github.com/other"), Identity("accounts", "acme/api")),
    ],
)
async def test_issuer_and_subject_must_be_of_one_identity(identities: tuple[Identity, ...]) -> None:
    found = await identified(STORE.bundle(), identities=identities)
    told = f"it is signed by {SUBJECT} of {ISSUER}, which is none of the trusted identities"
    assert found == Evidence((), (told,))


async def test_a_keyless_signature_of_another_image_is_none_of_this_one() -> None:
    assert await identified(STORE.bundle(vouching.statement(OTHER))) == Evidence((), (ELSEWHERE,))


async def test_another_sigstore_vouches_for_nobody_here() -> None:
    stranger = sigstores.Sigstore()
    assert await identified(stranger.bundle()) == Evidence((), ("sigstore refuses it (CertValidationError)",))
    same_authority = sigstores.Sigstore(authority=STORE.authority)
    assert await identified(same_authority.bundle()) == Evidence((), ("sigstore refuses it (VerificationError)",))
    without_log = sigstores.Sigstore(authority=STORE.authority, certificates=STORE.certificates)
    assert await identified(without_log.bundle()) == Evidence((), ("sigstore refuses it (VerificationError)",))


async def test_what_the_log_has_is_what_counts() -> None:
    first, second = STORE.document(), STORE.document(vouching.statement(predicate=SPDX))
    second["verificationMaterial"]["tlogEntries"] = first["verificationMaterial"]["tlogEntries"]
    assert (await identified(Document(Form.BUNDLE, json.dumps(second).encode()))).vouchers == ()
    del first["verificationMaterial"]["tlogEntries"]
    found = await identified(Document(Form.BUNDLE, json.dumps(first).encode()))
    assert found == Evidence((), ("sigstore refuses it (InvalidBundle)",))


async def test_the_root_that_comes_with_sigstore_is_used_when_none_is_named() -> None:
    found = await verified(STORE.bundle(), keys={}, identities=(RELEASE,))
    assert found == Evidence((), ("sigstore refuses it (CertValidationError)",))


@pytest.mark.parametrize("root", [b"", b"{}", b'{"mediaType": "x"}'])
async def test_a_root_that_is_none_is_told(root: bytes) -> None:
    with pytest.raises(errors.InvalidInput, match="is no trusted root of Sigstore"):
        await verified(STORE.bundle(), keys={}, identities=(RELEASE,), root=root)


def scrambled(document: Document, dice: random.Random) -> Document:
    """Change something somewhere: a byte, a value, or what a value holds."""
    body = bytearray(document.body)
    if dice.random() < 0.3:
        body[dice.randrange(len(body))] = dice.randrange(256)
        return Document(document.form, bytes(body), document.signature)
    found = json.loads(document.body)
    here: Any = found
    while True:
        key = dice.choice(list(here) if isinstance(here, dict) else range(len(here)))
        if not isinstance(here[key], dict | list) or not here[key] or dice.random() < 0.2:
            break
        here = here[key]
    text = here[key] if isinstance(here[key], str) else ""
    decoded = bytearray(base64.b64decode(text + "==")) if len(text) > 40 and " " not in text else bytearray(b"0")
    decoded[dice.randrange(len(decoded))] ^= 1 << dice.randrange(8)
    here[key] = dice.choice([None, "", -1, [], {}, "x" * 9, 2**70, *[base64.b64encode(decoded).decode()] * 9])
    return Document(document.form, json.dumps(found).encode(), document.signature)


@pytest.mark.parametrize("seed", range(150))
async def test_no_scrambled_document_is_more_than_a_fault(seed: int) -> None:
    dice = random.Random(seed)
    bundles = [STORE.bundle(), vouching.bundle(MINE), vouching.attestation(MINE)]
    documents = [scrambled(each, dice) for each in bundles]
    found = await verified(*documents, identities=(RELEASE,), root=STORE.root)
    # What nobody signs may change; whatever it is, who vouches is who has signed.
    assert {(each.key, each.subject) for each in found.vouchers} <= {("mine.pub", ""), ("", SUBJECT)}
    assert all(not each.predicate for each in found.vouchers)


def test_nobody_pays_for_what_verifies_who_verifies_nothing() -> None:
    code = (
        "import sys, patchwright.handlers.wiring as _; assert not {'sigstore', 'securesystemslib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
