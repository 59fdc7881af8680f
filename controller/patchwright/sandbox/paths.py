"""Where the sandbox keeps things: builds in the cache, running sandboxes in the state directory (XDG)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from patchwright.sandbox import errors

DEFAULT_NAME = "default"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


def cache_root(env: Mapping[str, str] = os.environ) -> Path:
    """Give the directory of built programs: ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    return _xdg(env, "XDG_CACHE_HOME", ".cache") / "patchwright" / "sandbox"


def state_root(env: Mapping[str, str] = os.environ) -> Path:
    """Give the directory of named sandboxes: ``$XDG_STATE_HOME`` or ``~/.local/state``."""
    return _xdg(env, "XDG_STATE_HOME", ".local/state") / "patchwright" / "sandbox"


def sandbox_directory(name: str, env: Mapping[str, str] = os.environ) -> Path:
    """Give the directory of the sandbox called ``name``; raise SandboxError for what is no plain name."""
    if not _NAME.fullmatch(name):
        # A name becomes a folder that `down` deletes: `..` or `/` must never get that far.
        raise errors.SandboxError(
            f"Sandbox name {name!r} is not a DNS label of at most 32 characters; use letters, digits and hyphens."
        )
    return state_root(env) / name


def _xdg(env: Mapping[str, str], variable: str, fallback: str) -> Path:
    value = env.get(variable, "")
    # The XDG specification says that a relative path is to be ignored.
    return Path(value) if value and Path(value).is_absolute() else Path.home() / fallback
