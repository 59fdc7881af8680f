"""The words of ``kubectl wait --for``."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from patchwright.domain import expressions
from patchwright.domain.expressions import ConditionExpression, ExpressionError, JsonPathExpression

POD: dict[str, Any] = {
    "metadata": {
        "name": "web",
        "generation": 3,
        "labels": {"app.kubernetes.io/name": "shop", "my-label": "x"},
        "annotations": {'quote"d': "y"},
    },
    "spec": {"replicas": 2, "ratio": 1.5, "whole": 2.0, "paused": False, "nothing": None},
    "status": {
        "phase": "Running",
        "conditions": [
            {"type": "Ready", "status": "True"},
            {"type": "Synced", "status": "False", "reason": "Diverged"},
            {"type": "Old", "status": "True", "observedGeneration": 2},
            "not a condition",
        ],
        "items": [{"name": "a", "n": 1}, {"name": "b", "n": 2}],
    },
}


def lack(text: str, manifest: dict[str, Any] | None = None) -> str:
    return expressions.shortfall(expressions.parse(text), POD if manifest is None else manifest)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("condition=Ready", ConditionExpression("Ready")),
        ("condition=Ready=False", ConditionExpression("Ready", "False")),
        ("jsonpath={.status.phase}", JsonPathExpression("{.status.phase}", '$["status"]["phase"]')),
        ("jsonpath={.status.phase}=Running", JsonPathExpression("{.status.phase}", '$["status"]["phase"]', "Running")),
        ("jsonpath='{.a}'=\"b\"", JsonPathExpression("{.a}", '$["a"]', "b")),
        ("jsonpath=.a.b", JsonPathExpression(".a.b", '$["a"]["b"]')),
        ("jsonpath=a", JsonPathExpression("a", '$["a"]')),
        ("jsonpath={$.a}", JsonPathExpression("{$.a}", '$["a"]')),
    ],
)
def test_kubectls_spellings_are_read(text: str, expected: expressions.Expression) -> None:
    assert expressions.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "condition=Ready",
        "condition=ready=TRUE",
        "condition=Synced=false",
        "jsonpath={.status.phase}=Running",
        "jsonpath={.status.phase}",
        "jsonpath={.spec.replicas}=2",
        "jsonpath={.spec.ratio}=1.5",
        "jsonpath={.spec.whole}=2",
        "jsonpath={.spec.paused}=false",
        r"jsonpath={.metadata.labels.app\.kubernetes\.io/name}=shop",
        r"jsonpath={.metadata.labels['app\.kubernetes\.io/name']}=shop",
        "jsonpath={.metadata.labels['app.kubernetes.io/name']}=shop",
        "jsonpath={.metadata.labels.my-label}=x",
        "jsonpath={.metadata.annotations['quote\"d']}=y",
        'jsonpath={.status.conditions[?(@.type=="Ready")].status}=True',
        "jsonpath={.status.conditions[?(@.type=='Ready')].status}=True",
        "jsonpath={.status.items[0].name}=a",
        "jsonpath={.status.items[-1].name}=b",
        "jsonpath={.status.items[:1].name}=a",
        "jsonpath={.status.items[?(@.n>1)].name}=b",
        "jsonpath={.status.items[?(@.n<=1)].name}=a",
        "jsonpath={.status.items[?(@.n != 1)].name}=b",
        "jsonpath={..phase}=Running",
        "jsonpath={.metadata.labels}",
    ],
)
def test_what_holds_lacks_nothing(text: str) -> None:
    assert lack(text) == ""


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("condition=Ready=false", "has condition Ready=True, not false"),
        ("condition=Synced", "has condition Synced=False (Diverged), not true"),
        ("condition=Gone", "has no condition Gone"),
        ("condition=Old", "has condition Old of generation 2, and is at generation 3"),
        ("jsonpath={.status.phase}=Failed", "has Running at {.status.phase}, not Failed"),
        ("jsonpath={.status.none}=x", "has nothing at {.status.none}"),
        ("jsonpath={.status..replicas}", "has nothing at {.status..replicas}"),
        ("jsonpath={.spec.nothing}", "has nothing at {.spec.nothing}"),
        ("jsonpath={.status.items[?(@.gone)].name}", "has nothing at {.status.items[?(@.gone)].name}"),
    ],
)
def test_what_does_not_hold_says_what_is_there_instead(text: str, phrase: str) -> None:
    assert lack(text) == phrase


def test_a_status_of_an_older_generation_does_not_count() -> None:
    manifest = {
        "metadata": {"generation": 2},
        "status": {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]},
    }
    assert lack("condition=Ready", manifest) == "has condition Ready of generation 1, and is at generation 2"


@pytest.mark.parametrize("status", [None, "x", {}, {"conditions": None}, {"conditions": {"a": 1}}])
def test_an_object_without_conditions_has_none(status: object) -> None:
    assert lack("condition=Ready", {"status": status}) == "has no condition Ready"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("jsonpath={.status.items[*].name}=a", "leads to 2 values"),
        ("jsonpath={.status.items.*}=a", "leads to 2 values"),
        ("jsonpath={.status..*}=a", "values; it must lead to one"),
        ("jsonpath={.status.items}=a", "leads to a list or an object"),
        ("jsonpath={.metadata.labels}=a", "leads to a list or an object"),
    ],
)
def test_a_path_must_lead_to_one_plain_value(text: str, words: str) -> None:
    with pytest.raises(ExpressionError, match=re.escape(words)):
        lack(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "delete",
        "create",
        "condition",
        "condition=",
        "condition==true",
        "condition=Ready=",
        "jsonpath=",
        "jsonpath={}",
        "jsonpath={ }",
        "jsonpath={.a}=",
        "jsonpath={.a}=b=c",
        "jsonpath={.a}{.b}",
        "jsonpath={range .items[*]}{.x}{end}",
        "jsonpath={.a",
        "jsonpath={.a[}",
        "jsonpath={.a[01]}",
        "jsonpath={.a[0,1]}",
        "jsonpath={..a..b}",
        "jsonpath={.a[?(@.b=~'x')]}",
        "jsonpath={.a[?match(@.b, 'x')]}",
        "jsonpath={.a[?(@.b && @.c)]}",
        "jsonpath={.a[?(@.b[?(@.c)])]}",
        "jsonpath={" + ".a" * 300 + "}",
    ],
)
def test_what_kubectl_cannot_wait_for_or_could_take_for_ever_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        expressions.parse(text)
    assert len(str(caught.value)) < 500


def test_the_longest_expressions_are_read_or_refused_at_once() -> None:
    began = time.process_time()
    for piece in (".a", r".\.", "['", "['a']", "[?(@.a==", "[0]", "[*]", "..", "\\"):
        for prefix in ("", ".a[?(@"):
            text = f"jsonpath={{{prefix}{(piece * 256)[:480]}}}"
            try:
                expressions.shortfall(expressions.parse(text), POD)
            except ExpressionError:
                continue
    # Generous: a backtracking pattern takes longer than the age of the universe.
    assert time.process_time() - began < 5
