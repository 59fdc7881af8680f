"""Where health checks may connect to.

A policy's author chooses the address and the operator connects: whoever may write a policy must not reach with it what
only the operator's node can reach. The answer's body is never shown; a Prometheus answer's labels are.
"""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

# Metadata services hand out a node's cloud credentials; these live outside the link-local ranges.
_METADATA: Final = frozenset(
    ipaddress.ip_address(address) for address in ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16")
)


def fault(url: str) -> str:
    """Say in a phrase why a health check may not use ``url``; empty when it may."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        return f"is no URL: {error}"
    if parts.scheme not in ("http", "https"):
        return "must begin with http:// or https://"
    if not host:
        return "names no host"
    if parts.username is not None or parts.password is not None:
        # It would be shown in every status and log that names the address.
        return "must not carry a user name or password"
    if parts.fragment:
        return "must not carry a fragment"
    return "is an address that serves the node's own metadata" if forbidden(host) else ""


def forbidden(host: str) -> bool:
    """Tell whether an IP address is link-local or a cloud's metadata service; host names are not (yet)."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.is_link_local or address in _METADATA
