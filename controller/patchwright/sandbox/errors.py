"""The sandbox's errors: sentences for the person at the terminal."""

from __future__ import annotations

from patchwright import errors


class SandboxError(errors.PatchwrightError):
    """The sandbox cannot be built, started, reached or stopped; the message says what to do next."""

    def __init__(self, message: str, *, reason: str = "SandboxFailed") -> None:
        super().__init__(message, reason=reason)


class BuildError(SandboxError):
    """A program of the control plane cannot be built."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="SandboxBuildFailed")


class ComponentError(SandboxError):
    """A component of the control plane did not start or ended by itself."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="SandboxComponentFailed")
