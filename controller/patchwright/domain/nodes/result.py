"""What a step said of itself in its termination message.

The message is JSON such as ``{"version": "3.0.17", "rebootRequired": true, "message": "installed 4 packages"}``, or any
text, which is then the message. "Is a reboot needed" has three answers: kured#976 took "the command is missing" for yes
and rebooted for two days, so what is not said is no, and is told.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

LONGEST = 300


@dataclass(frozen=True, slots=True)
class StepResult:
    """The parsed message; ``None`` where it does not say."""

    version: str | None = None
    reboot_required: bool | None = None
    message: str = ""


def parse(termination: str | None) -> StepResult:
    """Read a termination message; nothing that a container may write there is an error."""
    text = (termination or "").strip()
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        return StepResult(message=_short(text))
    version, reboot, message = body.get("version"), body.get("rebootRequired"), body.get("message")
    return StepResult(
        version=version if isinstance(version, str) and version else None,
        reboot_required=reboot if isinstance(reboot, bool) else None,
        message=_short(message) if isinstance(message, str) else "",
    )


def _short(text: str) -> str:
    """Give one printable line: what a container writes ends in people's terminals, and may hold half a character."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
