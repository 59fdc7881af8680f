"""When the observer's changes happened at the latest: it hears of them late on a busy machine."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from support.observer import Change, Raw
from support.operator_audit import timed
from support.operator_world import STATE


def workload(version: int, mark: str = "") -> Raw:
    annotations = {STATE: f'{{"mark": "{mark}"}}'} if mark else {}
    metadata = {"name": "web", "namespace": "shop", "resourceVersion": str(version), "annotations": annotations}
    return {"metadata": metadata}


def change(version: int, at: float, before: str, after: str, **more: Any) -> Change:
    kind = more.pop("kind", "Deployment")
    return Change(version, at, kind, workload(version - 1, before), workload(version, after), **more)


def entry(at: float, *, name: str = "web", user: str = "operator-a", code: int = 200, **target: str) -> dict[str, Any]:
    asked, done = (datetime.fromtimestamp(time, UTC).isoformat() for time in (at - 0.25, at))
    found = {"resource": "deployments", "namespace": "shop", "name": name, **target}
    answer = {"requestReceivedTimestamp": asked, "stageTimestamp": done, "responseStatus": {"code": code}}
    return {"verb": "patch", "user": {"username": user}, "objectRef": found, **answer}


def times(changes: list[Change], *entries: dict[str, Any]) -> list[float]:
    return [each.at for each in timed(changes, entries)]


def test_the_audit_log_knows_when_the_operator_wrote() -> None:
    heard = [change(1, 109.0, "", "Applying"), change(2, 109.0, "Applying", "Done")]
    assert times(heard, entry(100.0), entry(103.0)) == [100.0, 103.0]


def test_a_write_that_is_heard_of_later_is_another() -> None:
    heard = [change(1, 101.0, "", "Applying")]
    assert times(heard, entry(100.0), entry(103.0)) == [100.0]


def test_a_write_may_be_heard_of_before_it_is_answered() -> None:
    heard = [change(1, 99.875, "", "Applying"), change(2, 109.0, "Applying", "Done")]
    assert times(heard, entry(100.0), entry(103.0)) == [99.875, 103.0]


def test_nothing_came_after_a_later_version() -> None:
    heard = [change(1, 109.0, "Done", "Done"), change(2, 105.0, "Done", "Done")]
    assert times(heard) == [105.0, 105.0]
    heard = [change(1, 109.0, "Done", "Done", kind="Pod"), change(2, 109.0, "", "Applying")]
    assert times(heard, entry(103.0)) == [103.0, 103.0]


def test_other_writes_do_not_count() -> None:
    heard = [change(1, 109.0, "", "Applying")]
    others = [entry(1.0, name="api"), entry(2.0, subresource="status"), entry(3.0, user="alice"), entry(4.0, code=409)]
    assert times(heard, *others) == [109.0]


def test_what_a_person_did_is_known_as_it_was_heard() -> None:
    assert times([change(1, 109.0, "Done", "", people=True)], entry(100.0)) == [109.0]
    assert times([change(1, 109.0, "Done", "", gap=True)], entry(100.0)) == [109.0]
