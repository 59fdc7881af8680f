"""Single values: durations, quantities, names, URLs, images, cron expressions.

Each says its form to the API server (a pattern or CEL) and to people (words). Scalars are strict: ``"5"`` is no number
and ``yes`` no truth value, because the API server would say so too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AwareDatetime, Field, PlainSerializer, PlainValidator, Strict, WithJsonSchema

from patchwright.api.base import VALIDATIONS, Form
from patchwright.domain import endpoints
from patchwright.domain.model import Quantity

T = TypeVar("T")
INT32_MAX = 2**31 - 1
LONGEST_DURATION = timedelta(days=366)
_DURATION = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
_QUANTITY = r"^(100|[1-9]?[0-9])%$"
_QUANTITY_WORDS = "must be a whole number from 0 or a percentage from 0% to 100%, such as 3 or 10%"
_POSITIVE_WORDS = "must be a whole number from 1 or a percentage from 1% to 100%, such as 3 or 10%"
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}


def matching(pattern: str, words: str, *, echo: bool = True) -> Form:
    """Require a pattern (RE2 and Python agree on the ones used here) of the whole value."""
    compiled = re.compile(pattern, re.ASCII)
    return Form(lambda value: compiled.fullmatch(value) is not None, words, {"pattern": pattern}, echo)


def ruled(cel: str, words: str, holds: Callable[[Any], bool], *, echo: bool = True) -> Form:
    """Require a CEL rule, with its Python twin."""
    return Form(holds, words, {VALIDATIONS: [{"rule": cel, "message": words}]}, echo)


def full(pattern: str) -> Callable[[str], bool]:
    """Give the Python twin of CEL's ``self.matches('^…$')``."""
    compiled = re.compile(pattern, re.ASCII)
    return lambda value: compiled.fullmatch(value) is not None


def parse_duration(value: object) -> timedelta:
    """Read ``10m`` or ``1h30m``, as Go and Flux write durations.

    Raises:
        ValueError: it is none. Bare numbers are refused, because system-upgrade-controller reads them as nanoseconds.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError(
            f"must be a duration with a unit, such as {value}s or 10m; "
            "a bare number is refused because system-upgrade-controller reads it as nanoseconds"
        )
    if not isinstance(value, str) or len(value) > 32 or not re.fullmatch(_DURATION, value, re.ASCII):
        raise ValueError("must be a duration such as 30s, 10m or 1h30m")
    milliseconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(value))
    if milliseconds > LONGEST_DURATION / timedelta(milliseconds=1):
        raise ValueError("must be at most 8784h, a year")
    return timedelta(milliseconds=milliseconds)


def format_duration(value: timedelta) -> str:
    """Give a duration as ``parse_duration`` reads it, to the millisecond."""
    left = round(value / timedelta(milliseconds=1))
    parts = []
    for unit in ("h", "m", "s", "ms"):
        count, left = divmod(left, _UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_quantity(value: object) -> Quantity:
    """Read an IntOrString: ``3`` or ``10%``.

    Raises:
        ValueError: it is neither a whole number from 0 nor a percentage from 0% to 100%.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= INT32_MAX:
        return Quantity(value)
    if isinstance(value, str) and re.fullmatch(_QUANTITY, value, re.ASCII):
        return Quantity(int(value[:-1]), percent=True)
    raise ValueError(_QUANTITY_WORDS)


def parse_positive(value: object) -> Quantity:
    """Read an IntOrString that is more than nothing."""
    try:
        quantity = parse_quantity(value)
    except ValueError:
        quantity = Quantity(0)
    if quantity.value == 0:
        raise ValueError(_POSITIVE_WORDS)
    return quantity


def _int_or_string(cel: str, words: str) -> WithJsonSchema:
    # `anyOf` beside int-or-string is what the API server and client generators expect (KEP-1698's structural form).
    return WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "maxLength": 11,
            VALIDATIONS: [{"rule": cel, "message": words}],
        }
    )


def _is_zone(value: str) -> bool:
    if value == "Local":  # CronJob refuses it too: it would mean the operator's own zone
        return False
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError):
        return False
    return True


def _is_cron(value: str) -> bool:
    if len(value.split()) != 5:
        return False
    try:
        return next(iter(CronSim(value, datetime(2026, 1, 1, tzinfo=UTC))), None) is not None
    except CronSimError:
        return False


def _pinned(image: str) -> bool:
    return bool(_DIGEST.search(image)) or (bool(_TAG.search(image)) and not image.endswith(":latest"))


_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}\Z", re.ASCII)
_TAG = re.compile(r":[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z", re.ASCII)
_IMAGE = (
    r"^((\[[0-9a-fA-F:]+\]|[A-Za-z0-9][A-Za-z0-9.-]*)(:[0-9]{1,5})?/)?"
    r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$"
)
_HOST = r"((\[[0-9a-fA-F:]+\]|[A-Za-z0-9][A-Za-z0-9.-]*)(:[0-9]{1,5})?/)?"
_NAMES = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
_GIT_URL = r"^(https?://[^/?#@\s]+|ssh://([A-Za-z0-9_][A-Za-z0-9_.-]*@)?[^/?#@:\s]+(:[0-9]+)?)/[^\s]+$"
_WEB_URL = r"^https?://[^/?#@\s]+([/?#][^\s]*)?$"
_REF = r"^[A-Za-z0-9_][A-Za-z0-9_./+#-]*$"

Bool = Annotated[bool, Strict()]
Int = Annotated[int, Strict()]
Generation = Annotated[int, Strict(), WithJsonSchema({"type": "integer", "format": "int64"})]
Instant = AwareDatetime
Duration = Annotated[
    timedelta,
    PlainValidator(parse_duration),
    PlainSerializer(format_duration),
    WithJsonSchema({"type": "string", "pattern": _DURATION, "maxLength": 32}),
]
PERIOD = ruled("duration(self) >= duration('1s')", "must be at least 1s", lambda value: value >= timedelta(seconds=1))
IntOrString = Annotated[
    Quantity,
    PlainValidator(parse_quantity),
    _int_or_string(
        f"type(self) == int ? self >= 0 : self.matches('{_QUANTITY}')",
        _QUANTITY_WORDS,
    ),
]
PositiveIntOrString = Annotated[
    Quantity,
    PlainValidator(parse_positive),
    _int_or_string(
        "type(self) == int ? self > 0 : self.matches('^(100|[1-9][0-9]?)%$')",
        _POSITIVE_WORDS,
    ),
]
Text = Annotated[str, Field(min_length=1, max_length=1024)]
Argument = Annotated[str, Field(max_length=8192)]
Query = Annotated[
    str,
    Field(min_length=1, max_length=4096),
    Form(lambda value: bool(value.strip()), "must not be blank", {"pattern": r"\S"}),
]
Label = Annotated[
    str,
    Field(min_length=1, max_length=63),
    matching(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "must be a name of lower-case letters, digits and '-' (RFC 1123)"),
]
Name = Annotated[
    str,
    Field(min_length=1, max_length=253),
    matching(
        r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "must be a name of lower-case letters, digits, '-' and '.' (RFC 1123)"
    ),
]
LabelKey = Annotated[
    str,
    Field(min_length=1, max_length=317),
    matching(
        r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
        "must be a label key such as topology.kubernetes.io/zone",
    ),
]
LabelValue = Annotated[
    str,
    Field(max_length=63),
    matching(r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$", "must be a label value such as production"),
]
Cron = Annotated[
    str,
    Field(min_length=1, max_length=128),
    Form(
        _is_cron,
        "must be a cron expression of 5 fields (minute, hour, day of month, month, day of week), such as 0 22 * * SAT",
        {"pattern": r"^\S+(\s+\S+){4}$"},
    ),
]
TimeZone = Annotated[
    str,
    Field(min_length=1, max_length=64),
    Form(_is_zone, "must be a time zone of the IANA database, such as Europe/Paris", {"pattern": "^[A-Za-z0-9_+/-]+$"}),
]
WebUrl = Annotated[
    str,
    Field(min_length=1, max_length=2048),
    ruled(
        rf"self.matches(r'{_WEB_URL}')",
        "must be an http:// or https:// URL without user name or password",
        full(_WEB_URL),
        echo=False,
    ),
    # The API server cannot tell where an address leads; the prober looks again at what a name resolves to.
    Form(
        lambda url: not endpoints.fault(url), "must not lead to a node's own metadata, nor carry a fragment", echo=False
    ),
]
GitUrl = Annotated[
    str,
    Field(min_length=1, max_length=2048),
    ruled(
        rf"self.matches(r'{_GIT_URL}')",
        "must be an https://, http:// or ssh:// URL of a repository, without a password (put credentials in secretRef; "
        "git@host:path is not accepted)",
        full(_GIT_URL),
        echo=False,
    ),
]
GitRef = Annotated[
    str,
    Field(min_length=1, max_length=250),
    matching(_REF, "must be the name of a Git reference, such as main or v1.2.0"),
    ruled(
        r"!self.matches(r'(\.\.|//|/\.|\.lock(/|$)|/$|\.$)')",
        "must be a valid Git reference (git check-ref-format)",
        lambda value: not re.search(r"(\.\.|//|/\.|\.lock(/|\Z)|/\Z|\.\Z)", value),
    ),
]
Commit = Annotated[
    str, Field(max_length=40), matching("^[0-9a-f]{40}$", "must be a whole commit: 40 hexadecimal digits")
]
RepoPath = Annotated[
    str,
    Field(max_length=1024),
    ruled(
        r"!self.matches(r'(^|/)\.\.(/|$)') && !self.contains('\\')",
        "must be a folder inside the repository, without ..",
        lambda value: not re.search(r"(^|/)\.\.(/|\Z)", value) and "\\" not in value,
    ),
]
Repository = Annotated[
    str,
    Field(min_length=1, max_length=255),
    matching(rf"^{_HOST}{_NAMES}$", "must be an image's repository without tag and digest, such as ghcr.io/acme/api"),
]
CoveredRepository = Annotated[
    str,
    Field(min_length=1, max_length=255),
    matching(
        rf"^{_HOST}{_NAMES}(/\*)?$",
        "must be an image's repository without tag and digest, such as ghcr.io/acme/api or ghcr.io/acme/*",
    ),
]
Tag = Annotated[
    str,
    Field(min_length=1, max_length=128),
    matching(r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", "must be a tag such as 1.4.2"),
]
Digest = Annotated[
    str,
    Field(max_length=71),
    matching(r"^sha256:[0-9a-f]{64}$", "must be a digest: sha256: and 64 hexadecimal digits"),
]
TagOrDigest = Annotated[
    str,
    Field(min_length=1, max_length=128),
    matching(
        r"^([A-Za-z0-9_][A-Za-z0-9_.-]*|sha256:[0-9a-f]{64})$", "must be a tag such as 1.4.2, or a digest (sha256:…)"
    ),
]
Image = Annotated[
    str,
    Field(min_length=1, max_length=512),
    matching(_IMAGE, "must be an image reference such as registry.example/tools/patch:v1.4.2"),
    ruled(
        r"self.matches(r'@sha256:[0-9a-f]{64}$') || "
        r"(self.matches(r':[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$') && !self.endsWith(':latest'))",
        "must be pinned by a tag other than latest, or by a digest (@sha256:…)",
        _pinned,
    ),
]


def given(value: T | None, default: T) -> T:
    """Give what the user wrote, or the default."""
    return default if value is None else value
