"""From a push to objects in the cluster and a policy in OPA, by the real operator from a real Git server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.operator_git import REGO, Origin, served
from support.operator_scene import Scene, pause

pytestmark = pytest.mark.controlplane
HALF = {"canary": {"count": 1, "soak": "0s"}, "maxUnavailable": "50%"}


@pytest.fixture
def origin(scene: Scene, tmp_path: Path) -> Iterator[Origin]:
    with served(scene, tmp_path) as found:
        yield found


def policy(scene: Scene, name: str = "", **spec: Any) -> dict[str, Any]:
    return scene.manifest("PatchPolicy", name or scene.name, {**scene.policy_spec(strategy=HALF), **spec})


def start(scene: Scene, origin: Origin, *, rego: str = "", **spec: Any) -> str:
    """Follow a repository with one policy in it, and wait until that is applied."""
    files: dict[str, Any] = {"fleet/policy.yaml": policy(scene)}
    if rego:
        files["rego/rollout.rego"] = REGO % rego
        spec["rego"] = {"path": "rego"}
    commit = origin.commit(files)
    origin.follow(**spec)
    origin.until_applied(commit)
    return commit


def test_a_push_becomes_a_rollout_decided_by_the_rego_of_the_same_commit(scene: Scene, origin: Origin) -> None:
    scene.add_nodes(3)
    start(scene, origin, rego="-unwanted")
    good, bad = scene.rollout_manifest("6.0"), scene.rollout_manifest("6.1-unwanted")
    # Git's own time from here is the reader's, not ours: the webhook is called when the push has been taken.
    commit = origin.commit({"fleet/rollouts/good.yaml": good})
    pushed = time.monotonic()
    scene.until(lambda: scene.observer.get("PatchRollout", good["metadata"]["name"]), "the rollout being there")
    print(f"push to applied: {time.monotonic() - pushed:.3f} s")  # noqa: T201 - the number is asked for
    origin.until_applied(commit)
    status = scene.until_phase(good["metadata"]["name"], "Succeeded")
    decided = status["policy"]
    assert decided["revision"] == f"main@sha1:{commit}"
    assert decided["allowed"] is True
    assert decided["package"] == "patchwright.rollout"
    assert scene.in_opa_s_log(decided["decisionID"]), "OPA itself logged that decision"
    assert origin.inventory() == [
        f"patchwright-system_{good['metadata']['name']}_patchwright.dev_PatchRollout",
        f"patchwright-system_{scene.name}_patchwright.dev_PatchPolicy",
    ]
    origin.commit({"fleet/rollouts/bad.yaml": bad})
    denied = scene.until_phase(bad["metadata"]["name"], "Denied")
    assert "version 6.1-unwanted is not wanted here" in denied["message"]
    assert denied["policy"]["violations"][0]["rule"] == "patchwright.rollout/deny_versions"
    assert scene.touched(bad["metadata"]["name"]) == []


def test_a_commit_with_one_bad_file_applies_nothing_and_names_the_file_and_its_line(
    scene: Scene, origin: Origin
) -> None:
    commit = start(scene, origin)
    broken = scene.rollout_manifest("6.2")
    broken["spec"]["changes"] = broken["spec"].pop("change")
    other = scene.rollout_manifest("6.3")
    origin.commit({"fleet/a.yaml": other, "fleet/broken.yaml": broken})
    said = origin.until_refused("BuildFailed")
    assert "fleet/broken.yaml:" in said
    assert "spec.changes" in said
    assert f"revision main@sha1:{commit} stays in force" in said
    assert origin.condition("Stalled")["status"] == "True"
    pause(1)
    assert scene.observer.get("PatchRollout", other["metadata"]["name"]) is None
    assert origin.status["lastAppliedRevision"] == f"main@sha1:{commit}"
    fixed = origin.commit({"fleet/broken.yaml": None})
    origin.until_applied(fixed)
    assert scene.observer.get("PatchRollout", other["metadata"]["name"]) is not None


def test_what_leaves_git_is_deleted_but_never_nearly_everything_without_a_word(scene: Scene, origin: Origin) -> None:
    names = [f"{scene.name}-{letter}" for letter in "abcd"]
    origin.commit({"fleet/README.md": "", **{f"fleet/{name}.yaml": policy(scene, name) for name in names}})
    origin.follow()
    scene.until(lambda: len(origin.inventory()) == 4, "four policies")
    commit = origin.commit({f"fleet/{names[0]}.yaml": None})
    origin.until_applied(commit)
    scene.until(lambda: scene.observer.get("PatchPolicy", names[0]) is None, "the first being deleted")
    # One that somebody keeps stays, and is Git's no longer.
    scene.annotate("PatchPolicy", names[1], "patchwright.dev/prune", "disabled")
    origin.until_applied(origin.commit({f"fleet/{names[1]}.yaml": None}))
    assert scene.observer.get("PatchPolicy", names[1]) is not None
    emptied = origin.commit({f"fleet/{name}.yaml": None for name in names[2:]})
    said = origin.until_refused("PruneRefused")
    assert f"patchwright.dev/confirm-prune=main@sha1:{emptied}" in said
    pause(1)
    assert scene.observer.get("PatchPolicy", names[3]) is not None
    scene.annotate("PolicyRepository", origin.name, "patchwright.dev/confirm-prune", f"main@sha1:{emptied}")
    origin.until_applied(emptied)
    scene.until(lambda: not any(scene.observer.get("PatchPolicy", name) for name in names[2:]), "the others being gone")
    assert origin.inventory() == []


def test_a_suspended_repository_is_left_alone_until_it_is_resumed(scene: Scene, origin: Origin) -> None:
    start(scene, origin)
    scene.change("PolicyRepository", origin.name, {"spec": {"suspend": True}})
    scene.until(lambda: origin.condition("Ready").get("reason") == "Suspended", "the suspension")
    late = scene.rollout_manifest("6.4")
    commit = origin.commit({"fleet/late.yaml": late})
    pause(2)
    assert scene.observer.get("PatchRollout", late["metadata"]["name"]) is None
    scene.change("PolicyRepository", origin.name, {"spec": {"suspend": None}})
    origin.until_applied(commit)


def test_every_write_is_made_as_the_service_account_and_only_what_it_may(scene: Scene, origin: Origin) -> None:
    account = scene.service_account(may=["patchrollouts"])
    origin.commit({"fleet/policy.yaml": policy(scene)})
    origin.follow(serviceAccountName=account)
    said = origin.until_refused("BuildFailed")
    assert f'User "system:serviceaccount:patchwright-system:{account}" cannot' in said
    assert "fleet/policy.yaml:1" in said
    assert scene.observer.get("PatchPolicy", scene.name) is None
    scene.allow(account, ["patchpolicies", "patchrollouts"])
    origin.hook()
    scene.until(lambda: scene.observer.get("PatchPolicy", scene.name), "the policy")
    assert scene.written_as(account) >= 1


def test_rego_that_does_not_compile_keeps_the_policy_that_was_there(scene: Scene, origin: Origin) -> None:
    scene.add_nodes(2)
    good = start(scene, origin, rego="-unwanted")
    rollout = scene.rollout_manifest("6.5")
    origin.commit(
        {"rego/rollout.rego": "package patchwright.rollout\n\ndeny contains x if {\n", "fleet/r.yaml": rollout}
    )
    said = origin.until_refused("InvalidPolicy")
    assert "rego/rollout.rego:" in said
    pause(1)
    assert scene.observer.get("PatchRollout", rollout["metadata"]["name"]) is None, "not half of a commit"
    by_hand = scene.rollout("6.6-unwanted")
    denied = scene.until_phase(by_hand, "Denied")
    assert denied["policy"]["revision"] == f"main@sha1:{good}"


def test_a_policy_that_changes_midway_holds_the_next_wave(scene: Scene, origin: Origin) -> None:
    scene.add_nodes(4)
    start(scene, origin, rego="-unwanted")
    scene.change("PatchPolicy", scene.name, {"spec": {"strategy": {"canary": {"soak": "4s"}}}})
    rollout = scene.rollout("6.7")
    scene.until_phase(rollout, "Soaking")
    commit = origin.commit({"rego/rollout.rego": REGO % "6.7"})
    origin.until_applied(commit)
    status = scene.until_message(rollout, "version 6.7 is not wanted here")
    assert status["policy"]["revision"] == f"main@sha1:{commit}"
    assert len(scene.touched(rollout)) == 1
    origin.until_applied(origin.commit({"rego/rollout.rego": REGO % "-unwanted"}))
    assert scene.until_phase(rollout, "Succeeded")["updated"] == "4/4"


def test_while_git_is_away_the_last_good_policy_decides_even_after_a_restart(scene: Scene, origin: Origin) -> None:
    scene.add_nodes(2)
    commit = start(scene, origin, rego="-unwanted", interval="2s", timeout="5s")
    origin.host.stop()
    said = origin.until_refused("GitOperationFailed")
    assert f"revision main@sha1:{commit} stays in force" in said
    assert origin.condition("FetchFailed")["status"] == "True"
    scene.restart()
    denied = scene.until_phase(scene.rollout("6.8-unwanted"), "Denied")
    assert denied["policy"]["revision"] == f"main@sha1:{commit}"
    allowed = scene.until_phase(scene.rollout("6.9"), "Succeeded")
    assert allowed["policy"]["revision"] == f"main@sha1:{commit}"
    origin.host.start()
    origin.until_applied(commit)
    assert origin.condition("FetchFailed") == {}


def test_a_branch_that_was_rewritten_is_followed_and_that_is_said(scene: Scene, origin: Origin) -> None:
    commit = start(scene, origin)
    origin.until_applied(origin.commit({"fleet/late.yaml": policy(scene, f"{scene.name}-late")}))
    origin.upstream.rewind(commit)
    rewritten = origin.commit({"fleet/other.yaml": policy(scene, f"{scene.name}-other")})
    origin.until_applied(rewritten)
    scene.until(lambda: scene.observer.get("PatchPolicy", f"{scene.name}-late") is None, "what was never there going")
    assert f"Applied revision: main@sha1:{rewritten}; the branch was rewritten since the last one" in origin.said()


def test_of_two_repositories_with_rego_one_decides_and_the_other_is_told(
    scene: Scene, origin: Origin, tmp_path: Path
) -> None:
    start(scene, origin, rego="-unwanted")
    other = Origin(scene, tmp_path, origin.host, name=f"{scene.name}-second")
    other.commit({"fleet/policy.yaml": policy(scene, other.name), "rego/rollout.rego": REGO % ""})
    other.follow(rego={"path": "rego"})
    said = other.until_refused("RegoNotAllowed")
    assert f"PolicyRepository patchwright-system/{origin.name} brings the policy already" in said
    assert scene.observer.get("PatchPolicy", other.name) is None


SECRET = "hunter2-is-no-password"


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        ({"ref": {"branch": "no-such-branch"}}, "RefNotFound", "spec.ref"),
        ({"ref": {"commit": "1" * 40}}, "RefNotFound", "spec.ref"),
        ({"path": "no-such-folder"}, "InvalidPath", "no-such-folder"),
        ({"secretRef": {"name": "no-such-secret"}}, "AuthenticationFailed", "does not exist"),
        ({"url": "http://127.0.0.1:1/nothing.git"}, "GitOperationFailed", "127.0.0.1:1"),
        ({"url": "NOWHERE"}, "GitOperationFailed", "repository"),
    ],
    ids=["branch", "commit", "path", "secret", "port", "repository"],
)
def test_what_cannot_be_fetched_ends_in_a_named_condition(
    scene: Scene, origin: Origin, spec: dict[str, Any], reason: str, words: str
) -> None:
    origin.commit({"fleet/policy.yaml": policy(scene)})
    if spec.get("url") == "NOWHERE":
        spec = {"url": origin.host.url("nowhere.git")}
    origin.follow(**spec)
    assert words in origin.until_refused(reason)
    assert scene.observer.get("PatchPolicy", scene.name) is None


def test_credentials_are_used_and_shown_nowhere(scene: Scene, tmp_path: Path) -> None:
    with served(scene, tmp_path, credentials=("robot", SECRET)) as origin:
        origin.upstream.commit({"fleet/policy.yaml": "kind: Nothing\n"})
        scene.secret("wrong", {"username": "robot", "password": f"{SECRET}-not"})
        origin.follow(secretRef={"name": "wrong"})
        origin.until_refused("AuthenticationFailed")
        scene.secret("right", {"username": "robot", "password": SECRET})
        scene.change("PolicyRepository", origin.name, {"spec": {"secretRef": {"name": "right"}}})
        assert "only PatchPolicy and PatchRollout" in origin.until_refused("BuildFailed")
        shown = scene.kubectl("get", "policyrepositories", "-A", "-o", "yaml") + scene.metrics() + scene.operator.log
    changes = scene.observer.since(scene.mark)
    told = [str(change.after) for change in changes if change.kind in ("PolicyRepository", "Event")]
    assert SECRET not in "".join(told) + shown


def test_an_inventory_that_was_garbled_by_hand_stops_the_repository_until_it_is_mended(
    scene: Scene, origin: Origin
) -> None:
    start(scene, origin)
    whole = origin.status["inventory"]
    broken = {"inventory": {"entries": [*whole["entries"], {"id": "kube-system_coredns_apps_Deployment"}]}}
    scene.change_status("PolicyRepository", origin.name, broken)
    assert "status.inventory.entries" in origin.until_refused("InvalidSpec")
    commit = origin.commit({"fleet/other.yaml": policy(scene, f"{scene.name}-other")})
    pause(1)
    assert scene.observer.get("PatchPolicy", f"{scene.name}-other") is None
    assert origin.status["inventory"] == broken["inventory"], "what stood in it is still there to be mended"
    scene.change_status("PolicyRepository", origin.name, {"inventory": whole})
    origin.until_applied(commit)


def test_a_webhook_without_its_token_is_refused(scene: Scene, origin: Origin) -> None:
    where = f"/hook/patchwright-system/{origin.name}"
    assert scene.operator.request("POST", where)[0] == 401
    assert scene.operator.request("POST", where, {"Authorization": "Bearer wrong"})[0] == 401
    assert origin.hook() == 202
