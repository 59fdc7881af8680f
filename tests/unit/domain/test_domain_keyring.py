"""Pull secrets are matched as kubelet matches them, and never shown."""

from __future__ import annotations

import time

import pytest

from patchwright.domain.images import keyring, reference
from patchwright.domain.images.keyring import Keyring, Login


def ring(*keys: str) -> Keyring:
    """A keyring whose every login is called like its key."""
    found = (keyring.entry(key, Login(key, "secret")) for key in keys)
    return keyring.keyring(each for each in found if each is not None)


def tried(image: str, *keys: str) -> list[str]:
    return [login.username for login in ring(*keys).logins(reference.parse(image))]


@pytest.mark.parametrize(
    ("key", "image"),
    [
        ("reg.example.com", "reg.example.com/team/api"),
        ("https://reg.example.com", "reg.example.com/team/api"),
        ("http://reg.example.com:5000/v2/", "reg.example.com:5000/team/api"),
        ("https://reg.example.com/v1/", "reg.example.com/api"),
        ("reg.example.com/team", "reg.example.com/team/api"),
        ("reg.example.com/team", "reg.example.com/teams/api"),
        ("reg.example.com/v2/team", "reg.example.com/team/api"),
        ("reg.example.com/?x=1", "reg.example.com/api"),
        ("*.example.com", "reg.example.com/api"),
        ("reg.*.com", "reg.example.com/api"),
        ("r*g.ex*le.c*", "reg.example.com/api"),
        ("*a*c*.com", "xaybzcz.com/api"),
        ("[::1]:5000", "[::1]:5000/api"),
        ("localhost:5000", "localhost:5000/api"),
        ("docker.io", "nginx"),
        ("https://index.docker.io/v1/", "nginx"),
        ("index.docker.io", "acme/api"),
    ],
)
def test_a_key_fits(key: str, image: str) -> None:
    assert tried(image, key) == [key]


@pytest.mark.parametrize(
    ("key", "image"),
    [
        ("reg.example.com", "reg.example.com:5000/api"),
        ("reg.example.com:5000", "reg.example.com/api"),
        ("*.example.com", "a.reg.example.com/api"),
        ("*.example.com", "example.com/api"),
        ("*ab*c*.com", "xaybzcz.com/api"),
        ("*abc.com", "bc.com/api"),
        ("a*a.com", "a.com/api"),
        ("reg.example.com/team", "reg.example.com/other"),
        ("reg.example.com/team/", "reg.example.com/team"),
        ("REG.example.com", "reg.example.com/api"),
        ("registry-1.docker.io", "nginx"),
        ("https://index.docker.io/v1", "nginx"),
        ("https://index.docker.io/v1/", "quay.io/acme/api"),
        ("r[e]g.example.com", "reg.example.com/api"),
        ("*:*", "reg:5000/api"),
        ("", "reg.example.com/api"),
        ("//reg.example.com", "reg.example.com/api"),
        ("user@reg.example.com", "reg.example.com/api"),
    ],
)
def test_a_key_does_not_fit(key: str, image: str) -> None:
    assert tried(image, key) == []


def test_the_more_specific_key_is_tried_first_and_the_others_after_it() -> None:
    keys = ("*.example.com", "reg.example.com", "reg.example.com/team/api", "reg.example.com/team")
    assert tried("reg.example.com/team/api", *keys) == [
        "reg.example.com/team/api", "reg.example.com/team", "reg.example.com", "*.example.com",
    ]  # fmt: skip


def test_a_key_for_docker_hub_by_its_own_name_hides_the_old_one() -> None:
    assert tried("nginx", "https://index.docker.io/v1/", "docker.io/library") == ["docker.io/library"]


def test_two_secrets_for_one_registry_are_tried_in_the_order_of_the_pod() -> None:
    entries = [keyring.entry("reg.example.com", Login(name, "p")) for name in ("new", "old", "new")]
    found = keyring.keyring(entry for entry in entries if entry is not None)
    assert [each.username for each in found.logins(reference.parse("reg.example.com/api"))] == ["new", "old"]


def test_nobody_reads_a_login_from_a_log() -> None:
    assert "secret" not in repr(ring("reg.example.com"))
    assert "robot" not in repr(Login("robot", "secret"))


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    hostile = "*a" * 5000
    began = time.process_time()
    assert tried(f"{'a' * 200}b.com/x", f"{hostile}.com") == []
    assert time.process_time() - began < 1
