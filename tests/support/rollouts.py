"""Small valid values for tests that need a rollout, its policy or a case of theirs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from patchwright.domain.model import Key, NodeTarget, PatchPolicy, PatchRollout, ScriptChange, Selector, Step
from patchwright.domain.nodes.record import Mark, Record
from patchwright.domain.state import RolloutState
from patchwright.ports import Case

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SYSTEM = "patchwright-system"
IMAGE = "sandbox.patchwright.dev/script:1"


def change(**fields: Any) -> ScriptChange:
    given = {"version": "1.2.3", "image": IMAGE, "apply": Step(args=("apply",)), "rollback": Step(args=("rollback",))}
    return ScriptChange(**{**given, **fields})


def rollout(
    name: str = "openssl", *, namespace: str = "patchwright-system", uid: str = "", **fields: Any
) -> PatchRollout:
    given = {"change": change(), "change_id": "c0ffee", "generation": 1, "created_at": NOW, "policy_name": "workers"}
    return PatchRollout(key=Key(namespace, name), uid=uid or f"uid-{name}", **{**given, **fields})


def policy(
    name: str = "workers", *, namespace: str = SYSTEM, selector: Selector | None = None, **fields: Any
) -> PatchPolicy:
    given = {"target": NodeTarget(selector or Selector()), "generation": 1}
    return PatchPolicy(key=Key(namespace, name), uid=f"uid-{name}", **{**given, **fields})


def case(of: PatchRollout | None = None, under: PatchPolicy | None = None, **fields: Any) -> Case:
    mine = of or rollout()
    given = {"state": RolloutState(), "resource_version": "1", "generation": 1}
    return Case(rollout=mine, policy=under or policy(), key=mine.key, uid=mine.uid, **{**given, **fields})


def record(rollout_uid: str = "uid-openssl", mark: Mark = Mark.DRAINING, **fields: Any) -> Record:
    given = {"rollout": "patchwright-system/openssl", "change_id": "c0ffee", "wave": 0, "cordoned": True}
    return Record(rollout_uid=rollout_uid, mark=mark, started_at=NOW, since=NOW, **{**given, **fields})
