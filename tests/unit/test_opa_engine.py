"""Decisions of a real OPA on bundles as they are served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from patchwright import errors, ports
from patchwright.adapters import opa
from patchwright.domain import policy
from support import opa_server

Served = tuple[opa.BundleServer, opa.OpaPolicyEngine]

HEAD = "package patchwright.rollout\n\n"


@pytest.fixture
async def serving(tmp_path: Path) -> AsyncIterator[Served]:
    async with opa_server.served(tmp_path) as both:
        yield both


async def publish(serving: Served, files: dict[str, str], revision: str = "r1") -> opa.OpaPolicyEngine:
    server, engine = serving
    server.publish(await opa_server.build(files, revision))
    await engine.wait_for_revision(revision, within=10)
    return engine


async def decide(serving: Served, rego: str) -> policy.PolicyDecision:
    engine = await publish(serving, {"x.rego": HEAD + rego})
    return await engine.evaluate(opa_server.question())


async def test_the_library_allows_a_careful_rollout_and_says_on_what_grounds(serving: Served) -> None:
    engine = await publish(serving, {})
    decision = await engine.evaluate(opa_server.question())
    assert decision.allowed
    assert decision.violations == ()
    assert decision.revision == "r1"
    assert len(decision.decision_id) == 36
    assert decision.input_digest == policy.input_digest(opa_server.document())
    assert decision.evaluated_at == opa_server.NOW
    assert decision.package == "patchwright.rollout"


async def test_the_library_refuses_a_version_that_moves(serving: Served) -> None:
    engine = await publish(serving, {})
    given = opa_server.document(version="latest")
    decision = await engine.evaluate(opa_server.question(given=given))
    assert not decision.allowed
    assert [violation.rule for violation in decision.violations] == ["patchwright.rollout/deny_pinned_versions"]
    assert decision.violations[0].severity is policy.Severity.CRITICAL
    assert decision.violations[0].remediation.startswith("Write the exact version")
    assert decision.wait_until is None


async def test_a_freeze_window_is_waited_for(serving: Served) -> None:
    window = "freezeWindows: [{name: december, start: '2026-12-01T00:00:00Z', end: '2027-01-01T00:00:00Z'}]\n"
    engine = await publish(serving, {"parameters.yaml": window})
    decision = await engine.evaluate(opa_server.question())
    assert decision.wait_until == datetime(2027, 1, 1, tzinfo=UTC)


async def test_plain_messages_warnings_and_objects_are_understood_and_sorted(serving: Served) -> None:
    decision = await decide(
        serving,
        """
        deny contains "b"
        deny contains "a"
        violation_x contains {"msg": "bad", "severity": "high", "details": {"n": 1}, "remediation": "do this"}
        warn_y contains "careful"
        """,
    )
    assert [(each.severity, each.rule, each.msg) for each in decision.violations] == [
        (policy.Severity.HIGH, "patchwright.rollout/violation_x", "bad"),
        (policy.Severity.MEDIUM, "patchwright.rollout/deny", "a"),
        (policy.Severity.MEDIUM, "patchwright.rollout/deny", "b"),
    ]
    assert decision.violations[0].details == {"n": 1}
    assert [each.msg for each in decision.warnings] == ["careful"]


async def test_warnings_alone_allow(serving: Served) -> None:
    decision = await decide(serving, 'deny contains "x" if input.stage == "wave"\nwarn contains "careful"\n')
    assert decision.allowed
    assert [each.msg for each in decision.warnings] == ["careful"]


async def test_an_exception_waives_the_rules_and_details_that_it_names(serving: Served) -> None:
    decision = await decide(
        serving,
        """
        deny_a contains {"msg": "one", "details": {"node": "n1"}}
        deny_a contains {"msg": "two", "details": {"node": "n2"}}
        deny_b contains "three"
        exception contains {
            "rules": ["deny_a"], "details": {"node": "n1"}, "reason": "OPS-7", "expiresAt": "2027-01-01T00:00:00Z",
        }
        """,
    )
    assert [each.msg for each in decision.violations] == ["two", "three"]
    assert [(each.violation.msg, each.reason) for each in decision.waived] == [("one", "OPS-7")]


async def test_an_exception_that_ran_out_waives_nothing(serving: Served) -> None:
    decision = await decide(
        serving,
        """
        deny contains "one"
        exception contains {"rules": ["deny"], "reason": "OPS-7", "expiresAt": "2026-12-03T10:30:00Z"}
        """,
    )
    assert not decision.allowed
    assert decision.waived == ()


@pytest.mark.parametrize(
    "rule",
    [
        "deny contains 1",
        "deny contains true",
        'deny contains ""',
        'deny contains {"message": "x"}',
        'deny contains {"msg": 1}',
        'deny contains {"msg": "x", "severity": "awful"}',
        'deny contains {"msg": "x", "severity": ["high"]}',
        'deny contains {"msg": "x", "details": []}',
        'deny contains {"msg": "x", "remediation": 1}',
        'deny contains {"msg": "x", "details": {"until": "tomorrow"}}',
        'deny contains {"msg": "x", "details": {"until": "2026-12-03T10:30:00"}}',
        'deny contains {"msg": "x", "details": {"until": 1}}',
        'deny contains "x"\nwarn contains 1',
        'deny contains "x"\nexception contains ["deny"]',
        'deny contains "x"\nexception contains {"rules": ["deny"], "expiresAt": "2027-01-01T00:00:00Z"}',
        'deny contains "x"\nexception contains {"rules": ["deny"], "reason": "y", "expiresAt": "never"}',
        'deny contains "x"\nexception contains {"rules": [1], "reason": "y", "expiresAt": "2027-01-01T00:00:00Z"}',
        'deny contains "x"\nexception contains {"rules": "deny", "reason": "y", "expiresAt": "2027-01-01T00:00:00Z"}',
        """deny contains "x"
        exception contains {"rules": ["deny"], "details": 1, "reason": "y", "expiresAt": "2027-01-01T00:00:00Z"}""",
    ],
)
async def test_any_other_shape_is_a_bad_result(serving: Served, rule: str) -> None:
    with pytest.raises(errors.PolicyBadResult, match=r"patchwright\.rollout/"):
        await decide(serving, rule)


async def test_a_builtin_that_fails_is_an_error_and_not_silence(serving: Served) -> None:
    with pytest.raises(errors.PolicyEvaluationError, match=r"divide by zero at .*x\.rego:3"):
        await decide(serving, 'deny contains "x" if 1 / input.fleet.updated > 1\n')


@pytest.mark.parametrize("package", ["acme.missing", "patchwright.library.freeze_windows", "acme.helper"])
async def test_a_package_that_decides_nothing_is_undefined(serving: Served, package: str) -> None:
    engine = await publish(serving, {"x.rego": "package acme.helper\n\nx := 1\n"})
    with pytest.raises(errors.PolicyUndefined, match=f"{package} decides nothing at revision r1"):
        await engine.evaluate(opa_server.question(package))


@pytest.mark.parametrize("package", ["", "a/b", "../rollout", "patchwright.rollout?x=1", "a..b", "päckage", "a b"])
async def test_what_is_no_package_name_is_not_even_asked(package: str) -> None:
    async with opa.OpaPolicyEngine("http://127.0.0.1:1") as engine:
        with pytest.raises(errors.PolicyUndefined, match="is no package name"):
            await engine.evaluate(opa_server.question(package))


async def test_an_input_of_another_version_is_undefined(serving: Served) -> None:
    engine = await publish(serving, {})
    with pytest.raises(errors.PolicyUndefined):
        await engine.evaluate(opa_server.question(given={"now": "2026-12-03T10:30:00Z", "apiVersion": "v9"}))


async def test_another_revision_than_the_pinned_one_is_no_answer(serving: Served) -> None:
    engine = await publish(serving, {})
    with pytest.raises(errors.PolicyRevisionMismatch, match="holds policy revision r1, not the pinned r2"):
        await engine.evaluate(opa_server.question(revision="r2"))


async def test_an_opa_without_any_policy_is_a_mismatch_and_not_an_allow(serving: Served) -> None:
    _, engine = serving
    with pytest.raises(errors.PolicyRevisionMismatch, match="holds no policy yet"):
        await engine.evaluate(opa_server.question())


async def test_a_hundred_questions_share_one_client(serving: Served) -> None:
    engine = await publish(serving, {})
    decisions = await asyncio.gather(*(engine.evaluate(opa_server.question()) for _ in range(100)))
    assert len({decision.decision_id for decision in decisions}) == 100
    assert all(decision.allowed for decision in decisions)


def test_what_is_pinned_is_what_was_said_last() -> None:
    engine: ports.PolicyEngine = opa.OpaPolicyEngine("http://127.0.0.1:1")
    assert engine.revision() == opa.BUILTIN_REVISION
    assert isinstance(engine, opa.OpaPolicyEngine)
    engine.pin("r2")
    assert engine.revision() == "r2"


async def test_a_closed_engine_opens_again(serving: Served) -> None:
    engine = await publish(serving, {})
    await engine.close()
    assert (await engine.evaluate(opa_server.question())).allowed


async def test_with_a_token_decisions_are_had_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login thief password thief\n")
    netrc.chmod(0o600)
    # Both would take the token away from OPA, were the environment trusted.
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with opa_server.served(tmp_path, token="s3cret") as serving:
        engine = await publish(serving, {})
        assert (await engine.evaluate(opa_server.question())).allowed
        async with opa.OpaPolicyEngine(engine.url, token="wrong") as stranger:
            with pytest.raises(errors.PolicyUnavailable, match="give both the same token"):
                await stranger.evaluate(opa_server.question())


@pytest.mark.parametrize("url", ["127.0.0.1:8181", "ftp://x", "http://", "http://x/v1/data", "http://u:p@x:1"])
def test_what_is_no_url_of_an_opa_is_refused(url: str) -> None:
    with pytest.raises(errors.InvalidInput, match=r"opa\.url"):
        opa.OpaPolicyEngine(url)
