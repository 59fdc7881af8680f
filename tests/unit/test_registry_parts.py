"""The parts of the registry client that need no server: pace, challenges, pull secrets, documents."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import UTC, datetime

import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from patchwright import errors
from patchwright.adapters.registry import challenges, client, dockerconfig, documents, pace, wire
from patchwright.adapters.registry.gate import Door, Gate
from patchwright.adapters.registry.tally import Tally
from patchwright.domain.images import reference
from patchwright.domain.images.keyring import Keyring, Login
from patchwright.errors import InvalidInput
from support.registries import Hourglass

# --- pace -------------------------------------------------------------------------------------------------------------


def test_a_burst_goes_at_once_and_the_rest_in_step() -> None:
    rate = pace.Rate(per_second=4, burst=3)
    assert [rate.reserve(100.0) for _ in range(6)] == [0, 0, 0, 0.25, 0.5, 0.75]
    assert rate.reserve(200.0) == 0, "what was not used is not saved up beyond a burst"
    assert [rate.reserve(200.0) for _ in range(3)] == [0, 0, 0.25]


def test_without_being_told_for_how_long_the_pause_doubles_until_it_goes_well() -> None:
    time = Hourglass()
    lane = pace.Lane("x", pace.Limits(), time.timing())
    assert [lane.close(None, None) for _ in range(4)] == [2, 4, 8, 16]
    lane.went_well(None)
    assert lane.close(None, None) == 32, "an answer that was on its way when the pause began ends nothing"
    assert [lane.close(None, None) for _ in range(2000)][-1] == pace.LONGEST_PAUSE
    time.seconds += 3601
    lane.went_well(None)
    assert lane.close(None, None) == 2
    assert lane.close(None, 1e9) == pace.LONGEST_PAUSE


async def test_one_logins_pause_is_not_anothers() -> None:
    time = Hourglass()
    lane, paid = pace.Lane("docker.io", pace.Limits(), time.timing()), Login("paid", "x")
    lane.close(None, 600)
    async with lane.turn(paid):
        assert time.slept == []
    with pytest.raises(errors.RegistryUnavailable):
        async with lane.turn(None):
            raise AssertionError("nobody gets here")


def test_pauses_that_are_over_are_forgotten() -> None:
    time = Hourglass()
    lane = pace.Lane("x", pace.Limits(), time.timing())
    for number in range(150):
        lane.close(Login(f"u{number}", "x"), 1)
        time.seconds += 2
    assert len(lane._pauses) <= 100
    assert not lane.busy


def test_no_two_callers_come_back_at_the_same_moment() -> None:
    dice = iter((0.0, 1.0, 0.0, 1.0))
    lane = pace.Lane("x", pace.Limits(backoff=1.0), pace.Timing(dice=lambda: next(dice)))
    assert [lane.backoff(1), lane.backoff(1), lane.backoff(3), lane.backoff(3)] == [0.5, 1.0, 2.0, 4.0]


async def test_no_more_are_in_flight_than_was_agreed() -> None:
    lane, inside, most = pace.Lane("x", pace.Limits(at_once=3, burst=100), Hourglass().timing()), 0, 0

    async def one() -> None:
        nonlocal inside, most
        async with lane.turn(None):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.001)
            inside -= 1

    await asyncio.gather(*(one() for _ in range(20)))
    assert most == 3


async def test_a_short_pause_is_waited_for_and_a_long_one_is_told() -> None:
    time = Hourglass()
    lane = pace.Lane("ghcr.io", pace.Limits(patience=10), time.timing())
    lane.close(None, 9)
    async with lane.turn(None):
        assert time.slept == [9]
    lane.close(None, 11)
    with pytest.raises(errors.RegistryUnavailable) as caught:
        async with lane.turn(None):
            raise AssertionError("nobody gets here")
    assert str(caught.value) == (
        "Registry ghcr.io limits its requests and is left alone for 11 s more; give it a login with a higher limit, or "
        "a longer interval"
    )
    assert caught.value.retry_after == 11


def test_made_up_registries_are_forgotten_and_one_that_is_closed_is_not() -> None:
    time = Hourglass()
    lanes = pace.Lanes(pace.Limits(), time.timing())
    closed = lanes.of("docker.io")
    closed.close(None, 100)
    others = [lanes.of(f"r{number}.example.com") for number in range(1500)]
    assert lanes.of("docker.io") is closed
    assert lanes.of("r0.example.com") is not others[0]


@pytest.mark.parametrize(
    ("header", "date", "seconds"),
    [
        ("120", "", 120),
        ("0", "", 0),
        (" 7 ", "", 7),
        ("-1", "", None),
        ("soon", "", None),
        ("", "", None),
        ("٣", "", None),
        ("9" * 400, "", 999_999_999),
        ("Mon, 23 Nov 2026 12:00:30 GMT", "Mon, 23 Nov 2026 12:00:00 GMT", 30),
        ("Mon, 23 Nov 2026 11:00:00 GMT", "Mon, 23 Nov 2026 12:00:00 GMT", 0),
        ("Mon, 23 Nov 2026 12:00:30 GMT", "", None),
        ("Mon, 23 Nov 2026 12:00:30", "Mon, 23 Nov 2026 12:00:00 GMT", None),
    ],
)
def test_how_long_to_wait_is_read_by_the_servers_own_clock(header: str, date: str, seconds: float | None) -> None:
    headers = CIMultiDictProxy(CIMultiDict({"Retry-After": header, "Date": date}))
    assert wire.retry_after(headers) == seconds


# --- challenges -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (['Basic realm="a, b"'], [("basic", {"realm": "a, b"})]),
        (["BASIC"], [("basic", {})]),
        (
            ['Bearer realm="https://x/t",service=reg,scope="repository:a/b:pull"'],
            [("bearer", {"realm": "https://x/t", "service": "reg", "scope": "repository:a/b:pull"})],
        ),
        (['Bearer realm="x", Basic realm="y"'], [("bearer", {"realm": "x"}), ("basic", {"realm": "y"})]),
        (["Negotiate", 'Bearer realm="x"'], [("negotiate", {}), ("bearer", {"realm": "x"})]),
        (['Bearer Realm = "q\\"uo\\\\te"'], [("bearer", {"realm": 'q"uo\\te'})]),
        ([",, Basic ,"], [("basic", {})]),
        (['realm="x"'], []),
        (['Bearer realm="unfinished'], [("bearer", {}), ("unfinished", {})]),
        ([""], []),
        (["\x00\x01"], []),
    ],
)
def test_challenges_are_read_as_the_rfc_has_them(
    headers: list[str], expected: list[tuple[str, dict[str, str]]]
) -> None:
    found = [(each.scheme, dict(each.parameters)) for each in challenges.parse(headers)]
    assert [each for each in found if each[0] != "realm"] == expected


@pytest.mark.parametrize(
    ("scope", "kept"),
    [
        ("repository:a/b:pull", {"repository:a/b:pull"}),
        ("repository:a/b:pull,push", {"repository:a/b:pull"}),
        ("repository:a/b:push", set()),
        ("repository:reg:5000/a:pull,metadata_read", {"repository:reg:5000/a:pull,metadata_read"}),
        ("registry:catalog:*", set()),
        ("repository:a:pull repository:b:pull", {"repository:a:pull", "repository:b:pull"}),
        ("", set()),
    ],
)
def test_only_what_reads_is_asked_for(scope: str, kept: set[str]) -> None:
    [challenge] = challenges.parse([f'Bearer scope="{scope}"'])
    assert challenge.scopes == kept


async def test_doors_that_nobody_opens_any_more_are_forgotten() -> None:
    gate = Gate(lambda: 0.0)
    for number in range(1100):
        gate._place(Door(URL("https://registry.example.com"), f"a{number}", None))
    assert len(gate._places) == 1000


# --- pull secrets -----------------------------------------------------------------------------------------------------


def docker(auths: object) -> dict[str, bytes]:
    return {".dockerconfigjson": json.dumps({"auths": auths}).encode()}


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def logins(data: dict[str, bytes]) -> list[tuple[str, str]]:
    ring = dockerconfig.read({"regcred": data})
    found = ring.logins(reference.parse("reg.example.com/team/api"))
    return [(each.username, each.password) for each in found]


@pytest.mark.parametrize(
    "entry",
    [
        {"auth": b64("robot:a:b")},
        {"auth": b64("robot:a:b").rstrip("=")},
        {"auth": f" {b64('robot:a:b')}\n"},
        {"username": "robot", "password": "a:b"},
        {"username": "other", "password": "x", "auth": b64("robot:a:b")},
        {"auth": b64("robot:a:b\0\0")},
    ],
)
def test_a_login_is_read_however_it_was_written(entry: dict[str, str]) -> None:
    assert logins(docker({"reg.example.com": entry})) == [("robot", "a:b")]
    assert logins({".dockercfg": json.dumps({"reg.example.com": entry}).encode()}) == [("robot", "a:b")]


def test_what_logged_out_and_what_names_no_host_is_nobody() -> None:
    assert logins(docker({"reg.example.com": {}, "": {"auth": b64("robot:x")}})) == []
    assert logins({".dockerconfigjson": b'{"credsStore": "desktop"}'}) == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "the Secret has neither .dockerconfigjson nor .dockercfg; make it with kubectl create secret"),
        ({".dockerconfigjson": b"{"}, ".dockerconfigjson is no JSON"),
        ({".dockerconfigjson": b"[" * 100_000}, ".dockerconfigjson is no JSON"),
        ({".dockerconfigjson": b"[]"}, ".dockerconfigjson has no object of logins"),
        ({".dockercfg": b"[]"}, ".dockercfg has no object of logins"),
        (docker({"reg.example.com": "x"}), "the login for 'reg.example.com' is no object"),
        (docker({"reg.example.com": {"auth": "%%%"}}), "is no base64 of user:password"),
        (docker({"reg.example.com": {"auth": b64("hunter2")}}), "is no base64 of user:password"),
        (docker({"reg.example.com": {"auth": "/w=="}}), "is no base64 of user:password"),
    ],
)
def test_a_pull_secret_that_is_none_is_named_and_not_shown(data: dict[str, bytes], words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        dockerconfig.read({"fine": docker({}), "regcred": data})
    assert str(caught.value).startswith(f"imagePullSecrets[regcred]: {words}" if words[0] == "." else "imagePull")
    assert words in str(caught.value)
    assert caught.value.reason == "AuthenticationFailed"
    assert "hunter2" not in str(caught.value)


def test_no_pull_secret_is_nobody() -> None:
    assert dockerconfig.read({}) == Keyring()


# --- documents --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("2026-03-01T12:00:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T12:00:00.123456789+02:00", datetime(2026, 3, 1, 10, 0, 0, 123456, tzinfo=UTC)),
        ("2026-03-01T12:00:00", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("0001-01-01T00:00:00+14:00", None),
        ("yesterday", None),
        (7, None),
        (None, None),
    ],
)
def test_when_an_image_was_made_is_what_it_says_or_unknown(raw: object, expected: datetime | None) -> None:
    assert documents.read_config(json.dumps({"created": raw}).encode()).created == expected


def test_a_digest_is_computed_by_the_algorithm_it_is_compared_by() -> None:
    assert documents.digest(b"", "sha512:x").startswith("sha512:cf83e1357eefb8bd")
    assert documents.digest(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_what_was_used_last_is_kept() -> None:
    kept = client._Kept[str, int](2)
    kept.put("a", 1)
    kept.put("b", 2)
    assert kept.get("a") == 1
    kept.put("c", 3)
    assert [kept.get(each) for each in "abc"] == [1, None, 3]


def test_requests_are_counted_by_image() -> None:
    tally = Tally()
    tally.registry_asked("ghcr.io/a", registry="ghcr.io", what="tags", code="200")
    tally.registry_asked("ghcr.io/a", registry="ghcr.io", what="manifest", code="304")
    tally.registry_asked("ghcr.io/b", registry="ghcr.io", what="manifest", code="200")
    assert tally.images() == ("ghcr.io/a", "ghcr.io/b")
    assert (tally.of(), tally.of("ghcr.io/a"), tally.of(what="manifest"), tally.of(code="304")) == (3, 2, 2, 1)
