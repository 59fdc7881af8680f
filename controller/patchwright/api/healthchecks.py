"""Health checks as PatchPolicy spells them."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from patchwright.api.base import Form, WireModel, at_least_one_of, exactly_one_of
from patchwright.api.containers import Command, Env
from patchwright.api.scalars import Duration, Image, Int, Label, Name, Query, WebUrl, given, matching
from patchwright.api.selectors import LabelSelector
from patchwright.domain import checks, expressions, model

_PROBES = ("workloads", "prometheus", "http", "object", "job")
_DEFAULT = checks.HealthCheck("", checks.HttpCheck(""))
# Every drain makes replicas unavailable until they run elsewhere: the workloads check must live longer than that.
_MOVING = timedelta(minutes=5)
# A restart of Prometheus must not roll a fleet back.
_BLIP = timedelta(seconds=30)
# A Job that takes longer is given longer.
_RUN = timedelta(minutes=2)
_EVERY_RUN = timedelta(minutes=1)
_WAIT_WORDS = (
    "must be as in kubectl wait --for: condition=Ready, condition=Ready=false or jsonpath={.status.phase}=Bound"
)


def _is_expression(text: str) -> bool:
    try:
        expressions.parse(text)
    except expressions.ExpressionError:
        return False
    return True


class WorkloadsCheck(WireModel):
    """Workloads must be rolled out and available."""

    namespace_selector: LabelSelector | None = None
    """The namespaces to look at, by their labels; left out, all of them."""
    selector: LabelSelector | None = None
    """The workloads to look at, by their labels; left out, all of them."""
    kinds: (
        Annotated[
            tuple[Literal["Deployment", "StatefulSet", "DaemonSet", "Rollout"], ...], Field(min_length=1, max_length=4)
        ]
        | None
    ) = None
    """The kinds to look at (`Rollout` is that of Argo Rollouts); left out, Deployment, StatefulSet and DaemonSet."""

    def domain(self) -> checks.WorkloadsCheck:
        """Convert to the domain."""
        spaces = self.namespace_selector.domain() if self.namespace_selector else model.Selector()
        selector = self.selector.domain() if self.selector else model.Selector()
        kinds = given(self.kinds, ("Deployment", "StatefulSet", "DaemonSet"))
        return checks.WorkloadsCheck(spaces, selector, kinds=tuple(dict.fromkeys(kinds)))


class PrometheusCheck(WireModel):
    """Prometheus must answer as expected; an error or a timeout counts as unhealthy."""

    rules = (at_least_one_of("unhealthy", "require"),)
    address: WebUrl
    """Prometheus' address, such as `http://prometheus.monitoring:9090`."""
    unhealthy: Query | None = None
    """PromQL that returns series when something is wrong, as an alerting rule does."""
    require: Query | None = None
    """PromQL that must return at least one series; use it to notice missing metrics."""

    def domain(self) -> checks.PrometheusCheck:
        """Convert to the domain."""
        return checks.PrometheusCheck(self.address, self.unhealthy, require=self.require)


class HttpCheck(WireModel):
    """A GET must be answered with an expected status; redirects are not followed."""

    url: WebUrl
    """The URL to get."""
    expected_statuses: (
        Annotated[tuple[Annotated[Int, Field(ge=100, le=599)], ...], Field(min_length=1, max_length=32)] | None
    ) = None
    """The HTTP statuses that mean healthy; left out, only 200."""

    def domain(self) -> checks.HttpCheck:
        """Convert to the domain."""
        return checks.HttpCheck(self.url, given(self.expected_statuses, (200,)))


class ObjectCheck(WireModel):
    """Objects must satisfy a condition, in the words of `kubectl wait`."""

    rules = (exactly_one_of("name", "selector"),)
    api_version: Annotated[
        str,
        Field(max_length=253),
        matching(r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?v[0-9][a-z0-9]*$", "must be an API version such as apps/v1"),
    ]
    """The objects' API version, such as `apps/v1`."""
    kind: Annotated[str, Field(max_length=63), matching("^[A-Z][A-Za-z0-9]*$", "must be a kind such as Deployment")]
    """The objects' kind, such as `Deployment`."""
    namespace: Label | None = None
    """Where they are; left out, the rollout's own namespace (nothing for cluster-scoped kinds)."""
    name: Name | None = None
    """The one object to look at."""
    selector: LabelSelector | None = None
    """The objects to look at, by their labels; all must satisfy `for`, and none found is unhealthy."""
    wait_for: Annotated[
        str,
        Field(alias="for", max_length=512),
        Form(_is_expression, _WAIT_WORDS, {"pattern": "^(condition|jsonpath)=.+$"}),
    ]
    """What must hold: `condition=Ready`, `condition=Ready=false`, `jsonpath={.status.phase}=Running`."""

    def domain(self) -> checks.ObjectCheck:
        """Convert to the domain."""
        return checks.ObjectCheck(
            self.api_version,
            self.kind,
            wait_for=self.wait_for,
            namespace=self.namespace,
            name=self.name,
            selector=self.selector.domain() if self.selector else None,
        )


class JobCheck(WireModel):
    """A Job with one pod must succeed; each measurement runs one in the policy's namespace, and deletes it again."""

    image: Image
    """The image to run; pin it by digest."""
    command: Command | None = None
    """The entry point; left out, the image's."""
    args: Command | None = None
    """The arguments; left out, the image's."""
    env: Env | None = None
    """Environment variables."""
    service_account_name: Name | None = None
    """The ServiceAccount whose token the pod gets; left out, it gets none."""

    def domain(self) -> checks.JobCheck:
        """Convert to the domain."""
        env = tuple((one.name, one.value or "") for one in self.env or ())
        return checks.JobCheck(
            self.image, self.command or (), self.args or (), env=env, service_account=self.service_account_name
        )


class HealthCheck(WireModel):
    """One thing that must be healthy for a rollout to begin and to go on; a check that cannot be made is unhealthy."""

    rules = (exactly_one_of(*_PROBES),)
    name: Label
    """The check's name in messages, events and metrics; unique in the list."""
    workloads: WorkloadsCheck | None = None
    """Deployments, StatefulSets and DaemonSets are available."""
    prometheus: PrometheusCheck | None = None
    """Prometheus queries answer as expected."""
    http: HttpCheck | None = None
    """A URL answers as expected."""
    object: ObjectCheck | None = None
    """Any object has a condition or a value."""
    job: JobCheck | None = None
    """A Job of yours succeeds."""
    interval: Duration | None = None
    """How often the check is made; left out, `10s`, and `1m` for `job`."""
    timeout: Duration | None = None
    """How long it may stay unhealthy before the wave has failed; new starts are held at once. Left out, `30s`, and `5m`
    for `workloads`."""
    probe_timeout: Duration | None = None
    """How long one measurement may take before it counts as unhealthy; left out, `5s`, and `2m` for `job`."""
    baseline: Literal["Block", "Exclude"] | None = None
    """What was unhealthy before the patch: `Block` does not start, `Exclude` starts and ignores it. Left out, `Block`,
    and `Exclude` for `workloads`."""

    def domain(self) -> checks.HealthCheck:
        """Convert to the domain."""
        probe = self.workloads or self.prometheus or self.http or self.object or self.job
        assert probe is not None  # by the rule above
        return checks.HealthCheck(
            self.name,
            probe.domain(),
            interval=given(self.interval, _EVERY_RUN if self.job else _DEFAULT.interval),
            timeout=given(self.timeout, _MOVING if self.workloads else _BLIP),
            probe_timeout=given(self.probe_timeout, _RUN if self.job else _DEFAULT.probe_timeout),
            baseline=checks.Baseline(given(self.baseline, "Exclude" if self.workloads else "Block")),
        )
