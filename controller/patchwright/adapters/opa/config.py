"""How OPA is started: for the sandbox, the chart and the tests alike."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

BUNDLE_NAME: Final = "patchwright"
BUNDLE_RESOURCE: Final = "bundles/patchwright.tar.gz"
DECISIONS: Final = "patchwright.meta.decision"
"""The document that decisions are asked through; the bundle's generated module defines it, one key per package."""


def opa_config(service_url: str, *, token: str | None = None, long_poll_seconds: int = 30) -> dict[str, Any]:
    """Give OPA's configuration document.

    ``service_url`` is the bundle server's, ``token`` its bearer token. Nothing is persisted: a restarted OPA waits for
    the bundle instead of serving an old one (opa#3554). Decisions are logged to the console, which is what gives them
    an id; the input holds no secrets, so nothing is masked.
    """
    service: dict[str, Any] = {"url": service_url}
    if token is not None:
        service["credentials"] = {"bearer": {"token": token}}
    # The delays are the pause after a failed download; a successful long poll is followed by the next at once.
    polling = {"long_polling_timeout_seconds": long_poll_seconds, "min_delay_seconds": 1, "max_delay_seconds": 1}
    bundle = {"service": "patchwright", "resource": BUNDLE_RESOURCE, "persist": False, "polling": polling}
    return {
        "services": {"patchwright": service},
        "bundles": {BUNDLE_NAME: bundle},
        "decision_logs": {"console": True},
    }


def authorization_module(token: str) -> str:
    """Give the ``system.authz`` module that lets the bearer of ``token`` ask for decisions, and anybody for health.

    Only the token's digest is in it. Everything else is refused: uploading policies, ad-hoc queries, data, status.
    """
    digest = hashlib.sha256(token.encode()).hexdigest()
    path = ", ".join(f'"{part}"' for part in ["v1", "data", *DECISIONS.split(".")])
    return f"""package system.authz

default allow := false

allow if {{
	input.method == "GET"
	input.path == ["health"]
}}

allow if {{
	input.method == "POST"
	array.slice(input.path, 0, 5) == [{path}]
	crypto.sha256(input.identity) == "{digest}"
}}
"""


def opa_arguments(config: Path, *, address: str, authorization: Path | None = None) -> list[str]:
    """Give the arguments of ``opa`` for a server on ``address`` (``127.0.0.1:8181``) with the configuration file.

    ``authorization`` is a file with ``authorization_module``'s text; without it the API is open, as is OPA's default,
    and then belongs on loopback in a network namespace of its own.
    """
    arguments = ["run", "--server", f"--addr={address}", f"--config-file={config}", "--skip-version-check"]
    arguments += ["--log-level=error", "--log-format=json"]
    if authorization is None:
        return arguments
    return [*arguments, "--authentication=token", "--authorization=basic", str(authorization)]
