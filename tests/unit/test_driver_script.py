"""The Job of the script driver: what each field has to be, and why."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from patchwright.domain.actions import JobStep, NodeRef
from patchwright.domain.model import NodeTarget, Reboot, ScriptChange, Step, Strategy, Toleration
from patchwright.drivers import script
from support import rollouts

NODE = NodeRef("worker-1", "uid-worker-1", "7")


def render(step: JobStep = JobStep.APPLY, *, node: NodeRef = NODE, previous: str | None = None, **change: Any) -> Any:
    rollout = rollouts.rollout(change=rollouts.change(**change))
    return script.render(
        rollout, rollouts.policy(), node=node, step=step, name="job-1", namespace="ops", previous=previous
    )


def pod_of(manifest: Any) -> Any:
    return manifest["spec"]["template"]["spec"]


def container_of(manifest: Any) -> Any:
    [container] = pod_of(manifest)["containers"]
    return container


def test_the_same_input_gives_the_same_manifest() -> None:
    assert render() == render()


def test_the_job_carries_the_marks_by_which_it_is_found_and_so_does_its_pod() -> None:
    manifest = render()
    marks = {
        "patchwright.dev/rollout": "uid-openssl",
        "patchwright.dev/node": "worker-1",
        "patchwright.dev/step": "apply",
    }
    assert manifest["metadata"]["labels"] == marks
    assert manifest["spec"]["template"]["metadata"]["labels"] == marks
    assert manifest["metadata"]["annotations"]["patchwright.dev/node-uid"] == "uid-worker-1"
    assert (manifest["metadata"]["name"], manifest["metadata"]["namespace"]) == ("job-1", "ops")


def test_a_node_name_too_long_for_a_label_is_shortened_there_and_whole_in_the_annotation() -> None:
    long = NodeRef("node-" + "x" * 100 + ".example.org", "uid", "1")
    other = NodeRef("node-" + "x" * 100 + ".example.com", "uid", "1")
    label = render(node=long)["metadata"]["labels"]["patchwright.dev/node"]
    assert len(label) <= 63
    assert label != render(node=other)["metadata"]["labels"]["patchwright.dev/node"]
    assert render(node=long)["metadata"]["annotations"]["patchwright.dev/node"] == long.name


def test_no_owner_reference_because_a_foreground_deletion_would_kill_a_package_manager_half_way() -> None:
    assert "ownerReferences" not in render()["metadata"]


def test_the_pod_is_pinned_without_the_scheduler_and_stays_through_a_reboot() -> None:
    pod = pod_of(render())
    assert pod["nodeName"] == "worker-1"
    assert {"operator": "Exists", "effect": "NoSchedule"} in pod["tolerations"]
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        assert {"key": key, "operator": "Exists", "effect": "NoExecute"} in pod["tolerations"]


def test_the_policy_s_tolerations_are_added_without_what_they_leave_out() -> None:
    target = NodeTarget(tolerations=(Toleration(key="gpu", operator="Exists", effect="NoExecute"),))
    manifest = script.render(
        rollouts.rollout(), rollouts.policy(target=target), node=NODE, step=JobStep.APPLY, name="j", namespace="ops"
    )
    assert pod_of(manifest)["tolerations"][-1] == {"key": "gpu", "operator": "Exists", "effect": "NoExecute"}


def test_nobody_else_is_to_move_the_pod() -> None:
    annotations = render()["spec"]["template"]["metadata"]["annotations"]
    assert annotations["karpenter.sh/do-not-disrupt"] == "true"
    assert annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"


def test_a_step_has_its_own_time_limit_or_the_policy_s() -> None:
    assert render()["spec"]["activeDeadlineSeconds"] == 600
    short = Step(args=("apply",), timeout=timedelta(seconds=90))
    assert render(apply=short)["spec"]["activeDeadlineSeconds"] == 90
    policy = rollouts.policy(strategy=Strategy(progress_deadline=timedelta(seconds=30)))
    manifest = script.render(rollouts.rollout(), policy, node=NODE, step=JobStep.APPLY, name="j", namespace="ops")
    assert manifest["spec"]["activeDeadlineSeconds"] == 30


def test_a_finished_job_tidies_itself_up_in_the_end() -> None:
    assert render()["spec"]["ttlSecondsAfterFinished"] == 3600


def test_a_step_that_does_not_reboot_has_one_try() -> None:
    spec = render()["spec"]
    assert spec["backoffLimit"] == 0
    assert "podFailurePolicy" not in spec


@pytest.mark.parametrize("reboot", [Reboot.ALWAYS, Reboot.WHEN_REQUESTED])
@pytest.mark.parametrize("step", [JobStep.APPLY, JobStep.ROLLBACK])
def test_a_pod_that_its_own_reboot_killed_is_tried_again_and_an_error_of_its_own_is_not(
    reboot: Reboot, step: JobStep
) -> None:
    spec = render(step, reboot=reboot)["spec"]
    assert spec["backoffLimit"] > 0
    ignore, fail = spec["podFailurePolicy"]["rules"]
    assert (ignore["action"], ignore["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    assert fail["action"] == "FailJob"
    assert fail["onExitCodes"] == {"containerName": "step", "operator": "NotIn", "values": [137, 143, 255]}


@pytest.mark.parametrize("step", [JobStep.PREPARE, JobStep.VERIFY])
def test_a_step_that_never_reboots_has_one_try_always(step: JobStep) -> None:
    made = render(step, reboot=Reboot.ALWAYS, prepare=Step(args=("prepare",)), verify=Step(args=("verify",)))
    assert made["spec"]["backoffLimit"] == 0


def test_a_prepare_step_is_run_as_every_other_is_on_a_node_that_is_not_cordoned() -> None:
    prepare = Step(args=("fetch",), timeout=timedelta(minutes=20), image="example.org/fetch:3")
    made, other = render(JobStep.PREPARE, prepare=prepare), render()
    assert container_of(made)["image"] == "example.org/fetch:3"
    assert (container_of(made)["args"], made["spec"]["activeDeadlineSeconds"]) == (["fetch"], 1200)
    assert {"name": "PATCHWRIGHT_STEP", "value": "prepare"} in container_of(made)["env"]
    for field in ("nodeName", "tolerations", "restartPolicy", "hostPID", "volumes"):
        assert pod_of(made)[field] == pod_of(other)[field]


def test_the_last_lines_of_a_log_stand_in_for_a_message_that_was_not_written() -> None:
    assert container_of(render())["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_a_privileged_change_shares_the_host_and_its_network() -> None:
    manifest = render()
    pod = pod_of(manifest)
    assert (pod["hostPID"], pod["hostIPC"], pod["hostNetwork"], pod["dnsPolicy"]) == (True, True, True, "Default")
    assert container_of(manifest)["securityContext"] == {"privileged": True}
    assert pod["volumes"] == [{"name": "host", "hostPath": {"path": "/", "type": "Directory"}}]
    assert container_of(manifest)["volumeMounts"] == [{"name": "host", "mountPath": "/host"}]


def test_an_unprivileged_change_without_a_host_path_gets_nothing_of_the_host() -> None:
    manifest = render(privileged=False, host_path=None)
    assert not {"hostPID", "hostIPC", "hostNetwork", "volumes"} & pod_of(manifest).keys()
    assert container_of(manifest)["securityContext"]["allowPrivilegeEscalation"] is False


def test_a_service_account_s_token_is_mounted_only_where_one_was_asked_for() -> None:
    assert pod_of(render())["automountServiceAccountToken"] is False
    pod = pod_of(render(service_account="patcher"))
    assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("patcher", True)


def test_the_environment_says_what_is_wanted_and_a_user_cannot_make_it_lie() -> None:
    step = Step(args=("apply",), env=(("MIRROR", "deb.example.org"), ("PATCHWRIGHT_VERSION", "9.9.9")))
    environment = {each["name"]: each["value"] for each in container_of(render(apply=step, previous="beef"))["env"]}
    assert environment == {
        "MIRROR": "deb.example.org",
        "PATCHWRIGHT_NODE": "worker-1",
        "PATCHWRIGHT_STEP": "apply",
        "PATCHWRIGHT_VERSION": "1.2.3",
        "PATCHWRIGHT_CHANGE": "c0ffee",
        "PATCHWRIGHT_PREVIOUS_CHANGE": "beef",
        "PATCHWRIGHT_ROLLOUT": "patchwright-system/openssl",
    }


def test_a_step_may_bring_an_image_and_a_command_of_its_own() -> None:
    own = container_of(render(JobStep.ROLLBACK, rollback=Step(command=("undo",), image="example.org/undo:2")))
    assert (own["image"], own["command"], "args" in own) == ("example.org/undo:2", ["undo"], False)
    assert container_of(render())["image"] == rollouts.IMAGE


def test_a_step_that_the_change_does_not_have_is_an_error_of_the_caller() -> None:
    change = ScriptChange("1", "example.org/x:1", Step())
    with pytest.raises(ValueError, match="verify"):
        script.render(
            rollouts.rollout(change=change), rollouts.policy(), node=NODE, step=JobStep.VERIFY, name="j", namespace="o"
        )
