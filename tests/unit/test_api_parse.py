"""From YAML to the domain: what a user wrote, what he left out, and what he must be told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from patchwright import errors
from patchwright.api import parse, scalars
from patchwright.domain import checks, model
from patchwright.domain.model import Key, Quantity
from patchwright.domain.repository import PolicyRepository, VerifyRequest
from patchwright.domain.sources import GitReference, VerifyMode
from patchwright.domain.writeback.proposals import Provider
from patchwright.domain.writeback.settings import ProposalSettings
from support.api_manifests import FULL, MINIMAL, Manifest, changed

META = {
    "name": "openssl",
    "namespace": "fleet",
    "uid": "u-1",
    "generation": 3,
    "creationTimestamp": "2026-11-23T12:00:00Z",
    "labels": {"b": "2", "a": "1"},
}


def live(manifest: Manifest, **meta: Any) -> Manifest:
    return {**manifest, "metadata": {**META, **meta}}


def faults(manifest: Manifest, *paths: str) -> list[str]:
    return [str(fault) for fault in parse.validate(manifest, kinds=frozenset(parse.SPECS))]


def test_a_policy_of_one_line_gets_the_domains_defaults() -> None:
    found = parse.parse_policy(live(MINIMAL["PatchPolicy"]))
    target = model.NodeTarget()
    assert found == model.PatchPolicy(
        Key("fleet", "openssl"), "u-1", 3, target, trigger=model.Trigger.MANUAL, labels=(("a", "1"), ("b", "2"))
    )


def test_a_full_policy_arrives_with_every_field() -> None:
    found = parse.parse_policy(live(FULL["PatchPolicy"]))
    assert found.strategy == model.Strategy(
        canary=model.Canary(Quantity(2), None, timedelta(minutes=10)),
        waves=(
            model.Wave(Quantity(5), timedelta(minutes=5)),
            model.Wave(Quantity(50, percent=True), timedelta(0)),
        ),
        max_unavailable=Quantity(10, percent=True),
        failure_threshold=Quantity(2),
        topology_key="topology.kubernetes.io/zone",
        progress_deadline=timedelta(seconds=900),
    )
    assert found.windows == (model.MaintenanceWindow("0 22 * * SAT", timedelta(hours=4), "Europe/Paris"),)
    assert found.drain == model.Drain(
        timeout=timedelta(minutes=15),
        grace_period=timedelta(seconds=30),
        skip_wait_for_delete_timeout=timedelta(seconds=60),
        pod_selector=model.Selector((model.Requirement("app", model.Operator.IN, frozenset({"web"})),)),
        exclude_from_load_balancers=True,
        load_balancer_wait=timedelta(seconds=45),
        wait_for_volume_detach=True,
    )
    assert found.nodes.tolerations == (
        model.Toleration("dedicated", "Equal", "gpu", "NoSchedule"),
        model.Toleration(None, "Exists", None, "NoExecute"),
    )
    assert [check.name for check in found.health_checks] == ["apps", "errors", "front", "db", "dbs", "smoke"]
    assert (found.rollback, found.policy, found.suspend) == (model.Rollback(), model.PolicyRef(), False)


def test_selectors_arrive_as_requirements() -> None:
    found = parse.parse_policy(live(FULL["PatchPolicy"])).target.selector
    assert found.requirements == (
        model.Requirement("node-role.kubernetes.io/worker", model.Operator.IN, frozenset({""})),
        model.Requirement("team", model.Operator.IN, frozenset({"edge"})),
        model.Requirement("topology.kubernetes.io/zone", model.Operator.IN, frozenset({"a", "b"})),
        model.Requirement("patchwright.dev/risk", model.Operator.DOES_NOT_EXIST),
    )


def test_health_checks_arrive_with_their_probes() -> None:
    apps, bad, front, db, dbs, smoke = parse.parse_policy(live(FULL["PatchPolicy"])).health_checks
    assert isinstance(apps.probe, checks.WorkloadsCheck)
    assert apps.probe.kinds == ("Deployment", "StatefulSet")
    assert (apps.interval, apps.timeout, apps.probe_timeout, apps.baseline) == (
        timedelta(seconds=10), timedelta(minutes=2), timedelta(seconds=3), checks.Baseline.EXCLUDE,
    )  # fmt: skip
    assert bad.probe == checks.PrometheusCheck(
        "http://prometheus.monitoring:9090", "rate(errors_total[1m]) > 5", "up == 1"
    )
    assert bad.baseline is checks.Baseline.BLOCK
    assert front.probe == checks.HttpCheck("https://shop.example/healthz?full=1", (200, 204))
    assert db.probe == checks.ObjectCheck("db.example/v1", "Cluster", "condition=Ready", "data", "main")
    assert isinstance(dbs.probe, checks.ObjectCheck)
    assert dbs.probe.selector is not None
    assert smoke.probe == checks.JobCheck("smoke:1", ("smoke",), ("--buy",), (("SHOP", "shop"), ("EMPTY", "")), "smoke")
    assert (smoke.interval, smoke.timeout, smoke.probe_timeout, smoke.slow) == (
        timedelta(minutes=1), timedelta(seconds=30), timedelta(minutes=2), True,
    )  # fmt: skip
    assert not front.slow


def test_a_canary_is_chosen_by_count_or_by_selector() -> None:
    given = changed(FULL["PatchPolicy"], "spec.strategy.canary", {"selector": {}, "soak": "90s"})
    found = parse.parse_policy(live(given)).strategy.canary
    assert found == model.Canary(Quantity(1), model.Selector(), timedelta(seconds=90))


@pytest.mark.parametrize("seconds", [-1, None])
def test_a_grace_period_of_minus_one_is_the_pods_own(seconds: int | None) -> None:
    drain = {} if seconds is None else {"gracePeriod": seconds}
    found = parse.parse_policy(live(changed(MINIMAL["PatchPolicy"], "spec.drain", drain)))
    assert found.drain.grace_period is None


def test_waiting_for_deletion_without_limit_is_written_as_zero_too() -> None:
    given = changed(MINIMAL["PatchPolicy"], "spec.drain", {"skipWaitForDeleteTimeout": 0})
    assert parse.parse_policy(live(given)).drain.skip_wait_for_delete_timeout is None


def test_a_rollout_of_three_lines_gets_the_domains_defaults() -> None:
    found = parse.parse_rollout(live(MINIMAL["PatchRollout"]))
    assert found.change == model.ScriptChange("3.0.17", "registry.example/patch:v1", model.Step())
    assert (found.key, found.uid, found.generation) == (Key("fleet", "openssl"), "u-1", 3)
    assert found.created_at == datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert (found.policy_name, found.paused, found.deleting) == ("workers", False, False)
    assert found.advisories == ()


def test_steps_take_from_the_script_what_they_leave_out() -> None:
    change = parse.parse_rollout(live(FULL["PatchRollout"])).script
    shared = (("DEBIAN_FRONTEND", "noninteractive"), ("EMPTY", ""))
    assert change.apply.command == ("/patch",)
    assert change.apply.args == ("--now", "")
    assert change.apply.env == (*shared, ("MODE", "fast"))
    assert change.prepare == model.Step(("/patch",), ("prepare",), shared, timeout=timedelta(minutes=20))
    assert change.verify == model.Step(("/patch",), ("verify",), shared)
    assert change.rollback == model.Step(("/patch",), ("rollback",), shared, timeout=timedelta(minutes=90))
    assert change.reboot is model.Reboot.WHEN_REQUESTED
    assert (change.privileged, change.host_path, change.service_account) == (True, "/", "patcher")


def test_a_command_of_a_steps_own_drops_the_scripts_arguments() -> None:
    given = changed(FULL["PatchRollout"], "spec.change.script.verify", {"command": ["/check"]})
    verify = parse.parse_rollout(live(given)).script.verify
    assert verify is not None
    assert (verify.command, verify.args) == (("/check",), ())


def test_a_steps_variable_replaces_the_scripts() -> None:
    env = [{"name": "EMPTY", "value": "full"}]
    given = changed(FULL["PatchRollout"], "spec.change.script.verify", {"env": env})
    verify = parse.parse_rollout(live(given)).script.verify
    assert verify is not None
    assert dict(verify.env) == {"DEBIAN_FRONTEND": "noninteractive", "EMPTY": "full"}


def test_an_empty_host_path_mounts_nothing() -> None:
    given = changed(FULL["PatchRollout"], "spec.change.script.hostPath", "")
    assert parse.parse_rollout(live(given)).script.host_path is None


def test_annotations_say_what_people_want() -> None:
    said = {
        "patchwright.dev/abort": "true",
        "patchwright.dev/retry": "false",
        "patchwright.dev/approved-by": "platform-team",
        "somebody.else/abort": "yes",
    }
    found = parse.parse_rollout(live(FULL["PatchRollout"], annotations=said, deletionTimestamp="2026-11-23T12:00:00Z"))
    assert (found.abort, found.retry, found.deleting) == (True, False, True)
    # Policies may read our annotations (docs/policy-input.md), and nobody else's.
    assert dict(found.annotations) == {key: value for key, value in said.items() if key.startswith("patchwright.dev/")}


def test_of_a_rollout_that_is_being_deleted_a_flag_that_cannot_be_read_is_passed_over_and_said() -> None:
    said = {"patchwright.dev/abort": "yes", "patchwright.dev/retry": "True"}
    with pytest.raises(errors.InvalidInput):
        parse.parse_rollout(live(FULL["PatchRollout"], annotations=said))
    found = parse.parse_rollout(live(FULL["PatchRollout"], annotations=said, deletionTimestamp="2026-11-23T12:00:00Z"))
    assert (found.abort, found.retry) == (False, False)
    assert found.ignored == (
        """metadata.annotations[patchwright.dev/abort]: must be "true" or "false"; got 'yes'""",
        """metadata.annotations[patchwright.dev/retry]: must be "true" or "false"; got 'True'""",
    )


def test_a_repository_of_one_line_gets_the_domains_defaults() -> None:
    found = parse.parse_repository(live(MINIMAL["PolicyRepository"]))
    assert found == PolicyRepository(Key("fleet", "openssl"), "u-1", 3, "https://git.example/org/fleet")


def test_a_full_repository_arrives_with_every_field() -> None:
    said = {"patchwright.dev/requestedAt": "now", "patchwright.dev/confirm-prune": "abc"}
    found = parse.parse_repository(live(FULL["PolicyRepository"], annotations=said))
    assert found == PolicyRepository(
        Key("fleet", "openssl"), "u-1", 3, "ssh://git@git.example:2222/org/fleet.git",
        ref=GitReference("main", "v1.2.0", ">=1.2.0 <2.0.0", "refs/heads/main", "0" * 40),
        path="./clusters/prod", rego_path="policy", interval=timedelta(minutes=1), timeout=timedelta(seconds=60),
        secret_name="git", verify=VerifyRequest(VerifyMode.TAG_AND_HEAD, "signers"), ignore="/*\n!/clusters\n",
        prune=True, suspend=False, service_account="patcher",
        pull_request=ProposalSettings(Provider.GITLAB, "https://git.example/api/v4", "gitlab", "proposed"),
        deleting=False, requested_at="now", confirm_prune="abc",
    )  # fmt: skip


def test_every_fault_is_told_not_just_the_first() -> None:
    given = FULL["PatchPolicy"]
    for at, value in (
        ("metadata.labels", {"a": 1}),
        ("spec.strategy.canarry", {}),
        ("spec.strategy.canary.count", "ten"),
        ("spec.drain.timeout", 600),
        ("spec.healthChecks[0].name", None),
        ("spec.healthChecks[1].prometheus", {"address": "x"}),
    ):
        given = changed(given, at, value)
    with pytest.raises(errors.InvalidInput) as refused:
        parse.parse_policy(given)
    assert [fault.path for fault in refused.value.faults] == [
        "metadata.labels.a",
        "spec.healthChecks[0].name",
        "spec.strategy.canary.count",
        "spec.strategy.canarry",
        "spec.drain.timeout",
        "spec.healthChecks[1].prometheus.address",
    ]
    assert refused.value.reason == "InvalidSpec"


def test_null_is_a_fault_and_not_a_default() -> None:
    given = changed(FULL["PatchPolicy"], "spec.strategy.maxUnavailable", None)
    assert faults(given) == ["spec.strategy.maxUnavailable: must not be null; leave the field out, or give it a value"]
    given = changed(FULL["PatchRollout"], "spec.change.script.args", ["a", None])
    assert faults(given) == ["spec.change.script.args[1]: must not be null; remove the entry, or give it a value"]


@pytest.mark.parametrize("url", ["https://me:hunter2@git.example/x", "ssh://git:hunter2@h/x", "hunter2"])
def test_a_url_with_a_password_is_refused_without_repeating_it(url: str) -> None:
    [fault] = faults(changed(MINIMAL["PolicyRepository"], "spec.url", url))
    assert "hunter2" not in fault


def test_the_value_of_a_variable_is_never_repeated() -> None:
    [fault] = faults(changed(FULL["PatchRollout"], "spec.change.script.env[0].value", 31337))
    assert "31337" not in fault


def test_a_long_value_is_cut_in_the_message() -> None:
    [fault] = faults(changed(FULL["PatchPolicy"], "spec.drain.timeout", "x" * 10_000))
    assert len(fault) < 160


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "kind: must be one of PatchPolicy, PatchRollout; got null"),
        ({"kind": "Pod"}, "kind: must be one of PatchPolicy, PatchRollout; got 'Pod'"),
        ({"kind": ["PatchPolicy"]}, "kind: must be one of"),
        (MINIMAL["PolicyRepository"], "kind: must be one of"),
        ({**MINIMAL["PatchPolicy"], "apiVersion": "v1"}, "apiVersion: must be patchwright.dev/v1alpha1; got 'v1'"),
        ({**MINIMAL["PatchPolicy"], "status": {}}, "status: is written by Patchwright; remove it"),
        ({**MINIMAL["PatchPolicy"], "data": {}}, "data: is no field of a manifest"),
        ({**MINIMAL["PatchPolicy"], "metadata": None}, "metadata: must be an object with a name"),
        ({**MINIMAL["PatchPolicy"], "metadata": {}}, "metadata.name: is required"),
        ({**MINIMAL["PatchPolicy"], "metadata": {"name": "A b"}}, "metadata.name: must be a name"),
        ({**MINIMAL["PatchPolicy"], "metadata": {"name": "a", "labels": [1]}}, "metadata.labels: must be an object"),
        ({**MINIMAL["PatchPolicy"], "spec": None}, "spec: is required"),
        ({**MINIMAL["PatchPolicy"], "spec": []}, "spec: must be an object"),
    ],
)
def test_a_document_that_is_no_manifest_of_ours_says_why(document: Manifest, words: str) -> None:
    [fault] = parse.validate(document)
    assert words in str(fault)


def test_an_update_of_an_unknown_kind_says_nothing() -> None:
    assert list(parse.validate_update({}, {"kind": "Pod"})) == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("90s", 90), ("1h30m", 5400), ("1.5h", 5400), ("100ms", 0.1), ("1m1m", 120), ("8784h", 31_622_400)],
)
def test_durations_are_read_as_go_writes_them(text: str, seconds: float) -> None:
    assert scalars.parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "-1s", "1d", "1 m", "٣s", "1m\n", "1e3s", True, None, "8785h", "9" * 31])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="must be"):
        scalars.parse_duration(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [(timedelta(0), "0s"), (timedelta(hours=25, milliseconds=5), "25h5ms"), (timedelta(seconds=90), "1m30s")],
)
def test_durations_are_written_as_they_are_read(value: timedelta, text: str) -> None:
    assert scalars.format_duration(value) == text
    assert scalars.parse_duration(text) == value


@pytest.mark.parametrize("value", [True, 1.0, "1", "", "1%%", "%", "-1%", "1%\n", None, 2**31, [1]])
def test_what_is_no_quantity_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="must be a whole number"):
        scalars.parse_quantity(value)
