"""Every case of the API in one place: the unit tests hold the models to them, the control plane's tests the CRDs."""

from __future__ import annotations

from typing import Final

from support.api_forms import FORMS, MUTABLE, ONLY_MODEL, RIGHT, UNKNOWN
from support.api_manifests import FULL, MINIMAL, PLURALS, WORKLOADS, Manifest, Wrong
from support.api_rules import IMMUTABLE, RULES

WRONG: Final = (*RULES, *FORMS, *UNKNOWN, *ONLY_MODEL)

__all__ = [
    "FULL",
    "IMMUTABLE",
    "MINIMAL",
    "MUTABLE",
    "PLURALS",
    "RIGHT",
    "RULES",
    "WORKLOADS",
    "WRONG",
    "Manifest",
    "Wrong",
]
