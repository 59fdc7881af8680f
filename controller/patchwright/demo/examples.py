"""Where the example repository is: in the checkout, or beside the installed package (put there by the wheel)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import patchwright

_REPOSITORY = "policy-repo"
_APPLICATION = "app-repo"
# The manifest that story 1 merges; it is part of the example, so the first push leaves it out.
HELD_BACK = "fleet/rollouts/openssl-3.0.17.yaml"


@cache
def directory() -> Path:
    """Give the folder ``examples``; ``FileNotFoundError`` if the installation is broken."""
    package = Path(patchwright.__file__).parent
    for candidate in (package / "examples", package.parents[1] / "examples"):
        if (candidate / _REPOSITORY / HELD_BACK).is_file():
            return candidate
    raise FileNotFoundError(f"the example repository is missing beside {package}; install patchwright again")


def repository() -> dict[str, str]:
    """Give the example repository: path to text."""
    return _files(_REPOSITORY)


def application() -> dict[str, str]:
    """Give the example of what a GitOps tool applies: path to text."""
    return _files(_APPLICATION)


def pull_request(name: str) -> str:
    """Give the manifest of a pull request."""
    return (directory() / "pull-requests" / name).read_text("utf-8")


def _files(folder: str) -> dict[str, str]:
    root = directory() / folder
    return {path.relative_to(root).as_posix(): path.read_text("utf-8") for path in root.rglob("*") if path.is_file()}
