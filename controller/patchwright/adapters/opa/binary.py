"""Runs the ``opa`` command: no network builtins, a clean environment, bounded time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from patchwright import errors

TIMEOUT_SECONDS: Final = 60.0

_REFUSED: Final = (
    # A trace of what a policy does belongs to tests, and parsing Rego inside Rego is a way around this very list.
    "rego.parse_module",
    "trace",
    # Looks at the clock unless told a time, without being marked nondeterministic by OPA.
    "crypto.x509.parse_and_verify_certificates",
    # Needs AWS credentials in the policy.
    "providers.aws.sign_req",
)
"""Refused beside everything that OPA itself marks nondeterministic: http.send, opa.runtime, net.lookup_ip_addr, the
clock, random numbers, UUIDs, and the JSON schema functions (a ``$ref`` of theirs is fetched over the network).

``opa run`` knows no capabilities (opa#4153), so a bundle is held to them here, before it is served.
"""


@dataclass(frozen=True, slots=True)
class Output:
    """What a run left behind."""

    status: int
    stdout: bytes
    stderr: bytes

    def json(self) -> Any:
        """Read the output as JSON; ``opa check`` writes it to stderr, the others to stdout."""
        for text in (self.stdout, self.stderr):
            try:
                return json.loads(text)
            except ValueError:
                continue
        said = (self.stderr or self.stdout).decode(errors="replace").strip()[:500]
        raise errors.PolicyUnavailable(f"opa ended with status {self.status} and without JSON: {said}")


class OpaBinary:
    """The ``opa`` executable at ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._capabilities: bytes | None = None
        self._refused: frozenset[str] = frozenset()

    async def run(self, arguments: Sequence[str], *, directory: Path) -> Output:
        """Run ``opa <arguments>`` in ``directory``.

        The environment is empty: ``opa eval`` would hand it to a policy. Raises ``PolicyUnavailable`` if it cannot be
        started or does not end within ``TIMEOUT_SECONDS``.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                self._path,
                *arguments,
                cwd=directory,
                env={"HOME": str(directory)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise errors.PolicyUnavailable(
                f"opa cannot be started at {self._path}: {error.strerror}; policies cannot be checked", retry_after=60.0
            ) from error
        stdout, stderr = await _finish(process, arguments[0])
        return Output(process.returncode or 0, stdout, stderr)

    async def capabilities(self, directory: Path) -> bytes:
        """Give the capabilities that policies are held to, as JSON: this OPA's own less what is refused."""
        if self._capabilities is None:
            current = (await self.run(["capabilities", "--current"], directory=directory)).json()
            self._refused = frozenset(each["name"] for each in current["builtins"] if not _allowed(each))
            current["builtins"] = [each for each in current["builtins"] if _allowed(each)]
            current["allow_net"] = []
            self._capabilities = json.dumps(current).encode()
        return self._capabilities

    def refuses(self, builtin: str) -> bool:
        """Say whether OPA has this builtin but policies may not use it; known once ``capabilities`` were read."""
        return builtin in self._refused


def _allowed(builtin: dict[str, Any]) -> bool:
    return not builtin.get("nondeterministic") and not str(builtin["name"]).startswith(_REFUSED)


async def _finish(process: asyncio.subprocess.Process, verb: str) -> tuple[bytes, bytes]:
    try:
        return await asyncio.wait_for(process.communicate(), TIMEOUT_SECONDS)
    except TimeoutError:
        raise errors.PolicyUnavailable(
            f"opa {verb} did not end within {TIMEOUT_SECONDS:.0f} s; a policy or a test of it costs too much"
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
