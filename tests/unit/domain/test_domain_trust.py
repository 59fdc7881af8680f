"""What signed payloads claim, what vouchers come to, and what policy and the gate make of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from patchwright import errors
from patchwright.domain import policy
from patchwright.domain.images import claims, trust
from patchwright.domain.images.claims import Claim, Malformed
from patchwright.domain.images.trust import AgeSource, Evidence, Trust, Voucher
from patchwright.domain.model import Key, NodeTarget, PatchPolicy, WorkloadTarget
from patchwright.pipeline.trust import whom
from support import vouching
from support.builders import NOW, ago

# --- claims -----------------------------------------------------------------------------------------------------------


def test_a_simple_signature_is_about_the_digest_in_its_payload_whatever_it_calls_the_image() -> None:
    assert claims.simple_signing(vouching.payload()) == Claim(frozenset({vouching.DIGEST}))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "no JSON object"),
        (b"[" * 100_000, "no JSON object"),
        (b"[]", "something else where an object belongs"),
        (b"{}", "something else where an object belongs"),
        (vouching.payload(type="container image"), "of another type"),
        (vouching.payload(image={}), "names no digest"),
        (vouching.payload("sha256:12"), "names no digest"),
        (vouching.payload(image={"docker-manifest-digest": 12}), "names no digest"),
    ],
)
def test_a_payload_that_claims_nothing_says_why(body: bytes, words: str) -> None:
    with pytest.raises(Malformed, match=words):
        claims.simple_signing(body)


def test_a_statement_is_about_each_of_its_subjects_and_a_signature_has_no_predicate() -> None:
    assert claims.statement(vouching.statement()) == Claim(frozenset({vouching.DIGEST}))
    two = [{"digest": {"sha256": "ab" * 32, "sha1": "12"}}, {"digest": {"sha512": "cd" * 64}}]
    found = claims.statement(vouching.statement(predicate=vouching.SPDX, subject=two))
    assert found == Claim(frozenset({vouching.DIGEST, f"sha512:{'cd' * 64}"}), vouching.SPDX)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"_type": "https://in-toto.io/Link/v1"}, "no in-toto statement"),
        ({"predicateType": ""}, "of no predicate"),
        ({"predicateType": "x" * 513}, "of no predicate"),
        ({"predicateType": 1}, "of no predicate"),
        ({"subject": {}}, "about nothing"),
        ({"subject": [{}] * 1001}, "about nothing, or about too much"),
        ({"subject": [None]}, "something else where an object belongs"),
    ],
)
def test_a_statement_that_claims_nothing_says_why(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Malformed, match=words):
        claims.statement(vouching.statement(**changes))


# --- facts ------------------------------------------------------------------------------------------------------------


def test_one_good_signature_is_enough_and_the_first_by_name_is_told() -> None:
    found = trust.judge(
        Evidence(
            (
                Voucher("b.pub"),
                Voucher("a.pub"),
                Voucher("a.pub", predicate=vouching.SPDX),
                Voucher("", "issuer", "subject", vouching.SPDX, at=ago(60)),
                Voucher("", "issuer", "subject", "https://slsa.dev/provenance/v1", at=ago(30)),
            )
        )
    )
    assert (found.asked, found.signed, found.key, found.issuer) == (True, True, "a.pub", "")
    assert found.attestations == ("https://slsa.dev/provenance/v1", vouching.SPDX)
    assert found.signed_at == ago(60)
    assert found.error == ""


def test_an_attestation_alone_is_no_signature() -> None:
    found = trust.judge(Evidence((Voucher("a.pub", predicate=vouching.SPDX),)))
    assert (found.signed, found.key, found.attestations) == (False, "", (vouching.SPDX,))


def test_what_does_not_count_is_told_with_how_often_it_happened() -> None:
    found = trust.judge(Evidence((), ("by none", "by none", "broken", "late", "early")))
    assert found.error == "by none (2 times); broken, and 2 other faults"
    assert not found.signed


def test_an_image_is_as_old_as_its_rollout_at_least_and_as_its_proven_signature() -> None:
    assert trust.since(trust.NOT_ASKED, NOW) == (NOW, AgeSource.ROLLOUT)
    assert trust.since(Trust(signed_at=ago(60)), NOW) == (ago(60), AgeSource.SIGNATURE)
    assert trust.since(Trust(signed_at=NOW), ago(60)) == (ago(60), AgeSource.ROLLOUT)


# --- what is made of them ---------------------------------------------------------------------------------------------


def test_policy_is_told_each_fact() -> None:
    facts = Trust(True, True, "release.pub", "", "", (vouching.SPDX,), ago(172_801), "one is broken")
    pin = policy.PinFacts("ghcr.io/acme/api", "1.4", "sha256:12", "ghcr.io", facts, ago(172_801), AgeSource.SIGNATURE)
    change = policy.ChangeFacts("images", "api:1.4", images=[pin])
    found = policy.policy_input(
        now=NOW,
        stage=policy.Stage.START,
        rollout=policy.RolloutFacts("api", "ops", NOW, change),
        policy=policy.PolicyFacts(
            "api", "ops", canary_count=1, canary_soak=timedelta(0), max_unavailable=1, failure_threshold=1
        ),
        fleet=policy.FleetFacts(selected=1, max_unavailable=1),
        plan=[],
        source_revision="r1",
    )
    assert found["rollout"]["change"]["images"] == [
        {
            "image": "ghcr.io/acme/api",
            "tag": "1.4",
            "digest": "sha256:12",
            "registry": "ghcr.io",
            "verify": True,
            "signed": True,
            "key": "release.pub",
            "issuer": "",
            "subject": "",
            "attestations": [vouching.SPDX],
            "error": "one is broken",
            "since": policy.rfc3339(ago(172_801)),
            "ageDays": 2,
            "ageSource": "Signature",
        }
    ]


def test_nodes_trust_nobody() -> None:
    verify = trust.Verify("keys")
    assert whom(PatchPolicy(Key("ops", "x"), "", 0, NodeTarget())) is None
    assert whom(PatchPolicy(Key("ops", "x"), "", 0, WorkloadTarget(("nginx",), verify=verify))) == verify


def test_the_reason_is_the_one_that_no_failure_policy_passes_over() -> None:
    assert errors.SignaturesUnknown("x").reason == trust.UNKNOWN
