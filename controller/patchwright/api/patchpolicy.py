"""PatchPolicy: standing intent. Names that system-upgrade-controller, kured or Deployment have are theirs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from patchwright.api.base import Rule, Unique, WireModel, at_most_one_of, exactly_one_of
from patchwright.api.coveredimage import CoveredImage
from patchwright.api.healthchecks import HealthCheck
from patchwright.api.imageverify import Verify
from patchwright.api.scalars import (
    Bool,
    Cron,
    Duration,
    Int,
    IntOrString,
    LabelKey,
    PositiveIntOrString,
    TimeZone,
    given,
    matching,
    ruled,
)
from patchwright.api.selectors import LabelSelector, Toleration
from patchwright.api.writing import Write
from patchwright.domain import model
from patchwright.domain.nodes import spans

_STRATEGY, _CANARY, _DRAIN, _ROLLBACK = model.Strategy(), model.Canary(), model.Drain(), model.Rollback()
_DEADLINE = int(_STRATEGY.progress_deadline.total_seconds())


class NodeTarget(WireModel):
    """Nodes, patched by a driver."""

    hints: ClassVar[Mapping[str, str]] = {
        "nodeSelector": "a target's label selector is called selector",
        "labelSelector": "a target's label selector is called selector",
    }
    selector: LabelSelector
    """The nodes, by their labels; `{}` selects all. Nodes that join later and match are patched too."""
    driver: Literal["script"] | None = None
    """How a node is patched; `script` (the default) runs the image that the rollout names."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=32)] | None = None
    """Taints that the patch Jobs put up with, besides `node.kubernetes.io/unschedulable`, which is always there."""

    def domain(self) -> model.NodeTarget:
        """Convert to the domain."""
        tolerations = tuple(one.domain() for one in self.tolerations or ())
        return model.NodeTarget(self.selector.domain(), self.driver or "script", tolerations=tolerations)


class WorkloadTarget(WireModel):
    """Workloads that run one of these images; what is patched are the images in their pod templates."""

    hints: ClassVar[Mapping[str, str]] = {
        "labelSelector": "a target's label selector is called selector",
        "namespaces": "namespaces are selected by their labels: namespaceSelector; the label "
        "kubernetes.io/metadata.name holds a namespace's name",
    }
    namespace_selector: LabelSelector | None = None
    """The namespaces, by their labels; left out, the policy's own. Only policies in the operator's namespace may set
    it."""
    selector: LabelSelector
    """The workloads, by their labels; `{}` selects all that run one of `images`."""
    kinds: (
        Annotated[
            tuple[Literal["Deployment", "StatefulSet", "DaemonSet", "CronJob", "Rollout"], ...],
            Field(min_length=1, max_length=5),
            Unique(),
        ]
        | None
    ) = None
    """The kinds; left out, all of them. Rollout is that of Argo Rollouts, and there where its CRD is installed."""
    images: Annotated[tuple[CoveredImage, ...], Field(min_length=1, max_length=64), Unique("image")]
    """The images that rollouts of this policy may change, and which of their tags is wanted."""
    allow_recreate: Bool | None = None
    """Whether Deployments of the strategy Recreate are patched too, each by an outage; left out, false."""
    verify: Verify | None = None
    """Who must have signed the images; left out, signatures are not looked at."""

    def domain(self) -> model.WorkloadTarget:
        """Convert to the domain."""
        return model.WorkloadTarget(
            tuple(one.image for one in self.images),
            self.selector.domain(),
            namespaces=self.namespace_selector.domain() if self.namespace_selector else None,
            kinds=given(self.kinds, model.WORKLOAD_KINDS),
            allow_recreate=bool(self.allow_recreate),
            followed=tuple(found for one in self.images if (found := one.followed()) is not None),
            verify=self.verify.domain() if self.verify else None,
        )


class Target(WireModel):
    """What is patched: exactly one kind of target."""

    rules = (exactly_one_of("nodes", "workloads"),)
    nodes: NodeTarget | None = None
    """Nodes of this cluster."""
    workloads: WorkloadTarget | None = None
    """Workloads of this cluster, by the images that they run."""

    def domain(self) -> model.NodeTarget | model.WorkloadTarget:
        """Convert to the domain."""
        found = self.nodes or self.workloads
        assert found is not None  # by the rule above
        return found.domain()


class Canary(WireModel):
    """The first targets; no other is touched before they are healthy through their whole soak."""

    rules = (at_most_one_of("count", "selector"),)
    count: IntOrString | None = None
    """How many targets, or which share of the selected set; left out, 1. 0 means no canary."""
    selector: LabelSelector | None = None
    """The canaries, by their labels, instead of a count."""
    soak: Duration | None = None
    """How long the canaries must stay healthy before the first wave; left out, `5m`."""
    pods: PositiveIntOrString | None = None
    """Only with `target.workloads`: how many pods of each canary, or which share of them, run the new images during the
    soak; the rest of it follows after that, before any other workload. Left out, all of them at once."""

    def domain(self) -> model.Canary:
        """Convert to the domain."""
        return model.Canary(
            given(self.count, _CANARY.count),
            self.selector.domain() if self.selector else None,
            soak=given(self.soak, _CANARY.soak),
            pods=self.pods,
        )


class Wave(WireModel):
    """A step between the canary and the rest of the fleet."""

    size: PositiveIntOrString
    """How many more targets, or which share of the selected set."""
    soak: Duration | None = None
    """How long they must stay healthy before the next wave; left out, `0s`."""

    def domain(self) -> model.Wave:
        """Convert to the domain."""
        return model.Wave(self.size, given(self.soak, timedelta(0)))


class Strategy(WireModel):
    """How fast and how carefully: canary first, then wave by wave, never more at once than the budget allows."""

    hints: ClassVar[Mapping[str, str]] = {
        "concurrency": "system-upgrade-controller's and kured's concurrency is called maxUnavailable",
        "parallelism": "parallelism is called maxUnavailable",
        "maxErrors": "maxErrors is called failureThreshold",
    }
    canary: Canary | None = None
    """The first targets; left out, one target, watched for 5 minutes."""
    waves: Annotated[tuple[Wave, ...], Field(max_length=20)] | None = None
    """Steps between the canary and the rest; the rest is a wave of its own and needs no entry."""
    max_unavailable: IntOrString | None = None
    """The budget: how many selected targets may be unavailable at once, whoever made them so. A percentage is of the
    selected set, rounded down, at least 1. Left out, 1; 0 starts nothing, and the rollout says so."""
    failure_threshold: PositiveIntOrString | None = None
    """How many failed targets halt the rollout; left out, 1."""
    topology_key: LabelKey | None = None
    """Never have targets of two domains in flight at once, such as `topology.kubernetes.io/zone`; canaries and waves
    then also proceed domain by domain."""
    progress_deadline_seconds: Annotated[Int, Field(ge=1, le=86400)] | None = None
    """How long one target may take, in seconds, before it has failed: a node once it is drained, and before its cordon
    for its prepare step; a workload until all its pods are available. No progress makes it longer. Left out, 600."""

    def domain(self) -> model.Strategy:
        """Convert to the domain."""
        return model.Strategy(
            self.canary.domain() if self.canary else _CANARY,
            tuple(wave.domain() for wave in self.waves or ()),
            max_unavailable=given(self.max_unavailable, _STRATEGY.max_unavailable),
            failure_threshold=given(self.failure_threshold, _STRATEGY.failure_threshold),
            topology_key=self.topology_key,
            progress_deadline=timedelta(seconds=given(self.progress_deadline_seconds, _DEADLINE)),
        )


class MaintenanceWindow(WireModel):
    """A time in which targets may be started; what was started in time finishes after it."""

    hints: ClassVar[Mapping[str, str]] = {
        "timezone": "the field is spelled timeZone, as in CronJob",
        "days": "write the days into the cron expression of start, such as 0 22 * * MON-FRI",
        "startTime": "write the time into the cron expression of start, such as 0 22 * * *",
        "endTime": "give the length of the window as duration, such as 4h",
    }
    start: Cron
    """When it opens: a cron expression of 5 fields, such as `0 22 * * SAT`."""
    duration: Duration
    """How long it stays open, such as `4h`; at least `drain.timeout` (2 minutes more with `onTimeout: Force`,
    `drain.loadBalancerWait` more with `excludeFromLoadBalancers`) and `strategy.progressDeadlineSeconds` together."""
    time_zone: TimeZone | None = None
    """The IANA time zone of `start`, such as `Europe/Paris`; left out, `UTC`."""

    def domain(self) -> model.MaintenanceWindow:
        """Convert to the domain."""
        return model.MaintenanceWindow(self.start, self.duration, time_zone=self.time_zone or "UTC")


class Drain(WireModel):
    """How a node is emptied before it is patched; the names are system-upgrade-controller's and kubectl drain's."""

    rules = (
        Rule(
            "!has(self.loadBalancerWait) || (has(self.excludeFromLoadBalancers) && self.excludeFromLoadBalancers)",
            "loadBalancerWait may only be set with excludeFromLoadBalancers: true, or there is nothing to wait for",
            lambda drain: drain.load_balancer_wait is None or drain.exclude_from_load_balancers is True,
            field=".loadBalancerWait",
        ),
    )
    hints: ClassVar[Mapping[str, str]] = {
        "deleteLocalData": "deleteLocalData is called deleteEmptydirData, as in kubectl drain"
    }
    enabled: Bool | None = None
    """Whether pods are evicted at all; left out, true. With false a node is only cordoned."""
    force: Bool | None = None
    """Whether pods that no controller would start again are evicted; left out, false: they block the drain."""
    timeout: Duration | None = None
    """How long a drain may take, across restarts of the operator and after `loadBalancerWait`; left out, `10m`."""
    grace_period: (
        Annotated[
            Int,
            Field(ge=-1, le=86400),
            ruled("self != 0", "must not be 0, which kills pods without notice; use 1", lambda seconds: seconds != 0),
        ]
        | None
    ) = None
    """The pods' termination grace period in seconds; left out or -1, each pod's own."""
    delete_emptydir_data: Bool | None = None
    """Whether pods with emptyDir volumes are evicted, which deletes that data; left out, true."""
    ignore_daemon_sets: Bool | None = None
    """Whether DaemonSet pods are left running; left out, true. With false they block the drain."""
    disable_eviction: Bool | None = None
    """Whether pods are deleted instead of evicted, which goes past PodDisruptionBudgets; left out, false."""
    skip_wait_for_delete_timeout: Annotated[Int, Field(ge=0, le=86400)] | None = None
    """Do not wait for pods that have been terminating for longer than this many seconds; left out or 0, always wait."""
    pod_selector: LabelSelector | None = None
    """Which pods are evicted, by their labels; left out, all. The others stay where they are."""
    on_timeout: Literal["Abort", "Force"] | None = None
    """What happens at the timeout: `Abort` (the default) gives the node back and counts it as failed, `Force` deletes
    what eviction could not move, whatever its PodDisruptionBudget says."""
    exclude_from_load_balancers: Bool | None = None
    """Whether the node is taken out of Service load balancers with its cordon, and put back with its uncordon, by the
    label `node.kubernetes.io/exclude-from-external-load-balancers`; left out, false."""
    load_balancer_wait: Duration | None = None
    """How long load balancers have to stop sending to the node before its first pod is evicted; left out, `30s`."""
    wait_for_volume_detach: Bool | None = None
    """Whether a drain lasts until the volumes of its pods are detached from the node (VolumeAttachment); left out,
    false. A volume that stays attached until the timeout is treated as a pod that stays."""

    def domain(self) -> model.Drain:
        """Convert to the domain."""
        skip, grace = self.skip_wait_for_delete_timeout, self.grace_period
        return model.Drain(
            enabled=given(self.enabled, _DRAIN.enabled),
            force=given(self.force, _DRAIN.force),
            timeout=given(self.timeout, _DRAIN.timeout),
            grace_period=None if grace is None or grace < 0 else timedelta(seconds=grace),
            delete_emptydir_data=given(self.delete_emptydir_data, _DRAIN.delete_emptydir_data),
            ignore_daemon_sets=given(self.ignore_daemon_sets, _DRAIN.ignore_daemon_sets),
            disable_eviction=given(self.disable_eviction, _DRAIN.disable_eviction),
            skip_wait_for_delete_timeout=timedelta(seconds=skip) if skip else None,
            pod_selector=self.pod_selector.domain() if self.pod_selector else None,
            on_timeout=model.OnTimeout(given(self.on_timeout, _DRAIN.on_timeout.value)),
            exclude_from_load_balancers=given(self.exclude_from_load_balancers, _DRAIN.exclude_from_load_balancers),
            load_balancer_wait=given(self.load_balancer_wait, _DRAIN.load_balancer_wait),
            wait_for_volume_detach=given(self.wait_for_volume_detach, _DRAIN.wait_for_volume_detach),
        )


class Rollback(WireModel):
    """What happens to touched targets once the failure threshold is reached."""

    enabled: Bool | None = None
    """Whether anything is put back; left out, true: then a change that cannot be put back is refused."""
    scope: Literal["Target", "Wave", "All"] | None = None
    """What is put back: the failed targets (`Target`), their wave (`Wave`), or everything (`All`, the default)."""

    def domain(self) -> model.Rollback:
        """Convert to the domain."""
        scope = model.RollbackScope(given(self.scope, _ROLLBACK.scope.value))
        return model.Rollback(given(self.enabled, _ROLLBACK.enabled), scope)


class PolicyRef(WireModel):
    """Which policy decides whether a rollout may start, and whether each wave may."""

    package: (
        Annotated[
            str,
            Field(max_length=253),
            matching(
                r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$",
                "must be a Rego package such as patchwright.rollout",
            ),
        ]
        | None
    ) = None
    """The Rego package that is asked, such as `patchwright.rollout` (the default)."""
    failure_policy: Literal["Fail", "Ignore"] | None = None
    """When no decision can be had: `Fail` (the default) starts nothing, `Ignore` goes on and says so in a condition."""

    def domain(self) -> model.PolicyRef:
        """Convert to the domain."""
        default = model.PolicyRef()
        failure = model.FailurePolicy(given(self.failure_policy, default.failure_policy.value))
        return model.PolicyRef(given(self.package, default.package), failure)


def _windows_fit(spec: PatchPolicySpec) -> bool:
    strategy = spec.strategy.domain() if spec.strategy else _STRATEGY
    longest = spans.longest(strategy, spec.drain.domain() if spec.drain else _DRAIN)
    return all(window.duration >= longest for window in spec.maintenance_windows or ())


def _canary_pods(strategy: Strategy | None) -> model.Quantity | None:
    return strategy.canary.pods if strategy and strategy.canary else None


def _follows(target: Target) -> bool:
    return target.workloads is not None and any(one.policy is not None for one in target.workloads.images)


def _seconds(span: timedelta) -> str:
    return f"{int(span.total_seconds())}s"


# The same in CEL. Its seconds are whole, so they are counted last: only then nothing is cut off.
_TIMEOUT = f"duration(has(self.drain) && has(self.drain.timeout) ? self.drain.timeout : '{_seconds(_DRAIN.timeout)}')"
_FORCES = "has(self.drain) && has(self.drain.onTimeout) && self.drain.onTimeout == 'Force'"
_FORCE_TIME = f"duration({_FORCES} ? '{_seconds(spans.FORCE_TIME)}' : '0s')"
_DRAINS = "!has(self.drain) || !has(self.drain.enabled) || self.drain.enabled"
_BALANCED = "has(self.drain) && has(self.drain.excludeFromLoadBalancers) && self.drain.excludeFromLoadBalancers"
_USUAL_WAIT = _seconds(_DRAIN.load_balancer_wait)
_GIVEN_WAIT = f"(has(self.drain.loadBalancerWait) ? self.drain.loadBalancerWait : '{_USUAL_WAIT}')"
_WAIT = f"duration({_BALANCED} ? {_GIVEN_WAIT} : '0s')"
_DRAIN_TIME = f"({_WAIT} + ({_DRAINS} ? {_TIMEOUT} + {_FORCE_TIME} : duration('0s')))"


class PatchPolicySpec(WireModel):
    """What is patched, when, how carefully, and what happens when it goes wrong."""

    rules = (
        Rule(
            # getSeconds, because the API server takes string(…) of a number for a text of any length.
            "!has(self.maintenanceWindows) || self.maintenanceWindows.all(w, "
            f"(duration(w.duration) - {_DRAIN_TIME}).getSeconds() >= "
            "(has(self.strategy) && has(self.strategy.progressDeadlineSeconds) ? "
            f"self.strategy.progressDeadlineSeconds : {_DEADLINE}))",
            "a maintenance window must be at least as long as drain.timeout (10m when left out, 2m more with Force, "
            "loadBalancerWait more with excludeFromLoadBalancers) and strategy.progressDeadlineSeconds (600 when left "
            "out) together, or no target could ever start and finish in it",
            _windows_fit,
            field=".maintenanceWindows",
        ),
        Rule(
            "!has(self.trigger) || self.trigger == 'Manual' || "
            "(has(self.target.workloads) && self.target.workloads.images.exists(one, has(one.policy)))",
            "trigger Automatic or PullRequest needs an entry of target.workloads.images with a policy: nothing else "
            "finds updates",
            lambda spec: spec.trigger in (None, "Manual") or _follows(spec.target),
            field=".trigger",
        ),
        Rule(
            "!has(self.strategy) || !has(self.strategy.canary) || !has(self.strategy.canary.pods) || "
            "has(self.target.workloads)",
            "strategy.canary.pods is for target.workloads only: a node is patched as a whole",
            lambda spec: _canary_pods(spec.strategy) is None or spec.target.workloads is not None,
            field=".strategy.canary.pods",
        ),
        Rule(
            "!has(self.write) || has(self.target.workloads)",
            "write is for target.workloads only: nodes are not made from Git",
            lambda spec: spec.write is None or spec.target.workloads is not None,
            field=".write",
        ),
    )
    hints: ClassVar[Mapping[str, str]] = {
        "updates": "which updates are looked for is said by target.workloads.images[].policy; for nodes a PatchRollout "
        "names the change",
        "sla": "deadlines by severity are not supported yet",
        "concurrency": "system-upgrade-controller's concurrency is strategy.maxUnavailable here",
        "nodeSelector": "system-upgrade-controller's nodeSelector is target.nodes.selector here",
        "tolerations": "system-upgrade-controller's tolerations are target.nodes.tolerations here",
        "window": "system-upgrade-controller's window is an entry of maintenanceWindows here",
        "upgrade": "system-upgrade-controller's upgrade is change.script of a PatchRollout here",
        "cordon": "a node is always cordoned; see drain.enabled",
    }
    target: Target
    """What is patched."""
    trigger: Literal["Automatic", "PullRequest", "Manual"] | None = None
    """How rollouts come to be. `Manual` (the default): somebody creates a PatchRollout, by hand or in Git. `Automatic`:
    a newer image that an entry of `target.workloads.images` with a `policy` finds becomes one by itself. `PullRequest`:
    it is proposed to the PolicyRepository that the policy came from, and becomes one once somebody has merged it."""
    strategy: Strategy | None = None
    """How fast and how carefully; left out, one canary for 5 minutes, then one target at a time."""
    maintenance_windows: Annotated[tuple[MaintenanceWindow, ...], Field(max_length=16)] | None = None
    """When targets may be started; left out or empty, always."""
    drain: Drain | None = None
    """How a node is emptied."""
    health_checks: (
        Annotated[
            tuple[HealthCheck, ...],
            Field(max_length=16),
            Unique("name"),
        ]
        | None
    ) = None
    """What must be healthy, besides the patched nodes themselves, which are always checked. All must hold."""
    rollback: Rollback | None = None
    """What happens to touched targets once the failure threshold is reached."""
    write: Write | None = None
    """Where the images of workloads are written; left out, in the cluster, and what Flux or Argo CD applies from Git is
    left alone."""
    policy: PolicyRef | None = None
    """Which Rego package decides."""
    suspend: Bool | None = None
    """Whether rollouts of this policy start nothing new; what is in flight finishes. Left out, false."""
