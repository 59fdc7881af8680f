"""What went wrong, as a sentence: Git's stderr classified, redacted and bounded.

Git has one exit code (128) for nearly everything, so the cause is read from its messages, in the C locale. Lines that
the *server* wrote (``remote: …``) are dropped: with an attacker's URL they are a way to read an internal service
through our status (SSRF), and text of theirs in our events.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from patchwright.errors import SourceError

TRANSIENT = 15.0
SLOW = 60.0
DETAIL_CHARS = 300
# Greedy: a password may hold "/" or "@". Only the user name "git" alone, which every SSH URL has, is shown.
_USERINFO = re.compile(r"(?<=://)(?!git@[^\s@'\"]*(?:[\s'\"]|\Z))[^\s'\"]*@")
_AUTHORIZATION = re.compile(r"(?i)(authorization:?\s*(?:basic|bearer)?\s*)\S+")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")


@dataclass(frozen=True, slots=True)
class _Cause:
    pattern: re.Pattern[str]
    reason: str
    cause: str
    action: str
    retry_after: float


def _cause(pattern: str, reason: str, *, cause: str, action: str, retry_after: float = SLOW) -> _Cause:
    return _Cause(re.compile(pattern, re.IGNORECASE), reason, cause, action, retry_after)


# The first that matches wins, so the specific ones come first: ssh adds "Could not read from remote repository" to
# every failure, whatever the cause.
_CAUSES = (
    _cause(
        "no space left on device|disk quota exceeded|read-only file system",
        "GitOperationFailed",
        cause="the cache folder is full or cannot be written",
        action="give the operator's cache volume more room",
    ),
    _cause(
        "remote host identification has changed|host key verification failed|host key is known",
        "AuthenticationFailed",
        cause="the server's host key is not the one in known_hosts",
        action="compare the key with the server's administrator, then update known_hosts in the Secret",
    ),
    _cause(
        "incorrect passphrase|error in libcrypto|load key|invalid format",
        "AuthenticationFailed",
        cause="the SSH identity cannot be opened",
        action="put an OpenSSH private key in identity, and its passphrase in password",
    ),
    _cause(
        r"authentication failed|could not read (username|password)|permission denied|returned error: 40[13]"
        "|terminal prompts disabled|invalid username or (password|token)",
        "AuthenticationFailed",
        cause="the server refused the credentials",
        action="check the Secret that secretRef names and what it may read",
    ),
    _cause(
        "couldn't find remote ref|no such remote ref|not our ref|unadvertised object|no such ref",
        "RefNotFound",
        cause="the server does not have that reference",
        action="check spec.ref",
    ),
    _cause(
        r"returned error: 404|repository .*not found|does not appear to be a git repository|no such repository",
        "GitOperationFailed",
        cause="there is no such repository, or the credentials may not see it",
        action="check spec.url and the Secret",
    ),
    _cause(
        r"returned error: 30\d|redirect",
        "GitOperationFailed",
        cause="the server redirects, and redirects are not followed",
        action="put the final address in spec.url",
    ),
    _cause(
        "certificate|ssl|tls",
        "GitOperationFailed",
        cause="the server's TLS certificate is not trusted",
        action="put the certificate authority in ca.crt of the Secret",
    ),
    _cause(
        "could not resolve|name or service not known|temporary failure in name resolution",
        "GitOperationFailed",
        cause="the host name does not resolve",
        action="check spec.url and DNS",
        retry_after=TRANSIENT,
    ),
    _cause(
        "fsck|bad object|missing blob|corrupt|in object ",
        "GitOperationFailed",
        cause="the repository holds objects that fail git fsck",
        action="run git fsck there and repair its history",
    ),
    _cause(
        "early eof|hung up|unexpected disconnect|connection reset|rpc failed|recv failure|empty reply|closed by"
        "|unexpected eof|premature|the remote end",
        "GitOperationFailed",
        cause="the connection broke off",
        action="it is tried again",
        retry_after=TRANSIENT,
    ),
    _cause(
        r"failed to connect|connection refused|could not connect|timed out|no route|unreachable|returned error: 5\d\d",
        "GitOperationFailed",
        cause="the server does not answer",
        action="it is tried again; check the server and network policies",
        retry_after=TRANSIENT,
    ),
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Remove secrets, user information in URLs and unprintable characters; bounded to ``DETAIL_CHARS``."""
    for secret in sorted((s for s in secrets if len(s) > 3), key=len, reverse=True):
        text = text.replace(secret, "***")
    text = _AUTHORIZATION.sub(r"\1***", _USERINFO.sub("***@", text))
    text = _UNPRINTABLE.sub(" ", text).strip()
    return text if len(text) <= DETAIL_CHARS else text[: DETAIL_CHARS - 1] + "…"


def git_failed(url: str, doing: str, *, stderr: str, secrets: Iterable[str] = ()) -> SourceError:
    """Make the error of a Git command that failed; ``doing`` completes "Git could not …"."""
    lines = [line for line in stderr.splitlines() if not line.lstrip().startswith("remote:")]
    detail = redact(_telling(lines), tuple(secrets))
    text = "\n".join(lines)
    for known in _CAUSES:
        if known.pattern.search(text):
            return failure(
                url, f"{doing}: {known.cause}", next_action=known.action, reason=known.reason,
                retry_after=known.retry_after, detail=detail,
            )  # fmt: skip
    return failure(url, f"{doing}: git failed", next_action="it is tried again", detail=detail)


def failure(
    url: str,
    what: str,
    *,
    next_action: str,
    reason: str = "GitOperationFailed",
    retry_after: float | None = SLOW,
    detail: str = "",
) -> SourceError:
    """Make a sentence of object, cause and next action."""
    more = f" ({detail})" if detail else ""
    sentence = f"Git repository {redact(url)}: cannot {what}{more}; {next_action}."
    return SourceError(sentence, reason=reason, retry_after=retry_after)


def _telling(lines: list[str]) -> str:
    """Pick the line that says most: git's own "fatal:" or "error:", else ssh's first line."""
    for prefix in ("fatal: unable", "fatal:", "error:"):
        for line in lines:
            if line.startswith(prefix) and "Could not read from remote" not in line:
                return line
    return lines[0] if lines else ""
