"""What may reach Git's command line at all.

``git fetch origin '--upload-pack=touch X'`` executes a command, and so did ``ext::`` URLs before they were off by
default; every value is matched against what is allowed, not searched for what is bad. The CRD holds the same rules, but
a value can also come from a command line, so this is the floor.
"""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import SplitResult, urlsplit

from patchwright.adapters.git.failures import failure
from patchwright.domain.sources import Credentials, GitReference, SourceRequest
from patchwright.errors import SourceError

MAX_URL = 2048
_SCHEME = re.compile(r"\A(https?|ssh)://", re.ASCII)
_URL_CHARS = re.compile(r"\A[A-Za-z0-9._~:/@!$&'()*+,;=%\[\]-]+\Z")
_HOST = re.compile(r"\A([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]+)\Z")
_USER = re.compile(r"\A[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")
_COMMIT = re.compile(r"\A[0-9a-f]{40}\Z")
_SEMVER_RANGE = re.compile(r"\A[0-9A-Za-z.*^~<>=!|, +-]{1,200}\Z")
# git-check-ref-format(1): what no reference may contain, besides control characters and spaces.
_BAD_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|\Z)|/\Z|\.\Z|\A[-/.@]")


def validate_request(request: SourceRequest) -> SourceRequest:
    """Give the request with its paths normalised, or raise SourceError naming the field that is wrong."""
    url = _url(request.url)
    _credentials(url, request.credentials)
    _reference(url, request.ref)
    if request.last_commit and not _COMMIT.match(request.last_commit):
        raise _ref_invalid(url, "lastAppliedRevision", request.last_commit)
    return replace(
        request,
        url=url,
        path=_path(url, "spec.path", request.path),
        rego_path=_path(url, "spec.rego.path", request.rego_path),
    )


def _url(url: str) -> str:
    shown = url.encode("unicode_escape").decode("ascii")[:200]
    if not _SCHEME.match(url):
        raise _url_invalid(shown, "it must start with https://, http:// or ssh:// (no scp form, no file://)")
    if len(url) > MAX_URL or not _URL_CHARS.match(url):
        raise _url_invalid(shown, "it holds a character that no repository URL has, or is longer than 2048")
    parts = _split(url, shown)
    if not parts.hostname or not _HOST.match(parts.hostname):
        raise _url_invalid(shown, "the host name is missing or malformed")
    if not parts.path.strip("/"):
        raise _url_invalid(shown, "it names a host but no repository")
    _userinfo(parts, shown)
    # Every hosted Git server calls its SSH user "git"; without one ssh would offer the operator's own login name.
    return url if parts.scheme != "ssh" or parts.username else url.replace("ssh://", "ssh://git@", 1)


def _split(url: str, shown: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise _url_invalid(shown, "the host or port is malformed") from None
    return parts


def _userinfo(parts: SplitResult, shown: str) -> None:
    allowed = parts.scheme == "ssh" and parts.password is None and _USER.match(parts.username or "git")
    if "@" in parts.netloc and not allowed:
        raise _url_invalid(shown, "it holds a user name or password, which git would keep; put them in the Secret")


def _credentials(url: str, credentials: Credentials) -> None:
    if not url.startswith("ssh://"):
        return
    missing = [] if credentials.identity.strip() else ["identity"]
    missing += [] if credentials.known_hosts.strip() else ["known_hosts"]
    if missing:
        raise failure(
            url, f"log in over SSH: the Secret has no {' and no '.join(missing)}",
            next_action="add it to the Secret that secretRef names; host keys are never trusted on first use",
            reason="AuthenticationFailed",
        )  # fmt: skip


def _reference(url: str, ref: GitReference) -> None:
    for name, value in (("branch", ref.branch), ("tag", ref.tag), ("name", ref.name)):
        if value and (_BAD_REF.search(value) or len(value) > 250):
            raise _ref_invalid(url, f"spec.ref.{name}", value)
    if ref.name and not ref.name.startswith("refs/"):
        raise _ref_invalid(url, "spec.ref.name", ref.name)
    if ref.semver and not _SEMVER_RANGE.match(ref.semver):
        raise _ref_invalid(url, "spec.ref.semver", ref.semver)
    if ref.commit and not _COMMIT.match(ref.commit):
        raise _ref_invalid(url, "spec.ref.commit", ref.commit)


def _path(url: str, name: str, path: str) -> str:
    segments = [segment for segment in path.split("/") if segment not in ("", ".")]
    if ".." in segments or "\\" in path or not path.isprintable() or len(path) > 1024:
        raise failure(
            url, f"read {name} {path[:200]!r}: it must be a folder inside the repository",
            next_action=f"use a relative path without .. in {name}", reason="InvalidPath", retry_after=None,
        )  # fmt: skip
    return "/".join(segments)


def _url_invalid(shown: str, cause: str) -> SourceError:
    return failure(
        shown, f"use this URL: {cause}", next_action="correct spec.url", reason="URLInvalid", retry_after=None
    )


def _ref_invalid(url: str, name: str, value: str) -> SourceError:
    return failure(
        url, f"use {name} {value[:200]!r}: it is not a valid reference", next_action=f"correct {name}",
        reason="RefInvalid", retry_after=None,
    )  # fmt: skip
