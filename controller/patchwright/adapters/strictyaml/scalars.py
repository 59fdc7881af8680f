"""What an unquoted word means.

YAML 1.2's core schema, less whatever YAML 1.1 reads as something else: kubectl turns ``on`` into true, PyYAML turns
``0777`` into 511 and ``12:30:45`` into 45045, others leave them be. Such a word must be quoted (or spelt out).
"""

from __future__ import annotations

import math
import re

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_YES_NO = frozenset(["y", "Y", "yes", "Yes", "YES", "n", "N", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF"])
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)", re.ASCII)
_HEX = re.compile(r"0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_INT64 = 2**63

_AMBIGUOUS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"[-+]?0[0-9_]+", re.ASCII), "an octal number to some readers"),
    (re.compile(r"[-+]?0o[0-7_]+", re.ASCII), "an octal number to some readers"),
    (re.compile(r"[-+]?0b[01_]+", re.ASCII), "a binary number to some readers"),
    (
        re.compile(r"[-+]?(0x[0-9a-fA-F_]*_[0-9a-fA-F_]*|[0-9][0-9_]*_[0-9_]*(\.[0-9_]*)?)", re.ASCII),
        "a number to some",
    ),
    (re.compile(r"[-+]0x[0-9a-fA-F_]+", re.ASCII), "a number to some readers"),
    (re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?", re.ASCII), "a base-60 number to some readers"),
    (re.compile(r"\d{4}-\d\d?-\d\d?(([Tt]|[ \t]+)\d\d?:\d\d.*)?", re.ASCII), "a date to some readers"),
    (re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", re.ASCII), "a number that JSON does not have"),
    (re.compile(r"[=]|<<"), "an operator in YAML 1.1"),
)


class Ambiguous(ValueError):
    """The word means different things to different readers; ``str()`` says which."""


def resolve(text: str) -> bool | int | float | str | None:
    """Give the value of an unquoted word, or raise Ambiguous."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if text in _YES_NO:
        raise Ambiguous("a boolean to some readers")
    if text[0] in "0123456789-+.=<":
        return _number_or_text(text)
    return text


def _number_or_text(text: str) -> int | float | str:
    if _INT.fullmatch(text) or _HEX.fullmatch(text):
        return _integer(text)
    for pattern, meaning in _AMBIGUOUS:
        if pattern.fullmatch(text):
            raise Ambiguous(meaning)
    if _FLOAT.fullmatch(text):
        return _finite(text)
    return text


def _integer(text: str) -> int:
    # 19 digits hold every 64-bit number, and int() of a megabyte of digits is quadratic.
    number = int(text, 0) if len(text) < 24 else _INT64
    if not -_INT64 <= number < _INT64:
        raise Ambiguous("a number that does not fit 64 bits")
    return number


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Ambiguous("a number that JSON does not have")
    return number
