"""Asks OPA, through opa-python-client, and trusts nothing that was not proven by the same answer."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import aiohttp
import opa_client

from patchwright import errors
from patchwright.adapters.opa import outline, results, transport
from patchwright.adapters.opa.config import BUNDLE_NAME, DECISIONS
from patchwright.adapters.opa.library import BUILTIN_REVISION
from patchwright.domain.policy import PolicyDecision, PolicyQuestion

_PARAMETERS: Final = {"provenance": "true", "strict-builtin-errors": "true"}
"""A failing builtin is an error, not a rule that does not fire; and the answer names the revision that gave it."""

_POLL_SECONDS: Final = 0.05


class OpaPolicyEngine:
    """The port to one OPA at ``url`` (``http://127.0.0.1:8181``); belongs to the event loop that first asks.

    ``timeout`` is for one whole request, in seconds; there are no retries here, the caller's ``retry_after`` is the
    back-off. ``ca_file`` holds the CA of an https ``url``.
    """

    def __init__(
        self, url: str, *, token: str | None = None, timeout: float = 5.0, ca_file: Path | None = None
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or "@" in parts.netloc:
            raise errors.InvalidInput([errors.Fault("opa.url", f"{url!r} is no http(s)://host:port of an OPA")])
        self.url = url
        self._timeout = timeout
        self._pinned = BUILTIN_REVISION
        self._tls = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        # retries=0: it would evaluate a failing policy three times and never retry the 503 that it promises to.
        self._client = opa_client.AsyncOpaClient(
            host=host,
            port=parts.port or (443 if self._tls else 8181),
            ssl=self._tls is not None,
            token=token,
            retries=0,
            timeout=timeout,
        )

    async def __aenter__(self) -> Self:
        """Nothing to do: the session opens with the first question."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.close()

    async def close(self) -> None:
        """Close the connections; a later question opens new ones."""
        await self._client.close_connection()

    def revision(self) -> str:
        """Give the revision that is pinned now: what ``pin`` said last, the builtin one before."""
        return self._pinned

    def pin(self, revision: str) -> None:
        """Pin ``revision`` from now on; said once its bundle is published."""
        self._pinned = revision

    async def evaluate(self, question: PolicyQuestion) -> PolicyDecision:
        """Ask for a decision.

        Raises only ``errors.Policy*``: ``PolicyUnavailable`` (away, slow, not OPA), ``PolicyRevisionMismatch``,
        ``PolicyUndefined`` (the package decides nothing in this revision), ``PolicyEvaluationError``,
        ``PolicyBadResult``.
        """
        if not outline.PACKAGE.fullmatch(question.package):
            raise errors.PolicyUndefined(f"{question.package!r} is no package name; correct spec.policy.package")
        answer = await self._query(question.input, question.package)
        revision = _revision(answer)
        if revision != question.expected_revision:
            raise _mismatch(revision, question.expected_revision)
        if "result" not in answer:
            raise errors.PolicyUndefined(
                f"package {question.package} decides nothing at revision {revision}: it is missing, or it has no deny "
                "or violation rule; add one, or correct spec.policy.package"
            )
        return results.decision(question, answer["result"], decision_id=str(answer.get("decision_id", "")))

    async def wait_for_revision(self, revision: str, *, within: float) -> None:
        """Wait until OPA answers with ``revision``; after ``within`` seconds raises what the last answer meant."""
        deadline = asyncio.get_running_loop().time() + within
        while True:
            try:
                return await self._hold(revision)
            except (errors.PolicyUnavailable, errors.PolicyRevisionMismatch):
                if asyncio.get_running_loop().time() >= deadline:
                    raise
            await asyncio.sleep(_POLL_SECONDS)

    async def _hold(self, revision: str) -> None:
        held = _revision(await self._query({}, "-"))
        if held != revision:
            raise _mismatch(held, revision)

    async def _query(self, document: Mapping[str, Any], package: str) -> dict[str, Any]:
        # Without a session every call of the client fails with AttributeError; with its own, see transport.
        if self._client._session is None:
            self._client._session = transport.session(
                headers=self._client.headers or {}, timeout=self._timeout, tls=self._tls
            )
        try:
            # The rule name alone is sent as it is; in the package path every dot becomes a slash.
            answer = await self._client.query_rule(dict(document), DECISIONS, package, _PARAMETERS)
        except TimeoutError as error:
            raise self._away(f"does not answer within {self._timeout:g} s") from error
        except aiohttp.ClientConnectionError as error:
            raise self._away("does not accept connections") from error
        except (aiohttp.ClientError, ValueError) as error:
            raise self._away("gives an answer that is not OPA's") from error
        if not isinstance(answer, dict):
            raise self._away("gives an answer that is not OPA's")
        return answer

    def _away(self, what: str) -> errors.PolicyUnavailable:
        return errors.PolicyUnavailable(f"OPA at {self.url} {what}; nothing new starts until it does")


def _revision(answer: Mapping[str, Any]) -> str:
    """Give the revision of our bundle; empty if OPA holds none."""
    provenance = answer.get("provenance")
    bundles = provenance.get("bundles") if isinstance(provenance, dict) else None
    bundle = bundles.get(BUNDLE_NAME) if isinstance(bundles, dict) else None
    return str(bundle.get("revision", "")) if isinstance(bundle, dict) else ""


def _mismatch(held: str, expected: str) -> errors.PolicyRevisionMismatch:
    what = f"holds policy revision {held}" if held else "holds no policy yet"
    return errors.PolicyRevisionMismatch(f"OPA {what}, not the pinned {expected}; waiting for it to follow")
