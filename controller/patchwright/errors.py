"""Errors that carry how to handle them.

Every error that leaves an adapter is one of these, so that a caller never reads a client library's exception or,
worse, its text. ``reason`` is the PascalCase word for a condition or an event; ``retry_after`` is in seconds, and
``None`` says that trying again does not help until somebody changes something.

    PatchwrightError
    ├── InvalidInput              one or more faults, each with its field path
    ├── SourceError               Git: cannot fetch, verify or read
    ├── WriteBackError            Git, or the host of its pull requests: cannot or must not be written
    ├── PolicyError
    │   ├── PolicyUnavailable     OPA is away, slow, or answers with a server error
    │   ├── PolicyUndefined       the answer has no result: a missing package or rule is never "allowed"
    │   ├── PolicyRevisionMismatch  OPA holds another commit's policy than the one that was pinned
    │   ├── SignaturesUnknown     nobody can say who signed an image, which policy is to be told
    │   ├── PolicyEvaluationError the policy itself failed (builtin error, conflict)
    │   └── PolicyBadResult       the policy answered with a shape that is not ours
    ├── HealthProbeError          a check could not be made; it counts as unhealthy
    ├── RegistryError
    │   ├── RegistryUnavailable   an image registry is away, slow, overloaded, or limits its requests
    │   ├── RegistryAuthFailed    it refuses the login, or asks for one
    │   ├── RegistryUnusable      what it answers cannot be trusted or read, or it may not be asked at all
    │   └── ImageNotFound         it has no such image, or does not show it to this login
    └── ClusterError
        ├── NotFound              the object is gone
        ├── Conflict              a precondition failed: somebody else wrote first
        ├── Denied                the API server refuses (RBAC, admission, validation)
        └── ClusterUnavailable    the API server is away or overloaded
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault in somebody's input.

    ``path`` is the field's path as the user spells it (``spec.strategy.canary.count``); ``source`` says where the
    document stands (``rollouts/openssl.yaml:12``), empty for objects that came from the API server.
    """

    path: str
    message: str
    source: str = ""

    def __str__(self) -> str:
        """Give the fault as one line."""
        where = f"{self.source}: " if self.source else ""
        return f"{where}{self.path}: {self.message}" if self.path else f"{where}{self.message}"


class PatchwrightError(Exception):
    """What every error of ours is; ``str()`` is a sentence for people."""

    def __init__(self, message: str, *, reason: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.retry_after = retry_after


class InvalidInput(PatchwrightError):
    """Input with at least one fault; nothing of it was applied."""

    def __init__(self, faults: Sequence[Fault], *, reason: str = "InvalidSpec") -> None:
        super().__init__("; ".join(str(fault) for fault in faults), reason=reason)
        self.faults = tuple(faults)


class SourceError(PatchwrightError):
    """A Git source cannot be fetched, verified or read; the last good revision stays in force."""


class WriteBackError(PatchwrightError):
    """Nothing was written into Git, because it must not be or because the server does not take it.

    ``reason`` is WriteBackConflict or RollbackConflict (somebody else has changed it), WriteBackRefused (it cannot be
    edited safely), ImageNotFound, BranchTaken, BranchMoves, PushRefused, or of a pull request PullRequestFailed.
    """


class PolicyError(PatchwrightError):
    """A policy decision could not be had; nothing new starts."""


class PolicyUnavailable(PolicyError):
    """OPA does not answer in time, refuses the connection, or answers with a server error."""

    def __init__(self, message: str, *, retry_after: float = 5.0) -> None:
        super().__init__(message, reason="PolicyUnavailable", retry_after=retry_after)


class PolicyUndefined(PolicyError):
    """OPA answered without a ``result``: the package or rule does not exist in the active bundle."""

    def __init__(self, message: str, *, retry_after: float | None = 30.0) -> None:
        super().__init__(message, reason="EvaluationFailed", retry_after=retry_after)


class PolicyRevisionMismatch(PolicyError):
    """OPA holds another revision than the pinned one; it usually follows within seconds."""

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message, reason="RevisionMismatch", retry_after=retry_after)


class SignaturesUnknown(PolicyError):
    """What policy is to be told of an image's signatures is not known; no ``failurePolicy`` passes over that."""

    def __init__(self, message: str, *, retry_after: float | None = 30.0) -> None:
        super().__init__(message, reason="SignaturesUnknown", retry_after=retry_after)


class PolicyEvaluationError(PolicyError):
    """The policy failed while it was evaluated (strict builtin errors are on)."""

    def __init__(self, message: str, *, retry_after: float | None = 30.0) -> None:
        super().__init__(message, reason="EvaluationFailed", retry_after=retry_after)


class PolicyBadResult(PolicyError):
    """The policy's answer is not of the documented shape."""

    def __init__(self, message: str, *, retry_after: float | None = 30.0) -> None:
        super().__init__(message, reason="EvaluationFailed", retry_after=retry_after)


class HealthProbeError(PatchwrightError):
    """A health check could not be made. Callers count it as unhealthy (kured fails closed here, and so do we)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="HealthCheckFailed", retry_after=10.0)


class RegistryError(PatchwrightError):
    """An image registry did not say what was asked; only ``ImageNotFound`` says anything about an image."""


class RegistryUnavailable(RegistryError):
    """The registry is away, slow or overloaded, or it limits its requests (``reason`` is RateLimited then)."""

    def __init__(self, message: str, *, reason: str = "RegistryUnavailable", retry_after: float = 30.0) -> None:
        super().__init__(message, reason=reason, retry_after=retry_after)


class RegistryAuthFailed(RegistryError):
    """The registry refuses the login, or there is none and it wants one."""

    def __init__(self, message: str, *, retry_after: float = 300.0) -> None:
        super().__init__(message, reason="AuthenticationFailed", retry_after=retry_after)


class RegistryUnusable(RegistryError):
    """The answer is no registry's, is too large, contradicts itself, or points where nobody may be sent."""

    def __init__(self, message: str, *, retry_after: float = 300.0) -> None:
        super().__init__(message, reason="RegistryUnusable", retry_after=retry_after)


class ImageNotFound(RegistryError):
    """The registry has no such repository, tag or digest for this login; it may have one later."""

    def __init__(self, message: str, *, retry_after: float = 300.0) -> None:
        super().__init__(message, reason="ImageNotFound", retry_after=retry_after)


class ClusterError(PatchwrightError):
    """The API server did not do what was asked."""


class NotFound(ClusterError):
    """The object does not exist (any more)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="NotFound")


class Conflict(ClusterError):
    """A resource version, a UID or an existing name says that somebody else wrote first; look again."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="Conflict", retry_after=0.0)


class Denied(ClusterError):
    """RBAC, admission or validation refuses the request; the message is the API server's."""

    def __init__(self, message: str, *, reason: str = "Forbidden") -> None:
        super().__init__(message, reason=reason, retry_after=60.0)


class ClusterUnavailable(ClusterError):
    """The API server is away, times out or sheds load (API priority and fairness)."""

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message, reason="ClusterUnavailable", retry_after=retry_after)
