"""The driver ``script``: a change is an image that runs once per step on each node, as system-upgrade-controller's is.

The manifest is a pure function of the rollout, the policy and the node, so creating it again changes nothing (L12).
What it decides, and why:

* ``nodeName`` instead of an affinity: the pod starts without the scheduler, which may be what is being patched, and is
  not kept off by a cordon. What it gives up, the fit of resources, a drained node has; a prepare step asks for none,
  and on a node that has not even room for one more pod it fails, before anything was done.
* Every ``NoSchedule`` taint is tolerated, since the policy has picked the node already. Of ``NoExecute`` only what a
  reboot brings about is: without that the pod would be evicted five minutes into it.
* No owner reference: deleting the rollout in the foreground (Argo CD's default) would make the garbage collector kill
  a package manager half-way. The rollout's finalizer removes the Jobs, found by their label.
* A step that may reboot its node is killed by that. Such a pod is replaced (its script has to see by itself that
  nothing is left to do, as with system-upgrade-controller); one that exits with an error of its own fails the Job at
  once.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from patchwright.domain.actions import JobStep, NodeRef
from patchwright.domain.model import PatchPolicy, PatchRollout, Reboot, ScriptChange, Step, Toleration
from patchwright.domain.nodes import labels

CONTAINER: Final = "step"
HOST_MOUNT: Final = "/host"
# Seconds a finished Job stays, if we do not come to delete it: long enough to read its log, and for us to be away.
KEEP: Final = 3600
_REBOOT_RETRIES = 3
# SIGKILL, SIGTERM, and containerd's word for a container that was running when the machine went down.
_KILLED: Final = [137, 143, 255]
_AWAY: Final = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_CONTROL_PLANE: Final = (
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/master",
    "node-role.kubernetes.io/etcd",
)


def render(
    rollout: PatchRollout,
    policy: PatchPolicy,
    *,
    node: NodeRef,
    step: JobStep,
    name: str,
    namespace: str,
    previous: str | None = None,
) -> dict[str, Any]:
    """Give the Job that runs one step on one node.

    ``namespace`` is the operator's: these Jobs need privileges that no other namespace has to grant. ``previous`` is
    the change that was on the node before, for a script that wants to know.
    """
    change = rollout.script
    what = _step(change, step)
    marks = {labels.ROLLOUT: rollout.uid, labels.NODE: labels.value(node.name), labels.STEP: step.value}
    notes = {labels.NODE: node.name, labels.NODE_UID: node.uid, "patchwright.dev/rollout-name": str(rollout.key)}
    container = _container(change, what, _environment(rollout, node, step=step, previous=previous))
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace, "labels": marks, "annotations": notes},
        "spec": {
            **_failures(change, step),
            "activeDeadlineSeconds": _seconds(what.timeout or policy.strategy.progress_deadline),
            "ttlSecondsAfterFinished": KEEP,
            "template": {
                "metadata": {"labels": marks, "annotations": {**notes, **_STAY}},
                "spec": _pod(change, policy, node_name=node.name, container=container),
            },
        },
    }


# Nobody else may move the pod while a package manager runs in it.
_STAY: Final = {
    "karpenter.sh/do-not-disrupt": "true",
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
}


def _step(change: ScriptChange, step: JobStep) -> Step:
    steps = {
        JobStep.PREPARE: change.prepare,
        JobStep.APPLY: change.apply,
        JobStep.VERIFY: change.verify,
        JobStep.ROLLBACK: change.rollback,
    }
    what = steps[step]
    if what is None:
        raise ValueError(f"the change has no {step} step")
    return what


def _failures(change: ScriptChange, step: JobStep) -> dict[str, Any]:
    """Say what a failed pod means for its Job."""
    if change.reboot is Reboot.NEVER or step in (JobStep.PREPARE, JobStep.VERIFY):
        return {"backoffLimit": 0}
    return {
        "backoffLimit": _REBOOT_RETRIES,
        "podFailurePolicy": {
            "rules": [
                # The kubelet's own graceful shutdown, or the node's deletion (KEP-3329).
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {
                    "action": "FailJob",
                    "onExitCodes": {"containerName": CONTAINER, "operator": "NotIn", "values": _KILLED},
                },
            ]
        },
    }


def _pod(change: ScriptChange, policy: PatchPolicy, *, node_name: str, container: dict[str, Any]) -> dict[str, Any]:
    account = change.service_account
    pod: dict[str, Any] = {
        "nodeName": node_name,
        "restartPolicy": "Never",
        "automountServiceAccountToken": account is not None,
        "enableServiceLinks": False,
        "tolerations": list(_tolerations(policy.nodes.tolerations)),
        "containers": [container],
    }
    if account is not None:
        pod["serviceAccountName"] = account
    if change.privileged:
        # hostPID for `nsenter -t 1`; hostNetwork because a patch must not hang on the CNI plugin that it may replace,
        # nor on a cluster DNS that was drained a moment ago.
        pod |= {"hostPID": True, "hostIPC": True, "hostNetwork": True, "dnsPolicy": "Default"}
    if change.host_path is not None:
        pod["volumes"] = [{"name": "host", "hostPath": {"path": change.host_path, "type": "Directory"}}]
    return pod


def _container(change: ScriptChange, step: Step, environment: dict[str, str]) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": step.image or change.image,
        "env": [{"name": key, "value": value} for key, value in {**dict(step.env), **environment}.items()],
        # The log's end stands in where a script that fails has written no message.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": _PRIVILEGED if change.privileged else _CONFINED,
    }
    if step.command:
        container["command"] = list(step.command)
    if step.args:
        container["args"] = list(step.args)
    if change.host_path is not None:
        container["volumeMounts"] = [{"name": "host", "mountPath": HOST_MOUNT}]
    return container


_PRIVILEGED: Final = {"privileged": True}
_CONFINED: Final = {
    "privileged": False,
    "allowPrivilegeEscalation": False,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def _environment(rollout: PatchRollout, node: NodeRef, *, step: JobStep, previous: str | None) -> dict[str, str]:
    return {
        "PATCHWRIGHT_NODE": node.name,
        "PATCHWRIGHT_STEP": step.value,
        "PATCHWRIGHT_VERSION": rollout.script.version,
        "PATCHWRIGHT_CHANGE": rollout.change_id,
        "PATCHWRIGHT_PREVIOUS_CHANGE": previous or "",
        "PATCHWRIGHT_ROLLOUT": str(rollout.key),
    }


def _tolerations(extra: Iterable[Toleration]) -> Iterable[dict[str, str]]:
    yield {"operator": "Exists", "effect": "NoSchedule"}
    for key in (*_AWAY, *_CONTROL_PLANE):
        yield {"key": key, "operator": "Exists", "effect": "NoExecute"}
    for each in extra:
        fields = {"key": each.key, "operator": each.operator, "value": each.value, "effect": each.effect}
        yield {name: value for name, value in fields.items() if value is not None}


def _seconds(span: timedelta) -> int:
    return max(1, int(span.total_seconds()))
