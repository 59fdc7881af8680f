"""Platforms as an index names them: ``linux/amd64``, ``linux/arm/v7``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# What containerd takes to be the same (platforms.Normalize): the variant that every such processor has.
_IMPLIED = {("arm64", "v8"), ("amd64", "v1")}


def lacking(wanted: Sequence[str], found: Iterable[str]) -> list[str]:
    """Give those of the wanted platforms that are not there."""
    there = {_plain(platform) for platform in found}
    return [platform for platform in wanted if _plain(platform) not in there]


def _plain(platform: str) -> str:
    system, _, rest = platform.partition("/")
    processor, _, variant = rest.partition("/")
    if (processor, variant) in _IMPLIED or not variant:
        return f"{system}/{processor}"
    return platform
