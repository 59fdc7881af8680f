"""Where health checks may connect to."""

from __future__ import annotations

import pytest

from patchwright.domain import endpoints


@pytest.mark.parametrize(
    "url",
    [
        "http://prometheus.monitoring:9090",
        "https://prometheus.example.com/prefix",
        "http://10.0.0.1:80/healthz?full=1",
        "http://[2001:db8::1]:9090/",
        "http://127.0.0.1:9090",
    ],
)
def test_ordinary_urls_have_no_fault(url: str) -> None:
    assert endpoints.fault(url) == ""


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("ftp://host/", "must begin with http:// or https://"),
        ("file:///etc/passwd", "must begin with http:// or https://"),
        ("prometheus:9090", "must begin with http:// or https://"),
        ("http:///path", "names no host"),
        ("http://user:secret@host/", "must not carry a user name or password"),
        ("http://@host/", "must not carry a user name or password"),
        ("http://host/#part", "must not carry a fragment"),
        ("http://host:99999/", "is no URL: Port out of range 0-65535"),
        ("http://[::1/", "is no URL: Invalid IPv6 URL"),
        ("http://169.254.169.254/latest/meta-data", "is an address that serves the node's own metadata"),
        ("http://[fe80::1%25eth0]/", "is an address that serves the node's own metadata"),
        ("http://[::ffff:169.254.169.254]/", "is an address that serves the node's own metadata"),
        ("http://[fd00:ec2::254]/", "is an address that serves the node's own metadata"),
        ("http://100.100.100.200/", "is an address that serves the node's own metadata"),
    ],
)
def test_a_fault_is_named(url: str, fault: str) -> None:
    assert endpoints.fault(url) == fault


def test_a_host_name_is_judged_when_it_is_resolved() -> None:
    assert not endpoints.forbidden("metadata.google.internal")
