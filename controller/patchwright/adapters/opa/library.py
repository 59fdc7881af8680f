"""The starter library of ``policies/``, which is part of every bundle.

Installed, it lies beside the package (``patchwright/policies``, put there by the wheel); in a checkout, at its root.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Final

import patchwright

BUILTIN_REVISION: Final = f"builtin@{patchwright.__version__}"
"""The revision of the bundle that is served when no repository brings Rego."""

DEFAULT_ROLLOUT: Final = "patchwright/rollout.rego"
"""The module with the default package ``patchwright.rollout``; a repository's own package replaces it."""


@cache
def directory() -> Path:
    """Give the folder that holds the library; ``FileNotFoundError`` if the installation is broken."""
    package = Path(patchwright.__file__).parent
    for candidate in (package / "policies", package.parents[1] / "policies"):
        if (candidate / DEFAULT_ROLLOUT).is_file():
            return candidate
    raise FileNotFoundError(f"the Rego library is missing beside {package}; install patchwright again")


def modules() -> dict[str, bytes]:
    """Give the library's modules (bundle path to content) without tests and without the default rollout package."""
    root = directory()
    found = {
        path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.glob("patchwright/**/*.rego"))
    }
    return {name: text for name, text in found.items() if name != DEFAULT_ROLLOUT and not name.endswith("_test.rego")}


def default_rollout() -> bytes:
    """Give the module of the default package."""
    return (directory() / DEFAULT_ROLLOUT).read_bytes()


def input_schema() -> Path:
    """Give the JSON schema of the input document, which OPA type-checks every rule against."""
    return directory() / "schemas" / "input.json"


def parameter_names() -> list[str]:
    """Give the names of the library's parameters."""
    return list(json.loads(parameters_schema().read_bytes())["properties"])


def parameters_schema() -> Path:
    """Give the JSON schema of the library's parameters."""
    return directory() / "schemas" / "parameters.json"
