"""Reads what a policy answered; every shape but the documented one is ``PolicyBadResult``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from patchwright.domain.policy import (
    PolicyDecision,
    PolicyQuestion,
    Severity,
    Violation,
    Waiver,
    canonical_json,
    input_digest,
)
from patchwright.errors import PolicyBadResult, PolicyRevisionMismatch

_SEVERITIES = {str(severity): severity for severity in Severity}


def decision(question: PolicyQuestion, result: Any, *, decision_id: str) -> PolicyDecision:
    """Give the decision that ``result`` (the value of the generated ``decision`` rule) holds.

    Raises ``PolicyBadResult``, naming the rule and what it may return.
    """
    rules = _document(question, result)
    found = sorted(_violations(question.package, rules["deny"]), key=lambda each: each.order)
    exceptions = list(_exceptions(question, rules["exception"]))
    waived = [waiver for violation in found if (waiver := _waiver(violation, exceptions)) is not None]
    passed = [waiver.violation for waiver in waived]
    left = tuple(violation for violation in found if violation not in passed)
    return PolicyDecision(
        allowed=not left,
        violations=left,
        warnings=tuple(sorted(_violations(question.package, rules["warn"]), key=lambda each: each.order)),
        waived=tuple(waived),
        revision=question.expected_revision,
        decision_id=decision_id,
        input_digest=input_digest(question.input),
        evaluated_at=question.asked_at,
        package=question.package,
    )


def _document(question: PolicyQuestion, result: Any) -> Mapping[str, Mapping[str, Any]]:
    kinds = ("deny", "warn", "exception")
    if not isinstance(result, dict) or not all(isinstance(result.get(kind), dict) for kind in kinds):
        raise PolicyBadResult(f"package {question.package} answers with {_shown(result)}, which is no decision")
    if not result["deny"]:
        raise PolicyBadResult(f"package {question.package} has no deny or violation rule, so it decides nothing")
    if result.get("revision") != question.expected_revision:
        raise PolicyRevisionMismatch(
            f"the decision is of revision {result.get('revision')}, not of the pinned {question.expected_revision}"
        )
    return result


def _violations(package: str, rules: Mapping[str, Any]) -> Iterator[Violation]:
    for name, values in rules.items():
        rule = f"{package}/{name}"
        if not isinstance(values, list):
            raise PolicyBadResult(f"{rule} answers with {_shown(values)}; it must be a set of messages or objects")
        yield from (_violation(rule, value) for value in values)


def _violation(rule: str, value: Any) -> Violation:
    match value:
        case str() if value:
            return Violation(value, rule)
        case dict() if isinstance(value.get("msg"), str) and value["msg"]:
            return _described(rule, value["msg"], value)
        case _:
            raise PolicyBadResult(f"{rule} gives {_shown(value)}; give a message, or an object with a string `msg`")


def _described(rule: str, msg: str, value: Mapping[str, Any]) -> Violation:
    details = value.get("details", {})
    severity = _SEVERITIES.get(str(value.get("severity", "medium")))
    remediation = value.get("remediation", "")
    if not isinstance(details, dict) or severity is None or not isinstance(remediation, str):
        raise PolicyBadResult(
            f"{rule} gives {_shown(value)}; `details` is an object, `severity` one of {', '.join(_SEVERITIES)}, "
            "`remediation` a string"
        )
    until = _instant(rule, "details.until", details["until"]) if "until" in details else None
    return Violation(msg, rule, severity, details, remediation, until)


def _instant(rule: str, name: str, value: Any) -> datetime:
    try:
        instant = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        instant = None
    if instant is None or instant.tzinfo is None:
        raise PolicyBadResult(f"{rule} gives {name} {_shown(value)}; it must be RFC 3339 with a time zone")
    return instant


class _Exception:
    """One ``exception`` entry: which rules, of which violations, why and until when."""

    __slots__ = ("details", "expires_at", "reason", "rules")

    def __init__(self, rule: str, value: Any) -> None:
        match value:
            case {"rules": [*names], "reason": str(reason), "expiresAt": expires, **rest} if (
                reason and all(isinstance(name, str) for name in names) and isinstance(rest.get("details", {}), dict)
            ):
                self.rules = frozenset(names)
                self.reason = reason
                self.expires_at = _instant(rule, "expiresAt", expires)
                self.details: Mapping[str, Any] = value.get("details", {})
            case _:
                raise PolicyBadResult(
                    f"{rule} gives {_shown(value)}; give {{rules: [names], reason, expiresAt}}: an exception without a "
                    "reason and an end is a hole"
                )

    def covers(self, violation: Violation) -> bool:
        """Say whether the rule is named and the violation has all the ``details`` of this exception."""
        name = violation.rule.rpartition("/")[2]
        return name in self.rules and all(violation.details.get(key) == want for key, want in self.details.items())


def _exceptions(question: PolicyQuestion, rules: Mapping[str, Any]) -> Iterator[_Exception]:
    for name, values in rules.items():
        rule = f"{question.package}/{name}"
        if not isinstance(values, list):
            raise PolicyBadResult(f"{rule} answers with {_shown(values)}; it must be a set of objects")
        parsed = (_Exception(rule, value) for value in values)
        yield from (each for each in parsed if each.expires_at > question.asked_at)


def _waiver(violation: Violation, exceptions: list[_Exception]) -> Waiver | None:
    covering = [each for each in exceptions if each.covers(violation)]
    if not covering:
        return None
    longest = max(covering, key=lambda each: (each.expires_at, each.reason))
    return Waiver(violation, longest.reason, longest.expires_at)


def _shown(value: Any) -> str:
    return canonical_json(value)[:200]
