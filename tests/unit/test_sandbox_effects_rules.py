"""The rules of what patch Jobs do, the stages made of them, and what a node's fate does to its pods."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from patchwright.sandbox import aftermath, components, effects, errors, fleet, settings
from patchwright.sandbox.aftermath import Fate


def test_the_built_in_rules_are_valid_and_in_order() -> None:
    rules = effects.load()
    assert rules.duration == "1s"
    assert rules.rules[0].add == ("--heal",), "a rollback of a bad version must not break the node again"
    assert len(effects.stages(rules)) == 12


def test_stages_have_names_of_their_own_and_survive_a_round_trip() -> None:
    stages = effects.stages(effects.load())
    names = [stage["metadata"]["name"] for stage in stages]  # type: ignore[index] # YAML
    assert len(set(names)) == len(names)
    assert yaml.safe_load(json.dumps(stages)) == stages


def test_which_images_crash_is_said_by_the_file_and_reaches_both_stages_of_pods() -> None:
    assert effects.load().crashes == effects.Rules().crashes, "a file that says nothing means the same"
    rules = effects.parse({"crashes": r":1\.0\.2$"}, "my.yaml")
    text = [json.dumps(stage) for stage in effects.stages(rules)]
    told = json.dumps(json.dumps(r":1\.0\.2$")).strip('"')
    assert [told in each for each in text].count(True) == 2
    assert not any("test($crashes)" in each or "]*bad" in each for each in text)


def test_earlier_rules_win() -> None:
    rules = (effects.Rule("a", ("--first",)), effects.Rule("b", ("--second",)))
    query = effects.words_query(rules)
    assert query.index("--first") < query.index("--second")
    assert query.count("if any($own[]") == 2
    assert '"^(?:a)$"' in query


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ([], "a mapping of `duration`, `rules` and `crashes`"),
        ({"rule": []}, "a mapping of `duration`, `rules` and `crashes`"),
        ({"crashes": 3}, "crashes: 3 is no expression for images"),
        ({"crashes": "("}, r"crashes: '\(' is no regular expression"),
        ({"duration": "1 hour"}, "duration: '1 hour' is no duration"),
        ({"duration": 3}, "duration: 3 is no duration"),
        ({"rules": ["x"]}, r"rules\[0\]: a rule is a mapping"),
        ({"rules": [{"word": "x", "then": 1}]}, r"rules\[0\]: a rule is a mapping"),
        ({"rules": [{"word": "("}]}, r"rules\[0\]: word: '\(' is no regular expression"),
        ({"rules": [{"word": "x"}, {"word": "x", "add": "--fail"}]}, r"rules\[1\]: add: '--fail' is no list"),
        ({"rules": [{"word": "x", "add": ["fail"]}]}, r"rules\[0\]: add: \['fail'\] is no list of words"),
    ],
)
def test_a_faulty_rule_is_named_with_its_place(raw: object, message: str) -> None:
    with pytest.raises(errors.SandboxError, match=f"my.yaml: .*{message}"):
        effects.parse(raw, "my.yaml")


def test_a_file_that_is_no_yaml_or_absent_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: [", encoding="utf-8")
    for name in ("x.yaml", "none.yaml"):
        with pytest.raises(errors.SandboxError, match=rf"{name} cannot be read as sandbox effects"):
            effects.load(tmp_path / name)


def pod(
    *, ready: bool, waiting: dict[str, str] | None = None, owner: str = "ReplicaSet", **meta: Any
) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(ready)}]
    state: dict[str, Any] = {"waiting": waiting} if waiting else {"running": {}}
    containers = [{"name": "app", "restartCount": 2, "state": state}]
    return {
        "metadata": {"name": "p", "ownerReferences": [{"kind": owner}], **meta},
        "status": {"phase": "Running", "conditions": conditions, "containerStatuses": containers},
    }


OURS = {"reason": "CrashLoopBackOff", "message": "(SandboxWorkloadsBroken)"}
ITS_OWN = {"reason": "CrashLoopBackOff", "message": "back-off"}


def test_a_ready_pod_on_a_broken_node_crashes() -> None:
    patch = aftermath.pod_patch(pod(ready=True), Fate.CRASH, "now")
    assert patch is not None
    [container] = patch["status"]["containerStatuses"]
    assert (container["ready"], container["restartCount"]) == (False, 3)
    assert container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert container["state"]["running"] is None, "a state may be one thing only"


@pytest.mark.parametrize("waiting", [None, OURS])
def test_an_unready_pod_on_a_node_that_is_back_runs(waiting: dict[str, str] | None) -> None:
    patch = aftermath.pod_patch(pod(ready=False, waiting=waiting), Fate.RUN, "now")
    assert patch is not None
    assert {each["status"] for each in patch["status"]["conditions"]} == {"True"}


@pytest.mark.parametrize(
    ("one", "fate"),
    [
        (pod(ready=True), Fate.RUN),
        (pod(ready=False, waiting=OURS), Fate.CRASH),
        (pod(ready=False, waiting=ITS_OWN), Fate.RUN),
        (pod(ready=True), Fate.NONE),
        (pod(ready=True, owner="Job"), Fate.CRASH),
        (pod(ready=True, deletionTimestamp="now"), Fate.CRASH),
    ],
)
def test_other_pods_are_left_alone(one: dict[str, Any], fate: Fate) -> None:
    assert aftermath.pod_patch(one, fate, "now") is None


def test_a_node_that_is_away_decides_nothing() -> None:
    assert aftermath.Seen(ready=False, broken=True).fate is Fate.NONE
    assert aftermath.seen({"metadata": {"name": "x"}}) == aftermath.Seen(ready=False, broken=False)


def test_opa_polls_a_bundle_by_long_polling() -> None:
    config: dict[str, Any] = components.opa_config("http://127.0.0.1:8080/bundles/policy.tar.gz?x=1")
    assert config["services"] == {"patchwright": {"url": "http://127.0.0.1:8080"}}
    bundle = config["bundles"]["patchwright"]
    assert bundle["resource"] == "bundles/policy.tar.gz?x=1"
    assert bundle["polling"]["long_polling_timeout_seconds"] > 0
    assert "bundles" not in components.opa_config(None)


def test_heartbeats_stay_at_about_twenty_a_second() -> None:
    assert settings.lease_for(0) == settings.lease_for(200) == 40
    assert settings.lease_for(5000) == 1000
    assert 5000 / (settings.lease_for(5000) / 4) == 20


def test_settings_survive_the_way_to_the_supervisor(tmp_path: Path) -> None:
    before = settings.Settings(
        tmp_path,
        {"etcd": Path("/x/etcd")},
        effects=Path("/e.yaml"),
        api_server_flags=("--v=2",),
        opa_bundle_url="http://x",
    )
    before.save()
    assert settings.load(tmp_path) == before


def test_zones_take_turns_and_names_go_on() -> None:
    nodes = fleet.Nodes(3, first=4, zones=fleet.zones(2))
    assert nodes.names() == ["node-0004", "node-0005", "node-0006"]


def test_no_budget_is_made_where_none_is_wanted() -> None:
    assert list(fleet.Workloads(2, max_unavailable=None).budgets()) == []
    budgets = list(fleet.Workloads(2, max_unavailable="50%").budgets())
    assert [each["spec"]["maxUnavailable"] for each in budgets] == ["50%", "50%"]
